//! Many locks by id, for many owners and threads: the mutexes around the state transitions, and their order.
//!
//! Mutexes are taken in this order and no other: the one that keeps the checks for deadlocks apart, the shard of an owner's
//! record, then the mutex of one lock. Nothing takes two locks, or two shards, at once. Under the mutex of a lock there is no I/O, no callback, and no allocation
//! larger than a node of its queue. Wakers are cloned before, and called and dropped after, all of them.

mod exits;
mod gates;
mod locks;
mod queues;
mod signals;

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::deadlock::Waits;
use crate::error::{AcquireError, ClaimError};
use crate::ids::{
    Ask, EndCause, Fence, FenceBlock, Holder, Limits, LockId, LockState, LockView, Mode, OwnerId, Place, Want,
};
use crate::kinds::{Kind, LockConfig};
use crate::lock::{Block, Lock, Notice, Progress};
use crate::object::{Crowd, Object};
use crate::owners::{Owners, Record};
use crate::queue::{Expelled, Queue, Ticket, Wakes};
use crate::slots::Slots;
use crate::sync;
pub use signals::{ConditionWait, Notification};

/// All locks of one host.
///
/// One owner is single-threaded: it makes one call at a time. Everything that is done *to* an owner
/// ([`LockTable::begin_end`], [`LockTable::begin_revoke`], [`LockTable::shut_down`]) may come from any thread at any time.
///
/// # Fairness
///
/// Waiters are served in the order of arrival, with one exception: an owner that is already running may take a lock
/// that is free, ahead of the waiters, as long as the waiter at the front has waited less than the lock's
/// bound ([`LockConfig`], by where the two run). When a lock is released and its first waiter is within the bound, it is woken and the
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

    /// Makes a lock or another primitive that may issue these fences. It stays until it is removed. After
    /// [`LockTable::shut_down`] it grants nobody. What issues no fences that anyone compares takes a block as well.
    ///
    /// # Panics
    ///
    /// If the block is upside down; if a barrier has no parties, or a queue no room.
    pub fn create(&self, kind: Kind, config: LockConfig, fences: FenceBlock) -> LockId {
        if let Kind::Exit { of, .. } = kind {
            // Who waits for it has to find its record, also before it makes its first request.
            self.owners.lock(of).entry(of).or_default();
        }
        self.slots.add(Object::new(kind, config, fences))
    }

    /// Removes a lock or another primitive, whose id may be given to another one from here on: the caller is the last who
    /// knows it. False, and nothing is done, if somebody holds it or waits there after all.
    #[must_use = "what somebody has is not removed"]
    pub fn remove(&self, lock: LockId) -> bool {
        self.slots.remove(lock)
    }

    /// Makes a mutex, as [`LockTable::create`].
    pub fn create_mutex(&self, config: LockConfig, fences: FenceBlock) -> LockId {
        self.create(Kind::Mutex, config, fences)
    }

    /// Says where an owner runs, before its first request. Without it, all run in one place.
    pub fn place_owner(&self, owner: OwnerId, place: Place) {
        self.owners.lock(owner).entry(owner).or_default().set_place(place);
    }

    /// The owner was told to end, and will be ended: what it waits for makes no circle any more, although it still stands in
    /// the queues. So who has ended it may wait for its end, and hold meanwhile what it waited for.
    pub fn doom_owner(&self, owner: OwnerId) {
        if let Some(record) = self.owners.lock(owner).get_mut(&owner) {
            record.doom();
        }
    }

    /// Whether the owner holds anything, or has anything else that others may wait for. Too many rather than too few.
    #[must_use]
    pub fn holds_any(&self, owner: OwnerId) -> bool {
        let records = self.owners.lock(owner);
        records.get(&owner).is_some_and(|record| record.marks().iter().any(|mark| mark.lost.is_none()))
    }

    // ---- looking ----

    /// Whether somebody has the lock: it is held, on its way to a waiter, or taken away and not given on yet.
    #[must_use]
    pub fn locked(&self, lock: LockId) -> bool {
        self.with_lock(lock, |lock, _| lock.is_locked())
    }

    /// The fence of the owner's hold, if it is live and exclusive: the owner was told of it, it was not taken away, and it
    /// is one that allows to write.
    #[must_use]
    pub fn held_fence(&self, owner: OwnerId, lock: LockId) -> Option<Fence> {
        self.with_lock(lock, |lock, _| lock.held_fence(owner))
    }

    /// The owner's live hold, of whichever mode.
    #[must_use]
    pub fn held(&self, owner: OwnerId, lock: LockId) -> Option<Holder> {
        self.with_lock(lock, |lock, _| lock.held(owner))
    }

    /// Whether the lock is held alone by an owner that runs in another place: it may let it go while one looks.
    #[must_use]
    pub fn is_held_elsewhere(&self, id: LockId, place: Place) -> bool {
        self.transition(id, |object, _| {
            let elsewhere = matches!(object, Object::Lock(lock) if lock.held_at().is_some_and(|at| at != place));
            (elsewhere, Crowd::default())
        })
    }

    /// Everyone who holds the lock and has been told.
    #[must_use]
    pub fn holders(&self, lock: LockId) -> Vec<Holder> {
        let mut holders = Vec::new();
        loop {
            let done = self.with_lock(lock, |lock, _| {
                let fits = lock.holder_count() <= holders.capacity();
                if fits {
                    holders.extend(lock.live_holders());
                }
                fits
            });
            if done {
                return holders;
            }
            // The room is made outside the mutex: guests decide how many hold.
            holders.reserve(self.with_lock(lock, |lock, _| lock.holder_count()) + 8);
        }
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
        self.with_lock(lock, |lock, _| lock.check_claim(owner, claim))
    }

    /// How many wait, for a lock or at another primitive.
    #[must_use]
    pub fn waiter_count(&self, id: LockId) -> usize {
        self.transition(id, |object, _| (object.waiter_count(), Crowd::default()))
    }

    /// In which state a lock is.
    #[must_use]
    pub fn state(&self, id: LockId) -> LockState {
        self.transition(id, |object, _| (object.state(), Crowd::default()))
    }

    /// The lock, or another primitive, as it is at one instant.
    #[must_use]
    pub fn inspect(&self, id: LockId) -> LockView {
        let (mut queue, mut holders) = (Vec::new(), Vec::new());
        loop {
            // The room is made outside the mutex: guests decide how much it is.
            let (waiting, holding) = self.transition(id, |object, _| (size(object), Crowd::default()));
            queue.reserve(waiting + 8);
            holders.reserve(holding + 8);
            let view = self.transition(id, |object, _| {
                let (waiting, holding) = size(object);
                let fits = waiting <= queue.capacity() && holding <= holders.capacity();
                let view = fits.then(|| {
                    queue.extend(object.queues().flat_map(Queue::iter).map(|(_, entry)| entry.waiter()));
                    if let Object::Lock(lock) = object {
                        holders.extend(lock.holders());
                    }
                    (object.state(), object.counters())
                });
                (view, Crowd::default())
            });
            if let Some((state, counters)) = view {
                return LockView { state, holders, queue, counters };
            }
        }
    }

    /// The limits of the table.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    // ---- fences ----

    /// Adds fences that the host has reserved durably. A waiter that no fence was left for has been refused before;
    /// the host tops up in time, see [`LockTable::fences_left`].
    ///
    /// # Panics
    ///
    /// If the block reaches below a fence that was issued or reserved before.
    pub fn add_fences(&self, lock: LockId, block: FenceBlock) {
        self.with_lock(lock, |lock, _| lock.add_fences(block));
    }

    /// How many fences the lock may still issue.
    #[must_use]
    pub fn fences_left(&self, lock: LockId) -> u64 {
        self.with_lock(lock, |lock, _| lock.fences_left())
    }

    // ---- taking away ----

    /// Takes a hold away, first half. From here on it is not live: the fence is refused, and the owner's next call about
    /// this lock answers [`AcquireError::Lost`] or [`crate::ReleaseError::Lost`], once. Nobody is granted the lock, and nobody can
    /// barge, before [`LockTable::finish_revoke`]: in between the host raises the floor of every file bound to it.
    ///
    /// `None` if there is no hold, if it is another one than expected, or if it is just being taken away. A grant in
    /// flight can be revoked too; the wait it was for then answers [`AcquireError::Lost`].
    #[must_use = "nobody is granted the lock before the revocation is finished"]
    pub fn begin_revoke(&self, lock: LockId, expect: Option<Fence>, how: EndCause) -> Option<Revoked> {
        loop {
            // Whose hold it is says only the lock, but the owner's record comes first in the order. So the hold may be
            // another one by the time both are locked.
            let (owner, fence) = self.with_lock(lock, |lock, _| lock.revocable(expect))?;
            let taken = self.with_owner(owner, lock, |record, object, wakes| {
                let ticket = record.mark(lock).and_then(|mark| mark.ticket);
                let taken = lock_of(object).begin_revoke(owner, fence, how, ticket, wakes);
                if taken.is_some() {
                    record.lose(lock, how);
                }
                (taken, Crowd::default())
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
        self.with_lock(lock, |lock, wakes| lock.finish_revoke(owner, fence, now, wakes));
    }

    /// Ends an owner, first half. Its waits are over ([`AcquireError::Cancelled`]); a wake-up that was on its way to one
    /// passes on. All its holds are taken away as in [`LockTable::begin_revoke`], grants in flight included. Its calls
    /// from here on are refused with [`AcquireError::Cancelled`], a release of what it held with [`crate::ReleaseError::Lost`].
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
                let mut object = sync::lock(&self.slots.get(lock).0);
                let (taken, crowd) = object.end(owner, mark.ticket, how, &mut wakes);
                object.check();
                drop(object);
                owed.push((wakes, crowd));
                let Some(taken) = taken else { return false };
                holds.push(Revoked { lock, owner, fence: taken.fence });
                mark.lost = Some(how);
                taken.notice == Notice::Told
            });
        }
        for (wakes, crowd) in owed {
            run(wakes, crowd);
        }
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
        for id in self.slots.close() {
            self.transition(id, |object, _| ((), object.close()));
        }
    }

    /// Asserts the invariants of every lock, and that every holder and waiter is known by its owner's record. It walks
    /// through everything; what can be seen in constant time is asserted after every transition anyway.
    ///
    /// # Panics
    ///
    /// If an invariant is broken.
    pub fn check(&self) {
        for id in self.slots.all() {
            let (holders, waiters) = self.transition(id, |object, _| {
                object.check_all();
                let holders = match object {
                    Object::Lock(lock) => lock.live_holders().collect::<Vec<_>>(),
                    _ => Vec::new(),
                };
                let waiters = object.queues().flat_map(Queue::iter).map(|(ticket, entry)| (ticket, entry.owner));
                ((holders, waiters.collect::<Vec<_>>()), Crowd::default())
            });
            for holder in holders {
                let owner = holder.owner;
                self.with_owner(owner, id, |record, object, _| {
                    let mark = record.mark(id).filter(|mark| mark.lost.is_none());
                    let still = lock_of(object).held(owner).is_some_and(|held| held.fence == holder.fence);
                    assert!(!still || mark.is_some(), "owner {owner} holds lock {id} without a mark");
                    ((), Crowd::default())
                });
            }
            for (ticket, owner) in waiters {
                self.with_owner(owner, id, |record, object, _| {
                    let mark = record.mark(id).filter(|mark| mark.ticket == Some(ticket));
                    let still = object.queues().any(|queue| queue.contains(ticket));
                    assert!(!still || mark.is_some(), "owner {owner} waits for lock {id} without a mark");
                    ((), Crowd::default())
                });
            }
        }
    }

    // ---- for a wait ----

    pub(crate) fn poll_wait(
        &self,
        owner: OwnerId,
        id: LockId,
        ticket: Ticket,
        offer: &mut Option<Arc<[u8]>>,
        waker: Waker,
    ) -> Progress {
        let mut waker = Some(waker);
        self.with_wait(owner, id, ticket, |object, wakes| {
            let progress = object.poll(ticket, offer, &mut waker, wakes);
            (progress, object.sweep())
        })
    }

    pub(crate) fn expire_wait(
        &self,
        owner: OwnerId,
        id: LockId,
        ticket: Ticket,
        offer: &mut Option<Arc<[u8]>>,
        now: Instant,
    ) -> Progress {
        self.with_wait(owner, id, ticket, |object, wakes| object.expire(ticket, offer, now, wakes))
    }

    /// One transition of one wait. Where many are told at once only the record says who of them has ended since: that one
    /// waits no more, and what was on its way to it has passed on. Whoever is told is so in the same step in which its record
    /// says that it waits no more, or its end would find the answer a second time. After the shut-down nobody is told.
    fn with_wait(
        &self,
        owner: OwnerId,
        id: LockId,
        ticket: Ticket,
        transition: impl FnOnce(&mut Object, &mut Wakes) -> (Progress, Crowd),
    ) -> Progress {
        let slot = self.slots.get(id);
        if !slot.tells_many() {
            return self.transition(id, transition);
        }
        let mut wakes = Wakes::default();
        let (progress, crowd) = {
            let mut records = self.owners.lock(owner);
            let Some(record) = records.get_mut(&owner).filter(|record| !record.is_ended()) else {
                return Progress::Gone;
            };
            let mark = record.mark(id).filter(|mark| mark.lost.is_none());
            let mut object = sync::lock(&slot.0);
            if object.is_closed() || mark.is_none_or(|mark| mark.ticket != Some(ticket)) {
                return Progress::Gone;
            }
            let answer = transition(&mut object, &mut wakes);
            object.check();
            if !matches!(answer.0, Progress::Pending) {
                forget_wait(record, id, &object, owner);
            }
            answer
        };
        run(wakes, crowd);
        progress
    }

    /// For the destructor of a wait: leaves the queue, unless the end of the owner has seen to that.
    pub(crate) fn leave_wait(&self, owner: OwnerId, id: LockId, ticket: Ticket) {
        let mut wakes = Wakes::default();
        let mut crowd = Crowd::default();
        {
            let Some(mut records) = self.owners.lock_unless_broken(owner) else { return };
            let Some(record) = records.get_mut(&owner) else { return };
            if record.mark(id).is_none_or(|mark| mark.ticket != Some(ticket)) {
                return;
            }
            if let Some(mut object) = sync::lock_unless_broken(&self.slots.get(id).0) {
                crowd = object.leave(ticket, &mut wakes);
                object.check();
                forget_wait(record, id, &object, owner);
            }
        }
        run(wakes, crowd);
    }

    /// A wait has ended without a lock: its mark goes, unless the owner has something of it all the same. Says how a grant
    /// was lost, if there was one and the owner still runs.
    pub(crate) fn withdraw(&self, owner: OwnerId, id: LockId, ticket: Ticket) -> Option<EndCause> {
        let mut records = self.owners.lock_unless_broken(owner)?;
        let record = records.get_mut(&owner)?;
        let mark = record.mark(id).filter(|mark| mark.ticket == Some(ticket))?;
        let object = sync::lock_unless_broken(&self.slots.get(id).0)?;
        forget_wait(record, id, &object, owner);
        mark.lost.filter(|_| !record.is_ended())
    }

    /// All that an owner waits for now, and who could block it.
    pub(crate) fn waits_of(&self, owner: OwnerId) -> Vec<Waits> {
        let waits: Vec<_> = match self.owners.lock(owner).get(&owner) {
            Some(record) if !record.is_doomed() => record.waits().collect(),
            _ => Vec::new(),
        };
        waits.into_iter().filter_map(|(lock, ticket)| self.waits_at(lock, ticket)).collect()
    }

    fn waits_at(&self, lock: LockId, ticket: Ticket) -> Option<Waits> {
        let mut holders = Vec::new();
        loop {
            let room = holders.capacity();
            let look = self.transition(lock, |object, _| {
                let lock = match object {
                    Object::Lock(lock) => lock,
                    Object::Exit(exit) => {
                        let waits = exit.queue().contains(ticket);
                        let blocker = exit.blocker().filter(|_| waits);
                        let block = Block { ask: Ask::Exclusive, own: Mode::Join, permits: 0 };
                        let fits = usize::from(blocker.is_some()) <= room;
                        holders.extend(blocker.filter(|_| fits));
                        return (waits.then_some((block, usize::from(blocker.is_some()))), Crowd::default());
                    }
                    _ => return (None, Crowd::default()),
                };
                // The room is made outside the mutex: guests decide how many hold.
                let look = lock.block(ticket).map(|block| {
                    let needed = lock.holder_count();
                    if needed <= room {
                        holders.extend(lock.live_holders());
                    }
                    (block, needed)
                });
                (look, Crowd::default())
            });
            let (block, needed) = look?;
            if needed <= room {
                return Some(Waits { lock, ticket, block, holders });
            }
            holders.reserve(needed + 8);
        }
    }

    /// Whether a waiter has not been woken since it last looked in vain.
    pub(crate) fn is_asleep(&self, id: LockId, ticket: Ticket) -> bool {
        self.transition(id, |object, _| (object.is_asleep(ticket), Crowd::default()))
    }

    /// Whether this wait sleeps: nobody has woken it, so its end depends on what somebody else does.
    #[must_use]
    pub fn sleeps(&self, wait: WaitId) -> bool {
        self.is_asleep(wait.lock, wait.ticket)
    }

    /// What this wait waits for, while it waits.
    #[must_use]
    pub fn want(&self, wait: WaitId) -> Option<Want> {
        self.transition(wait.lock, |object, _| {
            let want = object.queues().find_map(|queue| queue.get(wait.ticket)).map(|entry| entry.want);
            (want, Crowd::default())
        })
    }

    // ---- the mutexes ----

    /// One transition of one lock.
    fn with_lock<T>(&self, id: LockId, transition: impl FnOnce(&mut Lock, &mut Wakes) -> T) -> T {
        self.transition(id, |object, wakes| (transition(lock_of(object), wakes), Crowd::default()))
    }

    /// One transition of one object by one owner, whose record stays locked meanwhile: an end or a revocation comes
    /// either before all of it or after. Whoever it owes a wake-up is woken after the mutexes were let go.
    fn with_owner<T>(
        &self,
        owner: OwnerId,
        id: LockId,
        transition: impl FnOnce(&mut Record, &mut Object, &mut Wakes) -> (T, Crowd),
    ) -> T {
        let mut wakes = Wakes::default();
        let (answer, crowd) = {
            let mut records = self.owners.lock(owner);
            let record = records.entry(owner).or_default();
            let mut object = sync::lock(&self.slots.get(id).0);
            let answer = transition(record, &mut object, &mut wakes);
            object.check();
            answer
        };
        run(wakes, crowd);
        answer
    }

    /// One transition of one object.
    fn transition<T>(&self, id: LockId, transition: impl FnOnce(&mut Object, &mut Wakes) -> (T, Crowd)) -> T {
        let mut wakes = Wakes::default();
        let (answer, crowd) = {
            let mut object = sync::lock(&self.slots.get(id).0);
            let answer = transition(&mut object, &mut wakes);
            object.check();
            answer
        };
        run(wakes, crowd);
        answer
    }

    /// Whether the owner may ask here: it runs, has been told of what it lost, and has room for one more.
    fn admit(
        &self,
        owner: OwnerId,
        id: LockId,
        record: &mut Record,
        object: &Object,
        counts: Counts,
    ) -> Result<(), AcquireError> {
        if record.is_ended() || object.is_closed() {
            return Err(AcquireError::Cancelled);
        }
        let max = self.limits.holds_per_owner_max;
        match record.mark(id) {
            Some(mark) => match mark.lost {
                Some(how) => {
                    record.unmark(id);
                    Err(AcquireError::Lost { how })
                }
                None => Ok(()),
            },
            None if counts == Counts::Limited && record.marks().len() >= max as usize => {
                Err(AcquireError::HoldsExceeded { owner, max })
            }
            None => Ok(()),
        }
    }
}

