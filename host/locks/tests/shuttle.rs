//! Many tasks, many schedules: the whole table under schedulers that choose at random, and that look for rare orders (PCT).
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p lockkeeper-locks --test shuttle --release`: 2,000 schedules of each kind for
//! each test; `SCHEDULES=100000` for a long run. A failure prints its schedule; `SCHEDULE=<that text>` runs it again.
#![cfg(shuttle)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    AcquireError, Acquired, Ask, Delivery, EndCause, FenceBlock, GatePhase, GateView, Given, Homecoming, Kind, Left,
    Limits, LockConfig, LockId, LockState, LockTable, Mode, OwnerId, Parties, Passage, Place, QueueConfig,
    SemaphoreKind, Wait,
};
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread;

/// Rare orders need few switches at the right moments.
const PCT_DEPTH: usize = 4;

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    if let Ok(schedule) = std::env::var("SCHEDULE") {
        shuttle::replay(move || test(), &schedule);
        return;
    }
    let schedules = std::env::var("SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000);
    let again = test.clone();
    shuttle::Runner::new(RandomScheduler::new(schedules), shuttle::Config::default()).run(move || again());
    shuttle::Runner::new(PctScheduler::new(PCT_DEPTH, schedules), shuttle::Config::default()).run(move || test());
}

fn owner(number: usize) -> OwnerId {
    OwnerId::new(1 + number as u64)
}

/// A table on which owners run in two places, and a clock that stands still: waits are within their bound for ever or never,
/// as the lock's configuration says.
struct Desk {
    table: Arc<LockTable>,
    now: Instant,
}

impl Desk {
    fn new(owners: usize) -> Self {
        let table = Arc::new(LockTable::new(Limits::default()));
        for number in 0..owners {
            table.place_owner(owner(number), Place(u16::try_from(number % 2).expect("0 or 1")));
        }
        Self { table, now: Instant::now() }
    }

    fn add(&self, kind: Kind, config: LockConfig) -> LockId {
        self.table.create(kind, config, FenceBlock { start: 1, end: 1 << 40 })
    }
}

/// How a task deals with a wait.
#[derive(Clone, Copy)]
enum Patience {
    /// To the end.
    Endless,
    /// It looks so often, and then its deadline has come.
    Looks(u32),
    /// It looks so often, and then drops the wait.
    GivesUp(u32),
}

impl Patience {
    fn any() -> Self {
        match thread_rng().gen_range(0..4) {
            0 => Self::Looks(thread_rng().gen_range(0..3)),
            1 => Self::GivesUp(thread_rng().gen_range(0..3)),
            _ => Self::Endless,
        }
    }
}

/// Waits as patiently as that; none if it gave up.
fn wait<A: Given>(mut wait: Wait<A>, patience: Patience, now: Instant) -> Option<Result<A, AcquireError>> {
    let looks = match patience {
        Patience::Endless => return Some(block_on(wait)),
        Patience::Looks(looks) | Patience::GivesUp(looks) => looks,
    };
    for _ in 0..looks {
        let looked = block_on(std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut wait).poll(context))));
        if let Poll::Ready(answer) = looked {
            return Some(answer);
        }
        thread::yield_now();
    }
    match patience {
        Patience::Looks(_) => Some(wait.expire(now)),
        Patience::GivesUp(_) | Patience::Endless => None,
    }
}

fn pass<A: Given>(passage: Passage<A>, patience: Patience, now: Instant) -> Option<Result<A, AcquireError>> {
    match passage {
        Passage::Ready(answer) => Some(Ok(answer)),
        Passage::Wait(waiting) => wait(waiting, patience, now),
    }
}

/// Who is inside of each lock, counted by those who are: +1 for a reader or a permit, -1000 for a writer.
#[derive(Default)]
struct Inside(AtomicI64);

impl Inside {
    fn enter(&self, ask: Ask, room: i64) {
        match ask {
            Ask::Exclusive | Ask::Upgrade => {
                assert_eq!(self.0.fetch_sub(1_000, Ordering::Relaxed), 0, "nobody else is inside");
            }
            Ask::Shared => assert!(self.0.fetch_add(1, Ordering::Relaxed) >= 0, "no writer is inside"),
            Ask::Permits(count) => {
                let before = self.0.fetch_add(i64::from(count), Ordering::Relaxed);
                assert!(before >= 0 && before + i64::from(count) <= room, "no more permits are out than there are");
            }
        }
    }

    fn leave(&self, ask: Ask) {
        match ask {
            Ask::Exclusive | Ask::Upgrade => self.0.fetch_add(1_000, Ordering::Relaxed),
            Ask::Shared => self.0.fetch_sub(1, Ordering::Relaxed),
            Ask::Permits(count) => self.0.fetch_sub(i64::from(count), Ordering::Relaxed),
        };
    }
}

const PERMITS: u32 = 3;

/// Six owners take any of four locks, up to two at a time, wait, give up, run out of time and are refused for deadlocks.
fn locks(config: LockConfig) {
    const OWNERS: usize = 6;
    let desk = Arc::new(Desk::new(OWNERS));
    let locks = [
        desk.add(Kind::Mutex, config),
        desk.add(Kind::RwLock { depth_max: 4 }, config),
        desk.add(Kind::Semaphore(SemaphoreKind::Owned { permits: PERMITS }), config),
        desk.add(Kind::Mutex, config),
    ];
    let inside: Arc<[Inside; 4]> = Arc::default();
    let tasks: Vec<_> = (0..OWNERS)
        .map(|number| {
            let (desk, inside) = (desk.clone(), inside.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let mut held = Vec::new();
                    for _ in 0..thread_rng().gen_range(1..=2) {
                        let which = thread_rng().gen_range(0..locks.len());
                        if held.iter().any(|(other, _)| *other == which) {
                            continue;
                        }
                        let ask = match which {
                            1 if thread_rng().gen_bool(0.6) => Ask::Shared,
                            2 => Ask::Permits(thread_rng().gen_range(1..=PERMITS)),
                            _ => Ask::Exclusive,
                        };
                        if take(&desk, owner(number), locks[which], ask).is_some() {
                            inside[which].enter(ask, i64::from(PERMITS));
                            held.push((which, ask));
                        }
                        thread::yield_now();
                    }
                    for (which, ask) in held {
                        inside[which].leave(ask);
                        let released = match ask {
                            Ask::Permits(count) => {
                                desk.table.release_permits(owner(number), locks[which], count, desk.now)
                            }
                            _ => desk.table.release(owner(number), locks[which], desk.now),
                        };
                        released.expect("whoever is inside holds the lock");
                    }
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.join().expect("no task panics"));
    is_over(&desk, &locks);
}

fn take(desk: &Desk, owner: OwnerId, lock: LockId, ask: Ask) -> Option<Acquired> {
    match desk.table.ask(owner, lock, ask, desk.now) {
        Ok(passage) => match pass(passage, Patience::any(), desk.now)? {
            Ok(acquired) => Some(acquired),
            Err(AcquireError::TimedOut | AcquireError::Cancelled | AcquireError::Lost { .. }) => None,
            Err(other) => panic!("{other}"),
        },
        Err(AcquireError::Deadlock { circle }) => {
            assert!(circle.len() > 1, "nobody asks twice here");
            None
        }
        Err(AcquireError::Cancelled | AcquireError::Lost { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

fn is_over(desk: &Desk, locks: &[LockId]) {
    desk.table.check();
    for lock in locks {
        assert_eq!(desk.table.inspect(*lock).state, LockState::Free, "lock {lock}");
        assert_eq!(desk.table.waiter_count(*lock), 0, "lock {lock}");
    }
}

#[test]
fn locks_that_hand_over_exclude_and_forget_nobody() {
    explore(|| locks(LockConfig::strict()));
}

#[test]
fn locks_that_let_barge_exclude_and_forget_nobody() {
    explore(|| locks(LockConfig::bounded(Duration::from_secs(3_600))));
}

#[test]
fn cohorts_of_two_places_exclude_and_forget_nobody() {
    explore(|| {
        locks(LockConfig { bound_local: Duration::ZERO, bound_remote: Duration::ZERO, ..LockConfig::default() });
    });
}

/// Owners end at any moment, ended by somebody else; the others go on.
#[test]
fn owners_that_end_at_any_moment_leave_every_lock_to_the_others() {
    explore(|| {
        const OWNERS: usize = 5;
        let desk = Arc::new(Desk::new(OWNERS));
        let locks = [
            desk.add(Kind::Mutex, LockConfig::strict()),
            desk.add(Kind::RwLock { depth_max: 4 }, LockConfig::strict()),
            desk.add(Kind::Semaphore(SemaphoreKind::Owned { permits: PERMITS }), LockConfig::strict()),
        ];
        let tasks: Vec<_> = (0..OWNERS)
            .map(|number| {
                let desk = desk.clone();
                thread::spawn(move || {
                    for which in [number % 3, (number + 1) % 3] {
                        let ask = match which {
                            1 if number % 2 == 0 => Ask::Shared,
                            2 => Ask::Permits(2),
                            _ => Ask::Exclusive,
                        };
                        if take(&desk, owner(number), locks[which], ask).is_some() && number > 1 {
                            thread::yield_now();
                            // It may have ended meanwhile, and is told so.
                            _ = match ask {
                                Ask::Permits(count) => {
                                    desk.table.release_permits(owner(number), locks[which], count, desk.now)
                                }
                                _ => desk.table.release(owner(number), locks[which], desk.now),
                            }
                            .is_err();
                        }
                    }
                })
            })
            .collect();
        // The first two never release: they end, wherever they are.
        let enders: Vec<_> = (0..3)
            .map(|number| {
                let desk = desk.clone();
                thread::spawn(move || {
                    let ended = desk.table.begin_end(owner(number), EndCause::Killed);
                    thread::yield_now();
                    desk.table.finish_end(ended, desk.now);
                })
            })
            .collect();
        tasks.into_iter().chain(enders).for_each(|task| task.join().expect("no task panics"));
        is_over(&desk, &locks);
    });
}

/// Consumers wait for a condition, and one of them ends at any moment: no notification is lost.
#[test]
fn a_notification_reaches_somebody_however_a_consumer_ends() {
    explore(|| {
        const CONSUMERS: usize = 3;
        let desk = Arc::new(Desk::new(CONSUMERS + 1));
        let lock = desk.add(Kind::RLock { depth_max: 8 }, LockConfig::strict());
        let condition = desk.add(Kind::Condition { lock }, LockConfig::strict());
        let stock = Arc::new(AtomicU64::new(0));
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|number| {
                let (desk, stock) = (desk.clone(), stock.clone());
                thread::spawn(move || consume(&desk, owner(number), lock, condition, &stock))
            })
            .collect();
        let ender = {
            let desk = desk.clone();
            thread::spawn(move || {
                let ended = desk.table.begin_end(owner(0), EndCause::Trapped);
                desk.table.finish_end(ended, desk.now);
            })
        };
        // One for each who is left: the one that ended may have had one that passed on, or have taken one.
        for _ in 0..CONSUMERS {
            let producer = owner(CONSUMERS);
            let passage = desk.table.acquire(producer, lock, desk.now).expect("the producer waits for nothing else");
            let _ = pass(passage, Patience::Endless, desk.now).expect("it is patient").expect("it is granted");
            stock.fetch_add(1, Ordering::Relaxed);
            desk.table.notify(producer, condition, 1).expect("it holds the lock");
            desk.table.release(producer, lock, desk.now).expect("it holds the lock");
        }
        consumers.into_iter().chain([ender]).for_each(|task| task.join().expect("no task panics"));
        is_over(&desk, &[lock, condition]);
    });
}

/// Takes one from the stock, if the owner lives so long.
fn consume(desk: &Desk, owner: OwnerId, lock: LockId, condition: LockId, stock: &AtomicU64) {
    let Ok(passage) = desk.table.acquire(owner, lock, desk.now) else { return };
    let Some(Ok(_)) = pass(passage, Patience::Endless, desk.now) else { return };
    while stock.load(Ordering::Relaxed) == 0 {
        let Ok(mut waiting) = desk.table.wait_condition(owner, condition, desk.now) else { return };
        if block_on(&mut waiting.wait).is_err() {
            return;
        }
        let notification = desk.table.notified(condition, &waiting.wait);
        let Ok(passage) = desk.table.acquire(owner, lock, desk.now) else { return };
        let Some(Ok(_)) = pass(passage, Patience::Endless, desk.now) else { return };
        notification.accept();
    }
    // An owner that has ended holds nothing, whatever it believes: it takes nothing either.
    if desk.table.held_fence(owner, lock).is_some() {
        stock.fetch_sub(1, Ordering::Relaxed);
    }
    _ = desk.table.release(owner, lock, desk.now).is_err();
}

/// Rounds of a barrier: each index once; if a party ends, everyone is told.
#[test]
fn a_round_of_a_barrier_is_full_or_broken_for_all() {
    for ends in [false, true] {
        explore(move || {
            const PARTIES: usize = 4;
            let desk = Arc::new(Desk::new(PARTIES));
            let kind = Kind::Barrier { parties: PARTIES as u32, parties_are: Parties::Registered };
            let barrier = desk.add(kind, LockConfig::strict());
            let indices: Arc<[AtomicU64; 2]> = Arc::default();
            let tasks: Vec<_> = (0..PARTIES)
                .map(|number| {
                    let (desk, indices) = (desk.clone(), indices.clone());
                    thread::spawn(move || {
                        for round in 0..2 {
                            if ends && number == 0 && round == 1 {
                                let ended = desk.table.begin_end(owner(number), EndCause::Exited);
                                desk.table.finish_end(ended, desk.now);
                                return;
                            }
                            match desk.table.wait_barrier(owner(number), barrier, desk.now) {
                                Ok(passage) => match pass(passage, Patience::Endless, desk.now) {
                                    Some(Ok(index)) => {
                                        let bit = 1 << index.0;
                                        assert_eq!(
                                            indices[round].fetch_or(bit, Ordering::Relaxed) & bit,
                                            0,
                                            "each index once"
                                        );
                                    }
                                    Some(Err(AcquireError::Broken { .. })) if ends && round == 1 => return,
                                    other => panic!("{other:?}"),
                                },
                                Err(AcquireError::Broken { .. }) if ends && round == 1 => return,
                                Err(other) => panic!("{other}"),
                            }
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().expect("no task panics"));
            assert_eq!(indices[0].load(Ordering::Relaxed), (1 << PARTIES) - 1, "the first round was full");
            is_over(&desk, &[barrier]);
        });
    }
}

/// A queue with acknowledgement: whatever was put is finished once, although a consumer ends with an item in its hands.
#[test]
fn every_item_is_finished_once_although_a_consumer_ends() {
    explore(|| {
        const ITEMS: u64 = 4;
        let desk = Arc::new(Desk::new(4));
        let delivery = Delivery::Acknowledged { unfinished_max: 4 };
        let config = QueueConfig { items_max: 2, bytes_max: 16, delivery };
        let queue = desk.add(Kind::Queue(config), LockConfig::strict());
        let finished = Arc::new(AtomicU64::new(0));
        let consumers: Vec<_> = (0..3)
            .map(|number| {
                let (desk, finished) = (desk.clone(), finished.clone());
                thread::spawn(move || {
                    loop {
                        let item = match desk.table.get(owner(number), queue, desk.now) {
                            Ok(passage) => pass(passage, Patience::Endless, desk.now),
                            Err(error) => Some(Err(error)),
                        };
                        let Some(Ok(item)) = item else { return };
                        if number == 0 {
                            let ended = desk.table.begin_end(owner(number), EndCause::Killed);
                            desk.table.finish_end(ended, desk.now);
                            return;
                        }
                        desk.table.task_done(owner(number), queue, item.number).expect("it has the item");
                        let bit = 1 << item.number;
                        assert_eq!(finished.fetch_or(bit, Ordering::Relaxed) & bit, 0, "an item is finished once");
                    }
                })
            })
            .collect();
        for number in 0..ITEMS {
            let bytes: Arc<[u8]> = vec![u8::try_from(number).expect("few items"); 3].into();
            let passage = desk.table.put(owner(3), queue, bytes, desk.now).expect("the queue is open");
            pass(passage, Patience::Endless, desk.now).expect("it is patient").expect("it is stored");
        }
        desk.table.close_queue(queue);
        consumers.into_iter().for_each(|task| task.join().expect("no task panics"));
        assert_eq!(finished.load(Ordering::Relaxed), ((1 << ITEMS) - 1) << 1, "every item is finished");
        assert_eq!(desk.table.queue(queue), (0, 0, true));
        is_over(&desk, &[queue]);
    });
}

/// The keeper of a gate fetches the lock and lets it go again and again, and hears of nothing but the bell: if one ring were
/// missing, everybody would wait for ever.
#[test]
fn a_lock_that_comes_and_goes_is_held_by_nobody_while_it_is_away_and_comes_to_everybody() {
    explore(|| {
        let desk = Arc::new(Desk::new(4));
        let lock = desk.table.create_gated(Kind::RwLock { depth_max: 3 }, LockConfig::strict(), 1);
        let (home, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let keeper = {
            let (desk, home, done) = (desk.clone(), home.clone(), done.clone());
            thread::spawn(move || keep(&desk, lock, &home, &done))
        };
        let inside = Arc::new(Inside::default());
        let owners = (0..3).map(|number| {
            let (desk, home, inside) = (desk.clone(), home.clone(), inside.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let ask = if thread_rng().gen_bool(0.5) { Ask::Shared } else { Ask::Exclusive };
                    let asked = desk.table.ask(owner(number), lock, ask, desk.now).expect("it is no refusal");
                    let Some(answer) = pass(asked, Patience::any(), desk.now) else { continue };
                    match answer {
                        Ok(_) => {}
                        Err(AcquireError::TimedOut) => continue,
                        Err(error) => panic!("{error}"),
                    }
                    inside.enter(ask, 0);
                    thread::yield_now();
                    assert!(home.load(Ordering::Relaxed), "somebody is inside of a lock that is away");
                    inside.leave(ask);
                    desk.table.release(owner(number), lock, desk.now).expect("it is held");
                }
            })
        });
        owners.collect::<Vec<_>>().into_iter().for_each(|owner| owner.join().expect("no panic"));
        // Whatever the keeper waits for, one of these rings.
        done.store(true, Ordering::Relaxed);
        match desk.table.ask(owner(3), lock, Ask::Exclusive, desk.now).expect("it is no refusal") {
            Passage::Ready(_) => desk.table.release(owner(3), lock, desk.now).expect("it is held"),
            Passage::Wait(wait) => drop(wait),
        }
        if matches!(desk.table.gate_phase(lock), Some(GatePhase::Home(_))) {
            desk.table.allow_grants(lock, 0);
        }
        keeper.join().expect("no panic");
        desk.table.check();
    });
}

fn keep(desk: &Desk, lock: LockId, home: &AtomicBool, done: &AtomicBool) {
    let is_to_do = |view: &GateView| match view.phase {
        GatePhase::Away => view.wanted.is_some(),
        GatePhase::Leaving(_) => !view.held,
        GatePhase::Home(mode) => mode == Mode::Shared && view.wanted == Some(Mode::Exclusive),
    };
    let mut next_fence = 1;
    loop {
        let view = block_on(std::future::poll_fn(|context| {
            let view = desk.table.watch_gate(lock, Some(context.waker().clone()));
            if is_to_do(&view) || done.load(Ordering::Relaxed) { Poll::Ready(view) } else { Poll::Pending }
        }));
        if done.load(Ordering::Relaxed) {
            return;
        }
        match (view.phase, view.wanted) {
            (GatePhase::Away, Some(mode)) => {
                home.store(true, Ordering::Relaxed);
                let fences = FenceBlock { start: next_fence, end: next_fence + 1_000 };
                let grants_max = thread_rng().gen_range(1..4);
                let home = Homecoming { mode, fences, grants_max, left: Left::Clean };
                desk.table.come_home(lock, &home, desk.now);
            }
            (GatePhase::Home(_), _) => desk.table.allow_grants(lock, 0),
            (GatePhase::Leaving(_), _) => {
                let departure = desk.table.depart(lock).expect("nobody holds it, and nobody can");
                next_fence = departure.next_fence + 1;
                home.store(false, Ordering::Relaxed);
            }
            (GatePhase::Away, None) => unreachable!("there is something to do"),
        }
    }
}
