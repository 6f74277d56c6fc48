//! A lock that many may hold to read, or one to write, and the guards of both kinds.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::{rwlock as host, types as wit};
use crate::error::{Error, Mode};
use crate::hold::{Acquired, Fence, Hold, Previous, nanoseconds, sealed};

/// How this process holds an rwlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The number of the hold.
    pub fence: Fence,
    /// [`Mode::Shared`] to read, [`Mode::Exclusive`] to write.
    pub how: Mode,
    /// How many reads, one within the other; 1 for a write.
    pub depth: u32,
}

/// What [`RwLockReadGuard::try_upgrade`] came to.
#[derive(Debug)]
#[must_use = "dropping the guard inside releases the lock at once"]
pub enum Upgrade<'a> {
    /// This process writes now.
    Write(RwLockWriteGuard<'a>),
    /// Others read; so does this process, as before.
    Busy(RwLockReadGuard<'a>),
}

/// A handle of one reader-writer lock of the job. Open it once and keep it; opening acquires nothing.
///
/// Readers never overtake a writer that waits, so no writer starves. The one exception keeps programs from locking
/// themselves out: a process that reads may read again at once. Each read has a guard of its own.
///
/// ```no_run
/// use lockkeeper_guest::{Error, RwLock};
///
/// # fn main() -> Result<(), Error> {
/// let lock = RwLock::open("table")?;
/// let guard = lock.read()?;
/// // Look at what others may look at too.
/// guard.unlock()?;
///
/// let guard = lock.write()?;
/// // Change it.
/// let guard = guard.downgrade()?;
/// // Nobody has changed it since.
/// guard.unlock()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RwLock {
    handle: host::Rwlock,
}

impl RwLock {
    /// Opens the rwlock that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such lock for this process; [`Error::Limit`] when too
    /// many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Rwlock::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Acquires the lock to read, and waits for it, for ever if need be.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] at once when this process holds it to write, or when waiting would close a circle of
    /// processes; [`Error::Lost`] once, after the hold that this process had was taken away;
    /// [`Error::NotRecoverable`]; [`Error::Cancelled`]; [`Error::Limit`] of waiters, of holds or of depth;
    /// [`Error::Unavailable`].
    pub fn read(&self) -> Result<RwLockReadGuard<'_>, Error> {
        Ok(RwLockReadGuard::new(self, self.handle.read(None).map_err(Error::from_wit)?))
    }

    /// Acquires the lock to read if that needs no waiting; `None` if it does. Contention is no error.
    ///
    /// # Errors
    ///
    /// As [`RwLock::read`], except for what only waiting can meet.
    pub fn try_read(&self) -> Result<Option<RwLockReadGuard<'_>>, Error> {
        let acquired = self.handle.try_read().map_err(Error::from_wit)?;
        Ok(acquired.map(|acquired| RwLockReadGuard::new(self, acquired)))
    }

    /// Acquires the lock to read, and waits for it no longer than `timeout`, as
    /// [`Mutex::lock_timeout`](crate::Mutex::lock_timeout) does.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`RwLock::read`].
    pub fn read_timeout(&self, timeout: Duration) -> Result<RwLockReadGuard<'_>, Error> {
        Ok(RwLockReadGuard::new(self, self.handle.read(nanoseconds(timeout)).map_err(Error::from_wit)?))
    }

    /// Acquires the lock to write, and waits for it, for ever if need be.
    ///
    /// # Errors
    ///
    /// As [`RwLock::read`]. A process that reads gets [`Error::Deadlock`] at once:
    /// [`RwLockReadGuard::upgrade`] is for that.
    pub fn write(&self) -> Result<RwLockWriteGuard<'_>, Error> {
        Ok(RwLockWriteGuard::new(self, self.handle.write(None).map_err(Error::from_wit)?))
    }

    /// Acquires the lock to write if that needs no waiting; `None` if it does, and also if this process holds it.
    ///
    /// # Errors
    ///
    /// As [`RwLock::write`], except for what only waiting can meet.
    pub fn try_write(&self) -> Result<Option<RwLockWriteGuard<'_>>, Error> {
        let acquired = self.handle.try_write().map_err(Error::from_wit)?;
        Ok(acquired.map(|acquired| RwLockWriteGuard::new(self, acquired)))
    }

    /// Acquires the lock to write, and waits for it no longer than `timeout`, as
    /// [`Mutex::lock_timeout`](crate::Mutex::lock_timeout) does.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`RwLock::write`].
    pub fn write_timeout(&self, timeout: Duration) -> Result<RwLockWriteGuard<'_>, Error> {
        Ok(RwLockWriteGuard::new(self, self.handle.write(nanoseconds(timeout)).map_err(Error::from_wit)?))
    }

    /// Whether any process holds the lock at this moment, to read or to write. The answer may be outdated when you read
    /// it.
    pub fn is_locked(&self) -> bool {
        self.handle.locked()
    }

    /// The hold that this process has, if it has one, with or without a guard for it.
    pub fn held(&self) -> Option<Holding> {
        self.handle.held().map(|holding| Holding {
            fence: Fence::new(holding.fence),
            how: Mode::from_wit(holding.how),
            depth: holding.depth,
        })
    }

    /// Ends one read, or the write, when no guard is left to do it, as after [`std::mem::forget`].
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] when nobody holds it; [`Error::NotOwner`] when only other processes do; [`Error::Lost`] when
    /// the hold was taken away before.
    pub fn release(&self) -> Result<(), Error> {
        self.handle.release(None).map_err(Error::from_wit)
    }

    /// As [`RwLockWriteGuard::mark_consistent`], where there is no guard: after [`std::mem::forget`], or for a part of
    /// a [`MultiLock`](crate::MultiLock).
    ///
    /// # Errors
    ///
    /// As [`RwLock::release`].
    pub fn mark_consistent(&self) -> Result<(), Error> {
        self.handle.mark_consistent().map_err(Error::from_wit)
    }

    /// Ends one read of the hold given, or the write, and none of a later hold.
    fn end(&self, hold: Acquired) -> Result<(), Error> {
        self.handle.release(Some(hold.fence.get())).map_err(Error::from_wit)
    }
}

