//! What can go wrong, one enum per family, and what to do about it.
//!
//! A variant carries the facts; its message says what happened and, where a person can do something, what. The host
//! turns each variant into its own error in one total `match`.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::os_lock::{Holder, OsLockError};
use crate::scan::FormatKind;

/// Why a file could not be opened for appending. The file is as it was, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the sidecar's lock.
    #[error("{} is being written by {}; wait for it to end, or give this run another file",
        path.display(), Holder::describe(holder.as_ref()))]
    Busy {
        /// The data file.
        path: PathBuf,
        /// Who holds it, as far as the sidecar says so.
        holder: Option<Holder>,
    },
    /// Other hosts share the file, and this one would have it to itself.
    #[error("{} is shared by hosts, {} among them; have this run share it too (`shared = true`), wait for all of them to end, \
        or give it another file", path.display(), Holder::describe(holder.as_ref()))]
    Shared {
        /// The data file.
        path: PathBuf,
        /// Who wrote to it last, as far as the sidecar says so.
        holder: Option<Holder>,
    },
    /// It was to be shared, and another host has it to itself.
    #[error("{} is being written by {}, which does not share it; have both share it (`shared = true`), wait for that one to \
        end, or give this run another file", path.display(), Holder::describe(holder.as_ref()))]
    NotShared {
        /// The data file.
        path: PathBuf,
        /// Who holds it, as far as the sidecar says so.
        holder: Option<Holder>,
    },
    /// What was asked for of a shared file needs a host that has it to itself.
    #[error("{} cannot be shared as is: {why}, or have it to one host (`shared = false`)", path.display())]
    NotToBeShared {
        /// The data file.
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// This process has the same file open already, perhaps under another path.
    #[error("{} is already open in this process, as {}; share that one instead of opening it twice",
        path.display(), open_as.display())]
    AlreadyOpen {
        /// The path that was asked for.
        path: PathBuf,
        /// The path under which the file is open.
        open_as: PathBuf,
    },
    /// [`IfExists::Refuse`](crate::IfExists::Refuse) was asked for, and there is something in the file.
    #[error("{} exists and holds {bytes} bytes; choose another file, or say that it may be appended to or replaced",
        path.display())]
    Exists {
        /// The data file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The last path component is a symbolic link. It is never followed.
    #[error("{} is a symbolic link, which is never followed; name the file that it points to", path.display())]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// The path names something that is no regular file.
    #[error("{} is {kind}, not a regular file; records can be kept in regular files only", path.display())]
    NotRegular {
        /// The data file, its sidecar or its file of torn bytes.
        path: PathBuf,
        /// What it is instead, with its article.
        kind: &'static str,
    },
    /// The path does not name a file that can lie in a directory (it is empty, or ends in `..`).
    #[error("{:?} names no file; give a path that ends in a file name", path.as_os_str())]
    NoFileName {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file has several names, so that the lock of one name would not guard the others.
    #[error("{} has {links} hard links, so its lock would not guard it; copy it to a file of its own first",
        path.display())]
    Linked {
        /// The data file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// The file was never written by this program and its last line does not end. Nothing was changed.
    #[error("{} was not written by lockkeeper and its last line (from byte {last_record_end} of {bytes}) does not end; \
        end it with a newline if it is whole, or remove it, then start again", path.display())]
    ForeignTail {
        /// The data file.
        path: PathBuf,
        /// Where its last whole record ends.
        last_record_end: u64,
        /// Its length.
        bytes: u64,
    },
    /// The first row of the file is not the header that was asked for. Nothing was changed.
    #[error("the header of {} is [{}], but [{}] was asked for; use the file's own header, or another file",
        path.display(), Fields(found), Fields(expected))]
    HeaderMismatch {
        /// The data file.
        path: PathBuf,
        /// The header that was asked for.
        expected: Vec<String>,
        /// The first row of the file, cut to the record limit. Empty when the file has no row.
        found: Vec<String>,
    },
    /// The header that was asked for cannot be a record.
    #[error("the header cannot be written: {reason}")]
    InvalidHeader {
        /// What is wrong with it.
        reason: InvalidRecord,
    },
    /// The record limit that was asked for is none, or above what one write can carry.
    #[error("a record limit of {asked} bytes is not possible; choose 1 to {max} (RECORD_BYTES_CEILING)")]
    RecordLimit {
        /// What was asked for.
        asked: usize,
        /// The largest limit there is.
        max: usize,
    },
    /// The torn tail could not be saved or cut. What was torn is still in the file, or in both places; opening it
    /// again starts the repair anew.
    #[error("the torn end of {} could not be moved to {}: {source}; make room or give access, then start again",
        path.display(), torn_path.display())]
    Repair {
        /// The data file.
        path: PathBuf,
        /// The file of torn bytes.
        torn_path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is on a network or user-space file system, where neither locks nor appends mean what they mean here.
    #[error("{} is on {file_system}, where two machines can write at once, appends of others overwrite each other and \
        acknowledged records can be lost; use a local disk, or say `allow-remote` if you can do without", path.display())]
    Remote {
        /// The data file.
        path: PathBuf,
        /// What it is on.
        file_system: &'static str,
    },
    /// A sync of the file has failed in an earlier run, and nobody has seen to it since.
    #[error("a sync of {} failed, so what was written after byte {synced} may not be on the disk; \
        see to the disk, then run `lockkeeper file check` on it, which reads what the disk holds", path.display())]
    SyncFailed {
        /// The data file.
        path: PathBuf,
        /// Up to here it is known to be on the disk.
        synced: u64,
    },
    /// The disk does not hold what was written, though it is still in memory.
    #[error("the disk does not hold what was written to {} (from byte {at} on); see to the disk, \
        then run `lockkeeper file repair` on it, which keeps the records before that byte", path.display())]
    NotOnDisk {
        /// The data file.
        path: PathBuf,
        /// The first byte that differs.
        at: u64,
    },
    /// The file is damaged before its tail: cutting there would lose records that were whole.
    #[error("{} is damaged at byte {at} of {bytes} ({what}), which is more than a torn end; look at it with \
        `lockkeeper file check`, and put back a copy or run `lockkeeper file repair --cut` on it", path.display())]
    Damaged {
        /// The data file.
        path: PathBuf,
        /// The first byte that does not fit.
        at: u64,
        /// Its length.
        bytes: u64,
        /// What is wrong there.
        what: String,
    },
    /// The file was written in another format than the one that was asked for.
    #[error("{} was written as {is}, not as {asked}; give it its own format, or use another file", path.display())]
    OtherFormat {
        /// The data file.
        path: PathBuf,
        /// What was asked for.
        asked: FormatKind,
        /// What its checkpoint says.
        is: FormatKind,
    },
    /// The record of the highest fence is lost, so a writer that lost its lock long ago could not be told apart.
    #[error("{} was written under a lock, but {} is missing or damaged, so the highest fence is not known; \
        put it back, or run `lockkeeper file repair --fence-floor N` with an N above every fence that was given out", path.display(),
        checkpoint.display())]
    FloorLost {
        /// The data file.
        path: PathBuf,
        /// The sidecar.
        checkpoint: PathBuf,
    },
    /// A floor was asked for that would let fences write which were shut out before.
    #[error("{}: a fence floor of {asked} is below {known}, which is known; leave it out, or give a higher one", path.display())]
    FloorTooLow {
        /// The data file.
        path: PathBuf,
        /// What was asked for.
        asked: u64,
        /// What is known.
        known: u64,
    },
    /// The sidecar of ids is damaged: what is in the file could be appended again.
    #[error("the record ids of {} cannot be relied on: {reason}; put back a copy of {}.ids, or run `lockkeeper file repair` \
        on it, which keeps those that fit the file: what the lost ones stood for may then be appended once more",
        path.display(), path.display())]
    Ids {
        /// The data file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The lock of the sidecar could not be tried.
    #[error(transparent)]
    Lock(#[from] OsLockError),
    /// The system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a record is not in the file. `E` is the error of the caller's guard.
///
/// After every variant but [`Latched`](AppendError::Latched) the file ends on a whole record, and no byte of the
/// refused records is in it.
#[derive(Debug, thiserror::Error)]
pub enum AppendError<E> {
    /// The guard said no. Nothing was written.
    #[error("the append was refused: {0}")]
    Refused(E),
    /// The guard answered a fence below the floor: its lock was taken away since. Nothing was written.
    #[error("the fence {offered} is stale: {current} or higher is needed; acquire the lock again")]
    Fenced {
        /// What the guard answered.
        offered: u64,
        /// The lowest fence that may still write.
        current: u64,
    },
    /// The bytes are no record of this file's format. Nothing was written.
    #[error("not a record of this file: {0}")]
    Invalid(#[from] InvalidRecord),
    /// The system failed the write, and the file was cut back to its last whole record. A later append may work.
    #[error("cannot append to {}: {source}; nothing of the record is in the file", path.display())]
    Io {
        /// The data file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else changed the file. Nothing was written, and the file is latched from now on.
    #[error("{} was changed by somebody else: {what}; nothing more is written to it in this run", path.display())]
    Changed {
        /// The data file.
        path: PathBuf,
        /// How it differs from what this run has written.
        what: Change,
    },
    /// The file takes no more records in this run, because its end, or what of it is on the disk, is no longer known.
    #[error("{} takes no more records: {cause}; {}", path.display(), cause.advice())]
    Latched {
        /// The data file.
        path: PathBuf,
        /// What latched it.
        cause: LatchCause,
    },
    /// The record would take the file above a quota. Nothing was written; a smaller one may fit.
    #[error("{}: {quota} is {max}; nothing of the record is in the file", path.display())]
    Limit {
        /// The data file.
        path: PathBuf,
        /// Which quota.
        quota: Quota,
        /// Its figure.
        max: u64,
    },
}

/// A quota of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// The bytes of the file, header included.
    Bytes,
    /// The records of the file, header not included.
    Records,
    /// The bytes that have to stay free on its file system.
    Reserve,
    /// The record ids that it may have.
    Ids,
}

impl fmt::Display for Quota {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Quota::Bytes => "the most bytes that it may have (`max-bytes`)",
            Quota::Records => "the most records that it may have (`max-records`)",
            Quota::Reserve => "what has to stay free on its file system (`reserve`)",
            Quota::Ids => "the most record ids that it may have (FileSpec::ids_max)",
        })
    }
}

