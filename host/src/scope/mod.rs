//! Where locks live, and the order in which a hold ends.
//!
//! Only process scope exists: the lock table of this host, in memory. What makes it more than a table is here: the
//! files that are bound to a lock, and the fences that are reserved for it on disk.
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

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use lockkeeper_journal::AppendFile;
use lockkeeper_journal::counter::CounterError;
use lockkeeper_locks::{
    Array, EndCause, Fence, FenceBlock, Kind, Limits, Link, LockConfig, LockId, LockTable, OwnerId, Place, Revoked,
    Value,
};

use crate::ids::ProcessId;
use crate::name::Name;
use crate::observe::{Event, Events, Waiting};
pub(crate) use budget::{Charge, ObjectBudget, TooMuch};
pub(crate) use fences::FenceStore;
use max_hold::MaxHolds;

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
    /// Those that nobody knows any more but who holds them: they go with their holders.
    orphans: Mutex<HashSet<LockId>>,
    /// What the owners that are alive are called, for messages.
    names: RwLock<HashMap<OwnerId, Arc<str>>>,
    fences: Arc<FenceStore>,
    events: Events,
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
        let mut locks = keeper.locks.write().unwrap_or_else(PoisonError::into_inner);
        locks.remove(&self.id);
        if !keeper.table.remove(self.id) {
            // A process may let go of the last name of what it holds.
            keeper.orphans().insert(self.id);
        }
    }
}

impl ProcessScope {
    pub(crate) fn new(limits: Limits, fences: FenceStore, events: Events) -> Self {
        let keeper = Arc::new(Keeper {
            table: Arc::new(LockTable::new(limits)),
            locks: RwLock::default(),
            orphans: Mutex::default(),
            names: RwLock::default(),
            fences: Arc::new(fences),
            events,
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

    /// Makes a lock or another primitive. If anybody compares its fences, its first block of them is reserved on disk, with
    /// none below `fences_from`.
    pub(crate) fn create(
        &self,
        name: Name,
        kind: Kind,
        config: LockConfig,
        max_hold: Option<Duration>,
        fences_from: u64,
    ) -> Result<Arc<ScopedLock>, CounterError> {
        let block = match kind {
            Kind::Mutex | Kind::RLock { .. } | Kind::RwLock { .. } => self.keeper.fences.reserve(&name, fences_from)?,
            _ => UNBOUND,
        };
        Ok(self.add(name, kind, config, max_hold, block, None))
    }

    /// Makes one at run time, to which nothing can be bound; or the end of a process, which costs nothing.
    pub(crate) fn create_unbound(&self, name: Name, kind: Kind, charge: Option<Charge>) -> Arc<ScopedLock> {
        self.add(name, kind, LockConfig::default(), None, UNBOUND, charge)
    }

    fn add(
        &self,
        name: Name,
        kind: Kind,
        config: LockConfig,
        max_hold: Option<Duration>,
        block: FenceBlock,
        charge: Option<Charge>,
    ) -> Arc<ScopedLock> {
        let of = match kind {
            Kind::Condition { lock } => Some(self.lock(lock)),
            _ => None,
        };
        let id = self.table().create(kind, config, block);
        let lock = Arc::new(ScopedLock {
            keeper: Arc::downgrade(&self.keeper),
            _of: of,
            _charge: charge,
            id,
            name,
            kind,
            max_hold,
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
        if fences::is_time_to_look(fence) && self.keeper.fences.is_low(self.table().fences_left(lock.id)) {
            self.keeper.fences.top_up(self.table(), lock);
        }
        if lock.max_hold.is_some() {
            self.max_holds.watch(lock);
        }
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
        let known = |revoked: &&Revoked| self.keeper.settle(revoked, how);
        let unknown: Vec<LockId> = ended.holds.iter().filter(|revoked| !known(revoked)).map(|held| held.lock).collect();
        self.table().finish_end(ended, Instant::now());
        if !unknown.is_empty() {
            // Another one may still have it, who comes here too.
            self.keeper.orphans().retain(|lock| !unknown.contains(lock) || !self.table().remove(*lock));
        }
    }
}

impl Keeper {
    fn revoke(&self, lock: &ScopedLock, expect: Option<Fence>, how: EndCause) -> Option<Fence> {
        let revoked = self.table.begin_revoke(lock.id, expect, how)?;
        let fence = revoked.fence;
        self.settle(&revoked, how);
        self.table.finish_revoke(revoked, Instant::now());
        Some(fence)
    }

    fn orphans(&self) -> MutexGuard<'_, HashSet<LockId>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody knows the lock beside who held it: nothing hangs on it otherwise.
    fn settle(&self, revoked: &Revoked, how: EndCause) -> bool {
        let lock = self
            .locks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&revoked.lock)
            .and_then(|(_, lock)| lock.upgrade());
        let Some(lock) = lock else { return false };
        lock.settle(revoked.fence);
        self.events.emit(|| Event::HoldEnded {
            process: ProcessId::from(revoked.owner),
            lock: lock.name.clone(),
            fence: revoked.fence.get(),
            how,
        });
        true
    }
}
