//! One append file: its records in order, each whole or absent, each allowed at the moment it is written.
//!
//! The one mutex of a file is the order of its records. Checking and encoding a record happens before it, so a long record
//! does not hold up the others; asking whether the caller may still write happens under it, right before the write, so
//! that nothing can come between the answer and the write.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{AppendError, Change, InvalidRecord, LatchCause, OpenError};
use crate::format::{Encoded, Encoder};
use crate::identity::Registration;
use crate::open::{FileSpec, OpenReport};
use crate::os_lock::OsLock;
use crate::storage::{Storage, uninterrupted};

/// Where a record (or the first of a batch) went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes, newlines included.
    pub len: u64,
    /// Its number among the records of this run, from 1. Those of a batch are counted on from it.
    pub sequence: u64,
    /// How many records these are: 1, or the size of the batch.
    pub records: u64,
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The length of the file, up to which all records are whole.
    pub bytes: u64,
    /// The records that this run has written, the header not among them.
    pub records: u64,
    /// The bytes of those records.
    pub run_bytes: u64,
}

/// A guard for a file that is bound to no lock: everybody may append.
pub fn unguarded() -> Result<Option<u64>, Infallible> {
    Ok(None)
}

/// A file that this process alone appends to, until it is dropped.
///
/// An append is durable as `written`: when it returns, the record survives the death of the host process. Power loss may
/// take it.
///
/// The host must ignore `SIGXFSZ`, which std does not do for it: otherwise a file size limit (`RLIMIT_FSIZE`) ends the
/// process instead of failing the write.
///
/// Not promised:
/// * that a batch stays whole when the host is killed during its write: whole records of its beginning may remain;
/// * that a process which does not ask for the lock leaves the file alone. It is found out at the next append;
/// * that the file keeps its name while it is open: records follow it when it is renamed;
/// * that a reader without the lock sees only whole records: up to its last record end, it does;
/// * any of this on NFS, CIFS or other network file systems.
pub struct AppendFile {
    // The order of the fields is the order in which they are let go: the lock goes last.
    path: PathBuf,
    encoder: Encoder,
    writer: Mutex<Writer>,
    _registration: Option<Registration>,
    _lock: Option<OsLock>,
}

impl fmt::Debug for AppendFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AppendFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AppendFile {
    /// Opens a file, repairs its end and writes its header, as `spec` says.
    pub fn open(spec: &FileSpec) -> Result<(AppendFile, OpenReport), OpenError> {
        crate::open::open(spec)
    }

    /// Whether a file could be opened now, without emptying or repairing it. Who opens several asks this of each first,
    /// so that what refuses one costs the others nothing. It may still be refused a moment later.
    pub fn check(spec: &FileSpec) -> Result<(), OpenError> {
        crate::open::check(spec)
    }

    pub(crate) fn new(
        path: PathBuf,
        encoder: Encoder,
        writer: Writer,
        registration: Option<Registration>,
        lock: Option<OsLock>,
    ) -> AppendFile {
        AppendFile { path, encoder, writer: Mutex::new(writer), _registration: registration, _lock: lock }
    }

    /// Appends one record, given without the newline at its end.
    ///
    /// `guard` is asked under the file's mutex, right before the write, whether the caller may write: an error refuses the
    /// record, `Ok(Some(fence))` allows it under this fence unless the floor is higher, `Ok(None)` allows it under no
    /// fence. A fence above the floor raises it. The guard may take other locks, but must not call this file.
    pub fn append<E>(
        &self,
        record: &[u8],
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        self.commit(&self.encode(record)?, guard)
    }

    /// Appends one csv row; its fields are quoted here. Otherwise as [`append`](AppendFile::append).
    pub fn append_row<E>(
        &self,
        fields: &[impl AsRef<str>],
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        self.commit(&self.encode_row(fields)?, guard)
    }

