//! What a lock does next: plain state transitions above the wait queue, the same for every kind of lock.
//!
//! No threads, clocks or wakers in here: the time comes in, the wake-ups go out in [`Wakes`]. [`crate::table`] puts each
//! of these behind a mutex of its own and runs the wake-ups outside it. What makes one kind differ from another is
//! [`Rule`].
//!
//! Rules that hold between any two calls; [`Lock::check`] asserts them:
//! * whoever holds the lock exclusively is alone, and its fence is the newest of the lock;
//! * if the waiter at the front fits beside the holders, it has been woken, or the lock is on its way to somebody;
//! * after [`Lock::close`] nobody waits and nobody is granted.
//!
//! Fairness is decided in three places and nowhere else: [`Lock::may_take`] says whether a running owner may take the lock,
//! [`Lock::may_come_early`] whether a woken waiter may that is not at the front, [`Lock::settle`] how a lock that has become
//! free goes on.

mod fairness;
mod gated;
mod looking;
mod taking;

use std::task::Waker;
use std::time::Instant;

use crate::clock::Now;
use crate::fences::Fences;
use crate::gate::Gate;
use crate::holds::{Hold, Holds};
use crate::ids::{Acquired, Ask, Counters, Fence, FenceBlock, Mode, OwnerId, Place, Previous, Want};
use crate::kinds::LockConfig;
use crate::queue::{Expelled, Queue, Ticket, Wakes};
use crate::rule::{Again, Rule};
use crate::wait::Answer;

/// One lock.
///
/// | `holds` | `flight` | `queue` | state | who may leave it |
/// |---|---|---|---|---|
/// | none | none | empty | free | any request: to held |
/// | any | none | front fits | head woken | the head when it polls, or an owner that barges while the head is within its bound. When the head leaves, the wake-up passes on |
/// | some | none | empty, or front does not fit | held | a holder's release: the front may fit then. A revocation, an owner's end: to revoking |
/// | any | some | any | in flight | the waiter when it polls or expires: to held. When it is dropped or the table closed, the grant passes on. A revocation, its owner's end: to revoking |
/// | some revoking | any | any | revoking | only the second half of the revocation |
///
/// At most one grant is in flight. Whoever is told looks whether the next one fits too, so readers follow each other.
pub(crate) struct Lock {
    config: LockConfig,
    rule: Rule,
    holds: Holds,
    flight: Option<Flight>,
    queue: Queue,
    fences: Fences,
    /// Only a lock that others outside of the host use too has one.
    gate: Option<Box<Gate>>,
    /// How the last exclusive hold ended whose owner had been told of it. An owner that was never told has touched
    /// nothing, so its end leaves this as it is, whatever the reason: only who was told can abandon.
    previous: Previous,
    /// Whose exclusive hold was taken away last: as long as nobody had one since, its late claim is told so.
    taken_from: Option<OwnerId>,
    health: Health,
    /// Hand-overs in a row that stayed in this place although somebody elsewhere waited.
    cohort: Cohort,
    /// The latest time this lock was given. A poll or a drop has no time of its own and happens then.
    latest: Option<Instant>,
    counters: Counters,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// The table was shut down. There is no way back.
    Closed,
}

/// Only a lock with [`AfterDeath::Poison`] is ever anything but sound.
///
/// | health | meaning | who may leave it |
/// |---|---|---|
/// | `Sound` | | the end of an exclusive owner: inconsistent |
/// | `Inconsistent` | an owner ended, and nobody has said that the data is whole | `mark_consistent`: sound. A release without it: ruined |
/// | `Ruined` | nobody is granted any more | nobody |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    Sound,
    Inconsistent,
    Ruined,
}

/// A grant that the waiter does not know of yet.
#[derive(Clone, Copy)]
struct Flight {
    ticket: Ticket,
    ask: Ask,
    hold: Hold,
}

#[derive(Clone, Copy, Default)]
struct Cohort {
    place: Place,
    length: u32,
}

/// Who asks, and where it runs.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) owner: OwnerId,
    pub(crate) place: Place,
}

/// What a request came to that may wait.
pub(crate) enum Request {
    Granted(Acquired),
    Queued(Ticket),
    Refused(Refused),
}

