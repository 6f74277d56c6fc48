//! Names and plain values: owners, locks, fences, limits, and what a look at a lock shows.

use std::fmt;
use std::time::{Duration, Instant};

/// One process instance, generation included.
///
/// The host hands out each number once, so that a dead owner can never be mistaken for a living one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OwnerId(u64);

impl OwnerId {
    /// Whoever had a lock outside of this host. No owner in here has this number.
    pub const OUTSIDE: Self = Self(0);

    /// Names the owner with this number.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lock of one table. Only the table that made it may be asked about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LockId(u32);

impl LockId {
    pub(crate) const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index in the table; locks are numbered from 0 in the order in which they were made.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of one hold of one lock: a later hold has a greater one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fence(u64);

impl Fence {
    /// The fence with this number. It is a claim until [`crate::LockTable::check_claim`] has compared it.
    #[must_use]
    pub const fn new(fence: u64) -> Self {
        Self(fence)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Fences that the host has reserved durably for one lock: `start..end` may be issued.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FenceBlock {
    /// The first number that may be issued. Everything below it counts as issued, by this run or an earlier one.
    pub start: u64,
    /// One past the last number that may be issued.
    pub end: u64,
}

/// How a hold ended that its owner did not release.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndCause {
    /// The owner returned or exited without releasing.
    Exited,
    /// The owner trapped.
    Trapped,
    /// The owner was killed.
    Killed,
    /// The owner met a limit.
    Limit,
    /// The hold outlived the time that it was given.
    Expired,
    /// The host that kept the owner died.
    HostDied,
    /// Something that has no name here.
    Other,
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exited => "exited",
            Self::Trapped => "trapped",
            Self::Killed => "killed",
            Self::Limit => "limit",
            Self::Expired => "expired",
            Self::HostDied => "host-died",
            Self::Other => "other",
        })
    }
}

/// How the hold before this one ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Previous {
    /// Its owner released it, or there was none.
    Clean,
    /// It was taken away; what the lock protects may be half-written.
    Abandoned {
        /// What ended it.
        how: EndCause,
        /// Whose it was.
        who: OwnerId,
    },
}

/// A hold, as its owner is told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the lock is held from here on and somebody must release it"]
pub struct Acquired {
    /// The number of this hold.
    pub fence: Fence,
    /// How the last hold ended whose owner had been told of it.
    pub previous: Previous,
}

/// An item of a queue, as whoever got it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Its number, in the order of the puts, from 1 on.
    pub number: u64,
    /// How often it came back from an owner that had not finished it.
    pub returned: u32,
    /// What was put.
    pub bytes: std::sync::Arc<[u8]>,
}

/// What one guest may ask of the table. Every limit is named in the error it causes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Waiters in the queue of one lock. Waiters are memory that guests make the host spend.
    pub waiters_per_lock_max: u32,
    /// Locks that one owner holds, waits for, or has lost without having been told. The end of an owner visits each.
    pub holds_per_owner_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiters_per_lock_max: 100_000, holds_per_owner_max: 64 }
    }
}

/// Where an owner runs: the number of its core's executor. Owners in one place never run at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Place(pub u16);

/// What an owner asks a lock for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ask {
    /// To have it alone.
    Exclusive,
    /// To have it together with other readers.
    Shared,
    /// To have alone what it has together with others.
    Upgrade,
    /// So many permits.
    Permits(u32),
}

impl Ask {
    /// How many permits that is, or how often the lock is acquired.
    #[must_use]
    pub const fn count(self) -> u32 {
        match self {
            Self::Permits(count) => count,
            Self::Exclusive | Self::Shared | Self::Upgrade => 1,
        }
    }

    /// How the lock is held once it is granted.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Exclusive | Self::Upgrade => Mode::Exclusive,
            Self::Shared => Mode::Shared,
            Self::Permits(_) => Mode::Permits,
        }
    }
}

/// How a lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// Alone.
    Exclusive,
    /// Together with other readers.
    Shared,
    /// Some permits of it.
    Permits,
    /// Not a lock: an owner has its own life, and others wait for its end.
    Join,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Permits => "permits",
            Self::Join => "join",
        })
    }
}