    /// Appends several records with one write: all of them, or none. Otherwise as [`append`](AppendFile::append).
    pub fn append_batch<E>(
        &self,
        records: &[impl AsRef<[u8]>],
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        self.commit(&self.encode_batch(records)?, guard)
    }

    /// Checks one record and makes it into bytes, to be written by [`commit`](AppendFile::commit) now or later.
    pub fn encode(&self, record: &[u8]) -> Result<Encoded, InvalidRecord> {
        self.encoder.record(record)
    }

    /// [`encode`](AppendFile::encode) for one csv row.
    pub fn encode_row(&self, fields: &[impl AsRef<str>]) -> Result<Encoded, InvalidRecord> {
        self.encoder.row(fields)
    }

    /// [`encode`](AppendFile::encode) for several records.
    pub fn encode_batch(&self, records: &[impl AsRef<[u8]>]) -> Result<Encoded, InvalidRecord> {
        self.encoder.batch(records)
    }

    /// From now on only `fence` or a higher one may write. Waits for a write in flight, so when this returns, no record
    /// under a lower fence is written any more. A lower floor than the present one changes nothing.
    ///
    /// Who revokes a hold first takes it away (so that guards refuse it), then calls this, and then grants the next.
    pub fn raise_floor(&self, fence: u64) {
        let mut writer = self.writer();
        writer.floor = writer.floor.max(fence);
    }

    /// The lowest fence that may still write.
    pub fn floor(&self) -> u64 {
        self.writer().floor
    }

    /// How far the file has come. Waits for a write in flight.
    pub fn position(&self) -> Position {
        let writer = self.writer();
        Position { bytes: writer.len, records: writer.records, run_bytes: writer.run_bytes }
    }

    /// Why the file takes no more records in this run, if so.
    pub fn latched(&self) -> Option<LatchCause> {
        match &self.writer().health {
            Health::Good => None,
            Health::Latched(cause) => Some(cause.clone()),
        }
    }

    /// The path under which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what this file has encoded: all of it with one write, or nothing. `guard` as in
    /// [`append`](AppendFile::append).
    ///
    /// # Panics
    ///
    /// If another file has encoded it: its bytes may mean other records here.
    pub fn commit<E>(
        &self,
        encoded: &Encoded,
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        assert!(self.encoder.made(encoded), "records are committed to the file that encoded them");
        let mut writer = self.writer();
        writer.check(&self.path)?;
        // Two threads may both bring the first row of a file without a header.
        if let Some(columns) = encoded.columns {
            self.encoder.fits(columns)?;
        }
        if let Some(fence) = guard().map_err(AppendError::Refused)? {
            writer.pass(fence)?;
        }
        let offset = writer.append_whole(&self.path, &encoded.bytes)?;
        if let Some(columns) = encoded.columns {
            self.encoder.fix_columns(columns);
        }
        let sequence = writer.records + 1;
        writer.records += encoded.records;
        writer.run_bytes += encoded.bytes.len() as u64;
        Ok(Appended { offset, len: encoded.bytes.len() as u64, sequence, records: encoded.records })
    }

    /// A panic of a guard leaves the writer as it was; a panic inside a write leaves the file longer than the writer
    /// believes, which the next append finds out. So a poisoned mutex says nothing.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file takes records.
///
/// | state | meaning | who may leave it |
/// |---|---|---|
/// | `Good` | the file ends on a whole record at `len`, as far as we know | a failed cut, a change by others |
/// | `Latched` | its end is not known to be whole, or not ours; nothing is written | nobody; a new run opens it afresh |
enum Health {
    Good,
    Latched(LatchCause),
}

/// What is behind a file's mutex.
pub(crate) struct Writer {
    storage: Box<dyn Storage>,
    health: Health,
    /// The last good length: just after the last whole record.
    len: u64,
    records: u64,
    run_bytes: u64,
    floor: u64,
}

impl Writer {
    /// `len` is the length of the file, which ends on a whole record.
    pub(crate) fn new(storage: Box<dyn Storage>, len: u64) -> Writer {
        Writer { storage, health: Health::Good, len, records: 0, run_bytes: 0, floor: 0 }
    }

