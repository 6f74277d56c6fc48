//! Several locks as one.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::{multi_lock as host, types as wit};
use crate::error::Error;
use crate::hold::{Acquired, Fence, nanoseconds};

/// One of the locks of a [`MultiLock`].
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    name: &'a str,
    how: wit::Mode,
    permits: u32,
}

impl<'a> Part<'a> {
    /// The mutex of this name.
    pub const fn mutex(name: &'a str) -> Self {
        Self { name, how: wit::Mode::Exclusive, permits: 1 }
    }

    /// The rlock of this name.
    pub const fn rlock(name: &'a str) -> Self {
        Self { name, how: wit::Mode::Exclusive, permits: 1 }
    }

    /// The rwlock of this name, to read.
    pub const fn read(name: &'a str) -> Self {
        Self { name, how: wit::Mode::Shared, permits: 1 }
    }

    /// The rwlock of this name, to write.
    pub const fn write(name: &'a str) -> Self {
        Self { name, how: wit::Mode::Exclusive, permits: 1 }
    }

    /// So many permits of the `owned` semaphore of this name.
    pub const fn permits(name: &'a str, permits: u32) -> Self {
        Self { name, how: wit::Mode::Permits, permits }
    }
}

/// A handle of several locks. Open it once and keep it; opening acquires nothing.
///
/// All or nothing, with one timeout for the whole. The host acquires the locks in one order that is the same for every
/// process, so processes that acquire several locks only in this way cannot lock each other out. That others see all of
/// them change hands at one instant is not promised.
///
/// ```no_run
/// use lockkeeper_guest::{AppendFile, Error, MultiLock, Part};
///
/// # fn main() -> Result<(), Error> {
/// let both = MultiLock::open([Part::mutex("from"), Part::mutex("to")])?;
/// let (from, to) = (AppendFile::open("from")?, AppendFile::open("to")?);
/// let guard = both.lock()?;
/// from.append(&guard.holds()[0], "-10")?;
/// to.append(&guard.holds()[1], "+10")?;
/// guard.unlock()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MultiLock {
    handle: host::MultiLock,
}

impl MultiLock {
    /// Opens several locks, at least one and each once.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for none, for a lock named twice, for a mode that the lock does not have, for 0
    /// permits; [`Error::InvalidName`]; [`Error::Denied`] when one of them does not exist for this process;
    /// [`Error::Limit`] of holds, of handles, or for more permits than there can ever be.
    pub fn open<'a>(parts: impl IntoIterator<Item = Part<'a>>) -> Result<Self, Error> {
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| host::Part { name: part.name, how: part.how, permits: part.permits })
            .collect();
        let handle = host::MultiLock::open(&parts).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Acquires all of them, and waits, for ever if need be.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](crate::Mutex::lock) for any of them; nothing is held then.
    pub fn lock(&self) -> Result<MultiLockGuard<'_>, Error> {
        self.acquire(None)
    }

    /// Acquires all of them if that needs no waiting; `None` if it does, and then nothing is held. Contention is no
    /// error.
    ///
    /// # Errors
    ///
    /// As [`MultiLock::lock`], except for what only waiting can meet.
    pub fn try_lock(&self) -> Result<Option<MultiLockGuard<'_>>, Error> {
        let acquired = self.handle.try_acquire().map_err(Error::from_wit)?;
        Ok(acquired.map(|acquired| MultiLockGuard::new(self, acquired)))
    }

    /// Acquires all of them, and waits no longer than `timeout` for all together, as
    /// [`Mutex::lock_timeout`](crate::Mutex::lock_timeout) does.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`MultiLock::lock`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MultiLockGuard<'_>, Error> {
        self.acquire(nanoseconds(timeout))
    }

    /// Releases the holds that this process has of them when no guard is left to do it, as after [`std::mem::forget`].
    ///
    /// # Errors
    ///
    /// The first that releasing one of them meets; the others are released all the same.
    pub fn release(&self) -> Result<(), Error> {
        self.handle.release(&[]).map_err(Error::from_wit)
    }

    fn acquire(&self, timeout_ns: Option<u64>) -> Result<MultiLockGuard<'_>, Error> {
        let acquired = self.handle.acquire(timeout_ns).map_err(Error::from_wit)?;
        Ok(MultiLockGuard::new(self, acquired))
    }
}

/// Holds of several locks. Pass one of [`MultiLockGuard::holds`] to
/// [`AppendFile::append`](crate::AppendFile::append); drop the guard to release all of them.
///
/// Waiting for a [`Condition`](crate::Condition) of one of the locks gives that lock a new fence, which this guard does
/// not learn: use [`Mutex`](crate::Mutex) or [`RLock`](crate::RLock) where a condition is to be waited for.
#[derive(Debug)]
#[must_use = "dropping the guard releases the locks at once"]
pub struct MultiLockGuard<'a> {
    lock: &'a MultiLock,
    holds: Vec<Acquired>,
}

impl<'a> MultiLockGuard<'a> {
    fn new(lock: &'a MultiLock, acquired: Vec<wit::Acquired>) -> Self {
        Self { lock, holds: acquired.into_iter().map(Acquired::from_wit).collect() }
    }
}

impl MultiLockGuard<'_> {
    /// What each acquisition gave, in the order of [`MultiLock::open`].
    pub fn holds(&self) -> &[Acquired] {
        &self.holds
    }

    /// The numbers of the holds, in the order of [`MultiLock::open`].
    pub fn fences(&self) -> impl Iterator<Item = Fence> + '_ {
        self.holds.iter().map(|hold| hold.fence)
    }

    /// Releases all of them, and says whether this process still had them. Dropping the guard releases them too,
    /// silently.
    ///
    /// # Errors
    ///
    /// The first that releasing one of them meets, such as [`Error::Lost`]; the others are released all the same.
    pub fn unlock(mut self) -> Result<(), Error> {
        let answer = self.release();
        // The guard is not to release again, and its memory is to be freed.
        drop(std::mem::take(&mut self.holds));
        std::mem::forget(self);
        answer
    }

    /// Ends these holds, and no later ones.
    fn release(&self) -> Result<(), Error> {
        let fences: Vec<u64> = self.fences().map(Fence::get).collect();
        self.lock.handle.release(&fences).map_err(Error::from_wit)
    }
}

impl Drop for MultiLockGuard<'_> {
    fn drop(&mut self) {
        // Holds that are gone already are no reason to panic in a destructor; `unlock` is for those who want to know.
        drop(self.release());
    }
}
