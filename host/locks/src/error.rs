//! Why a request was refused: one enum per family of calls, each case with its facts.

use std::fmt;

use thiserror::Error;

use crate::ids::{EndCause, Fence, Link, LockId, OwnerId};

/// Why a lock was not acquired.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AcquireError {
    /// Waiting could never end: the request would close a circle of owners that wait for each other. The smallest
    /// circle is an owner that asks for a lock that it has, or waits for, already.
    #[error("waiting for the lock would close a circle of {} owners", circle.len())]
    Deadlock {
        /// The circle, from the owner that asked: each link holds what the one before it waits for.
        circle: Vec<Link>,
    },
    /// The queue of the lock is full.
    #[error("lock {lock} has {max} waiters, which is the limit")]
    WaitersExceeded {
        /// The lock that was asked for.
        lock: LockId,
        /// [`crate::Limits::waiters_per_lock_max`].
        max: u32,
    },
    /// The owner holds, waits for, or has unknowingly lost as many locks as it may.
    #[error("owner {owner} has {max} locks, which is the limit")]
    HoldsExceeded {
        /// Who asked.
        owner: OwnerId,
        /// [`crate::Limits::holds_per_owner_max`].
        max: u32,
    },
    /// The lock could be had, but no reserved fence is left for it ([`crate::LockTable::add_fences`]).
    #[error("no reserved fence is left for lock {lock}")]
    FencesExhausted {
        /// The lock that was asked for.
        lock: LockId,
    },
    /// The owner is being ended, or the table was shut down.
    #[error("the owner is being ended or the locks are shut down")]
    Cancelled,
    /// The owner's last hold of this lock was taken away and it had not been told yet. It is told once; the next
    /// request is an ordinary one.
    #[error("the hold was taken away: {how}")]
    Lost {
        /// Why it was taken away.
        how: EndCause,
    },
    /// The deadline came before the grant.
    #[error("timed out")]
    TimedOut,
    /// The owner has acquired the lock as often as it may, one within the other.
    #[error("lock {lock} is held as often as it may be, one acquisition within the other")]
    DepthExceeded {
        /// The lock that was asked for.
        lock: LockId,
    },
    /// There can never be so many permits.
    #[error("semaphore {lock} never has so many permits")]
    PermitsExceeded {
        /// The semaphore.
        lock: LockId,
    },
    /// The request makes no sense beside what the owner holds: an upgrade of several reads, or of a write.
    #[error("lock {lock} is held in a way that cannot be upgraded")]
    Unfit {
        /// The lock.
        lock: LockId,
    },
    /// An upgrade of a lock that the owner does not hold.
    #[error("lock {lock} is not held")]
    NotHeld {
        /// The lock.
        lock: LockId,
    },
    /// An owner ended while it held the lock exclusively, and the next one released it without marking it consistent.
    #[error("lock {lock} was left inconsistent and is closed for good")]
    NotRecoverable {
        /// The lock.
        lock: LockId,
    },
    /// The lock comes from outside of the host, and cannot be had there ([`crate::LockTable::turn_away`]).
    #[error("lock {lock} cannot be had from outside of the host")]
    Unavailable {
        /// The lock.
        lock: LockId,
    },
    /// The barrier is broken.
    #[error("the barrier is broken: {cause}")]
    Broken {
        /// Why.
        cause: BrokenCause,
    },
    /// The queue is closed, and for a get nothing is left in it.
    #[error("the queue is closed")]
    Closed,
    /// The item is larger than the queue may hold, or the owner has as many unfinished items as it may.
    #[error("queue {queue} cannot take or give so much")]
    QueueExceeded {
        /// The queue.
        queue: LockId,
    },
}

/// Why a barrier is broken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BrokenCause {
    /// A party gave up waiting.
    TimedOut,
    /// Somebody aborted it.
    Aborted,
    /// Somebody reset it while others waited.
    Reset,
    /// A party ended.
    PartyEnded,
}

impl fmt::Display for BrokenCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "a party gave up waiting",
            Self::Aborted => "it was aborted",
            Self::Reset => "it was reset",
            Self::PartyEnded => "a party ended",
        })
    }
}

/// Why a condition is not waited at, or nobody is notified.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConditionError {
    /// The caller does not hold the lock of the condition, or its hold was taken away.
    #[error(transparent)]
    Lock(#[from] ReleaseError),
    /// The caller cannot wait. It still holds the lock.
    #[error(transparent)]
    Wait(#[from] AcquireError),
}

/// Why a latch is not counted down: fewer are left than were to be counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the latch has only {remaining} left to count")]
pub struct LatchError {
    /// What is left.
    pub remaining: u32,
}

/// Why an item is not finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TaskDoneError {
    /// The caller does not have that item.
    #[error("the caller does not have item {number}")]
    NotHeld {
        /// The item.
        number: u64,
    },
    /// Every item that was put is finished.
    #[error("every item that was put is finished")]
    OverRelease,
}

/// Why a lock was not released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ReleaseError {
    /// Nobody holds the lock, or the caller has been granted it and not been told yet.
    #[error("lock {lock} is not held")]
    NotHeld {
        /// The lock that was to be released.
        lock: LockId,
    },
    /// Somebody else holds the lock.
    #[error("lock {lock} is held by owner {owner}")]
    NotOwner {
        /// The lock that was to be released.
        lock: LockId,
        /// Who holds it.
        owner: OwnerId,
    },
    /// The caller's hold was taken away before. It is told once.
    #[error("the hold was taken away: {how}")]
    Lost {
        /// Why it was taken away.
        how: EndCause,
    },
    /// The caller holds the lock with another fence than the one that it named: it lost that hold.
    #[error("fenced: the caller's hold has fence {current}")]
    Fenced {
        /// The fence of its hold.
        current: Fence,
    },
    /// More permits than the caller holds, or than there can be.
    #[error("more permits of semaphore {lock} than can be given back")]
    OverRelease {
        /// The semaphore.
        lock: LockId,
    },
}

/// Why a fence does not entitle its bearer to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ClaimError {
    /// The claim is the newest fence of the lock, but the caller has no hold: it released it, or it never was its own.
    #[error("the lock is not held by the caller")]
    LockRequired,
    /// The claim is older than the newest fence of the lock, or the caller's hold was taken away.
    #[error("fenced: the newest fence is {current}")]
    Fenced {
        /// The newest fence that was issued for the lock, by this run or before it.
        current: Fence,
    },
    /// No such fence was ever issued for the lock.
    #[error("fence {claim} was never issued")]
    NeverIssued {
        /// The claim.
        claim: Fence,
    },
}
