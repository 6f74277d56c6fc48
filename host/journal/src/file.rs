//! One append file: its records in order, each whole or absent, each allowed at the moment it is written.
//!
//! The one mutex of a file is the order of its records. Checking and encoding a record happens before it, so a long record
//! does not hold up the others; asking whether the caller may still write happens under it, right before the write, so
//! that nothing can come between the answer and the write.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::elsewhere::{self, Elsewhere};
use crate::error::{AppendError, Change, InvalidRecord, LatchCause, OpenError};
use crate::format::{Encoded, Encoder};
use crate::identity::Registration;
use crate::ids::{Ids, RecordId};
use crate::open::{self, FileSpec, OpenReport};
use crate::storage::{Disk, Held, LocalDisk, Status};
use crate::sync::{Syncing, Syncs};
use crate::turns::{self, Fetched, Turns};
use crate::worker::Worker;
use crate::writer::Writer;

/// When an acknowledged record is safe from what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum Durability {
    /// From nothing: it is in the host's memory, and soon in the file. Lost if the host dies before.
    Buffered,
    /// From the death of the host: it is in the file as every reader sees it. Power loss may take it.
    #[default]
    Written,
    /// From power loss, on a disk that honours flush.
    Synced,
}

/// How records are to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct AppendOptions {
    /// Whether a single record may be kept in memory for a while ([`Durability::Buffered`]), at most for
    /// [`FileSpec::buffered_for`] or until there is enough for one large write. Its quota, its guard and its format are
    /// checked at once. A record with an id, or a batch, is written at once all the same.
    pub buffered: bool,
    /// What these records are called. If records of that id are in the file already nothing is written, and the answer says
    /// so. Only in a file opened with [`FileSpec::ids`].
    pub id: Option<RecordId>,
    /// Who writes, for `framed` files: it stands in each frame.
    pub writer: u64,
}

/// Where a record (or the first of a batch) went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes, newlines or frames included.
    pub len: u64,
    /// Its number among the records of this run, from 1; 0 for one that was there already. Those of a batch are counted on
    /// from it.
    pub sequence: u64,
    /// How many records these are: 1, or the size of the batch.
    pub records: u64,
    /// Whether it is still in memory: lost if the host dies now.
    pub buffered: bool,
    /// Whether records of this id were there already, at this place: nothing was written.
    pub repeated: bool,
}

impl Appended {
    /// Just after its last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The length of the file, up to which all records are whole; buffered ones included.
    pub bytes: u64,
    /// The bytes of it that are known to be on the disk.
    pub synced_bytes: u64,
    /// The records that this run has written, the header not among them.
    pub records: u64,
    /// The bytes of those records.
    pub run_bytes: u64,
}

/// A guard for a file that is bound to no lock: everybody may append.
pub fn unguarded() -> Result<Option<u64>, Infallible> {
    Ok(None)
}

/// A file that this process alone appends to, until it is dropped; or with others that [share](FileSpec::shared) it.
///
/// Hosts that share a file take turns. Offsets are those in the file, and quotas count what all of them have written; the
/// records and bytes of a [`Position`] are those of this one. A record is refused under a fence below one that any of them
/// has written under. A failed sync, of whichever host, is the end for all of them.
///
/// An append is durable as [`Durability::Written`], unless its options say `buffered`; [`sync`](AppendFile::sync) and
/// [`synced`](AppendFile::synced) wait until it is [`Durability::Synced`].
///
/// The host must ignore `SIGXFSZ`, which std does not do for it: otherwise a file size limit (`RLIMIT_FSIZE`) ends the
/// process instead of failing the write.
///
/// Not promised:
/// * that a batch in a text format stays whole through power loss: whole records of its beginning may remain, unless it was
///   synced (through the death of the host it does, and in a framed file through both);
/// * that a record which was refused, because its write had failed, stays away through power loss before the next append: it
///   may be there then, whole;
/// * that a process which does not ask for the lock leaves the file alone. It is found out at the next append that looks
///   ([`FileSpec::look_every`]); what was acknowledged between may stand elsewhere in the file than its answer says;
/// * that a new name of the file is noticed before the next sync, or the next 512 KiB: records follow it until then;
/// * that a reader without the lock sees only whole records: up to its last record end, it does;
/// * any of this on NFS, CIFS or other network file systems.
pub struct AppendFile {
    inner: Arc<Inner>,
    registration: Option<Registration>,
}