/// Why a request is refused at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It can be had, but not now.
    Busy,
    QueueFull,
    NoFence,
    /// The owner would wait for itself.
    Itself,
    TooDeep,
    /// The request makes no sense beside what the owner holds.
    Unfit,
    /// An upgrade of nothing.
    NotHeld,
    /// More permits than there can ever be.
    TooMany,
    NotRecoverable,
    /// It is a once, and was done.
    Done,
}

/// What a look at a wait came to. All but `Pending` end it.
pub(crate) enum Progress {
    Answered(Answer),
    Pending,
    /// It was its turn, and no fence was left.
    NoFence,
    TimedOut,
    /// It is neither in the queue nor granted: somebody took it out.
    Gone,
    NotRecoverable,
    /// Its gate's keeper cannot have it.
    Unavailable,
}

/// Why a release was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotReleased {
    NotHeld,
    HeldBy(OwnerId),
    OverRelease,
    /// The owner holds it, but with this fence.
    Fenced(Fence),
}

/// A hold that was taken away, first half.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) fence: Fence,
    pub(crate) notice: Notice,
}

/// Whether the owner of a hold knew of it when it was taken away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    Told,
    NeverTold,
}

/// What blocks a wait of this lock, as the search for deadlocks sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    /// The hardest of what the waiter asks for and what those ahead of it ask for: it comes after them.
    pub(crate) ask: Ask,
    /// What it asks for itself.
    pub(crate) own: Mode,
    /// How many permits there are in all, free or not.
    pub(crate) permits: u32,
}

impl Lock {
    pub(crate) fn new(rule: Rule, config: LockConfig, fences: FenceBlock) -> Self {
        Self {
            config,
            rule,
            holds: Holds::default(),
            flight: None,
            queue: Queue::new(),
            fences: Fences::new(fences),
            gate: None,
            previous: Previous::Clean,
            taken_from: None,
            health: Health::Sound,
            cohort: Cohort::default(),
            latest: None,
            counters: Counters::default(),
            phase: Phase::Open,
        }
    }

    // ---- requests of an owner ----

    /// Takes the lock if it can be had now.
    pub(crate) fn try_ask(&mut self, asker: Asker, ask: Ask, now: Now, wakes: &mut Wakes) -> Result<Acquired, Refused> {
        let now = self.note(now);
        if let Some(again) = self.look(asker.owner, ask)? {
            return Ok(again);
        }
        if !self.may_take(asker, ask, now) {
            return Err(Refused::Busy);
        }
        self.take(asker, ask, now, wakes).ok_or(Refused::NoFence)
    }

    /// Takes the lock, or queues for it.
    pub(crate) fn ask(&mut self, asker: Asker, ask: Ask, now: Now, waiters_max: usize, wakes: &mut Wakes) -> Request {
        match self.try_ask(asker, ask, now, wakes) {
            Ok(acquired) => return Request::Granted(acquired),
            Err(Refused::Busy) => {}
            Err(refused) => return Request::Refused(refused),
        }
        if self.queue.len() >= waiters_max {
            return Request::Refused(Refused::QueueFull);
        }
        let now = self.note_exactly(now.exact());
        let push = if ask == Ask::Upgrade { Queue::push_ahead } else { Queue::push };
        let ticket = push(&mut self.queue, asker.owner, asker.place, Want::Lock(ask), now);
        if self.gate.is_some() {
            self.look_at_the_gate(wakes);
        }
        Request::Queued(ticket)
    }

