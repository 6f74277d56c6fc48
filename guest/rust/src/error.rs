//! Why a call was refused: the contract's one set of errors, in Rust.
//!
//! The sets are complete from the first version on, so a `match` on them may be total. Each case keeps the word that
//! the contract has for it, for logs and scripts; the sentences are for people.

use std::fmt;
use std::time::Duration;

use crate::bindings::lockkeeper::runtime::types as wit;
use crate::hold::Fence;
use crate::process::ProcessId;

/// Mirrors an `enum` of the contract: its cases, the way from there, and the contract's word for each, in one place.
macro_rules! mirror {
    ($(#[$about:meta])* $name:ident { $($(#[$case_about:meta])* $case:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$case_about])* $case,)+
        }

        impl $name {
            /// The contract's word for it.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$case => $word,)+
                }
            }

            pub(crate) fn from_wit(case: wit::$name) -> Self {
                match case {
                    $(wit::$name::$case => Self::$case,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

mirror! {
    /// How a hold ended without its owner's release.
    EndCause {
        /// The process returned or exited, whatever its status, and still held the lock.
        Exited = "exited",
        /// The process trapped, stack overflow included.
        Trapped = "trapped",
        /// Somebody outside ended the process.
        Killed = "killed",
        /// The process went over a limit: time or memory.
        Limit = "limit",
        /// The hold lasted longer than the lock allows, or was taken away by the host's operator.
        Expired = "expired",
        /// The host that kept the lock died.
        HostDied = "host-died",
        /// Anything else.
        Other = "other",
    }
}

mirror! {
    /// Which limit was met. The host's summary says the figure and how to change it.
    LimitKind {
        /// Locks held by one process.
        Holds = "holds",
        /// Handles of locks and files open in one process.
        Handles = "handles",
        /// Processes that wait for one lock.
        Waiters = "waiters",
        /// Bytes of one record.
        RecordBytes = "record-bytes",
        /// Bytes that one call may carry.
        CallBytes = "call-bytes",
        /// Bytes of a process on its standard streams.
        OutputBytes = "output-bytes",
        /// Bytes of a file, of all or of one process.
        FileBytes = "file-bytes",
        /// Records of a file, of all or of one process.
        FileRecords = "file-records",
        /// Bytes of memory.
        Memory = "memory",
        /// Times that one owner holds a re-entrant lock; generations of processes.
        Depth = "depth",
        /// Permits of a semaphore.
        Permits = "permits",
        /// Items or bytes of a queue.
        Queue = "queue",
        /// Processes of one job, or children of one process.
        Processes = "processes",
        /// How long a process may take.
        Time = "time",
        /// Objects that the processes of one job have made.
        Objects = "objects",
        /// Bytes of those objects.
        ObjectBytes = "object-bytes",
        /// Anything else.
        Other = "other",
    }
}

mirror! {
    /// Why the host could not write. What was in the file before is whole.
    IoCode {
        /// The disk is full, or a quota of the file system is used up.
        NoSpace = "no-space",
        /// The file system or the system's limits allow no larger file.
        FileTooLarge = "file-too-large",
        /// The file system is mounted for reading only, or the host may not write there.
        ReadOnly = "read-only",
        /// Somebody outside the host cut, replaced or removed the file. Nothing more is written to it.
        Changed = "changed",
        /// An earlier error left the file in a state that the host could not repair. Nothing more is written to it.
        Latched = "latched",
        /// The device failed.
        Device = "device",
        /// Anything else.
        Other = "other",
    }
}

mirror! {
    /// Why a barrier is broken.
    BrokenCause {
        /// A party gave up waiting.
        TimedOut = "timed-out",
        /// A party called `abort`.
        Aborted = "aborted",
        /// A party called `reset` while others waited.
        Reset = "reset",
        /// A party ended.
        PartyEnded = "party-ended",
        /// Anything else.
        Other = "other",
    }
}

mirror! {
    /// How a lock is held or asked for.
    Mode {
        /// Alone.
        Exclusive = "exclusive",
        /// Together with other readers.
        Shared = "shared",
        /// Some permits of a semaphore.
        Permits = "permits",
        /// Waiting for the end of a process.
        Join = "join",
        /// Anything else.
        Other = "other",
    }
}

/// One arrow of a deadlock: a process that holds one lock and waits for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The process.
    pub process: ProcessId,
    /// Its name, for people.
    pub name: String,
    /// The lock that it holds, and that the one before it in the circle waits for.
    pub holds: String,
    /// How it holds that lock.
    pub held_as: Mode,
    /// For how long it has held it.
    pub held_for: Duration,
    /// The lock that it waits for, held by the next in the circle.
    pub waits_for: String,
    /// How it asks for that lock.
    pub asks_as: Mode,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {}) holds `{}` and waits for `{}`", self.name, self.process, self.holds, self.waits_for)
    }
}

/// Why a call was refused. Its text says what to do.
///
/// Contention is no error: see [`Mutex::try_lock`](crate::Mutex::try_lock). Some cases belong to later versions of the
/// contract; the set does not grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The time ran out first. Nothing was acquired, and no place in a queue is left behind.
    TimedOut,
    /// The process is being ended, or the host shuts down. At shutdown nobody is granted anything.
    Cancelled,
    /// Nobody holds the lock that was to be released.
    NotHeld,
    /// Another process holds the lock that was to be released, or this one does not hold the lock of the condition.
    NotOwner,
    /// More permits were to be released than the bound allows, more counted down than is left, or more items finished
    /// than were put. Nothing was done.
    OverRelease,
    /// An argument makes no sense; the text says which and why. Nothing was done.
    InvalidArgument(String),
    /// Names have 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    InvalidName(String),
    /// There is no such thing for this process: it does not exist, or was not granted. The two look the same.
    Denied,
    /// A limit was met.
    Limit(LimitKind),
    /// Waiting could never end: this request closes the circle given here. Nothing was acquired.
    Deadlock(Vec<Wait>),
    /// A `poison` lock whose data nobody has marked consistent.
    NotRecoverable,
    /// The hold that this call relies on was taken away, in the way given.
    Lost(EndCause),
    /// The fence is not the one of a live hold any more; this is the latest known. Nothing was written.
    Fenced(Fence),
    /// The file, value or array is bound to a lock, named here, that this process does not hold. Nothing was changed.
    LockRequired(String),
    /// An index or a value does not fit.
    OutOfRange,
    /// The process was started before.
    AlreadyStarted,
    /// The process was not started yet.
    NotStarted,
    /// The process has not ended yet.
    StillRunning,
    /// The barrier is broken.
    Broken(BrokenCause),
    /// The queue is full.
    Full,
    /// The queue is empty.
    Empty,
    /// The queue, or the thing behind the handle, is closed.
    Closed,
    /// The host cannot serve the call now; the text says why.
    Unavailable(String),
    /// A remote engine's answer was lost: it may or may not have happened.
    Indeterminate,
    /// The host could not write. The file ends on a whole record, and this one is not in it, unless it was to survive the
    /// loss of power: then it may be.
    Io(IoCode),
    /// Anything else.
    Other(String),
}

