//! What is in an append file, and is it whole; and mending what opening it would refuse.
//!
//! [`check`] writes nothing, so that it works on a read-only mount and on files of others, with one exception: after a sync
//! has failed, or a host died while it synced, it reads what the disk holds past the page cache, and if that is what was
//! written, and nothing is wrong with it, lifts the latch. [`repair`] cuts, drops and decides
//! where opening the file must not.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{Batch, Checkpoint, Mark, State, Stood};
use crate::error::OpenError;
use crate::identity::{Birth, Registration};
use crate::ids::{Ids, IdsError};
use crate::open::{
    CHECKPOINT, IDS, LOCK, TURN, Torn, beside, busy, check_regular, io_error, refuse_remote, says_fenced, vouch,
};
use crate::os_lock::{Note, OsLockError};
use crate::reader::detect;
use crate::recover::{Base, Known, is_in_doubt, sync_or_latch};
use crate::scan::{self, Fault, FormatKind, Found, Oddities, Scan, Start};
use crate::storage::{Access, Disk, FileKind, Held, Lock, Status, Storage, uninterrupted, verify_disk};
use crate::tail;
use crate::turns;

/// What is beside a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointFound {
    /// No checkpoint: opening the file reads all of it.
    Missing,
    /// One that cannot be read.
    Unreadable,
    /// That of another file, whose place this one took.
    OfAnotherFile,
    /// The file was changed by others since.
    Stale,
    /// One that fits: opening the file reads what lies behind `at`.
    Fits {
        /// Up to here the file is known.
        at: u64,
        /// Up to here it is known to be on the disk.
        synced: u64,
    },
}

/// What the lock file of a checked file was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockFileFound {
    /// There is none: no writer of ours has had the file.
    Missing,
    /// It says whether the file is ours, and whether there were fences.
    Read,
    /// This user may not read it, so what it says is not known. That nobody writes the file is known from its own lock.
    Forbidden,
}

/// What is known about the ids of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdsFound {
    /// Ids whose records are in the file as they were written.
    pub fitting: u64,
    /// Ids whose records are not in the file; opening it drops them.
    pub without_records: u64,
    /// Entries that cannot be read.
    pub damaged: u64,
    /// Ids that the checkpoint counts and that are not there.
    pub missing: u64,
}

/// What [`check`] has found.
#[derive(Debug)]
pub struct CheckReport {
    /// What its records look like, as asked for or as found.
    pub format: FormatKind,
    /// Its length.
    pub bytes: u64,
    /// Up to here it is whole: opening it cuts what lies behind, unless it is refused.
    pub whole_bytes: u64,
    /// Why what lies behind is no whole record, if something does.
    pub torn: Option<String>,
    /// The records before that; in csv a header is one.
    pub records: u64,
    /// The columns of the first csv row.
    pub columns: Option<usize>,
    /// In framed: the number of the next frame.
    pub next_sequence: Option<u64>,
    /// Damage that hides where records end: nothing behind it could be read.
    pub fault: Option<Fault>,
    /// Whole records that are not what their format says: lines that are not JSON, rows with other columns.
    pub oddities: Oddities,
    /// Whether it was written by this program.
    pub ours: bool,
    /// Whether its lock file could be asked about that.
    pub lock_file: LockFileFound,
    /// What lies beside it.
    pub checkpoint: CheckpointFound,
    /// The lowest fence that may write; 0 if none was ever given out, none if it is lost.
    pub floor: Option<u64>,
    /// Whether a sync had failed, or a host died while it synced.
    pub was_in_doubt: bool,
    /// Then: the first byte at which the disk does not hold what the page cache says. None: it does, and unless the file is
    /// refused for something else, it is no longer in doubt.
    pub not_on_disk: Option<u64>,
    /// Its ids, if it has any.
    pub ids: Option<IdsFound>,
    /// What opening it for appending, in this format and with ids if it has had any, would say to what is in it. None: it
    /// would be opened, and a torn end put aside.
    pub refused: Option<OpenError>,
}

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ends on a whole record, and nothing is wrong with it.
    Whole,
    /// Its last record has no end. Opening it for appending puts that aside.
    Torn,
    /// Something is wrong that opening it would refuse, or that readers will stumble on.
    Damaged,
}

