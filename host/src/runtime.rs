//! The host as a whole: engine, shards, clock, locks, and the processes that are alive.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

use crate::job::{Job, JobError, JobSpec};
use crate::observe::{Events, Observer};
use crate::process::control::{Control, Stop};
use crate::process::{Prepared, ProcessId, ProcessState};
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
    shared: Arc<RuntimeShared>,
    linker: Linker<ProcessState>,
    cache: Option<Cache>,
    shards: Option<ShardThreads>,
}

/// What the jobs of a host share.
pub(crate) struct RuntimeShared {
    pub(crate) scope: Arc<ProcessScope>,
    pub(crate) events: Events,
    pub(crate) engine: Engine,
    /// None once the host shuts down: nothing new starts then.
    shards: Mutex<Option<Shards>>,
    ticker: Ticker,
    alive: Mutex<HashMap<ProcessId, Arc<Control>>>,
    nobody_alive: Condvar,
    next_process: AtomicU64,
}

/// The host does not start processes any more.
#[derive(Debug)]
pub(crate) struct ShuttingDown;

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
        let fences = FenceStore::new(config.state_dir);
        let count = match config.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (shards, threads) = Shards::start(count)?;
        let shared = RuntimeShared {
            scope: Arc::new(ProcessScope::new(config.lock_limits, fences, events.clone())),
            events,
            ticker: Ticker::start(engine.clone())?,
            engine,
            shards: Mutex::new(Some(shards)),
            alive: Mutex::default(),
            nobody_alive: Condvar::new(),
            next_process: AtomicU64::new(1),
        };
        Ok(Self { shared: Arc::new(shared), linker, cache, shards: Some(threads) })
    }

    /// Loads a program: a component that exports `wasi:cli/run`, or a core module of WASI 0.1. Compiles it unless that
    /// was done before.
    pub fn load(&self, path: &Path) -> Result<Program, ProgramError> {
        Program::load(&self.linker, self.cache.as_ref(), path)
    }

    /// What a program imports, also when it cannot be run here.
    pub fn inspect(&self, path: &Path) -> Result<Inspection, ProgramError> {
        crate::program::inspect(&self.shared.engine, self.cache.as_ref(), path)
    }

    /// Opens a job: its locks are made and its files opened, for the processes that are then started in it.
    pub fn job(&self, spec: JobSpec) -> Result<Job, JobError> {
        Job::open(&self.shared, spec)
    }

    /// Ends everything. From here on nobody is granted a lock; who waits for one is told `cancelled`. Processes that do
    /// not end within `grace` are ended. Returns when the last one is over, its appends settled.
    pub fn shut_down(&self, grace: Duration) {
        self.shared.shut_down(grace);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.shut_down(Duration::ZERO);
        if let Some(threads) = self.shards.take() {
            threads.join();
        }
    }
}

impl RuntimeShared {
    fn alive(&self) -> MutexGuard<'_, HashMap<ProcessId, Arc<Control>>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shards(&self) -> MutexGuard<'_, Option<Shards>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_process(&self) -> ProcessId {
        let number = self.next_process.fetch_add(1, Ordering::Relaxed);
        ProcessId::new(NonZeroU64::new(number).expect("2^64 processes are never started"))
    }

    /// Starts a process on the shard that `place` chooses.
    pub(crate) fn start(
        self: &Arc<Self>,
        place: impl FnOnce(&Shards) -> usize,
        prepared: Prepared,
    ) -> Result<(), ShuttingDown> {
        // Held to the end, so that a shutdown sees this process or prevents it.
        let shards = self.shards();
        let Some(shards) = shards.as_ref() else {
            return Err(ShuttingDown);
        };
        let (id, control) = (prepared.state.id(), prepared.control.clone());
        let deadline = prepared.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.alive().insert(id, control.clone());
        self.ticker.begin(&control, deadline);
        let host = self.clone();
        shards.spawn(place(shards), move || async move {
            control.publish(Arc::new(crate::process::run(prepared).await));
            host.ticker.end();
            let mut alive = host.alive();
            alive.remove(&id);
            if alive.is_empty() {
                host.nobody_alive.notify_all();
            }
        });
        Ok(())
    }

    fn shut_down(&self, grace: Duration) {
        drop(self.shards().take());
        self.scope.table().shut_down();
        let deadline = Instant::now().checked_add(grace);
        let mut alive = self.alive();
        while !alive.is_empty() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                break;
            };
            alive = self.nobody_alive.wait_timeout(alive, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        alive.values().for_each(|control| control.stop(Stop::ShutDown));
        while !alive.is_empty() {
            alive = self.nobody_alive.wait(alive).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
