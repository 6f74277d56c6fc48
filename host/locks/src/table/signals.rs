//! What is waited at and not held: conditions, events, barriers and latches.

use std::sync::Arc;
use std::time::Instant;

use super::{Counts, LockTable};
use crate::barrier::Arrival;
use crate::error::{AcquireError, BrokenCause, ConditionError, LatchError, ReleaseError};
use crate::ids::{LockId, OwnerId, Place, Want};
use crate::object::{Crowd, Object, crowd};
use crate::queue::{Expelled, Ticket, Wakes};
use crate::wait::{Index, Passage, Wait};

/// What somebody who comes to wait meets.
pub(super) enum Met<A> {
    Ready(A),
    Queued(Ticket),
    Refused(AcquireError),
}

/// A wait at a condition, with the lock let go.
#[derive(Debug)]
#[must_use = "a wait that is dropped leaves the queue"]
pub struct ConditionWait {
    /// Ends when the owner is notified. Then [`LockTable::notified`] keeps the notification until the lock is held again.
    pub wait: Wait<()>,
    /// The lock that was let go, to be acquired again.
    pub lock: LockId,
    /// How deep it was held, for [`LockTable::restore_depth`].
    pub depth: u32,
}

/// A notification that its owner has seen. Until the owner has the lock again and calls [`Notification::accept`], it passes on to
/// the next waiter if this is dropped.
#[derive(Debug)]
#[must_use = "a notification that is dropped passes on to the next waiter"]
pub struct Notification {
    table: Arc<LockTable>,
    condition: LockId,
    /// None once it is accepted.
    ticket: Option<Ticket>,
}

impl Notification {
    /// The owner has the lock again and will look: the notification has arrived.
    pub fn accept(mut self) {
        self.ticket = None;
    }
}

impl Drop for Notification {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.table.pass_on(self.condition, ticket);
        }
    }
}

impl LockTable {
    /// Comes to wait: what it meets is decided under the mutexes of the owner and of the object.
    pub(super) fn come<A>(
        self: &Arc<Self>,
        owner: OwnerId,
        id: LockId,
        counts: Counts,
        meet: impl FnOnce(&mut Object, Place, usize, &mut Wakes) -> (Met<A>, Crowd),
    ) -> Result<Passage<A>, AcquireError> {
        let max = self.limits.waiters_per_lock_max;
        let met = self.with_owner(owner, id, |record, object, wakes| {
            if let Err(refused) = self.admit(owner, id, record, object, counts) {
                return (Met::Refused(refused), Crowd::default());
            }
            let (met, crowd) = meet(object, record.place(), max as usize, wakes);
            match met {
                Met::Queued(ticket) => record.ask(id, Some(ticket)),
                // Whoever has something here from now on is to be found at its end.
                Met::Ready(_) if object.keeps(owner) => record.ask(id, None),
                Met::Ready(_) | Met::Refused(_) => {}
            }
            (met, crowd)
        });
        match met {
            Met::Ready(answer) => Ok(Passage::Ready(answer)),
            Met::Queued(ticket) => Ok(Passage::Wait(Wait::new(Arc::clone(self), owner, id, ticket))),
            Met::Refused(refused) => Err(refused),
        }
    }

    pub(super) fn queue_full<A>(&self, lock: LockId) -> (Met<A>, Crowd) {
        let max = self.limits.waiters_per_lock_max;
        (Met::Refused(AcquireError::WaitersExceeded { lock, max }), Crowd::default())
    }

    // ---- conditions ----