impl CheckReport {
    /// Whether it is whole.
    pub fn verdict(&self) -> Verdict {
        if self.refused.is_some() || self.oddities.count > 0 || (self.fault.is_some() && self.torn.is_none()) {
            Verdict::Damaged
        } else if self.whole_bytes < self.bytes {
            Verdict::Torn
        } else {
            Verdict::Whole
        }
    }
}

/// What [`check_with`] is to go by.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckSpec {
    /// What the records look like; found out if it is not said.
    pub format: Option<FormatKind>,
    /// Whether a latch may be lifted on a network or user-space file system. Looking is allowed anywhere.
    pub allow_remote: bool,
}

/// What [`repair`] may do.
#[derive(Debug, Clone, Default)]
pub struct RepairSpec {
    /// What the records look like; found out if it is not said.
    pub format: Option<FormatKind>,
    /// What to take for the lowest fence that may write. It must not be below one that is known.
    pub fence_floor: Option<u64>,
    /// Whether to cut the file at damage that is more than a torn end, or at a torn end that is not ours: what lies behind
    /// goes to `<file>.torn`.
    pub cut: bool,
    /// Whether the file may be on a network or user-space file system, where nothing is promised: neither that nobody else
    /// writes it meanwhile, nor that what is cut stays cut.
    pub allow_remote: bool,
    /// What other processes are told about who has the file meanwhile.
    pub holder: String,
}

/// What [`repair`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// What the records look like.
    pub format: FormatKind,
    /// What was cut off, if something was.
    pub torn: Option<Torn>,
    /// Its length now.
    pub bytes: u64,
    /// Its records now; in csv a header is one.
    pub records: u64,
    /// The lowest fence that may write from now on.
    pub floor: u64,
    /// What has become of its ids, if it has any.
    pub ids: Option<IdsRepaired>,
}

/// What [`repair`] has made of the ids of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdsRepaired {
    /// Ids whose records are in the file, or that stand for none.
    pub kept: u64,
    /// Ids whose records are not in the file.
    pub dropped: u64,
    /// Entries that could not be read.
    pub damaged: u64,
    /// Ids that the checkpoint counts and that were not there.
    pub missing: u64,
}

impl IdsRepaired {
    /// Ids of which nobody knows any more that their records are in the file: whoever appends those again has them twice.
    pub fn lost(&self) -> u64 {
        self.damaged + self.missing
    }
}

/// A file that nobody else writes meanwhile.
struct InHand {
    storage: Arc<dyn Storage>,
    status: Status,
    format: FormatKind,
    lock: Option<Box<dyn Held>>,
    lock_file: LockFileFound,
    _registration: Registration,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.storage.unlock();
    }
}

/// The lowest fence that may write to a file, as its checkpoint says: 0 if it says nothing. Costs no look at the file.
pub fn known_floor(disk: &dyn Disk, path: &Path) -> Result<u64, OpenError> {
    Ok(match look(disk, path)? {
        Stood::State(state) => state.floor,
        Stood::Nothing | Stood::Unreadable => 0,
    })
}

/// Says what is in a file. `progress` is told how many bytes have been read of how many.
///
/// Reads all of it. A file that is being written is refused.
pub fn check(
    disk: &Arc<dyn Disk>,
    path: &Path,
    format: Option<FormatKind>,
    progress: impl FnMut(u64, u64),
) -> Result<CheckReport, OpenError> {
    check_with(disk, path, &CheckSpec { format, ..CheckSpec::default() }, progress)
}

