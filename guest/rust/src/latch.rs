//! A number that is counted down to zero, once, and waited for.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::latch as host;
use crate::error::Error;
use crate::hold::{in_time, nanoseconds};

/// A handle of one latch of the job, which says where it starts.
///
/// At zero everyone who waits goes on, and nobody waits any more. The death of a process counts nothing down.
///
/// ```no_run
/// use lockkeeper_guest::{Error, Latch, process};
///
/// # fn main() -> Result<(), Error> {
/// let started = Latch::open("started")?;
/// if process::current().rank == 0 {
///     started.wait()?;
/// } else {
///     started.count_down(1)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Latch {
    handle: host::Latch,
}

impl Latch {
    /// Opens the latch that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such latch for this process; [`Error::Limit`] when
    /// too many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Latch::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Counts down by so many, and answers what is left.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for 0; [`Error::OverRelease`] when fewer are left, and then nothing is counted.
    pub fn count_down(&self, count: u32) -> Result<u32, Error> {
        self.handle.count_down(count).map_err(Error::from_wit)
    }

    /// Waits for zero, for ever if need be.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`]; [`Error::Limit`] of waiters or of holds.
    pub fn wait(&self) -> Result<(), Error> {
        self.handle.wait(None).map_err(Error::from_wit)
    }

    /// Waits for zero, but no longer than `timeout`. Answers whether it came in time.
    ///
    /// # Errors
    ///
    /// As [`Latch::wait`]; that the time ran out is none.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        in_time(self.handle.wait(nanoseconds(timeout)))
    }

    /// What is left at this moment.
    pub fn remaining(&self) -> u32 {
        self.handle.remaining()
    }
}
