//! Many locks by id, for many owners and threads: the mutexes around the state transitions, and their order.
//!
//! Mutexes are taken in this order and no other: the one that keeps the checks for deadlocks apart, the shard of an owner's
//! record, then the mutex of one lock. Nothing takes two locks, or two shards, at once. Under the mutex of a lock there is no I/O, no callback, and no allocation
//! larger than a node of its queue. Wakers are cloned before, and called and dropped after, all of them.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::deadlock::{self, Edge};
use crate::error::{AcquireError, ClaimError, ReleaseError};
use crate::ids::{Acquired, EndCause, Fence, FenceBlock, Holder, Limits, Link, LockId, LockView, MutexConfig, OwnerId};
use crate::mutex::{Attempt, Mutex, NotReleased, Notice, Progress, Request};
use crate::owners::{Owners, Record};
use crate::queue::{Ticket, Wakes};
use crate::slots::Slots;
use crate::sync;
use crate::wait::{Acquisition, Wait};

/// All locks of one host.
///
/// One owner is single-threaded: it makes one call at a time. Everything that is done *to* an owner
/// ([`LockTable::begin_end`], [`LockTable::begin_revoke`], [`LockTable::shut_down`]) may come from any thread at any time.
///
/// # Fairness
///
/// Waiters are served in the order of arrival, with one exception: an owner that is already running may take a lock
/// that is free, ahead of the waiters, as long as the waiter at the front has waited less than the lock's
/// [`MutexConfig::barge_bound`]. When a lock is released and its first waiter is within the bound, it is woken and the
/// lock is free until somebody takes it; a woken waiter that was overtaken keeps its place and is woken again. When the
/// first waiter has waited its bound, the lock is handed over to it directly, and nobody can come between.
///
/// Not promised: that a waiter beyond its bound is served within any time (its predecessors decide that), or that
/// [`LockTable::try_acquire`] succeeds when [`LockTable::locked`] is false.
pub struct LockTable {
    limits: Limits,
    slots: Slots,
    owners: Owners,
    /// Held while a circle is looked for, so that two requests that close one together are not both refused.
    deadlocks: sync::Mutex<()>,
}

/// A hold that was taken away and not given on yet. Nobody is granted the lock before [`LockTable::finish_revoke`]; a
/// `Revoked` that is dropped instead keeps the lock from everyone for ever.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "nobody is granted the lock before the revocation is finished"]
#[non_exhaustive]
pub struct Revoked {
    /// The lock.
    pub lock: LockId,
    /// Whose hold it was.
    pub owner: OwnerId,
    /// The fence that is not live any more.
    pub fence: Fence,
}

/// An owner that has ended and whose holds are not given on yet. Nobody is granted them before
/// [`LockTable::finish_end`].
#[derive(PartialEq, Eq, Debug)]
#[must_use = "nobody is granted the locks of the owner before its end is finished"]
#[non_exhaustive]
pub struct EndedOwner {
    /// Who ended.
    pub owner: OwnerId,
    /// How.
    pub how: EndCause,
    /// What it held, in the order in which it asked, grants that had not reached it included. A hold that somebody else
    /// is just taking away is not in here: that one is finished by whoever began.
    pub holds: Vec<Revoked>,
}

