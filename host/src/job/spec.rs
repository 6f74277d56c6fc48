//! What a job has.

use std::time::Duration;

use crate::program::Program;
use crate::scope::LockScope;
use lockkeeper_journal::{Durability, FileSpec};
use lockkeeper_locks::{Kind, LockConfig, Parties, QueueConfig, Scalar, Scalars, SemaphoreKind};

/// What a job has.
#[derive(Clone, Debug, Default)]
pub struct JobSpec {
    /// Its locks, and the other primitives that processes wait at.
    pub locks: Vec<LockSpec>,
    /// Its values and arrays.
    pub values: Vec<ValueSpec>,
    /// Its append files.
    pub files: Vec<AppendSpec>,
    /// Programs that its processes may start, those that they are granted to.
    pub programs: Vec<ProgramSpec>,
    /// What its processes may make and start.
    pub limits: JobLimits,
}

/// A program of a job.
#[derive(Clone, Debug)]
pub struct ProgramSpec {
    /// What processes call it. `self` is every process's own program, and no other can be called so.
    pub name: String,
    /// The program.
    pub program: Program,
}

/// What the processes of a job may make and start, all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Processes alive that were started by processes. Default 1,000.
    pub processes_max: u32,
    /// Objects that were made at run time and are still there. Default 100,000.
    pub objects_max: u32,
    /// Bytes that values, arrays and queues among them may have. Default 256 MiB.
    pub object_bytes_max: u64,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self { processes_max: 1_000, objects_max: 100_000, object_bytes_max: 256 << 20 }
    }
}

/// A lock of a job, or another primitive that processes wait at.
#[derive(Clone, Debug, Default)]
pub struct LockSpec {
    /// What processes call it.
    pub name: String,
    /// What it is.
    pub kind: LockKind,
    /// Whom it keeps out. Only a mutex, an rlock and a rwlock can be wider than this host.
    pub scope: LockScope,
    /// How it behaves; it matters for what can be held.
    pub config: LockConfig,
    /// How long a process may hold it. A hold that lasts longer is taken away, and the process can write no more to what is
    /// bound to the lock.
    pub max_hold: Option<Duration>,
}

impl LockSpec {
    /// A mutex of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// What a lock of a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LockKind {
    /// One owner at a time.
    #[default]
    Mutex,
    /// One owner at a time, which may acquire it again.
    RLock,
    /// Any number of readers, or one writer.
    RwLock,
    /// Permits.
    Semaphore(SemaphoreKind),
    /// Something that is done once.
    Once,
    /// Waiting for a notification, with a mutex or rlock of this name let go.
    Condition {
        /// The lock.
        lock: String,
    },
    /// A flag to wait for.
    Event,
    /// Processes that wait for each other.
    Barrier {
        /// How many; at least one.
        parties: u32,
        /// Whose end breaks it.
        parties_are: Parties,
    },
    /// A number that is counted down to zero.
    Latch {
        /// Where it starts.
        count: u32,
    },
    /// Items, first in, first out.
    Queue(QueueConfig),
}

/// How often an rlock, or a read, may be acquired by one owner, one within the other.
pub const DEPTH_MAX: u32 = 1 << 20;

/// The most bytes of all elements of an array, or of a value.
pub const VALUE_BYTES_MAX: u64 = 64 << 20;

/// A value or an array of a job.
#[derive(Clone, Debug)]
pub struct ValueSpec {
    /// What processes call it.
    pub name: String,
    /// What it is, and what it starts with.
    pub content: ValueContent,
    /// The lock without which nobody may change it.
    pub requires_lock: Option<String>,
}

/// What a value or an array is.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueContent {
    /// A single value.
    Value {
        /// What it starts with.
        initial: Scalar,
        /// How many bytes it may have, if it has bytes.
        bytes_max: u32,
    },
    /// An array of a fixed length.
    Array(Scalars),
}

/// An append file of a job.
#[derive(Clone, Debug)]
pub struct AppendSpec {
    /// What processes call it.
    pub name: String,
    /// Where it is and how it is written.
    pub file: FileSpec,
    /// The lock without which nobody may write to it.
    pub requires_lock: Option<String>,
    /// What a record survives before its append returns, unless the process asks for something else.
    pub durability: Durability,
}

impl AppendSpec {
    /// A file that is bound to no lock, whose records survive the death of the host.
    pub fn new(name: impl Into<String>, file: FileSpec) -> Self {
        Self { name: name.into(), file, requires_lock: None, durability: Durability::Written }
    }

    /// Bound to this lock of the job: nobody writes to it without.
    #[must_use]
    pub fn requires_lock(mut self, lock: impl Into<String>) -> Self {
        self.requires_lock = Some(lock.into());
        self
    }
}

/// Whether something of this kind is held by owners, so that a hold can last too long.
pub(super) fn can_expire(kind: Kind) -> bool {
    match kind {
        Kind::Mutex | Kind::RLock { .. } | Kind::RwLock { .. } | Kind::Once => true,
        Kind::Semaphore(kind) => matches!(kind, SemaphoreKind::Owned { .. }),
        Kind::Condition { .. }
        | Kind::Event
        | Kind::Barrier { .. }
        | Kind::Latch { .. }
        | Kind::Queue(_)
        | Kind::Exit { .. } => false,
    }
}

/// The longest `max-hold`: who means longer means for ever.
pub const MAX_HOLD_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A `max-hold` in which somebody can do something, and whose end can be counted to.
pub fn check_max_hold(time: Duration) -> Result<Duration, String> {
    if time.is_zero() {
        return Err("a hold that may not last is taken away at once; give it some time, such as 2s".to_owned());
    }
    if time > MAX_HOLD_MAX {
        return Err("that is longer than a year; leave the limit away, and a hold may last for ever".to_owned());
    }
    Ok(time)
}