/// Why nothing is known to be on the disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SyncError {
    /// The file is latched. What was written since the last good sync may or may not survive power loss.
    #[error("{} is not synced: {cause}; {}", path.display(), cause.advice())]
    Latched {
        /// The data file.
        path: PathBuf,
        /// What latched it.
        cause: LatchCause,
    },
    /// What is buffered could not be written. It is kept, and a later sync may work.
    #[error("{} is not synced: {why}", path.display())]
    Refused {
        /// The data file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// Why some bytes, or some fields, are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// The record is above its limit.
    #[error("it has {bytes} bytes or more, above the record limit of {record_bytes_max} (record_bytes_max)")]
    TooLong {
        /// Its size in the file without the newline, or a lower bound of it.
        bytes: usize,
        /// The limit.
        record_bytes_max: usize,
    },
    /// The batch is above its limit.
    #[error("the batch has {bytes} bytes or more, above the batch limit of {batch_bytes_max} (batch_bytes_max)")]
    BatchTooLong {
        /// Its size in the file, or a lower bound of it.
        bytes: usize,
        /// The limit.
        batch_bytes_max: usize,
    },
    /// The batch has more records than are counted.
    #[error(
        "the batch has {records} records, above the limit of {batch_records_max} (BATCH_RECORDS_MAX); \
        append some of them earlier"
    )]
    BatchTooMany {
        /// How many they would be.
        records: u64,
        /// The limit.
        batch_records_max: u64,
    },
    /// The batch holds no record.
    #[error("the batch holds no record")]
    EmptyBatch,
    /// A line break stands where it would end the record (in csv: outside quotes).
    #[error("a line break at byte {at} would end the record; the newline at its end is added by the host")]
    LineBreak {
        /// Its place in the record.
        at: usize,
    },
    /// A csv record without a field; readers skip an empty line.
    #[error("a row needs at least one field")]
    NoFields,
    /// The row has another number of columns than the file.
    #[error("the row has {got} columns, the file has {expected}")]
    Columns {
        /// The columns of the file.
        expected: usize,
        /// The columns of the row.
        got: usize,
    },
    /// A csv quote that does not enclose a whole field; readers disagree on what it means.
    #[error("a quote at byte {at} does not enclose a whole field; quote the field and double the quotes inside")]
    StrayQuote {
        /// Its place in the record.
        at: usize,
    },
    /// The last field of a csv record is quoted and does not end.
    #[error("a quoted field does not end")]
    UnclosedQuote,
    /// A csv record that is not UTF-8 would make the whole file unreadable as text.
    #[error("byte {at} is not UTF-8")]
    NotUtf8 {
        /// The first bad byte.
        at: usize,
    },
    /// A csv record that begins with a byte order mark: as the first of a file, readers would take it off.
    #[error("the record begins with a byte order mark, which readers take off at the start of a file; quote the field")]
    ByteOrderMark,
    /// A row was given to a file whose records are no rows.
    #[error("the file holds no rows of fields; append the record as bytes, or use the format csv")]
    NotRows,
    /// A zero byte in a text format. Zeros are what a power cut leaves, so they must never be part of a record.
    #[error("byte {at} is zero, which a text format cannot hold; use the format framed for arbitrary bytes")]
    Nul {
        /// Its place in the record.
        at: usize,
    },
    /// A record of a jsonl file that is not one JSON value.
    #[error("it is not one JSON value: {reason} (byte {at})")]
    NotJson {
        /// Where it stops being one.
        at: usize,
        /// What the parser said.
        reason: String,
    },
}

