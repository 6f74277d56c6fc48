//! What holds: mutexes, rlocks, rwlocks, semaphores and onces.

use std::sync::Arc;

use super::{Counts, LockTable, lock_of};
use crate::clock::Now;
use crate::deadlock::{self, Look};
use crate::error::{AcquireError, ReleaseError};
use crate::ids::{Acquired, Ask, Fence, Link, LockId, OwnerId};
use crate::lock::{Asker, NotReleased, Refused, Released, Request, Touched};
use crate::object::{Crowd, Object};
use crate::owners::Record;
use crate::queue::{Expelled, Ticket, Wakes};
use crate::sync;
use crate::wait::{Acquisition, Passage, Turn, Wait};

/// What an acquire came to, and whether the owner has anything that others may wait for.
enum Outcome {
    Granted(Acquired),
    Queued { ticket: Ticket, holds: bool },
    Done,
}

impl LockTable {
    /// Takes the lock exclusively if it can be had now, as [`LockTable::try_ask`].
    ///
    /// # Errors
    ///
    /// As [`LockTable::try_ask`].
    pub fn try_acquire(
        &self,
        owner: OwnerId,
        lock: LockId,
        now: impl Into<Now>,
    ) -> Result<Option<Acquired>, AcquireError> {
        self.try_ask(owner, lock, Ask::Exclusive, now)
    }

    /// Takes the lock exclusively, or queues for it, as [`LockTable::ask`].
    ///
    /// # Errors
    ///
    /// As [`LockTable::ask`].
    pub fn acquire(
        self: &Arc<Self>,
        owner: OwnerId,
        lock: LockId,
        now: impl Into<Now>,
    ) -> Result<Acquisition, AcquireError> {
        self.ask(owner, lock, Ask::Exclusive, now)
    }

    /// Takes the lock if it can be had now. `None` if it is held (also by the owner itself, unless it may be held again),
    /// or kept for a waiter that has waited its bound.
    ///
    /// # Errors
    ///
    /// * [`AcquireError::Cancelled`]: the owner has ended, or the table was shut down;
    /// * [`AcquireError::Lost`]: the owner's last hold was taken away and it had not been told; told once;
    /// * [`AcquireError::HoldsExceeded`]: the owner has as many locks as it may, whether or not this one is free;
    /// * [`AcquireError::FencesExhausted`]: the lock could be had and no fence is left;
    /// * [`AcquireError::NotRecoverable`], [`AcquireError::DepthExceeded`], [`AcquireError::PermitsExceeded`],
    ///   [`AcquireError::Unfit`], [`AcquireError::NotHeld`].
    ///
    /// # Panics
    ///
    /// If the lock is not of this table, is no lock, or is none of a kind that can be asked for this. So do all calls that
    /// name a lock.
    pub fn try_ask(
        &self,
        owner: OwnerId,
        lock: LockId,
        ask: Ask,
        now: impl Into<Now>,
    ) -> Result<Option<Acquired>, AcquireError> {
        let now = now.into();
        self.with_owner(owner, lock, |record, object, wakes| {
            let taken = self.admit(owner, lock, record, object, Counts::Limited).and_then(|()| {
                if waits(record, lock, object) {
                    return Ok(None);
                }
                let asker = Asker { owner, place: record.place() };
                match lock_of(object).try_ask(asker, ask, now, wakes) {
                    Ok(acquired) => {
                        note_grant(record, lock, object, owner);
                        Ok(Some(acquired))
                    }
                    Err(Refused::Busy | Refused::Itself | Refused::Done) => Ok(None),
                    Err(refused) => Err(self.refusal(lock, refused)),
                }
            });
            (taken, Crowd::default())
        })
    }

    /// Takes the lock, or queues for it.
    ///
    /// # Errors
    ///
    /// As [`LockTable::try_ask`], and
    ///
    /// * [`AcquireError::Deadlock`]: waiting could never end, see there;
    /// * [`AcquireError::WaitersExceeded`]: the owner would have to wait, and the queue is full.
    pub fn ask(
        self: &Arc<Self>,
        owner: OwnerId,
        lock: LockId,
        ask: Ask,
        now: impl Into<Now>,
    ) -> Result<Acquisition, AcquireError> {
        self.asked(owner, lock, ask, Counts::Limited, now.into())
    }

