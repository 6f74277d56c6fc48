//! The primitives of a table, and how each one behaves.

use std::time::{Duration, Instant};

use crate::ids::{LockId, OwnerId, Place};

/// What a primitive is. All of them stand on one wait queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One owner at a time.
    Mutex,
    /// One owner at a time, which may acquire it again.
    RLock {
        /// How often it may, one within the other.
        depth_max: u32,
    },
    /// Any number of readers, or one writer.
    RwLock {
        /// How often a reader may read, one within the other.
        depth_max: u32,
    },
    /// Permits.
    Semaphore(SemaphoreKind),
    /// Something that is done once: whoever has the turn holds it like a mutex.
    Once,
    /// Waiting, with a lock let go, for a notification.
    Condition {
        /// The mutex or rlock that is let go.
        lock: LockId,
    },
    /// A flag to wait for.
    Event,
    /// A number of owners that wait for each other.
    Barrier {
        /// How many; at least one.
        parties: u32,
        /// Who breaks it by ending.
        parties_are: Parties,
    },
    /// A number that is counted down to zero, once.
    Latch {
        /// Where it starts.
        count: u32,
    },
    /// Items, first in, first out.
    Queue(QueueConfig),
    /// The end of an owner, made before that owner makes its first request.
    Exit {
        /// Whose.
        of: OwnerId,
        /// Since when it can be waited for.
        since: Instant,
    },
}

/// Which permits a semaphore has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SemaphoreKind {
    /// Whoever took permits holds them, and they come back at its end.
    Owned {
        /// How many there are.
        permits: u32,
    },
    /// Anyone may release; nobody holds anything.
    Signal {
        /// How many there are at the start.
        permits: u32,
        /// How many there can ever be; none for as many as a `u32` can count.
        maximum: Option<u32>,
    },
}

/// Whose end breaks a barrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parties {
    /// Those that wait at the moment.
    Waiting,
    /// All that ever waited.
    Registered,
}

/// How a queue of items behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueConfig {
    /// How many items it holds at most; at least one.
    pub items_max: u32,
    /// How many bytes they have at most, all together.
    pub bytes_max: u64,
    /// When an item is out of the world.
    pub delivery: Delivery,
}

/// When an item is out of the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// When somebody got it.
    AtMostOnce,
    /// When whoever got it says that it is finished; until then it comes back at that owner's end.
    Acknowledged {
        /// How many items one owner may have unfinished.
        unfinished_max: u32,
    },
}

/// How a lock behaves, whatever its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockConfig {
    /// How long the waiter at the front may be overtaken by owners that are already running, in its own place.
    pub bound_local: Duration,
    /// The same by owners in other places.
    pub bound_remote: Duration,
    /// How many hand-overs in a row may stay in one place while others wait. 0 is the order of arrival.
    pub cohort_max: u32,
    /// What becomes of the lock when an owner ends that holds it exclusively.
    pub after_death: AfterDeath,
}

impl Default for LockConfig {
    fn default() -> Self {
        Self {
            bound_local: Duration::from_micros(100),
            bound_remote: Duration::from_millis(1),
            cohort_max: 8,
            after_death: AfterDeath::Flag,
        }
    }
}

impl LockConfig {
    /// Pure first in, first out.
    #[must_use]
    pub fn strict() -> Self {
        Self::bounded(Duration::ZERO)
    }

    /// In the order of arrival, except that running owners may overtake within this bound, wherever they run.
    #[must_use]
    pub fn bounded(bound: Duration) -> Self {
        Self { bound_local: bound, bound_remote: bound, cohort_max: 0, after_death: AfterDeath::Flag }
    }

    pub(crate) fn bound(&self, waits: Place, runs: Place) -> Duration {
        if waits == runs { self.bound_local } else { self.bound_remote }
    }
}

/// What becomes of a lock whose exclusive owner lost it without releasing it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum AfterDeath {
    /// The next owner is told, and may go on.
    #[default]
    Flag,
    /// The next owner is told, and has to mark the lock consistent before it releases it; else nobody gets it any more.
    Poison,
    /// Nobody is told.
    Ignore,
}