/// [`check`], with options.
pub fn check_with(
    disk: &Arc<dyn Disk>,
    path: &Path,
    spec: &CheckSpec,
    mut progress: impl FnMut(u64, u64),
) -> Result<CheckReport, OpenError> {
    let disk = &**disk;
    let held = hold(disk, path, spec.format, Access::Read, None)?;
    let bytes = held.status.len;
    let stood = look(disk, path)?;
    let nobody = NoLock::default();
    let lock: &dyn Held = held.lock.as_deref().unwrap_or(&nobody);
    let known = Known::new(disk, &stood, &held.status, lock);
    refuse_other_format(path, &known, held.format)?;
    let read = io_error("read", path);
    let base = known.base(&*held.storage, held.format, bytes).map_err(&read)?;
    let mut found = scan_all(&held, path, known.ours, Strictness::Strict, bytes, |done| progress(done, bytes))?;
    let mut damage = damage(path, &base, &found, bytes);
    let mut torn = (found.end < bytes).then(|| torn_reason(&found));
    let mut looked = Ids::look(disk, &ids_path(path), &held.status).map_err(ids_error(path))?;
    // An entry that the data does not bear out covers none of it.
    let assume = |looked: &mut Option<(Ids, crate::ids::IdsFound)>, end| match looked {
        Some((ids, there)) => {
            let trusted = if there.foreign { 0 } else { base.mark.at };
            ids.assume_reconciled(&*held.storage, path, trusted, end).map_err(ids_error(path))
        }
        None => Ok(()),
    };
    assume(&mut looked, found.end)?;
    if let Some((end, reason)) = earlier_cut(&base, &found, looked.as_ref().map(|(ids, _)| ids)) {
        found = scan_all(&held, path, known.ours, Strictness::Strict, end, |_| {})?;
        torn = Some(reason);
        assume(&mut looked, found.end)?;
    }
    if damage.is_none() && found.end < bytes && !known.ours {
        damage = Some(foreign_tail(path, &found, bytes));
    }

    let state = known.state.filter(|_| known.fits_file);
    let in_doubt = state.filter(|state| is_in_doubt(state, known.same_boot));
    let mut not_on_disk = None;
    if let Some(state) = in_doubt {
        // What such a file system says of its disk proves nothing, so it lifts no latch.
        if !spec.allow_remote {
            refuse_remote(disk, path)?;
        }
        sync_in_doubt(disk, path, &held, state)?;
        let from = state.synced.at.min(bytes);
        not_on_disk = verify_disk(&*held.storage, from, bytes, |done| progress(done, bytes - from)).map_err(&read)?;
    }
    let checkpoint = match (&stood, state) {
        (Stood::Nothing, _) => CheckpointFound::Missing,
        (Stood::Unreadable, _) => CheckpointFound::Unreadable,
        (Stood::State(_), None) => CheckpointFound::OfAnotherFile,
        (Stood::State(_), Some(state)) => match state.latest.fits(&*held.storage, bytes).map_err(&read)? {
            true => CheckpointFound::Fits { at: state.latest.at, synced: state.synced.at },
            false => CheckpointFound::Stale,
        },
    };
    let framed = held.format == FormatKind::Framed;
    let floor = match known.state {
        Some(state) => Some(state.floor.max(found.fence_max)),
        None if framed => Some(found.fence_max),
        None => (!says_fenced(lock)).then_some(0),
    };
    let ids = match &looked {
        Some((ids, there)) => {
            let checked = ids.check(&*held.storage, path, 0, found.end).map_err(ids_error(path))?;
            let missing = missing_ids(&base, Some(ids));
            let damaged = there.damaged + base.lost_entries(there);
            Some(IdsFound { fitting: checked.kept, without_records: checked.dropped, damaged, missing })
        }
        // Nobody but the checkpoint knows that there were any.
        None => match missing_ids(&base, None) {
            0 => None,
            missing => Some(IdsFound { fitting: 0, without_records: 0, damaged: 0, missing }),
        },
    };
    // In the order in which opening it would come upon them.
    let refused = if let Some(at) = not_on_disk {
        Some(OpenError::NotOnDisk { path: path.to_owned(), at })
    } else if floor.is_none() {
        Some(OpenError::FloorLost { path: path.to_owned(), checkpoint: beside(path, CHECKPOINT) })
    } else if damage.is_some() {
        damage
    } else {
        ids.and_then(|ids| ids_broken(path, &base, &ids, looked.as_ref().and_then(|(_, there)| there.damaged_before)))
    };
    // Where the cache and the disk say the same, that may be what was left after the cache had dropped what the disk lost.
    if let Some(state) = in_doubt
        && refused.is_none()
    {
        lift(disk, path, &held, state)?;
    }
    Ok(CheckReport {
        format: held.format,
        bytes,
        whole_bytes: found.end,
        torn,
        records: found.records,
        columns: found.columns,
        next_sequence: framed.then_some(found.sequence),
        fault: found.fault,
        oddities: found.oddities,
        ours: known.ours,
        lock_file: held.lock_file,
        checkpoint,
        floor,
        was_in_doubt: in_doubt.is_some(),
        not_on_disk,
        ids,
        refused,
    })
}