/// Whether a request meets the limits on holds and waiters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Counts {
    Limited,
    /// It takes the place of a hold that a condition lets go, or lets go for.
    Exempt,
}

/// One wait, for who looks at it from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitId {
    lock: LockId,
    ticket: Ticket,
}

impl WaitId {
    pub(crate) fn new(lock: LockId, ticket: Ticket) -> Self {
        Self { lock, ticket }
    }
}

/// # Panics
///
/// If it is no lock.
fn lock_of(object: &mut Object) -> &mut Lock {
    match object {
        Object::Lock(lock) => lock,
        _ => panic!("only a lock is asked for its holders"),
    }
}

/// How many wait, and how many hold.
fn size(object: &Object) -> (usize, usize) {
    let holding = if let Object::Lock(lock) = object { lock.holder_count() } else { 0 };
    (object.waiter_count(), holding)
}

fn forget_wait(record: &mut Record, id: LockId, object: &Object, owner: OwnerId) {
    let lost = record.mark(id).is_some_and(|mark| mark.lost.is_some());
    if object.keeps(owner) && !lost {
        record.stop_waiting(id);
    } else {
        record.unmark(id);
    }
}

fn run(wakes: Wakes, crowd: Crowd) {
    wakes.run();
    crowd.into_iter().for_each(Expelled::run);
}

impl std::fmt::Debug for LockTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockTable").field("limits", &self.limits).finish_non_exhaustive()
    }
}
