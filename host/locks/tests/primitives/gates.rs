//! Locks that others outside of the host use too: nobody is granted while they are away, and they leave in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use lockkeeper_locks::{
    AcquireError, Acquired, AfterDeath, Ask, ClaimError, Departure, EndCause, FenceBlock, GatePhase, GateView,
    Homecoming, Kind, Left, LockConfig, LockId, LockState, Mode, OwnerId, Passage, Previous,
};

use crate::support::{A, B, BOUND_US, C, Desk, RWLOCK, Sleeper};

const READ: Ask = Ask::Shared;
const WRITE: Ask = Ask::Exclusive;

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(true, Ordering::Relaxed), "a bell is rung once");
    }
}

impl Bell {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

fn gated(desk: &Desk, kind: Kind) -> LockId {
    desk.table.create_gated(kind, LockConfig::strict(), 1)
}

fn home(mode: Mode, start: u64) -> Homecoming {
    Homecoming { mode, fences: FenceBlock { start, end: start + 1_000 }, grants_max: u64::MAX, left: Left::Clean }
}

fn come_home(desk: &Desk, lock: LockId, home: Homecoming) {
    desk.table.come_home(lock, &home, desk.at(5));
}

fn watch(desk: &Desk, lock: LockId, bell: &Arc<Bell>) -> GateView {
    desk.table.watch_gate(lock, Some(Waker::from(bell.clone())))
}

fn leave(desk: &Desk, lock: LockId) -> Departure {
    desk.table.allow_grants(lock, 0);
    desk.table.depart(lock).expect("nobody holds it")
}

#[test]
fn nobody_is_granted_a_lock_that_is_away_and_its_keeper_is_told_who_waits() {
    let desk = Desk::new();
    let lock = gated(&desk, Kind::Mutex);
    let bell = Arc::<Bell>::default();
    assert_eq!(watch(&desk, lock, &bell).wanted, None);
    assert_eq!(desk.table.state(lock), LockState::Away);
    assert!(!desk.can_take(A, lock, WRITE, 0) && !bell.take(), "a try does not wait");
    let mut first = desk.queue(A, lock, WRITE, 1);
    assert!(bell.take());
    let second = desk.queue(B, lock, WRITE, 2);
    assert!(!bell.take(), "it was told already");
    assert!(desk.table.is_kept_out(first.wait.id()) && desk.table.is_kept_out(second.wait.id()));
    come_home(&desk, lock, home(Mode::Exclusive, 7));
    assert_eq!(first.got().fence.get(), 7);
    assert!(!desk.table.is_kept_out(second.wait.id()), "it waits for an owner in here");
}

#[test]
fn a_lock_leaves_after_its_holder_and_before_those_who_wait() {
    let desk = Desk::new();
    let lock = gated(&desk, Kind::RLock { depth_max: 9 });
    let bell = Arc::<Bell>::default();
    come_home(&desk, lock, home(Mode::Exclusive, 7));
    let held = desk.take(A, lock, WRITE, 6);
    let mut next = desk.queue(B, lock, WRITE, 7);
    assert_eq!(watch(&desk, lock, &bell).phase, GatePhase::Home(Mode::Exclusive));
    desk.table.allow_grants(lock, 0);
    assert_eq!(desk.table.depart(lock), None, "somebody holds it");
    assert_eq!(desk.take(A, lock, WRITE, 8), held, "who holds it goes deeper");
    desk.release(A, lock, 9);
    assert!(!bell.take());
    desk.release(A, lock, 10);
    assert!(bell.take(), "now it can leave");
    assert!(!next.is_awake() && !desk.can_take(C, lock, WRITE, 11), "it is leaving");
    let left = desk.table.depart(lock);
    assert_eq!(left, Some(Departure { mode: Mode::Exclusive, next_fence: 8, left: Left::Clean }));
    come_home(&desk, lock, home(Mode::Exclusive, 50));
    assert_eq!(next.got().fence.get(), 50);
    assert!(matches!(desk.table.check_claim(A, lock, held.fence), Err(ClaimError::Fenced { .. })));
}

/// Else a job would never stand still whose lock is to leave, and whose holder waits for ever.
#[test]
fn who_waits_for_an_owner_in_here_is_not_kept_out_although_the_lock_is_to_leave() {
    let desk = Desk::new();
    let lock = gated(&desk, Kind::Mutex);
    come_home(&desk, lock, home(Mode::Exclusive, 7));
    desk.hold(A, lock, WRITE, 6);
    let next = desk.queue(B, lock, WRITE, 7);
    desk.table.allow_grants(lock, 0);
    assert!(matches!(desk.table.gate_phase(lock), Some(GatePhase::Leaving(_))));
    assert!(!desk.table.is_kept_out(next.wait.id()));
    desk.release(A, lock, 8);
    assert!(desk.table.is_kept_out(next.wait.id()));
}

#[test]
fn those_who_wait_are_turned_away_when_the_lock_cannot_be_had_and_others_may_try_again() {
    let desk = Desk::new();
    let lock = gated(&desk, Kind::Mutex);
    let bell = Arc::<Bell>::default();
    let mut waits = [desk.queue(A, lock, WRITE, 1), desk.queue(B, lock, WRITE, 2), desk.queue(C, lock, WRITE, 3)];
    desk.table.turn_away(lock, desk.at(4));
    for wait in &mut waits {
        assert!(wait.is_awake(), "one after the other");
        assert_eq!(wait.refused(), AcquireError::Unavailable { lock });
    }
    watch(&desk, lock, &bell);
    let mut later = desk.queue(A, lock, WRITE, 5);
    assert!(bell.take() && !later.is_awake());
    come_home(&desk, lock, home(Mode::Exclusive, 7));
    assert_eq!(later.got().fence.get(), 7);
}

/// Whoever has not had it can have mended nothing.
#[test]
fn a_lock_that_nobody_had_leaves_as_it_came_whatever_the_policy_is() {
    for policy in [AfterDeath::Flag, AfterDeath::Poison, AfterDeath::Ignore] {
        for left in [Left::Clean, Left::Abandoned(EndCause::Killed), Left::Ruined] {
            let desk = Desk::new();
            let config = LockConfig { after_death: policy, ..LockConfig::default() };
            let lock = desk.table.create_gated(Kind::Mutex, config, 1);
            come_home(&desk, lock, Homecoming { left, ..home(Mode::Exclusive, 7) });
            desk.table.allow_grants(lock, 0);
            assert_eq!(desk.table.depart(lock).map(|departure| departure.left), Some(left), "{policy:?}");
        }
    }
}

#[test]
fn a_lock_leaves_by_itself_after_so_many_grants() {
    for bound in [0, BOUND_US] {
        let desk = Desk::new();
        let config = LockConfig::bounded(std::time::Duration::from_micros(bound));
        let lock = desk.table.create_gated(Kind::Mutex, config, 1);
        let bell = Arc::<Bell>::default();
        come_home(&desk, lock, Homecoming { grants_max: 3, ..home(Mode::Exclusive, 1) });
        watch(&desk, lock, &bell);
        for us in 10..13 {
            assert!(!bell.take());
            assert!(desk.can_take(A, lock, WRITE, us));
            desk.release(A, lock, us);
        }
        assert!(bell.take());
        assert!(!desk.can_take(A, lock, WRITE, 20), "three were allowed");
        assert_eq!(desk.table.depart(lock).map(|left| left.next_fence), Some(4));
    }
}

#[test]
fn a_lock_at_home_for_readers_lets_no_writer_in_and_leaves_for_one() {
    let desk = Desk::new();
    let lock = gated(&desk, RWLOCK);
    let bell = Arc::<Bell>::default();
    come_home(&desk, lock, home(Mode::Shared, 1));
    watch(&desk, lock, &bell);
    desk.hold(A, lock, READ, 6);
    desk.hold(B, lock, READ, 6);
    assert!(!bell.take());
    let mut writer = desk.queue(C, lock, WRITE, 7);
    assert!(bell.take(), "it has to come home otherwise");
    assert!(!desk.table.is_kept_out(writer.wait.id()), "it waits for readers in here");
    desk.table.allow_grants(lock, 0);
    watch(&desk, lock, &bell);
    desk.release(A, lock, 8);
    assert!(!bell.take() && !writer.is_awake());
    desk.release(B, lock, 9);
    assert!(bell.take() && !writer.is_awake());
    assert!(desk.table.is_kept_out(writer.wait.id()), "nobody in here has it any more");
    assert_eq!(desk.table.depart(lock).map(|left| left.mode), Some(Mode::Shared));
    come_home(&desk, lock, home(Mode::Exclusive, 9));
    let _ = writer.got();
}

#[test]
fn a_reader_is_not_made_a_writer_where_somebody_outside_can_come_between() {
    for mode in [Mode::Shared, Mode::Exclusive] {
        let desk = Desk::new();
        let lock = gated(&desk, RWLOCK);
        come_home(&desk, lock, home(mode, 1));
        desk.hold(A, lock, READ, 6);
        assert_eq!(desk.refused(A, lock, Ask::Upgrade, 7), AcquireError::Unfit { lock });
        assert_eq!(desk.count(A, lock), 1, "it still reads");
    }
}

#[test]
fn a_waiter_that_gives_up_leaves_no_trace_at_the_gate() {
    let desk = Desk::new();
    let lock = gated(&desk, Kind::Mutex);
    let bell = Arc::<Bell>::default();
    watch(&desk, lock, &bell);
    let waiter = desk.queue(A, lock, WRITE, 1);
    drop(waiter);
    assert!(bell.take());
    assert_eq!(watch(&desk, lock, &bell).wanted, None);
    come_home(&desk, lock, home(Mode::Exclusive, 1));
    assert_eq!(
        watch(&desk, lock, &bell),
        GateView { phase: GatePhase::Home(Mode::Exclusive), wanted: None, held: false, grants: 0, fences_left: 1_000 }
    );
}

#[test]
fn how_the_last_owner_left_a_lock_goes_with_it_from_host_to_host() {
    let abandoned = Previous::Abandoned { how: EndCause::HostDied, who: OwnerId::OUTSIDE };
    for after_death in [AfterDeath::Flag, AfterDeath::Poison, AfterDeath::Ignore] {
        let desk = Desk::new();
        let config = LockConfig { after_death, ..LockConfig::strict() };
        let lock = desk.table.create_gated(Kind::Mutex, config, 1);
        let died = Left::Abandoned(EndCause::HostDied);
        come_home(&desk, lock, Homecoming { left: died, ..home(Mode::Exclusive, 1) });
        if after_death == AfterDeath::Ignore {
            assert_eq!(desk.take(A, lock, WRITE, 6).previous, Previous::Clean);
            desk.release(A, lock, 7);
            assert_eq!(leave(&desk, lock).left, Left::Clean);
            continue;
        }
        assert_eq!(leave(&desk, lock).left, died, "nobody was told of it in here");
        come_home(&desk, lock, Homecoming { left: died, ..home(Mode::Exclusive, 10) });
        assert_eq!(desk.take(A, lock, WRITE, 8).previous, abandoned);
        desk.release(A, lock, 9);
        let left = leave(&desk, lock).left;
        assert_eq!(left, if after_death == AfterDeath::Poison { Left::Ruined } else { Left::Clean });
        come_home(&desk, lock, Homecoming { left, ..home(Mode::Exclusive, 20) });
        if after_death == AfterDeath::Poison {
            assert_eq!(desk.refused(B, lock, WRITE, 10), AcquireError::NotRecoverable { lock });
        } else {
            assert_eq!(desk.take(B, lock, WRITE, 10).previous, Previous::Clean);
            desk.end(B, EndCause::Trapped, 11);
            assert_eq!(leave(&desk, lock).left, Left::Abandoned(EndCause::Trapped));
        }
    }
}

#[test]
fn a_hold_that_is_taken_away_is_settled_before_its_lock_leaves() {
    let desk = Desk::new();
    let lock = gated(&desk, Kind::Mutex);
    let bell = Arc::<Bell>::default();
    come_home(&desk, lock, home(Mode::Exclusive, 1));
    desk.hold(A, lock, WRITE, 6);
    desk.table.allow_grants(lock, 0);
    watch(&desk, lock, &bell);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("it is held");
    assert!(!bell.take());
    assert_eq!(desk.table.depart(lock), None, "what it wrote is not settled");
    desk.table.finish_revoke(revoked, desk.at(7));
    assert!(bell.take());
    assert!(desk.table.depart(lock).is_some());
}

// ---- every short script ----

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(usize, Ask),
    Look(usize),
    Release(usize),
    GiveUp(usize),
    Die(usize),
    Home(Mode),
    LastGrant,
    Leave,
    Depart,
}

