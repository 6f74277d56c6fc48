//! How a file is opened for appending: lock, look, repair, and only then write.
//!
//! The order is the point. Nothing is made or changed before the path is known to name a regular file or nothing; the file
//! is not looked into before its lock is held; it is not changed before everything that can refuse it has been asked; and
//! the sidecar says that we write to it before we do.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, Mark, State};
use crate::error::OpenError;
use crate::file::{AppendFile, Parts};
use crate::format::{Encoded, Encoder, Format};
use crate::identity::{self, Birth, Registration};
use crate::ids::Ids;
use crate::os_lock::{Holder, OsLockError};
use crate::recover::{self, Settled};
use crate::room::Room;
use crate::storage::{Access, Disk, FileKind, Held, Lock, Status, Storage, uninterrupted};
use crate::turns::{self, Turns};
use crate::writer::{Beginning, Quotas, Writer};

/// The default limit of a record without its newline.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The default limit of a batch with its newlines.
pub const BATCH_BYTES_MAX: usize = 16 << 20;

/// The largest record or batch limit that may be asked for: a single write takes no more than about twice this.
pub const RECORD_BYTES_CEILING: usize = 1 << 30;

/// The default limit of ids in a file. Each takes 64 bytes of the disk, and about as many of this process's memory for as long
/// as the file is open, which whoever invents ids for one-byte records would otherwise fill.
pub const IDS_PER_FILE_MAX: u64 = 10_000_000;

/// How long a buffered record stays in memory if nothing else comes.
const BUFFERED_FOR: Duration = Duration::from_millis(100);

/// A look costs half of what a small write does, and whoever cuts a file can as well do it right after the look.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Long enough that the change from one host to another costs little of it, and short enough for whoever waits.
const COHORT: Duration = Duration::from_millis(5);

/// How much disk is set aside ahead of a file that is synced.
const SET_ASIDE_BYTES: u64 = 1 << 20;

/// What to do with a file that exists and is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Go on after its last whole record.
    Append,
    /// Empty it. What it held is gone as soon as the file is open.
    Replace,
    /// Refuse it.
    Refuse,
}

/// What to do if the directory of the file is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parents {
    /// Make it, and those above it.
    Create,
    /// Refuse.
    MustExist,
}

/// Which file to open, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileSpec {
    /// Where it is. Beside it lie `<path>.lock`, `<path>.checkpoint`, `<path>.torn` once something was torn, `<path>.ids` if
    /// records have ids, and `<path>.turn` if it is shared.
    pub path: PathBuf,
    /// What its records look like.
    pub format: Format,
    /// What to do if there is something in it.
    pub if_exists: IfExists,
    /// What to do if its directory is missing.
    pub parents: Parents,
    /// The limit of a record without its newline.
    pub record_bytes_max: usize,
    /// The limit of a batch with its newlines.
    pub batch_bytes_max: usize,
    /// What other processes are told about who writes the file, for example the command line.
    pub holder: String,
    /// Whether records may have ids ([`AppendOptions::id`](crate::AppendOptions::id)). They are kept in `<path>.ids`.
    pub ids: bool,
    /// The most ids that it may have.
    pub ids_max: u64,
    /// The most bytes that the file may have, header included.
    pub bytes_max: Option<u64>,
    /// The most records that it may have, header not included.
    pub records_max: Option<u64>,
    /// What has to stay free on its file system.
    pub reserve_bytes: u64,
    /// Whether it may be on a network or user-space file system, where nothing is promised.
    pub allow_remote: bool,
    /// How long a buffered record may stay in memory.
    pub buffered_for: Duration,
    /// How long a sync waits for more who want one. Zero is best unless a disk is slow and few wait: who comes while one
    /// sync runs shares the next.
    pub group_window: Duration,
    /// How many bytes of disk are set aside ahead of the end once somebody syncs; given back when the file is closed.
    pub set_aside_bytes: u64,
    /// For how long a look at the file (has somebody else changed it?) is good. Zero: every append looks. An append with an
    /// id, and a batch, looks in any case.
    pub look_every: Duration,
    /// Whether other hosts may append to it as well, those that say the same. They take turns; each writes for a while and
    /// then lets the next one. Such a file has no ids, is never emptied by a host that opens it, and buffers nothing.
    pub shared: bool,
    /// How long this host goes on writing to a shared file while another one waits.
    pub cohort: Duration,
}