/// Brings a file to a state in which it can be opened: what is no whole record goes to `<file>.torn`, ids without records
/// are dropped, a lost floor is set, a failed sync is forgotten once the disk holds what the file says.
pub fn repair(
    disk: &Arc<dyn Disk>,
    path: &Path,
    spec: &RepairSpec,
    mut progress: impl FnMut(u64, u64),
) -> Result<RepairReport, OpenError> {
    let disk = &**disk;
    if !spec.allow_remote {
        refuse_remote(disk, path)?;
    }
    let mut held = hold(disk, path, spec.format, Access::Append, Some(&spec.holder))?;
    let bytes = held.status.len;
    let checkpoint_path = beside(path, CHECKPOINT);
    let stood = look(disk, path)?;
    let nobody = NoLock::default();
    let lock: &dyn Held = held.lock.as_deref().unwrap_or(&nobody);
    let known = Known::new(disk, &stood, &held.status, lock);
    let framed = held.format == FormatKind::Framed;
    refuse_other_format(path, &known, held.format)?;
    let base = known.base(&*held.storage, held.format, bytes).map_err(io_error("read", path))?;
    let whole = |to, progress: &mut dyn FnMut(u64)| scan_all(&held, path, known.ours, Strictness::Ends, to, progress);
    let mut found = whole(bytes, &mut |done| progress(done, bytes))?;
    let mut reason = torn_reason(&found);
    if !spec.cut {
        if let Some(damage) = damage(path, &base, &found, bytes) {
            return Err(damage);
        }
        if found.end < bytes && !known.ours {
            return Err(foreign_tail(path, &found, bytes));
        }
    }
    let state = known.state.filter(|_| known.fits_file);
    if let Some(state) = state.filter(|state| is_in_doubt(state, known.same_boot)) {
        sync_in_doubt(disk, path, &held, state)?;
        let from = state.synced.at.min(bytes);
        let differs = verify_disk(&*held.storage, from, bytes, |_| {}).map_err(io_error("read", path))?;
        if let Some(at) = differs.filter(|at| *at < found.end) {
            found = whole(at, &mut |_| {})?;
            reason = format!("the disk does not hold what was written from byte {at} on");
        }
    }
    let known_floor = known.state.map_or(found.fence_max, |state| state.floor.max(found.fence_max));
    let floor = match spec.fence_floor {
        Some(asked) if asked < known_floor => {
            return Err(OpenError::FloorTooLow { path: path.to_owned(), asked, known: known_floor });
        }
        Some(asked) => asked,
        None if known.state.is_none() && says_fenced(lock) && !framed => {
            return Err(OpenError::FloorLost { path: path.to_owned(), checkpoint: checkpoint_path });
        }
        None => known_floor,
    };

    let mut ids = open_ids(disk, path, &held, found.end)?;
    let mut ids_repaired =
        IdsRepaired { missing: missing_ids(&base, ids.as_ref().map(|(ids, _)| ids)), ..IdsRepaired::default() };
    if let Some((ids, damaged)) = &mut ids {
        let done = ids.reconcile(disk, &*held.storage, path, 0, found.end).map_err(ids_error(path))?;
        ids_repaired.dropped = done.dropped;
        ids_repaired.damaged = *damaged;
        // The checkpoint counts those as well.
        ids_repaired.missing = ids_repaired.missing.saturating_sub(*damaged);
    }
    if let Some((end, why)) = earlier_cut(&base, &found, ids.as_ref().map(|(ids, _)| ids)) {
        found = whole(end, &mut |_| {})?;
        reason = why;
        if let Some((ids, _)) = &mut ids {
            let done = ids.reconcile(disk, &*held.storage, path, 0, found.end).map_err(ids_error(path))?;
            ids_repaired.dropped += done.dropped;
        }
    }
    let end = found.end;
    let keep =
        |state: &State| write_checkpoint(disk, path, &held.status, state).map_err(io_error("write", &checkpoint_path));
    // Should the sync below fail, the next one must not be believed: that it was under way is noted first.
    if let Some(state) = state {
        keep(&State { floor, open: true, syncing: true, ..state.clone() })?;
    }
    let torn = match end < bytes {
        true => Some(tail::put_aside(disk, path, &*held.storage, &held.status, end, bytes, reason)?),
        false => None,
    };
    if let Some((ids, _)) = &mut ids {
        let synced = if base.in_doubt { ids.sync_in_doubt(disk) } else { ids.sync() };
        synced.map_err(ids_error(path))?;
    }
    ids_repaired.kept = ids.as_ref().map_or(0, |(ids, _)| ids.count());
    match state {
        Some(state) => sync_in_doubt(disk, path, &held, &State { floor, ..state.clone() })?,
        None => uninterrupted(|| held.storage.sync()).map_err(io_error("sync", path))?,
    }
    let mark = Mark::of(&*held.storage, end, found.records, found.sequence, ids_repaired.kept);
    let mark = mark.map_err(io_error("read", path))?;
    let state = State {
        birth: Birth::of(&held.status),
        boot: disk.boot().unwrap_or_default(),
        kind: held.format,
        columns: found.columns.map_or(0, |columns| columns as u64),
        latest: mark,
        synced: mark,
        floor,
        open: false,
        syncing: false,
        latched: false,
        ids: ids.is_some(),
        batch: None,
    };
    keep(&state)?;
    if let Some(lock) = &mut held.lock {
        let fenced = floor > 0 || says_fenced(&**lock);
        vouch(&mut **lock, &held.status, fenced)?;
    }
    let ids = (ids.is_some() || ids_repaired.missing > 0).then_some(ids_repaired);
    Ok(RepairReport { format: held.format, torn, bytes: end, records: found.records, floor, ids })
}