enum Party {
    Idle,
    Waits(Sleeper<Acquired>),
    Holds(Mode),
}

/// Two owners at one lock, and its keeper, who looks only when the bell was rung or after it did something itself.
struct World {
    desk: Desk,
    lock: LockId,
    parties: [(OwnerId, Party); 2],
    next_owner: u64,
    newest: u64,
    next_fence: u64,
    bell: Arc<Bell>,
    /// What the keeper saw last.
    seen: GateView,
    us: u64,
}

impl World {
    fn new(kind: Kind, bound: u64) -> Self {
        let desk = Desk::new();
        let config = LockConfig::bounded(std::time::Duration::from_micros(bound));
        let lock = desk.table.create_gated(kind, config, 1);
        let bell = Arc::<Bell>::default();
        let seen = watch(&desk, lock, &bell);
        let parties = [(A, Party::Idle), (B, Party::Idle)];
        Self { desk, lock, parties, next_owner: 10, newest: 0, next_fence: 1, bell, seen, us: 10 }
    }

    fn view(&self) -> GateView {
        self.desk.table.watch_gate(self.lock, None)
    }

    fn granted(newest: &mut u64, acquired: Acquired) {
        assert!(acquired.fence.get() > *newest, "a fence goes back");
        *newest = acquired.fence.get();
    }

