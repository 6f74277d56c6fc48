//! Locks by id, found without a mutex.
//!
//! A lock stays where it was made: in buckets of which each is twice as long as the one before it. Buckets are only ever
//! added, and the place of one that was removed is given to the next of its sort. A look-up takes no mutex; a reader-writer
//! lock here would be the one cache line that all cores write.

use std::sync::OnceLock;

use crate::ids::LockId;
use crate::object::Object;
use crate::queue::Expelled;
use crate::sync;

/// Locks in the first bucket, as a power of two.
const FIRST_BUCKET_BITS: u32 = 5;
/// Enough for every index that a `u32` can hold.
const BUCKETS: usize = 28;

/// One lock behind its mutex, on cache lines of its own.
#[repr(align(128))]
pub(crate) struct Slot(pub(crate) sync::Mutex<Object>, TellsMany);

/// [`Object::tells_many`], for those who must know it before they take the mutex. Whatever has this place has the same.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TellsMany(bool);

impl Slot {
    pub(crate) fn tells_many(&self) -> bool {
        self.1.0
    }
}

pub(crate) struct Slots {
    buckets: [OnceLock<Box<[OnceLock<Slot>]>>; BUCKETS],
    created: sync::Mutex<Created>,
}

struct Created {
    count: u32,
    /// Places whose lock was removed, by whether they tell many.
    free: [Vec<LockId>; 2],
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [const { OnceLock::new() }; BUCKETS],
            created: sync::Mutex::new(Created { count: 0, free: [Vec::new(), Vec::new()], phase: Phase::Open }),
        }
    }

    /// Adds a lock or another primitive. After [`Slots::close`] it is born closed.
    pub(crate) fn add(&self, mut object: Object) -> LockId {
        let mut created = sync::lock(&self.created);
        if created.phase == Phase::Closed {
            object.close().into_iter().for_each(Expelled::run);
        }
        let tells_many = TellsMany(object.tells_many());
        if let Some(free) = created.free[usize::from(tells_many.0)].pop() {
            *sync::lock(&self.get(free).0) = object;
            return free;
        }
        let slot = Slot(sync::Mutex::new(object), tells_many);
        let index = created.count;
        created.count = index.checked_add(1).expect("a table has fewer than 2^32 locks");
        let (bucket, offset) = place(index);
        let bucket = self.buckets[bucket].get_or_init(|| (0..bucket_len(bucket)).map(|_| OnceLock::new()).collect());
        assert!(bucket[offset].set(slot).is_ok(), "lock {index} was made twice");
        LockId::new(index)
    }

    /// Removes a lock, unless somebody waits there or holds it. Its place may be given to another one from here on.
    pub(crate) fn remove(&self, lock: LockId) -> bool {
        let slot = self.get(lock);
        let removed = {
            let mut object = sync::lock(&slot.0);
            if !object.is_idle() {
                return false;
            }
            std::mem::replace(&mut *object, Object::nothing())
        };
        // What it held in memory may be much; whoever else makes a lock need not wait for that.
        drop(removed);
        sync::lock(&self.created).free[usize::from(slot.tells_many())].push(lock);
        true
    }

    /// Finds a lock.
    ///
    /// # Panics
    ///
    /// If this table did not make it.
    pub(crate) fn get(&self, lock: LockId) -> &Slot {
        let (bucket, offset) = place(lock.index());
        let slot = self.buckets[bucket].get().and_then(|bucket| bucket[offset].get());
        slot.expect("a lock is asked about at the table that made it")
    }

    /// Every lock made so far.
    pub(crate) fn all(&self) -> impl Iterator<Item = LockId> + use<> {
        (0..sync::lock(&self.created).count).map(LockId::new)
    }

    /// Whatever is added from here on is born closed. Says which locks were made before.
    pub(crate) fn close(&self) -> impl Iterator<Item = LockId> + use<> {
        let mut created = sync::lock(&self.created);
        created.phase = Phase::Closed;
        (0..created.count).map(LockId::new)
    }
}

fn bucket_len(bucket: usize) -> usize {
    1 << (bucket as u32 + FIRST_BUCKET_BITS)
}

/// The bucket of an index, and the place in it.
fn place(index: u32) -> (usize, usize) {
    let shifted = u64::from(index) + (1 << FIRST_BUCKET_BITS);
    let bits = shifted.ilog2();
    ((bits - FIRST_BUCKET_BITS) as usize, (shifted - (1 << bits)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            assert_eq!(place(index), expected);
            expected.1 += 1;
            if expected.1 == bucket_len(expected.0) {
                expected = (expected.0 + 1, 0);
            }
        }
        let (bucket, offset) = place(u32::MAX);
        assert!(bucket < BUCKETS);
        assert!(offset < bucket_len(bucket));
    }
}
