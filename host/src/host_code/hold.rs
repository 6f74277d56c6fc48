//! A lock that host code holds.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lockkeeper_locks::{Acquired, Ask, EndCause, Fence, Previous, ReleaseError};

use super::Party;
use crate::scope::ScopedLock;

/// A lock that host code holds. Dropping it releases the lock; if that is because of a panic, the next owner is told that
/// what the lock protects may be half-written.
#[must_use = "the lock is released when this is dropped"]
pub struct Hold {
    party: Arc<Party>,
    lock: Arc<ScopedLock>,
    ask: Ask,
    acquired: Acquired,
    is_over: bool,
}

impl Hold {
    pub(super) fn new(party: Arc<Party>, lock: Arc<ScopedLock>, ask: Ask, acquired: Acquired) -> Self {
        Self { party, lock, ask, acquired, is_over: false }
    }

    /// The name of the lock.
    pub fn lock(&self) -> &str {
        self.lock.name.as_str()
    }

    /// The number of this hold: a later hold of the lock has a greater one.
    pub fn fence(&self) -> u64 {
        self.acquired.fence.get()
    }

    /// How the last hold ended. What the lock protects may be half-written if that was taken away.
    pub fn previous(&self) -> Previous {
        self.acquired.previous
    }

    /// Says that what the lock protects is whole again. An error says that this hold was taken away.
    pub fn mark_consistent(&self) -> Result<(), ReleaseError> {
        let actor = &self.party.actor;
        actor.scope.table().mark_consistent(actor.owner(), self.lock.id)
    }

    /// Releases the lock, and tells if it was taken away before: then somebody else may have had it meanwhile.
    pub fn release(mut self) -> Result<(), ReleaseError> {
        self.is_over = true;
        self.give_back()
    }

    pub(super) fn claim(&self) -> Fence {
        self.acquired.fence
    }

    pub(super) fn is_of(&self, party: &Arc<Party>) -> bool {
        Arc::ptr_eq(&self.party, party)
    }

    fn give_back(&self) -> Result<(), ReleaseError> {
        let actor = &self.party.actor;
        let (table, owner) = (actor.scope.table(), actor.owner());
        match self.ask {
            Ask::Permits(permits) => {
                actor.releasing(&self.lock, None, permits);
                table.release_permits(owner, self.lock.id, permits, Instant::now())
            }
            Ask::Exclusive | Ask::Shared | Ask::Upgrade => {
                actor.releasing(&self.lock, Some(self.acquired.fence), 1);
                table.release_hold(owner, self.lock.id, self.acquired.fence, Instant::now())
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if thread::panicking() && !matches!(self.ask, Ask::Permits(_)) {
            let scope = &self.party.actor.scope;
            scope.revoke(&self.lock, Some(self.acquired.fence), EndCause::Trapped);
        }
        // Whoever wants to know that it was taken away asks `release`.
        let _taken_away = self.give_back().is_err();
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("lock", &self.lock.name).field("acquired", &self.acquired).finish_non_exhaustive()
    }
}
