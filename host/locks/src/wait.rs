//! The future that waits for a lock.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::error::AcquireError;
use crate::ids::{Acquired, LockId, OwnerId};
use crate::mutex::Progress;
use crate::queue::Ticket;
use crate::table::LockTable;

/// What an acquire came to at once.
#[derive(Debug)]
#[must_use = "the lock may be held from here on, and a wait that is dropped leaves the queue"]
pub enum Acquisition {
    /// The lock is held. Nothing was allocated.
    Ready(Acquired),
    /// The owner is in the queue.
    Wait(Wait),
}

/// A place in the queue of a lock.
///
/// It ends with the lock, or with one of:
///
/// * [`AcquireError::TimedOut`]: from [`Wait::expire`] only;
/// * [`AcquireError::Cancelled`]: its owner is being ended, or the table was shut down;
/// * [`AcquireError::Lost`]: the lock was granted to it and taken away before it was polled;
/// * [`AcquireError::FencesExhausted`]: it was its turn and no fence was left.
///
/// Dropping it leaves the queue. Whatever was on its way to it, a wake-up or a grant, passes on to the next waiter.
///
/// It has to be polled after its waker was called, or dropped. As long as neither happens the lock is kept for it, once
/// it has waited its bound. A wake-up is not a grant: a waiter that was overtaken within its bound keeps its place at
/// the front, and is woken again.
#[must_use = "a wait that is dropped leaves the queue"]
pub struct Wait {
    table: Arc<LockTable>,
    owner: OwnerId,
    lock: LockId,
    ticket: Ticket,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    Over,
}

impl Wait {
    pub(crate) fn new(table: Arc<LockTable>, owner: OwnerId, lock: LockId, ticket: Ticket) -> Self {
        Self { table, owner, lock, ticket, stage: Stage::Waiting }
    }

    /// Who waits.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// What it waits for.
    #[must_use]
    pub fn lock(&self) -> LockId {
        self.lock
    }

    /// Ends the wait at its deadline. Whoever keeps the timer calls it; under the mutex of the lock it is decided
    /// whether the grant was first, so that a grant is neither lost nor made twice.
    ///
    /// A waiter whose turn it is when it expires has the lock, even if it had not polled yet.
    ///
    /// # Errors
    ///
    /// [`AcquireError::TimedOut`] if the grant was not first; else as the wait itself, see [`Wait`].
    ///
    /// # Panics
    ///
    /// If the wait is over.
    pub fn expire(&mut self, now: Instant) -> Result<Acquired, AcquireError> {
        assert_eq!(self.stage, Stage::Waiting, "a wait ends once");
        let progress = self.table.expire_wait(self.lock, self.ticket, now);
        self.conclude(progress).expect("a wait that expires is not pending")
    }

    fn conclude(&mut self, progress: Progress) -> Option<Result<Acquired, AcquireError>> {
        let refused = match progress {
            Progress::Pending => return None,
            Progress::Granted(acquired) => {
                self.stage = Stage::Over;
                return Some(Ok(acquired));
            }
            Progress::NoFence => AcquireError::FencesExhausted { lock: self.lock },
            Progress::TimedOut => AcquireError::TimedOut,
            Progress::Gone => AcquireError::Cancelled,
        };
        self.stage = Stage::Over;
        let lost = self.table.withdraw(self.owner, self.lock, self.ticket);
        Some(Err(lost.map_or(refused, |how| AcquireError::Lost { how })))
    }
}

impl Future for Wait {
    type Output = Result<Acquired, AcquireError>;

    /// # Panics
    ///
    /// If the wait is over.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        assert_eq!(self.stage, Stage::Waiting, "a wait ends once");
        // Cloned before the mutex is taken: this runs foreign code.
        let waker = context.waker().clone();
        let progress = self.table.poll_wait(self.lock, self.ticket, waker);
        self.conclude(progress).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.stage == Stage::Waiting {
            self.table.leave_wait(self.lock, self.ticket);
            self.table.withdraw(self.owner, self.lock, self.ticket);
        }
    }
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("owner", &self.owner).field("lock", &self.lock).finish_non_exhaustive()
    }
}