    /// Does the step; false if it makes no sense here.
    fn step(&mut self, step: Step) -> bool {
        self.us += 7;
        let Self { desk, lock, parties, newest, us, .. } = self;
        let (lock, us) = (*lock, *us);
        match step {
            Step::Ask(who, ask) => {
                let (owner, party) = &mut parties[who];
                if !matches!(party, Party::Idle) {
                    return false;
                }
                match desk.table.ask(*owner, lock, ask, desk.at(us)).expect("it is no refusal") {
                    Passage::Ready(acquired) => {
                        Self::granted(newest, acquired);
                        *party = Party::Holds(ask.mode());
                    }
                    Passage::Wait(wait) => {
                        let mut sleeper = Sleeper::new(wait);
                        assert_eq!(sleeper.poll(), None, "who has just queued waits");
                        *party = Party::Waits(sleeper);
                    }
                }
            }
            Step::Look(who) => {
                let (owner, party) = &mut parties[who];
                let Party::Waits(sleeper) = party else { return false };
                if !sleeper.is_awake() {
                    return false;
                }
                if let Some(answer) = sleeper.poll() {
                    Self::granted(newest, answer.expect("it is no refusal"));
                    let mode = desk.table.held(*owner, lock).expect("it was granted").mode;
                    *party = Party::Holds(mode);
                }
            }
            Step::Release(who) => {
                let (owner, party) = &mut parties[who];
                if !matches!(party, Party::Holds(_)) {
                    return false;
                }
                desk.release(*owner, lock, us);
                *party = Party::Idle;
            }
            Step::GiveUp(who) => {
                let party = &mut parties[who].1;
                if !matches!(party, Party::Waits(_)) {
                    return false;
                }
                *party = Party::Idle;
            }
            Step::Die(who) => {
                let (owner, party) = &mut parties[who];
                if matches!(party, Party::Idle) {
                    return false;
                }
                desk.end(*owner, EndCause::Killed, us);
                *party = Party::Idle;
                desk.table.forget_owner(*owner);
                *owner = OwnerId::new(self.next_owner);
                self.next_owner += 1;
            }
            Step::Home(mode) => {
                if self.view().phase != GatePhase::Away {
                    return false;
                }
                // Others had it meanwhile.
                come_home(&self.desk, lock, home(mode, self.next_fence + 5));
            }
            Step::LastGrant | Step::Leave => {
                if !matches!(self.view().phase, GatePhase::Home(_)) {
                    return false;
                }
                self.desk.table.allow_grants(lock, u64::from(matches!(step, Step::LastGrant)));
            }
            Step::Depart => {
                let view = self.view();
                let departed = self.desk.table.depart(lock);
                assert_eq!(departed.is_some(), matches!(view.phase, GatePhase::Leaving(_)) && !view.held);
                let Some(departed) = departed else { return false };
                assert!(departed.next_fence > self.newest);
                self.next_fence = departed.next_fence;
            }
        }
        let by_keeper = matches!(step, Step::Home(_) | Step::LastGrant | Step::Leave | Step::Depart);
        if self.bell.take() || by_keeper {
            self.seen = watch(&self.desk, lock, &self.bell);
        }
        self.check();
        true
    }

