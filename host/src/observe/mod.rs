//! What happens in a host, as one stream of events. Every view (the summary, `--json`, the tests) reads this and
//! nothing else.

mod outcome;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_locks::{EndCause, Previous};
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
    },
    /// A process was refused something that the job does not have or did not grant to it.
    Denied {
        /// Which process.
        process: ProcessId,
        /// What it asked for.
        denial: Denial,
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
    /// The disk, or somebody who changed the file, failed an append. Nothing of the record is in the file.
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
    /// For how long it has held it.
    pub held_for: Duration,
    /// The lock that it waits for.
    pub waits_for: Name,
}

/// A lock or a file that a process asked for and did not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// What kind of thing.
    pub kind: Kind,
    /// The name that the process used.
    pub name: Name,
}

/// The kinds of things that a process opens by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A lock.
    Lock,
    /// An append file.
    File,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "lock",
            Self::File => "file",
        })
    }
}

/// Who is told of events. Called on the thread where the event happens, under no lock of the host: it must be quick
/// and must not call back into the host.
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

    /// The event is built only if somebody looks.
    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = &self.observer {
            observer(&event());
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
        Previous::Abandoned { how, who } => serializer.collect_str(&format_args!("abandoned: {how} by {who}")),
    }
}
