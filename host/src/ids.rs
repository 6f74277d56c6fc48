//! The numbers of processes.

use std::fmt;
use std::num::NonZeroU64;

use lockkeeper_locks::OwnerId;
use serde::Serialize;

/// The number of a process in its host, never used twice: it names the instance and its generation at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct ProcessId(NonZeroU64);

impl ProcessId {
    pub(crate) fn new(number: NonZeroU64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The same process as the lock table knows it.
    pub(crate) fn owner(self) -> OwnerId {
        OwnerId::new(self.get())
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An owner of locks is a process; the lock table knows it by the same number.
impl From<OwnerId> for ProcessId {
    fn from(owner: OwnerId) -> Self {
        Self(NonZeroU64::new(owner.get()).expect("owners are processes, and those count from 1"))
    }
}
