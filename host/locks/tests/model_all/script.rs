//! A script of steps, run on the table and on the reference side by side.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    AcquireError, Acquired, AfterDeath, Ask, ConditionError, Delivery, EndCause, EndedOwner, Fence, FenceBlock, Given,
    Index, Item, Kind, LatchError, Limits, LockConfig, LockId, LockTable, Mode, Notification, OwnerId, Parties,
    Passage, QueueConfig, ReleaseError, Revoked, SemaphoreKind, Stored, Turn, Wait, Want,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::reference::{Answer, Got, HOLDS_MAX, Object, Reference, Taken, UNFINISHED_MAX, WAITERS_MAX, WaitId};
use crate::stuck;

const OWNERS: usize = 8;
/// The rlock, and the condition that lets it go.
const RLOCK: usize = 1;
const CONDITION: usize = 9;
const OBJECTS: usize = 19;

/// Owners and objects are named by their index. An owner that waits does nothing but poll.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A call of an owner; which one depends on the object.
    Act {
        owner: usize,
        object: usize,
        verb: u32,
        count: u32,
    },
    /// Somebody who has something of a lock gives it back: a script of blind releases would mostly be refused.
    GiveBack {
        object: usize,
        choice: usize,
    },
    Poll {
        owner: usize,
    },
    Expire {
        owner: usize,
    },
    DropWait {
        owner: usize,
    },
    BeginRevoke {
        object: usize,
        choice: usize,
        how: EndCause,
    },
    FinishRevoke {
        choice: usize,
    },
    BeginEnd {
        owner: usize,
        how: EndCause,
    },
    FinishEnd {
        choice: usize,
    },
    Advance {
        us: u64,
    },
    ShutDown,
}

pub(crate) fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    steps_at(max, 0..OBJECTS)
}

pub(crate) fn steps_at(max: usize, objects: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    // Most of a script is about one or two objects, so that queues form.
    (objects.clone(), objects.clone()).prop_flat_map(move |(one, other)| {
        let object = prop_oneof![5 => Just(one), 3 => Just(other), 2 => objects.clone()].boxed();
        let owner = 0..OWNERS;
        let cause = select(vec![EndCause::Trapped, EndCause::Killed, EndCause::Limit, EndCause::Expired]);
        let act = (owner.clone(), object.clone(), 0..8_u32, 1..4_u32);
        let step = prop_oneof![
            30 => act.prop_map(|(owner, object, verb, count)| Step::Act { owner, object, verb, count }),
            14 => (object.clone(), 0..4_usize).prop_map(|(object, choice)| Step::GiveBack { object, choice }),
            20 => owner.clone().prop_map(|owner| Step::Poll { owner }),
            3 => owner.clone().prop_map(|owner| Step::Expire { owner }),
            3 => owner.clone().prop_map(|owner| Step::DropWait { owner }),
            4 => (object, 0..4_usize, cause.clone())
                .prop_map(|(object, choice, how)| Step::BeginRevoke { object, choice, how }),
            6 => (0..4_usize).prop_map(|choice| Step::FinishRevoke { choice }),
            2 => (owner, cause).prop_map(|(owner, how)| Step::BeginEnd { owner, how }),
            5 => (0..4_usize).prop_map(|choice| Step::FinishEnd { choice }),
            8 => select(vec![0, 1, 100, 299, 300, 700]).prop_map(|us| Step::Advance { us }),
        ];
        vec(step, 0..=max)
    })
}

pub(crate) fn run<'a>(steps: impl IntoIterator<Item = &'a Step>) {
    let mut bench = Bench::new();
    for (number, step) in steps.into_iter().enumerate() {
        bench.step(*step, number);
        bench.compare();
    }
}

