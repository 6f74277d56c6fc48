//! A table with a clock that only the test moves, and waiters whose wake-ups are counted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    AcquireError, Acquired, Acquisition, Fence, FenceBlock, Limits, Link, LockConfig, LockId, LockTable, Mode, OwnerId,
    Wait,
};

pub(crate) const A: OwnerId = OwnerId::new(1);
pub(crate) const B: OwnerId = OwnerId::new(2);
pub(crate) const C: OwnerId = OwnerId::new(3);
pub(crate) const D: OwnerId = OwnerId::new(4);

/// The default barging bound, in microseconds.
pub(crate) const BOUND_US: u64 = 1_000;

pub(crate) struct Desk {
    pub(crate) table: Arc<LockTable>,
    start: Instant,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self { table: Arc::new(LockTable::new(limits)), start: Instant::now() }
    }

    pub(crate) fn at(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    /// A mutex with the default bound and a million fences from 1 on.
    pub(crate) fn mutex(&self) -> LockId {
        self.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 1, 1_000_001)
    }

    /// The same without barging.
    pub(crate) fn strict(&self) -> LockId {
        self.mutex_with(LockConfig::bounded(Duration::ZERO), 1, 1_000_001)
    }

    pub(crate) fn mutex_with(&self, config: LockConfig, start: u64, end: u64) -> LockId {
        self.table.create_mutex(config, FenceBlock { start, end })
    }

    /// Acquires a lock that must be had at once.
    pub(crate) fn take(&self, owner: OwnerId, lock: LockId, us: u64) -> Acquired {
        match self.table.acquire(owner, lock, self.at(us)) {
            Ok(Acquisition::Ready(acquired)) => acquired,
            other => panic!("the lock was to be had at once: {other:?}"),
        }
    }

    /// The same, where the fence does not matter.
    pub(crate) fn hold(&self, owner: OwnerId, lock: LockId, us: u64) {
        let _ = self.take(owner, lock, us);
    }

    /// Acquires a lock that must not be had at once. The waiter has polled and sleeps.
    pub(crate) fn queue(&self, owner: OwnerId, lock: LockId, us: u64) -> Sleeper {
        let mut sleeper = self.queue_unpolled(owner, lock, us);
        assert_eq!(sleeper.poll(), None, "who has just queued waits");
        sleeper
    }

    pub(crate) fn queue_unpolled(&self, owner: OwnerId, lock: LockId, us: u64) -> Sleeper {
        match self.table.acquire(owner, lock, self.at(us)) {
            Ok(Acquisition::Wait(wait)) => Sleeper { wait, calls: Arc::default() },
            other => panic!("the lock was not to be had at once: {other:?}"),
        }
    }

    pub(crate) fn refused(&self, owner: OwnerId, lock: LockId, us: u64) -> AcquireError {
        match self.table.acquire(owner, lock, self.at(us)) {
            Err(error) => error,
            other => panic!("the request was to be refused: {other:?}"),
        }
    }

    /// What an owner is told that has had, or waited for, the lock since a while and asks for it again.
    pub(crate) fn waits_for_itself(&self, owner: OwnerId, lock: LockId, since_us: u64) -> AcquireError {
        let since = self.at(since_us);
        AcquireError::Deadlock {
            circle: vec![Link {
                owner,
                holds: lock,
                held_as: Mode::Exclusive,
                since,
                waits_for: lock,
                asks_as: Mode::Exclusive,
            }],
        }
    }

    /// Whether a try gets the lock now.
    pub(crate) fn can_take(&self, owner: OwnerId, lock: LockId, us: u64) -> bool {
        self.table.try_acquire(owner, lock, self.at(us)).expect("the try is not refused").is_some()
    }

    pub(crate) fn release(&self, owner: OwnerId, lock: LockId, us: u64) {
        self.table.release(owner, lock, self.at(us)).expect("the owner holds the lock");
    }

    pub(crate) fn holder(&self, lock: LockId) -> Option<OwnerId> {
        self.table.inspect(lock).holder().map(|holder| holder.owner)
    }

    pub(crate) fn queued(&self, lock: LockId) -> Vec<OwnerId> {
        self.table.inspect(lock).queue.into_iter().map(|waiter| waiter.owner).collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.table.check();
        }
    }
}

/// A waiter that notes when it is woken.
pub(crate) struct Sleeper {
    wait: Wait,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sleeper {
    pub(crate) fn poll(&mut self) -> Option<Result<Acquired, AcquireError>> {
        let waker = Waker::from(Arc::clone(&self.calls));
        match Pin::new(&mut self.wait).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// Polls a waiter that must have the lock now.
    pub(crate) fn granted(&mut self) -> Acquired {
        self.poll().expect("the waiter is granted").expect("the waiter is not refused")
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Result<Acquired, AcquireError> {
        self.wait.expire(now)
    }

    /// How often it was woken so far.
    pub(crate) fn wakes(&self) -> usize {
        self.calls.0.load(Ordering::Relaxed)
    }

    /// How many hold on to its waker: the table, or nobody.
    pub(crate) fn wakers_kept(&self) -> usize {
        Arc::strong_count(&self.calls) - 1
    }
}

pub(crate) fn fence(number: u64) -> Fence {
    Fence::new(number)
}