    /// Lets the condition's lock go, all levels of it, and queues for a notification, in one step: what is notified
    /// afterwards is not missed.
    ///
    /// # Errors
    ///
    /// [`ConditionError::Lock`] when the owner does not hold the lock; [`ConditionError::Wait`] when it cannot wait, and
    /// then it still holds it.
    pub fn wait_condition(
        self: &Arc<Self>,
        owner: OwnerId,
        condition: LockId,
        now: Instant,
    ) -> Result<ConditionWait, ConditionError> {
        let lock = self.lock_of_condition(condition);
        self.must_hold(owner, lock)?;
        // Queued first: whoever notifies has the lock, so nobody does before it is let go.
        let queued = self.come(owner, condition, Counts::Exempt, |object, place, max, _| {
            let Object::Condition(condition_object) = object else { no_such("condition") };
            if condition_object.queue().len() >= max {
                return self.queue_full(condition);
            }
            let ticket = condition_object.queue_mut().push(owner, place, Want::Notification, now);
            (Met::Queued(ticket), Crowd::default())
        })?;
        let Passage::Wait(wait) = queued else { unreachable!("a condition is always waited for") };
        let depth = self.let_go(owner, lock, now.into())?;
        Ok(ConditionWait { wait, lock, depth })
    }

    /// Keeps a notification until the owner has the lock again.
    pub fn notified(self: &Arc<Self>, condition: LockId, wait: &Wait<()>) -> Notification {
        Notification { table: Arc::clone(self), condition, ticket: Some(wait.ticket()) }
    }

    /// Notifies the `count` who have waited longest. Answers how many there were.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] when the owner does not hold the condition's lock.
    pub fn notify(&self, owner: OwnerId, condition: LockId, count: u32) -> Result<u32, ReleaseError> {
        self.must_hold(owner, self.lock_of_condition(condition))?;
        let notified = self.transition(condition, |object, _| {
            let Object::Condition(condition) = object else { no_such("condition") };
            let expelled = condition.notify(count as usize);
            (expelled.len(), crowd(expelled))
        });
        Ok(u32::try_from(notified).unwrap_or(u32::MAX))
    }

    /// For a destructor, which must not panic once more.
    fn pass_on(&self, condition: LockId, ticket: Ticket) {
        let mut passed = Expelled::default();
        if let Some(mut object) = crate::sync::lock_unless_broken(&self.slots.get(condition).0)
            && let Object::Condition(condition) = &mut *object
        {
            passed = condition.pass_on(ticket);
        }
        passed.run();
    }

    fn lock_of_condition(&self, condition: LockId) -> LockId {
        self.transition(condition, |object, _| {
            let Object::Condition(condition) = object else { no_such("condition") };
            (condition.lock(), Crowd::default())
        })
    }

    fn must_hold(&self, owner: OwnerId, lock: LockId) -> Result<(), ReleaseError> {
        self.with_hold(owner, lock, |_, object, _| super::lock_of(object).must_be_held(owner))
    }

    // ---- events ----

    /// Sets the event. Everyone who waits has seen it.
    pub fn set_event(&self, event: LockId) {
        self.transition(event, |object, _| {
            let Object::Event(event) = object else { no_such("event") };
            ((), crowd(event.set()))
        });
    }

    /// Clears the event.
    pub fn clear_event(&self, event: LockId) {
        self.with_event(event, crate::event::Event::clear);
    }

    /// Whether the event is set at this moment.
    #[must_use]
    pub fn is_event_set(&self, event: LockId) -> bool {
        self.with_event(event, |event| event.is_set())
    }

    /// Waits until the event is set, or was.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Cancelled`], [`AcquireError::WaitersExceeded`], [`AcquireError::HoldsExceeded`].
    pub fn wait_event(self: &Arc<Self>, owner: OwnerId, id: LockId, now: Instant) -> Result<Passage<()>, AcquireError> {
        self.come(owner, id, Counts::Limited, |object, place, max, _| {
            let Object::Event(event) = object else { no_such("event") };
            if event.is_set() {
                return (Met::Ready(()), Crowd::default());
            }
            if event.queue().len() >= max {
                return self.queue_full(id);
            }
            (Met::Queued(event.queue_mut().push(owner, place, Want::Event, now)), Crowd::default())
        })
    }

    fn with_event<T>(&self, event: LockId, work: impl FnOnce(&mut crate::event::Event) -> T) -> T {
        self.transition(event, |object, _| {
            let Object::Event(event) = object else { no_such("event") };
            (work(event), Crowd::default())
        })
    }

