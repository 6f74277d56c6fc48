//! How an existing file is brought to a state that ends on a whole record: what the checkpoint is worth, what the bytes
//! behind it say, and what has to be cut, refused or believed.
//!
//! | what is found | what is done |
//! |---|---|
//! | the checkpoint is this boot's, and fits | the file is read from its latest mark on |
//! | it is an earlier boot's (the power may have been cut) | read from the last synced mark on; zeros are a torn end |
//! | there is none, or it does not fit | all of the file is read, and the report says so |
//! | the host died while it synced | read past the page cache from the last synced mark on, compared, and read from there |
//! | bytes behind the last whole record of a file of ours | moved to `<file>.torn` |
//! | the same in a file that was never ours | refused |
//! | half of a batch | moved to `<file>.torn`, from the start of the batch |
//! | damage that no crash explains (before the last sync; a bad frame while no power was cut) | refused |
//! | a sync had failed | refused, until the file was checked |
//! | ids, and the host died while it synced | compared with what the disk holds, and written anew if they differ |
//! | fences were given out, and the floor is lost | derived from the frames, or refused in a text format |

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::{Batch, Checkpoint, Mark, State, Stood};
use crate::error::OpenError;
use crate::format::{Encoder, Format};
use crate::identity::Birth;
use crate::ids::{Ids, IdsFound};
use crate::open::{
    CHECKPOINT, CheckpointUse, FileSpec, IDS, IdsReport, IfExists, OpenReport, beside, io_error, says_fenced, says_ours,
};
use crate::scan::{self, FormatKind, Found, Scan, Start};
use crate::storage::{Disk, Held, Status, Storage, uninterrupted, verify_disk};
use crate::tail;

/// A file that ends on a whole record, and what is known of it.
pub(crate) struct Settled {
    pub(crate) checkpoint: Checkpoint,
    /// What the next checkpoint is to say.
    pub(crate) state: State,
    pub(crate) ids: Option<Ids>,
    pub(crate) report: OpenReport,
    /// Whether the data has to be synced before anybody goes on with it. The caller does it, when the checkpoint says so:
    /// should that sync fail, the next host must not believe the page cache.
    pub(crate) to_sync: bool,
    /// Whether all that lies behind the last sync has ids.
    pub(crate) had_ids: bool,
}

