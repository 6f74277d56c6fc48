//! From what the domain says to what a guest reads, decided once: a refusal is a typed error, a bad handle a trap.

use std::io;

use lockkeeper_journal::{AppendError, InvalidRecord, Quota};
use lockkeeper_locks::{
    AcquireError, Acquired, BrokenCause, ClaimError, ConditionError, EndCause, Mode, Previous, ReleaseError,
};
use wasmtime::component::ResourceTableError;

use crate::bindings::lockkeeper::runtime::types;
use crate::grants::GrantedFile;
use crate::name::NameError;
use crate::observe::Waiting;
use crate::process::{AppendsExceeded, HeldBackError, ProcessState};

/// Why a call of a guest does not succeed.
#[derive(Debug)]
pub enum Refusal {
    /// The guest is told, and may go on.
    Guest(types::Error),
    /// The guest broke the contract, and ends.
    Trap(wasmtime::Error),
}

impl From<types::Error> for Refusal {
    fn from(error: types::Error) -> Self {
        Self::Guest(error)
    }
}

/// A handle that is not this process's own.
impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl types::Host for ProcessState {
    fn convert_error(&mut self, refusal: Refusal) -> wasmtime::Result<types::Error> {
        match refusal {
            Refusal::Guest(error) => Ok(error),
            Refusal::Trap(error) => Err(error),
        }
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::Guest(types::Error::InvalidName(error.to_string()))
    }
}