    fn check(&self) {
        self.desk.table.check();
        let view = self.view();
        let holders = self.desk.table.inspect(self.lock).holders;
        match view.phase {
            GatePhase::Away => assert!(holders.is_empty(), "somebody holds a lock that is away"),
            GatePhase::Home(Mode::Shared) | GatePhase::Leaving(Mode::Shared) => {
                assert!(holders.iter().all(|holder| holder.mode == Mode::Shared), "somebody writes among readers");
            }
            GatePhase::Home(_) | GatePhase::Leaving(_) => {}
        }
        let to_do = |view: &GateView| match view.phase {
            GatePhase::Away => view.wanted.is_some(),
            GatePhase::Leaving(_) => !view.held,
            GatePhase::Home(mode) => mode == Mode::Shared && view.wanted == Some(Mode::Exclusive),
        };
        assert!(!to_do(&view) || to_do(&self.seen), "the keeper does not know that there is something to do: {view:?}");
        for (owner, party) in &self.parties {
            if let Party::Holds(mode) = party {
                let held = self.desk.table.held(*owner, self.lock);
                assert_eq!(held.map(|held| held.mode), Some(*mode), "who holds it lost it");
            }
        }
    }
}

fn explore(kind: Kind, bound: u64, depth: usize) -> usize {
    let asks: &[Ask] = if kind == Kind::Mutex { &[WRITE] } else { &[WRITE, READ] };
    let mut steps = Vec::new();
    for who in 0..2 {
        steps.extend(asks.iter().map(|ask| Step::Ask(who, *ask)));
        steps.extend([Step::Look(who), Step::Release(who), Step::GiveUp(who), Step::Die(who)]);
    }
    let modes: &[Mode] = if kind == Kind::Mutex { &[Mode::Exclusive] } else { &[Mode::Exclusive, Mode::Shared] };
    steps.extend(modes.iter().map(|mode| Step::Home(*mode)));
    steps.extend([Step::LastGrant, Step::Leave, Step::Depart]);
    let mut script: Vec<usize> = vec![0];
    let mut played = 0;
    loop {
        // The last step is tried after all the others, which made sense.
        let mut world = World::new(kind, bound);
        let (last, before) = script.split_last().expect("a script has steps");
        for step in before {
            assert!(world.step(steps[*step]), "what made sense once does so again");
        }
        let makes_sense = world.step(steps[*last]);
        played += usize::from(makes_sense);
        if makes_sense && script.len() < depth {
            script.push(0);
            continue;
        }
        while let Some(last) = script.last_mut() {
            *last += 1;
            if *last < steps.len() {
                break;
            }
            script.pop();
        }
        if script.is_empty() {
            return played;
        }
    }
}

#[test]
fn no_script_of_two_owners_and_a_keeper_grants_a_lock_that_is_away_or_forgets_the_keeper() {
    for bound in [0, BOUND_US] {
        assert!(explore(Kind::Mutex, bound, 8) > 10_000);
        assert!(explore(RWLOCK, bound, 6) > 10_000);
    }
}