/// In which state a lock is; the table of states is in the module `lock`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LockState {
    /// Nobody holds it and nobody waits.
    Free,
    /// The waiter at the front could have it, has been woken and has not come yet.
    HeadWoken,
    /// Whoever holds it has been told.
    Held,
    /// It was handed over to a waiter that has not been told yet.
    InFlight,
    /// A hold was taken away and is not given on before the host says so.
    Revoking,
    /// Nobody here holds it, and it is not at home: somebody outside of the host may have it.
    Away,
}

/// Where a lock with a gate is ([`crate::LockTable::create_gated`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GatePhase {
    /// Nobody is granted.
    Away,
    /// The host has it, in this mode.
    Home(Mode),
    /// The host has it, and lets it go as soon as nobody holds it; nobody else is granted.
    Leaving(Mode),
}

/// What there is to see at the gate of a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GateView {
    /// Where the lock is.
    pub phase: GatePhase,
    /// How the one at the front of those who wait wants it.
    pub wanted: Option<Mode>,
    /// Whether somebody holds it, or is about to.
    pub held: bool,
    /// How many grants there were since it came home.
    pub grants: u64,
    /// How many fences are left.
    pub fences_left: u64,
}

/// Who holds a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Whose hold it is.
    pub owner: OwnerId,
    /// How it holds the lock.
    pub mode: Mode,
    /// How often, one within the other; for a semaphore, how many permits.
    pub count: u32,
    /// The number of the hold.
    pub fence: Fence,
    /// When it was granted: the latest time that the lock had been given by then.
    pub since: Instant,
}

/// One member of a deadlock: an owner that holds what the one before it waits for, and waits for what the next one holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Who.
    pub owner: OwnerId,
    /// The lock that it holds.
    pub holds: LockId,
    /// How it holds that lock.
    pub held_as: Mode,
    /// Since when.
    pub since: Instant,
    /// The lock that it waits for.
    pub waits_for: LockId,
    /// How it asks for that lock.
    pub asks_as: Mode,
}

/// What somebody who waits, waits to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Want {
    /// To have a lock.
    Lock(Ask),
    /// To be notified at a condition.
    Notification,
    /// To see an event set.
    Event,
    /// To meet the others at a barrier.
    Barrier,
    /// To see a latch at zero.
    Latch,
    /// To put an item into a queue.
    Put,
    /// To get an item out of a queue.
    Get,
    /// To see every item of a queue finished.
    Join,
    /// To see the end of an owner.
    Exit,
}

/// Who waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    /// Who waits.
    pub owner: OwnerId,
    /// What for.
    pub want: Want,
    /// Since when.
    pub since: Instant,
}

/// What happened to one lock since it was made. They only grow.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Holds whose owner was told.
    pub acquired: u64,
    /// Requests that were refused because they would have closed a circle of owners.
    pub deadlocks: u64,
    /// Requests that had to queue.
    pub contended: u64,
    /// Requests that took the lock, or an item, ahead of a waiter within its bound.
    pub barged: u64,
    /// Direct hand-overs to a waiter.
    pub handed_over: u64,
    /// Hand-overs that never reached their waiter.
    pub passed_on: u64,
    /// Waits that timed out.
    pub timeouts: u64,
    /// Waits that ended because their owner did, or the table was shut down.
    pub cancelled: u64,
    /// Holds that were taken away from an owner that had been told.
    pub abandoned: u64,
    /// The longest wait that ended with a grant, to the last time that the lock was given.
    pub longest_wait: Duration,
    /// The longest hold that has ended.
    pub longest_hold: Duration,
}

/// One lock, or any other primitive, at one instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockView {
    /// In which state it is. What is no lock is free, or its waiter at the front is woken.
    pub state: LockState,
    /// Who holds it, in no order, those included whose hold was taken away and not given on yet, and the one that it is in
    /// flight to.
    pub holders: Vec<Holder>,
    /// Who waits, the next one first.
    pub queue: Vec<Waiter>,
    /// What happened so far.
    pub counters: Counters,
}

impl LockView {
    /// Who holds a lock that only one can hold.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.holders.first().copied()
    }
}