/// How a file differs from what its writer has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is shorter.
    Truncated {
        /// What this run has written it to.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// It is longer.
    Grown {
        /// What this run has written it to.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// It has no name any more.
    Unlinked,
    /// Its name belongs to nothing, or to another file.
    Renamed,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Truncated { expected, found } => {
                write!(out, "it was truncated from {expected} bytes to {found}")
            }
            Change::Grown { expected, found } => {
                write!(out, "it has grown from {expected} bytes to {found}")
            }
            Change::Unlinked => write!(out, "it was removed from its directory, or another file has taken its place"),
            Change::Renamed => write!(out, "it was renamed: what was acknowledged is in it, under its new name"),
        }
    }
}

/// Why a file is latched.
#[derive(Debug, Clone)]
pub enum LatchCause {
    /// A write failed half-way, and cutting the file back failed too: its last record may be torn.
    CutFailed {
        /// What the write said.
        write: Arc<io::Error>,
        /// What the cut said.
        cut: Arc<io::Error>,
    },
    /// Somebody else changed the file.
    Changed(Change),
    /// A sync failed: what was written since the last good one may never reach the disk.
    SyncFailed(Arc<io::Error>),
    /// The sidecar of ids could not be brought in line with the file.
    IdsBroken(Arc<io::Error>),
    /// What another host has left of a shared file cannot be gone on with.
    NotTakenUp(Arc<OpenError>),
    /// It was closed; only a wait for a sync can outlive that.
    Closed,
}

