//! A lock that host code holds.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lockkeeper_locks::{Acquired, Ask, EndCause, Fence, Kind, Previous, ReleaseError, SemaphoreKind};

use super::Party;
use crate::scope::ScopedLock;
use crate::turn;

/// A lock that host code holds, or permits. Dropping it releases the lock; if that is because of a panic, or of the end of a
/// process that called a host interface, the next owner is told that what the lock protects may be half-written.
///
/// Permits of a semaphore that nobody holds (a signal) are added again, unless they are [forgotten](Hold::forget), which
/// consumes them.
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

    /// Releases the lock as who was broken off: the next owner is told that what the lock protects may be half-written.
    pub fn abandon(mut self) {
        self.is_over = true;
        self.break_off();
    }

    /// Keeps what is held: a lock until this host code ends, with the last handle of its [`Locks`](super::Locks); a signal for
    /// good.
    pub fn forget(mut self) {
        self.is_over = true;
    }

    /// Takes it away from itself. Permits have no next owner that could be told, and go back.
    fn break_off(&self) {
        if !matches!(self.ask, Ask::Permits(_)) {
            self.party.actor.scope.revoke(&self.lock, Some(self.acquired.fence), EndCause::Trapped);
        }
        // That it was taken away is known.
        let _taken_away = self.give_back().is_err();
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
                // Others of the same semaphore that were acquired since are another hold.
                if let Kind::Semaphore(SemaphoreKind::Owned { .. }) = self.lock.kind
                    && table.held(owner, self.lock.id).is_some_and(|hold| hold.fence != self.acquired.fence)
                {
                    return Err(ReleaseError::Lost { how: EndCause::Expired });
                }
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
        if thread::panicking() || turn::is_breaking_off() {
            return self.break_off();
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
