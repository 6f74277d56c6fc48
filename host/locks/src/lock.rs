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

use std::task::Waker;
use std::time::Instant;

use crate::clock::Now;
use crate::error::ClaimError;
use crate::fences::Fences;
use crate::holds::{Hold, Holds, Stage};
use crate::ids::{
    Acquired, Ask, Counters, EndCause, Fence, FenceBlock, Holder, LockState, Mode, OwnerId, Place, Previous, Want,
};
use crate::kinds::{AfterDeath, LockConfig};
use crate::queue::{Entry, Expelled, Queue, Ticket, Wakes};
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
    /// How the last exclusive hold ended whose owner had been told of it. An owner that was never told has touched
    /// nothing, so its end leaves this as it is, whatever the reason: only who was told can abandon.
    previous: Previous,
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
    pub(crate) own: Ask,
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
            previous: Previous::Clean,
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
        self.counters.contended += 1;
        let now = self.note_exactly(now.exact());
        let push = if ask == Ask::Upgrade { Queue::push_ahead } else { Queue::push };
        Request::Queued(push(&mut self.queue, asker.owner, asker.place, Want::Lock(ask), now))
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
                self.counters.timeouts += 1;
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

    // ---- the end of a hold by somebody else ----

    /// Takes the hold away if it is the expected one. It is not live from here on, and nobody is granted before
    /// [`Lock::finish_revoke`]. A wait for more of the same lock (`ticket`) is over.
    pub(crate) fn begin_revoke(
        &mut self,
        owner: OwnerId,
        fence: Fence,
        how: EndCause,
        ticket: Option<Ticket>,
        wakes: &mut Wakes,
    ) -> Option<Taken> {
        if let Some(hold) = self.holds.get_mut(owner) {
            if hold.fence != fence || !hold.is_live() {
                return None;
            }
            hold.stage = Stage::Revoking;
            let exclusive = hold.mode == Mode::Exclusive;
            self.counters.abandoned += 1;
            if exclusive && self.config.after_death != AfterDeath::Ignore {
                self.previous = Previous::Abandoned { how, who: owner };
                if self.config.after_death == AfterDeath::Poison {
                    self.health = Health::Inconsistent;
                }
            }
            // More of the same, granted or not, goes with it.
            if self.flight.is_some_and(|flight| flight.hold.owner == owner) {
                self.counters.passed_on += 1;
                self.withdraw_flight();
            }
            if let Some(ticket) = ticket {
                self.queue.take(ticket, wakes);
            }
            self.settle(None, wakes);
            return Some(Taken { fence, notice: Notice::Told });
        }
        let flight = self.flight.as_mut()?;
        if flight.hold.owner != owner || flight.hold.fence != fence || !flight.hold.is_live() {
            return None;
        }
        flight.hold.stage = Stage::Revoking;
        self.counters.passed_on += 1;
        Some(Taken { fence, notice: Notice::NeverTold })
    }

    /// Grants the next owner after a hold was taken away.
    ///
    /// # Panics
    ///
    /// If this is not the hold that was taken away.
    pub(crate) fn finish_revoke(&mut self, owner: OwnerId, fence: Fence, now: Instant, wakes: &mut Wakes) {
        let now = self.note_exactly(now);
        if let Some(hold) = self.holds.get(owner).copied() {
            assert_eq!((hold.stage, hold.fence), (Stage::Revoking, fence), "the hold that ends was taken away before");
            self.holds.remove(owner);
            self.counters.longest_hold = self.counters.longest_hold.max(now.saturating_duration_since(hold.since));
            if let Some(permits) = self.rule.permits() {
                permits.put_back(hold.count);
            }
        } else {
            let flight = self.flight.expect("between the halves of a revocation there is a hold");
            let Flight { hold, .. } = flight;
            assert_eq!((hold.owner, hold.fence), (owner, fence), "the hold that ends is the one that was taken away");
            assert_eq!(hold.stage, Stage::Revoking, "the hold that ends was taken away before");
            self.withdraw_flight();
        }
        self.settle(None, wakes);
    }

    /// The owner ends: its hold is taken away, and its wait (`ticket`, if it queued) is over.
    pub(crate) fn end(
        &mut self,
        owner: OwnerId,
        ticket: Option<Ticket>,
        how: EndCause,
        wakes: &mut Wakes,
    ) -> Option<Taken> {
        let in_flight = self.flight.filter(|flight| flight.hold.owner == owner).map(|flight| flight.hold.fence);
        if in_flight.is_some() && self.rule.is_unowned() {
            self.counters.passed_on += 1;
            self.withdraw_flight();
            self.settle(None, wakes);
            return None;
        }
        let fence = self.holds.get(owner).map(|hold| hold.fence).or(in_flight);
        let waits = ticket.is_some_and(|ticket| self.queue.contains(ticket));
        if let Some(taken) = fence.and_then(|fence| self.begin_revoke(owner, fence, how, ticket, wakes)) {
            self.counters.cancelled += u64::from(waits);
            return Some(taken);
        }
        // Also while an earlier hold of its own is being taken away: it may have been told, and have asked again.
        let ticket = ticket?;
        let was_front = self.queue.is_front(ticket);
        if self.queue.take(ticket, wakes).is_some() {
            self.counters.cancelled += 1;
            if was_front {
                self.settle(None, wakes);
            }
        }
        None
    }

    /// Nobody is granted from here on. A hold stays until its owner releases it; a grant in flight is withdrawn.
    pub(crate) fn close(&mut self) -> Expelled {
        self.phase = Phase::Closed;
        if self.flight.is_some_and(|flight| flight.hold.is_live()) {
            self.counters.passed_on += 1;
            self.counters.cancelled += 1;
            self.withdraw_flight();
        }
        let expelled = self.queue.expel_all();
        self.counters.cancelled += expelled.len() as u64;
        expelled
    }

    // ---- fairness ----

    /// Whether the owner fits beside those who hold the lock. One whose hold is just being taken away does not.
    fn has_room(&self, owner: OwnerId, ask: Ask) -> bool {
        self.holds.get(owner).is_none_or(Hold::is_live) && self.rule.fits(&self.holds, owner, ask)
    }

    /// Whether a running owner may take the lock: there is room, and whoever is at the front is still within its bound.
    fn may_take(&self, asker: Asker, ask: Ask, now: Instant) -> bool {
        if self.flight.is_some() || !self.has_room(asker.owner, ask) {
            return false;
        }
        match (ask, self.queue.front()) {
            (_, None) | (Ask::Upgrade, _) => true,
            // A writer may be among those who wait, and readers never overtake one.
            (Ask::Shared, Some(_)) => false,
            (_, Some(front)) => front.waited(now) < self.config.bound(front.place, asker.place),
        }
    }

    /// Whether a waiter may come that is not at the front: it was woken because the one at the front runs elsewhere, and is
    /// then like an owner that runs already.
    fn may_come_early(&self, waiter: &Entry, now: Instant) -> bool {
        let may_overtake = |front: &Entry| {
            front.place != waiter.place && front.waited(now) < self.config.bound(front.place, waiter.place)
        };
        self.rule.is_exclusive_only() && !waiter.is_asleep() && self.queue.front().is_some_and(may_overtake)
    }

    /// Sees to it that somebody comes if somebody can. `from` is where the lock was let go, if it was.
    ///
    /// While the waiter at the front is within its bound it is woken, and may be overtaken until it comes; if it cannot
    /// run before the releaser leaves its core, one waiter elsewhere is woken too. After its bound it is the owner at once,
    /// or a neighbour of the releaser, for a number of times.
    fn settle(&mut self, from: Option<Place>, wakes: &mut Wakes) {
        if self.flight.is_some() {
            return;
        }
        let Some(front) = self.queue.front() else { return };
        if self.health == Health::Ruined {
            self.queue.rouse_front(wakes);
            return;
        }
        let Want::Lock(ask) = front.want else { unreachable!("who waits for a lock wants a lock") };
        if !self.has_room(front.owner, ask) {
            return;
        }
        let now = self.latest.expect("who waits has given the time");
        let (place, from) = (front.place, from.unwrap_or(front.place));
        // Without a fence nothing can be handed over. The waiter is woken all the same, to be told so.
        if front.waited(now) < self.config.bound(place, from) || self.fences.is_exhausted() {
            self.queue.rouse_front(wakes);
            if place == from
                && self.rule.is_exclusive_only()
                && !self.queue.is_all_at(from)
                && let Some(elsewhere) = self.queue.first_not_at(from)
            {
                self.queue.rouse(elsewhere, wakes);
            }
            return;
        }
        let ticket = self.successor(from);
        let entry = self.queue.take(ticket, wakes).expect("the successor waits");
        self.counters.longest_wait = self.counters.longest_wait.max(entry.waited(now));
        self.counters.handed_over += 1;
        self.hand_over(ticket, &entry, now);
    }

    /// Whom a lock goes to that is handed over in this place.
    fn successor(&mut self, from: Place) -> Ticket {
        let front = self.queue.front_ticket().expect("somebody waits");
        if !self.rule.is_exclusive_only() || self.config.cohort_max == 0 || self.queue.is_all_at(from) {
            self.cohort.length = 0;
            return front;
        }
        if self.cohort.place != from {
            self.cohort = Cohort { place: from, length: 0 };
        }
        if self.cohort.length < self.config.cohort_max
            && let Some(neighbour) = self.queue.first_at(from)
        {
            self.cohort.length += 1;
            return neighbour;
        }
        self.cohort.length = 0;
        let elsewhere = self.queue.first_not_at(from);
        elsewhere.unwrap_or(front)
    }

    // ---- grants ----

    /// A running owner takes the lock. `None` if there is no fence.
    fn take(&mut self, asker: Asker, ask: Ask, now: Instant, wakes: &mut Wakes) -> Option<Acquired> {
        let hold = self.grant(asker, ask, now)?;
        if !self.queue.is_empty() {
            self.counters.barged += 1;
        }
        Some(self.tell(hold, ask, wakes))
    }

    /// A waiter has the lock from here on, and does not know it.
    fn hand_over(&mut self, ticket: Ticket, entry: &Entry, now: Instant) {
        let Want::Lock(ask) = entry.want else { unreachable!("who waits for a lock wants a lock") };
        let asker = Asker { owner: entry.owner, place: entry.place };
        let hold = self.grant(asker, ask, now).expect("a hand-over has a fence");
        self.flight = Some(Flight { ticket, ask, hold });
    }

    /// The only place where a lock is granted, and the only one that issues a fence.
    fn grant(&mut self, asker: Asker, ask: Ask, since: Instant) -> Option<Hold> {
        assert!(self.flight.is_none(), "one grant at a time is on its way");
        assert!(self.has_room(asker.owner, ask), "a lock is granted only if there is room");
        assert_eq!(self.phase, Phase::Open, "nobody is granted after the shut-down");
        let fence = self.fences.issue()?;
        let count = match ask {
            Ask::Permits(count) => count,
            Ask::Exclusive | Ask::Shared | Ask::Upgrade => 1,
        };
        if let Some(permits) = self.rule.permits() {
            permits.take(count);
        }
        let Asker { owner, place } = asker;
        Some(Hold { owner, place, mode: ask.mode(), count, fence, since, stage: Stage::Told })
    }

    /// The waiter that the lock is in flight to comes.
    fn land(&mut self, wakes: &mut Wakes) -> Acquired {
        let Flight { ask, hold, .. } = self.flight.take().expect("who lands is in flight");
        assert!(hold.is_live(), "nobody is told of a hold that was taken away");
        self.tell(hold, ask, wakes)
    }

    /// The owner learns of its hold.
    fn tell(&mut self, hold: Hold, ask: Ask, wakes: &mut Wakes) -> Acquired {
        self.counters.acquired += 1;
        let mut fence = hold.fence;
        if !self.rule.is_unowned() {
            match self.holds.get_mut(hold.owner) {
                // More permits of the same: it is still one hold, with the fence that it had.
                Some(held) if ask != Ask::Upgrade => {
                    held.count += hold.count;
                    fence = held.fence;
                }
                Some(held) => *held = hold,
                None => self.holds.insert(hold),
            }
        }
        // Readers, and those who ask for few permits, may fit together.
        self.settle(Some(hold.place), wakes);
        Acquired { fence, previous: self.previous }
    }

    /// What was on its way is not any more.
    fn withdraw_flight(&mut self) {
        let flight = self.flight.take().expect("a grant is in flight");
        if let Some(permits) = self.rule.permits() {
            permits.withdraw(flight.hold.count);
        }
    }

    // ---- fences ----

    /// Compares a claim with the record of this lock.
    pub(crate) fn check_claim(&self, owner: OwnerId, claim: Fence) -> Result<(), ClaimError> {
        let Some(current) = self.fences.newest().filter(|newest| claim <= *newest) else {
            return Err(ClaimError::NeverIssued { claim });
        };
        if self.held_fence(owner) == Some(claim) {
            return Ok(());
        }
        if claim < current {
            return Err(ClaimError::Fenced { current });
        }
        let live = self.holds.iter().any(Hold::is_live) || self.flight.is_some_and(|flight| flight.hold.is_live());
        match self.previous {
            Previous::Abandoned { who, .. } if who == owner && !live => Err(ClaimError::Fenced { current }),
            Previous::Abandoned { .. } | Previous::Clean => Err(ClaimError::LockRequired),
        }
    }

    pub(crate) fn add_fences(&mut self, block: FenceBlock) {
        self.fences.add(block);
    }

    pub(crate) fn fences_left(&self) -> u64 {
        self.fences.left()
    }

    // ---- looking ----

    /// The fence of the owner's live hold, if it is one that allows to write.
    pub(crate) fn held_fence(&self, owner: OwnerId) -> Option<Fence> {
        self.held(owner).filter(|hold| hold.mode == Mode::Exclusive).map(|hold| hold.fence)
    }

    /// The owner's live hold.
    pub(crate) fn held(&self, owner: OwnerId) -> Option<Holder> {
        self.holds.get(owner).filter(|hold| hold.is_live()).map(Hold::holder)
    }

    /// Whether the owner has anything of this lock. What is being taken away is not its own any more.
    pub(crate) fn is_held_by(&self, owner: OwnerId) -> bool {
        self.holds.get(owner).is_some_and(Hold::is_live)
    }

    /// How many permits are there, and how many there can be.
    pub(crate) fn permits(&self) -> Option<(u32, Option<u32>)> {
        match &self.rule {
            Rule::Semaphore(permits) => Some((permits.free, permits.maximum())),
            _ => None,
        }
    }

    pub(crate) fn is_once(&self) -> bool {
        matches!(self.rule, Rule::Once { .. })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.rule, Rule::Once { done: true })
    }

    /// What a wait waits for, while it waits and its end depends on others' holds: never with permits that nobody holds.
    pub(crate) fn block(&self, ticket: Ticket) -> Option<Block> {
        let entry = self.queue.get(ticket)?;
        let Want::Lock(own) = entry.want else { return None };
        if self.rule.is_unowned() {
            return None;
        }
        let ask = if self.rule.is_exclusive_only() {
            own
        } else {
            let ahead = self.queue.iter().take_while(|(other, _)| *other < ticket);
            ahead
                .filter_map(|(_, entry)| if let Want::Lock(ask) = entry.want { Some(ask) } else { None })
                .fold(own, harder)
        };
        let permits = match &self.rule {
            Rule::Semaphore(permits) => permits.maximum().unwrap_or(u32::MAX),
            _ => 0,
        };
        Some(Block { ask, own, permits })
    }

    /// Whether a waiter is in the queue, or the lock is in flight to it.
    pub(crate) fn is_pending(&self, ticket: Ticket) -> bool {
        self.queue.contains(ticket) || self.flight.is_some_and(|flight| flight.ticket == ticket)
    }

    /// Who holds the lock and has been told.
    pub(crate) fn live_holders(&self) -> impl Iterator<Item = Holder> {
        self.holds.iter().filter(|hold| hold.is_live()).map(Hold::holder)
    }

    pub(crate) fn holder_count(&self) -> usize {
        self.holds.len() + 1
    }

    /// A request was refused because it would have closed a circle.
    pub(crate) fn count_deadlock(&mut self) {
        self.counters.deadlocks += 1;
    }

    /// Since when the owner has the lock, or waits for it.
    pub(crate) fn since(&self, owner: OwnerId) -> Option<Instant> {
        let held = self.holds.get(owner).map(|hold| hold.since);
        let in_flight = || self.flight.filter(|flight| flight.hold.owner == owner).map(|flight| flight.hold.since);
        let waits = || self.queue.iter().find(|(_, entry)| entry.owner == owner).map(|(_, entry)| entry.since);
        held.or_else(in_flight).or_else(waits)
    }

    /// Whose hold could be taken away: a live one, or one in flight. With a fence, only that one. More of what somebody
    /// holds goes with the hold, and is none by itself.
    pub(crate) fn revocable(&self, expect: Option<Fence>) -> Option<(OwnerId, Fence)> {
        let flight = self.flight.iter().filter(|_| !self.rule.is_unowned()).map(|flight| &flight.hold);
        let flight = flight.filter(|hold| self.holds.get(hold.owner).is_none());
        let mut live = self.holds.iter().chain(flight).filter(|hold| hold.is_live());
        live.find(|hold| expect.is_none_or(|expect| hold.fence == expect)).map(|hold| (hold.owner, hold.fence))
    }

    pub(crate) fn is_locked(&self) -> bool {
        !self.holds.is_empty() || self.flight.is_some()
    }

    /// Where the owner runs that has the lock alone, if one has.
    pub(crate) fn held_at(&self) -> Option<Place> {
        self.holds.exclusive().map(|hold| hold.place)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Who holds it, for people: those whose hold is being taken away and the one that it is in flight to, too.
    pub(crate) fn holders(&self) -> impl Iterator<Item = Holder> {
        self.holds.iter().chain(self.flight.iter().map(|flight| &flight.hold)).map(Hold::holder)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn state(&self) -> LockState {
        if self.holds.is_any_revoking() || self.flight.is_some_and(|flight| !flight.hold.is_live()) {
            return LockState::Revoking;
        }
        if self.flight.is_some() {
            return LockState::InFlight;
        }
        if self.is_front_fit() {
            return LockState::HeadWoken;
        }
        if self.holds.is_empty() { LockState::Free } else { LockState::Held }
    }

    fn is_front_fit(&self) -> bool {
        self.queue.front().is_some_and(|front| match front.want {
            Want::Lock(ask) => self.has_room(front.owner, ask),
            _ => false,
        })
    }

    /// Asserts the invariants that can be seen in constant time. The table calls it after every transition.
    pub(crate) fn check(&self) {
        if let Some(hold) = self.holds.exclusive() {
            assert_eq!(self.holds.len(), 1, "whoever has a lock alone is alone");
            let newest = self.fences.newest();
            assert_eq!(Some(hold.fence), newest, "the fence of an exclusive hold is the newest of its lock");
        }
        match &self.flight {
            Some(flight) => {
                assert!(!self.queue.is_front(flight.ticket), "who was granted the lock waits no longer");
                let alone =
                    flight.hold.mode != Mode::Exclusive || self.holds.len() <= usize::from(flight.ask == Ask::Upgrade);
                assert!(alone, "whoever has a lock alone is alone");
            }
            None => assert!(
                !self.is_front_fit() || self.queue.front().is_none_or(|front| !front.is_asleep()),
                "if the waiter at the front could have the lock, it has been woken"
            ),
        }
        if self.phase == Phase::Closed {
            assert!(self.queue.is_empty(), "nobody waits after the shut-down");
            assert_ne!(self.state(), LockState::InFlight, "nobody is granted after the shut-down");
        }
    }

    /// Asserts the invariants that take a walk through the queue.
    pub(crate) fn check_all(&self) {
        self.check();
        if let Some(flight) = &self.flight {
            assert!(!self.queue.contains(flight.ticket), "who was granted the lock waits no longer");
        }
        if let Rule::Semaphore(permits) = &self.rule
            && permits.is_owned()
        {
            let held: u32 = self.holds.iter().map(|hold| hold.count).sum();
            let in_flight = self.flight.map_or(0, |flight| flight.hold.count);
            assert_eq!(Some(permits.free + held + in_flight), permits.maximum(), "permits are free, held or in flight");
        }
        if let Some(latest) = self.latest {
            self.queue.check(latest);
        }
    }

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