impl FileSpec {
    /// Appends to the file if it exists, in a directory that exists, with the default limits.
    pub fn new(path: impl Into<PathBuf>, format: Format, holder: impl Into<String>) -> FileSpec {
        FileSpec {
            path: path.into(),
            format,
            if_exists: IfExists::Append,
            parents: Parents::MustExist,
            record_bytes_max: RECORD_BYTES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            holder: holder.into(),
            ids: false,
            ids_max: IDS_PER_FILE_MAX,
            bytes_max: None,
            records_max: None,
            reserve_bytes: 0,
            allow_remote: false,
            buffered_for: BUFFERED_FOR,
            group_window: Duration::ZERO,
            set_aside_bytes: SET_ASIDE_BYTES,
            look_every: LOOK_EVERY,
            shared: false,
            cohort: COHORT,
        }
    }
}

/// What was found, and done, when a file was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The records that the file held before this run, the header not among them.
    pub records_before: u64,
    /// The bytes that the file held before this run, after the repair; none if it was made or replaced.
    pub bytes_before: u64,
    /// What a torn record left, if one was found.
    pub torn: Option<Torn>,
    /// The bytes that were in a file that was replaced.
    pub replaced_bytes: u64,
    /// Whether the file was made.
    pub created: bool,
    /// Whether this run has written the header.
    pub header_written: bool,
    /// How much of the file was read to find its end.
    pub bytes_read: u64,
    /// Whether the checkpoint could be used: if not, all of the file was read.
    pub checkpoint: CheckpointUse,
    /// The lowest fence that may write.
    pub floor: u64,
    /// The ids that the file has, if it has any.
    pub ids: Option<IdsReport>,
}

/// What the checkpoint of a file was good for when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointUse {
    /// The file was read from the last place that it knew.
    Used,
    /// There was none, so all of the file was read.
    Missing,
    /// It could not be read, so all of the file was.
    Unreadable,
    /// It is that of another file, or the file was changed by others since, so all of it was read.
    Stale,
}

/// The ids of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdsReport {
    /// How many there are.
    pub known: u64,
    /// How many were dropped because their records are not in the file: the host died before it wrote them.
    pub dropped: u64,
}

/// A torn end that was cut off and saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Where it began.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// Why it is no whole record.
    pub reason: String,
    /// The file at whose end it now is.
    pub saved_to: PathBuf,
}

/// The endings of what lies beside a file.
pub(crate) const LOCK: &str = ".lock";
pub(crate) const CHECKPOINT: &str = ".checkpoint";
pub(crate) const TORN: &str = ".torn";
pub(crate) const IDS: &str = ".ids";
pub(crate) const TURN: &str = ".turn";

/// The path with something after the file name: `out.csv` and `.lock` is `out.csv.lock`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn open(disk: &Arc<dyn Disk>, spec: &FileSpec) -> Result<(AppendFile, OpenReport), OpenError> {
    let path = &spec.path;
    let encoder = examine(&**disk, spec)?;
    make_parents(&**disk, spec)?;
    if !spec.allow_remote {
        refuse_remote(&**disk, path)?;
    }

    let mut lock = lock(&**disk, spec)?;
    let (storage, status, created) = open_data(&**disk, path)?;
    check_regular(path, &status)?;
    if status.links > 1 {
        return Err(OpenError::Linked { path: path.clone(), links: status.links });
    }
    let registration = Registration::enter(status.id, path).map_err(|open_as| already_open(path, open_as))?;
    let line = match spec.shared {
        true => Some(turns::line(&**disk, path, &status)?),
        false => None,
    };
    let is_ours = match &line {
        Some(line) => turns::wait_for(&**line, &*storage, turns::OPEN_PATIENCE),
        None => storage.try_lock(),
    };
    match is_ours {
        Ok(true) => {}
        Ok(false) if line.is_some() => {
            let note = disk.read_note(&beside(path, LOCK))?;
            return Err(OpenError::Busy { path: path.clone(), holder: note.and_then(|note| note.holder) });
        }
        // Somebody removed the sidecar that guards it, and the one who has the file does not know.
        Ok(false) => return Err(OpenError::Busy { path: path.clone(), holder: None }),
        Err(source) => return Err(io_error("lock", path)(source)),
    }
    if spec.shared {
        // What others have noted since it was read: they may do so only under the file's own lock.
        lock.renew().inspect_err(|_| storage.unlock())?;
    }
    // It may have grown while its lock was waited for.
    let len = storage.status().map_err(io_error("examine", path)).inspect_err(|_| storage.unlock())?.len;
    let status = Status { len, ..status };
    let begun = begin(&**disk, spec, &storage, &status, &mut *lock, &encoder, created);
    let Begun { checkpoint, state, ids, report } = begun.inspect_err(|_| storage.unlock())?;

    let synced = state.synced.at;
    let writer = Writer::new(Beginning {
        storage,
        checkpoint,
        state,
        ids,
        quotas: Quotas {
            bytes_max: spec.bytes_max,
            records_max: spec.records_max,
            reserve_bytes: spec.reserve_bytes,
            ids_max: spec.ids_max,
        },
        header_rows: header_rows(spec),
        room: Room::of(status.id.device),
        // What one host has set aside, another one would have to give back.
        set_aside_bytes: if spec.shared { 0 } else { spec.set_aside_bytes },
        look_every: spec.look_every,
    });
    let file = AppendFile::new(Parts {
        path: path.clone(),
        disk: disk.clone(),
        data: status,
        encoder,
        writer,
        synced,
        group_window: spec.group_window,
        buffered_for: spec.buffered_for,
        registration,
        lock,
        turns: line.map(|line| Turns::new(line, spec.clone())),
    });
    file.begin_turns().map_err(io_error("start a thread for", path))?;
    Ok((file, report))
}