/// What waits and threads share of a file.
pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) data: Status,
    pub(crate) encoder: Encoder,
    writer: Mutex<Writer>,
    /// Where the last record ends, buffered ones included. Also known without the writer, which may be in a slow write.
    appended_to: AtomicU64,
    pub(crate) syncs: Syncs,
    pub(crate) syncer: Worker,
    /// For writes to a disk that has proven slow, and for those that have to wait for other hosts.
    pub(crate) writes: Worker,
    /// If other hosts append to the file too.
    pub(crate) turns: Option<Turns>,
    pub(crate) group_window: Duration,
    buffered_for: Duration,
    /// Whether somebody will write the buffer when its time is over.
    flush_is_due: AtomicBool,
    /// How many more writes go to the thread because one has taken long.
    slow: AtomicU32,
    /// Until the file is closed: waits for syncs may outlive that.
    pub(crate) lock: Mutex<Option<Box<dyn Held>>>,
    /// Whether the sidecar says that there have been fences.
    is_fenced: AtomicBool,
}

/// A write that takes longer holds up everybody on its core.
const SLOW_WRITE: Duration = Duration::from_millis(20);

/// For so many writes after a slow one the disk is believed to be slow.
const SLOW_WRITES: u32 = 64;

impl fmt::Debug for AppendFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AppendFile").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Inner").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What an open file is made of.
pub(crate) struct Parts {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) data: Status,
    pub(crate) encoder: Encoder,
    pub(crate) writer: Writer,
    pub(crate) synced: u64,
    pub(crate) group_window: Duration,
    pub(crate) buffered_for: Duration,
    pub(crate) registration: Registration,
    pub(crate) lock: Box<dyn Held>,
    pub(crate) turns: Option<Turns>,
}

impl AppendFile {
    /// Opens a file, repairs its end and writes its header, as `spec` says.
    pub fn open(spec: &FileSpec) -> Result<(AppendFile, OpenReport), OpenError> {
        AppendFile::open_on(&(Arc::new(LocalDisk) as Arc<dyn Disk>), spec)
    }

    /// [`open`](AppendFile::open) on a disk of your own, for tests.
    pub fn open_on(disk: &Arc<dyn Disk>, spec: &FileSpec) -> Result<(AppendFile, OpenReport), OpenError> {
        crate::open::open(disk, spec)
    }

    /// Whether a file could be opened now, without emptying or repairing it. Who opens several asks this of each first,
    /// so that what refuses one costs the others nothing. It may still be refused a moment later.
    pub fn check(spec: &FileSpec) -> Result<(), OpenError> {
        AppendFile::check_on(&LocalDisk, spec)
    }

    /// [`check`](AppendFile::check) on a disk of your own.
    pub fn check_on(disk: &dyn Disk, spec: &FileSpec) -> Result<(), OpenError> {
        crate::open::check(disk, spec)
    }

    pub(crate) fn new(parts: Parts) -> AppendFile {
        let Parts { path, disk, data, encoder, writer, synced, group_window, buffered_for, registration, lock, turns } =
            parts;
        let inner = Inner {
            path,
            disk,
            data,
            encoder,
            appended_to: AtomicU64::new(writer.end()),
            writer: Mutex::new(writer),
            syncs: Syncs::starting_at(synced),
            syncer: Worker::default(),
            writes: Worker::default(),
            turns,
            group_window,
            buffered_for,
            flush_is_due: AtomicBool::new(false),
            slow: AtomicU32::new(0),
            is_fenced: AtomicBool::new(open::says_fenced(&*lock)),
            lock: Mutex::new(Some(lock)),
        };
        AppendFile { inner: Arc::new(inner), registration: Some(registration) }
    }

    /// The first turn at a shared file is that of opening it.
    pub(crate) fn begin_turns(&self) -> io::Result<()> {
        match &self.inner.turns {
            Some(turns) => turns::look_later(&self.inner, turns),
            None => Ok(()),
        }
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
        self.inner.encoder.record(record)
    }