    /// Whether the file is as this writer left it.
    fn check<E>(&mut self, path: &Path) -> Result<(), AppendError<E>> {
        if let Health::Latched(cause) = &self.health {
            return Err(AppendError::Latched { path: path.to_owned(), cause: cause.clone() });
        }
        let status = uninterrupted(|| self.storage.status())
            .map_err(|source| AppendError::Io { path: path.to_owned(), source })?;
        let what = if status.unlinked {
            Change::Unlinked
        } else if status.len < self.len {
            Change::Truncated { expected: self.len, found: status.len }
        } else if status.len > self.len {
            Change::Grown { expected: self.len, found: status.len }
        } else {
            return Ok(());
        };
        self.health = Health::Latched(LatchCause::Changed(what));
        Err(AppendError::Changed { path: path.to_owned(), what })
    }

    fn pass<E>(&mut self, fence: u64) -> Result<(), AppendError<E>> {
        if fence < self.floor {
            return Err(AppendError::Fenced { offered: fence, current: self.floor });
        }
        self.floor = fence;
        Ok(())
    }

    /// Writes all of `bytes` or cuts the file back. Answers the offset.
    pub(crate) fn append_whole<E>(&mut self, path: &Path, bytes: &[u8]) -> Result<u64, AppendError<E>> {
        let path = || path.to_owned();
        let Err(source) = self.put(bytes) else {
            let offset = self.len;
            self.len += bytes.len() as u64;
            return Ok(offset);
        };
        match self.cut_back() {
            Ok(()) => Err(AppendError::Io { path: path(), source }),
            Err(cut) => {
                let cause = LatchCause::CutFailed { write: Arc::new(source), cut: Arc::new(cut) };
                self.health = Health::Latched(cause.clone());
                Err(AppendError::Latched { path: path(), cause })
            }
        }
    }

    /// One write. If the kernel took a part of it without an error, one more for the rest, which either completes the
    /// record or tells why it cannot be.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut taken = 0;
        for _ in 0..2 {
            let rest = &bytes[taken..];
            let more = uninterrupted(|| self.storage.append(rest))?;
            assert!(more <= rest.len(), "a write takes no more than it is given");
            taken += more;
            if taken == bytes.len() {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::WriteZero, format!("only {taken} of {} bytes were taken", bytes.len())))
    }

    /// Back to the last good length; an error unless the file is known to be there.
    fn cut_back(&mut self) -> io::Result<()> {
        uninterrupted(|| self.storage.truncate(self.len))?;
        let status = uninterrupted(|| self.storage.status())?;
        if status.len != self.len {
            return Err(io::Error::other(format!(
                "the file has {} bytes after it was cut to {}",
                status.len, self.len
            )));
        }
        Ok(())
    }
}

/// What a header that cannot be written is to the one who opens.
pub(crate) fn header_error(error: AppendError<Infallible>) -> OpenError {
    match error {
        AppendError::Refused(never) => match never {},
        AppendError::Io { path, source } => OpenError::Io { action: "write the header of", path, source },
        AppendError::Latched { path, cause } => {
            OpenError::Io { action: "write the header of", path, source: io::Error::other(cause.to_string()) }
        }
        AppendError::Changed { path, what } => {
            OpenError::Io { action: "write the header of", path, source: io::Error::other(what.to_string()) }
        }
        AppendError::Invalid(reason) => OpenError::InvalidHeader { reason },
        AppendError::Fenced { offered, current } => {
            unreachable!("a header has no fence ({offered}, {current})")
        }
    }
}

const _: fn() = || {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<AppendFile>();
    send_and_sync::<AppendError<InvalidRecord>>();
};
