//! Several hosts and their lock files, in one directory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lockkeeper::lock_file::{LockFile, Remote, Tried};
use lockkeeper::os_lock::Mode;
use lockkeeper::{Job, JobSpec, LockKind, LockScope, LockSpec};
use lockkeeper_tests::{PATIENCE, TestHost, guest, workspace};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for anything that must come, and short enough to be waited for if it must not.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(300);

/// A directory with lock files.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The lock file of a lock.
    pub(crate) fn lock_file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.lock"))
    }

    /// A host, with a memory of its own, that has its lock files here.
    pub(crate) fn host(&self) -> TestHost {
        TestHost::configured(|config| {
            config.shards = 1;
            config.lock_dir = Some(self.dir.path().to_owned());
            config.run_name = "a host of the tests".to_owned();
        })
    }

    /// A native program that has this file open.
    pub(crate) fn native(&self, name: &str) -> LockFile {
        LockFile::open(&self.lock_file(name), Remote::Refused).expect("it can be opened")
    }

    /// `lockkeeper run` of the program `die_steps`, with the mutex `m` of this directory.
    pub(crate) fn run_steps(&self, steps: &[&str]) -> Running {
        let program = guest("die_steps");
        let mut command = self.lockkeeper();
        command.arg("run").arg(program).args(["--lock", "m", "--locks", "machine", "--lock-dir"]).arg(self.dir.path());
        command.arg("--").args(steps);
        Running::start(command)
    }

    /// `lockkeeper`, that keeps its own things here.
    pub(crate) fn lockkeeper(&self) -> Command {
        let mut command = Command::new(lockkeeper_tests::command());
        command
            .current_dir(self.dir.path())
            .env("LOCKKEEPER_STATE_DIR", self.path("state"))
            .env("LOCKKEEPER_CACHE_DIR", workspace().join("target/guests/compiled"));
        command
    }
}

/// A lock of the machine.
pub(crate) fn of_machine(name: &str, kind: LockKind) -> LockSpec {
    let scope = LockScope::Machine { file: None, allow_remote: false };
    LockSpec { name: name.to_owned(), kind, scope, ..LockSpec::default() }
}

/// A job with the mutex `m`, which others have too.
pub(crate) fn job(host: &TestHost) -> Job {
    job_with(host, LockKind::Mutex)
}

pub(crate) fn job_with(host: &TestHost, kind: LockKind) -> Job {
    let locks = vec![of_machine("m", kind)];
    host.runtime().job(JobSpec { locks, ..JobSpec::default() }).expect("a job")
}

pub(crate) fn locks(file: &mut LockFile, mode: Mode) -> bool {
    file.try_lock(mode).expect("it can be tried") == Tried::Locked
}

/// Waits until a native program that tries again and again has the lock.
pub(crate) fn until_locked(file: &mut LockFile, mode: Mode) {
    let begun = Instant::now();
    while !locks(file, mode) {
        assert!(begun.elapsed() < PATIENCE, "{} is never free", file.path().display());
        thread::sleep(Duration::from_millis(1));
    }
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, lines }
    }

    /// Waits for a line that begins so, and answers the rest of it.
    pub(crate) fn says(&mut self, begin: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).expect("it is text"), 0, "it ends without `{begin}`");
            if let Some(rest) = line.trim_end().strip_prefix(begin) {
                return rest.to_owned();
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    pub(crate) fn wait(&mut self) {
        self.child.wait().expect("it can be waited for");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A stopped process is killed all the same; one that has ended needs neither.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a file says, as one line.
pub(crate) fn line_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}
