//! What happens in a host, as one stream of events. Every view (the summary, `--json`, the tests) reads this and
//! nothing else.

mod outcome;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_locks::{Ask, EndCause, Mode, OwnerId, Previous, Want};
use serde::{Serialize, Serializer};

use crate::ids::ProcessId;
use crate::name::Name;
pub use outcome::Outcome;

/// Something that happened. Events of one process come in the order in which they happened to it, and the end of a
/// hold comes before the grant that follows from it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// A process is about to run.
    Started {
        /// Which.
        process: ProcessId,
        /// Its name.
        #[serde(serialize_with = "as_text")]
        name: Arc<str>,
        /// The process that started it, if one did.
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<ProcessId>,
    },
    /// Code of the embedder becomes an owner of a job's locks. From here on it is told of as processes are.
    HostCode {
        /// Its number.
        process: ProcessId,
        /// Its name.
        #[serde(serialize_with = "as_text")]
        name: Arc<str>,
    },
    /// A process was refused something that the job does not have or did not grant to it.
    Denied {
        /// Which process.
        process: ProcessId,
        /// What it asked for.
        denial: Denial,
    },
    /// A process asks for a lock, and will wait for it if need be.
    Asked {
        /// Which process.
        process: ProcessId,
        /// The lock.
        lock: Name,
    },
    /// A process was not granted what it asked for.
    Refused {
        /// Which process.
        process: ProcessId,
        /// The lock.
        lock: Name,
        /// Why.
        why: String,
    },
    /// A process is about to release a lock. It holds it up to here.
    Released {
        /// Which process.
        process: ProcessId,
        /// The lock.
        lock: Name,
        /// The fence of the hold.
        fence: u64,
    },
    /// A process acquired a lock.
    Granted {
        /// Which process.
        process: ProcessId,
        /// The lock.
        lock: Name,
        /// The fence of the hold.
        fence: u64,
        /// How the last hold ended.
        #[serde(serialize_with = "as_previous")]
        previous: Previous,
        /// How long it waited.
        waited: Duration,
    },
    /// A process's request was refused at once: waiting could never have ended.
    Deadlock {
        /// Which process.
        process: ProcessId,
        /// The circle that the request would have closed, from that process on.
        circle: Vec<Waiting>,
    },
    /// An append failed: because of the disk, of somebody who changed the file, or of a quota. Nothing of the record is in
    /// the file, unless it is a sync that failed, or a write that could not be taken back: then it may be.
    AppendFailed {
        /// Which process.
        process: ProcessId,
        /// The file.
        file: Name,
        /// What went wrong, with the path.
        error: String,
    },
    /// A process's wait was cancelled: it is being ended, or the host shuts down.
    WaitCancelled {
        /// Which process.
        process: ProcessId,
        /// The lock.
        lock: Name,
    },
    /// A hold has lasted for half of the time that its lock allows. At the end of it, it is taken away.
    HoldLong {
        /// Whose hold it is.
        process: ProcessId,
        /// The lock.
        lock: Name,
        /// The fence of the hold.
        fence: u64,
        /// How long it has lasted.
        held_for: Duration,
        /// How long it may.
        max_hold: Duration,
    },
    /// Every process of a job waits for another one, and nothing that the host knows of could end that, but for what
    /// `ends_by_itself` says.
    Stalled {
        /// Who waits for what.
        waits: Vec<StalledProcess>,
        /// Whether a time limit of a process or of a hold is still to come that may let others go on.
        ends_by_itself: bool,
    },
    /// Somebody outside of this host has a lock, and processes in here wait for it: told after a second, and from time to time
    /// after that.
    WaitsOutside {
        /// The lock.
        lock: Name,
        /// How long it has been waited for.
        waited: Duration,
        /// Who has it, if that can be said.
        #[serde(skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
        /// Whether that is stopped, so that nothing will come of waiting before it goes on.
        stopped: bool,
    },
    /// A lock that others outside of this host have too cannot be had, whoever has it: something is wrong with its file. It
    /// is tried again each second; who waits is refused after the second time.
    LockUnavailable {
        /// The lock.
        lock: Name,
        /// What is wrong.
        error: String,
    },
    /// A hold was taken away from its owner. Nobody else has the lock yet, and the old owner can write no more.
    HoldEnded {
        /// Whose hold it was.
        process: ProcessId,
        /// The lock.
        lock: Name,
        /// The fence of the hold.
        fence: u64,
        /// Why.
        #[serde(serialize_with = "as_text")]
        how: EndCause,
    },
    /// A process has ended; its holds are released and its appends are settled.
    Ended {
        /// Which.
        process: ProcessId,
        /// Its name.
        #[serde(serialize_with = "as_text")]
        name: Arc<str>,
        /// How.
        outcome: Outcome,
        /// How long it lived.
        lived: Duration,
    },
}

/// One member of a deadlock: it holds what the one before it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The process.
    pub process: ProcessId,
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub name: Arc<str>,
    /// The lock that it holds.
    pub holds: Name,
    /// How it holds that lock.
    #[serde(serialize_with = "as_text")]
    pub held_as: Mode,
    /// For how long it has held it.
    pub held_for: Duration,
    /// The lock that it waits for.
    pub waits_for: Name,
    /// How it asks for that lock.
    #[serde(serialize_with = "as_text")]
    pub asks_as: Mode,
}

