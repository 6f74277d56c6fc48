//! What a mutex does next: plain state transitions above the wait queue.
//!
//! No threads, clocks or wakers in here: the time comes in, the wake-ups go out in [`Wakes`]. [`crate::table`] puts each
//! of these behind a mutex of its own and runs the wake-ups outside it.
//!
//! Rules that hold between any two calls; [`Mutex::check`] asserts them:
//! * a hold is the only one, and its fence is the newest of the lock;
//! * a lock that is free and has waiters has woken the one at the front;
//! * after [`Mutex::close`] nobody waits and nobody is granted.
//!
//! Fairness is decided in two places and nowhere else: [`Mutex::may_take`] says whether a running owner may take a free
//! lock, [`Mutex::succession`] how a lock that has become free goes on to the waiter at the front.

use std::task::Waker;
use std::time::Instant;

use crate::error::ClaimError;
use crate::fences::Fences;
use crate::ids::{
    Acquired, Counters, EndCause, Fence, FenceBlock, Holder, LockState, MutexConfig, OwnerId, Previous, Waiter,
};
use crate::queue::{Expelled, Queue, Ticket, Wakes};

/// One mutex.
///
/// | `hold` | `queue` | state | who may leave it |
/// |---|---|---|---|
/// | `None` | empty | free | any acquire: to held |
/// | `None` | not empty | head woken | the head when it polls, or an owner that barges while the head is within its bound: to held. When the head leaves, the wake-up passes on |
/// | `Some`, `Told` | any | held | its owner's release: to free, head woken or in flight. A revocation, its owner's end: to revoking |
/// | `Some`, `InFlight` | any | in flight | the waiter when it polls or expires: to held. When it is dropped or the table closed, the grant passes on. A revocation, its owner's end: to revoking |
/// | `Some`, `Revoking` | any | revoking | only the second half of the revocation: to free, head woken or in flight |
pub(crate) struct Mutex {
    config: MutexConfig,
    hold: Option<Hold>,
    queue: Queue,
    fences: Fences,
    /// How the last hold ended whose owner had been told of it. An owner that was never told has touched nothing, so
    /// its end leaves this as it is, whatever the reason: only who was told can abandon.
    previous: Previous,
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

#[derive(Clone, Copy)]
struct Hold {
    owner: OwnerId,
    fence: Fence,
    since: Instant,
    stage: Stage,
}

/// See the table at [`Mutex`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Told,
    InFlight(Ticket),
    Revoking,
}

/// What becomes of a lock that is free.
enum Succession {
    /// Nobody waits.
    Nobody,
    /// The waiter at the front is woken, and may be overtaken until it comes.
    LeaveFree,
    /// The waiter at the front is the owner at once.
    HandOver,
}

/// What an acquire that may wait came to.
pub(crate) enum Request {
    Granted(Acquired),
    Queued(Ticket),
    QueueFull,
    NoFence,
}

/// What a try came to.
pub(crate) enum Attempt {
    Granted(Acquired),
    Busy,
    NoFence,
}

/// What a look at a wait came to. All but `Pending` end it.
#[derive(Clone, Copy)]
pub(crate) enum Progress {
    Granted(Acquired),
    Pending,
    /// It was its turn, and no fence was left.
    NoFence,
    TimedOut,
    /// It is neither in the queue nor granted: somebody took it out.
    Gone,
}

/// Why a release was refused.
pub(crate) enum NotReleased {
    NotHeld,
    HeldBy(OwnerId),
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

impl Mutex {
    pub(crate) fn new(config: MutexConfig, fences: FenceBlock) -> Self {
        Self {
            config,
            hold: None,
            queue: Queue::new(),
            fences: Fences::new(fences),
            previous: Previous::Clean,
            latest: None,
            counters: Counters::default(),
            phase: Phase::Open,
        }
    }

    // ---- requests of an owner ----

    pub(crate) fn try_acquire(&mut self, owner: OwnerId, now: Instant) -> Attempt {
        let now = self.note(now);
        if !self.may_take(now) {
            return Attempt::Busy;
        }
        self.take(owner, now).map_or(Attempt::NoFence, Attempt::Granted)
    }

    pub(crate) fn acquire(&mut self, owner: OwnerId, now: Instant, waiters_max: usize) -> Request {
        let now = self.note(now);
        if self.may_take(now) {
            return self.take(owner, now).map_or(Request::NoFence, Request::Granted);
        }
        if self.queue.len() >= waiters_max {
            return Request::QueueFull;
        }
        self.counters.contended += 1;
        Request::Queued(self.queue.push(owner, now))
    }