    /// What there is to say before anybody looks whether the lock is free: an answer, a refusal, or neither.
    fn look(&mut self, owner: OwnerId, ask: Ask) -> Result<Option<Acquired>, Refused> {
        assert!(self.rule.knows(ask), "a lock is asked for what its kind has");
        if self.health == Health::Ruined {
            return Err(Refused::NotRecoverable);
        }
        if let Rule::Once { done: true } = self.rule {
            return Err(Refused::Done);
        }
        if let (Rule::Semaphore(permits), Ask::Permits(count)) = (&self.rule, ask)
            && permits.maximum().is_some_and(|maximum| count > maximum)
        {
            return Err(Refused::TooMany);
        }
        let previous = self.previous;
        match self.holds.get_mut(owner).filter(|hold| hold.is_live()) {
            Some(hold) => match self.rule.again(hold, ask) {
                Again::Deeper => {
                    hold.count += 1;
                    self.counters.acquired += 1;
                    Ok(Some(Acquired { fence: hold.fence, previous }))
                }
                Again::TooDeep => Err(Refused::TooDeep),
                Again::Deadlock => Err(Refused::Itself),
                Again::Unfit => Err(Refused::Unfit),
                Again::Ask => Ok(None),
            },
            None if ask == Ask::Upgrade => Err(Refused::NotHeld),
            None => Ok(None),
        }
        .and_then(|again| match ask {
            // Whoever is outside can come between a read and the write that it is to become.
            Ask::Upgrade if self.gate.is_some() => Err(Refused::Unfit),
            _ => Ok(again),
        })
    }

    /// Undoes one acquisition of the owner. How the data was left is for the next owner to know, unless nothing was done.
    pub(crate) fn release(
        &mut self,
        owner: OwnerId,
        touched: Touched,
        now: Now,
        wakes: &mut Wakes,
    ) -> Result<Released, NotReleased> {
        let now = self.note(now);
        let Some(hold) = self.holds.get_mut(owner).filter(|hold| hold.is_live()) else {
            return Err(self.not_released(owner));
        };
        if let Rule::Semaphore(_) = self.rule {
            let place = hold.place;
            return self.release_permits(Asker { owner, place }, 1, now.into(), wakes);
        }
        if hold.count > 1 {
            hold.count -= 1;
            return Ok(Released::StillHeld);
        }
        let place = hold.place;
        self.end_hold(owner, touched, now);
        self.settle(Some(place), wakes);
        Ok(Released::Free)
    }

    /// Gives permits back, or adds some.
    pub(crate) fn release_permits(
        &mut self,
        asker: Asker,
        count: u32,
        now: Now,
        wakes: &mut Wakes,
    ) -> Result<Released, NotReleased> {
        let now = self.note(now);
        let permits = self.rule.permits().expect("permits are released at a semaphore");
        if !permits.is_owned() {
            if !permits.release(count) {
                return Err(NotReleased::OverRelease);
            }
            self.settle(Some(asker.place), wakes);
            return Ok(Released::Free);
        }
        let Some(hold) = self.holds.get_mut(asker.owner).filter(|hold| hold.is_live()) else {
            return Err(NotReleased::NotHeld);
        };
        let Some(left) = hold.count.checked_sub(count) else {
            return Err(NotReleased::OverRelease);
        };
        permits.put_back(count);
        hold.count = left;
        if left == 0 {
            self.end_hold(asker.owner, Touched::Yes, now);
        }
        self.settle(Some(asker.place), wakes);
        Ok(if left == 0 { Released::Free } else { Released::StillHeld })
    }

    /// Releases all levels at once, for a condition to wait; how many there were.
    pub(crate) fn release_all(&mut self, owner: OwnerId, now: Now, wakes: &mut Wakes) -> Result<u32, NotReleased> {
        let Some(hold) = self.holds.get_mut(owner).filter(|hold| hold.is_live()) else {
            return Err(self.not_released(owner));
        };
        let depth = std::mem::replace(&mut hold.count, 1);
        self.release(owner, Touched::Yes, now, wakes)?;
        Ok(depth)
    }

    /// Brings a hold to the depth that it had before a condition let it go.
    pub(crate) fn restore_depth(&mut self, owner: OwnerId, depth: u32) {
        if let Some(hold) = self.holds.get_mut(owner).filter(|hold| hold.is_live()) {
            hold.count = depth;
        }
    }

    /// From writer to reader, with nobody in between.
    pub(crate) fn downgrade(&mut self, owner: OwnerId, now: Now, wakes: &mut Wakes) -> Result<Acquired, NotReleased> {
        self.note(now);
        let writes = |hold: &&mut Hold| hold.is_live() && hold.mode == Mode::Exclusive;
        let Some(hold) = self.holds.get_mut(owner).filter(writes) else {
            return Err(self.not_exclusive());
        };
        hold.mode = Mode::Shared;
        let (place, fence) = (hold.place, hold.fence);
        self.leave_behind(Touched::Yes);
        self.settle(Some(place), wakes);
        Ok(Acquired { fence, previous: self.previous })
    }

