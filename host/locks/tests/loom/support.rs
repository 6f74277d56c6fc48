//! Tables of one race, and what its threads do.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    AcquireError, Acquired, Acquisition, AfterDeath, Ask, EndCause, FenceBlock, Given, Kind, Limits, LockConfig,
    LockId, LockState, LockTable, OwnerId, Passage, Wait,
};
use loom::future::block_on;
use loom::thread;

pub(crate) const A: OwnerId = OwnerId::new(1);
pub(crate) const B: OwnerId = OwnerId::new(2);
pub(crate) const C: OwnerId = OwnerId::new(3);

/// Explores the race with up to five pre-emptions, in a few seconds; `LOOM_MAX_PREEMPTIONS=20` takes about a minute.
pub(crate) fn explore(race: impl Fn(Instant) + Sync + Send + 'static) {
    let now = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(5));
    builder.check(move || race(now));
}

/// A mutex without barging, so that every release hands over.
pub(crate) fn strict() -> (Arc<LockTable>, LockId) {
    with_bound(Duration::ZERO)
}

/// A mutex whose head never reaches its bound, so that every release leaves it free.
pub(crate) fn barging() -> (Arc<LockTable>, LockId) {
    with_bound(Duration::from_secs(3_600))
}

pub(crate) fn with_bound(barge_bound: Duration) -> (Arc<LockTable>, LockId) {
    let table = Arc::new(LockTable::new(Limits::default()));
    let lock = table.create_mutex(LockConfig::bounded(barge_bound), FenceBlock { start: 1, end: 100 });
    (table, lock)
}

/// Several mutexes without barging in one table.
pub(crate) fn several<const N: usize>() -> (Arc<LockTable>, [LockId; N]) {
    let table = Arc::new(LockTable::new(Limits::default()));
    let config = LockConfig::bounded(Duration::ZERO);
    let locks = [(); N].map(|()| table.create_mutex(config, FenceBlock { start: 1, end: 100 }));
    (table, locks)
}

pub(crate) fn hold(table: &Arc<LockTable>, owner: OwnerId, lock: LockId, now: Instant) -> Acquired {
    match table.acquire(owner, lock, now) {
        Ok(Acquisition::Ready(acquired)) => acquired,
        other => panic!("the lock was to be had at once: {other:?}"),
    }
}

pub(crate) fn queue(table: &Arc<LockTable>, owner: OwnerId, lock: LockId, now: Instant) -> Wait {
    match table.acquire(owner, lock, now) {
        Ok(Acquisition::Wait(wait)) => wait,
        other => panic!("the lock was not to be had at once: {other:?}"),
    }
}

/// Polls once, with a waker that nobody listens to.
pub(crate) fn glance<T: Given>(wait: &mut Wait<T>) -> Poll<Result<T, AcquireError>> {
    Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
}

/// What must hold when all is over: nobody is left, and whoever comes next has the lock.
pub(crate) fn is_over(table: &Arc<LockTable>, lock: LockId, now: Instant) {
    table.check();
    assert_eq!(table.inspect(lock).state, LockState::Free);
    let acquired = hold(table, OwnerId::new(9), lock, now);
    assert_eq!(table.check_claim(OwnerId::new(9), lock, acquired.fence), Ok(()));
}

/// One object without barging in a table of its own.
pub(crate) fn one(kind: Kind) -> (Arc<LockTable>, LockId) {
    let table = Arc::new(LockTable::new(Limits::default()));
    let object = add(&table, kind, AfterDeath::Flag);
    (table, object)
}

pub(crate) fn add(table: &LockTable, kind: Kind, after_death: AfterDeath) -> LockId {
    table.create(kind, LockConfig { after_death, ..LockConfig::strict() }, FenceBlock { start: 1, end: 100 })
}

/// A condition with its mutex, and A waiting at it.
pub(crate) fn condition(now: Instant) -> (Arc<LockTable>, LockId, LockId, Wait<()>) {
    let table = Arc::new(LockTable::new(Limits::default()));
    let lock = add(&table, Kind::Mutex, AfterDeath::Flag);
    let condition = add(&table, Kind::Condition { lock }, AfterDeath::Flag);
    let wait = wait_condition(&table, A, lock, condition, now);
    (table, lock, condition, wait)
}

pub(crate) fn wait_condition(
    table: &Arc<LockTable>,
    owner: OwnerId,
    lock: LockId,
    condition: LockId,
    now: Instant,
) -> Wait<()> {
    let _ = hold(table, owner, lock, now);
    table.wait_condition(owner, condition, now).expect("the owner holds the lock").wait
}

pub(crate) fn had<T: std::fmt::Debug>(passage: Result<Passage<T>, AcquireError>) -> T {
    match passage {
        Ok(Passage::Ready(answer)) => answer,
        other => panic!("it was to be had at once: {other:?}"),
    }
}

pub(crate) fn waits<T: std::fmt::Debug>(passage: Result<Passage<T>, AcquireError>) -> Wait<T> {
    match passage {
        Ok(Passage::Wait(wait)) => wait,
        other => panic!("it was not to be had at once: {other:?}"),
    }
}

/// Asks, and waits if need be.
pub(crate) fn get_in_the_end<T: Given + std::fmt::Debug>(
    passage: Result<Passage<T>, AcquireError>,
) -> Result<T, AcquireError> {
    match passage? {
        Passage::Ready(answer) => Ok(answer),
        Passage::Wait(wait) => block_on(wait),
    }
}

/// Does something beside the test.
pub(crate) fn beside<T: 'static>(
    table: &Arc<LockTable>,
    deed: impl FnOnce(&Arc<LockTable>) -> T + 'static,
) -> thread::JoinHandle<T> {
    let table = Arc::clone(table);
    thread::spawn(move || deed(&table))
}

pub(crate) fn kill(table: &Arc<LockTable>, owner: OwnerId, now: Instant) {
    let ended = table.begin_end(owner, EndCause::Killed);
    table.finish_end(ended, now);
}

pub(crate) fn rwlock() -> (Arc<LockTable>, LockId) {
    one(Kind::RwLock { depth_max: 2 })
}

pub(crate) fn ask(table: &Arc<LockTable>, owner: OwnerId, lock: LockId, ask: Ask, now: Instant) -> Wait {
    waits(table.ask(owner, lock, ask, now))
}
