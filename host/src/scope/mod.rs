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

mod fences;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Instant;

use lockkeeper_journal::AppendFile;
use lockkeeper_journal::counter::CounterError;
use lockkeeper_locks::{EndCause, Fence, Limits, Link, LockId, LockTable, MutexConfig, OwnerId, Revoked};

use crate::ids::ProcessId;
use crate::name::Name;
use crate::observe::{Event, Events, Waiting};
pub(crate) use fences::FenceStore;

/// The locks of one host.
#[derive(Debug)]
pub(crate) struct ProcessScope {
    table: Arc<LockTable>,
    locks: RwLock<HashMap<LockId, Arc<ScopedLock>>>,
    /// What the owners that are alive are called, for messages.
    names: RwLock<HashMap<OwnerId, Arc<str>>>,
    fences: Arc<FenceStore>,
    events: Events,
}

/// A lock and what hangs on it.
#[derive(Debug)]
pub(crate) struct ScopedLock {
    pub(crate) id: LockId,
    pub(crate) name: Name,
    bound: Mutex<Vec<Weak<AppendFile>>>,
    top_up: fences::TopUp,
}

impl ScopedLock {
    /// Binds a file to this lock: from here on the end of a hold raises the file's floor.
    pub(crate) fn bind(&self, file: &Arc<AppendFile>) {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(file));
    }

    fn raise_floors(&self, above: Fence) {
        // Collected first: a write in flight is waited for, and that must not happen under a mutex of this module.
        let files: Vec<_> = {
            let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
            bound.retain(|file| file.strong_count() > 0);
            bound.iter().filter_map(Weak::upgrade).collect()
        };
        for file in files {
            file.raise_floor(above.get().saturating_add(1));
        }
    }
}

impl ProcessScope {
    pub(crate) fn new(limits: Limits, fences: FenceStore, events: Events) -> Self {
        Self {
            table: Arc::new(LockTable::new(limits)),
            locks: RwLock::default(),
            names: RwLock::default(),
            fences: Arc::new(fences),
            events,
        }
    }

    /// The table itself, for acquiring, releasing and looking.
    pub(crate) fn table(&self) -> &Arc<LockTable> {
        &self.table
    }

    /// Makes a mutex. Reserves its first block of fences on disk.
    pub(crate) fn create_mutex(&self, name: Name, config: MutexConfig) -> Result<Arc<ScopedLock>, CounterError> {
        let block = self.fences.reserve(&name)?;
        let id = self.table.create_mutex(config, block);
        let lock = Arc::new(ScopedLock { id, name, bound: Mutex::default(), top_up: fences::TopUp::default() });
        self.locks.write().unwrap_or_else(PoisonError::into_inner).insert(id, lock.clone());
        Ok(lock)
    }

    /// Reserves more fences before the last ones are used, away from the caller's thread.
    pub(crate) fn keep_fences(&self, lock: &Arc<ScopedLock>) {
        if self.fences.is_low(self.table.fences_left(lock.id)) {
            self.fences.top_up(&self.table, lock);
        }
    }

    /// Takes a hold away and grants the next waiter. With `expect`, only if the hold still has that fence. Answers the
    /// fence of the hold that was ended.
    pub(crate) fn revoke(&self, lock: &ScopedLock, expect: Option<Fence>, how: EndCause) -> Option<Fence> {
        let revoked = self.table.begin_revoke(lock.id, expect, how)?;
        let fence = revoked.fence;
        self.settle(&revoked, how);
        self.table.finish_revoke(revoked, Instant::now());
        Some(fence)
    }

    /// An owner begins.
    pub(crate) fn begin_owner(&self, owner: OwnerId, name: Arc<str>) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(owner, name);
    }

    /// Forgets an owner that has ended and can make no more calls.
    pub(crate) fn forget_owner(&self, owner: OwnerId) {
        self.table.forget_owner(owner);
        self.names.write().unwrap_or_else(PoisonError::into_inner).remove(&owner);
    }

    /// A circle of owners with the names that people know.
    pub(crate) fn named(&self, circle: &[Link], now: Instant) -> Vec<Waiting> {
        let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let lock = |id| locks.get(&id).map(|lock| lock.name.clone()).expect("every lock of the table was made here");
        let named = circle.iter().map(|link| Waiting {
            process: ProcessId::from(link.owner),
            name: names.get(&link.owner).cloned().unwrap_or_default(),
            holds: lock(link.holds),
            held_for: now.saturating_duration_since(link.since),
            waits_for: lock(link.waits_for),
        });
        named.collect()
    }

    /// Ends an owner: its waits are cancelled, its holds taken away, their files settled, the next waiters granted.
    pub(crate) fn end_owner(&self, owner: OwnerId, how: EndCause) {
        let ended = self.table.begin_end(owner, how);
        for revoked in &ended.holds {
            self.settle(revoked, how);
        }
        self.table.finish_end(ended, Instant::now());
    }

    fn settle(&self, revoked: &Revoked, how: EndCause) {
        let lock = self.locks.read().unwrap_or_else(PoisonError::into_inner).get(&revoked.lock).cloned();
        let lock = lock.expect("every lock of the table was made here");
        lock.raise_floors(revoked.fence);
        self.events.emit(|| Event::HoldEnded {
            process: ProcessId::from(revoked.owner),
            lock: lock.name.clone(),
            fence: revoked.fence.get(),
            how,
        });
    }
}
