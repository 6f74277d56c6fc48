//! Waiting, with a lock let go, for something that another process changes under that lock.

use std::time::{Duration, Instant};

use crate::bindings::lockkeeper::runtime::condition as host;
use crate::error::Error;
use crate::hold::{Acquired, Hold, nanoseconds};

pub(crate) mod sealed {
    use crate::hold::{Acquired, Fence};

    /// What a wait does to a guard.
    pub trait Waits {
        /// The fence of the hold that this process has of the guard's lock.
        fn held(&self) -> Option<Fence>;
        /// From now on the guard stands for this hold.
        fn renew(&mut self, hold: Acquired);
    }
}

/// A guard that can wait for a condition: that of a [`Mutex`](crate::Mutex) or an [`RLock`](crate::RLock).
pub trait ConditionGuard: Hold + sealed::Waits {}

/// A handle of one condition of the job, which the job binds to one mutex or rlock. Open it once and keep it.
///
/// Who waits lets the lock go and gets in the queue in one step, so a notification after it is not missed. Nobody wakes
/// without a notification, its timeout, or its end. `notify` never waits, whoever has died; a notification on its way
/// to a process that ends passes to the next in the queue.
///
/// What was waited for need not hold any more when the wait returns, as others may have been first.
/// [`Condition::wait_while`] looks again.
///
/// ```no_run
/// use lockkeeper_guest::{Condition, Error, Mutex, Value};
///
/// # fn main() -> Result<(), Error> {
/// let lock = Mutex::open("pool")?;
/// let freed = Condition::open("freed")?;
/// let free = Value::<i64>::open("free")?;
///
/// let guard = freed.wait_while(lock.lock()?, |_| free.get() == 0)?;
/// free.add(-1)?;
/// guard.unlock()?;
///
/// // And when it is done with it:
/// let guard = lock.lock()?;
/// free.add(1)?;
/// freed.notify_one()?;
/// guard.unlock()?;
/// # Ok(())
/// # }
/// ```
///
/// # The hold after a wait
///
/// It is a new one, with a new fence, and as deep as before. The guard that comes back stands for it. Where an rlock
/// was held several times over, its other guards stand for it too.
#[derive(Debug)]
pub struct Condition {
    handle: host::Condition,
}

impl Condition {
    /// Opens the condition that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such condition for this process; [`Error::Limit`]
    /// when too many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Condition::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Releases the lock, waits for a notification, and acquires the lock again. The guard that comes back has the
    /// fence of the new hold.
    ///
    /// # Errors
    ///
    /// After any of them the guard is gone, as if it had been dropped.
    ///
    /// [`Error::NotOwner`] when this process does not hold the condition's lock; [`Error::InvalidArgument`] when it
    /// does, but the guard is of another lock; [`Error::Lost`] when the hold was taken away before; [`Error::Limit`] of
    /// waiters; and what acquiring the lock again can meet: [`Error::Deadlock`], [`Error::Cancelled`],
    /// [`Error::NotRecoverable`], [`Error::Unavailable`].
    pub fn wait<G: ConditionGuard>(&self, guard: G) -> Result<G, Error> {
        Ok(self.wait_ns(guard, None)?.0)
    }

    /// As [`Condition::wait`], but waits for the notification no longer than `timeout`. The other half of the answer is
    /// whether it came. The lock is held again in both cases, and waiting for it is not limited.
    ///
    /// # Errors
    ///
    /// As [`Condition::wait`]; that the time ran out is none.
    pub fn wait_timeout<G: ConditionGuard>(&self, guard: G, timeout: Duration) -> Result<(G, bool), Error> {
        self.wait_ns(guard, nanoseconds(timeout))
    }

    /// Waits as long as `condition` is true, which is looked at under the lock: first at once, then after each
    /// notification.
    ///
    /// # Errors
    ///
    /// As [`Condition::wait`].
    pub fn wait_while<G: ConditionGuard>(&self, guard: G, condition: impl FnMut(&G) -> bool) -> Result<G, Error> {
        Ok(self.wait_until(guard, None, condition)?.0)
    }

    /// As [`Condition::wait_while`], but no longer than `timeout` for all notifications together. The other half of the
    /// answer is whether `condition` is false at last; it is true when the time ran out first.
    ///
    /// # Errors
    ///
    /// As [`Condition::wait`]; that the time ran out is none.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use lockkeeper_guest::{Condition, Error, Mutex, Value};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let (lock, freed, free) = (Mutex::open("pool")?, Condition::open("freed")?, Value::<i64>::open("free")?);
    /// let (guard, came) = freed.wait_while_timeout(lock.lock()?, Duration::from_secs(5), |_| free.get() == 0)?;
    /// if !came {
    ///     println!("nothing was freed in time");
    /// }
    /// # drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_while_timeout<G: ConditionGuard>(
        &self,
        guard: G,
        timeout: Duration,
        condition: impl FnMut(&G) -> bool,
    ) -> Result<(G, bool), Error> {
        // A deadline that no clock reaches is none.
        self.wait_until(guard, Instant::now().checked_add(timeout), condition)
    }

    /// Wakes the `count` who have waited longest, or all if there are fewer. Answers how many. They run once the lock
    /// is released.
    ///
    /// # Errors
    ///
    /// [`Error::NotOwner`] when this process does not hold the lock; [`Error::InvalidArgument`] for 0; [`Error::Lost`].
    pub fn notify(&self, count: u32) -> Result<u32, Error> {
        self.handle.notify(count).map_err(Error::from_wit)
    }

    /// Wakes the one who has waited longest. Answers whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Condition::notify`].
    pub fn notify_one(&self) -> Result<bool, Error> {
        Ok(self.notify(1)? == 1)
    }

    /// Wakes everyone who waits. Answers how many.
    ///
    /// # Errors
    ///
    /// As [`Condition::notify`].
    pub fn notify_all(&self) -> Result<u32, Error> {
        self.handle.notify_all().map_err(Error::from_wit)
    }

    /// How many wait for a notification at this moment.
    pub fn waiting(&self) -> u32 {
        self.handle.waiting()
    }

    fn wait_until<G: ConditionGuard>(
        &self,
        mut guard: G,
        deadline: Option<Instant>,
        mut condition: impl FnMut(&G) -> bool,
    ) -> Result<(G, bool), Error> {
        while condition(&guard) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok((guard, false));
            }
            guard = self.wait_ns(guard, left.and_then(nanoseconds))?.0;
        }
        Ok((guard, true))
    }

    fn wait_ns<G: ConditionGuard>(&self, mut guard: G, timeout_ns: Option<u64>) -> Result<(G, bool), Error> {
        let before = guard.fence();
        let woken = self.handle.wait(timeout_ns).map_err(Error::from_wit)?;
        // The wait gave the condition's lock a greater fence. A guard whose lock still has the old one is of another.
        if guard.held() == Some(before) {
            return Err(Error::InvalidArgument("the guard is of another lock than the condition's".to_owned()));
        }
        guard.renew(Acquired::from_wit(woken.hold));
        Ok((guard, woken.notified))
    }
}
