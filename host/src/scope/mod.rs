//! Where locks live, and the order in which a hold ends.
//!
//! A lock lives in the lock table of this host, in memory. What makes it more than a table is here: the files that are bound
//! to a lock, the fences that are reserved for it on disk, and, if its scope is wider than this host, the outer lock that
//! keeps out everybody else ([`outer`]).
//!
//! A hold that its owner did not release always ends in the same three steps, whoever ends it:
//!
//! 1. the hold is taken away in the table: nothing that the old owner says counts any more, and nobody is granted yet;
//! 2. the floor of every file bound to the lock is raised above the hold's fence, which waits for a write in flight;
//! 3. the next waiter is granted, and told how the last owner ended.
//!
//! So the old owner's last record is in the file before the new owner's first, and none comes after it.

mod budget;
mod fences;
mod max_hold;
mod outer;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use lockkeeper_journal::AppendFile;
use lockkeeper_journal::counter::CounterError;
use lockkeeper_journal::machine_lock::MachineLockError;
use lockkeeper_journal::storage::make_dirs_durably;
use lockkeeper_locks::{
    AcquireError, Acquired, Array, Ask, EndCause, Fence, FenceBlock, GatePhase, Kind, Limits, Link, LockConfig, LockId,
    LockTable, Mode, Now, OwnerId, Place, Revoked, Value,
};

use crate::ids::ProcessId;
use crate::name::Name;
use crate::observe::{Event, Events, Waiting};
pub(crate) use budget::{Charge, ObjectBudget, TooMuch};
pub(crate) use fences::FenceStore;
use max_hold::MaxHolds;
use outer::keeper::GateKeeper;
use outer::machine::{self, Machine};

/// The locks of one host.
#[derive(Debug)]
pub(crate) struct ProcessScope {
    keeper: Arc<Keeper>,
    max_holds: MaxHolds,
}

/// What takes holds away, from whichever thread.
#[derive(Debug)]
struct Keeper {
    table: Arc<LockTable>,
    /// Each as long as a job or a process has it.
    locks: RwLock<HashMap<LockId, (Name, Weak<ScopedLock>)>>,
    /// Those that are held by somebody who gave up all that names them: they go with the hold.
    nameless: Mutex<HashSet<LockId>>,
    /// What the owners that are alive are called, for messages.
    names: RwLock<HashMap<OwnerId, Arc<str>>>,
    fences: Arc<FenceStore>,
    events: Events,
    /// Made with the first lock that has a gate.
    gates: OnceLock<Gates>,
    outer: OuterConfig,
}

/// The gates of a host, and where their outer locks come from.
#[derive(Debug)]
struct Gates {
    machine: Machine,
    keeper: GateKeeper,
}

/// What outer locks have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct OuterConfig {
    /// Where lock files lie of which nothing else is said.
    pub(crate) lock_dir: PathBuf,
    /// What other hosts are told this one is.
    pub(crate) run: String,
}

/// Whom a lock keeps out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LockScope {
    /// The other processes of this host; nobody else knows of it.
    #[default]
    Process,
    /// All hosts of this machine, and every program that locks the same file with `flock(2)`.
    Machine {
        /// The lock file. None: one for the lock's name, in the directory that the host has for such files.
        file: Option<PathBuf>,
        /// Whether the file may be where locks are not kept reliably, such as on NFS.
        allow_remote: bool,
    },
}