/// One read. Drop it to end it.
#[derive(Debug)]
#[must_use = "dropping the guard ends the read at once"]
pub struct RwLockReadGuard<'a> {
    lock: &'a RwLock,
    hold: Acquired,
}

impl<'a> RwLockReadGuard<'a> {
    fn new(lock: &'a RwLock, acquired: wit::Acquired) -> Self {
        Self { lock, hold: Acquired::from_wit(acquired) }
    }

    /// The number of this hold. It allows no append: only a write does.
    pub fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// In what state the last writer left what the lock protects.
    pub fn previous(&self) -> Previous {
        self.hold.previous
    }

    /// From reader to writer, ahead of all who wait; waits until nobody else reads. What this process has read still
    /// holds.
    ///
    /// # Errors
    ///
    /// With the guard, whose read goes on unless the hold was lost: [`Error::InvalidArgument`] when this process reads
    /// more than once; [`Error::Deadlock`] at once when another reader waits for its upgrade already, as each would
    /// wait for the other to stop reading; [`Error::NotHeld`]; [`Error::Lost`]; [`Error::Cancelled`];
    /// [`Error::Unavailable`].
    ///
    /// ```no_run
    /// use lockkeeper_guest::{Error, RwLock};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let lock = RwLock::open("table")?;
    /// let guard = match lock.read()?.upgrade() {
    ///     Ok(guard) => guard,
    ///     Err((reading, Error::Deadlock(_))) => {
    ///         // Let the other one go first, and look again.
    ///         reading.unlock()?;
    ///         lock.write()?
    ///     }
    ///     Err((_reading, error)) => return Err(error),
    /// };
    /// guard.unlock()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn upgrade(self) -> Result<RwLockWriteGuard<'a>, (Self, Error)> {
        self.upgrade_ns(None)
    }

    /// As [`RwLockReadGuard::upgrade`], but only if that needs no waiting. Contention is no error.
    ///
    /// # Errors
    ///
    /// As [`RwLockReadGuard::upgrade`], except for what only waiting can meet.
    pub fn try_upgrade(self) -> Result<Upgrade<'a>, (Self, Error)> {
        match self.lock.handle.try_upgrade() {
            Ok(Some(acquired)) => Ok(Upgrade::Write(self.into_write(acquired))),
            Ok(None) => Ok(Upgrade::Busy(self)),
            Err(error) => Err((self, Error::from_wit(error))),
        }
    }

    /// As [`RwLockReadGuard::upgrade`], but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// With the guard: [`Error::TimedOut`], and as [`RwLockReadGuard::upgrade`].
    pub fn upgrade_timeout(self, timeout: Duration) -> Result<RwLockWriteGuard<'a>, (Self, Error)> {
        self.upgrade_ns(nanoseconds(timeout))
    }

    /// Ends the read, and says whether this process still had it. Dropping the guard ends it too, silently.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the hold was taken away before, [`Error::Fenced`] when this process has acquired the lock
    /// again since: what was read last may have been changed meanwhile.
    pub fn unlock(self) -> Result<(), Error> {
        let answer = self.lock.end(self.hold);
        std::mem::forget(self);
        answer
    }

    fn upgrade_ns(self, timeout_ns: Option<u64>) -> Result<RwLockWriteGuard<'a>, (Self, Error)> {
        match self.lock.handle.upgrade(timeout_ns) {
            Ok(acquired) => Ok(self.into_write(acquired)),
            Err(error) => Err((self, Error::from_wit(error))),
        }
    }

    /// The read has become a write, and is not to be ended.
    fn into_write(self, acquired: wit::Acquired) -> RwLockWriteGuard<'a> {
        let guard = RwLockWriteGuard::new(self.lock, acquired);
        std::mem::forget(self);
        guard
    }
}

