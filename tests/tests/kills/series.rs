//! A series of commits into two files, as `map` makes them, whose host dies at every place where it changes something on the
//! disk, and again at some place while it resumes. What is in the files in the end is what a series that nobody disturbed
//! leaves there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use lockkeeper::storage::Disk;
use lockkeeper::{
    AppendSpec, Commit, Durability, FileSpec, Format, JobSpec, ProcessSpec, Program, RecordId, Runtime, RuntimeConfig,
};
use lockkeeper_tests::{Lines, figure, guest, join, spec, workspace};
use tempfile::TempDir;

use crate::dying::DyingDisk;
use crate::{Random, seed};

/// The directory of a child; without it, the child's test does nothing.
const DIR: &str = "LOCKKEEPER_KILLS_SERIES_DIR";

/// What the child is to do: `begin` or `resume`, and the number of its last site.
const PLAN: &str = "LOCKKEEPER_KILLS_SERIES_PLAN";

const FILES: [&str; 2] = ["one", "two"];

/// Inputs, and how many rows each makes in each file. One makes none, and has to be remembered all the same.
const INPUTS: [(&str, usize); 3] = [("a", 3), ("b", 0), ("c", 2)];

#[test]
fn child_commits_a_series_until_it_dies() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let plan = std::env::var(PLAN).expect("a plan");
    let (begin, site) = plan.split_once(' ').expect("two words");
    let begin = if begin == "begin" { Begin::Anew } else { Begin::Resumed };
    let disk = DyingDisk::new(site.parse().expect("a number"), dir.join("died"), false);
    commit_all(&dir, begin, Some(Arc::new(disk)));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Anew,
    Resumed,
}

/// What `map` does: begins or resumes the series, and runs those inputs that are not in both files.
fn commit_all(dir: &Path, begin: Begin, disk: Option<Arc<dyn Disk>>) {
    let runtime = Runtime::new(RuntimeConfig {
        shards: 1,
        cache_dir: Some(workspace().join("target/guests/compiled")),
        state_dir: dir.join("state"),
        disk,
        ..RuntimeConfig::default()
    })
    .expect("a host");
    let program = Program::from_file(&runtime, workspace().join("target/guests/wasm32-wasip2/release/map_script.wasm"));
    let program = program.expect("the parent has built it");
    let files = FILES.map(|name| {
        let mut file = FileSpec::new(dir.join(name), Format::Csv { header: Vec::new() }, "a host that will die");
        file.ids = true;
        AppendSpec { name: name.to_owned(), file, requires_lock: None, durability: Durability::Written }
    });
    let job = runtime.job(JobSpec { files: files.into(), ..JobSpec::default() });
    let job = job.unwrap_or_else(|error| panic!("{error}"));
    match begin {
        Begin::Anew => job.begin_series(),
        Begin::Resumed => job.resume_series(),
    }
    .unwrap_or_else(|error| panic!("{error}"));
    for (name, _) in INPUTS {
        let id = RecordId::of(name.as_bytes());
        if job.has_committed(id) {
            continue;
        }
        let input = format!("/input/{name}");
        let lines = Lines::new();
        let process = ProcessSpec {
            inputs: vec![dir.join("inputs").join(name)],
            commit: Commit::AtEnd,
            commit_id: Some(id),
            stdio: lines.stdio(),
            ..spec(&program, &[&FILES[..], &[&input]].concat(), &[], &FILES)
        };
        let process = job.spawn(&program, &process).unwrap_or_else(|error| panic!("{error}"));
        let exit = join(&process);
        assert!(exit.outcome.is_success(), "{name}: {}\n{:#?}", exit.outcome, lines.all());
    }
}

/// A directory with the inputs of a series.
struct Field(TempDir);