/// Brings an existing file to a state that ends on a whole record, as the spec wants it.
pub(crate) fn settle(
    disk: &dyn Disk,
    spec: &FileSpec,
    storage: &Arc<dyn Storage>,
    status: &Status,
    lock: &dyn Held,
    encoder: &Encoder,
    created: bool,
) -> Result<Settled, OpenError> {
    let path = &spec.path;
    let bytes = status.len;
    if bytes > 0 && spec.if_exists == IfExists::Refuse {
        return Err(OpenError::Exists { path: path.clone(), bytes });
    }
    let checkpoint_path = beside(path, CHECKPOINT);
    let opened = Checkpoint::open(disk, &checkpoint_path, status.mode & 0o666);
    let (mut checkpoint, stood) = opened.map_err(io_error("open the checkpoint", &checkpoint_path))?;
    let mut ids = open_ids(disk, spec, status)?;
    let known = Known::new(disk, &stood, status, lock);
    let mut state = fresh_state(disk, spec, status);
    let mut report = OpenReport {
        records_before: 0,
        bytes_before: 0,
        torn: None,
        replaced_bytes: 0,
        created,
        header_written: false,
        bytes_read: 0,
        checkpoint: known.used,
        floor: 0,
        ids: None,
    };
    let is_floor_lost = known.state.is_none() && known.ours && says_fenced(lock);
    if is_floor_lost && (bytes == 0 || spec.format.kind() != FormatKind::Framed) {
        return Err(OpenError::FloorLost { path: path.clone(), checkpoint: checkpoint_path });
    }
    if bytes == 0 || spec.if_exists == IfExists::Replace {
        let mut dropped = 0;
        // What the frames say of fences nobody knows once they are gone.
        let is_framed = known.fits_file && known.state.is_some_and(|state| state.kind == FormatKind::Framed);
        if bytes > 0 && spec.format.kind() == FormatKind::Framed && (is_framed || is_floor_lost) {
            let read = io_error("read", path);
            let base = known.base(&**storage, FormatKind::Framed, bytes).map_err(&read)?;
            let found = base.scan(&**storage, spec, bytes).map_err(&read)?;
            if is_floor_lost && found.fault.is_some() {
                return Err(OpenError::FloorLost { path: path.clone(), checkpoint: checkpoint_path });
            }
            state.floor = found.fence_max;
        }
        // Before the ids are: ids without records are dropped by the next opening, records without ids would stay.
        if bytes > 0 {
            uninterrupted(|| storage.truncate(0)).map_err(io_error("empty", path))?;
            // A power cut would bring it back, and with it whatever of it is a record.
            uninterrupted(|| storage.sync()).map_err(io_error("sync", path))?;
            report.replaced_bytes = bytes;
        }
        match &mut ids {
            // What was done without a record is done though there is none.
            Some((ids, found)) if bytes == 0 && spec.if_exists != IfExists::Replace && !found.foreign => {
                let done = ids.reconcile(disk, &**storage, path, 0, 0).map_err(|error| ids_error(path, &error))?;
                dropped = done.dropped;
            }
            Some((ids, _)) => ids.forget_all(disk, status).map_err(|error| ids_error(path, &error))?,
            None => {}
        }
        // Whoever emptied it, a floor never goes back.
        if let Some(known) = known.state {
            state.floor = state.floor.max(known.floor);
        }
        report.floor = state.floor;
        report.ids = ids.as_ref().map(|(ids, _)| IdsReport { known: ids.count(), dropped });
        let ids = ids.map(|(ids, _)| ids);
        return Ok(Settled { checkpoint, state, ids, report, to_sync: false, had_ids: spec.ids });
    }
    if let Some(state) = known.state
        && known.fits_file
    {
        // What is a record's end in one format may be the middle of one in another.
        let (asked, is) = (spec.format.kind(), state.kind);
        if asked != is && state.latest.at > 0 {
            return Err(OpenError::OtherFormat { path: path.clone(), asked, is });
        }
        check_syncs(path, &**storage, &mut checkpoint, state, known.same_boot, bytes)?;
    }

    let read = io_error("read", path);
    let base = known.base(&**storage, spec.format.kind(), bytes).map_err(&read)?;
    report.checkpoint = base.used;
    let mut found = base.scan(&**storage, spec, bytes).map_err(&read)?;
    report.bytes_read = bytes - base.mark.at;
    let mut end = found.end;
    let mut reason = match &found.fault {
        Some(fault) => format!("{} at byte {}", fault.what, fault.offset),
        None => "a record without its end".to_owned(),
    };
    if let Some(fault) = &found.fault
        && (fault.offset < base.synced || !base.power_was_cut)
    {
        let what = fault.what.to_string();
        return Err(OpenError::Damaged { path: path.clone(), at: fault.offset, bytes, what });
    }
    if end < base.synced {
        let what = "what was synced there is no whole record any more".to_owned();
        return Err(OpenError::Damaged { path: path.clone(), at: end, bytes, what });
    }
    if let Some(Batch { from, to, .. }) = base.batch
        && (base.mark.at..end).contains(&from)
        && end < to
    {
        (end, reason) = (from, "a batch that was not written to its end".to_owned());
    }
    if end < bytes && !known.ours {
        return Err(OpenError::ForeignTail { path: path.clone(), last_record_end: end, bytes });
    }
    if let Some((_, entries)) = &ids {
        // What a power cut may have done to entries that were not synced, it has done.
        let excused = base.power_was_cut && entries.damaged_before.is_some_and(|at| at >= base.synced);
        let damaged = entries.damaged + base.lost_entries(entries);
        if damaged > 0 && !excused {
            let reason = format!("{damaged} entries are damaged");
            return Err(OpenError::Ids { path: path.clone(), reason });
        }
    }
    let is_copied = ids.as_ref().is_some_and(|(_, found)| found.foreign);
    let mut ids = ids.map(|(ids, _)| ids);
    if let Some(ids) = &mut ids {
        let trusted = base.mark.at;
        let before = ids.count();
        let reconciled = match is_copied {
            true => ids.adopt(disk, &**storage, path, status, end),
            false => ids.reconcile(disk, &**storage, path, trusted, end),
        };
        reconciled.map_err(|error| ids_error(path, &error))?;
        // A record that reached the disk without its id would be appended a second time.
        if base.power_was_cut && base.has_ids {
            let covered = ids.covered_to(base.synced);
            if covered < end {
                (end, reason) = (covered, "records whose ids did not reach the disk".to_owned());
                ids.reconcile(disk, &**storage, path, trusted, end).map_err(|error| ids_error(path, &error))?;
            }
        }
        if ids.count_to(trusted) < base.mark.ids {
            let reason = format!("{} are missing", base.mark.ids - ids.count_to(trusted));
            return Err(OpenError::Ids { path: path.clone(), reason });
        }
        if base.in_doubt {
            ids.sync_in_doubt(disk).map_err(|error| ids_error(path, &error))?;
        }
        report.ids = Some(IdsReport { known: ids.count(), dropped: before - ids.count() });
    }
    if end < found.end {
        found = base.scan(&**storage, spec, end).map_err(&read)?;
        if found.end != end {
            let what = "no record ends where one should".to_owned();
            return Err(OpenError::Damaged { path: path.clone(), at: found.end, bytes, what });
        }
    }

    accept_rows(spec, encoder, &found, &base, &**storage)?;
    let header_rows = u64::from(matches!(&spec.format, Format::Csv { header } if !header.is_empty()));
    report.records_before = found.records.saturating_sub(header_rows);
    report.bytes_before = end;
    if end < bytes {
        report.torn = Some(tail::put_aside(disk, path, &**storage, status, end, bytes, reason)?);
    }
    let id_count = ids.as_ref().map_or(0, Ids::count);
    state.latest = Mark::of(&**storage, end, found.records, found.sequence, id_count).map_err(&read)?;
    if let Some(known) = known.state {
        state.floor = known.floor;
        if base.used == CheckpointUse::Used {
            state.synced = known.synced;
        }
    }
    // From here on what lies behind the last sync without an id is cut after a power cut, so what is here is synced. And what
    // a host has cut off that was not closed well must not come back behind what is written now.
    let was_left_open = known.fits_file && known.state.is_some_and(|state| state.open);
    // What others wrote may hold zeros; behind the last sync they would count as what was lost.
    let is_taken_over = !known.ours && end > 0;
    let behind = ids.is_some() && state.synced.at < end;
    let to_sync = report.torn.is_some() || was_left_open || is_taken_over || behind;
    if to_sync && let Some(ids) = &mut ids {
        ids.sync().map_err(|error| ids_error(path, &error))?;
    }
    state.floor = state.floor.max(found.fence_max);
    state.columns = match (&spec.format, found.columns) {
        (Format::Csv { .. }, Some(columns)) => columns as u64,
        _ => 0,
    };
    report.floor = state.floor;
    Ok(Settled { checkpoint, state, ids, report, to_sync, had_ids: base.has_ids })
}

