//! A place where a number of processes wait for each other, again and again.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::barrier as host;
use crate::error::{BrokenCause, Error};
use crate::hold::nanoseconds;

/// A handle of one barrier of the job.
///
/// In each round every party gets another index, from 0 to `parties` - 1 in the order of arrival. A timeout, an
/// [`Barrier::abort`] or the death of a party breaks the barrier: everyone who waits, and who comes later, gets
/// [`Error::Broken`] until [`Barrier::reset`]. Nobody waits for a party that has died.
///
/// By default the parties are those that wait at the moment, so a process that dies elsewhere breaks nothing. The job
/// may say `registered`: then each process that has waited here once is a party until it ends.
///
/// ```no_run
/// use lockkeeper_guest::{Barrier, Error};
///
/// # fn main() -> Result<(), Error> {
/// let step = Barrier::open("step")?;
/// for _round in 0..20 {
///     // Do this process's share.
///     if step.wait()? == 0 {
///         println!("I was the first of {} here", step.parties());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Barrier {
    handle: host::Barrier,
}

impl Barrier {
    /// Opens the barrier that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such barrier for this process; [`Error::Limit`] when
    /// too many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Barrier::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Waits until all parties are here, for ever if need be. Answers the index of this one.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`] with the cause; [`Error::Cancelled`]; [`Error::Limit`] of waiters or of holds.
    pub fn wait(&self) -> Result<u32, Error> {
        self.handle.wait(None).map_err(Error::from_wit)
    }

    /// Waits until all parties are here, but no longer than `timeout`. Answers the index of this one.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], which breaks the barrier for the others; and as [`Barrier::wait`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u32, Error> {
        self.handle.wait(nanoseconds(timeout)).map_err(Error::from_wit)
    }

    /// How many parties a round has.
    pub fn parties(&self) -> u32 {
        self.handle.parties()
    }

    /// How many wait at this moment.
    pub fn waiting(&self) -> u32 {
        self.handle.waiting()
    }

    /// Begins anew: who waits gets [`BrokenCause::Reset`], who comes later waits in a new round.
    pub fn reset(&self) {
        self.handle.reset();
    }

    /// Breaks the barrier: who waits, and who comes later, gets [`BrokenCause::Aborted`].
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Why the barrier is broken; `None` if it is not.
    pub fn broken(&self) -> Option<BrokenCause> {
        self.handle.broken().map(BrokenCause::from_wit)
    }
}
