//! A table with a clock that only the test moves, and waiters of every primitive whose wake-ups are counted.

use std::cell::RefCell;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    AcquireError, Acquired, AfterDeath, Ask, Counters, Delivery, EndCause, FenceBlock, Given, Index, Item, Kind,
    Limits, LockConfig, LockId, LockTable, OwnerId, Parties, Passage, QueueConfig, SemaphoreKind, Stored, Turn, Wait,
};

pub(crate) const A: OwnerId = OwnerId::new(1);
pub(crate) const B: OwnerId = OwnerId::new(2);
pub(crate) const C: OwnerId = OwnerId::new(3);
pub(crate) const D: OwnerId = OwnerId::new(4);
pub(crate) const E: OwnerId = OwnerId::new(5);

/// The bound of locks that may be barged at, in microseconds.
pub(crate) const BOUND_US: u64 = 1_000;

pub(crate) struct Desk {
    pub(crate) table: Arc<LockTable>,
    start: Instant,
    /// Each condition with its lock.
    conditions: RefCell<Vec<(LockId, LockId)>>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self { table: Arc::new(LockTable::new(limits)), start: Instant::now(), conditions: RefCell::default() }
    }

    pub(crate) fn at(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    // ---- objects ----

    pub(crate) fn make(&self, kind: Kind, config: LockConfig) -> LockId {
        self.table.create(kind, config, FenceBlock { start: 1, end: 1_000_001 })
    }

    /// An object without barging: whatever becomes free is handed over at once.
    pub(crate) fn strict(&self, kind: Kind) -> LockId {
        self.make(kind, LockConfig::strict())
    }

    /// A lock with a bound of [`BOUND_US`].
    pub(crate) fn barging(&self, kind: Kind) -> LockId {
        self.make(kind, LockConfig::bounded(Duration::from_micros(BOUND_US)))
    }

    pub(crate) fn with_policy(&self, kind: Kind, after_death: AfterDeath) -> LockId {
        self.make(kind, LockConfig { after_death, ..LockConfig::strict() })
    }

    pub(crate) fn mutex(&self) -> LockId {
        self.strict(Kind::Mutex)
    }

    pub(crate) fn rlock(&self, depth_max: u32) -> LockId {
        self.strict(Kind::RLock { depth_max })
    }

    pub(crate) fn rwlock(&self) -> LockId {
        self.strict(RWLOCK)
    }

    pub(crate) fn permits(&self, permits: u32) -> LockId {
        self.strict(Kind::Semaphore(SemaphoreKind::Owned { permits }))
    }

    pub(crate) fn signal(&self, permits: u32, maximum: Option<u32>) -> LockId {
        self.strict(Kind::Semaphore(SemaphoreKind::Signal { permits, maximum }))
    }

    pub(crate) fn condition(&self, lock: LockId) -> LockId {
        let condition = self.strict(Kind::Condition { lock });
        self.conditions.borrow_mut().push((condition, lock));
        condition
    }

    pub(crate) fn lock_of(&self, condition: LockId) -> LockId {
        let conditions = self.conditions.borrow();
        conditions.iter().find(|(known, _)| *known == condition).expect("a condition of this desk").1
    }

    pub(crate) fn barrier(&self, parties: u32, parties_are: Parties) -> LockId {
        self.strict(Kind::Barrier { parties, parties_are })
    }

    pub(crate) fn items(&self, items_max: u32, bytes_max: u64) -> LockId {
        self.strict(Kind::Queue(QueueConfig { items_max, bytes_max, delivery: Delivery::AtMostOnce }))
    }

    pub(crate) fn acknowledged(&self, items_max: u32, bytes_max: u64) -> LockId {
        let delivery = Delivery::Acknowledged { unfinished_max: 4 };
        self.strict(Kind::Queue(QueueConfig { items_max, bytes_max, delivery }))
    }

    // ---- locks ----

    /// Asks for what must be had at once.
    pub(crate) fn take(&self, owner: OwnerId, lock: LockId, ask: Ask, us: u64) -> Acquired {
        ready(self.table.ask(owner, lock, ask, self.at(us)))
    }

    /// The same, where the answer does not matter.
    pub(crate) fn hold(&self, owner: OwnerId, lock: LockId, ask: Ask, us: u64) {
        let _ = self.take(owner, lock, ask, us);
    }

    /// Asks for what must not be had at once. The waiter has polled and sleeps.
    pub(crate) fn queue(&self, owner: OwnerId, lock: LockId, ask: Ask, us: u64) -> Sleeper<Acquired> {
        asleep(self.table.ask(owner, lock, ask, self.at(us)))
    }

    pub(crate) fn refused(&self, owner: OwnerId, lock: LockId, ask: Ask, us: u64) -> AcquireError {
        self.table.ask(owner, lock, ask, self.at(us)).expect_err("the request was to be refused")
    }

    /// Whether a try gets it now.
    pub(crate) fn can_take(&self, owner: OwnerId, lock: LockId, ask: Ask, us: u64) -> bool {
        self.table.try_ask(owner, lock, ask, self.at(us)).expect("the try is not refused").is_some()
    }

    pub(crate) fn release(&self, owner: OwnerId, lock: LockId, us: u64) {
        self.table.release(owner, lock, self.at(us)).expect("the owner holds the lock");
    }

    pub(crate) fn give(&self, owner: OwnerId, lock: LockId, permits: u32, us: u64) {
        self.table.release_permits(owner, lock, permits, self.at(us)).expect("the permits can be released");
    }

    /// How much of the lock the owner holds.
    pub(crate) fn count(&self, owner: OwnerId, lock: LockId) -> u32 {
        self.table.held(owner, lock).map_or(0, |holder| holder.count)
    }

    pub(crate) fn free(&self, semaphore: LockId) -> u32 {
        self.table.permits(semaphore).0
    }

    pub(crate) fn queued(&self, lock: LockId) -> Vec<OwnerId> {
        self.table.inspect(lock).queue.into_iter().map(|waiter| waiter.owner).collect()
    }

    pub(crate) fn counters(&self, lock: LockId) -> Counters {
        self.table.inspect(lock).counters
    }

    /// Ends an owner, both halves.
    pub(crate) fn end(&self, owner: OwnerId, how: EndCause, us: u64) {
        let ended = self.table.begin_end(owner, how);
        self.table.finish_end(ended, self.at(us));
    }

    /// Takes the lock away from whoever has it, both halves.
    pub(crate) fn revoke(&self, lock: LockId, us: u64) {
        let revoked = self.table.begin_revoke(lock, None, EndCause::Expired).expect("somebody holds it");
        self.table.finish_revoke(revoked, self.at(us));
    }

    // ---- what is waited at ----

    /// Lets the lock of a condition go and sleeps at it. Also says how deep the lock was held.
    pub(crate) fn wait_condition(&self, owner: OwnerId, condition: LockId, us: u64) -> (Sleeper<()>, u32) {
        let wait = self.table.wait_condition(owner, condition, self.at(us)).expect("the owner holds the lock");
        let mut sleeper = Sleeper::new(wait.wait);
        assert_eq!(sleeper.poll(), None, "who has just queued waits");
        (sleeper, wait.depth)
    }

    pub(crate) fn wait_event(&self, owner: OwnerId, event: LockId) -> Sleeper<()> {
        asleep(self.table.wait_event(owner, event, self.at(0)))
    }

    pub(crate) fn wait_latch(&self, owner: OwnerId, latch: LockId) -> Sleeper<()> {
        asleep(self.table.wait_latch(owner, latch, self.at(0)))
    }

    pub(crate) fn wait_exit(&self, owner: OwnerId, exit: LockId) -> Sleeper<()> {
        asleep(self.table.wait_exit(owner, exit, self.at(0)))
    }

    pub(crate) fn arrive(&self, owner: OwnerId, barrier: LockId) -> Sleeper<Index> {
        asleep(self.table.wait_barrier(owner, barrier, self.at(0)))
    }

    /// The last party of a round.
    pub(crate) fn arrive_last(&self, owner: OwnerId, barrier: LockId) -> u32 {
        ready(self.table.wait_barrier(owner, barrier, self.at(0))).0
    }

    pub(crate) fn begin(&self, owner: OwnerId, once: LockId, us: u64) -> Acquired {
        match ready(self.table.begin_once(owner, once, self.at(us))) {
            Turn::Yours(acquired) => acquired,
            Turn::Done => panic!("it was not done"),
        }
    }

    pub(crate) fn wait_once(&self, owner: OwnerId, once: LockId, us: u64) -> Sleeper<Turn> {
        asleep(self.table.begin_once(owner, once, self.at(us)))
    }

    /// Stores an item of so many bytes that there is room for.
    pub(crate) fn put(&self, owner: OwnerId, queue: LockId, bytes: usize) -> u64 {
        ready(self.table.put(owner, queue, item(bytes), self.at(0))).0
    }

    pub(crate) fn wait_put(&self, owner: OwnerId, queue: LockId, bytes: usize) -> Sleeper<Stored> {
        asleep(self.table.put(owner, queue, item(bytes), self.at(0)))
    }

    pub(crate) fn get(&self, owner: OwnerId, queue: LockId) -> Item {
        ready(self.table.get(owner, queue, self.at(0)))
    }

    pub(crate) fn wait_get(&self, owner: OwnerId, queue: LockId) -> Sleeper<Item> {
        asleep(self.table.get(owner, queue, self.at(0)))
    }

    pub(crate) fn wait_join(&self, owner: OwnerId, queue: LockId) -> Sleeper<()> {
        asleep(self.table.join_queue(owner, queue, self.at(0)))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.table.check();
        }
    }
}