    // ---- barriers ----

    /// Waits for the other parties; answers the index of this one in the round.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Broken`]; as [`LockTable::wait_event`]. A wait that expires breaks the barrier.
    pub fn wait_barrier(
        self: &Arc<Self>,
        owner: OwnerId,
        id: LockId,
        now: Instant,
    ) -> Result<Passage<Index>, AcquireError> {
        self.come(owner, id, Counts::Limited, |object, place, max, _| {
            let Object::Barrier(barrier) = object else { no_such("barrier") };
            if barrier.queue().len() >= max && !barrier.is_last() {
                return self.queue_full(id);
            }
            match barrier.arrive(owner, place, now) {
                Arrival::Last { index, others } => (Met::Ready(Index(index)), crowd(others)),
                Arrival::Queued(ticket) => (Met::Queued(ticket), Crowd::default()),
                Arrival::Broken(cause) => (Met::Refused(AcquireError::Broken { cause }), Crowd::default()),
            }
        })
    }

    /// Begins a barrier anew. Whoever waits is told [`BrokenCause::Reset`].
    pub fn reset_barrier(&self, barrier: LockId) {
        self.with_barrier(barrier, crate::barrier::Barrier::reset);
    }

    /// Breaks a barrier: whoever waits or comes is told [`BrokenCause::Aborted`].
    pub fn abort_barrier(&self, barrier: LockId) {
        self.with_barrier(barrier, |barrier| barrier.break_up(BrokenCause::Aborted));
    }

    /// How many parties a barrier has, how many wait, and why it is broken, if it is.
    #[must_use]
    pub fn barrier(&self, barrier: LockId) -> (u32, u32, Option<BrokenCause>) {
        self.transition(barrier, |object, _| {
            let Object::Barrier(barrier) = object else { no_such("barrier") };
            let waiting = u32::try_from(barrier.queue().len()).unwrap_or(u32::MAX);
            ((barrier.parties(), waiting, barrier.broken()), Crowd::default())
        })
    }

    fn with_barrier(&self, barrier: LockId, work: impl FnOnce(&mut crate::barrier::Barrier) -> Expelled) {
        self.transition(barrier, |object, _| {
            let Object::Barrier(barrier) = object else { no_such("barrier") };
            ((), crowd(work(barrier)))
        });
    }

    // ---- latches ----

    /// Counts a latch down; answers what is left.
    ///
    /// # Errors
    ///
    /// [`LatchError`] when fewer are left; nothing is counted then.
    pub fn count_down(&self, latch: LockId, count: u32) -> Result<u32, LatchError> {
        self.transition(latch, |object, _| {
            let Object::Latch(latch) = object else { no_such("latch") };
            match latch.count_down(count) {
                Some((remaining, everyone)) => (Ok(remaining), crowd(everyone)),
                None => (Err(LatchError { remaining: latch.remaining() }), Crowd::default()),
            }
        })
    }

    /// Waits until a latch is at zero.
    ///
    /// # Errors
    ///
    /// As [`LockTable::wait_event`].
    pub fn wait_latch(self: &Arc<Self>, owner: OwnerId, id: LockId, now: Instant) -> Result<Passage<()>, AcquireError> {
        self.come(owner, id, Counts::Limited, |object, place, max, _| {
            let Object::Latch(latch) = object else { no_such("latch") };
            if latch.remaining() == 0 {
                return (Met::Ready(()), Crowd::default());
            }
            if latch.queue().len() >= max {
                return self.queue_full(id);
            }
            (Met::Queued(latch.queue_mut().push(owner, place, Want::Latch, now)), Crowd::default())
        })
    }

    /// What is left of a latch.
    #[must_use]
    pub fn latch_remaining(&self, latch: LockId) -> u32 {
        self.transition(latch, |object, _| {
            let Object::Latch(latch) = object else { no_such("latch") };
            (latch.remaining(), Crowd::default())
        })
    }
}

pub(super) fn no_such(kind: &str) -> ! {
    panic!("what is asked as a {kind} is one")
}
