//! A lock with one owner at a time, and the guard that stands for holding it.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::mutex as host;
use crate::condition::{self, ConditionGuard};
use crate::error::Error;
use crate::hold::{Acquired, Fence, Hold, Previous, nanoseconds, sealed};

/// A handle of one mutex of the job. Open it once and keep it; opening acquires nothing.
///
/// At most one process holds a mutex. Waiters are served in order of arrival, within the barging bound that the
/// contract states. Dropping the handle releases nothing: a hold belongs to the process.
///
/// ```no_run
/// use lockkeeper_guest::{Error, Mutex};
///
/// # fn main() -> Result<(), Error> {
/// let lock = Mutex::open("results")?;
/// let guard = lock.lock()?;
/// println!("this hold has fence {}", guard.fence());
/// guard.unlock()?; // or drop it
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mutex {
    handle: host::Mutex,
}

impl Mutex {
    /// Opens the mutex that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such lock for this process; [`Error::Limit`] when too
    /// many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Mutex::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Acquires the mutex, and waits for it in order of arrival, for ever if need be. The wait parks this process only.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] at once when this process holds it already, or when waiting would close a circle of
    /// processes; [`Error::Lost`] once, after the hold that this process had was taken away; [`Error::Cancelled`];
    /// [`Error::Limit`] of waiters or of holds; [`Error::Unavailable`].
    pub fn lock(&self) -> Result<MutexGuard<'_>, Error> {
        self.acquire(None)
    }

    /// Acquires the mutex if that needs no waiting; `None` if it does. Contention is no error.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`], except for what only waiting can meet.
    ///
    /// ```no_run
    /// use lockkeeper_guest::{Error, Mutex};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let lock = Mutex::open("results")?;
    /// match lock.try_lock()? {
    ///     Some(guard) => guard.unlock()?,
    ///     None => println!("busy: do something else first"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_lock(&self) -> Result<Option<MutexGuard<'_>>, Error> {
        let acquired = self.handle.try_acquire().map_err(Error::from_wit)?;
        Ok(acquired.map(|acquired| MutexGuard { mutex: self, hold: Acquired::from_wit(acquired) }))
    }

    /// Acquires the mutex, and waits for it no longer than `timeout`, measured on a clock that never steps. Zero does
    /// not wait. A timeout is counted in nanoseconds; from 584 years on it is for ever.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`Mutex::lock`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_>, Error> {
        self.acquire(nanoseconds(timeout))
    }

    /// Acquires the mutex, calls `work` with the guard, and releases the mutex again, also if `work` fails. What `work`
    /// answers is passed on.
    ///
    /// # Errors
    ///
    /// What `work` returns; as [`Mutex::lock`]; and if `work` went well but the hold was taken away meanwhile,
    /// [`Error::Lost`]: what was done last may not have been done alone.
    ///
    /// ```no_run
    /// use lockkeeper_guest::{AppendFile, Error, Mutex};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let lock = Mutex::open("results")?;
    /// let file = AppendFile::open("results")?;
    /// lock.with_lock(|guard| file.append(guard, "one line"))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_lock<T, E: From<Error>>(&self, work: impl FnOnce(&MutexGuard<'_>) -> Result<T, E>) -> Result<T, E> {
        let guard = self.lock()?;
        let answer = work(&guard)?;
        guard.unlock()?;
        Ok(answer)
    }

    /// Whether any process holds the mutex at this moment. The answer may be outdated when you read it.
    pub fn is_locked(&self) -> bool {
        self.handle.locked()
    }

    /// The fence of the hold that this process has, if it has one, with or without a guard for it.
    pub fn held(&self) -> Option<Fence> {
        self.handle.held().map(Fence::new)
    }

    /// Releases the hold that this process has when no guard is left to do it, as after [`std::mem::forget`].
    ///
    /// A guard that is still there finds its hold over and does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] when nobody holds it; [`Error::NotOwner`] when another process does; [`Error::Lost`] when the
    /// hold was taken away before.
    pub fn release(&self) -> Result<(), Error> {
        self.handle.release(None).map_err(Error::from_wit)
    }

    /// As [`MutexGuard::mark_consistent`], where there is no guard: after [`std::mem::forget`], or for a part of a
    /// [`MultiLock`](crate::MultiLock).
    ///
    /// # Errors
    ///
    /// As [`Mutex::release`].
    pub fn mark_consistent(&self) -> Result<(), Error> {
        self.handle.mark_consistent().map_err(Error::from_wit)
    }

    fn acquire(&self, timeout_ns: Option<u64>) -> Result<MutexGuard<'_>, Error> {
        let acquired = self.handle.acquire(timeout_ns).map_err(Error::from_wit)?;
        Ok(MutexGuard { mutex: self, hold: Acquired::from_wit(acquired) })
    }
}

/// A hold of a mutex. Pass it to [`AppendFile::append`](crate::AppendFile::append); drop it to release the mutex.
#[derive(Debug)]
#[must_use = "dropping the guard releases the mutex at once"]
pub struct MutexGuard<'a> {
    mutex: &'a Mutex,
    hold: Acquired,
}

impl MutexGuard<'_> {
    /// The number of this hold.
    pub fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// In what state the last owner left what the lock protects.
    ///
    /// ```no_run
    /// use lockkeeper_guest::{Error, Mutex, Previous};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let lock = Mutex::open("results")?;
    /// let guard = lock.lock()?;
    /// if let Previous::Abandoned(last) = guard.previous() {
    ///     eprintln!("process {} left the lock ({}): check the data first", last.who, last.how);
    /// }
    /// # drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub fn previous(&self) -> Previous {
        self.hold.previous
    }

    /// Says that what the mutex protects is consistent again, after [`Previous::Abandoned`]. It matters for a mutex
    /// with the policy `poison`: released without this, it is [`Error::NotRecoverable`] for everyone from then on.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::NotOwner`] or [`Error::NotHeld`] when the hold was taken away before.
    ///
    /// ```no_run
    /// use lockkeeper_guest::{Error, Mutex, Previous};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let repair = || {};
    /// let lock = Mutex::open("ledger")?;
    /// let guard = lock.lock()?;
    /// if let Previous::Abandoned(_) = guard.previous() {
    ///     repair();
    ///     guard.mark_consistent()?;
    /// }
    /// guard.unlock()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn mark_consistent(&self) -> Result<(), Error> {
        self.mutex.mark_consistent()
    }

    /// Releases the mutex, and says whether this process still had it. Dropping the guard releases it too, silently.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the hold was taken away before, [`Error::Fenced`] when this process has acquired the mutex
    /// again since: what was done last may not have been done alone.
    pub fn unlock(self) -> Result<(), Error> {
        let answer = self.release();
        std::mem::forget(self);
        answer
    }

    /// Ends this hold, and no later one.
    fn release(&self) -> Result<(), Error> {
        self.mutex.handle.release(Some(self.hold.fence.get())).map_err(Error::from_wit)
    }
}

impl sealed::Sealed for MutexGuard<'_> {}

impl Hold for MutexGuard<'_> {
    fn fence(&self) -> Fence {
        MutexGuard::fence(self)
    }
}

impl condition::sealed::Waits for MutexGuard<'_> {
    fn held(&self) -> Option<Fence> {
        self.mutex.held()
    }

    fn renew(&mut self, hold: Acquired) {
        self.hold = hold;
    }
}

impl ConditionGuard for MutexGuard<'_> {}

impl Drop for MutexGuard<'_> {
    fn drop(&mut self) {
        // A hold that is gone already is no reason to panic in a destructor; `unlock` is for those who want to know.
        drop(self.release());
    }
}