impl Error {
    /// The contract's word for the case, such as `lock-required`: for logs and scripts.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::NotHeld => "not-held",
            Self::NotOwner => "not-owner",
            Self::OverRelease => "over-release",
            Self::InvalidArgument(_) => "invalid-argument",
            Self::InvalidName(_) => "invalid-name",
            Self::Denied => "denied",
            Self::Limit(_) => "limit",
            Self::Deadlock(_) => "deadlock",
            Self::NotRecoverable => "not-recoverable",
            Self::Lost(_) => "lost",
            Self::Fenced(_) => "fenced",
            Self::LockRequired(_) => "lock-required",
            Self::OutOfRange => "out-of-range",
            Self::AlreadyStarted => "already-started",
            Self::NotStarted => "not-started",
            Self::StillRunning => "still-running",
            Self::Broken(_) => "broken",
            Self::Full => "full",
            Self::Empty => "empty",
            Self::Closed => "closed",
            Self::Unavailable(_) => "unavailable",
            Self::Indeterminate => "indeterminate",
            Self::Io(_) => "io",
            Self::Other(_) => "other",
        }
    }

    pub(crate) fn from_wit(error: wit::Error) -> Self {
        match error {
            wit::Error::TimedOut => Self::TimedOut,
            wit::Error::Cancelled => Self::Cancelled,
            wit::Error::NotHeld => Self::NotHeld,
            wit::Error::NotOwner => Self::NotOwner,
            wit::Error::OverRelease => Self::OverRelease,
            wit::Error::InvalidArgument(why) => Self::InvalidArgument(why),
            wit::Error::InvalidName(name) => Self::InvalidName(name),
            wit::Error::Denied => Self::Denied,
            wit::Error::Limit(kind) => Self::Limit(LimitKind::from_wit(kind)),
            wit::Error::Deadlock(circle) => Self::Deadlock(circle.into_iter().map(wait_from_wit).collect()),
            wit::Error::NotRecoverable => Self::NotRecoverable,
            wit::Error::Lost(how) => Self::Lost(EndCause::from_wit(how)),
            wit::Error::Fenced(latest) => Self::Fenced(Fence::new(latest)),
            wit::Error::LockRequired(lock) => Self::LockRequired(lock),
            wit::Error::OutOfRange => Self::OutOfRange,
            wit::Error::AlreadyStarted => Self::AlreadyStarted,
            wit::Error::NotStarted => Self::NotStarted,
            wit::Error::StillRunning => Self::StillRunning,
            wit::Error::Broken(cause) => Self::Broken(BrokenCause::from_wit(cause)),
            wit::Error::Full => Self::Full,
            wit::Error::Empty => Self::Empty,
            wit::Error::Closed => Self::Closed,
            wit::Error::Unavailable(why) => Self::Unavailable(why),
            wit::Error::Indeterminate => Self::Indeterminate,
            wit::Error::Io(code) => Self::Io(IoCode::from_wit(code)),
            wit::Error::Other(why) => Self::Other(why),
        }
    }
}