/// A process of a job that stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StalledProcess {
    /// The process.
    pub process: ProcessId,
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub name: Arc<str>,
    /// The lock, or the other primitive, that it waits at.
    pub waits_at: Name,
    /// What it waits for there.
    #[serde(serialize_with = "as_text")]
    pub waits_for: WaitsFor,
    /// For how long.
    pub waited: Duration,
    /// The locks that it holds meanwhile.
    pub holds: Vec<Held>,
}

/// A lock that a process holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The lock.
    pub lock: Name,
    /// How.
    #[serde(serialize_with = "as_text")]
    pub how: Mode,
}

/// What a process waits for, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitsFor(pub(crate) Want);

impl From<Want> for WaitsFor {
    fn from(want: Want) -> Self {
        Self(want)
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Want::Lock(ask) => match ask {
                Ask::Exclusive => f.write_str("the lock"),
                Ask::Shared => f.write_str("the lock, to read"),
                Ask::Upgrade => f.write_str("the other readers to end"),
                Ask::Permits(1) => f.write_str("a permit"),
                Ask::Permits(count) => write!(f, "{count} permits"),
            },
            Want::Notification => f.write_str("a notification"),
            Want::Event => f.write_str("the event to be set"),
            Want::Barrier => f.write_str("the other parties"),
            Want::Latch => f.write_str("the latch to reach zero"),
            Want::Put => f.write_str("room for an item"),
            Want::Get => f.write_str("an item"),
            Want::Join => f.write_str("all items to be finished"),
            Want::Exit => f.write_str("the process to end"),
        }
    }
}

/// A lock or a file that a process asked for and did not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// What kind of thing.
    pub kind: Kind,
    /// The name that the process used.
    pub name: Name,
    /// What the job declares under this name and grants to the process, if it is something of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_as: Option<Kind>,
}

/// The kinds of things that a process opens by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A lock: the table of the manifest in which all that is waited for is declared.
    Lock,
    /// A mutex.
    Mutex,
    /// A re-entrant lock.
    Rlock,
    /// A reader-writer lock.
    Rwlock,
    /// A semaphore.
    Semaphore,
    /// A condition.
    Condition,
    /// An event.
    Event,
    /// A barrier.
    Barrier,
    /// A latch.
    Latch,
    /// A once.
    Once,
    /// A queue.
    Queue,
    /// A value.
    Value,
    /// An array.
    Array,
    /// An append file.
    File,
    /// A program that may be started.
    Program,
    /// A directory.
    Dir,
    /// A process, whose end is waited for.
    Process,
}

impl Kind {
    /// The kind of a lock of the table.
    pub(crate) fn of(kind: lockkeeper_locks::Kind) -> Self {
        use lockkeeper_locks::Kind;
        match kind {
            Kind::Mutex => Self::Mutex,
            Kind::RLock { .. } => Self::Rlock,
            Kind::RwLock { .. } => Self::Rwlock,
            Kind::Semaphore(_) => Self::Semaphore,
            Kind::Condition { .. } => Self::Condition,
            Kind::Event => Self::Event,
            Kind::Barrier { .. } => Self::Barrier,
            Kind::Latch { .. } => Self::Latch,
            Kind::Once => Self::Once,
            Kind::Queue(_) => Self::Queue,
            Kind::Exit { .. } => Self::Process,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "lock",
            Self::Mutex => "mutex",
            Self::Rlock => "rlock",
            Self::Rwlock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::Condition => "condition",
            Self::Event => "event",
            Self::Barrier => "barrier",
            Self::Latch => "latch",
            Self::Once => "once",
            Self::Queue => "queue",
            Self::Value => "value",
            Self::Array => "array",
            Self::File => "file",
            Self::Program => "program",
            Self::Dir => "dir",
            Self::Process => "process",
        })
    }
}

/// Who is told of events. Called on the thread where the event happens, under no lock that a process could wait for: it must
/// be quick and must not call back into the host. If it panics the host goes on, and says so in its log.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// Where the host sends its events.
#[derive(Clone, Default)]
pub(crate) struct Events {
    observer: Option<Observer>,
}

impl Events {
    pub(crate) fn new(observer: Option<Observer>) -> Self {
        Self { observer }
    }

    /// Whether anybody looks.
    pub(crate) fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// The event is built only if somebody looks.
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = &self.observer {
            let event = event();
            // It is called in places where nothing but the host's own work must end, such as a release.
            if catch_unwind(AssertUnwindSafe(|| observer(&event))).is_err() {
                tracing::error!("whoever observes the host has panicked at {event:?}");
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("observed", &self.observer.is_some()).finish()
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_previous<S: Serializer>(value: &Previous, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Previous::Clean => serializer.serialize_str("clean"),
        Previous::Abandoned { how, who: OwnerId::OUTSIDE } => {
            serializer.collect_str(&format_args!("abandoned: {how} outside of this host"))
        }
        Previous::Abandoned { how, who } => serializer.collect_str(&format_args!("abandoned: {how} by {who}")),
    }
}