/// What a host begins to write with.
pub(crate) struct Begun {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) state: State,
    pub(crate) ids: Option<Ids>,
    pub(crate) report: OpenReport,
}

fn header_rows(spec: &FileSpec) -> u64 {
    u64::from(matches!(&spec.format, Format::Csv { header } if !header.is_empty()))
}

/// Brings a file, which nobody else can write meanwhile, to where this host can begin to: it ends on a whole record, has
/// its header, and what lies beside it says that it is ours.
pub(crate) fn begin(
    disk: &dyn Disk,
    spec: &FileSpec,
    storage: &Arc<dyn Storage>,
    status: &Status,
    lock: &mut dyn Held,
    encoder: &Encoder,
    created: bool,
) -> Result<Begun, OpenError> {
    let path = &spec.path;
    let Settled { mut checkpoint, mut state, ids, mut report, to_sync, had_ids } =
        recover::settle(disk, spec, storage, status, lock, encoder, created)?;
    let header = encoded_header(spec, encoder)?.filter(|_| state.latest.at == 0);
    let in_doubt = to_sync || header.is_some();
    let before_sync = State { syncing: in_doubt, ids: had_ids, ..state.clone() };
    let noted = checkpoint.write_durably(&before_sync).and_then(|()| uninterrupted(|| disk.sync_dir(dir_of(path))));
    noted.map_err(io_error("write the checkpoint of", path))?;
    let is_fenced = state.floor > 0 || (says_fenced(lock) && says_ours(lock, status));
    vouch(lock, status, is_fenced)?;

    if let Some(header) = header {
        // Synced with the name of the file: a header is no record, so no id stands for it.
        let append = || {
            let taken = uninterrupted(|| storage.append(&header.bytes))?;
            if taken < header.bytes.len() {
                uninterrupted(|| storage.append(&header.bytes[taken..]))?;
            }
            if storage.status()?.len != header.bytes.len() as u64 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok(())
        };
        append().map_err(|source| {
            // Half a header would be cut off by the next run; now is better, if the disk lets us.
            match uninterrupted(|| storage.truncate(0)) {
                Ok(()) | Err(_) => io_error("write the header of", path)(source),
            }
        })?;
        let columns = header.columns.expect("a header is a row");
        encoder.fix_columns(columns);
        state.columns = columns as u64;
        let mark = Mark::of(&**storage, header.bytes.len() as u64, 1, state.latest.sequence, state.latest.ids);
        state.latest = mark.map_err(io_error("read", path))?;
        report.header_written = true;
    }
    if in_doubt {
        let latched = State { latched: true, ..before_sync };
        recover::sync_or_latch(path, &**storage, || checkpoint.write_durably(&latched))?;
        state.synced = state.latest;
        checkpoint.write_durably(&state).map_err(io_error("write the checkpoint of", path))?;
    }
    Ok(Begun { checkpoint, state, ids, report })
}

