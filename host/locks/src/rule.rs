//! What makes one kind of lock differ from another: who fits beside whom, and what an owner gets that asks again.
//!
//! Everything else (waiting, fairness, grants, fences, ends) is the same for all and lives in [`crate::lock`].

use crate::holds::{Hold, Holds};
use crate::ids::{Ask, OwnerId};
use crate::semaphore::Permits;
use crate::{mutex, rlock, rwlock};

pub(crate) enum Rule {
    Mutex,
    RLock {
        depth_max: u32,
    },
    RwLock {
        depth_max: u32,
    },
    Semaphore(Permits),
    /// A mutex until it is done.
    Once {
        done: bool,
    },
}

/// What an owner gets that asks for a lock that it holds.
pub(crate) enum Again {
    /// It has it once more.
    Deeper,
    /// It has it as often as it may.
    TooDeep,
    /// It would wait for itself.
    Deadlock,
    /// The request makes no sense beside what it holds.
    Unfit,
    /// It asks for something else, and is treated as any other.
    Ask,
}

impl Rule {
    pub(crate) fn again(&self, hold: &Hold, ask: Ask) -> Again {
        match self {
            Self::Mutex | Self::Once { .. } => mutex::again(hold),
            Self::RLock { depth_max } => rlock::again(hold, *depth_max),
            Self::RwLock { depth_max } => rwlock::again(hold, ask, *depth_max),
            Self::Semaphore(_) => Again::Ask,
        }
    }

    /// Whether the holds that there are leave room for this one.
    pub(crate) fn fits(&self, holds: &Holds, owner: OwnerId, ask: Ask) -> bool {
        match (self, ask) {
            (Self::Semaphore(permits), Ask::Permits(count)) => permits.free >= count,
            (Self::RwLock { .. }, ask) => rwlock::fits(holds, owner, ask),
            _ => holds.is_empty(),
        }
    }

    /// Whether this is something that this kind of lock can be asked for at all.
    pub(crate) fn knows(&self, ask: Ask) -> bool {
        match ask {
            Ask::Exclusive => !matches!(self, Self::Semaphore(_)),
            Ask::Shared | Ask::Upgrade => matches!(self, Self::RwLock { .. }),
            Ask::Permits(_) => matches!(self, Self::Semaphore(_)),
        }
    }

    /// Whether all who wait want the same, so that one may go before the other.
    pub(crate) fn is_exclusive_only(&self) -> bool {
        matches!(self, Self::Mutex | Self::RLock { .. } | Self::Once { .. })
    }

    /// Whether nobody holds what was granted.
    pub(crate) fn is_unowned(&self) -> bool {
        matches!(self, Self::Semaphore(permits) if !permits.is_owned())
    }

    pub(crate) fn permits(&mut self) -> Option<&mut Permits> {
        match self {
            Self::Semaphore(permits) => Some(permits),
            _ => None,
        }
    }
}