    /// The owner says that what the lock protects is whole.
    pub(crate) fn mark_consistent(&mut self, owner: OwnerId) -> Result<(), NotReleased> {
        let holds = self.holds.get(owner).is_some_and(|hold| hold.is_live() && hold.mode == Mode::Exclusive);
        if !holds {
            return Err(self.not_exclusive());
        }
        if self.health == Health::Inconsistent {
            self.health = Health::Sound;
            self.previous = Previous::Clean;
        }
        Ok(())
    }

    /// The owner of the turn has done what there was to do; everyone who waits is to be told.
    pub(crate) fn complete(&mut self, owner: OwnerId, now: Now, wakes: &mut Wakes) -> Result<Expelled, NotReleased> {
        self.release(owner, Touched::Yes, now, wakes)?;
        self.rule = Rule::Once { done: true };
        if let Some(flight) = self.flight.take() {
            // It was not told: there is nothing to do any more.
            self.counters.passed_on += 1;
            assert_eq!(flight.hold.mode, Mode::Exclusive, "a turn is had alone");
        }
        Ok(self.queue.expel_all())
    }

    /// Says so if the owner holds the lock, but with another fence than the one that it names.
    pub(crate) fn must_be_this_hold(&self, owner: OwnerId, guard: Option<Fence>) -> Result<(), NotReleased> {
        match (guard, self.held(owner)) {
            (Some(guard), Some(hold)) if guard != hold.fence => Err(NotReleased::Fenced(hold.fence)),
            _ => Ok(()),
        }
    }

    /// Says whose it is if it is not the owner's.
    pub(crate) fn must_be_held(&self, owner: OwnerId) -> Result<(), NotReleased> {
        self.held_fence(owner).map(drop).ok_or_else(|| self.not_released(owner))
    }

    /// Why an owner cannot release. A grant that it has not been told of is nobody's yet, as it sees it.
    fn not_released(&self, owner: OwnerId) -> NotReleased {
        let flight = self.flight.iter().map(|flight| &flight.hold).filter(|hold| hold.owner != owner);
        let holder = self.holds.iter().chain(flight).find(|hold| hold.is_live());
        holder.map_or(NotReleased::NotHeld, |hold| NotReleased::HeldBy(hold.owner))
    }

    /// Why an owner cannot do what takes an exclusive hold, which it has not. Readers are in nobody's way here.
    fn not_exclusive(&self) -> NotReleased {
        let holder = self.holds.exclusive().filter(|hold| hold.is_live());
        holder.map_or(NotReleased::NotHeld, |hold| NotReleased::HeldBy(hold.owner))
    }

    /// A live hold ends by its owner's will.
    fn end_hold(&mut self, owner: OwnerId, touched: Touched, now: Instant) {
        let hold = self.holds.remove(owner).expect("who releases holds");
        self.counters.longest_hold = self.counters.longest_hold.max(now.saturating_duration_since(hold.since));
        if hold.mode == Mode::Exclusive {
            self.leave_behind(touched);
        }
    }

    /// An exclusive owner leaves the data as it is.
    fn leave_behind(&mut self, touched: Touched) {
        self.taken_from = None;
        if touched == Touched::No {
            return;
        }
        if self.health == Health::Inconsistent {
            self.health = Health::Ruined;
        } else {
            self.previous = Previous::Clean;
        }
    }

    // ---- a wait ----