/// Whether a file could be opened, as far as that can be said without changing it or what lies beside it, but for its
/// sidecar.
pub(crate) fn check(disk: &dyn Disk, spec: &FileSpec) -> Result<(), OpenError> {
    examine(disk, spec)?;
    let there = disk.look(&spec.path).map_err(io_error("examine", &spec.path))?;
    if there.is_some() {
        if !spec.allow_remote {
            refuse_remote(disk, &spec.path)?;
        }
        drop(lock(disk, spec)?);
    }
    Ok(())
}

/// What can be said of a file before anything is made, locked or looked into.
fn examine(disk: &dyn Disk, spec: &FileSpec) -> Result<Encoder, OpenError> {
    let path = &spec.path;
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(OpenError::NoFileName { path: path.clone() });
    }
    let encoder = encoder(spec)?;
    encoded_header(spec, &encoder)?;
    if spec.shared {
        refuse_to_share(disk, spec)?;
    }
    refuse_odd(disk, path)?;
    Ok(encoder)
}

/// Refuses what one host cannot know of another.
fn refuse_to_share(disk: &dyn Disk, spec: &FileSpec) -> Result<(), OpenError> {
    let refused = |why| Err(OpenError::NotToBeShared { path: spec.path.clone(), why });
    if spec.ids {
        return refused("its record ids are known to the host that wrote them alone; leave out the ids");
    }
    match spec.if_exists {
        IfExists::Append => {}
        IfExists::Replace => return refused("replacing it would take away what the other hosts write; append to it"),
        IfExists::Refuse => return refused("whichever host came second would be refused; append to it"),
    }
    let ids_path = beside(&spec.path, IDS);
    match disk.look(&ids_path).map_err(io_error("examine", &ids_path))? {
        None => Ok(()),
        Some(_) => refused("its records have ids (see the .ids file beside it); use another file"),
    }
}

fn encoder(spec: &FileSpec) -> Result<Encoder, OpenError> {
    for asked in [spec.record_bytes_max, spec.batch_bytes_max] {
        if asked == 0 || asked > RECORD_BYTES_CEILING {
            return Err(OpenError::RecordLimit { asked, max: RECORD_BYTES_CEILING });
        }
    }
    Ok(Encoder::new(&spec.format, spec.record_bytes_max, spec.batch_bytes_max))
}

fn encoded_header(spec: &FileSpec, encoder: &Encoder) -> Result<Option<Encoded>, OpenError> {
    match &spec.format {
        Format::Csv { header } if !header.is_empty() => {
            encoder.row(header).map(Some).map_err(|reason| OpenError::InvalidHeader { reason })
        }
        Format::Csv { .. } | Format::Lines | Format::Jsonl | Format::Framed => Ok(None),
    }
}

/// Refuses what is no regular file before anything is made beside it, and before opening it, which may have effects.
fn refuse_odd(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    match disk.look(path).map_err(io_error("examine", path))? {
        Some(status) => {
            check_regular(path, &status)?;
            match identity::open_as(status.id) {
                Some(open_as) => Err(already_open(path, open_as)),
                None => Ok(()),
            }
        }
        None => Ok(()),
    }
}

pub(crate) fn check_regular(path: &Path, status: &Status) -> Result<(), OpenError> {
    let kind = match status.kind {
        FileKind::Regular => return Ok(()),
        FileKind::SymbolicLink => return Err(OpenError::SymbolicLink { path: path.to_owned() }),
        FileKind::Directory => "a directory",
        FileKind::Pipe => "a pipe",
        FileKind::Socket => "a socket",
        FileKind::Device => "a device",
    };
    Err(OpenError::NotRegular { path: path.to_owned(), kind })
}

fn make_parents(disk: &dyn Disk, spec: &FileSpec) -> Result<(), OpenError> {
    match (spec.parents, spec.path.parent()) {
        (Parents::Create, Some(parent)) if !parent.as_os_str().is_empty() => {
            disk.make_dirs(parent).map_err(io_error("make the directory", parent))
        }
        (Parents::Create, Some(_) | None) | (Parents::MustExist, _) => Ok(()),
    }
}

/// Refuses a network or user-space file system. To be asked before anything is locked or written there.
pub(crate) fn refuse_remote(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    let dir = dir_of(path);
    match disk.remote(dir) {
        Ok(Some(file_system)) => Err(OpenError::Remote { path: path.to_owned(), file_system }),
        Ok(None) => Ok(()),
        // Whoever opens the file says it better.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error("examine the file system of", dir)(source)),
    }
}