impl LockTable {
    /// A table without locks.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, slots: Slots::new(), owners: Owners::new(), deadlocks: sync::Mutex::new(()) }
    }

    /// Makes a mutex that may issue these fences. It is never removed. After [`LockTable::shut_down`] it grants nobody.
    ///
    /// # Panics
    ///
    /// If the block is upside down.
    pub fn create_mutex(&self, config: MutexConfig, fences: FenceBlock) -> LockId {
        self.slots.add(config, fences)
    }

    // ---- acquire and release ----

    /// Takes the lock if it can be had now. `None` if it is held (also by the owner itself), or kept for a waiter that
    /// has waited its bound.
    ///
    /// # Errors
    ///
    /// * [`AcquireError::Cancelled`]: the owner has ended, or the table was shut down;
    /// * [`AcquireError::Lost`]: the owner's last hold was taken away and it had not been told; told once;
    /// * [`AcquireError::HoldsExceeded`]: the owner has as many locks as it may, whether or not this one is free;
    /// * [`AcquireError::FencesExhausted`]: the lock could be had and no fence is left.
    ///
    /// # Panics
    ///
    /// If the lock is not of this table. So do all calls that name a lock.
    pub fn try_acquire(&self, owner: OwnerId, lock: LockId, now: Instant) -> Result<Option<Acquired>, AcquireError> {
        self.with_owner(owner, lock, |record, mutex, _| {
            if let Standing::Marked = self.admit(owner, lock, record, mutex)? {
                return Ok(None);
            }
            match mutex.try_acquire(owner, now) {
                Attempt::Granted(acquired) => {
                    record.ask(lock, None);
                    Ok(Some(acquired))
                }
                Attempt::Busy => Ok(None),
                Attempt::NoFence => Err(AcquireError::FencesExhausted { lock }),
            }
        })
    }

    /// Takes the lock, or queues for it.
    ///
    /// # Errors
    ///
    /// As [`LockTable::try_acquire`], and
    ///
    /// * [`AcquireError::Deadlock`]: waiting could never end, see there;
    /// * [`AcquireError::WaitersExceeded`]: the owner would have to wait, and the queue is full.
    pub fn acquire(self: &Arc<Self>, owner: OwnerId, lock: LockId, now: Instant) -> Result<Acquisition, AcquireError> {
        let max = self.limits.waiters_per_lock_max;
        let request = self.with_owner(owner, lock, |record, mutex, _| {
            if let Standing::Marked = self.admit(owner, lock, record, mutex)? {
                mutex.count_deadlock();
                let since = mutex.since(owner).unwrap_or(now);
                return Err(AcquireError::Deadlock {
                    circle: vec![Link { owner, holds: lock, since, waits_for: lock }],
                });
            }
            let request = mutex.acquire(owner, now, max as usize);
            match &request {
                Request::Granted(_) => record.ask(lock, None),
                Request::Queued(ticket) => record.ask(lock, Some(*ticket)),
                Request::QueueFull | Request::NoFence => {}
            }
            Ok(request)
        })?;
        match request {
            Request::Granted(acquired) => Ok(Acquisition::Ready(acquired)),
            Request::Queued(ticket) => match self.refuse_circle(owner, lock, ticket) {
                None => Ok(Acquisition::Wait(Wait::new(Arc::clone(self), owner, lock, ticket))),
                Some(circle) => Err(AcquireError::Deadlock { circle }),
            },
            Request::QueueFull => Err(AcquireError::WaitersExceeded { lock, max }),
            Request::NoFence => Err(AcquireError::FencesExhausted { lock }),
        }
    }

    /// Looks whether a wait closes a circle, and takes it back if so. It was queued before: who queues last sees all others.
    fn refuse_circle(&self, owner: OwnerId, lock: LockId, ticket: Ticket) -> Option<Vec<Link>> {
        // Nearly always the holder waits for nothing, and there is no need to keep others from looking.
        let holder = self.edge(owner, lock, ticket)?.holder;
        if self.edges(holder).is_empty() {
            return None;
        }
        let mut wakes = Wakes::default();
        let circle = {
            let _one_at_a_time = sync::lock(&self.deadlocks);
            let circle = deadlock::circle(self, owner, lock, ticket)?;
            // Before the next one looks: of two that close a circle together the second is then not in one.
            self.transition(lock, &mut wakes, |mutex, wakes| {
                mutex.leave(ticket, wakes);
                mutex.count_deadlock();
            });
            circle
        };
        self.withdraw(owner, lock, ticket);
        wakes.run();
        Some(circle)
    }

    /// What blocks a wait now, if anything does.
    pub(crate) fn edge(&self, waiter: OwnerId, lock: LockId, ticket: Ticket) -> Option<Edge> {
        let Holder { owner: holder, fence, since } = self.with_lock(lock, |mutex, _| mutex.blocks(ticket))?;
        Some(Edge { waiter, lock, ticket, holder, fence, since })
    }

    /// All that blocks an owner now.
    pub(crate) fn edges(&self, waiter: OwnerId) -> Vec<Edge> {
        let waits: Vec<_> = match self.owners.lock(waiter).get(&waiter) {
            Some(record) => record.waits().collect(),
            None => Vec::new(),
        };
        waits.into_iter().filter_map(|(lock, ticket)| self.edge(waiter, lock, ticket)).collect()
    }

    /// Gives the lock up. The next owner is told [`crate::Previous::Clean`].
    ///
    /// # Errors
    ///
    /// * [`ReleaseError::Lost`]: the caller's hold was taken away before; told once, then it is
    ///   [`ReleaseError::NotHeld`];
    /// * [`ReleaseError::NotOwner`]: somebody else holds it;
    /// * [`ReleaseError::NotHeld`]: nobody does, or it was taken away from somebody else and not given on yet.
    pub fn release(&self, owner: OwnerId, lock: LockId, now: Instant) -> Result<(), ReleaseError> {
        self.with_owner(owner, lock, |record, mutex, wakes| {
            if let Some(how) = record.mark(lock).and_then(|mark| mark.lost) {
                record.unmark(lock);
                return Err(ReleaseError::Lost { how });
            }
            match mutex.release(owner, now, wakes) {
                Ok(()) => {
                    record.unmark(lock);
                    Ok(())
                }
                Err(NotReleased::NotHeld) => Err(ReleaseError::NotHeld { lock }),
                Err(NotReleased::HeldBy(owner)) => Err(ReleaseError::NotOwner { lock, owner }),
            }
        })
    }

    // ---- looking ----

    /// Whether somebody has the lock: it is held, on its way to a waiter, or taken away and not given on yet.
    #[must_use]
    pub fn locked(&self, lock: LockId) -> bool {
        self.with_lock(lock, |mutex, _| mutex.is_locked())
    }

    /// The fence of the owner's hold, if it is live: the owner was told of it, and it was not taken away.
    #[must_use]
    pub fn held_fence(&self, owner: OwnerId, lock: LockId) -> Option<Fence> {
        self.with_lock(lock, |mutex, _| mutex.held_fence(owner))
    }

    /// Compares the fence that a caller presents with the table's own record. It entitles to write only if it is the
    /// fence of the caller's live hold. The answer holds until the lock is released or a revocation begins; whoever
    /// writes has to order itself against that.
    ///
    /// # Errors
    ///
    /// * [`ClaimError::NeverIssued`]: the claim is above every fence of this lock;
    /// * [`ClaimError::Fenced`]: it is below the newest one, or the caller's hold with it was taken away;
    /// * [`ClaimError::LockRequired`]: it is the newest one, but the caller released it, or it was never its own.
    pub fn check_claim(&self, owner: OwnerId, lock: LockId, claim: Fence) -> Result<(), ClaimError> {
        self.with_lock(lock, |mutex, _| mutex.check_claim(owner, claim))
    }

    /// How many wait for the lock.
    #[must_use]
    pub fn waiter_count(&self, lock: LockId) -> usize {
        self.with_lock(lock, |mutex, _| mutex.waiter_count())
    }

    /// The lock as it is at one instant.
    #[must_use]
    pub fn inspect(&self, lock: LockId) -> LockView {
        let mut queue = Vec::new();
        loop {
            // The room for the queue is made outside the mutex: guests decide how long it is.
            queue.reserve(self.waiter_count(lock) + 8);
            let view = self.with_lock(lock, |mutex, _| {
                (mutex.waiter_count() <= queue.capacity()).then(|| {
                    queue.extend(mutex.waiters().map(|(_, waiter)| waiter));
                    (mutex.state(), mutex.holder(), mutex.counters())
                })
            });
            if let Some((state, holder, counters)) = view {
                return LockView { state, holder, queue, counters };
            }
        }
    }

    // ---- fences ----

    /// Adds fences that the host has reserved durably. A waiter that no fence was left for has been refused before;
    /// the host tops up in time, see [`LockTable::fences_left`].
    ///
    /// # Panics
    ///
    /// If the block reaches below a fence that was issued or reserved before.
    pub fn add_fences(&self, lock: LockId, block: FenceBlock) {
        self.with_lock(lock, |mutex, _| mutex.add_fences(block));
    }

    /// How many fences the lock may still issue.
    #[must_use]
    pub fn fences_left(&self, lock: LockId) -> u64 {
        self.with_lock(lock, |mutex, _| mutex.fences_left())
    }

    // ---- taking away ----

    /// Takes a hold away, first half. From here on it is not live: the fence is refused, and the owner's next call about
    /// this lock answers [`AcquireError::Lost`] or [`ReleaseError::Lost`], once. Nobody is granted the lock, and nobody can
    /// barge, before [`LockTable::finish_revoke`]: in between the host raises the floor of every file bound to it.
    ///
    /// `None` if there is no hold, if it is another one than expected, or if it is just being taken away. A grant in
    /// flight can be revoked too; the wait it was for then answers [`AcquireError::Lost`].
    #[must_use = "nobody is granted the lock before the revocation is finished"]
    pub fn begin_revoke(&self, lock: LockId, expect: Option<Fence>, how: EndCause) -> Option<Revoked> {
        loop {
            // Whose hold it is says only the lock, but the owner's record comes first in the order. So the hold may be
            // another one by the time both are locked.
            let (owner, fence) = self.with_lock(lock, |mutex, _| mutex.revocable())?;
            if expect.is_some_and(|expect| expect != fence) {
                return None;
            }
            let taken = self.with_owner(owner, lock, |record, mutex, _| {
                let taken = mutex.begin_revoke(owner, fence, how)?;
                record.lose(lock, how);
                Some(taken)
            });
            if taken.is_some() {
                return Some(Revoked { lock, owner, fence });
            }
        }
    }

    /// Takes a hold away, second half: grants the next owner. It is told [`crate::Previous::Abandoned`], unless the old
    /// owner had never been told of its hold: who did not know has touched nothing, so what came before is passed on.
    #[expect(clippy::needless_pass_by_value, reason = "a revocation is finished once")]
    pub fn finish_revoke(&self, revoked: Revoked, now: Instant) {
        let Revoked { lock, owner, fence } = revoked;
        self.with_lock(lock, |mutex, wakes| mutex.finish_revoke(owner, fence, now, wakes));
    }

    /// Ends an owner, first half. Its waits are over ([`AcquireError::Cancelled`]); a wake-up that was on its way to one
    /// passes on. All its holds are taken away as in [`LockTable::begin_revoke`], grants in flight included. Its calls
    /// from here on are refused with [`AcquireError::Cancelled`], a release of what it held with [`ReleaseError::Lost`].
    ///
    /// A second call for the same owner finds nothing.
    pub fn begin_end(&self, owner: OwnerId, how: EndCause) -> EndedOwner {
        let mut holds = Vec::new();
        let mut owed = Vec::new();
        {
            let mut records = self.owners.lock(owner);
            let record = records.entry(owner).or_default();
            record.end();
            holds.reserve(record.marks().len());
            owed.reserve(record.marks().len());
            record.keep_marks(|mark| {
                if mark.lost.is_some() {
                    return true;
                }
                let mut wakes = Wakes::default();
                let lock = mark.lock;
                let mut mutex = sync::lock(&self.slots.get(lock).0);
                let taken = mutex.end(owner, mark.ticket, how, &mut wakes);
                mutex.check();
                drop(mutex);
                owed.push(wakes);
                let Some(taken) = taken else { return false };
                holds.push(Revoked { lock, owner, fence: taken.fence });
                mark.lost = Some(how);
                taken.notice == Notice::Told
            });
        }
        owed.into_iter().for_each(Wakes::run);
        EndedOwner { owner, how, holds }
    }

    /// Ends an owner, second half: grants the next owners of everything it held.
    pub fn finish_end(&self, ended: EndedOwner, now: Instant) {
        for revoked in ended.holds {
            self.finish_revoke(revoked, now);
        }
    }

    /// Forgets an owner that will make no more calls, for a record is kept until then. Its waits must be gone.
    ///
    /// # Panics
    ///
    /// If it has not ended and has a lock, or waits for one.
    pub fn forget_owner(&self, owner: OwnerId) {
        let forgotten = self.owners.lock(owner).remove(&owner);
        if let Some(record) = forgotten {
            let idle = record.marks().iter().all(|mark| mark.lost.is_some());
            assert!(record.is_ended() || idle, "owner {owner} was forgotten with locks in its hands");
        }
    }

    /// Grants nobody from here on. Every wait is over ([`AcquireError::Cancelled`]), those included whose grant had not
    /// reached them. Holds stay until they are released or taken away.
    pub fn shut_down(&self) {
        for lock in self.slots.close() {
            self.with_lock(lock, |mutex, _| mutex.close()).run();
        }
    }

    /// Asserts the invariants of every lock, and that every holder and waiter is known by its owner's record. It walks
    /// through everything; what can be seen in constant time is asserted after every transition anyway.
    ///
    /// # Panics
    ///
    /// If an invariant is broken.
    pub fn check(&self) {
        for lock in self.slots.all() {
            let (holder, waiters) = self.with_lock(lock, |mutex, _| {
                mutex.check_queue();
                (mutex.revocable(), mutex.waiters().collect::<Vec<_>>())
            });
            if let Some((owner, fence)) = holder {
                self.with_owner(owner, lock, |record, mutex, _| {
                    let mark = record.mark(lock).filter(|mark| mark.lost.is_none());
                    let still = mutex.revocable() == Some((owner, fence));
                    assert!(!still || mark.is_some(), "owner {owner} holds lock {lock} without a mark");
                });
            }
            for (ticket, waiter) in waiters {
                let owner = waiter.owner;
                self.with_owner(owner, lock, |record, mutex, _| {
                    let mark = record.mark(lock).filter(|mark| mark.ticket == Some(ticket));
                    let still = mutex.is_waiting(ticket);
                    assert!(!still || mark.is_some(), "owner {owner} waits for lock {lock} without a mark");
                });
            }
        }
    }

    // ---- for a wait ----

    pub(crate) fn poll_wait(&self, lock: LockId, ticket: Ticket, waker: Waker) -> Progress {
        let mut waker = Some(waker);
        self.with_lock(lock, |mutex, wakes| mutex.poll(ticket, &mut waker, wakes))
    }

    pub(crate) fn expire_wait(&self, lock: LockId, ticket: Ticket, now: Instant) -> Progress {
        self.with_lock(lock, |mutex, wakes| mutex.expire(ticket, now, wakes))
    }

    /// For the destructor of a wait.
    pub(crate) fn leave_wait(&self, lock: LockId, ticket: Ticket) {
        let mut wakes = Wakes::default();
        if let Some(mut mutex) = sync::lock_unless_broken(&self.slots.get(lock).0) {
            mutex.leave(ticket, &mut wakes);
            mutex.check();
        }
        wakes.run();
    }

    pub(crate) fn withdraw(&self, owner: OwnerId, lock: LockId, ticket: Ticket) -> Option<EndCause> {
        self.owners.withdraw(owner, lock, ticket)
    }

    // ---- the mutexes ----

    /// One transition of one lock. The wake-ups it owes run after its mutex was let go.
    fn with_lock<T>(&self, lock: LockId, transition: impl FnOnce(&mut Mutex, &mut Wakes) -> T) -> T {
        let mut wakes = Wakes::default();
        let answer = self.transition(lock, &mut wakes, transition);
        wakes.run();
        answer
    }

    /// One transition of one lock by one owner, whose record stays locked meanwhile: an end or a revocation comes either
    /// before all of it or after.
    fn with_owner<T>(
        &self,
        owner: OwnerId,
        lock: LockId,
        transition: impl FnOnce(&mut Record, &mut Mutex, &mut Wakes) -> T,
    ) -> T {
        let mut wakes = Wakes::default();
        let answer = {
            let mut records = self.owners.lock(owner);
            let record = records.entry(owner).or_default();
            self.transition(lock, &mut wakes, |mutex, wakes| transition(record, mutex, wakes))
        };
        wakes.run();
        answer
    }

    fn transition<T>(
        &self,
        lock: LockId,
        wakes: &mut Wakes,
        transition: impl FnOnce(&mut Mutex, &mut Wakes) -> T,
    ) -> T {
        let mut mutex = sync::lock(&self.slots.get(lock).0);
        let answer = transition(&mut mutex, wakes);
        mutex.check();
        answer
    }

    /// Whether the owner may ask for the lock, and what it has to do with it already.
    fn admit(
        &self,
        owner: OwnerId,
        lock: LockId,
        record: &mut Record,
        mutex: &Mutex,
    ) -> Result<Standing, AcquireError> {
        if record.is_ended() || mutex.is_closed() {
            return Err(AcquireError::Cancelled);
        }
        let max = self.limits.holds_per_owner_max;
        match record.mark(lock) {
            Some(mark) => match mark.lost {
                Some(how) => {
                    record.unmark(lock);
                    Err(AcquireError::Lost { how })
                }
                None => Ok(Standing::Marked),
            },
            None if record.marks().len() >= max as usize => Err(AcquireError::HoldsExceeded { owner, max }),
            None => Ok(Standing::New),
        }
    }
}

/// What an owner has to do with a lock that it asks for.
enum Standing {
    New,
    /// It holds it, or waits for it.
    Marked,
}

impl std::fmt::Debug for LockTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockTable").field("limits", &self.limits).finish_non_exhaustive()
    }
}