fn open_ids(disk: &dyn Disk, spec: &FileSpec, status: &Status) -> Result<Option<(Ids, IdsFound)>, OpenError> {
    let path = beside(&spec.path, IDS);
    let there = disk.look(&path).map_err(io_error("examine", &path))?;
    // Also where none are wanted: what is cut here must be cut there.
    if !spec.ids && there.is_none() {
        return Ok(None);
    }
    let opened = Ids::open(disk, &path, status, status.mode & 0o666);
    opened.map(Some).map_err(|error| ids_error(&spec.path, &error))
}

fn ids_error(path: &Path, error: &crate::ids::IdsError) -> OpenError {
    OpenError::Ids { path: path.to_owned(), reason: error.to_string() }
}

fn fresh_state(disk: &dyn Disk, spec: &FileSpec, status: &Status) -> State {
    State {
        birth: Birth::of(status),
        boot: disk.boot().unwrap_or_default(),
        kind: spec.format.kind(),
        columns: 0,
        latest: Mark::START,
        synced: Mark::START,
        floor: 0,
        open: true,
        syncing: false,
        latched: false,
        ids: spec.ids,
        batch: None,
    }
}

/// What is known of a file before it is read.
pub(crate) struct Known<'a> {
    /// What the checkpoint says, of whatever file.
    pub(crate) state: Option<&'a State>,
    /// Whether it is about this file.
    pub(crate) fits_file: bool,
    /// Whether what was written then is still in the page cache.
    pub(crate) same_boot: bool,
    /// Whether we have written the file before.
    pub(crate) ours: bool,
    used: CheckpointUse,
}