pub(crate) const RWLOCK: Kind = Kind::RwLock { depth_max: 3 };

pub(crate) fn item(bytes: usize) -> Arc<[u8]> {
    vec![7; bytes].into()
}

/// The answer to a request that does not wait.
pub(crate) fn ready<T: Debug>(passage: Result<Passage<T>, AcquireError>) -> T {
    match passage {
        Ok(Passage::Ready(answer)) => answer,
        other => panic!("it was to be had at once: {other:?}"),
    }
}

/// The wait of a request that does. It has polled and sleeps.
pub(crate) fn asleep<T: Given + Debug + PartialEq>(passage: Result<Passage<T>, AcquireError>) -> Sleeper<T> {
    let mut sleeper = unpolled(passage);
    assert_eq!(sleeper.poll(), None, "who has just queued waits");
    sleeper
}

pub(crate) fn unpolled<T: Given + Debug>(passage: Result<Passage<T>, AcquireError>) -> Sleeper<T> {
    match passage {
        Ok(Passage::Wait(wait)) => Sleeper::new(wait),
        other => panic!("it was not to be had at once: {other:?}"),
    }
}

/// A waiter that notes when it is woken.
pub(crate) struct Sleeper<T> {
    pub(crate) wait: Wait<T>,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: Given + Debug> Sleeper<T> {
    pub(crate) fn new(wait: Wait<T>) -> Self {
        Self { wait, calls: Arc::default() }
    }

    pub(crate) fn poll(&mut self) -> Option<Result<T, AcquireError>> {
        let waker = Waker::from(Arc::clone(&self.calls));
        match Pin::new(&mut self.wait).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// Polls a waiter that must have been woken and be answered now.
    pub(crate) fn answer(&mut self) -> Result<T, AcquireError> {
        assert!(self.is_awake(), "nobody comes who sleeps");
        self.poll().expect("the waiter is answered")
    }

    /// The same, for an answer that is no refusal.
    pub(crate) fn got(&mut self) -> T {
        self.answer().expect("the waiter is not refused")
    }

    pub(crate) fn refused(&mut self) -> AcquireError {
        self.answer().expect_err("the waiter is refused")
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Result<T, AcquireError> {
        self.wait.expire(now)
    }

    /// Whether somebody has woken it.
    pub(crate) fn is_awake(&self) -> bool {
        self.wakes() > 0
    }

    /// How often it was woken so far.
    pub(crate) fn wakes(&self) -> usize {
        self.calls.0.load(Ordering::Relaxed)
    }
}