    /// Takes a lock again that a condition let go, or queues for it. No limit stands in the way: the owner had its place.
    ///
    /// # Errors
    ///
    /// As [`LockTable::ask`], but for the limits.
    pub fn ask_again(
        self: &Arc<Self>,
        owner: OwnerId,
        lock: LockId,
        now: impl Into<Now>,
    ) -> Result<Acquisition, AcquireError> {
        self.asked(owner, lock, Ask::Exclusive, Counts::Exempt, now.into())
    }

    fn asked(
        self: &Arc<Self>,
        owner: OwnerId,
        lock: LockId,
        ask: Ask,
        counts: Counts,
        now: Now,
    ) -> Result<Acquisition, AcquireError> {
        match self.request(owner, lock, ask, counts, now)? {
            Outcome::Granted(acquired) => Ok(Passage::Ready(acquired)),
            Outcome::Queued { ticket, holds } => self.queued(owner, lock, ticket, holds),
            Outcome::Done => unreachable!("only a once is ever done, and it is asked for its turn"),
        }
    }

    /// Asks for the turn of a once, or queues for it.
    ///
    /// # Errors
    ///
    /// As [`LockTable::ask`].
    pub fn begin_once(
        self: &Arc<Self>,
        owner: OwnerId,
        once: LockId,
        now: impl Into<Now>,
    ) -> Result<Passage<Turn>, AcquireError> {
        match self.request(owner, once, Ask::Exclusive, Counts::Limited, now.into())? {
            Outcome::Granted(acquired) => Ok(Passage::Ready(Turn::Yours(acquired))),
            Outcome::Queued { ticket, holds } => self.queued(owner, once, ticket, holds),
            Outcome::Done => Ok(Passage::Ready(Turn::Done)),
        }
    }

    fn request(
        &self,
        owner: OwnerId,
        lock: LockId,
        ask: Ask,
        counts: Counts,
        now: Now,
    ) -> Result<Outcome, AcquireError> {
        let max = match counts {
            Counts::Limited => self.limits.waiters_per_lock_max as usize,
            Counts::Exempt => usize::MAX,
        };
        self.with_owner(owner, lock, |record, object, wakes| {
            let outcome = self.admit(owner, lock, record, object, counts).and_then(|()| {
                if waits(record, lock, object) {
                    return Err(itself(owner, lock, object, ask, now));
                }
                let asker = Asker { owner, place: record.place() };
                match lock_of(object).ask(asker, ask, now, max, wakes) {
                    Request::Granted(acquired) => {
                        note_grant(record, lock, object, owner);
                        Ok(Outcome::Granted(acquired))
                    }
                    Request::Queued(ticket) => {
                        record.ask(lock, Some(ticket));
                        let holds = record.marks().len() > 1 || object.keeps(owner) || record.is_joined();
                        Ok(Outcome::Queued { ticket, holds })
                    }
                    Request::Refused(Refused::Done) => Ok(Outcome::Done),
                    Request::Refused(Refused::Itself) => Err(itself(owner, lock, object, ask, now)),
                    Request::Refused(refused) => Err(self.refusal(lock, refused)),
                }
            });
            (outcome, Crowd::default())
        })
    }

    fn queued<A>(
        self: &Arc<Self>,
        owner: OwnerId,
        lock: LockId,
        ticket: Ticket,
        holds: bool,
    ) -> Result<Passage<A>, AcquireError> {
        // Who has nothing that others wait for closes no circle, and most who wait have nothing.
        match if holds { self.refuse_circle(owner, lock, ticket) } else { None } {
            None => Ok(Passage::Wait(Wait::new(Arc::clone(self), owner, lock, ticket))),
            Some(circle) => Err(AcquireError::Deadlock { circle }),
        }
    }

    /// Looks whether a wait closes a circle, and takes it back if so. It was queued before: who queues last sees all others.
    pub(super) fn refuse_circle(&self, owner: OwnerId, lock: LockId, ticket: Ticket) -> Option<Vec<Link>> {
        // Nearly always nobody who blocks it waits, and there is no need to keep others from looking.
        if !Look::from(self, owner).is_stuck(owner) {
            return None;
        }
        let circle = {
            let _one_at_a_time = sync::lock(&self.deadlocks);
            let circle = deadlock::circle(self, owner)?;
            // Before the next one looks: of two that close a circle together the second is then not in one.
            self.with_owner(owner, lock, |record, object, wakes| {
                let crowd = object.leave(ticket, wakes);
                if let Object::Lock(lock) = object {
                    lock.count_deadlock();
                }
                super::forget_wait(record, lock, object, owner);
                ((), crowd)
            });
            circle
        };
        Some(circle)
    }