    /// [`encode`](AppendFile::encode) for one csv row.
    pub fn encode_row(&self, fields: &[impl AsRef<str>]) -> Result<Encoded, InvalidRecord> {
        self.inner.encoder.row(fields)
    }

    /// [`encode`](AppendFile::encode) for several records.
    pub fn encode_batch(&self, records: &[impl AsRef<[u8]>]) -> Result<Encoded, InvalidRecord> {
        self.inner.encoder.batch(records)
    }

    /// From now on only `fence` or a higher one may write. Waits for a write in flight, so when this returns, no record
    /// under a lower fence is written any more. A lower floor than the present one changes nothing.
    ///
    /// Who revokes a hold first takes it away (so that guards refuse it), then calls this, and then grants the next.
    pub fn raise_floor(&self, fence: u64) {
        self.inner.writer().raise_floor(fence);
    }

    /// Says which fences may come: those below `end`. Once this has returned, whoever opens the file after a crash lets only
    /// `end` and higher ones write, so a fence of this run can never write in a later one. Call it before fences are given
    /// out, for many at once: it syncs. A fence at or above `end` may write all the same, and costs a checkpoint, which is
    /// synced with the record.
    ///
    /// Of a shared file nothing is reserved, since fences below `end` are given out by other hosts too. There the floor is
    /// the highest fence that has written, and every new one costs a checkpoint.
    pub fn reserve_fences(&self, end: u64) -> io::Result<()> {
        if self.inner.turns.is_some() {
            return Ok(());
        }
        self.inner.say_fenced()?;
        self.inner.writer().reserve_fences(end)?;
        self.inner.sync_checkpoint()
    }

    /// The lowest fence that may still write.
    pub fn floor(&self) -> u64 {
        self.inner.writer().floor()
    }

    /// How far the file has come. Waits for a write in flight.
    pub fn position(&self) -> Position {
        let writer = self.inner.writer();
        let (bytes, records, run_bytes) = (writer.end(), writer.run_records(), writer.run_bytes());
        drop(writer);
        Position { bytes, synced_bytes: self.inner.syncs.synced(), records, run_bytes }
    }

    /// Why the file takes no more records in this run, if so.
    pub fn latched(&self) -> Option<LatchCause> {
        self.inner.writer().latched().cloned()
    }

    /// The path under which it was opened.
    pub fn path(&self) -> &Path {
        &self.inner.path
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
        self.commit_with(encoded, &AppendOptions::default(), guard)
    }

    /// [`commit`](AppendFile::commit), with options. Of a shared file it waits for this host's turn.
    pub fn commit_with<E>(
        &self,
        encoded: &Encoded,
        options: &AppendOptions,
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        loop {
            let writer = self.inner.writer();
            if writer.takes_appends() {
                return self.commit_in(writer, encoded, options, guard);
            }
            drop(writer);
            self.inner.with_turn(turns::fetch_blocking(&self.inner))?;
        }
    }

