//! The host as embedders see it: made, given programs and jobs, and shut down.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_journal::storage::{Disk, LocalDisk};

use crate::blocking;
use crate::engine::{EngineConfig, Engines, NoRoom, Profile, StackGuards};
use crate::host::Host;
use crate::host_interfaces::HostInterfaces;
use crate::job::{Job, JobError, JobSpec, SpawnError};
use crate::observe::{Events, Observer};
use crate::process::ProcessSpec;
use crate::program::{Cache, Inspection, Program, ProgramError};
use crate::scope::{FenceStore, OuterConfig, ProcessScope};
use crate::shard::{ShardThreads, Shards, Ticker};

/// How a host is set up.
#[derive(Clone, Default)]
pub struct RuntimeConfig {
    /// Shards, which are threads that run processes. 0: one per core.
    pub shards: usize,
    /// Where compiled programs are kept. None: every start compiles.
    pub cache_dir: Option<PathBuf>,
    /// Where the host remembers how far the fences of each lock name have gone. It is made when the first lock is; a
    /// host without locks needs none. Fences never go back as long as this directory is kept.
    pub state_dir: PathBuf,
    /// Where the lock files lie of locks that all hosts of the machine share ([`LockScope::Machine`](crate::LockScope)), if
    /// nothing else is said of them. None: `locks` in `state_dir`. Hosts with different directories know nothing of each
    /// other's locks.
    pub lock_dir: Option<PathBuf>,
    /// What people are told this host is who look at such a lock, for example its command line.
    pub run_name: String,
    /// Limits of the lock table.
    pub lock_limits: lockkeeper_locks::Limits,
    /// How the processes of programs are kept. None: as [`Profile::Image`] if it is known that they will be few (see
    /// `expected`), and otherwise by what they begin with: large ones as [`Profile::Image`], others as [`Profile::Dense`].
    pub profile: Option<Profile>,
    /// How many processes there will be at once, at most. None: not known, so as many as there is room for.
    pub expected: Option<usize>,
    /// How many processes of [`Profile::Image`] there can be at once, which reserves addresses for each. None: 1,000, or as
    /// many as the system allows.
    pub image_processes: Option<usize>,
    /// The stack of a process of [`Profile::Dense`] in WebAssembly, in bytes. None: 512 KiB. It costs the memory that a
    /// process uses of it, and addresses.
    pub dense_stack_bytes: Option<usize>,
    /// The stack of a process of [`Profile::Image`] in WebAssembly, in bytes. None: 2 MiB. Twice as much is reserved of the
    /// host's addresses.
    pub image_stack_bytes: Option<usize>,
    /// Whether what a process of [`Profile::Image`] needs of the system is mapped when it starts, and not taken from a pool.
    /// The host is there some milliseconds sooner, as a pool for 1,000 processes takes that long to make; a process starts
    /// later by what its mappings take.
    pub image_on_demand: bool,
    /// How the guards under stacks of [`Profile::Dense`], or of what is mapped on demand, are kept.
    pub stack_guards: StackGuards,
    /// Who is told of what happens.
    pub observer: Option<Observer>,
    /// The disk that append files and what lies beside them are on, for tests, or for storage of your own. None: that of
    /// this machine. The memory of fences is on that of this machine in any case.
    pub disk: Option<Arc<dyn Disk>>,
    /// What programs may import beside WASI and this package.
    pub host_interfaces: HostInterfaces,
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine refuses this machine or this configuration.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// A host interface of the embedder cannot be there beside what this host has.
    #[error("a host interface cannot be added: {0}")]
    HostInterface(String),
    /// A thread could not be started.
    #[error("a thread of the host does not start: {0}")]
    Thread(#[from] io::Error),
    /// The cache cannot be used.
    #[error("the cache directory {} cannot be used: {source}; choose another one", dir.display())]
    Cache {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A host that runs processes. Dropping it shuts it down.
pub struct Runtime {
    host: Arc<Host>,
    engines: Arc<Engines>,
    profile: Option<Profile>,
    cache: Option<Cache>,
    shards: Option<ShardThreads>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts a host.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let engines = Arc::new(Engines::new(EngineConfig {
            guards: config.stack_guards,
            dense_stack_bytes: config.dense_stack_bytes,
            image_stack_bytes: config.image_stack_bytes,
            image_processes: config.image_processes,
            image_on_demand: config.image_on_demand,
            expected: config.expected,
            host_interfaces: config.host_interfaces,
        }));
        engines.check_host_interfaces().map_err(|error| RuntimeError::HostInterface(format!("{error:#}")))?;
        // An engine is made when there is a program for it; the one that was asked for had better be possible.
        if let Some(profile) = config.profile {
            engines.get(profile).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        }
        let cache = match &config.cache_dir {
            Some(dir) => Some(Cache::open(dir).map_err(|source| RuntimeError::Cache { dir: dir.clone(), source })?),
            None => None,
        };
        let events = Events::new(config.observer);
        let lock_dir = config.lock_dir.unwrap_or_else(|| config.state_dir.join("locks"));
        let own_dirs = config.cache_dir.into_iter().chain([config.state_dir.clone(), lock_dir.clone()]).collect();
        let fences = FenceStore::new(config.state_dir);
        let count = match config.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (shards, threads) = Shards::start(count)?;
        let scope = ProcessScope::new(
            config.lock_limits,
            fences,
            OuterConfig { lock_dir, run: config.run_name },
            events.clone(),
        );
        let ticking = engines.clone();
        let tick = move || ticking.increment_epochs();
        let disk = config.disk.unwrap_or_else(|| Arc::new(LocalDisk));
        let ticker = Ticker::start(tick)?;
        let host = Host::new(scope, events, own_dirs, disk, engines.clone(), shards, ticker);
        Ok(Self { host: Arc::new(host), engines, profile: config.profile, cache, shards: Some(threads) })
    }

    pub(crate) fn engines(&self) -> &Arc<Engines> {
        &self.engines
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    pub(crate) fn profile(&self) -> Option<Profile> {
        self.profile
    }

    /// What a program imports, also when it cannot be run here.
    pub fn inspect(&self, path: &Path) -> Result<Inspection, ProgramError> {
        crate::program::inspect(&self.engines, self.profile, self.cache.as_ref(), path)
    }

    /// How many threads this host runs processes on: one per core, unless [`RuntimeConfig::shards`] says otherwise.
    pub fn shards(&self) -> usize {
        self.shards.as_ref().map_or(0, ShardThreads::count)
    }

    /// How many processes of a profile this host has room for at once, whatever they do.
    pub fn room(&self, profile: Profile) -> Result<usize, RuntimeError> {
        let kind = self.engines.get(profile).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        Ok(kind.room.processes_max())
    }

    /// Whether so many processes of a program can be there at once that hold so many files open each (a directory counts as
    /// one, and inputs do together), as far as that can be said before they run: whether the engine has room, the system
    /// memory, and this host open files.
    pub fn check_room(&self, program: &Program, processes: usize, files_each: usize) -> Result<(), NoRoom> {
        program.room.check(processes, files_each)
    }

    /// Whether a process could be started in a job, as far as that can be said before the job is opened, which may empty
    /// files: whether it is granted what the job has, and no directory that leads past the host.
    pub fn check(&self, job: &JobSpec, process: &ProcessSpec) -> Result<(), SpawnError> {
        crate::job::check(job, process, &self.host.own_dirs)
    }

    /// Opens a job: its locks are made and its files opened, for the processes that are then started in it.
    pub fn job(&self, spec: JobSpec) -> Result<Job, JobError> {
        Job::open(&self.host, spec)
    }

    /// Ends everything. From here on nobody is granted a lock; who waits for one is told `cancelled`. Processes that do
    /// not end within `grace` are ended; plugins end by themselves once they have answered. Returns when the last one is
    /// over, its appends settled; but on a thread that runs processes, which a host interface is called on, at once.
    pub fn shut_down(&self, grace: Duration) {
        let host = self.host.clone();
        elsewhere_if_on_shard(move || host.shut_down(grace));
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let (host, threads) = (self.host.clone(), self.shards.take());
        elsewhere_if_on_shard(move || {
            host.shut_down(Duration::ZERO);
            if let Some(threads) = threads {
                threads.join();
            }
        });
    }
}

/// Does what waits for processes, on a thread of its own if this one runs some of them.
fn elsewhere_if_on_shard(work: impl FnOnce() + Send + 'static) {
    if blocking::check().is_ok() {
        return work();
    }
    let thread = std::thread::Builder::new().name("lockkeeper-end".into()).spawn(work);
    if let Err(error) = thread {
        // The processes go on; whoever asked for the end may ask again.
        tracing::error!("the host cannot be shut down from here: {error}");
    }
}
