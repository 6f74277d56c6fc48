//! Permits that processes take and give back.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::semaphore as host;
use crate::error::Error;
use crate::hold::nanoseconds;

/// A handle of one semaphore of the job. Open it once and keep it; opening acquires nothing.
///
/// The job says of which kind it is. `owned`: permits belong to the process that took them, and come back when it ends.
/// `signal`: they belong to nobody, and anyone may release, also more than was taken.
///
/// What is acquired comes as [`Permits`], which give it back when they are dropped. Where somebody else is to release,
/// as with `signal`, [`Permits::forget`] says so.
///
/// ```no_run
/// use lockkeeper_guest::{Error, Semaphore};
///
/// # fn main() -> Result<(), Error> {
/// // `owned`: at most so many at a time.
/// let slots = Semaphore::open("slots")?;
/// let permits = slots.acquire(2)?;
/// permits.release()?; // or drop them
///
/// // `signal`: one process takes what another one gives.
/// let ready = Semaphore::open("ready")?;
/// ready.acquire(1)?.forget(); // here
/// ready.release(1)?; // there
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Semaphore {
    handle: host::Semaphore,
}

impl Semaphore {
    /// Opens the semaphore that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such semaphore for this process; [`Error::Limit`]
    /// when too many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Semaphore::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Takes `count` permits, and waits until they are there, for ever if need be. All or none; many are not starved by
    /// others that take few.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for 0 permits; [`Error::Limit`] at once for more than there can ever be, of waiters,
    /// or of holds; [`Error::Deadlock`] (`owned` only) when waiting would close a circle of processes; [`Error::Lost`]
    /// once, after the permits of this process were taken away; [`Error::Cancelled`].
    pub fn acquire(&self, count: u32) -> Result<Permits<'_>, Error> {
        self.acquire_ns(count, None)
    }

    /// Takes `count` permits if that needs no waiting; `None` if it does. Contention is no error.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`], except for what only waiting can meet.
    pub fn try_acquire(&self, count: u32) -> Result<Option<Permits<'_>>, Error> {
        let taken = self.handle.try_acquire(count).map_err(Error::from_wit)?;
        // Not `then_some`: permits that were not taken must not come to be, as their end would give them back.
        Ok(taken.then(|| Permits { semaphore: self, count }))
    }

    /// Takes `count` permits, and waits for them no longer than `timeout`, as
    /// [`Mutex::lock_timeout`](crate::Mutex::lock_timeout) does.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`Semaphore::acquire`].
    pub fn acquire_timeout(&self, count: u32, timeout: Duration) -> Result<Permits<'_>, Error> {
        self.acquire_ns(count, nanoseconds(timeout))
    }

    /// Gives `count` permits back: those that were acquired and [forgotten](Permits::forget), or, with `signal`, any.
    /// All or none.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for 0 permits; [`Error::OverRelease`] when the maximum would be exceeded, and, with
    /// `owned`, when this process holds fewer; with `owned` [`Error::NotHeld`] when it holds none, and [`Error::Lost`]
    /// when they were taken away.
    pub fn release(&self, count: u32) -> Result<(), Error> {
        self.handle.release(count).map_err(Error::from_wit)
    }

    /// How many permits are there at this moment. The answer may be outdated when you read it.
    pub fn value(&self) -> u32 {
        self.handle.value()
    }

    /// How many permits there can be; `None` if there is no maximum.
    pub fn maximum(&self) -> Option<u32> {
        self.handle.maximum()
    }

    /// How many permits this process holds; 0 with `signal`, where nobody holds any.
    pub fn held(&self) -> u32 {
        self.handle.held()
    }

    fn acquire_ns(&self, count: u32, timeout_ns: Option<u64>) -> Result<Permits<'_>, Error> {
        self.handle.acquire(count, timeout_ns).map_err(Error::from_wit)?;
        Ok(Permits { semaphore: self, count })
    }
}

/// Permits of a semaphore. Drop them to give them back.
///
/// Unlike the guard of a lock they carry no fence: where permits were taken away, and this process has taken others
/// since, dropping the first gives back the others.
#[derive(Debug)]
#[must_use = "dropping permits gives them back at once; `forget` keeps them"]
pub struct Permits<'a> {
    semaphore: &'a Semaphore,
    count: u32,
}

impl Permits<'_> {
    /// How many they are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Gives them back, and says whether that went well. Dropping them does it too, silently.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::release`].
    pub fn release(self) -> Result<(), Error> {
        let answer = self.semaphore.release(self.count);
        std::mem::forget(self);
        answer
    }

    /// Does not give them back: [`Semaphore::release`] will, here or, with `signal`, in another process. With `owned`
    /// the end of the process does in any case.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        // Permits that are gone already are no reason to panic in a destructor.
        drop(self.semaphore.release(self.count));
    }
}