    /// [`commit_with`](AppendFile::commit_with), if that need not wait: neither for other hosts that share the file, nor for a
    /// disk that has taken long of late. None if it would have to, and then
    /// [`commit_elsewhere`](AppendFile::commit_elsewhere) does it for whoever must not be held up.
    pub fn commit_now<E>(
        &self,
        encoded: &Encoded,
        options: &AppendOptions,
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Option<Result<Appended, AppendError<E>>> {
        let is_slow = self.inner.slow.load(Ordering::Relaxed) > 0;
        if is_slow || self.inner.turns.as_ref().is_some_and(|turns| !turns.is_open()) {
            return None;
        }
        let writer = self.inner.writer();
        writer.takes_appends().then(|| self.commit_in(writer, encoded, options, guard))
    }

    fn commit_in<E>(
        &self,
        writer: MutexGuard<'_, Writer>,
        encoded: &Encoded,
        options: &AppendOptions,
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        let appended = self.inner.commit(writer, encoded, options, guard)?;
        if appended.buffered {
            self.flush_later();
        }
        Ok(appended)
    }

    /// Ends this host's turn at a shared file, for one who knows that nothing will be appended for a while. It ends by
    /// itself soon, too. Waits for what is being written.
    pub fn end_turn(&self) {
        let (done, ended) = mpsc::sync_channel(1);
        let inner = self.inner.clone();
        let posted = self.inner.writes.post(Box::new(move || {
            turns::end_now(&inner);
            let _ = done.send(());
        }));
        if posted.is_ok() {
            // An error says that the thread is gone, and the turn with it.
            let _ = ended.recv();
        }
    }

    /// [`commit_with`](AppendFile::commit_with) on a thread of the file, in this order. If the future is dropped before the thread has come
    /// to it, nothing is written; if it is being written, the drop waits for that. Nothing is buffered, whatever the options
    /// say: who waits for a thread need not wait for the buffer too.
    pub fn commit_elsewhere<E: Send + 'static>(
        &self,
        encoded: Encoded,
        options: AppendOptions,
        guard: impl FnOnce() -> Result<Option<u64>, E> + Send + 'static,
    ) -> Elsewhere<Result<Appended, AppendError<E>>> {
        let (inner, before) = (self.inner.clone(), self.inner.clone());
        let options = AppendOptions { buffered: false, ..options };
        let call = move |fetched| {
            inner.with_turn(fetched)?;
            inner.commit(inner.writer(), &encoded, &options, guard)
        };
        elsewhere::run(&self.inner.writes, move |is_wanted| turns::fetch(&before, is_wanted), call)
    }

    /// Whether records of this id are in the file.
    pub fn has(&self, id: RecordId) -> bool {
        self.inner.writer().ids().is_some_and(|ids| ids.get(id).is_some())
    }

    /// Notes an id for which there are no records, so that [`has`](AppendFile::has) answers yes from now on.
    pub fn note_done(&self, id: RecordId) -> Result<(), AppendError<Infallible>> {
        let options = AppendOptions { id: Some(id), ..AppendOptions::default() };
        self.inner.writer().note_done(&self.inner.path, &options)
    }

    /// Forgets all ids: what comes is a new series, and what is in the file stays.
    pub fn forget_ids(&self) -> Result<(), AppendError<Infallible>> {
        let Inner { disk, path, data, .. } = &*self.inner;
        self.inner.writer().forget_ids(&**disk, path, data)
    }

    /// Writes what is buffered. It survives the death of the host then.
    pub fn flush(&self) -> Result<(), AppendError<Infallible>> {
        self.inner.writer().flush(&self.inner.path)
    }

    /// Waits until everything that has been appended so far is on the disk. Those who wait at the same time share a sync.
    pub fn sync(&self) -> Syncing {
        let (end, ids_too) = {
            let writer = self.inner.writer();
            (writer.end(), writer.ids().is_some_and(Ids::is_dirty))
        };
        if ids_too { Syncing::of_all(self.inner.clone(), end) } else { Syncing::new(self.inner.clone(), end) }
    }

    /// Waits until this record is on the disk, and all before it. Of a record of another file, which may lie behind the end of
    /// this one, no more than what has been appended here.
    pub fn synced(&self, appended: &Appended) -> Syncing {
        // What is not there no sync will ever cover.
        let end = appended.end().min(self.inner.appended_to.load(Ordering::Acquire));
        Syncing::new(self.inner.clone(), end)
    }

    fn flush_later(&self) {
        if self.inner.flush_is_due.swap(true, Ordering::Relaxed) {
            return;
        }
        let inner = self.inner.clone();
        let at = Instant::now() + inner.buffered_for;
        let posted = self.inner.syncer.post_at(at, Box::new(move || inner.flush_now()));
        if posted.is_err() {
            self.inner.flush_now();
        }
    }
}

impl Inner {
    /// What it means for an append how it ended to have a turn begun.
    fn with_turn<E>(&self, fetched: Fetched) -> Result<(), AppendError<E>> {
        let path = self.path.clone();
        match fetched {
            Fetched::Ready => Ok(()),
            Fetched::Failed(source) => Err(AppendError::Io { path, source }),
            Fetched::Closed | Fetched::Unwanted => Err(AppendError::Latched { path, cause: LatchCause::Closed }),
        }
    }

