//! A lock whose owner may acquire it again, and the guards that stand for its acquisitions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use crate::bindings::lockkeeper::runtime::rlock as host;
use crate::condition::{self, ConditionGuard};
use crate::error::Error;
use crate::hold::{Acquired, Fence, Hold, Previous, nanoseconds, sealed};

/// The fence of the hold that this process has of each rlock, by the lock's name. All guards of one hold share it.
///
/// A [`Condition`](crate::Condition) lets the lock go and takes it again with a new fence, at the depth of before. The
/// guards of the outer acquisitions have to follow, also those that came from another handle: with the old fence, the
/// host would refuse their release, and the lock would stay held. The guards of a hold that was taken away must not
/// follow: they would release a later one.
static HOLDS: StdMutex<BTreeMap<String, Weak<AtomicU64>>> = StdMutex::new(BTreeMap::new());

/// The place where the guards of this hold share its fence.
fn shared(name: &str, fence: Fence) -> Arc<AtomicU64> {
    let mut holds = HOLDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(hold) = holds.get(name).and_then(Weak::upgrade)
        && hold.load(Ordering::Relaxed) == fence.get()
    {
        return hold;
    }
    let hold = Arc::new(AtomicU64::new(fence.get()));
    holds.insert(name.to_owned(), Arc::downgrade(&hold));
    hold
}

/// A handle of one re-entrant lock of the job. Open it once and keep it; opening acquires nothing.
///
/// It is a [`Mutex`](crate::Mutex) that its owner may acquire again, at once and with the same fence. Each acquisition
/// has a guard of its own, and the lock is released with the last. The owner is the process, whichever handle it used.
///
/// ```no_run
/// use lockkeeper_guest::{Error, RLock};
///
/// # fn main() -> Result<(), Error> {
/// let lock = RLock::open("tree")?;
/// let outer = lock.lock()?;
/// let inner = lock.lock()?;
/// assert_eq!(inner.depth(), 2);
/// assert_eq!(inner.fence(), outer.fence());
/// inner.unlock()?; // still held
/// outer.unlock()?; // free
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RLock {
    handle: host::Rlock,
    name: String,
}

impl RLock {
    /// Opens the rlock that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such lock for this process; [`Error::Limit`] when too
    /// many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Rlock::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle, name: name.to_owned() })
    }

    /// Acquires the lock: at once if this process holds it, else in order of arrival, for ever if need be.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] when waiting would close a circle of processes; [`Error::Lost`] once, after the hold that
    /// this process had was taken away; [`Error::NotRecoverable`]; [`Error::Cancelled`]; [`Error::Limit`] of waiters,
    /// of holds or of depth; [`Error::Unavailable`].
    pub fn lock(&self) -> Result<RLockGuard<'_>, Error> {
        self.acquire(None)
    }

    /// Acquires the lock if that needs no waiting; `None` if it does. Contention is no error.
    ///
    /// # Errors
    ///
    /// As [`RLock::lock`], except for what only waiting can meet.
    pub fn try_lock(&self) -> Result<Option<RLockGuard<'_>>, Error> {
        let acquired = self.handle.try_acquire().map_err(Error::from_wit)?;
        Ok(acquired.map(|acquired| RLockGuard::new(self, Acquired::from_wit(acquired))))
    }

    /// Acquires the lock, and waits for it no longer than `timeout`, as
    /// [`Mutex::lock_timeout`](crate::Mutex::lock_timeout) does.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`RLock::lock`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<RLockGuard<'_>, Error> {
        self.acquire(nanoseconds(timeout))
    }

    /// Acquires the lock, calls `work` with the guard, and undoes the acquisition, also if `work` fails. What `work`
    /// answers is passed on.
    ///
    /// # Errors
    ///
    /// What `work` returns; as [`RLock::lock`]; and if `work` went well but the hold was taken away meanwhile,
    /// [`Error::Lost`]: what was done last may not have been done alone.
    pub fn with_lock<T, E: From<Error>>(&self, work: impl FnOnce(&RLockGuard<'_>) -> Result<T, E>) -> Result<T, E> {
        let guard = self.lock()?;
        let answer = work(&guard)?;
        guard.unlock()?;
        Ok(answer)
    }

    /// Whether any process holds the lock at this moment. The answer may be outdated when you read it.
    pub fn is_locked(&self) -> bool {
        self.handle.locked()
    }

    /// The fence of the hold that this process has, if it has one, with or without a guard for it.
    pub fn held(&self) -> Option<Fence> {
        self.handle.held().map(Fence::new)
    }

    /// How often this process has acquired the lock and not released it; 0 if it does not hold it.
    pub fn depth(&self) -> u32 {
        self.handle.depth()
    }

    /// Undoes one acquisition when no guard is left to do it, as after [`std::mem::forget`].
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] when nobody holds it; [`Error::NotOwner`] when another process does; [`Error::Lost`] when the
    /// hold was taken away before.
    pub fn release(&self) -> Result<(), Error> {
        self.handle.release(None).map_err(Error::from_wit)
    }

    /// As [`RLockGuard::mark_consistent`], where there is no guard: after [`std::mem::forget`], or for a part of a
    /// [`MultiLock`](crate::MultiLock).
    ///
    /// # Errors
    ///
    /// As [`RLock::release`].
    pub fn mark_consistent(&self) -> Result<(), Error> {
        self.handle.mark_consistent().map_err(Error::from_wit)
    }

    fn acquire(&self, timeout_ns: Option<u64>) -> Result<RLockGuard<'_>, Error> {
        let acquired = self.handle.acquire(timeout_ns).map_err(Error::from_wit)?;
        Ok(RLockGuard::new(self, Acquired::from_wit(acquired)))
    }
}