    /// The waiter looks whether it is its turn. If not, the waker is taken and is whom to wake; if it is, the caller keeps
    /// it, to drop it elsewhere.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &mut Option<Waker>, wakes: &mut Wakes) -> Progress {
        let progress = self.advance(ticket, wakes);
        if matches!(progress, Progress::Pending) {
            self.queue.wait(ticket, waker, wakes);
        }
        progress
    }

    /// The deadline of a waiter has come: it has the grant, or it is out of the queue. Never pending.
    pub(crate) fn expire(&mut self, ticket: Ticket, now: Instant, wakes: &mut Wakes) -> Progress {
        self.note_exactly(now);
        match self.advance(ticket, wakes) {
            Progress::Pending => {
                self.queue.count_timeout();
                self.leave(ticket, wakes);
                Progress::TimedOut
            }
            progress => progress,
        }
    }

    /// The waiter is dropped. What was on its way to it, a wake-up or a grant, passes on.
    pub(crate) fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) {
        if self.is_in_flight_to(ticket) {
            self.counters.passed_on += 1;
            self.withdraw_flight();
            self.settle(None, wakes);
        } else {
            let was_front = self.queue.is_front(ticket);
            if self.queue.leave(ticket, wakes).is_some() && was_front {
                self.settle(None, wakes);
            }
        }
    }

    fn advance(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Progress {
        if self.is_in_flight_to(ticket) {
            let acquired = self.land(wakes);
            return Progress::Answered(self.answer(acquired));
        }
        let Some(entry) = self.queue.get(ticket) else {
            return match self.rule {
                Rule::Once { done: true } if self.phase == Phase::Open => Progress::Answered(Answer::Done),
                _ => Progress::Gone,
            };
        };
        let (owner, place, since) = (entry.owner, entry.place, entry.since);
        let Want::Lock(ask) = entry.want else { unreachable!("who waits for a lock wants a lock") };
        let now = self.latest.expect("who waits has given the time");
        if self.health == Health::Ruined {
            self.queue.leave(ticket, wakes);
            self.settle(None, wakes);
            return Progress::NotRecoverable;
        }
        if self.is_turned_away(ticket) {
            self.queue.leave(ticket, wakes);
            self.settle(None, wakes);
            return Progress::Unavailable;
        }
        let its_turn = self.queue.is_front(ticket) || self.may_come_early(entry, now);
        if !its_turn || self.flight.is_some() || !self.has_room(owner, ask) {
            return Progress::Pending;
        }
        // Free, and its turn. Even with nothing to grant it leaves: an answer is better than a place for ever.
        self.queue.leave(ticket, wakes);
        self.counters.longest_wait = self.counters.longest_wait.max(now.saturating_duration_since(since));
        match self.grant(Asker { owner, place }, ask, now) {
            Some(hold) => {
                let acquired = self.tell(hold, ask, wakes);
                Progress::Answered(self.answer(acquired))
            }
            None => {
                self.settle(None, wakes);
                Progress::NoFence
            }
        }
    }

    fn answer(&self, acquired: Acquired) -> Answer {
        if self.rule.is_unowned() { Answer::Taken(acquired) } else { Answer::Acquired(acquired) }
    }

    // ---- time ----

    /// The time of a call: read from the clock only if somebody waits, since nothing else depends on it much.
    fn note(&mut self, now: Now) -> Instant {
        let now = if self.queue.is_empty() { now.about() } else { now.exact() };
        self.note_exactly(now)
    }

    /// Time never runs backwards for a lock, although its callers look at the clock before they get its mutex.
    fn note_exactly(&mut self, now: Instant) -> Instant {
        let latest = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(latest);
        latest
    }

    fn is_in_flight_to(&self, ticket: Ticket) -> bool {
        self.flight.is_some_and(|flight| flight.ticket == ticket && flight.hold.is_live())
    }
}

/// Whether an owner did anything under the lock that it releases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touched {
    Yes,
    /// It was never told, or gives back what it could not use: how the last owner left is still news.
    No,
}

/// What a release left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Released {
    /// The owner still has some of it.
    StillHeld,
    Free,
}

/// The one of two requests that is harder to grant.
fn harder(one: Ask, other: Ask) -> Ask {
    match (one, other) {
        (Ask::Permits(one), Ask::Permits(other)) => Ask::Permits(one.max(other)),
        // For who stands behind, an upgrade ahead is a writer ahead.
        (Ask::Upgrade, _) => Ask::Upgrade,
        (Ask::Exclusive, _) | (_, Ask::Exclusive | Ask::Upgrade) => Ask::Exclusive,
        (Ask::Shared, other) => other,
        (one, _) => one,
    }
}
