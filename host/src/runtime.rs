//! The host as embedders see it: made, given programs and jobs, and shut down.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_journal::storage::{Disk, LocalDisk};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

use crate::host::Host;
use crate::job::{Job, JobError, JobSpec, SpawnError};
use crate::observe::{Events, Observer};
use crate::process::{ProcessSpec, ProcessState};
use crate::program::{Cache, Inspection, Program, ProgramError};
use crate::scope::{FenceStore, ProcessScope};
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
    /// Limits of the lock table.
    pub lock_limits: lockkeeper_locks::Limits,
    /// Who is told of what happens.
    pub observer: Option<Observer>,
    /// The disk that append files and what lies beside them are on, for tests, or for storage of your own. None: that of
    /// this machine. The memory of fences is on that of this machine in any case.
    pub disk: Option<Arc<dyn Disk>>,
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine refuses this machine or this configuration.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
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
    linker: Linker<ProcessState>,
    cache: Option<Cache>,
    shards: Option<ShardThreads>,
}

/// The stack of a process in WebAssembly. The default of the engine, stated because a guest can see it.
const WASM_STACK_BYTES: usize = 512 << 10;

/// The stack of a process and of the host's functions that it calls.
const STACK_BYTES: usize = 2 << 20;

impl Runtime {
    /// Starts a host.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let engine_error = |error: wasmtime::Error| RuntimeError::Engine(format!("{error:#}"));
        let mut engine_config = Config::new();
        engine_config
            .concurrency_support(false)
            .epoch_interruption(true)
            .max_wasm_stack(WASM_STACK_BYTES)
            .async_stack_size(STACK_BYTES);
        let engine = Engine::new(&engine_config).map_err(engine_error)?;
        let mut linker = Linker::new(&engine);
        crate::guest_api::add_to_linker(&mut linker).map_err(engine_error)?;
        let cache = match &config.cache_dir {
            Some(dir) => Some(Cache::open(dir).map_err(|source| RuntimeError::Cache { dir: dir.clone(), source })?),
            None => None,
        };
        let events = Events::new(config.observer);
        let own_dirs = config.cache_dir.into_iter().chain([config.state_dir.clone()]).collect();
        let fences = FenceStore::new(config.state_dir);
        let count = match config.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (shards, threads) = Shards::start(count)?;
        let scope = ProcessScope::new(config.lock_limits, fences, events.clone());
        let disk = config.disk.unwrap_or_else(|| Arc::new(LocalDisk));
        let host = Host::new(scope, events, own_dirs, disk, shards, Ticker::start(engine)?);
        Ok(Self { host: Arc::new(host), linker, cache, shards: Some(threads) })
    }

    /// Loads a program: a component that exports `wasi:cli/run`, or a core module of WASI 0.1. Compiles it unless that
    /// was done before.
    pub fn load(&self, path: &Path) -> Result<Program, ProgramError> {
        Program::load(&self.linker, self.cache.as_ref(), path)
    }

    /// What a program imports, also when it cannot be run here.
    pub fn inspect(&self, path: &Path) -> Result<Inspection, ProgramError> {
        crate::program::inspect(self.linker.engine(), self.cache.as_ref(), path)
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
    /// not end within `grace` are ended. Returns when the last one is over, its appends settled.
    pub fn shut_down(&self, grace: Duration) {
        self.host.shut_down(grace);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.host.shut_down(Duration::ZERO);
        if let Some(threads) = self.shards.take() {
            threads.join();
        }
    }
}