    // ---- giving back ----

    /// Gives the lock up, or one level of it. The next owner is told [`crate::Previous::Clean`].
    ///
    /// # Errors
    ///
    /// * [`ReleaseError::Lost`]: the caller's hold was taken away before; told once, then it is
    ///   [`ReleaseError::NotHeld`];
    /// * [`ReleaseError::NotOwner`]: somebody else holds it;
    /// * [`ReleaseError::NotHeld`]: nobody does, or it was taken away from somebody else and not given on yet.
    pub fn release(&self, owner: OwnerId, lock: LockId, now: impl Into<Now>) -> Result<(), ReleaseError> {
        self.give_back(owner, lock, None, Touched::Yes, now.into())
    }

    /// [`LockTable::release`] of the hold with this fence, and of no later one.
    ///
    /// # Errors
    ///
    /// As [`LockTable::release`], and [`ReleaseError::Fenced`] when the owner holds the lock with another fence.
    pub fn release_hold(
        &self,
        owner: OwnerId,
        lock: LockId,
        guard: Fence,
        now: impl Into<Now>,
    ) -> Result<(), ReleaseError> {
        self.give_back(owner, lock, Some(guard), Touched::Yes, now.into())
    }

    /// Gives up a lock that the owner was not told of by its guest, or did nothing under: the next owner is told how the
    /// last one ended that did.
    ///
    /// # Errors
    ///
    /// As [`LockTable::release`].
    pub fn put_back(&self, owner: OwnerId, lock: LockId, now: impl Into<Now>) -> Result<(), ReleaseError> {
        self.give_back(owner, lock, None, Touched::No, now.into())
    }

    fn give_back(
        &self,
        owner: OwnerId,
        lock: LockId,
        guard: Option<Fence>,
        touched: Touched,
        now: Now,
    ) -> Result<(), ReleaseError> {
        self.with_hold(owner, lock, |record, object, wakes| {
            lock_of(object).must_be_this_hold(owner, guard)?;
            let released = lock_of(object).release(owner, touched, now, wakes)?;
            forget_hold(record, lock, released);
            Ok(())
        })
    }

    /// Gives permits of a semaphore back, or adds some to one that nobody holds: all or none.
    ///
    /// # Errors
    ///
    /// As [`LockTable::release`], and [`ReleaseError::OverRelease`].
    pub fn release_permits(
        &self,
        owner: OwnerId,
        lock: LockId,
        permits: u32,
        now: impl Into<Now>,
    ) -> Result<(), ReleaseError> {
        let now = now.into();
        self.with_hold(owner, lock, |record, object, wakes| {
            let asker = Asker { owner, place: record.place() };
            let released = lock_of(object).release_permits(asker, permits, now, wakes)?;
            forget_hold(record, lock, released);
            Ok(())
        })
    }

    /// From writer to reader, with nobody in between.
    ///
    /// # Errors
    ///
    /// As [`LockTable::release`]; [`ReleaseError::NotHeld`] also when the owner reads.
    pub fn downgrade(&self, owner: OwnerId, lock: LockId, now: impl Into<Now>) -> Result<Acquired, ReleaseError> {
        let now = now.into();
        self.with_hold(owner, lock, |_, object, wakes| lock_of(object).downgrade(owner, now, wakes))
    }

    /// Says that what the lock protects is whole, after an owner ended that had it.
    ///
    /// # Errors
    ///
    /// As [`LockTable::release`].
    pub fn mark_consistent(&self, owner: OwnerId, lock: LockId) -> Result<(), ReleaseError> {
        self.with_hold(owner, lock, |_, object, _| lock_of(object).mark_consistent(owner))
    }

    /// What a once is for has been done: everyone who waits, or asks later, is told so. With a guard, only if that is the
    /// fence of the turn.
    ///
    /// # Errors
    ///
    /// As [`LockTable::release_hold`].
    pub fn complete_once(
        &self,
        owner: OwnerId,
        once: LockId,
        guard: Option<Fence>,
        now: impl Into<Now>,
    ) -> Result<(), ReleaseError> {
        let now = now.into();
        let mut everyone = Expelled::default();
        let answer = self.with_hold(owner, once, |record, object, wakes| {
            lock_of(object).must_be_this_hold(owner, guard)?;
            everyone = lock_of(object).complete(owner, now, wakes)?;
            record.unmark(once);
            Ok(())
        });
        everyone.run();
        answer
    }

