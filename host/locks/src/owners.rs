//! Which locks an owner holds or asked for, so that its end finds them all.
//!
//! One record per owner, in shards with a mutex each. A record's marks are a superset of the truth: whatever an owner
//! holds or waits for has a mark, but a mark may outlive what it stands for by a moment, and whoever follows it asks the
//! lock. Granting touches no record: a waiter has had its mark since it asked.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::ids::{EndCause, LockId, OwnerId, Place};
use crate::queue::Ticket;
use crate::sync::{self, MutexGuard};

/// Enough that owners on different cores seldom meet; the model checker needs no more than its threads.
const SHARDS: usize = if cfg!(loom) { 4 } else { 64 };

pub(crate) struct Owners {
    shards: Box<[Shard]>,
}

/// On cache lines of its own: neighbours belong to other cores.
#[repr(align(128))]
struct Shard(sync::Mutex<Records>);

pub(crate) type Records = HashMap<OwnerId, Record, BuildHasherDefault<IdHasher>>;

/// One owner.
#[derive(Default)]
pub(crate) struct Record {
    life: Life,
    /// It was told to end, so it will wait for nothing for long.
    doomed: bool,
    /// Where it runs.
    place: Place,
    /// Whether somebody waits, or has waited, for its end.
    joined: bool,
    /// Never longer than the limit on holds, so a walk is cheaper than a tree.
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Life {
    #[default]
    Running,
    Ended,
}

/// That an owner has to do with a lock.
///
/// | `lost` | meaning | who may leave it |
/// |---|---|---|
/// | `None` | it holds the lock, waits for it with `ticket`, or both | release, the end of the wait: no mark. A revocation: lost |
/// | `Some` | its hold was taken away and it does not know | the owner, when it is told at its next call: no mark |
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) lock: LockId,
    /// The wait by which it got, or will get, the lock.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) lost: Option<EndCause>,
}

impl Owners {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard(sync::Mutex::new(Records::default()))).collect() }
    }

    /// Locks the records of all owners that share a shard with this one.
    pub(crate) fn lock(&self, owner: OwnerId) -> MutexGuard<'_, Records> {
        sync::lock(&self.shard(owner).0)
    }

    fn shard(&self, owner: OwnerId) -> &Shard {
        &self.shards[owner.get() as usize % SHARDS]
    }

    /// The same for a destructor: `None` if an invariant was broken under it.
    pub(crate) fn lock_unless_broken(&self, owner: OwnerId) -> Option<MutexGuard<'_, Records>> {
        sync::lock_unless_broken(&self.shard(owner).0)
    }
}

impl Record {
    pub(crate) fn is_ended(&self) -> bool {
        self.life == Life::Ended
    }

    pub(crate) fn end(&mut self) {
        self.life = Life::Ended;
    }

    /// It was told to end.
    pub(crate) fn doom(&mut self) {
        self.doomed = true;
    }

    /// Whether its waits may count as over.
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed
    }

    /// Somebody waits for the end of this owner: from here on its own waits may close circles.
    pub(crate) fn join(&mut self) {
        self.joined = true;
    }

    /// Whether others may wait for this owner beyond what it holds.
    pub(crate) fn is_joined(&self) -> bool {
        self.joined
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.place = place;
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    pub(crate) fn mark(&self, lock: LockId) -> Option<Mark> {
        self.marks.iter().copied().find(|mark| mark.lock == lock)
    }

    /// The waits that it has, and those that it had for locks that it holds by now.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (LockId, Ticket)> {
        self.marks.iter().filter(|mark| mark.lost.is_none()).filter_map(|mark| Some((mark.lock, mark.ticket?)))
    }

    /// Notes that the owner holds the lock, or waits for it.
    pub(crate) fn ask(&mut self, lock: LockId, ticket: Option<Ticket>) {
        match self.marks.iter_mut().find(|mark| mark.lock == lock) {
            // It holds it, and asks for more.
            Some(mark) => mark.ticket = ticket.or(mark.ticket),
            None => self.marks.push(Mark { lock, ticket, lost: None }),
        }
    }

    /// Notes that a wait is over and the owner still has something of that lock.
    pub(crate) fn stop_waiting(&mut self, lock: LockId) {
        if let Some(mark) = self.marks.iter_mut().find(|mark| mark.lock == lock) {
            mark.ticket = None;
        }
    }

    /// Notes that the owner has lost the lock and has to be told.
    ///
    /// # Panics
    ///
    /// If it had no mark.
    pub(crate) fn lose(&mut self, lock: LockId, how: EndCause) {
        let mark = self.marks.iter_mut().find(|mark| mark.lock == lock);
        mark.expect("whatever an owner holds has a mark").lost = Some(how);
    }

    pub(crate) fn unmark(&mut self, lock: LockId) {
        self.marks.retain(|mark| mark.lock != lock);
    }

    pub(crate) fn keep_marks(&mut self, keep: impl FnMut(&mut Mark) -> bool) {
        self.marks.retain_mut(keep);
    }
}

/// Spreads ids. The host counts them, guests never choose them, so nothing stronger is needed.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, id: u64) {
        // An odd constant near 2^64 / phi, and the high half folded in: the map reads both ends of the hash.
        let mixed = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