impl LatchCause {
    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            LatchCause::CutFailed { .. } | LatchCause::IdsBroken(_) => "open it again, which repairs its end",
            LatchCause::Changed(_) => "see who else writes to it, then open it again",
            LatchCause::NotTakenUp(_) => "see to that, then open it again",
            LatchCause::Closed => "open it again",
            LatchCause::SyncFailed(_) => "see to the disk, then run `lockkeeper file check` on it",
        }
    }
}

impl fmt::Display for LatchCause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LatchCause::CutFailed { write, cut } => {
                write!(out, "a write failed ({write}) and its part could not be cut off ({cut})")
            }
            LatchCause::Changed(what) => write!(out, "somebody else changed it ({what})"),
            LatchCause::NotTakenUp(error) => write!(out, "what another host has left cannot be gone on with ({error})"),
            LatchCause::Closed => write!(out, "it is closed"),
            LatchCause::SyncFailed(error) => {
                write!(
                    out,
                    "a sync failed ({error}), so what was written since the last good one may not be on the disk"
                )
            }
            LatchCause::IdsBroken(error) => {
                write!(out, "its record ids could not be brought in line with it ({error})")
            }
        }
    }
}

/// Fields for a message: at most [`FIELDS_SHOWN_MAX`] of them, each quoted.
struct Fields<'a>(&'a [String]);

/// A header in a message is for a person, who reads no more than this.
const FIELDS_SHOWN_MAX: usize = 32;

/// The same for the characters of one field.
const FIELD_CHARS_SHOWN_MAX: usize = 64;

impl fmt::Display for Fields<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().take(FIELDS_SHOWN_MAX).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match field.char_indices().nth(FIELD_CHARS_SHOWN_MAX) {
                Some((end, _)) => write!(out, "{separator}{:?}..", &field[..end])?,
                None => write!(out, "{separator}{field:?}")?,
            }
        }
        match self.0.len().checked_sub(FIELDS_SHOWN_MAX) {
            Some(more @ 1..) => write!(out, ", and {more} more"),
            Some(0) | None => Ok(()),
        }
    }
}