/// The table and the reference, with everything that a host keeps for them.
struct Bench {
    table: Arc<LockTable>,
    reference: Reference,
    ids: Vec<LockId>,
    start: Instant,
    now_us: u64,
    owners: [OwnerId; OWNERS],
    next_owner: u64,
    waits: [Option<Running>; OWNERS],
    revoked: Vec<(Revoked, Taken)>,
    ended: Vec<(usize, EndedOwner, Vec<Taken>)>,
}

/// A wait that has not been answered.
struct Running {
    wait: AnyWait,
    id: WaitId,
    object: usize,
    bell: Arc<Bell>,
    /// How deep the lock of the condition was held, and, while the lock is waited for again, the notification.
    relock: Option<(u32, Option<Notification>)>,
}

enum AnyWait {
    Lock(Wait<Acquired>),
    Turn(Wait<Turn>),
    Unit(Wait<()>),
    Index(Wait<Index>),
    Item(Wait<Item>),
    Stored(Wait<Stored>),
}

/// Rung, or waiting for it.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the reference calls an answer.
trait Plain: Given + Sized {
    fn plain(self) -> Got;
    fn any(wait: Wait<Self>) -> AnyWait;
}

impl Plain for Acquired {
    fn plain(self) -> Got {
        Got::Lock(self.fence.get(), self.previous)
    }

    fn any(wait: Wait<Self>) -> AnyWait {
        AnyWait::Lock(wait)
    }
}

impl Plain for Turn {
    fn plain(self) -> Got {
        match self {
            Self::Yours(acquired) => acquired.plain(),
            Self::Done => Got::Done,
        }
    }

    fn any(wait: Wait<Self>) -> AnyWait {
        AnyWait::Turn(wait)
    }
}

impl Plain for () {
    fn plain(self) -> Got {
        Got::Done
    }

    fn any(wait: Wait<Self>) -> AnyWait {
        AnyWait::Unit(wait)
    }
}

impl Plain for Index {
    fn plain(self) -> Got {
        Got::Index(self.0)
    }

    fn any(wait: Wait<Self>) -> AnyWait {
        AnyWait::Index(wait)
    }
}

impl Plain for Item {
    fn plain(self) -> Got {
        Got::Item(self.number, self.returned, self.bytes.len())
    }

    fn any(wait: Wait<Self>) -> AnyWait {
        AnyWait::Item(wait)
    }
}

impl Plain for Stored {
    fn plain(self) -> Got {
        Got::Stored(self.0)
    }

    fn any(wait: Wait<Self>) -> AnyWait {
        AnyWait::Stored(wait)
    }
}

fn look<T: Plain>(wait: &mut Wait<T>, context: &mut Context<'_>) -> Option<Answer> {
    match Pin::new(wait).poll(context) {
        Poll::Ready(result) => Some(result.map(Plain::plain)),
        Poll::Pending => None,
    }
}

impl AnyWait {
    fn poll(&mut self, context: &mut Context<'_>) -> Option<Answer> {
        match self {
            Self::Lock(wait) => look(wait, context),
            Self::Turn(wait) => look(wait, context),
            Self::Unit(wait) => look(wait, context),
            Self::Index(wait) => look(wait, context),
            Self::Item(wait) => look(wait, context),
            Self::Stored(wait) => look(wait, context),
        }
    }

    fn expire(&mut self, now: Instant) -> Answer {
        match self {
            Self::Lock(wait) => wait.expire(now).map(Plain::plain),
            Self::Turn(wait) => wait.expire(now).map(Plain::plain),
            Self::Unit(wait) => wait.expire(now).map(Plain::plain),
            Self::Index(wait) => wait.expire(now).map(Plain::plain),
            Self::Item(wait) => wait.expire(now).map(Plain::plain),
            Self::Stored(wait) => wait.expire(now).map(Plain::plain),
        }
    }
}