impl From<HeldBackError> for Refusal {
    fn from(error: HeldBackError) -> Self {
        match error {
            HeldBackError::Full { .. } => Self::Guest(types::Error::Limit(types::LimitKind::FileBytes)),
            HeldBackError::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<AppendsExceeded> for Refusal {
    fn from(error: AppendsExceeded) -> Self {
        Self::Guest(types::Error::Limit(match error {
            AppendsExceeded::Bytes { .. } => types::LimitKind::FileBytes,
            AppendsExceeded::Records { .. } => types::LimitKind::FileRecords,
        }))
    }
}

impl From<AcquireError> for Refusal {
    fn from(error: AcquireError) -> Self {
        Self::Guest(match error {
            // Who waits is told the circle, with names, by `acquire`; a try never closes one.
            AcquireError::Deadlock { .. } => types::Error::Deadlock(Vec::new()),
            AcquireError::WaitersExceeded { .. } => types::Error::Limit(types::LimitKind::Waiters),
            AcquireError::HoldsExceeded { .. } => types::Error::Limit(types::LimitKind::Holds),
            AcquireError::FencesExhausted { .. } => {
                types::Error::Unavailable("no fence could be reserved for this lock; try again".to_owned())
            }
            // Why is for the host's events: it has paths in it.
            AcquireError::Unavailable { .. } => types::Error::Unavailable(
                "this lock cannot be had on this machine now, as the host tells who runs it; try again".to_owned(),
            ),
            AcquireError::Cancelled => types::Error::Cancelled,
            AcquireError::Lost { how } => types::Error::Lost(how.into()),
            AcquireError::TimedOut => types::Error::TimedOut,
            AcquireError::DepthExceeded { .. } => types::Error::Limit(types::LimitKind::Depth),
            AcquireError::PermitsExceeded { .. } => types::Error::Limit(types::LimitKind::Permits),
            AcquireError::QueueExceeded { .. } => types::Error::Limit(types::LimitKind::Queue),
            AcquireError::Unfit { .. } => types::Error::InvalidArgument(
                "only a process that reads once, and does not write, can upgrade, and no lock that other hosts have too \
                 can be; release the reads first"
                    .to_owned(),
            ),
            AcquireError::NotHeld { .. } => types::Error::NotHeld,
            AcquireError::NotRecoverable { .. } => types::Error::NotRecoverable,
            AcquireError::Broken { cause } => types::Error::Broken(cause.into()),
            AcquireError::Closed => types::Error::Closed,
        })
    }
}

impl From<ReleaseError> for Refusal {
    fn from(error: ReleaseError) -> Self {
        Self::Guest(match error {
            ReleaseError::NotHeld { .. } => types::Error::NotHeld,
            ReleaseError::NotOwner { .. } => types::Error::NotOwner,
            ReleaseError::Lost { how } => types::Error::Lost(how.into()),
            ReleaseError::OverRelease { .. } => types::Error::OverRelease,
            ReleaseError::Fenced { current } => types::Error::Fenced(current.get()),
        })
    }
}

/// To wait, or to notify, one holds the lock; whether somebody else does is not said.
impl From<ConditionError> for Refusal {
    fn from(error: ConditionError) -> Self {
        match error {
            ConditionError::Lock(ReleaseError::NotHeld { .. }) => Self::Guest(types::Error::NotOwner),
            ConditionError::Lock(error) => error.into(),
            ConditionError::Wait(error) => error.into(),
        }
    }
}

impl From<InvalidRecord> for Refusal {
    fn from(error: InvalidRecord) -> Self {
        Self::Guest(match error {
            InvalidRecord::TooLong { .. } | InvalidRecord::BatchTooLong { .. } => {
                types::Error::Limit(types::LimitKind::RecordBytes)
            }
            InvalidRecord::BatchTooMany { .. } => types::Error::Limit(types::LimitKind::FileRecords),
            InvalidRecord::EmptyBatch
            | InvalidRecord::LineBreak { .. }
            | InvalidRecord::NoFields
            | InvalidRecord::Columns { .. }
            | InvalidRecord::StrayQuote { .. }
            | InvalidRecord::UnclosedQuote
            | InvalidRecord::NotUtf8 { .. }
            | InvalidRecord::NotRows
            | InvalidRecord::Nul { .. }
            | InvalidRecord::ByteOrderMark
            | InvalidRecord::NotJson { .. } => types::Error::InvalidArgument(error.to_string()),
        })
    }
}

impl Refusal {
    pub(super) fn from_claim(error: &ClaimError, file: &GrantedFile) -> Self {
        Self::Guest(match error {
            ClaimError::LockRequired => {
                let lock = file.requires.as_ref().map(|lock| lock.name.to_string());
                types::Error::LockRequired(lock.unwrap_or_default())
            }
            ClaimError::Fenced { current } => types::Error::Fenced(current.get()),
            ClaimError::NeverIssued { claim } => {
                types::Error::InvalidArgument(format!("guard: no hold of this lock ever had the fence {claim}"))
            }
        })
    }

    pub(super) fn from_append(error: &AppendError<ClaimError>, file: &GrantedFile) -> Self {
        Self::Guest(match error {
            AppendError::Refused(claim) => return Self::from_claim(claim, file),
            AppendError::Invalid(invalid) => return invalid.clone().into(),
            AppendError::Fenced { current, .. } => types::Error::Fenced(*current),
            AppendError::Io { source, .. } => types::Error::Io(io_code(source)),
            AppendError::Changed { .. } => types::Error::Io(types::IoCode::Changed),
            AppendError::Latched { .. } => types::Error::Io(types::IoCode::Latched),
            AppendError::Limit { quota, .. } => match quota {
                Quota::Bytes => types::Error::Limit(types::LimitKind::FileBytes),
                // Each id is that of a record.
                Quota::Records | Quota::Ids => types::Error::Limit(types::LimitKind::FileRecords),
                // For the guest, space that it may not use is space that is not there.
                Quota::Reserve => types::Error::Io(types::IoCode::NoSpace),
            },
        })
    }
}

fn io_code(error: &io::Error) -> types::IoCode {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => types::IoCode::NoSpace,
        io::ErrorKind::FileTooLarge => types::IoCode::FileTooLarge,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => types::IoCode::ReadOnly,
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => types::IoCode::Device,
        _ => types::IoCode::Other,
    }
}

impl From<Acquired> for types::Acquired {
    fn from(acquired: Acquired) -> Self {
        Self {
            fence: acquired.fence.get(),
            previous: match acquired.previous {
                Previous::Clean => types::Previous::Clean,
                Previous::Abandoned { how, who } => {
                    types::Previous::Abandoned(types::Abandonment { how: how.into(), who: who.get() })
                }
            },
        }
    }
}

impl From<Waiting> for types::Wait {
    fn from(waiting: Waiting) -> Self {
        Self {
            process: waiting.process.get(),
            name: waiting.name.to_string(),
            holds: waiting.holds.to_string(),
            held_as: waiting.held_as.into(),
            held_for: u64::try_from(waiting.held_for.as_nanos()).unwrap_or(u64::MAX),
            waits_for: waiting.waits_for.to_string(),
            asks_as: waiting.asks_as.into(),
        }
    }
}

impl From<EndCause> for types::EndCause {
    fn from(cause: EndCause) -> Self {
        match cause {
            EndCause::Exited => Self::Exited,
            EndCause::Trapped => Self::Trapped,
            EndCause::Killed => Self::Killed,
            EndCause::Limit => Self::Limit,
            EndCause::Expired => Self::Expired,
            EndCause::HostDied => Self::HostDied,
            EndCause::Other => Self::Other,
        }
    }
}

impl From<Mode> for types::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Exclusive,
            Mode::Shared => Self::Shared,
            Mode::Permits => Self::Permits,
            Mode::Join => Self::Join,
        }
    }
}

impl From<BrokenCause> for types::BrokenCause {
    fn from(cause: BrokenCause) -> Self {
        match cause {
            BrokenCause::TimedOut => Self::TimedOut,
            BrokenCause::Aborted => Self::Aborted,
            BrokenCause::Reset => Self::Reset,
            BrokenCause::PartyEnded => Self::PartyEnded,
        }
    }
}