impl<'a> Known<'a> {
    pub(crate) fn new(disk: &dyn Disk, stood: &'a Stood, status: &Status, lock: &dyn Held) -> Known<'a> {
        let says_ours = says_ours(lock, status);
        let none = |used| Known { state: None, fits_file: false, same_boot: false, ours: says_ours, used };
        match stood {
            Stood::Nothing => none(CheckpointUse::Missing),
            Stood::Unreadable => none(CheckpointUse::Unreadable),
            Stood::State(state) => {
                let fits_file = state.birth == Birth::of(status);
                let same_boot = disk.boot().is_some_and(|boot| boot == state.boot);
                let used = if fits_file { CheckpointUse::Used } else { CheckpointUse::Stale };
                Known { state: Some(state), fits_file, same_boot, ours: says_ours || fits_file, used }
            }
        }
    }

    /// From where the file has to be read.
    pub(crate) fn base(&self, storage: &dyn Storage, kind: FormatKind, bytes: u64) -> io::Result<Base> {
        let nothing = |used| Base {
            mark: Mark::START,
            synced: 0,
            columns: None,
            nul_from: self.ours.then_some(0),
            power_was_cut: false,
            in_doubt: false,
            has_ids: false,
            batch: None,
            used,
        };
        let Some(state) = self.state.filter(|state| self.fits_file && state.kind == kind) else {
            return Ok(nothing(if self.state.is_some() { CheckpointUse::Stale } else { self.used }));
        };
        // What was written since the last sync may be lost even where the page cache and the disk agree: pages that could not be
        // written count as clean, and once they are dropped both say zeros. Only the records themselves tell.
        let in_doubt = is_in_doubt(state, self.same_boot);
        let mark = if self.same_boot && !in_doubt { state.latest } else { state.synced };
        if !mark.fits(storage, bytes)? || !state.synced.fits(storage, bytes)? {
            return Ok(nothing(CheckpointUse::Stale));
        }
        Ok(Base {
            mark,
            synced: state.synced.at,
            columns: (state.columns > 0 && mark.at > 0).then_some(state.columns),
            nul_from: Some(state.synced.at),
            power_was_cut: !self.same_boot,
            in_doubt,
            has_ids: state.ids,
            batch: match state.batch {
                Some(batch) if batch.fits(storage, bytes)? => Some(batch),
                Some(_) | None => None,
            },
            used: CheckpointUse::Used,
        })
    }
}

/// From where a file is read, and what is known about what lies before it.
pub(crate) struct Base {
    pub(crate) mark: Mark,
    /// Up to here it must be whole, whatever has happened.
    pub(crate) synced: u64,
    columns: Option<u64>,
    /// We write no zeros into text, so from here on they are what was lost.
    nul_from: Option<u64>,
    pub(crate) power_was_cut: bool,
    /// Whether a sync may have failed.
    pub(crate) in_doubt: bool,
    pub(crate) has_ids: bool,
    /// Half of it is none of it.
    pub(crate) batch: Option<Batch>,
    pub(crate) used: CheckpointUse,
}

impl Base {
    /// How many ids at the end of the sidecar a failed sync has lost.
    pub(crate) fn lost_entries(&self, found: &IdsFound) -> u64 {
        if self.in_doubt && !self.power_was_cut { found.torn_entries() } else { 0 }
    }

