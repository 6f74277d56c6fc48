//! What the jobs of a host share: its locks, its shards, and the processes that are alive on them.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lockkeeper_journal::storage::Disk;

use crate::engine::Engines;
use crate::ids::ProcessId;
use crate::observe::Events;
use crate::process::Prepared;
use crate::process::control::{Control, Stop};
use crate::scope::ProcessScope;
use crate::shard::{Run, Shards, Ticker};

/// What the jobs of a host share.
pub(crate) struct Host {
    pub(crate) scope: Arc<ProcessScope>,
    pub(crate) events: Events,
    /// Directories of the host's own: a guest that could write there could make itself another program, or turn fences
    /// back.
    pub(crate) own_dirs: Vec<PathBuf>,
    /// Where the append files are.
    pub(crate) disk: Arc<dyn Disk>,
    /// Those of its programs.
    pub(crate) engines: Arc<Engines>,
    /// None once the host shuts down: nothing new starts then.
    shards: Mutex<Option<Shards>>,
    pub(crate) ticker: Ticker,
    alive: Mutex<HashMap<ProcessId, Arc<Control>>>,
    nobody_alive: Condvar,
    next_process: AtomicU64,
}

/// The host does not start processes any more.
#[derive(Debug)]
pub(crate) struct ShuttingDown;

impl Host {
    pub(crate) fn new(
        scope: ProcessScope,
        events: Events,
        own_dirs: Vec<PathBuf>,
        disk: Arc<dyn Disk>,
        engines: Arc<Engines>,
        shards: Shards,
        ticker: Ticker,
    ) -> Self {
        Self {
            scope: Arc::new(scope),
            events,
            own_dirs,
            disk,
            engines,
            shards: Mutex::new(Some(shards)),
            ticker,
            alive: Mutex::default(),
            nobody_alive: Condvar::new(),
            next_process: AtomicU64::new(1),
        }
    }

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
        prepared: Box<Prepared>,
    ) -> Result<(), ShuttingDown> {
        // Held to the end, so that a shutdown sees this process or prevents it.
        let shards = self.shards();
        let Some(shards) = shards.as_ref() else {
            prepared.watch.end(prepared.state.id());
            // Whoever was to wait for its end has made it known to the table.
            self.scope.table().forget_owner(prepared.state.owner());
            return Err(ShuttingDown);
        };
        let (id, control, watch) = (prepared.state.id(), prepared.control.clone(), prepared.watch.clone());
        let started = Instant::now();
        let deadline = prepared.timeout.and_then(|timeout| started.checked_add(timeout));
        self.alive().insert(id, control.clone());
        self.ticker.begin(id, &control, deadline);
        let host = self.clone();
        let exit_lock = prepared.exit.clone();
        let run = move |load| -> Run {
            Box::pin(async move {
                let exit = Arc::new(crate::process::run(prepared, started).await);
                control.publish(exit);
                if let Some(lock) = exit_lock {
                    host.scope.table().end_exit(lock.id);
                }
                watch.end(id);
                host.ticker.end(id, &control, deadline);
                let mut alive = host.alive();
                alive.remove(&id);
                if alive.is_empty() {
                    host.nobody_alive.notify_all();
                }
                drop(alive);
                drop(load);
            })
        };
        shards.spawn(place(shards), run);
        Ok(())
    }

    /// Ends these processes, as nothing else could.
    pub(crate) fn stop_stalled(&self, processes: impl Iterator<Item = ProcessId>) {
        let alive = self.alive();
        processes.filter_map(|process| alive.get(&process)).for_each(|control| control.stop(Stop::Stalled));
    }

    /// Ends everything, as [`crate::Runtime::shut_down`] says. A grace too long to be counted never ends.
    pub(crate) fn shut_down(&self, grace: Duration) {
        drop(self.shards().take());
        // Before the locks are: who fails because it is granted nothing must know that it was not its own doing.
        self.alive().values().for_each(|control| control.host_ends());
        self.scope.table().shut_down();
        let deadline = Instant::now().checked_add(grace);
        let mut alive = self.alive();
        while !alive.is_empty() {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            alive = self.nobody_alive.wait_timeout(alive, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        alive.values().for_each(|control| control.stop(Stop::ShutDown));
        while !alive.is_empty() {
            alive = self.nobody_alive.wait(alive).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