    /// Releases every level of a lock, for a condition; answers how many there were.
    pub(super) fn let_go(&self, owner: OwnerId, lock: LockId, now: Now) -> Result<u32, ReleaseError> {
        self.with_hold(owner, lock, |record, object, wakes| {
            let depth = lock_of(object).release_all(owner, now, wakes)?;
            record.unmark(lock);
            Ok(depth)
        })
    }

    /// Brings a hold to the depth that it had when a condition let it go.
    pub fn restore_depth(&self, owner: OwnerId, lock: LockId, depth: u32) {
        self.with_lock(lock, |lock, _| lock.restore_depth(owner, depth));
    }

    /// Whether a once has been done.
    #[must_use]
    pub fn is_done(&self, once: LockId) -> bool {
        self.with_lock(once, |lock, _| lock.is_done())
    }

    /// How many permits a semaphore has at the moment, and how many it can have; none for as many as a `u32` counts.
    ///
    /// # Panics
    ///
    /// If it is no semaphore.
    #[must_use]
    pub fn permits(&self, semaphore: LockId) -> (u32, Option<u32>) {
        self.with_lock(semaphore, |lock, _| lock.permits()).expect("only a semaphore has permits")
    }

    /// Something that the owner of a lock does with it. It is told first if it has lost the lock.
    pub(super) fn with_hold<T>(
        &self,
        owner: OwnerId,
        lock: LockId,
        work: impl FnOnce(&mut Record, &mut Object, &mut Wakes) -> Result<T, NotReleased>,
    ) -> Result<T, ReleaseError> {
        self.with_owner(owner, lock, |record, object, wakes| {
            if let Some(how) = record.mark(lock).and_then(|mark| mark.lost) {
                record.unmark(lock);
                return (Err(ReleaseError::Lost { how }), Crowd::default());
            }
            let answer = work(record, object, wakes).map_err(|refused| match refused {
                NotReleased::NotHeld => ReleaseError::NotHeld { lock },
                NotReleased::HeldBy(owner) => ReleaseError::NotOwner { lock, owner },
                NotReleased::OverRelease => ReleaseError::OverRelease { lock },
                NotReleased::Fenced(current) => ReleaseError::Fenced { current },
            });
            (answer, Crowd::default())
        })
    }

    fn refusal(&self, lock: LockId, refused: Refused) -> AcquireError {
        match refused {
            Refused::QueueFull => AcquireError::WaitersExceeded { lock, max: self.limits.waiters_per_lock_max },
            Refused::NoFence => AcquireError::FencesExhausted { lock },
            Refused::TooDeep => AcquireError::DepthExceeded { lock },
            Refused::Unfit => AcquireError::Unfit { lock },
            Refused::NotHeld => AcquireError::NotHeld { lock },
            Refused::TooMany => AcquireError::PermitsExceeded { lock },
            Refused::NotRecoverable => AcquireError::NotRecoverable { lock },
            Refused::Busy | Refused::Itself | Refused::Done => {
                unreachable!("the caller has an answer of its own for it")
            }
        }
    }
}

/// Whether the owner is in the queue of the lock, by a wait that somebody still has.
fn waits(record: &Record, lock: LockId, object: &mut Object) -> bool {
    let ticket = record.mark(lock).and_then(|mark| mark.ticket);
    ticket.is_some_and(|ticket| lock_of(object).is_pending(ticket))
}

/// The smallest circle: an owner that asks for what it has, or waits for, already.
fn itself(owner: OwnerId, lock: LockId, object: &mut Object, ask: Ask, now: Now) -> AcquireError {
    let object = lock_of(object);
    object.count_deadlock();
    let since = object.since(owner).unwrap_or(now.about());
    let held_as = object.held(owner).map_or(ask.mode(), |hold| hold.mode);
    AcquireError::Deadlock {
        circle: vec![Link { owner, holds: lock, held_as, since, waits_for: lock, asks_as: ask.mode() }],
    }
}

/// A grant is noted at once only if the owner has something of it from then on: signal permits are gone.
fn note_grant(record: &mut Record, lock: LockId, object: &Object, owner: OwnerId) {
    if object.keeps(owner) {
        record.ask(lock, None);
    }
}

fn forget_hold(record: &mut Record, lock: LockId, released: Released) {
    if released == Released::Free {
        record.unmark(lock);
    }
}