/// Why a lock is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    #[error(transparent)]
    Fences(#[from] CounterError),
    #[error(transparent)]
    Outer(#[from] MachineLockError),
    #[error("no thread can be started that keeps it: {0}")]
    Keeper(#[from] io::Error),
}

/// A lock, or another primitive, and what hangs on it. With the last of those who have it, it goes from the table.
#[derive(Debug)]
pub(crate) struct ScopedLock {
    keeper: Weak<Keeper>,
    /// The lock of a condition is there as long as that.
    _of: Option<Arc<ScopedLock>>,
    /// What it costs its job, if it was made at run time.
    _charge: Option<Charge>,
    pub(crate) id: LockId,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    /// How long one owner may hold it.
    pub(crate) max_hold: Option<Duration>,
    /// Whether somebody outside of this host may have it.
    pub(crate) has_gate: bool,
    bonds: Mutex<Bonds>,
    top_up: fences::TopUp,
    watched: max_hold::Watched,
}

/// What hangs on a lock, and how far its fences are reserved: a file has to know of both before the first of them writes.
#[derive(Debug)]
struct Bonds {
    bound: Vec<Bound>,
    fences_end: u64,
}

/// Fences of what nothing can be bound to: nobody compares them, so they need not outlive the host.
const UNBOUND: FenceBlock = FenceBlock { start: 1, end: u64::MAX };

/// What may be changed only under a lock.
#[derive(Debug)]
pub(crate) enum Bound {
    File(Weak<AppendFile>),
    Value(Weak<Value>),
    Array(Weak<Array>),
}

impl Bound {
    fn is_gone(&self) -> bool {
        match self {
            Self::File(file) => file.strong_count() == 0,
            Self::Value(value) => value.strong_count() == 0,
            Self::Array(array) => array.strong_count() == 0,
        }
    }
}

impl ScopedLock {
    fn bonds(&self) -> MutexGuard<'_, Bonds> {
        self.bonds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds a value to this lock: from here on the end of a hold is settled there before the next one begins.
    pub(crate) fn bind(&self, bound: Bound) {
        self.bonds().bound.push(bound);
    }

    /// Binds a file, which is told first which fences may come: this syncs.
    pub(crate) fn bind_file(&self, file: &Arc<AppendFile>) -> io::Result<()> {
        let end = {
            let mut bonds = self.bonds();
            // Whoever tops up the fences from here on tells the file of them.
            bonds.bound.push(Bound::File(Arc::downgrade(file)));
            bonds.fences_end
        };
        file.reserve_fences(end)
    }

    /// Tells the files which fences may come from now on, before any of them does: this syncs.
    fn reserve_fences(&self, end: u64) -> io::Result<()> {
        let files: Vec<_> = {
            let mut bonds = self.bonds();
            bonds.fences_end = bonds.fences_end.max(end);
            let file = |bound: &Bound| match bound {
                Bound::File(file) => file.upgrade(),
                Bound::Value(_) | Bound::Array(_) => None,
            };
            bonds.bound.iter().filter_map(file).collect()
        };
        files.iter().try_for_each(|file| file.reserve_fences(end))
    }

    /// Whether it is something that can be held.
    pub(crate) fn is_held(&self) -> bool {
        match self.kind {
            Kind::Mutex | Kind::RLock { .. } | Kind::RwLock { .. } | Kind::Semaphore(_) | Kind::Once => true,
            Kind::Condition { .. }
            | Kind::Event
            | Kind::Barrier { .. }
            | Kind::Latch { .. }
            | Kind::Queue(_)
            | Kind::Exit { .. } => false,
        }
    }

    fn settle(&self, above: Fence) {
        // Collected first: a write in flight is waited for, and that must not happen under a mutex of this module.
        let (mut files, mut values, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
        {
            let mut bonds = self.bonds();
            bonds.bound.retain(|bound| !bound.is_gone());
            for bound in &bonds.bound {
                match bound {
                    Bound::File(file) => files.extend(file.upgrade()),
                    Bound::Value(value) => values.extend(value.upgrade()),
                    Bound::Array(array) => arrays.extend(array.upgrade()),
                }
            }
        }
        for file in files {
            file.raise_floor(above.get().saturating_add(1));
        }
        // Whoever changes a value looks at the lock under the value's own mutex: once it was let go, nobody changes it late.
        values.iter().for_each(|value| value.settle());
        arrays.iter().for_each(|array| array.settle());
    }
}

impl Drop for ScopedLock {
    fn drop(&mut self) {
        let Some(keeper) = self.keeper.upgrade() else { return };
        if let Some(gates) = keeper.gates.get().filter(|_| self.has_gate) {
            gates.keeper.remove(self.id);
        }
        keeper.locks.write().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        let mut nameless = keeper.nameless();
        if !keeper.table.remove(self.id) {
            nameless.insert(self.id);
        }
    }
}

impl ProcessScope {
    pub(crate) fn new(limits: Limits, fences: FenceStore, outer: OuterConfig, events: Events) -> Self {
        let keeper = Arc::new(Keeper {
            table: Arc::new(LockTable::new(limits)),
            locks: RwLock::default(),
            nameless: Mutex::default(),
            names: RwLock::default(),
            fences: Arc::new(fences),
            events,
            gates: OnceLock::new(),
            outer,
        });
        Self { max_holds: MaxHolds::new(keeper.clone()), keeper }
    }

    /// The table itself, for acquiring, releasing and looking.
    pub(crate) fn table(&self) -> &Arc<LockTable> {
        &self.keeper.table
    }

    /// A lock of the table.
    pub(crate) fn lock(&self, id: LockId) -> Arc<ScopedLock> {
        let locks = self.keeper.locks.read().unwrap_or_else(PoisonError::into_inner);
        locks.get(&id).and_then(|(_, lock)| lock.upgrade()).expect("who asks has something of that lock")
    }

    /// Where the lock file of a lock is, if it has one.
    pub(crate) fn lock_file(&self, name: &Name, scope: &LockScope) -> Option<PathBuf> {
        match scope {
            LockScope::Process => None,
            LockScope::Machine { file: Some(file), .. } => Some(file.clone()),
            LockScope::Machine { file: None, .. } => Some(machine::lock_path(&self.keeper.outer.lock_dir, name)),
        }
    }

    /// Makes a lock or another primitive. If anybody compares its fences, its first block of them is reserved on disk, with
    /// none below `fences_from`.
    pub(crate) fn create(
        &self,
        name: Name,
        kind: Kind,
        scope: &LockScope,
        config: LockConfig,
        max_hold: Option<Duration>,
        fences_from: u64,
    ) -> Result<Arc<ScopedLock>, NotMade> {
        if let (LockScope::Machine { allow_remote, .. }, Some(path)) = (scope, self.lock_file(&name, scope)) {
            if let Some(dir) = path.parent().filter(|_| path.starts_with(&self.keeper.outer.lock_dir)) {
                make_dirs_durably(dir, 0o700)?;
            }
            // What hears news of lock files is open before them: of a dead process the system closes the last one first, and
            // takes milliseconds for that one, in which its locks would be held by nobody.
            let gates = self.keeper.gates()?;
            let outer = machine::open(&path, *allow_remote, &self.keeper.outer.run, fences_from)?;
            let id = self.table().create_gated(kind, config, 1);
            let none_yet = FenceBlock { start: 1, end: 1 };
            let lock = self.add(name, kind, id, max_hold, none_yet, None);
            let (outer, hears) = gates.machine.outer_lock(outer, id);
            gates.keeper.add(&lock, outer, hears);
            return Ok(lock);
        }
        let block = match kind {
            Kind::Mutex | Kind::RLock { .. } | Kind::RwLock { .. } => self.keeper.fences.reserve(&name, fences_from)?,
            _ => UNBOUND,
        };
        let id = self.table().create(kind, config, block);
        Ok(self.add(name, kind, id, max_hold, block, None))
    }

    /// Makes one at run time, to which nothing can be bound; or the end of a process, which costs nothing.
    pub(crate) fn create_unbound(&self, name: Name, kind: Kind, charge: Option<Charge>) -> Arc<ScopedLock> {
        let id = self.table().create(kind, LockConfig::default(), UNBOUND);
        self.add(name, kind, id, None, UNBOUND, charge)
    }

    fn add(
        &self,
        name: Name,
        kind: Kind,
        id: LockId,
        max_hold: Option<Duration>,
        block: FenceBlock,
        charge: Option<Charge>,
    ) -> Arc<ScopedLock> {
        let of = match kind {
            Kind::Condition { lock } => Some(self.lock(lock)),
            _ => None,
        };
        let lock = Arc::new(ScopedLock {
            keeper: Arc::downgrade(&self.keeper),
            _of: of,
            _charge: charge,
            id,
            name,
            kind,
            max_hold,
            has_gate: self.table().gate_phase(id).is_some(),
            bonds: Mutex::new(Bonds { bound: Vec::new(), fences_end: block.end }),
            top_up: fences::TopUp::default(),
            watched: max_hold::Watched::default(),
        });
        self.keeper
            .locks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, (lock.name.clone(), Arc::downgrade(&lock)));
        lock
    }

    /// After a grant: reserves more fences before the last ones are used, away from the caller's thread, and sees to it
    /// that the hold does not last too long.
    pub(crate) fn granted(&self, lock: &Arc<ScopedLock>, fence: Fence) {
        // Whoever keeps a gate sees to the fences too.
        if !lock.has_gate
            && fences::is_time_to_look(fence)
            && self.keeper.fences.is_low(self.table().fences_left(lock.id))
        {
            self.keeper.fences.top_up(self.table(), lock);
        }
        if lock.max_hold.is_some() {
            self.max_holds.watch(lock);
        }
    }

    /// Takes a lock if that needs no waiting; one that is not at home is fetched first, if it is to be had now.
    ///
    /// # Errors
    ///
    /// Those of [`LockTable::try_ask`], and of [`ProcessScope::try_fetch`].
    pub(crate) fn try_ask<T: Into<Now>>(
        &self,
        owner: OwnerId,
        lock: &Arc<ScopedLock>,
        ask: Ask,
        now: impl Fn() -> T,
    ) -> Result<Option<Acquired>, AcquireError> {
        let taken = self.table().try_ask(owner, lock.id, ask, now())?;
        if taken.is_none() && self.try_fetch(lock, ask.mode())? {
            return self.table().try_ask(owner, lock.id, ask, now());
        }
        Ok(taken)
    }

    /// For who asks in passing: fetches a lock that is not at home, if that is to be had now. Says whether it is worth asking
    /// again.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Unavailable`] if it cannot be had at all.
    pub(crate) fn try_fetch(&self, lock: &Arc<ScopedLock>, mode: Mode) -> Result<bool, AcquireError> {
        let Some(gates) = self.keeper.gates.get().filter(|_| lock.has_gate) else { return Ok(false) };
        gates.keeper.try_fetch(lock, mode)?;
        Ok(matches!(self.table().gate_phase(lock.id), Some(GatePhase::Home(_))))
    }

    /// Takes a hold away and grants the next waiter. With `expect`, only if the hold still has that fence. Answers the
    /// fence of the hold that was ended.
    pub(crate) fn revoke(&self, lock: &ScopedLock, expect: Option<Fence>, how: EndCause) -> Option<Fence> {
        self.keeper.revoke(lock, expect, how)
    }

    /// An owner begins to run in a place.
    pub(crate) fn begin_owner(&self, owner: OwnerId, name: Arc<str>, place: Place) {
        self.table().place_owner(owner, place);
        self.keeper.names.write().unwrap_or_else(PoisonError::into_inner).insert(owner, name);
    }

    /// Forgets an owner that has ended and can make no more calls.
    pub(crate) fn forget_owner(&self, owner: OwnerId) {
        self.table().forget_owner(owner);
        self.keeper.names.write().unwrap_or_else(PoisonError::into_inner).remove(&owner);
    }

    /// A circle of owners with the names that people know.
    pub(crate) fn named(&self, circle: &[Link], now: Instant) -> Vec<Waiting> {
        let locks = self.keeper.locks.read().unwrap_or_else(PoisonError::into_inner);
        let names = self.keeper.names.read().unwrap_or_else(PoisonError::into_inner);
        // Whoever had it may have ended since.
        let lock = |id| locks.get(&id).map_or_else(Name::gone, |(name, _)| name.clone());
        let named = circle.iter().map(|link| Waiting {
            process: ProcessId::from(link.owner),
            name: names.get(&link.owner).cloned().unwrap_or_default(),
            holds: lock(link.holds),
            held_as: link.held_as,
            held_for: now.saturating_duration_since(link.since),
            waits_for: lock(link.waits_for),
            asks_as: link.asks_as,
        });
        named.collect()
    }

    /// Ends an owner: its waits are cancelled, its holds taken away, their files settled, the next waiters granted.
    pub(crate) fn end_owner(&self, owner: OwnerId, how: EndCause) {
        let ended = self.table().begin_end(owner, how);
        for revoked in &ended.holds {
            self.keeper.settle(revoked, how);
        }
        let held: Vec<_> = ended.holds.iter().map(|revoked| revoked.lock).collect();
        self.table().finish_end(ended, Instant::now());
        self.keeper.remove_nameless(&held);
    }
}

impl Keeper {
    fn nameless(&self) -> MutexGuard<'_, HashSet<LockId>> {
        self.nameless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes those of these locks that nobody can name and, by now, nobody holds.
    fn remove_nameless(&self, locks: &[LockId]) {
        if !locks.is_empty() {
            self.nameless().retain(|lock| !(locks.contains(lock) && self.table.remove(*lock)));
        }
    }

    fn gates(&self) -> io::Result<&Gates> {
        if let Some(gates) = self.gates.get() {
            return Ok(gates);
        }
        let machine = Machine::new();
        let keeper = GateKeeper::start(&self.table, &self.events, Box::new(machine.clone()))?;
        // Of two that were made at once, one has no locks, and ends.
        Ok(self.gates.get_or_init(|| Gates { machine, keeper }))
    }

    fn revoke(&self, lock: &ScopedLock, expect: Option<Fence>, how: EndCause) -> Option<Fence> {
        let revoked = self.table.begin_revoke(lock.id, expect, how)?;
        let fence = revoked.fence;
        self.settle(&revoked, how);
        self.table.finish_revoke(revoked, Instant::now());
        Some(fence)
    }

    fn settle(&self, revoked: &Revoked, how: EndCause) {
        let lock = self
            .locks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&revoked.lock)
            .and_then(|(_, lock)| lock.upgrade());
        // Nothing is bound to what nobody can name any more.
        if let Some(lock) = &lock {
            lock.settle(revoked.fence);
        }
        self.events.emit(|| Event::HoldEnded {
            process: ProcessId::from(revoked.owner),
            lock: lock.as_ref().map_or_else(Name::gone, |lock| lock.name.clone()),
            fence: revoked.fence.get(),
            how,
        });
    }
}
