//! How a process ended.

use std::fmt;
use std::time::Duration;

use lockkeeper_locks::EndCause;
use serde::Serialize;

use crate::byte_size::ByteSize;

/// How a process ended, each way as its own case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Outcome {
    /// Its entry point returned well.
    Returned,
    /// Its entry point returned an error: status 1.
    Failed,
    /// It called `exit`.
    Exited {
        /// The status, 0 to 255.
        code: i32,
    },
    /// A core module exited with a status that WASI 0.1 does not have. What it meant by it is not known, and it is no good end.
    StatusOutOfRange {
        /// The status.
        status: i32,
    },
    /// It trapped.
    Trapped {
        /// What the engine says: the kind of trap and where.
        message: String,
    },
    /// It used more stack than a process has.
    StackOverflow,
    /// It asked for more memory than its limit.
    OutOfMemory {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// It ran, or waited, longer than its limit.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Somebody outside ended it.
    Killed,
    /// The process that started it has ended.
    Orphaned,
    /// Every process of its job waited for another one, and somebody decided that this is the end.
    Stalled,
    /// The host shut down.
    ShutDown,
    /// The host could not do its part: start the process, or commit what the process had appended.
    HostFault {
        /// What went wrong and what to do.
        message: String,
    },
}

impl Outcome {
    /// Whether the process did what it was started for.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Returned | Self::Exited { code: 0 })
    }

    /// The exit status of the command for one process: its own where it chose one, else the field's usual number.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Returned => 0,
            Self::Failed | Self::StatusOutOfRange { .. } => 1,
            Self::Exited { code } => u8::try_from(code & 0xff).unwrap_or(1),
            Self::Trapped { .. } | Self::StackOverflow | Self::OutOfMemory { .. } => 134,
            Self::TimedOut { .. } => 124,
            Self::Killed | Self::Orphaned => 137,
            Self::Stalled => 76,
            Self::ShutDown => 130,
            Self::HostFault { .. } => 125,
        }
    }

    /// What the next owner of a lock is told that this process still held. At host shutdown nobody is told, as nobody
    /// is granted.
    pub(crate) fn end_cause(&self) -> EndCause {
        match self {
            Self::Returned | Self::Failed | Self::Exited { .. } | Self::StatusOutOfRange { .. } => EndCause::Exited,
            Self::Trapped { .. } | Self::StackOverflow => EndCause::Trapped,
            Self::OutOfMemory { .. } | Self::TimedOut { .. } => EndCause::Limit,
            Self::Killed | Self::Orphaned => EndCause::Killed,
            Self::Stalled | Self::ShutDown | Self::HostFault { .. } => EndCause::Other,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned => f.write_str("returned"),
            Self::Failed => f.write_str("returned an error"),
            Self::Exited { code } => write!(f, "exited with {code}"),
            Self::StatusOutOfRange { status } => {
                write!(f, "exited with status {status}, which WASI 0.1 does not have: it has 0 to 125")
            }
            Self::Trapped { message } => write!(f, "trapped: {message}"),
            Self::StackOverflow => f.write_str("ran out of stack"),
            Self::OutOfMemory { limit_bytes } => {
                write!(f, "asked for more than its {} of memory", ByteSize(*limit_bytes))
            }
            Self::TimedOut { limit } => {
                write!(f, "took longer than its time limit of {}", humantime::format_duration(*limit))
            }
            Self::Killed => f.write_str("was killed"),
            Self::Orphaned => f.write_str("was ended with the process that had started it"),
            Self::Stalled => f.write_str("waited for what nobody was left to do"),
            Self::ShutDown => f.write_str("ended by the host's shutdown"),
            Self::HostFault { message } => write!(f, "host fault: {message}"),
        }
    }
}