    pub(crate) fn commit<E>(
        &self,
        mut writer: MutexGuard<'_, Writer>,
        encoded: &Encoded,
        options: &AppendOptions,
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        assert!(self.encoder.made(encoded), "records are committed to the file that encoded them");
        // What others write comes in between, so nothing is kept for later.
        let options = &AppendOptions { buffered: options.buffered && self.turns.is_none(), ..*options };
        if let Some(turns) = &self.turns {
            turns.note_use();
        }
        // Two threads may both bring the first row of a file without a header.
        if let Some(columns) = encoded.columns {
            self.encoder.fits(columns)?;
        }
        // Who only adds to the buffer looks at nothing.
        let started = (!options.buffered).then(Instant::now);
        let guard = || {
            let fence = guard()?;
            if fence.is_some()
                && let Err(error) = self.say_fenced()
            {
                tracing::warn!(path = %self.path.display(), %error, "the lock file does not say that there are fences");
            }
            Ok(fence)
        };
        let appended = writer.append(&self.path, encoded, options, started, guard);
        // Also where it failed: a disk that takes long to say no is as slow.
        if let Some(started) = started {
            if started.elapsed() > SLOW_WRITE {
                self.slow.store(SLOW_WRITES, Ordering::Relaxed);
            } else if self.slow.load(Ordering::Relaxed) > 0 {
                self.slow.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let appended = appended?;
        if let Some(columns) = encoded.columns {
            self.encoder.fix_columns(columns);
            writer.fix_columns(columns);
        }
        self.appended_at_least(appended.end());
        let look = writer.is_time_to_look_at_the_name();
        drop(writer);
        if look {
            self.check_name();
        }
        Ok(appended)
    }

    pub(crate) fn appended_at_least(&self, end: u64) {
        self.appended_to.fetch_max(end, Ordering::Release);
    }

    /// Has the disk hold the last checkpoint. As often as a sync of somebody else's fails meanwhile, and may have taken the
    /// news of it from this one, it is written and synced anew.
    pub(crate) fn sync_checkpoint(&self) -> io::Result<()> {
        loop {
            let begun = self.writer().begin_checkpoint_sync()?;
            let Some(sync) = begun else { return Ok(()) };
            if let Err(error) = sync.run() {
                self.writer().checkpoint_lost();
                return Err(error);
            }
            if self.writer().checkpoint_synced(sync.generation) {
                return Ok(());
            }
        }
    }

    /// Leaves a word in the sidecar, so that the loss of the checkpoint with the floor in it is noticed.
    fn say_fenced(&self) -> io::Result<()> {
        if self.is_fenced.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lock) = &mut *lock else { return Ok(()) };
        open::say_fenced(&mut **lock).map_err(|error| io::Error::other(error.to_string()))?;
        self.is_fenced.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A panic of a guard leaves the writer as it was; a panic inside a write leaves the file longer than the writer
    /// believes, which the next append finds out. So a poisoned mutex says nothing.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever appends next meets what was in the way here.
    fn flush_now(&self) {
        self.flush_is_due.store(false, Ordering::Relaxed);
        if let Err(error) = self.writer().flush::<Infallible>(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "buffered records wait in memory");
        }
    }

    /// Whether the file still bears the name under which it was opened. If not, it takes no more.
    pub(crate) fn check_name(&self) {
        let named = self.disk.look(&self.path);
        let what = match named {
            Ok(Some(status)) if status.id == self.data.id => return,
            Ok(Some(_) | None) => Change::Renamed,
            // Who may not look is not told otherwise.
            Err(_) => return,
        };
        let _changed: AppendError<Infallible> = self.writer().changed(&self.path, what);
    }
}

impl Drop for AppendFile {
    fn drop(&mut self) {
        if let Some(turns) = &self.inner.turns {
            turns.close();
        }
        self.inner.writes.close();
        self.inner.syncer.close();
        self.inner.writer().close(&self.inner.path);
        self.inner.syncs.fail(&LatchCause::Closed);
        // The lock goes last: who opens the file next finds it closed.
        drop(self.registration.take());
        drop(self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

const _: fn() = || {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<AppendFile>();
    send_and_sync::<AppendError<InvalidRecord>>();
};
