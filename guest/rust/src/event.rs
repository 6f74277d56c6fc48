//! A flag that processes set, clear, and wait for.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::event as host;
use crate::error::Error;
use crate::hold::{in_time, nanoseconds};

/// A handle of one event of the job. It is clear at the start of the job.
///
/// Everyone who waits at the moment of [`Event::set`] gets it, even if [`Event::clear`] follows at once. That the flag
/// is still set when a wait returns is not promised.
///
/// ```no_run
/// use lockkeeper_guest::{Error, Event, process};
///
/// # fn main() -> Result<(), Error> {
/// let ready = Event::open("ready")?;
/// if process::current().rank == 0 {
///     ready.set();
/// } else {
///     ready.wait()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Event {
    handle: host::Event,
}

impl Event {
    /// Opens the event that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such event for this process; [`Error::Limit`] when
    /// too many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Event::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Sets the flag and wakes everyone who waits. It never waits, whoever has died.
    pub fn set(&self) {
        self.handle.set();
    }

    /// Clears the flag.
    pub fn clear(&self) {
        self.handle.clear();
    }

    /// Whether the flag is set at this moment.
    pub fn is_set(&self) -> bool {
        self.handle.is_set()
    }

    /// Waits until the flag is set, or was, for ever if need be.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`]; [`Error::Limit`] of waiters or of holds.
    pub fn wait(&self) -> Result<(), Error> {
        self.handle.wait(None).map_err(Error::from_wit)
    }

    /// Waits until the flag is set, or was, but no longer than `timeout`. Answers whether it came in time.
    ///
    /// # Errors
    ///
    /// As [`Event::wait`]; that the time ran out is none.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        in_time(self.handle.wait(nanoseconds(timeout)))
    }
}