/// The objects of every script: kind, barging bound, policy.
fn objects(rlock: impl Fn() -> LockId) -> Vec<(Kind, u64, AfterDeath)> {
    use AfterDeath::{Flag, Ignore, Poison};
    let rwlock = Kind::RwLock { depth_max: 2 };
    let owned = |permits| Kind::Semaphore(SemaphoreKind::Owned { permits });
    let signal = |permits, maximum| Kind::Semaphore(SemaphoreKind::Signal { permits, maximum });
    let queue = |items_max, bytes_max, delivery| Kind::Queue(QueueConfig { items_max, bytes_max, delivery });
    let acknowledged = Delivery::Acknowledged { unfinished_max: UNFINISHED_MAX as u32 };
    vec![
        (Kind::Mutex, 0, Flag),
        (Kind::RLock { depth_max: 3 }, 0, Flag),
        (rwlock, 0, Flag),
        (rwlock, 300, Flag),
        (owned(4), 0, Flag),
        (owned(3), 300, Flag),
        (signal(1, Some(3)), 0, Flag),
        (signal(0, None), 300, Flag),
        (Kind::Once, 0, Flag),
        (Kind::Condition { lock: rlock() }, 0, Flag),
        (Kind::Event, 0, Flag),
        (Kind::Barrier { parties: 3, parties_are: Parties::Waiting }, 0, Flag),
        (Kind::Barrier { parties: 2, parties_are: Parties::Registered }, 0, Flag),
        (Kind::Latch { count: 6 }, 0, Flag),
        (queue(2, 4, Delivery::AtMostOnce), 0, Flag),
        (queue(3, 5, acknowledged), 0, Flag),
        (Kind::Mutex, 0, Poison),
        (rwlock, 300, Poison),
        (Kind::Mutex, 300, Ignore),
    ]
}

