//! What an acquisition gives, whatever the lock: a fence, and how the last owner left.
//!
//! The owner is the process, and the host keeps the lock. A guard is therefore a courtesy: it releases early and makes
//! the careless line not compile. If it never runs, the hold ends with the process all the same.

use std::fmt;
use std::time::Duration;

use crate::bindings::lockkeeper::runtime::types as wit;
use crate::error::EndCause;
use crate::process::ProcessId;

pub(crate) mod sealed {
    /// Keeps [`super::Hold`] to the types that the contract knows.
    pub trait Sealed {}
}

/// The number of an acquisition: a later owner of a lock always has the greater one, also after the host was restarted.
///
/// A fence is a claim, not a right: the host compares it with its own record, so a made-up number opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// The fence of this number, as [`Fence::get`] gave it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, to send or store.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who held the lock last without releasing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandonment {
    /// How that hold ended.
    pub how: EndCause,
    /// The process whose hold it was.
    pub who: ProcessId,
}

/// In what state the last owner left what the lock protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// It was released by its owner, or never held.
    Clean,
    /// Its owner ended, or lost it, while it held the lock: the data may be half-written.
    Abandoned(Abandonment),
}

/// What an acquisition gave. Guards have it inside; a [`MultiLockGuard`](crate::MultiLockGuard) shows one for each
/// part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The number of the hold.
    pub fence: Fence,
    /// In what state the last owner left what the lock protects.
    pub previous: Previous,
}

impl Acquired {
    pub(crate) fn from_wit(acquired: wit::Acquired) -> Self {
        let previous = match acquired.previous {
            wit::Previous::Clean => Previous::Clean,
            wit::Previous::Abandoned(last) => {
                Previous::Abandoned(Abandonment { how: EndCause::from_wit(last.how), who: ProcessId::new(last.who) })
            }
        };
        Self { fence: Fence::new(acquired.fence), previous }
    }
}

/// The hold that an append relies on: a guard that stands for holding a lock alone, or the [`Fence`] of one.
///
/// A guard is what you want: it cannot be used after its release. A bare fence can, and the host then refuses it with
/// [`Error::LockRequired`](crate::Error::LockRequired), or [`Error::Fenced`](crate::Error::Fenced) if there was another
/// hold since or this one was taken away. The guard of a read is none: only who writes may append.
pub trait Hold: sealed::Sealed {
    /// The number of the hold.
    fn fence(&self) -> Fence;
}

impl sealed::Sealed for Fence {}

impl Hold for Fence {
    fn fence(&self) -> Fence {
        *self
    }
}

impl sealed::Sealed for Acquired {}

impl Hold for Acquired {
    fn fence(&self) -> Fence {
        self.fence
    }
}

/// A timeout as the contract counts it; `None`, which is for ever, from 584 years on.
pub(crate) fn nanoseconds(timeout: Duration) -> Option<u64> {
    u64::try_from(timeout.as_nanos()).ok()
}

/// The answer of a wait that gives nothing but its end: whether it ended before the time ran out.
pub(crate) fn in_time(answer: Result<(), wit::Error>) -> Result<bool, crate::Error> {
    match answer {
        Ok(()) => Ok(true),
        Err(wit::Error::TimedOut) => Ok(false),
        Err(error) => Err(crate::Error::from_wit(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_is_for_ever_only_where_the_contract_cannot_count_it() {
        assert_eq!(nanoseconds(Duration::ZERO), Some(0));
        assert_eq!(nanoseconds(Duration::from_nanos(u64::MAX)), Some(u64::MAX));
        assert_eq!(nanoseconds(Duration::from_nanos(u64::MAX) + Duration::from_nanos(1)), None);
        assert_eq!(nanoseconds(Duration::MAX), None);
    }
}