impl Field {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.expect("a directory");
        for made in ["inputs", "tmp"] {
            std::fs::create_dir(dir.path().join(made)).expect("a directory");
        }
        for (name, rows) in INPUTS {
            std::fs::write(dir.path().join("inputs").join(name), format!("rows {rows}")).expect("an input");
        }
        Self(dir)
    }

    fn commit_all(&self, begin: Begin) {
        commit_all(self.0.path(), begin, None);
    }

    /// A host that dies at that site: at what it died, or none if it did not come that far.
    fn die(&self, begin: Begin, site: u64) -> Option<String> {
        use std::os::unix::process::ExitStatusExt;
        let begin = if begin == Begin::Anew { "begin" } else { "resume" };
        let ended = Command::new(std::env::current_exe().expect("a test knows where it is"))
            .args(["--exact", "series::child_commits_a_series_until_it_dies", "--nocapture", "--test-threads=1"])
            .env(DIR, self.0.path())
            .env(PLAN, format!("{begin} {site}"))
            // What a killed host leaves of its inputs goes with the directory.
            .env("TMPDIR", self.0.path().join("tmp"))
            .stdin(Stdio::null())
            .output()
            .expect("the test program can be started again");
        let died = ended.status.signal() == Some(9);
        assert!(died || ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        died.then(|| std::fs::read_to_string(self.0.path().join("died")).expect("it has said so"))
    }

    /// The rows of each file, sorted.
    fn rows(&self) -> [Vec<String>; 2] {
        FILES.map(|name| {
            let text = std::fs::read_to_string(self.0.path().join(name)).expect("a file");
            let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
            rows.sort_unstable();
            rows
        })
    }
}

/// Has a host die at each site of a series, which it begins in files as `before` leaves them. Answers at what, and how often
/// nothing of the series had begun yet.
fn sweep(before: impl Fn(&Field), once: &[String]) -> (BTreeMap<String, u64>, u64) {
    let mut random = Random(seed());
    let mut died = BTreeMap::new();
    let mut not_begun = 0;
    for site in 1.. {
        let field = Field::new();
        before(&field);
        let had = if field.0.path().join(FILES[0]).exists() { field.rows()[0].len() / once.len() } else { 0 };
        let Some(at) = field.die(Begin::Anew, site) else { return (died, not_begun) };
        *died.entry(at).or_default() += 1;
        // It dies once more while it goes on, at one of its first sites or at its end.
        drop(field.die(Begin::Resumed, random.next(site + 20) + 1));
        field.commit_all(Begin::Resumed);
        let rows = field.rows();
        let series = rows[0].len() / once.len();
        assert!((had..=had + 1).contains(&series), "site {site}: {rows:?}");
        let mut expected: Vec<String> = once.iter().flat_map(|row| vec![row.clone(); series]).collect();
        expected.sort_unstable();
        assert_eq!(rows, [expected.clone(), expected], "site {site}");
        not_begun += u64::from(series == had);
    }
    unreachable!("a series has an end")
}

#[test]
fn series_that_dies_at_any_site_ends_with_the_records_of_one_that_does_not() {
    guest("map_script");
    let whole = Field::new();
    whole.commit_all(Begin::Anew);
    let [once, two] = whole.rows();
    assert_eq!(once.len(), INPUTS.iter().map(|(_, rows)| rows).sum::<usize>());
    assert_eq!(once, two);
    let began = Instant::now();
    let (died, not_begun) = sweep(|_| {}, &once);
    assert_eq!(not_begun, 0, "where nothing was, the first series is the last");
    let (again, not_begun) = sweep(|field| field.commit_all(Begin::Anew), &once);
    let sites = |died: &BTreeMap<String, u64>| died.values().sum::<u64>();
    let (first, second) = (sites(&died), sites(&again));
    figure(format_args!(
        "map as a series: died at {first} sites of a first series and {second} of a second one ({not_begun} before it had \
         begun) in {:.1?}: 0 lost, 0 duplicated\n{died:?}\n{again:?}",
        began.elapsed()
    ));
    // Fewer would mean that the disk that kills is not the one that is used.
    assert!(first > 30 && second > 30 && died.len() >= 5, "{died:?} {again:?}");
}