fn wait_from_wit(wait: wit::Wait) -> Wait {
    Wait {
        process: ProcessId::new(wait.process),
        name: wait.name,
        holds: wait.holds,
        held_as: Mode::from_wit(wait.held_as),
        held_for: Duration::from_nanos(wait.held_for),
        waits_for: wait.waits_for,
        asks_as: Mode::from_wit(wait.asks_as),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the time ran out first: wait longer, or hold locks for a shorter time"),
            Self::Cancelled => f.write_str("this process is being ended, or the host shuts down: stop"),
            Self::NotHeld => f.write_str("nobody holds this lock: acquire it before you release it"),
            Self::NotOwner => f.write_str(
                "this process does not hold this lock: only its owner can release it, or wait and notify under it",
            ),
            Self::OverRelease => {
                f.write_str("more given back than was taken, or than the bound allows: give back what was taken")
            }
            Self::InvalidArgument(why) => write!(f, "invalid argument: {why}"),
            Self::InvalidName(name) => {
                write!(f, "invalid name ({name}): use 1 to 64 bytes of A-Z a-z 0-9 . _ / -")
            }
            Self::Denied => f.write_str(
                "this process was granted nothing of that name: name it in the process's grants, in the job or on the \
                 command line",
            ),
            Self::Limit(kind) => {
                write!(f, "the limit `{kind}` is met: use less, or raise it; the host's summary says how")
            }
            Self::Deadlock(circle) => {
                f.write_str("waiting would never end: ")?;
                for wait in circle {
                    write!(f, "{wait}; ")?;
                }
                f.write_str("acquire locks in the same order everywhere, and none twice")
            }
            Self::NotRecoverable => {
                f.write_str("the last owner left the data in doubt, and nobody has marked it consistent")
            }
            Self::Lost(how) => write!(f, "the lock was taken away from this process ({how}): acquire it again"),
            Self::Fenced(latest) => {
                write!(f, "this hold is over (the lock is at fence {latest}), nothing was written: acquire it again")
            }
            Self::LockRequired(lock) => {
                write!(f, "this is bound to the lock `{lock}`, and nothing was changed: acquire it first")
            }
            Self::OutOfRange => f.write_str("the index or the value does not fit"),
            Self::AlreadyStarted => f.write_str("the process was started before: start each one once"),
            Self::NotStarted => f.write_str("the process was not started yet: start it first"),
            Self::StillRunning => f.write_str("the process has not ended yet: join it first"),
            Self::Broken(cause) => write!(f, "the barrier is broken ({cause}): reset it before you wait again"),
            Self::Full => f.write_str("the queue is full: take something out, or wait"),
            Self::Empty => f.write_str("the queue is empty: put something in, or wait"),
            Self::Closed => f.write_str("the queue, or the thing behind the handle, is closed: open another"),
            Self::Unavailable(why) => write!(f, "the host cannot serve this now: {why}"),
            Self::Indeterminate => {
                f.write_str("the answer was lost, so this may or may not have happened: look before you repeat it")
            }
            Self::Io(code) => {
                write!(
                    f,
                    "the host could not write ({code}): the record does not count as appended; the file ends on a whole one"
                )
            }
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_deadlock_names_the_whole_circle_and_the_way_out() {
        let wait = |id, name: &str, holds: &str, waits_for: &str| wit::Wait {
            process: id,
            name: name.into(),
            holds: holds.into(),
            held_as: wit::Mode::Exclusive,
            held_for: 5,
            waits_for: waits_for.into(),
            asks_as: wit::Mode::Exclusive,
        };
        let error = Error::from_wit(wit::Error::Deadlock(vec![wait(7, "a-0", "x", "y"), wait(9, "a-1", "y", "x")]));
        assert_eq!(
            error.to_string(),
            "waiting would never end: a-0 (process 7) holds `x` and waits for `y`; a-1 (process 9) holds `y` and waits \
             for `x`; acquire locks in the same order everywhere, and none twice"
        );
    }

    #[test]
    fn words_are_those_of_the_contract() {
        assert_eq!(
            Error::from_wit(wit::Error::Limit(wit::LimitKind::RecordBytes)),
            Error::Limit(LimitKind::RecordBytes)
        );
        assert_eq!(Error::LockRequired("results".into()).word(), "lock-required");
        assert_eq!(EndCause::from_wit(wit::EndCause::HostDied).to_string(), "host-died");
        assert_eq!(IoCode::from_wit(wit::IoCode::NoSpace).to_string(), "no-space");
    }
}
