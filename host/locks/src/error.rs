//! Why a request was refused: one enum per family of calls, each case with its facts.

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