/// For a file that has no sidecar, or one that is only read.
#[derive(Debug, Default)]
struct NoLock {
    mark: Option<String>,
}

impl Held for NoLock {
    fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Nobody who only looks has anything to note.
    fn set_mark(&mut self, _mark: &str) -> Result<(), OsLockError> {
        Ok(())
    }

    fn renew(&mut self) -> Result<(), OsLockError> {
        Ok(())
    }
}

/// Opens a file while nobody writes it.
///
/// Without a holder's name nothing is written or made: then its own lock is all that keeps writers away, as each of them has
/// that from before it looks into the file until it has let go of it. It can be had on a read-only mount, too, and of a
/// file that this user may only read.
fn hold(
    disk: &dyn Disk,
    path: &Path,
    format: Option<FormatKind>,
    access: Access,
    holder: Option<&str>,
) -> Result<InHand, OpenError> {
    let look = || disk.look(path).map_err(io_error("examine", path));
    check_regular(path, &look()?.ok_or_else(|| missing(path))?)?;
    let lock_path = beside(path, LOCK);
    let mut lock: Option<Box<dyn Held>> = None;
    if let Some(holder) = holder {
        match disk.lock(&lock_path, holder)? {
            Lock::Held(held) => lock = Some(held),
            Lock::Busy(holder) => return Err(busy(disk, path, holder, false)?),
        }
    }
    let storage = uninterrupted(|| disk.open(path, access)).map_err(io_error("open", path))?;
    let status = look()?.ok_or_else(|| missing(path))?;
    let registration = Registration::enter(status.id, path)
        .map_err(|open_as| OpenError::AlreadyOpen { path: path.to_owned(), open_as })?;
    let turn_path = beside(path, TURN);
    // Hosts that share the file take turns, and whoever stands in their line gets one.
    let line = match disk.look(&turn_path).map_err(io_error("examine", &turn_path))? {
        Some(status) if status.kind == FileKind::Regular => uninterrupted(|| disk.open(&turn_path, Access::Read)).ok(),
        Some(_) | None => None,
    };
    let is_free = match &line {
        Some(line) => turns::wait_for(&**line, &*storage, turns::OPEN_PATIENCE),
        None => storage.try_lock(),
    };
    let is_free = is_free.map_err(io_error("lock", path))?;
    let mut lock_file = LockFileFound::Read;
    if lock.is_none() {
        // Read when the file's own lock is held: who writes to the sidecar after this gets no further than that.
        match disk.read_note(&lock_path) {
            Ok(Some(Note { holder, .. })) if !is_free => return Err(OpenError::Busy { path: path.to_owned(), holder }),
            Ok(Some(Note { mark, .. })) => lock = Some(Box::new(NoLock { mark })),
            Ok(None) => lock_file = LockFileFound::Missing,
            Err(OsLockError::Open { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                lock_file = LockFileFound::Forbidden;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !is_free {
        return Err(OpenError::Busy { path: path.to_owned(), holder: None });
    }
    let open = storage.status().map_err(io_error("examine", path))?;
    if open.id != status.id {
        let replaced = std::io::Error::other("another file took its place meanwhile");
        return Err(io_error("open", path)(replaced));
    }
    // It may have grown while its lock was waited for.
    let status = Status { len: open.len, ..status };
    let format = match format {
        Some(format) => format,
        None => format_of(disk, path, &*storage, &status)?.format,
    };
    Ok(InHand { storage, status, format, lock, lock_file, _registration: registration })
}

fn look(disk: &dyn Disk, path: &Path) -> Result<Stood, OpenError> {
    let checkpoint = beside(path, CHECKPOINT);
    Checkpoint::look(disk, &checkpoint).map_err(io_error("read", &checkpoint))
}

/// What a reader has to know of a file before it reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Likeness {
    /// What its records look like: as its checkpoint says, or else as it seems.
    pub format: FormatKind,
    /// Whether its checkpoint says that this program wrote it. Then a zero byte in text is what a power cut left.
    pub ours: bool,
}

/// Finds out what a file looks like. It may be being written meanwhile.
pub fn likeness(disk: &Arc<dyn Disk>, path: &Path) -> Result<Likeness, OpenError> {
    let status = disk.look(path).map_err(io_error("examine", path))?.ok_or_else(|| missing(path))?;
    check_regular(path, &status)?;
    let storage = disk.open(path, Access::Read).map_err(io_error("open", path))?;
    format_of(&**disk, path, &*storage, &status)
}

fn missing(path: &Path) -> OpenError {
    io_error("open", path)(ErrorKind::NotFound.into())
}

fn format_of(disk: &dyn Disk, path: &Path, storage: &dyn Storage, status: &Status) -> Result<Likeness, OpenError> {
    if let Stood::State(state) = look(disk, path)?
        && state.birth == Birth::of(status)
    {
        return Ok(Likeness { format: state.kind, ours: true });
    }
    let mut start = [0; 64];
    let got = uninterrupted(|| storage.read_at(&mut start, 0)).map_err(io_error("read", path))?;
    Ok(Likeness { format: detect(&start[..got], path), ours: false })
}

/// Refuses a format that is not the one that the file was written in.
fn refuse_other_format(path: &Path, known: &Known<'_>, asked: FormatKind) -> Result<(), OpenError> {
    match known.state.filter(|_| known.fits_file).map(|state| state.kind) {
        Some(is) if is != asked => Err(OpenError::OtherFormat { path: path.to_owned(), asked, is }),
        Some(_) | None => Ok(()),
    }
}

/// What a pass over a file looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// Where its records end.
    Ends,
    /// Also whether each of them is what its format says.
    Strict,
}

fn scan_all(
    held: &InHand,
    path: &Path,
    ours: bool,
    strictness: Strictness,
    to: u64,
    progress: impl FnMut(u64),
) -> Result<Found, OpenError> {
    // We write no zeros into text, so in a file of ours they are what a power cut left.
    let nul_from = ours.then_some(0);
    let strict = strictness == Strictness::Strict;
    let scan = Scan::new(held.format, Start { nul_from, strict, ..Start::default() });
    scan::scan_storage(&*held.storage, scan, 0, to, progress).map_err(io_error("read", path))
}

/// What is more than a torn end: no crash explains it, so that opening the file would refuse it.
fn damage(path: &Path, base: &Base, found: &Found, bytes: u64) -> Option<OpenError> {
    let damaged = |at, what| Some(OpenError::Damaged { path: path.to_owned(), at, bytes, what });
    match &found.fault {
        Some(fault) if fault.offset < base.synced || !base.power_was_cut => {
            damaged(fault.offset, fault.what.to_string())
        }
        _ if found.end < base.synced => {
            damaged(found.end, "what was synced there is no whole record any more".to_owned())
        }
        Some(_) | None => None,
    }
}

/// Ids that opening the file would not rely on.
fn ids_broken(path: &Path, base: &Base, ids: &IdsFound, damaged_before: Option<u64>) -> Option<OpenError> {
    // What a power cut may have done to entries that were not synced, it has done.
    let excused = base.power_was_cut && damaged_before.is_some_and(|at| at >= base.synced);
    let reason = match ids {
        IdsFound { damaged: damaged @ 1.., .. } if !excused => format!("{damaged} entries are damaged"),
        IdsFound { missing: missing @ 1.., .. } => format!("{missing} are missing"),
        IdsFound { .. } => return None,
    };
    Some(OpenError::Ids { path: path.to_owned(), reason })
}

/// How many ids the mark counts that are not there.
fn missing_ids(base: &Base, ids: Option<&Ids>) -> u64 {
    base.mark.ids.saturating_sub(ids.map_or(0, |ids| ids.count_to(base.mark.at)))
}

fn torn_reason(found: &Found) -> String {
    match &found.fault {
        Some(fault) => format!("{} at byte {}", fault.what, fault.offset),
        None => "a record without its end".to_owned(),
    }
}

fn foreign_tail(path: &Path, found: &Found, bytes: u64) -> OpenError {
    OpenError::ForeignTail { path: path.to_owned(), last_record_end: found.end, bytes }
}

/// Where opening the file would cut it although whole records lie behind, and why.
fn earlier_cut(base: &Base, found: &Found, ids: Option<&Ids>) -> Option<(u64, String)> {
    let mut end = found.end;
    let mut reason = None;
    if let Some(Batch { from, to, .. }) = base.batch
        && (base.mark.at..end).contains(&from)
        && end < to
    {
        (end, reason) = (from, Some("a batch that was not written to its end"));
    }
    if let Some(ids) = ids.filter(|_| base.power_was_cut && base.has_ids) {
        let covered = ids.covered_to(base.synced);
        if covered < end {
            (end, reason) = (covered, Some("records whose ids did not reach the disk"));
        }
    }
    reason.map(|reason| (end, reason.to_owned()))
}

/// Whoever opens the file takes up from there.
fn write_checkpoint(disk: &dyn Disk, path: &Path, status: &Status, state: &State) -> std::io::Result<()> {
    let (mut checkpoint, _) = Checkpoint::open(disk, &beside(path, CHECKPOINT), status.mode & 0o666)?;
    checkpoint.write_durably(state)
}

/// Syncs a file in doubt, before it is read past the page cache.
fn sync_in_doubt(disk: &dyn Disk, path: &Path, held: &InHand, state: &State) -> Result<(), OpenError> {
    let latched = State { latched: true, ..state.clone() };
    sync_or_latch(path, &*held.storage, || write_checkpoint(disk, path, &held.status, &latched))
}

/// The disk holds what was written: the file may be opened again. It is read from the last sync on then, so that opening it
/// finds whatever else there is to find.
fn lift(disk: &dyn Disk, path: &Path, held: &InHand, state: &State) -> Result<(), OpenError> {
    // The sync that failed may have been that of the ids.
    if let Some((mut ids, found)) = open_ids_as_they_are(disk, path, held)?
        && !found.foreign
    {
        ids.sync_in_doubt(disk).map_err(ids_error(path))?;
    }
    let state = State { open: false, syncing: false, latched: false, latest: state.synced, ..state.clone() };
    let checkpoint_path = beside(path, CHECKPOINT);
    write_checkpoint(disk, path, &held.status, &state).map_err(io_error("write", &checkpoint_path))
}

fn ids_error(path: &Path) -> impl Fn(IdsError) -> OpenError {
    move |error| OpenError::Ids { path: path.to_owned(), reason: error.to_string() }
}

fn ids_path(path: &Path) -> PathBuf {
    beside(path, IDS)
}

/// The ids of the file, if it has any, and what is to be said of them.
fn open_ids_as_they_are(
    disk: &dyn Disk,
    path: &Path,
    held: &InHand,
) -> Result<Option<(Ids, crate::ids::IdsFound)>, OpenError> {
    let ids_path = ids_path(path);
    if disk.look(&ids_path).map_err(io_error("examine", &ids_path))?.is_none() {
        return Ok(None);
    }
    Ids::open(disk, &ids_path, &held.status, held.status.mode & 0o666).map(Some).map_err(ids_error(path))
}

/// The ids of the file, which is whole up to `end`, if it has any; and how many entries are damaged.
fn open_ids(disk: &dyn Disk, path: &Path, held: &InHand, end: u64) -> Result<Option<(Ids, u64)>, OpenError> {
    let Some((mut ids, found)) = open_ids_as_they_are(disk, path, held)? else { return Ok(None) };
    if found.foreign {
        ids.adopt(disk, &*held.storage, path, &held.status, end).map_err(ids_error(path))?;
    }
    Ok(Some((ids, found.damaged)))
}