/// Who is in the way says the table, and the reference whether that is so: of several readers each would do.
fn same<T: PartialEq + std::fmt::Debug>(
    real: Result<T, ReleaseError>,
    model: Result<T, ReleaseError>,
    holds: impl Fn(OwnerId) -> bool,
) {
    match (real, model) {
        (Err(ReleaseError::NotOwner { lock, owner }), Err(ReleaseError::NotOwner { lock: other, .. })) => {
            assert_eq!(lock, other);
            assert!(holds(owner), "{owner} holds nothing");
        }
        (real, model) => assert_eq!(real, model),
    }
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { waiters_per_lock_max: WAITERS_MAX as u32, holds_per_owner_max: HOLDS_MAX as u32 };
        let table = Arc::new(LockTable::new(limits));
        let fences = FenceBlock { start: 1, end: 1_000_000 };
        // The condition needs the id of the rlock before it, which another table with the same objects gives.
        let rlock = || {
            let other = LockTable::new(limits);
            (0..=RLOCK).map(|_| other.create_mutex(LockConfig::strict(), fences)).last().expect("one at least")
        };
        let (mut ids, mut models) = (Vec::new(), Vec::new());
        for (kind, bound_us, after_death) in objects(rlock) {
            let config = LockConfig { after_death, ..LockConfig::bounded(Duration::from_micros(bound_us)) };
            let id = table.create(kind, config, fences);
            ids.push(id);
            models.push(Object::new(id, kind, bound_us, after_death));
        }
        Self {
            table,
            reference: Reference::new(models),
            ids,
            start: Instant::now(),
            now_us: 0,
            owners: std::array::from_fn(|owner| OwnerId::new(70 + owner as u64)),
            next_owner: 100,
            waits: [const { None }; OWNERS],
            revoked: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.now_us)
    }

    fn step(&mut self, step: Step, number: usize) {
        match step {
            Step::Act { owner, object, verb, count } => self.act(owner, object, verb, count, number),
            Step::GiveBack { object, choice } => self.give_back(object, choice),
            Step::Poll { owner } => self.poll(owner, number),
            Step::Expire { owner } => {
                if let Some(mut running) = self.waits[owner].take() {
                    let real = running.wait.expire(self.now());
                    let id = self.owners[owner];
                    let model = self.reference.expire(id, running.object, running.id, self.now_us);
                    assert_eq!(real, model);
                    self.go_on(owner, running, &real, number);
                }
            }
            Step::DropWait { owner } => self.drop_wait(owner),
            Step::BeginRevoke { object, choice, how } => {
                if !self.reference.objects[object].is_lock() {
                    return;
                }
                let fences = self.reference.revocable(object);
                let fence = if fences.is_empty() { 1 } else { fences[choice % fences.len()] };
                let real = self.table.begin_revoke(self.ids[object], Some(Fence::new(fence)), how);
                let model = self.reference.begin_revoke(object, fence, how);
                assert_eq!(real.as_ref().map(|real| self.taken(real)), model);
                self.revoked.extend(real.zip(model));
            }
            Step::FinishRevoke { choice } => {
                if !self.revoked.is_empty() {
                    let (real, model) = self.revoked.remove(choice % self.revoked.len());
                    self.table.finish_revoke(real, self.now());
                    self.reference.finish_revoke(model, self.now_us);
                }
            }
            Step::BeginEnd { owner, how } => self.begin_end(owner, how),
            Step::FinishEnd { choice } => {
                if !self.ended.is_empty() {
                    let (owner, real, model) = self.ended.remove(choice % self.ended.len());
                    self.table.finish_end(real, self.now());
                    model.into_iter().for_each(|taken| self.reference.finish_revoke(taken, self.now_us));
                    self.drop_wait(owner);
                    self.table.forget_owner(self.owners[owner]);
                    // Another one takes its place.
                    self.owners[owner] = OwnerId::new(self.next_owner);
                    self.next_owner += 1;
                }
            }
            Step::Advance { us } => self.now_us += us,
            Step::ShutDown => {
                self.table.shut_down();
                self.reference.shut_down();
            }
        }
    }

    fn taken(&self, revoked: &Revoked) -> Taken {
        let at = self.ids.iter().position(|id| *id == revoked.lock).expect("known");
        (at, revoked.owner, revoked.fence.get())
    }

    fn begin_end(&mut self, owner: usize, how: EndCause) {
        if self.ended.iter().any(|(ended, ..)| *ended == owner) {
            return;
        }
        let id = self.owners[owner];
        let real = self.table.begin_end(id, how);
        let mut model = self.reference.begin_end(id, how);
        if let Some(running) = &self.waits[owner] {
            self.reference.ended_with(running.object, running.id);
        }
        let mut holds: Vec<_> = real.holds.iter().map(|real| self.taken(real)).collect();
        holds.sort_unstable();
        model.sort_unstable();
        assert_eq!(holds, model);
        // As the table will: in the order in which they were asked for.
        let model = real.holds.iter().map(|real| self.taken(real)).collect();
        self.ended.push((owner, real, model));
    }

    /// The answer to a request against the reference; a wait is kept.
    fn met<T: Plain>(
        &mut self,
        owner: usize,
        object: usize,
        number: usize,
        real: Result<Passage<T>, AcquireError>,
        model: &Answer,
        asked: Option<Ask>,
    ) -> Answer {
        let real = match real {
            Ok(Passage::Ready(answer)) => Ok(answer.plain()),
            Ok(Passage::Wait(wait)) => {
                let bell = Arc::new(Bell(AtomicBool::new(true)));
                self.waits[owner] = Some(Running { wait: T::any(wait), id: number, object, bell, relock: None });
                Ok(Got::Queued)
            }
            Err(AcquireError::Deadlock { circle }) => {
                self.is_circle(owner, object, asked.expect("only locks close circles"), &circle);
                Err(AcquireError::Deadlock { circle: Vec::new() })
            }
            Err(error) => Err(error),
        };
        assert_eq!(real, *model);
        real
    }

    fn is_circle(&self, owner: usize, object: usize, ask: Ask, circle: &[lockkeeper_locks::Link]) {
        let id = self.owners[owner];
        let again = self.reference.objects[object].live(id).is_some();
        if circle.len() == 1 && again && !matches!(ask, Ask::Permits(_)) {
            return; // It has it already, and waits for nobody but itself.
        }
        let mut scenes = self.reference.scenes();
        let scene = scenes.iter_mut().find(|scene| scene.id == self.ids[object]).expect("a lock");
        let place = if ask == Ask::Upgrade { 0 } else { scene.queue.len() };
        scene.queue.insert(place, (id, ask));
        stuck::is_circle(&scenes, id, self.ids[object], ask, circle);
    }

    fn act(&mut self, owner: usize, object: usize, verb: u32, count: u32, number: usize) {
        if self.waits[owner].is_some() {
            return self.poll(owner, number);
        }
        let (who, id, now, now_us) = (self.owners[owner], self.ids[object], self.now(), self.now_us);
        match self.reference.objects[object].kind {
            Kind::Condition { .. } => self.act_at_condition(owner, verb, count, number),
            Kind::Event if verb < 5 => {
                let real = self.table.wait_event(who, id, now);
                let model = self.reference.wait_at(who, object, now_us, number);
                self.met(owner, object, number, real, &model, None).ok();
            }
            Kind::Event => {
                if verb == 5 {
                    self.table.set_event(id);
                } else {
                    self.table.clear_event(id);
                }
                self.reference.set(object, verb == 5);
            }
            Kind::Latch { .. } if verb < 6 => {
                let real = self.table.wait_latch(who, id, now);
                let model = self.reference.wait_at(who, object, now_us, number);
                self.met(owner, object, number, real, &model, None).ok();
            }
            Kind::Latch { .. } => {
                let real = self.table.count_down(id, count);
                let model = self.reference.count_down(object, count);
                assert_eq!(real, model.map_err(|remaining| LatchError { remaining }));
            }
            Kind::Barrier { .. } => match verb {
                0 if count == 1 => {
                    self.table.abort_barrier(id);
                    self.reference.abort(object);
                }
                0 | 1 => {
                    self.table.reset_barrier(id);
                    self.reference.reset(object);
                }
                _ => {
                    let real = self.table.wait_barrier(who, id, now);
                    let model = self.reference.wait_at(who, object, now_us, number);
                    self.met(owner, object, number, real, &model, None).ok();
                }
            },
            Kind::Queue(_) => self.act_at_queue(owner, object, verb, count, number),
            Kind::Once if verb == 6 => {
                let real = self.table.complete_once(who, id, None, now);
                let model = self.reference.complete(who, object, now_us);
                let held = self.is_held(object);
                same(real, model, held);
            }
            Kind::Once if verb < 5 => {
                let real = self.table.begin_once(who, id, now);
                let model = self.reference.ask(who, object, Ask::Exclusive, now_us, Some(number));
                self.met(owner, object, number, real, &model, Some(Ask::Exclusive)).ok();
            }
            _ => self.act_at_lock(owner, object, verb, count, number),
        }
    }

    fn is_held(&self, object: usize) -> impl Fn(OwnerId) -> bool + use<> {
        let object = &self.reference.objects[object];
        let mut who: Vec<_> = object.holds.iter().filter(|hold| !hold.revoked).map(|hold| hold.owner).collect();
        who.extend(object.flight.iter().map(|flight| flight.hold.owner));
        move |owner| who.contains(&owner)
    }

    fn act_at_lock(&mut self, owner: usize, object: usize, verb: u32, count: u32, number: usize) {
        let (who, id, now, now_us) = (self.owners[owner], self.ids[object], self.now(), self.now_us);
        let kind = self.reference.objects[object].kind;
        let is_rwlock = matches!(kind, Kind::RwLock { .. });
        let ask = match (kind, verb % 3) {
            (Kind::Semaphore(_), _) => Ask::Permits(count),
            (Kind::RwLock { .. }, 0) => Ask::Shared,
            (Kind::RwLock { .. }, 1) if self.reference.objects[object].live(who).is_some() => Ask::Upgrade,
            _ => Ask::Exclusive,
        };
        match verb {
            0..=3 => {
                let real = self.table.ask(who, id, ask, now);
                let model = self.reference.ask(who, object, ask, now_us, Some(number));
                self.met(owner, object, number, real, &model, Some(ask)).ok();
            }
            4 => {
                let real = self.table.try_ask(who, id, ask, now);
                let real = real.map(|got| got.map_or(Got::Busy, Plain::plain));
                assert_eq!(real, self.reference.ask(who, object, ask, now_us, None));
            }
            5 => self.release(who, object, count),
            6 if is_rwlock => {
                let real = self.table.downgrade(who, id, now).map(Plain::plain);
                let model = self.reference.downgrade(who, object, now_us);
                same(real, model, self.is_held(object));
            }
            // Of a semaphore only what is held is put back; all else is released in numbers.
            6 if matches!(kind, Kind::Semaphore(_)) && self.reference.objects[object].live(who).is_none() => {}
            6 => {
                let real = self.table.put_back(who, id, now);
                let model = self.reference.release(who, object, 1, false, now_us);
                same(real, model, self.is_held(object));
            }
            _ => {
                let real = self.table.mark_consistent(who, id);
                let model = self.reference.mark_consistent(who, object);
                same(real, model, self.is_held(object));
            }
        }
    }

    fn act_at_queue(&mut self, owner: usize, object: usize, verb: u32, count: u32, number: usize) {
        let (who, id, now, now_us) = (self.owners[owner], self.ids[object], self.now(), self.now_us);
        match verb {
            0..=2 => {
                let bytes = count as usize * verb as usize;
                let real = self.table.put(who, id, vec![0; bytes].into(), now);
                let model = self.reference.put(who, object, bytes, now_us, number);
                self.met(owner, object, number, real, &model, None).ok();
            }
            3..=5 => {
                let real = self.table.get(who, id, now);
                let model = self.reference.get(who, object, now_us, number);
                self.met(owner, object, number, real, &model, None).ok();
            }
            6 => {
                let real = self.table.join_queue(who, id, now);
                let model = self.reference.join(who, object, now_us, number);
                self.met(owner, object, number, real, &model, None).ok();
            }
            _ if count == 3 && number.is_multiple_of(8) => {
                self.table.close_queue(id);
                self.reference.close(object);
            }
            _ => self.task_done(who, object),
        }
    }

    fn task_done(&mut self, who: OwnerId, object: usize) {
        let out = &self.reference.objects[object].out;
        let number = out.iter().find(|(owner, _)| *owner == who).map_or(1, |(_, item)| item.0);
        let real = self.table.task_done(who, self.ids[object], number).is_ok();
        assert_eq!(real, self.reference.task_done(who, object, number));
    }

    fn act_at_condition(&mut self, owner: usize, verb: u32, count: u32, number: usize) {
        let (who, id, now, now_us) = (self.owners[owner], self.ids[CONDITION], self.now(), self.now_us);
        let holds = self.reference.objects[RLOCK].live(who).is_some();
        match verb {
            0..=3 if !holds => {
                let real = self.table.ask(who, self.ids[RLOCK], Ask::Exclusive, now);
                let model = self.reference.ask(who, RLOCK, Ask::Exclusive, now_us, Some(number));
                self.met(owner, RLOCK, number, real, &model, Some(Ask::Exclusive)).ok();
            }
            4 | 5 => {
                let real = self.table.notify(who, id, count);
                let model = self.reference.notify(who, CONDITION, RLOCK, count);
                same(real, model, self.is_held(RLOCK));
            }
            _ => {
                let model = self.reference.wait_condition(who, CONDITION, RLOCK, now_us, number);
                match self.table.wait_condition(who, id, now) {
                    Ok(wait) => {
                        assert_eq!(model, Ok(wait.depth));
                        assert_eq!(wait.lock, self.ids[RLOCK]);
                        let bell = Arc::new(Bell(AtomicBool::new(true)));
                        let (wait, relock) = (AnyWait::Unit(wait.wait), Some((wait.depth, None)));
                        self.waits[owner] = Some(Running { wait, id: number, object: CONDITION, bell, relock });
                    }
                    Err(ConditionError::Lock(error)) => {
                        let Err(Ok(model)) = model else { panic!("{error:?}, and not {model:?}") };
                        same::<()>(Err(error), Err(model), self.is_held(RLOCK));
                    }
                    Err(ConditionError::Wait(error)) => assert_eq!(model, Err(Err(error))),
                }
            }
        }
    }

    fn poll(&mut self, owner: usize, number: usize) {
        let Some(mut running) = self.waits[owner].take() else { return };
        running.bell.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&running.bell));
        let real = running.wait.poll(&mut Context::from_waker(&waker));
        assert_eq!(real, self.reference.poll(self.owners[owner], running.object, running.id));
        match real {
            Some(answer) => self.go_on(owner, running, &answer, number),
            None => self.waits[owner] = Some(running),
        }
    }

    /// A wait has ended. After the one at a condition the lock is acquired again, with the notification kept until then.
    fn go_on(&mut self, owner: usize, running: Running, answer: &Answer, number: usize) {
        let Some((depth, notification)) = running.relock else { return };
        let (who, now) = (self.owners[owner], self.now());
        if running.object == RLOCK {
            self.relocked(who, depth, notification, answer.is_ok());
            return;
        }
        let notified = answer.is_ok();
        let AnyWait::Unit(wait) = &running.wait else { panic!("a wait at a condition") };
        let notification = notified.then(|| self.table.notified(self.ids[CONDITION], wait));
        if !notified && *answer != Err(AcquireError::TimedOut) {
            return;
        }
        let real = self.table.ask(who, self.ids[RLOCK], Ask::Exclusive, now);
        let model = self.reference.ask(who, RLOCK, Ask::Exclusive, self.now_us, Some(number));
        let met = self.met(owner, RLOCK, number, real, &model, Some(Ask::Exclusive));
        match &mut self.waits[owner] {
            Some(waiting) => waiting.relock = Some((depth, notification)),
            None => self.relocked(who, depth, notification, met.is_ok()),
        }
    }

    fn relocked(&mut self, who: OwnerId, depth: u32, notification: Option<Notification>, held: bool) {
        if held {
            self.table.restore_depth(who, self.ids[RLOCK], depth);
            self.reference.restore_depth(who, RLOCK, depth);
            notification.into_iter().for_each(Notification::accept);
        } else if notification.is_some() {
            drop(notification);
            self.reference.pass_on(CONDITION);
        }
    }

    fn drop_wait(&mut self, owner: usize) {
        if let Some(running) = self.waits[owner].take() {
            self.reference.drop_wait(self.owners[owner], running.object, running.id);
            drop(running.wait);
            if let Some((depth, notification)) = running.relock {
                self.relocked(self.owners[owner], depth, notification, false);
            }
        }
    }

    fn release(&mut self, who: OwnerId, object: usize, count: u32) {
        let (id, now) = (self.ids[object], self.now());
        let is_semaphore = matches!(self.reference.objects[object].kind, Kind::Semaphore(_));
        let levels = if is_semaphore { count } else { 1 };
        let real = if is_semaphore {
            self.table.release_permits(who, id, count, now)
        } else {
            self.table.release(who, id, now)
        };
        let holds = self.is_held(object);
        let model = self.reference.release(who, object, levels, true, self.now_us);
        same(real, model, holds);
    }

    fn give_back(&mut self, object: usize, choice: usize) {
        let runs = |who: &OwnerId| {
            let owner = self.owners.iter().position(|owner| owner == who);
            owner.is_some_and(|owner| self.waits[owner].is_none())
        };
        let model = &self.reference.objects[object];
        if let Kind::Queue(_) = model.kind {
            let out: Vec<_> = model.out.iter().map(|(owner, _)| *owner).filter(runs).collect();
            if !out.is_empty() {
                self.task_done(out[choice % out.len()], object);
            }
            return;
        }
        let at = if object == CONDITION { RLOCK } else { object };
        let holds: Vec<_> = self.reference.objects[at].holds.iter().map(|hold| hold.owner).filter(runs).collect();
        if !holds.is_empty() && self.reference.objects[at].is_lock() {
            self.release(holds[choice % holds.len()], at, 1);
        }
    }

    fn compare(&self) {
        self.table.check();
        for (model, id) in self.reference.objects.iter().zip(&self.ids) {
            let view = self.table.inspect(*id);
            let queue: Vec<_> = view.queue.iter().map(|waiter| waiter.owner).collect();
            let expected: Vec<_> = model.lists().into_iter().flatten().map(|waiting| waiting.owner).collect();
            assert_eq!(queue, expected, "{:?}", model.kind);
            if model.is_lock() {
                self.compare_lock(model, *id);
                let wants: Vec<_> = view.queue.iter().map(|waiter| waiter.want).collect();
                let asked: Vec<_> = model.queue.iter().map(|waiting| Want::Lock(waiting.ask)).collect();
                assert_eq!(wants, asked);
            }
            match model.kind {
                Kind::Event => assert_eq!(self.table.is_event_set(*id), model.set),
                Kind::Latch { .. } => assert_eq!(self.table.latch_remaining(*id), model.left),
                Kind::Barrier { parties, .. } => {
                    assert_eq!(self.table.barrier(*id), (parties, model.queue.len() as u32, model.broken));
                }
                Kind::Queue(_) => {
                    let expected = (model.items.len() as u32, model.unfinished, model.closed);
                    assert_eq!(self.table.queue(*id), expected);
                }
                Kind::Once => assert_eq!(self.table.is_done(*id), model.done),
                Kind::Semaphore(_) => assert_eq!(self.table.permits(*id).0, model.free()),
                _ => {}
            }
        }
        for (owner, id) in self.owners.iter().enumerate().filter(|(owner, _)| self.waits[*owner].is_none()) {
            let tied = self.reference.objects.iter().any(|object| object.is_tied_to(*id));
            assert_eq!(self.table.holds_any(*id), tied, "owner {owner}");
        }
        // No wake-up is ever lost: whoever would be answered if it came has been rung since it last came.
        for (owner, running) in self.waits.iter().enumerate() {
            let Some(running) = running else { continue };
            let answered = self.reference.would_answer(self.owners[owner], running.object, running.id);
            assert!(!answered || running.bell.0.load(Ordering::Relaxed), "owner {owner} sleeps for ever");
        }
    }

    fn compare_lock(&self, model: &Object, id: LockId) {
        let sorted = |mut holds: Vec<(OwnerId, Mode, u32, u64)>| {
            holds.sort_unstable_by_key(|(owner, .., fence)| (*owner, *fence));
            holds
        };
        let view = self.table.inspect(id);
        let real = view.holders.iter().map(|hold| (hold.owner, hold.mode, hold.count, hold.fence.get())).collect();
        let flight = model.flight.map(|flight| flight.hold);
        let expected = model.holds.iter().chain(&flight);
        let expected = expected.map(|hold| (hold.owner, hold.mode, hold.count, hold.fence)).collect();
        assert_eq!(sorted(real), sorted(expected), "{:?}", model.kind);
        assert_eq!(self.table.locked(id), !model.holds.is_empty() || model.flight.is_some());
        for owner in self.owners {
            let real = self.table.held(owner, id).map(|hold| hold.count);
            assert_eq!(real, model.live(owner).map(|hold| hold.count));
        }
    }
}