pub(crate) fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn lock(disk: &dyn Disk, spec: &FileSpec) -> Result<Box<dyn Held>, OpenError> {
    let (path, lock_path) = (&spec.path, beside(&spec.path, LOCK));
    let tried = match spec.shared {
        true => disk.share(&lock_path, &spec.holder)?,
        false => disk.lock(&lock_path, &spec.holder)?,
    };
    match tried {
        Lock::Held(lock) => Ok(lock),
        Lock::Busy(holder) => {
            // Another thread of ours may have opened it just now.
            refuse_odd(disk, path)?;
            Err(busy(disk, path, holder, spec.shared)?)
        }
    }
}

/// Who is in the way: one host that has the file to itself, or some that share it.
pub(crate) fn busy(
    disk: &dyn Disk,
    path: &Path,
    holder: Option<Holder>,
    to_share: bool,
) -> Result<OpenError, OpenError> {
    let path = path.to_owned();
    if to_share {
        return Ok(OpenError::NotShared { path, holder });
    }
    Ok(match disk.share(&beside(&path, LOCK), "")? {
        // Only those who share it let us share it.
        Lock::Held(_) => OpenError::Shared { path, holder },
        Lock::Busy(_) => OpenError::Busy { path, holder },
    })
}

/// What an ordinary file is made with; the user's mask takes its part away.
const NEW_FILE_MODE: u32 = 0o666;

/// Opens the file, or makes it, and says what it is.
fn open_data(disk: &dyn Disk, path: &Path) -> Result<(Arc<dyn Storage>, Status, bool), OpenError> {
    let opened = match uninterrupted(|| disk.open(path, Access::Append)) {
        Ok(file) => Ok((file, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let access = Access::CreateAppend { mode: NEW_FILE_MODE };
            match uninterrupted(|| disk.open(path, access)) {
                // Another one that shares it has made it just now.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    uninterrupted(|| disk.open(path, Access::Append)).map(|file| (file, false))
                }
                made => made.map(|file| (file, true)),
            }
        }
        Err(error) => Err(error),
    };
    let (storage, created) = opened.map_err(|source| {
        // Say what stands there rather than what the system calls it.
        let odd = disk.look(path).ok().flatten().and_then(|status| check_regular(path, &status).err());
        odd.unwrap_or_else(|| io_error("open", path)(source))
    })?;
    let named = disk.look(path).map_err(io_error("examine", path))?;
    let open = storage.status().map_err(io_error("examine", path))?;
    match named {
        Some(status) if status.id == open.id => Ok((storage, status, created)),
        Some(status) => {
            check_regular(path, &status)?;
            Err(io_error("open", path)(io::Error::other("another file took its place meanwhile")))
        }
        None => Err(io_error("open", path)(io::Error::other("it was removed meanwhile"))),
    }
}

/// Which file a lock file vouches for, and whether it was written under fences.
fn written_mark(status: &Status, fenced: bool) -> String {
    format!("wrote {}{}", Birth::of(status), if fenced { FENCED } else { "" })
}

const FENCED: &str = " fenced";

/// Whether the sidecar says that the file is ours.
pub(crate) fn says_ours(lock: &dyn Held, status: &Status) -> bool {
    lock.mark().is_some_and(|mark| mark.strip_suffix(FENCED).unwrap_or(mark) == written_mark(status, false))
}

/// Whether the sidecar says that there have been fences.
pub(crate) fn says_fenced(lock: &dyn Held) -> bool {
    lock.mark().is_some_and(|mark| mark.ends_with(FENCED))
}

/// Has the sidecar say so.
pub(crate) fn say_fenced(lock: &mut dyn Held) -> Result<(), OsLockError> {
    let mark = lock.mark().unwrap_or_default().to_owned();
    if mark.ends_with(FENCED) { Ok(()) } else { lock.set_mark(&(mark + FENCED)) }
}

/// Says in the sidecar that we write to this file, so that a later run may cut what we leave torn.
pub(crate) fn vouch(lock: &mut dyn Held, status: &Status, fenced: bool) -> Result<(), OpenError> {
    let mark = written_mark(status, fenced);
    if lock.mark() != Some(&mark) {
        lock.set_mark(&mark)?;
    }
    Ok(())
}

fn already_open(path: &Path, open_as: PathBuf) -> OpenError {
    OpenError::AlreadyOpen { path: path.to_owned(), open_as }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}
