//! The host that is killed: this test program again, told by a variable in which directory.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use lockkeeper::storage::Disk;
use lockkeeper::{
    Access, AppendSpec, DirGrant, Durability, FileSpec, Format, JobSpec, LockSpec, Placement, ProcessSpec, Program,
    Runtime, RuntimeConfig,
};
use lockkeeper_guest_programs::acked::{self, Acked, BOUND, COLUMNS, FILE_COUNT, FILES, Promise, Shape};
use lockkeeper_tests::{Lines, guest, join, spec, workspace};

use crate::dying::DyingDisk;

/// The directory of a child; without it, the child's test does nothing.
const DIR: &str = "LOCKKEEPER_KILLS_DIR";

/// What a child is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many steps each process does; without end if 0.
    pub(crate) steps: usize,
    /// At which site the host kills itself; at none if 0.
    pub(crate) last_site: u64,
    /// How many shards the host has.
    pub(crate) shards: usize,
    /// Whether its disk says that it has written what it has not.
    pub(crate) is_late: bool,
    /// With which numbers each process begins.
    pub(crate) starts: Vec<[u64; FILE_COUNT]>,
}

/// Where things are in the directory of a child.
pub(crate) fn files_dir(dir: &Path) -> PathBuf {
    dir.join("files")
}

pub(crate) fn acks_dir(dir: &Path) -> PathBuf {
    dir.join("acks")
}

fn note(dir: &Path) -> PathBuf {
    dir.join("died")
}

/// How each file is opened, by the host and by whoever looks after it.
pub(crate) fn file_spec(dir: &Path, file: &Acked) -> FileSpec {
    let format = match file.shape {
        Shape::Row => Format::Csv { header: COLUMNS.map(str::to_owned).to_vec() },
        Shape::Line => Format::Lines,
        Shape::Json => Format::Jsonl,
        Shape::Bytes => Format::Framed,
    };
    let mut spec = FileSpec::new(files_dir(dir).join(file.name), format, "a host that will be killed");
    spec.ids = file.ids;
    spec
}

impl Plan {
    fn to_text(&self) -> String {
        let numbers = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let first = format!("{} {} {} {}", self.steps, self.last_site, self.shards, u64::from(self.is_late));
        let lines = std::iter::once(first).chain(self.starts.iter().map(|starts| numbers(starts)));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines =
            text.lines().map(|line| line.split(' ').map_while(|word| word.parse().ok()).collect::<Vec<u64>>());
        let &[steps, last_site, shards, is_late] = &*lines.next()? else { return None };
        let starts = lines.map(|starts| starts.try_into().ok()).collect::<Option<_>>()?;
        Some(Self {
            steps: usize::try_from(steps).ok()?,
            last_site,
            is_late: is_late == 1,
            shards: usize::try_from(shards).ok()?,
            starts,
        })
    }
}

/// A host that runs; it ends itself when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// Held, as the host ends when it is closed, and waiting for a child closes what it has.
    _input: Option<ChildStdin>,
    dir: PathBuf,
}

/// Starts a host in `dir`, on whatever files are there.
pub(crate) fn start(dir: &Path, plan: &Plan) -> Running {
    // The child must not build them: it may be killed while it does.
    guest("append_acked");
    for made in [files_dir(dir), acks_dir(dir)] {
        std::fs::create_dir_all(made).expect("a directory");
    }
    std::fs::write(dir.join("plan"), plan.to_text()).expect("the plan can be written");
    let log = std::fs::File::create(dir.join("log")).expect("a log");
    let mut child = Command::new(std::env::current_exe().expect("a test knows where it is"))
        .args(["--exact", "child_runs_a_job_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a descriptor"))
        .stderr(log)
        .spawn()
        .expect("the test program can be started again");
    Running { _input: child.stdin.take(), child, dir: dir.to_owned() }
}

impl Running {
    /// Whether the host has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// Waits for its end: true if it was killed. Panics, with what it said, if it failed.
    pub(crate) fn was_killed(mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().expect("a child can be waited for");
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "{status}:\n{}", self.log());
        killed
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }
}

/// At what a host died that killed itself.
pub(crate) fn died_at(dir: &Path) -> String {
    std::fs::read_to_string(note(dir)).expect("it has said so")
}

/// What the child does. Nothing in a run of all tests.
pub(crate) fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    // Whoever started this host may die before it.
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).expect("standard input can be read");
        std::process::abort();
    });
    let text = std::fs::read_to_string(dir.join("plan")).expect("a plan");
    let plan = Plan::from_text(&text).expect("a plan is as it was written");
    let dying = DyingDisk::new(plan.last_site, note(&dir), plan.is_late);
    let disk = (plan.last_site > 0 || plan.is_late).then(|| Arc::new(dying) as Arc<dyn Disk>);
    let runtime = Runtime::new(RuntimeConfig {
        shards: plan.shards,
        cache_dir: Some(workspace().join("target/guests/compiled")),
        state_dir: dir.join("state"),
        disk,
        ..RuntimeConfig::default()
    })
    .expect("a host");
    let program =
        Program::from_file(&runtime, workspace().join("target/guests/wasm32-wasip2/release/append_acked.wasm"));
    let program = program.expect("the parent has built it");
    let files = FILES.iter().enumerate().map(|(place, file)| AppendSpec {
        name: file.name.to_owned(),
        file: file_spec(&dir, file),
        requires_lock: (place == BOUND).then(|| acked::LOCK.to_owned()),
        durability: match file.promise {
            Promise::Buffered => Durability::Buffered,
            Promise::Written => Durability::Written,
            Promise::Synced => Durability::Synced,
        },
    });
    let lock = LockSpec { name: acked::LOCK.to_owned(), ..LockSpec::default() };
    let job = JobSpec { locks: vec![lock], files: files.collect(), ..JobSpec::default() };
    let job = runtime.job(job).unwrap_or_else(|error| panic!("{error}"));
    let acks = DirGrant { host: acks_dir(&dir), guest: "/acks".to_owned(), access: Access::ReadWrite };
    let processes: Vec<_> = (0_u32..)
        .zip(&plan.starts)
        .map(|(rank, starts)| {
            let lines = Lines::new();
            let args = std::iter::once(plan.steps.to_string()).chain(starts.iter().map(u64::to_string)).collect();
            let process = ProcessSpec {
                rank,
                args,
                count: u32::try_from(plan.starts.len()).expect("few processes"),
                dirs: vec![acks.clone()],
                placement: Placement::Spread,
                stdio: lines.stdio(),
                ..spec(&program, &[], &[acked::LOCK], &FILES.map(|file| file.name))
            };
            (job.spawn(&program, &process).unwrap_or_else(|error| panic!("{error}")), lines)
        })
        .collect();
    for (process, lines) in processes {
        // A process without end is waited for without end.
        let exit = if plan.steps == 0 { process.join_blocking() } else { join(&process) };
        assert!(exit.outcome.is_success(), "{}: {}\n{:#?}", process.name(), exit.outcome, lines.all());
    }
}
