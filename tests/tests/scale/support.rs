//! Hosts without an observer, which would remember every process; and what the system says of this one.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lockkeeper::{Job, JobSpec, LockLimits, LockSpec, ProcessSpec, Program, Runtime, RuntimeConfig};
use lockkeeper_tests::{guest, workspace};
use tempfile::TempDir;

/// A host whose events nobody keeps.
pub(crate) struct Quiet {
    pub(crate) runtime: Runtime,
    pub(crate) dir: TempDir,
}

impl Quiet {
    pub(crate) fn new() -> Self {
        Self::configured(|_| {})
    }

    pub(crate) fn configured(configure: impl FnOnce(&mut RuntimeConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = RuntimeConfig {
            cache_dir: Some(workspace().join("target/guests/compiled")),
            state_dir: dir.path().join("state"),
            lock_limits: LockLimits { waiters_per_lock_max: 1 << 20, ..LockLimits::default() },
            ..RuntimeConfig::default()
        };
        configure(&mut config);
        Self { runtime: Runtime::new(config).expect("a host"), dir }
    }

    pub(crate) fn program(&self, name: &str) -> Program {
        Program::from_file(&self.runtime, guest(name)).expect("a program")
    }

    /// A program written in the test.
    pub(crate) fn text(&self, name: &str, text: &str) -> Program {
        let path: PathBuf = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        Program::from_file(&self.runtime, &path).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn job(&self) -> Job {
        let locks = vec![LockSpec { name: "a".to_owned(), ..LockSpec::default() }];
        self.runtime.job(JobSpec { locks, ..JobSpec::default() }).expect("a job")
    }
}

/// A process that may name the lock, and prints to nobody.
pub(crate) fn quiet(args: &[&str]) -> ProcessSpec {
    ProcessSpec {
        name: "one".to_owned(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        locks: vec!["a".to_owned()],
        ..ProcessSpec::default()
    }
}

static TURNS: RwLock<()> = RwLock::new(());

/// The turn of a test that looks at what this system process takes: no other test runs meanwhile.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().unwrap_or_else(PoisonError::into_inner)
}

/// The turn of any other test.
pub(crate) fn beside_others() -> RwLockReadGuard<'static, ()> {
    TURNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// What this process takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) resident: u64,
    pub(crate) page_tables: u64,
    pub(crate) mappings: usize,
}

pub(crate) fn taken() -> Taken {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux tells");
        let kib = line.trim_start_matches(':').trim().strip_suffix(" kB").expect("in KiB");
        kib.parse::<u64>().expect("a number") << 10
    };
    let mappings = std::fs::read_to_string("/proc/self/maps").expect("Linux tells").lines().count();
    Taken { resident: of("VmRSS"), page_tables: of("VmPTE"), mappings }
}