/// One acquisition of an rlock. Drop it to undo that acquisition; the last one releases the lock. The order does not
/// matter.
#[derive(Debug)]
#[must_use = "dropping the guard undoes the acquisition at once"]
pub struct RLockGuard<'a> {
    lock: &'a RLock,
    fence: Arc<AtomicU64>,
    previous: Previous,
}

impl<'a> RLockGuard<'a> {
    fn new(lock: &'a RLock, hold: Acquired) -> Self {
        Self { lock, fence: shared(&lock.name, hold.fence), previous: hold.previous }
    }
}

impl RLockGuard<'_> {
    /// The number of this hold: the same for all its guards. It is a new one after a
    /// [`Condition::wait`](crate::Condition::wait), for the guards that were there before it too.
    pub fn fence(&self) -> Fence {
        Fence::new(self.fence.load(Ordering::Relaxed))
    }

    /// In what state the last owner left what the lock protects, as this acquisition was told.
    pub fn previous(&self) -> Previous {
        self.previous
    }

    /// How often this process has acquired the lock at this moment, this time included; 0 if the hold was taken away.
    pub fn depth(&self) -> u32 {
        self.lock.depth()
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

    /// Undoes this acquisition, and says whether this process still had it. Dropping the guard does it too, silently.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the hold was taken away before, [`Error::Fenced`] when this process has acquired the lock
    /// again since: what was done last may not have been done alone.
    pub fn unlock(mut self) -> Result<(), Error> {
        let answer = self.release();
        // The guard is not to release again, and its share of the fence is to be freed.
        let fence = std::mem::take(&mut self.fence);
        std::mem::forget(self);
        drop(fence);
        answer
    }

    /// Undoes one acquisition of this hold, and of no later one.
    fn release(&self) -> Result<(), Error> {
        self.lock.handle.release(Some(self.fence().get())).map_err(Error::from_wit)
    }
}

impl sealed::Sealed for RLockGuard<'_> {}

impl Hold for RLockGuard<'_> {
    fn fence(&self) -> Fence {
        RLockGuard::fence(self)
    }
}

impl condition::sealed::Waits for RLockGuard<'_> {
    fn held(&self) -> Option<Fence> {
        self.lock.held()
    }

    fn renew(&mut self, hold: Acquired) {
        self.fence.store(hold.fence.get(), Ordering::Relaxed);
        self.previous = hold.previous;
    }
}

impl ConditionGuard for RLockGuard<'_> {}

impl Drop for RLockGuard<'_> {
    fn drop(&mut self) {
        // A hold that is gone already is no reason to panic in a destructor; `unlock` is for those who want to know.
        drop(self.release());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_of_one_hold_share_its_fence_and_those_of_a_lost_one_do_not() {
        let outer = shared("of-a-test", Fence::new(7));
        let inner = shared("of-a-test", Fence::new(7));
        inner.store(9, Ordering::Relaxed);
        assert_eq!(outer.load(Ordering::Relaxed), 9, "the outer guard follows a wait of the inner one");
        assert!(Arc::ptr_eq(&outer, &shared("of-a-test", Fence::new(9))));

        let later = shared("of-a-test", Fence::new(12));
        later.store(13, Ordering::Relaxed);
        assert_eq!(outer.load(Ordering::Relaxed), 9, "a guard of a hold that was lost stays behind");
    }
}
