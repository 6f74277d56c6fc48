//! Who this process is among the others of its job.

use std::fmt;

use crate::bindings::lockkeeper::runtime::process as host;

/// The number of a process in its host. Never used twice while the host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(u64);

impl ProcessId {
    /// The process of this number, as [`ProcessId::get`] gave it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, to send or store.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the host calls a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its number in the host.
    pub id: ProcessId,
    /// Its place among the processes of its group, from 0 to `count` - 1.
    pub rank: u32,
    /// How many processes its group has.
    pub count: u32,
    /// Its name in messages: the group's name and the rank, such as `client-3`.
    pub name: String,
}

/// This process. The host sets it; nobody can act under another's name.
///
/// ```no_run
/// let me = lockkeeper_guest::process::current();
/// println!("I am {}, number {} of {}", me.name, me.rank, me.count);
/// ```
pub fn current() -> Identity {
    let identity = host::current();
    Identity { id: ProcessId::new(identity.id), rank: identity.rank, count: identity.count, name: identity.name }
}