    pub(crate) fn release(&mut self, owner: OwnerId, now: Instant, wakes: &mut Wakes) -> Result<(), NotReleased> {
        self.note(now);
        match self.hold {
            Some(hold) if hold.stage == Stage::Revoking => Err(NotReleased::NotHeld),
            Some(hold) if hold.owner != owner => Err(NotReleased::HeldBy(hold.owner)),
            Some(Hold { stage: Stage::Told, .. }) => {
                self.hold = None;
                self.previous = Previous::Clean;
                self.settle(wakes);
                Ok(())
            }
            Some(_) | None => Err(NotReleased::NotHeld),
        }
    }

    // ---- a wait ----

    /// The waiter looks whether it is its turn. If not, the waker is taken and is whom to wake; if it is, the caller keeps
    /// it, to drop it elsewhere.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &mut Option<Waker>, wakes: &mut Wakes) -> Progress {
        let progress = self.advance(ticket, wakes);
        if matches!(progress, Progress::Pending) {
            let waker = waker.take().expect("who polls brings a waker");
            self.queue.register(ticket, waker, wakes);
        }
        progress
    }

    /// The deadline of a waiter has come: it has the grant, or it is out of the queue. Never pending.
    pub(crate) fn expire(&mut self, ticket: Ticket, now: Instant, wakes: &mut Wakes) -> Progress {
        self.note(now);
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
            self.hold = None;
            self.settle(wakes);
        } else {
            let was_front = self.queue.is_front(ticket);
            if self.queue.leave(ticket, wakes) && was_front {
                self.settle_if_free(wakes);
            }
        }
    }

    fn advance(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Progress {
        if self.is_in_flight_to(ticket) {
            return Progress::Granted(self.tell());
        }
        if !self.queue.contains(ticket) {
            return Progress::Gone;
        }
        if self.hold.is_some() || !self.queue.is_front(ticket) {
            return Progress::Pending;
        }
        // Free, and its turn. Even with nothing to grant it leaves: an answer is better than a place for ever.
        let front = self.queue.front().expect("it is at the front");
        let owner = front.owner;
        let now = self.latest.expect("who waits has given the time");
        self.queue.leave(ticket, wakes);
        if self.grant(owner, now, Stage::InFlight(ticket)).is_some() {
            Progress::Granted(self.tell())
        } else {
            self.settle(wakes);
            Progress::NoFence
        }
    }

    // ---- the end of a hold by somebody else ----

    /// Takes the hold away if it is the expected one. It is not live from here on, and nobody is granted before
    /// [`Mutex::finish_revoke`].
    pub(crate) fn begin_revoke(&mut self, owner: OwnerId, fence: Fence, how: EndCause) -> Option<Taken> {
        let hold = self.hold.as_mut()?;
        if hold.owner != owner || hold.fence != fence || hold.stage == Stage::Revoking {
            return None;
        }
        let notice = if hold.stage == Stage::Told { Notice::Told } else { Notice::NeverTold };
        hold.stage = Stage::Revoking;
        match notice {
            Notice::Told => {
                self.previous = Previous::Abandoned { how, who: owner };
                self.counters.abandoned += 1;
            }
            Notice::NeverTold => self.counters.passed_on += 1,
        }
        Some(Taken { fence, notice })
    }

    /// Grants the next owner after a hold was taken away.
    ///
    /// # Panics
    ///
    /// If this is not the hold that was taken away.
    pub(crate) fn finish_revoke(&mut self, owner: OwnerId, fence: Fence, now: Instant, wakes: &mut Wakes) {
        self.note(now);
        let hold = self.hold.expect("between the halves of a revocation the lock is not free");
        assert_eq!(hold.stage, Stage::Revoking, "the hold that ends was taken away before");
        assert_eq!((hold.owner, hold.fence), (owner, fence), "the hold that ends is the one that was taken away");
        self.hold = None;
        self.settle(wakes);
    }

    /// The owner ends: its hold is taken away, or its wait (`ticket`, if it queued) is over.
    pub(crate) fn end(
        &mut self,
        owner: OwnerId,
        ticket: Option<Ticket>,
        how: EndCause,
        wakes: &mut Wakes,
    ) -> Option<Taken> {
        let fence = self.hold.filter(|hold| hold.owner == owner).map(|hold| hold.fence);
        if let Some(taken) = fence.and_then(|fence| self.begin_revoke(owner, fence, how)) {
            return Some(taken);
        }
        // Also while an earlier hold of its own is being taken away: it may have been told, and have asked again.
        let ticket = ticket?;
        let was_front = self.queue.is_front(ticket);
        if !self.queue.expel(ticket, wakes) {
            return None;
        }
        self.counters.cancelled += 1;
        if was_front {
            self.settle_if_free(wakes);
        }
        None
    }

    /// Nobody is granted from here on. A hold stays until its owner releases it; a grant in flight is withdrawn.
    pub(crate) fn close(&mut self) -> Expelled {
        self.phase = Phase::Closed;
        if self.hold.is_some_and(|hold| matches!(hold.stage, Stage::InFlight(_))) {
            self.counters.passed_on += 1;
            self.counters.cancelled += 1;
            self.hold = None;
        }
        let expelled = self.queue.expel_all();
        self.counters.cancelled += expelled.len() as u64;
        expelled
    }

    // ---- fairness ----

    /// Whether a running owner may take the lock: it is free, and whoever is at the front is still within its bound.
    fn may_take(&self, now: Instant) -> bool {
        self.hold.is_none() && self.queue.front().is_none_or(|front| front.waited(now) < self.config.barge_bound)
    }

    /// How a free lock goes on. A lazier policy (wake nobody before the releaser leaves its core) belongs here.
    fn succession(&self) -> Succession {
        let Some(front) = self.queue.front() else { return Succession::Nobody };
        let now = self.latest.expect("who waits has given the time");
        if front.waited(now) < self.config.barge_bound || self.fences.is_exhausted() {
            // Without a fence nothing can be handed over. The waiter is woken all the same, to be told so.
            Succession::LeaveFree
        } else {
            Succession::HandOver
        }
    }

    /// Carries out the succession of a lock that has become free, or whose head has left.
    fn settle(&mut self, wakes: &mut Wakes) {
        assert!(self.hold.is_none(), "only a free lock has a successor");
        match self.succession() {
            Succession::Nobody => {}
            Succession::LeaveFree => self.queue.rouse_front(wakes),
            Succession::HandOver => {
                let (ticket, entry) = self.queue.pop_front(wakes).expect("the succession found a waiter");
                let now = self.latest.expect("who waits has given the time");
                self.grant(entry.owner, now, Stage::InFlight(ticket)).expect("the succession found a fence");
                self.counters.handed_over += 1;
            }
        }
    }

    fn settle_if_free(&mut self, wakes: &mut Wakes) {
        if self.hold.is_none() {
            self.settle(wakes);
        }
    }

    // ---- grants ----

    /// A running owner takes the free lock. `None` if there is no fence.
    fn take(&mut self, owner: OwnerId, now: Instant) -> Option<Acquired> {
        self.grant(owner, now, Stage::Told)?;
        if !self.queue.is_empty() {
            self.counters.barged += 1;
        }
        Some(self.tell())
    }

    /// The only place where a lock becomes held, and the only one that issues a fence.
    fn grant(&mut self, owner: OwnerId, since: Instant, stage: Stage) -> Option<()> {
        assert!(self.hold.is_none(), "a lock is granted only while it is free");
        assert_eq!(self.phase, Phase::Open, "nobody is granted after the shut-down");
        let fence = self.fences.issue()?;
        self.hold = Some(Hold { owner, fence, since, stage });
        Some(())
    }

    /// The holder learns of its hold.
    fn tell(&mut self) -> Acquired {
        let hold = self.hold.as_mut().expect("who is told has the lock");
        assert_ne!(hold.stage, Stage::Revoking, "nobody is told of a hold that was taken away");
        hold.stage = Stage::Told;
        self.counters.acquired += 1;
        Acquired { fence: hold.fence, previous: self.previous }
    }

    // ---- fences ----

    /// Compares a claim with the record of this lock.
    pub(crate) fn check_claim(&self, owner: OwnerId, claim: Fence) -> Result<(), ClaimError> {
        let Some(current) = self.fences.newest().filter(|newest| claim <= *newest) else {
            return Err(ClaimError::NeverIssued { claim });
        };
        if claim < current {
            return Err(ClaimError::Fenced { current });
        }
        if self.held_fence(owner) == Some(claim) {
            return Ok(());
        }
        let live = self.hold.is_some_and(|hold| hold.stage != Stage::Revoking);
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

    /// The fence of the owner's live hold.
    pub(crate) fn held_fence(&self, owner: OwnerId) -> Option<Fence> {
        self.hold.filter(|hold| hold.owner == owner && hold.stage == Stage::Told).map(|hold| hold.fence)
    }

    /// Whose hold a waiter waits for the end of, while it waits: nobody's while the lock is on its way to somebody, who
    /// will run, or is being taken away.
    pub(crate) fn blocks(&self, ticket: Ticket) -> Option<Holder> {
        let told = self.hold.filter(|hold| hold.stage == Stage::Told)?;
        let Hold { owner, fence, since, .. } = told;
        self.queue.contains(ticket).then_some(Holder { owner, fence, since })
    }

    /// A request was refused because it would have closed a circle.
    pub(crate) fn count_deadlock(&mut self) {
        self.counters.deadlocks += 1;
    }

    /// Since when the owner has the lock, or waits for it.
    pub(crate) fn since(&self, owner: OwnerId) -> Option<Instant> {
        let held = self.hold.filter(|hold| hold.owner == owner).map(|hold| hold.since);
        held.or_else(|| self.queue.iter().find(|(_, entry)| entry.owner == owner).map(|(_, entry)| entry.since))
    }

    /// Whose hold could be taken away: a live one, or one in flight.
    pub(crate) fn revocable(&self) -> Option<(OwnerId, Fence)> {
        self.hold.filter(|hold| hold.stage != Stage::Revoking).map(|hold| (hold.owner, hold.fence))
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.hold.is_some()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(crate) fn waiter_count(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_waiting(&self, ticket: Ticket) -> bool {
        self.queue.contains(ticket)
    }

    pub(crate) fn waiters(&self) -> impl Iterator<Item = (Ticket, Waiter)> {
        self.queue.iter().map(|(ticket, entry)| (ticket, Waiter { owner: entry.owner, since: entry.since }))
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        self.hold.map(|Hold { owner, fence, since, .. }| Holder { owner, fence, since })
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn state(&self) -> LockState {
        match self.hold.map(|hold| hold.stage) {
            None if self.queue.is_empty() => LockState::Free,
            None => LockState::HeadWoken,
            Some(Stage::Told) => LockState::Held,
            Some(Stage::InFlight(_)) => LockState::InFlight,
            Some(Stage::Revoking) => LockState::Revoking,
        }
    }

    /// Asserts the invariants that can be seen in constant time. The table calls it after every transition.
    pub(crate) fn check(&self) {
        match &self.hold {
            Some(hold) => {
                assert_eq!(Some(hold.fence), self.fences.newest(), "the fence of a hold is the newest of its lock");
                if let Stage::InFlight(ticket) = hold.stage {
                    assert!(!self.queue.is_front(ticket), "who was granted the lock waits no longer");
                }
            }
            None => assert!(
                self.queue.front().is_none_or(|front| !front.is_asleep()),
                "a lock that is free and has waiters has woken the one at the front"
            ),
        }
        if self.phase == Phase::Closed {
            assert!(self.queue.is_empty(), "nobody waits after the shut-down");
            assert_ne!(self.state(), LockState::InFlight, "nobody is granted after the shut-down");
        }
    }

    /// Asserts the invariants that take a walk through the queue.
    pub(crate) fn check_queue(&self) {
        self.check();
        if let Some(Hold { stage: Stage::InFlight(ticket), .. }) = self.hold {
            assert!(!self.queue.contains(ticket), "who was granted the lock waits no longer");
        }
        if let Some(latest) = self.latest {
            let in_order = self.queue.iter().all(|(_, entry)| entry.since <= latest);
            assert!(in_order, "nobody waits since a time that has not come");
        }
        assert!(
            self.queue.iter().zip(self.queue.iter().skip(1)).all(|((_, one), (_, next))| one.since <= next.since),
            "waiters stand in the order of arrival"
        );
    }

    /// Time never runs backwards for a lock, although its callers look at the clock before they get its mutex.
    fn note(&mut self, now: Instant) -> Instant {
        let latest = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(latest);
        latest
    }

    fn is_in_flight_to(&self, ticket: Ticket) -> bool {
        self.hold.is_some_and(|hold| hold.stage == Stage::InFlight(ticket))
    }
}