    fn scan(&self, storage: &dyn Storage, spec: &FileSpec, to: u64) -> io::Result<Found> {
        let start = Start {
            offset: self.mark.at,
            records: self.mark.records,
            sequence: self.mark.sequence,
            first_row_kept_max: spec.record_bytes_max,
            nul_from: self.nul_from,
            strict: false,
            columns: self.columns,
        };
        scan::scan_storage(storage, Scan::new(spec.format.kind(), start), self.mark.at, to, |_| {})
    }
}

/// Whether what the page cache says need not be what is on the disk.
pub(crate) fn is_in_doubt(state: &State, same_boot: bool) -> bool {
    // Whether the host died between a failed sync and the word about it, only the disk can tell. After another boot there
    // is no page cache that could hide it.
    state.latched || (state.open && state.syncing && same_boot)
}

/// Whether the disk can be believed to hold what was written.
fn check_syncs(
    path: &Path,
    storage: &dyn Storage,
    checkpoint: &mut Checkpoint,
    state: &State,
    same_boot: bool,
    bytes: u64,
) -> Result<(), OpenError> {
    if state.latched {
        return Err(OpenError::SyncFailed { path: path.to_owned(), synced: state.synced.at });
    }
    if !is_in_doubt(state, same_boot) {
        return Ok(());
    }
    sync_or_latch(path, storage, || checkpoint.write_durably(&State { latched: true, ..state.clone() }))?;
    let from = state.synced.at.min(bytes);
    let verified = verify_disk(storage, from, bytes, |_| {}).map_err(io_error("read, past the page cache,", path))?;
    match verified {
        None => Ok(()),
        Some(at) => Err(OpenError::NotOnDisk { path: path.to_owned(), at }),
    }
}

/// Syncs a file. The system tells of a failure once: whoever tried again would be told that all is well. So it is noted,
/// as it is in the middle of a run.
pub(crate) fn sync_or_latch(
    path: &Path,
    storage: &dyn Storage,
    latch: impl FnOnce() -> io::Result<()>,
) -> Result<(), OpenError> {
    uninterrupted(|| storage.sync()).map_err(|source| {
        if let Err(error) = latch() {
            tracing::warn!(path = %path.display(), %error, "that a sync has failed could not be noted beside the file");
        }
        io_error("sync", path)(source)
    })
}

/// Checks the first row of a csv file.
fn accept_rows(
    spec: &FileSpec,
    encoder: &Encoder,
    found: &Found,
    base: &Base,
    storage: &dyn Storage,
) -> Result<(), OpenError> {
    let Format::Csv { header } = &spec.format else { return Ok(()) };
    if found.end == 0 {
        return Ok(());
    }
    if header.is_empty() {
        if let Some(columns) = found.columns {
            encoder.fix_columns(columns);
        }
        return Ok(());
    }
    let (first_row, whole) = match base.mark.at {
        0 => (found.first_row.clone(), found.first_row_whole),
        _ => read_first_row(spec, storage, found.end).map_err(io_error("read", &spec.path))?,
    };
    let first_row = fields(&first_row);
    if !(whole && first_row.iter().eq(header.iter().map(String::as_bytes))) {
        return Err(OpenError::HeaderMismatch {
            path: spec.path.clone(),
            expected: header.clone(),
            found: first_row.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect(),
        });
    }
    encoder.fix_columns(header.len());
    Ok(())
}

/// The first row of a file of which only the end was read.
fn read_first_row(spec: &FileSpec, storage: &dyn Storage, end: u64) -> io::Result<(Vec<u8>, bool)> {
    let start = Start {
        offset: 0,
        records: 0,
        sequence: 1,
        first_row_kept_max: spec.record_bytes_max,
        nul_from: None,
        strict: false,
        columns: None,
    };
    // Enough for any header that could be asked for, quoted.
    let most = 2 * spec.record_bytes_max as u64 + 4096;
    let mut to = end.min(64 * 1024);
    loop {
        let found = scan::scan_storage(storage, Scan::new(FormatKind::Csv, start), 0, to, |_| {})?;
        if found.records > 0 || to == end || to >= most {
            return Ok((found.first_row, found.first_row_whole && found.records > 0));
        }
        to = end.min(to.saturating_mul(16));
    }
}

/// The fields of a row; none if there is no row.
fn fields(row: &[u8]) -> csv::ByteRecord {
    let mut fields = csv::ByteRecord::new();
    let read = csv::ReaderBuilder::new().has_headers(false).from_reader(row).read_byte_record(&mut fields);
    read.expect("bytes in memory are read without an error");
    fields
}