impl Drop for RwLockReadGuard<'_> {
    fn drop(&mut self) {
        // A hold that is gone already is no reason to panic in a destructor; `unlock` is for those who want to know.
        drop(self.lock.end(self.hold));
    }
}

/// A write. Pass it to [`AppendFile::append`](crate::AppendFile::append); drop it to release the lock.
#[derive(Debug)]
#[must_use = "dropping the guard releases the lock at once"]
pub struct RwLockWriteGuard<'a> {
    lock: &'a RwLock,
    hold: Acquired,
}

impl<'a> RwLockWriteGuard<'a> {
    fn new(lock: &'a RwLock, acquired: wit::Acquired) -> Self {
        Self { lock, hold: Acquired::from_wit(acquired) }
    }

    /// The number of this hold.
    pub fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// In what state the last writer left what the lock protects.
    pub fn previous(&self) -> Previous {
        self.hold.previous
    }

    /// Says that what the lock protects is consistent again, as
    /// [`MutexGuard::mark_consistent`](crate::MutexGuard::mark_consistent) does.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::NotOwner`] or [`Error::NotHeld`] when the hold was taken away before.
    pub fn mark_consistent(&self) -> Result<(), Error> {
        self.lock.mark_consistent()
    }

    /// From writer to reader, with nobody in between. The fence stays, but allows no append any more.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::NotOwner`] or [`Error::NotHeld`] when the hold was taken away before. The guard is
    /// gone then.
    pub fn downgrade(self) -> Result<RwLockReadGuard<'a>, Error> {
        let acquired = self.lock.handle.downgrade().map_err(Error::from_wit)?;
        let guard = RwLockReadGuard::new(self.lock, acquired);
        std::mem::forget(self);
        Ok(guard)
    }

    /// Releases the lock, and says whether this process still had it. Dropping the guard releases it too, silently.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the hold was taken away before, [`Error::Fenced`] when this process has acquired the lock
    /// again since: what was done last may not have been done alone.
    pub fn unlock(self) -> Result<(), Error> {
        let answer = self.lock.end(self.hold);
        std::mem::forget(self);
        answer
    }
}

impl sealed::Sealed for RwLockWriteGuard<'_> {}

impl Hold for RwLockWriteGuard<'_> {
    fn fence(&self) -> Fence {
        RwLockWriteGuard::fence(self)
    }
}

impl Drop for RwLockWriteGuard<'_> {
    fn drop(&mut self) {
        // A hold that is gone already is no reason to panic in a destructor; `unlock` is for those who want to know.
        drop(self.lock.end(self.hold));
    }
}
