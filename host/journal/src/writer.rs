//! What happens under a file's mutex: the check of the file, the write, the cut back to the last whole record, and the
//! word about it in the checkpoint.

use std::io;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpoint::{Batch, Checkpoint, CheckpointSync, Mark, State, Stood};
use crate::error::{AppendError, Change, LatchCause, OpenError, Quota};
use crate::file::{AppendOptions, Appended};
use crate::format::{Encoded, Encoder};
use crate::frame;
use crate::ids::{Changes, IdEntry, Ids, IdsError};
use crate::open::{CHECKPOINT, beside, io_error};
use crate::room::Room;
use crate::scan::FormatKind;
use crate::storage::{Disk, Status, Storage, uninterrupted};
use crate::turns::Turn;

/// After this much a checkpoint is written, so that at most the double of it lies behind the last one, and a record.
const CHECKPOINT_EVERY: u64 = 512 * 1024;

/// How much is kept back of appends that may be lost with the host.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// What a file may not grow above.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quotas {
    pub(crate) bytes_max: Option<u64>,
    pub(crate) records_max: Option<u64>,
    /// What has to stay free on the file system.
    pub(crate) reserve_bytes: u64,
    pub(crate) ids_max: u64,
}

/// Whether a file takes records.
///
/// | state | meaning | who may leave it |
/// |---|---|---|
/// | `Good` | the file ends on a whole record at `len`, as far as we know | a failed cut, a failed sync, a change by others |
/// | `Latched` | its end, or what is on the disk, is not known; nothing is written | nobody; the next open decides |
#[derive(Debug)]
enum Health {
    Good,
    Latched(LatchCause),
}

/// What is behind a file's mutex.
#[derive(Debug)]
pub(crate) struct Writer {
    storage: Arc<dyn Storage>,
    checkpoint: Checkpoint,
    /// What the next checkpoint says, but for `latest`.
    state: State,
    ids: Option<Ids>,
    health: Health,
    /// The last good length: just after the last whole record on the file system.
    len: u64,
    /// The records before it, a header among them.
    records: u64,
    /// The number of the next frame behind it.
    sequence: u64,
    /// Whole records that are still to be written there.
    buffer: Vec<u8>,
    buffered_records: u64,
    run_records: u64,
    run_bytes: u64,
    floor: u64,
    /// Bytes written since the last checkpoint.
    unmarked: u64,
    /// Bytes synced since the checkpoint itself was.
    unsynced_marks: u64,
    quotas: Quotas,
    header_rows: u64,
    room: Arc<Room>,
    set_aside_bytes: u64,
    /// Up to here blocks may have been set aside, and are given back in the end.
    set_aside_to: u64,
    /// Up to here they have been.
    backed_to: u64,
    look_at_the_name: bool,
    /// Where the last record without an id ends, if the file has ids.
    unnamed_to: u64,
    /// How often all ids were forgotten.
    forgotten: u64,
    /// The checkpoint in which the reserved floor stands.
    floor_generation: u64,
    /// Whether something was cut off after a failed write, and the cut has not been synced since.
    is_cut_unsynced: bool,
    /// When the file was last looked at, and how long that is good for.
    looked: Option<Instant>,
    look_every: Duration,
    /// Whose turn it is. Of a file that is not shared it is always this host's.
    pub(crate) turn: Turn,
}

/// What was found when a turn began.
pub(crate) enum TakenUp {
    /// Nobody else has had one since this host's last.
    AsWeLeftIt,
    /// All in order.
    AsTheyLeftIt,
    /// Something that has to be looked into.
    Not,
}

/// With what a writer begins.
pub(crate) struct Beginning {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) checkpoint: Checkpoint,
    /// As it stands in the checkpoint now: `latest` is the end of the file.
    pub(crate) state: State,
    pub(crate) ids: Option<Ids>,
    pub(crate) quotas: Quotas,
    pub(crate) header_rows: u64,
    pub(crate) room: Arc<Room>,
    pub(crate) set_aside_bytes: u64,
    pub(crate) look_every: Duration,
}

/// How far a sync will have come, if it succeeds.
pub(crate) struct Target {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) ids: Option<(Arc<dyn Storage>, Changes)>,
    pub(crate) mark: Mark,
    pub(crate) end: u64,
    /// How often all ids had been forgotten when it began.
    forgotten: u64,
}

/// A checkpoint that is to be synced after the data.
pub(crate) struct CheckpointToSync {
    pub(crate) sync: CheckpointSync,
    /// Whether nothing may be acknowledged before that is done.
    pub(crate) is_awaited: bool,
}

impl Writer {
    pub(crate) fn new(beginning: Beginning) -> Writer {
        let Beginning { storage, checkpoint, state, ids, quotas, header_rows, room, set_aside_bytes, look_every } =
            beginning;
        let Mark { at, records, sequence, .. } = state.latest;
        Writer {
            storage,
            checkpoint,
            floor: state.floor,
            state,
            ids,
            health: Health::Good,
            len: at,
            records,
            sequence,
            buffer: Vec::new(),
            buffered_records: 0,
            run_records: 0,
            run_bytes: 0,
            unmarked: 0,
            unsynced_marks: 0,
            quotas,
            header_rows,
            room,
            set_aside_bytes,
            set_aside_to: at,
            backed_to: at,
            look_at_the_name: false,
            unnamed_to: 0,
            forgotten: 0,
            floor_generation: 0,
            is_cut_unsynced: false,
            looked: None,
            look_every,
            turn: Turn::BEGUN,
        }
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Up to where the file is on the disk, as the checkpoint says.
    pub(crate) fn synced_to(&self) -> u64 {
        self.state.synced.at
    }

    /// Whether an append can be answered now: written, or refused for good.
    pub(crate) fn takes_appends(&self) -> bool {
        matches!(self.turn, Turn::Ours { ending: false, .. }) || self.latched().is_some()
    }

    /// A turn begins, and the file has `len` bytes: goes on where the last host has stopped, if that is all in order.
    pub(crate) fn take_up(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        encoder: &Encoder,
        len: u64,
    ) -> Result<TakenUp, OpenError> {
        let checkpoint_path = beside(path, CHECKPOINT);
        let read = io_error("read", &checkpoint_path);
        if !self.checkpoint.is_named(disk, &checkpoint_path).map_err(&read)? {
            return Ok(TakenUp::Not);
        }
        let before = self.checkpoint.generation();
        let Stood::State(state) = self.checkpoint.reread().map_err(&read)? else { return Ok(TakenUp::Not) };
        let ours = &self.state;
        let is_of_this_file = state.birth == ours.birth && state.kind == ours.kind;
        let is_of_this_boot = state.boot == ours.boot && !state.boot.is_empty();
        let has_ended_well = !state.open && !state.latched && state.batch.is_none() && state.latest.at == len;
        let columns = usize::try_from(state.columns).ok().filter(|columns| *columns > 0);
        let is_in_order = is_of_this_file
            && is_of_this_boot
            && has_ended_well
            && columns.is_none_or(|columns| encoder.fits(columns).is_ok())
            && state.latest.fits(&*self.storage, len).map_err(io_error("read", path))?;
        if !is_in_order {
            return Ok(TakenUp::Not);
        }
        if let Some(columns) = columns {
            encoder.fix_columns(columns);
        }
        // Whether a sync has failed without a word each turn says anew.
        self.go_on_from(State { open: true, syncing: false, ..state });
        self.mark_lightly().map_err(io_error("write", &checkpoint_path))?;
        Ok(if self.checkpoint.generation() == before + 1 { TakenUp::AsWeLeftIt } else { TakenUp::AsTheyLeftIt })
    }

    /// A turn begins with a file that was opened anew.
    pub(crate) fn begin_anew(&mut self, checkpoint: Checkpoint, state: State) {
        self.checkpoint = checkpoint;
        self.go_on_from(state);
    }

    fn go_on_from(&mut self, state: State) {
        let Mark { at, records, sequence, .. } = state.latest;
        (self.len, self.records, self.sequence) = (at, records, sequence);
        (self.set_aside_to, self.backed_to) = (at, at);
        // What was revoked here stays so.
        self.floor = self.floor.max(state.floor);
        self.state = state;
        (self.unmarked, self.unsynced_marks, self.floor_generation) = (0, 0, 0);
        self.is_cut_unsynced = false;
        self.looked = None;
    }

    /// A turn ends: the checkpoint says where, and that nothing was under way.
    pub(crate) fn leave(&mut self, path: &Path) {
        self.settle(path);
    }

    /// Where the next record begins, buffered ones included.
    pub(crate) fn end(&self) -> u64 {
        self.len + self.buffer.len() as u64
    }

    pub(crate) fn run_records(&self) -> u64 {
        self.run_records
    }

    pub(crate) fn run_bytes(&self) -> u64 {
        self.run_bytes
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    fn id_count(&self) -> u64 {
        self.ids.as_ref().map_or(0, Ids::count)
    }

    pub(crate) fn ids(&self) -> Option<&Ids> {
        self.ids.as_ref()
    }

    pub(crate) fn latched(&self) -> Option<&LatchCause> {
        match &self.health {
            Health::Good => None,
            Health::Latched(cause) => Some(cause),
        }
    }

    fn healthy<E>(&self, path: &Path) -> Result<(), AppendError<E>> {
        match self.latched() {
            None => Ok(()),
            Some(cause) => Err(AppendError::Latched { path: path.to_owned(), cause: cause.clone() }),
        }
    }

    /// Whoever comes here has seen to that.
    fn has_the_turn<E>(&self, path: &Path) -> Result<(), AppendError<E>> {
        match self.turn {
            Turn::Ours { .. } => Ok(()),
            Turn::Theirs => {
                let source = io::Error::other("it is the turn of another host");
                Err(AppendError::Io { path: path.to_owned(), source })
            }
        }
    }

    /// Nothing more is written, whatever it is.
    pub(crate) fn latch(&mut self, cause: LatchCause) {
        if self.latched().is_none() {
            self.health = Health::Latched(cause);
        }
    }

    /// Fences below this may not write from now on.
    pub(crate) fn raise_floor(&mut self, fence: u64) {
        self.floor = self.floor.max(fence);
    }

    /// No fence from `end` on will write before this is called again: so a restart, which cannot know the last fence that
    /// wrote, begins there.
    pub(crate) fn reserve_fences(&mut self, end: u64) -> io::Result<()> {
        if end <= self.state.floor && !self.checkpoint.is_lost() {
            return Ok(());
        }
        let end = end.max(self.state.floor);
        let before = mem::replace(&mut self.state.floor, end);
        self.mark().inspect_err(|_| self.state.floor = before)?;
        self.floor_generation = self.checkpoint.generation();
        Ok(())
    }

    /// Allows a fence, and sees to it that a restart knows of it; after power loss, once the record is synced.
    fn pass<E>(&mut self, path: &Path, fence: u64) -> Result<(), AppendError<E>> {
        if fence < self.floor {
            return Err(AppendError::Fenced { offered: fence, current: self.floor });
        }
        self.reserve_fences(fence).map_err(|source| AppendError::Io { path: path.to_owned(), source })?;
        self.floor = fence;
        Ok(())
    }

    /// Appends records that are checked and allowed, or says why not. With `fence`, under that one.
    pub(crate) fn append<E>(
        &mut self,
        path: &Path,
        encoded: &Encoded,
        options: &AppendOptions,
        now: Option<Instant>,
        guard: impl FnOnce() -> Result<Option<u64>, E>,
    ) -> Result<Appended, AppendError<E>> {
        self.healthy(path)?;
        self.has_the_turn(path)?;
        let fence = guard().map_err(AppendError::Refused)?;
        if let Some(fence) = fence {
            self.pass(path, fence)?;
        }
        if let Some(place) = options.id.and_then(|id| self.ids.as_ref().and_then(|ids| ids.get(id))) {
            return Ok(Appended {
                offset: place.offset,
                len: place.len,
                sequence: 0,
                records: u64::from(place.records),
                buffered: false,
                repeated: true,
            });
        }
        if options.id.is_some() {
            self.meet_quota_of_ids(path)?;
        }
        self.meet_quotas(path, encoded, now)?;
        let sequence = self.run_records + 1;
        let len = encoded.bytes.len() as u64;
        // What has to be whole after the host's death, or known by its id, is not left to a buffer.
        let buffered = options.buffered && options.id.is_none() && encoded.records == 1;
        let offset = if buffered {
            if self.buffer.len() + encoded.bytes.len() > BUFFER_BYTES {
                self.flush(path)?;
            }
            let offset = self.end();
            let at = self.buffer.len();
            self.buffer.extend_from_slice(&encoded.bytes);
            self.seal(fence, options.writer, Some(at), None);
            self.buffered_records += encoded.records;
            if self.quotas.reserve_bytes > 0 {
                self.room.keep(len);
            }
            offset
        } else {
            self.flush(path)?;
            // An id stands for a place, so it has to be the right one.
            let plain = options.id.is_none() && encoded.records == 1;
            let is_recent = |looked, now: Instant| now.saturating_duration_since(looked) < self.look_every;
            if !(plain && self.looked.zip(now).is_some_and(|(looked, now)| is_recent(looked, now))) {
                self.check(path)?;
                self.looked = now;
            }
            let offset = self.len;
            if self.state.kind == FormatKind::Framed {
                let mut sealed = encoded.bytes.clone();
                self.seal(fence, options.writer, None, Some(&mut sealed));
                self.write_whole(path, &sealed, encoded.records, options)?;
            } else {
                self.write_whole(path, &encoded.bytes, encoded.records, options)?;
            }
            offset
        };
        self.run_records += encoded.records;
        self.run_bytes += len;
        Ok(Appended { offset, len, sequence, records: encoded.records, buffered, repeated: false })
    }

    /// Gives frames their numbers: those in the buffer from a byte on, or others.
    fn seal(&mut self, fence: Option<u64>, writer: u64, in_buffer: Option<usize>, others: Option<&mut [u8]>) {
        if self.state.kind != FormatKind::Framed {
            return;
        }
        let sequence = self.sequence + self.buffered_records;
        let fence = fence.unwrap_or(0);
        if let Some(at) = in_buffer {
            frame::seal(&mut self.buffer[at..], sequence, fence, writer);
        }
        if let Some(frames) = others {
            frame::seal(frames, sequence, fence, writer);
        }
    }

    /// Marks an id as done that has no records.
    pub(crate) fn note_done<E>(&mut self, path: &Path, options: &AppendOptions) -> Result<(), AppendError<E>> {
        self.healthy(path)?;
        self.has_the_turn(path)?;
        self.flush(path)?;
        self.check(path)?;
        let Some(id) = options.id else { return Ok(()) };
        if self.ids.as_ref().is_some_and(|ids| ids.get(id).is_none()) {
            self.meet_quota_of_ids(path)?;
            self.note_id(path, &IdEntry { id, offset: self.len, len: 0, records: 0, checksum: 0 })?;
        }
        Ok(())
    }

    /// Writes the buffer. If that fails the buffered records stay where they are, and are tried again with the next call.
    pub(crate) fn flush<E>(&mut self, path: &Path) -> Result<(), AppendError<E>> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.healthy(path)?;
        self.check(path)?;
        let buffer = mem::take(&mut self.buffer);
        let records = mem::take(&mut self.buffered_records);
        let written = self.write_whole(path, &buffer, records, &AppendOptions { buffered: true, ..Default::default() });
        self.buffer = buffer;
        match written {
            Ok(()) => {
                self.let_room_go();
                self.buffer.clear();
                Ok(())
            }
            Err(error) => {
                self.buffered_records = records;
                Err(error)
            }
        }
    }

    /// What is in the buffer is written now, or given up.
    fn let_room_go(&mut self) {
        if self.quotas.reserve_bytes > 0 {
            self.room.let_go(self.buffer.len() as u64);
        }
    }

    /// Whether the file is as this writer left it.
    fn check<E>(&mut self, path: &Path) -> Result<(), AppendError<E>> {
        let status = uninterrupted(|| self.storage.status())
            .map_err(|source| AppendError::Io { path: path.to_owned(), source })?;
        let what = if status.links == 0 {
            Change::Unlinked
        } else if status.len < self.len {
            Change::Truncated { expected: self.len, found: status.len }
        } else if status.len > self.len {
            Change::Grown { expected: self.len, found: status.len }
        } else {
            return Ok(());
        };
        Err(self.changed(path, what))
    }

    /// Somebody else has changed the file.
    pub(crate) fn changed<E>(&mut self, path: &Path, what: Change) -> AppendError<E> {
        self.latch(LatchCause::Changed(what));
        AppendError::Changed { path: path.to_owned(), what }
    }

    /// Whether there is room for one more id.
    fn meet_quota_of_ids<E>(&self, path: &Path) -> Result<(), AppendError<E>> {
        let max = self.quotas.ids_max;
        match self.ids.is_some() && self.id_count() >= max {
            true => Err(AppendError::Limit { path: path.to_owned(), quota: Quota::Ids, max }),
            false => Ok(()),
        }
    }

    fn meet_quotas<E>(&mut self, path: &Path, encoded: &Encoded, now: Option<Instant>) -> Result<(), AppendError<E>> {
        let more = encoded.bytes.len() as u64;
        let limit = |quota, max| AppendError::Limit { path: path.to_owned(), quota, max };
        if let Some(max) = self.quotas.bytes_max
            && self.end().saturating_add(more) > max
        {
            return Err(limit(Quota::Bytes, max));
        }
        if let Some(max) = self.quotas.records_max {
            let records = (self.records + self.buffered_records).saturating_sub(self.header_rows);
            if records.saturating_add(encoded.records) > max {
                return Err(limit(Quota::Records, max));
            }
        }
        let reserve = self.quotas.reserve_bytes;
        if reserve > 0 {
            // What is set aside is no longer free, so it need not be taken again.
            let needed = more.saturating_sub(self.backed_to.saturating_sub(self.end()));
            let taken = self.room.take(needed, reserve, now, || self.storage.room());
            match taken.map_err(|source| AppendError::Io { path: path.to_owned(), source })? {
                true => {}
                false => return Err(limit(Quota::Reserve, reserve)),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` behind the last record, or cuts the file back.
    pub(crate) fn write_whole<E>(
        &mut self,
        path: &Path,
        bytes: &[u8],
        records: u64,
        options: &AppendOptions,
    ) -> Result<(), AppendError<E>> {
        self.settle_cut(path)?;
        let to = self.len + bytes.len() as u64;
        // In a framed file the frames say themselves that they belong together.
        let batch = records > 1 && !options.buffered && self.state.kind != FormatKind::Framed;
        // The word of a batch that failed stands as long as nothing has been written since. Wherever a power cut may leave it,
        // it would take the next record for half of that batch, so it is gone from the disk before there is one.
        let is_stale = self.state.batch.is_some();
        if batch || is_stale {
            let word = match batch {
                true => Some(Batch::new(&*self.storage, self.len, to)),
                false => None,
            };
            let word = word.transpose().map_err(|source| AppendError::Io { path: path.to_owned(), source })?;
            let before = mem::replace(&mut self.state.batch, word);
            let noted = if is_stale { self.mark_durably() } else { self.mark_lightly() };
            if let Err(source) = noted {
                // The old word may still stand there, and the new one too: the next write has to try again.
                self.state.batch = self.state.batch.or(before);
                return Err(AppendError::Io { path: path.to_owned(), source });
            }
        }
        if let Some(id) = options.id {
            let records = u32::try_from(records).expect("no more are put together than are counted in 32 bits");
            let (len, checksum) = (bytes.len() as u64, crc32c::crc32c(bytes));
            self.note_id(path, &IdEntry { id, offset: self.len, len, records, checksum })?;
        }
        self.set_aside(to);
        match self.put(bytes) {
            Ok(()) => {
                self.len = to;
                if self.ids.is_some() && options.id.is_none() {
                    self.unnamed_to = to;
                }
                self.records += records;
                self.sequence += records;
                self.state.batch = None;
                self.unmarked += bytes.len() as u64;
                let is_time = self.unmarked >= CHECKPOINT_EVERY;
                self.look_at_the_name |= is_time;
                // A file that has outgrown its batch is not taken for half of it. But the word is taken back, for the case
                // that somebody makes the file shorter.
                let marked = match (is_time, batch) {
                    (true, _) => self.mark(),
                    (false, true) => self.mark_lightly(),
                    (false, false) => Ok(()),
                };
                if let Err(error) = marked {
                    tracing::warn!(path = %path.display(), %error, "no checkpoint could be written; opening the file will take longer");
                }
                Ok(())
            }
            Err(source) => Err(self.undo(path, source, bytes.len() as u64, options)),
        }
    }

    /// A cut that a power cut undoes would bring the end of what had failed back behind what came in its place, where it
    /// might read as a record. So after a failure, and only then, a sync comes before the next write.
    fn settle_cut<E>(&mut self, path: &Path) -> Result<(), AppendError<E>> {
        if !self.is_cut_unsynced {
            return Ok(());
        }
        self.begin_syncs().map_err(|source| AppendError::Io { path: path.to_owned(), source })?;
        if let Err(error) = uninterrupted(|| self.storage.sync()) {
            let error = Arc::new(error);
            self.sync_failed(&error);
            return Err(AppendError::Latched { path: path.to_owned(), cause: LatchCause::SyncFailed(error) });
        }
        self.is_cut_unsynced = false;
        Ok(())
    }

    fn note_id<E>(&mut self, path: &Path, entry: &IdEntry) -> Result<(), AppendError<E>> {
        let Some(ids) = &mut self.ids else { return Ok(()) };
        let Err(error) = ids.note(entry) else { return Ok(()) };
        let broken = ids.is_broken();
        let source = into_io(error);
        if !broken {
            return Err(AppendError::Io { path: path.to_owned(), source });
        }
        let cause = LatchCause::IdsBroken(Arc::new(source));
        self.latch(cause.clone());
        Err(AppendError::Latched { path: path.to_owned(), cause })
    }

    /// After a write that failed: nothing of it stays, in the file or among the ids.
    fn undo<E>(&mut self, path: &Path, source: io::Error, attempted: u64, options: &AppendOptions) -> AppendError<E> {
        let cause = match self.cut_back(attempted) {
            Err(cut) => LatchCause::CutFailed { write: Arc::new(source), cut: Arc::new(cut) },
            Ok(()) => {
                let taken_back = match &mut self.ids {
                    Some(ids) if options.id.is_some() => ids.take_back(),
                    Some(_) | None => Ok(()),
                };
                match taken_back {
                    Ok(()) => return AppendError::Io { path: path.to_owned(), source },
                    Err(error) => LatchCause::IdsBroken(Arc::new(into_io(error))),
                }
            }
        };
        self.latch(cause.clone());
        AppendError::Latched { path: path.to_owned(), cause }
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
    fn cut_back(&mut self, attempted: u64) -> io::Result<()> {
        let found = uninterrupted(|| self.storage.status())?.len;
        // A file system that has become read-only took nothing, and cannot cut.
        if found == self.len {
            return Ok(());
        }
        // What somebody else has cut is not filled with zeros, and what somebody else has written is not cut.
        if found < self.len || found > self.len + attempted {
            return Err(io::Error::other(format!("somebody else changed it: it has {found} bytes, not {}", self.len)));
        }
        self.is_cut_unsynced = true;
        uninterrupted(|| self.storage.truncate(self.len))?;
        (self.set_aside_to, self.backed_to) = (self.len, self.len);
        let status = uninterrupted(|| self.storage.status())?;
        if status.len != self.len {
            return Err(io::Error::other(format!(
                "the file has {} bytes after it was cut to {}",
                status.len, self.len
            )));
        }
        Ok(())
    }

    /// Sets disk blocks aside for what comes, once somebody waits for syncs: then a sync need not find any.
    fn set_aside(&mut self, to: u64) {
        if self.set_aside_bytes == 0 || !self.state.syncing || to <= self.backed_to {
            return;
        }
        let reserve = self.quotas.reserve_bytes;
        // It takes room as a record does, and of what is to stay free none.
        if reserve > 0 && !self.room.take(self.set_aside_bytes, reserve, None, || self.storage.room()).unwrap_or(false)
        {
            return;
        }
        let from = self.backed_to.max(self.len);
        let until = to + self.set_aside_bytes;
        self.set_aside_to = until;
        match self.storage.set_aside(from, until - from) {
            Ok(()) => self.backed_to = until,
            // Only a help: a file system that has none, or no room, is no reason to fail.
            Err(error) => {
                tracing::debug!(%error, "no blocks were set aside");
                self.set_aside_bytes = 0;
            }
        }
    }

    /// Writes a checkpoint of where the file is now.
    pub(crate) fn mark(&mut self) -> io::Result<()> {
        self.place_latest()?;
        self.mark_lightly()?;
        self.unmarked = 0;
        Ok(())
    }

    fn place_latest(&mut self) -> io::Result<()> {
        // Where a latched file ends, and which ids belong to it, is not known.
        if self.latched().is_none() {
            self.state.latest = Mark::of(&*self.storage, self.len, self.records, self.sequence, self.id_count())?;
        }
        Ok(())
    }

    /// Writes a checkpoint without a new place in it.
    fn mark_lightly(&mut self) -> io::Result<()> {
        self.state.ids = self.ids.is_some();
        self.checkpoint.write(&self.state)
    }

    /// The same, and it survives power loss.
    fn mark_durably(&mut self) -> io::Result<()> {
        self.state.ids = self.ids.is_some();
        self.checkpoint.write_durably(&self.state)
    }

    /// A sync of the checkpoint has failed.
    pub(crate) fn checkpoint_lost(&mut self) {
        self.checkpoint.was_not_synced();
    }

    /// What is to be synced so that the last checkpoint is on the disk. If a sync has failed since it was written, it is
    /// written anew.
    pub(crate) fn begin_checkpoint_sync(&mut self) -> io::Result<Option<CheckpointSync>> {
        if self.checkpoint.is_lost() {
            self.mark()?;
        }
        Ok(self.checkpoint.begin_sync())
    }

    /// Whether somebody should see, without the file's mutex, whether it still bears its name. Answers yes once.
    pub(crate) fn is_time_to_look_at_the_name(&mut self) -> bool {
        mem::take(&mut self.look_at_the_name)
    }

    /// Forgets all ids.
    pub(crate) fn forget_ids<E>(&mut self, disk: &dyn Disk, path: &Path, data: &Status) -> Result<(), AppendError<E>> {
        self.healthy(path)?;
        self.has_the_turn(path)?;
        // First that there need not be any, so that a crash in between leaves nothing to be missed.
        (self.state.latest.ids, self.state.synced.ids) = (0, 0);
        self.forgotten += 1;
        // What is in the file stays, and no id stands for it any more.
        self.unnamed_to = self.len;
        self.mark_durably().map_err(|source| AppendError::Io { path: path.to_owned(), source })?;
        match &mut self.ids {
            Some(ids) => ids
                .forget_all(disk, data)
                .map_err(|error| AppendError::Io { path: path.to_owned(), source: into_io(error) }),
            None => Ok(()),
        }
    }

    /// Fixes the columns in what checkpoints say.
    pub(crate) fn fix_columns(&mut self, columns: usize) {
        self.state.columns = columns as u64;
    }

    /// Before the first sync a word of it is left on the disk: should it fail and the host die with it, the next host must
    /// not believe the page cache.
    fn begin_syncs(&mut self) -> io::Result<()> {
        if !self.state.syncing {
            self.state.syncing = true;
            self.place_latest().and_then(|()| self.mark_durably()).inspect_err(|_| self.state.syncing = false)?;
            self.unmarked = 0;
        }
        Ok(())
    }

    /// What a sync that begins now covers.
    pub(crate) fn sync_target<E>(&mut self, path: &Path) -> Result<Target, AppendError<E>> {
        self.healthy(path)?;
        self.has_the_turn(path)?;
        self.flush(path)?;
        let io = |source| AppendError::Io { path: path.to_owned(), source };
        self.begin_syncs().map_err(io)?;
        let mark = Mark::of(&*self.storage, self.len, self.records, self.sequence, self.id_count()).map_err(io)?;
        let ids = self.ids.as_ref().filter(|ids| ids.is_dirty()).map(Ids::storage);
        Ok(Target { storage: self.storage.clone(), ids, mark, end: self.len, forgotten: self.forgotten })
    }

    /// A sync has succeeded. Answers the checkpoint that is now to be synced, if it is time for that. After an error
    /// nothing may be acknowledged; another sync may do better.
    pub(crate) fn synced(&mut self, target: &Target) -> io::Result<Option<CheckpointToSync>> {
        if self.latched().is_some() {
            // Linux tells one of two syncs that run at the same time of a failure, so this one proves nothing if another one
            // has failed. And what may only be acknowledged with a checkpoint gets none any more.
            let has_failed = matches!(self.latched(), Some(LatchCause::SyncFailed(_) | LatchCause::IdsBroken(_)));
            return match has_failed || self.is_checkpoint_awaited() {
                true => Err(io::Error::other("the file was latched meanwhile")),
                false => Ok(None),
            };
        }
        if let (Some(ids), Some((_, changes))) = (&mut self.ids, &target.ids) {
            ids.synced(*changes);
        }
        let behind = target.mark.at.saturating_sub(self.state.synced.at);
        let is_awaited = self.is_checkpoint_awaited();
        let mut mark = target.mark;
        if target.forgotten != self.forgotten {
            // Those that it counted were forgotten meanwhile, and would be missed.
            mark.ids = 0;
        }
        let before = mem::replace(&mut self.state.synced, mark);
        if behind == 0 && !is_awaited {
            return Ok(None);
        }
        match self.mark() {
            Ok(()) => {}
            Err(error) if is_awaited => {
                self.state.synced = before;
                return Err(error);
            }
            Err(_) => return Ok(None),
        }
        self.unsynced_marks += behind;
        if self.unsynced_marks < CHECKPOINT_EVERY && !is_awaited {
            return Ok(None);
        }
        self.unsynced_marks = 0;
        Ok(self.checkpoint.begin_sync().map(|sync| CheckpointToSync { sync, is_awaited }))
    }

    /// Whether records can only be acknowledged with a checkpoint. Where ids are in use, whoever opens the file after a power
    /// cut takes what lies behind the last synced mark and has none for a record whose id was lost. And a fence that was not
    /// reserved stands there alone.
    fn is_checkpoint_awaited(&self) -> bool {
        self.unnamed_to > self.state.synced.at || self.floor_generation > self.checkpoint.durable_generation()
    }

    /// A sync of the checkpoint of that generation has ended well. Answers whether it is on the disk.
    pub(crate) fn checkpoint_synced(&mut self, generation: u64) -> bool {
        self.checkpoint.was_synced(generation)
    }

    /// A sync has failed: what was written since the last good one may never reach the disk, whatever a later sync says.
    pub(crate) fn sync_failed(&mut self, error: &Arc<io::Error>) {
        self.latch(LatchCause::SyncFailed(error.clone()));
        if let Some(ids) = &mut self.ids {
            ids.sync_failed();
        }
        self.state.latched = true;
        if let Err(error) = self.mark_durably() {
            // The word that syncs were under way is there since before the first one.
            tracing::warn!(%error, "that a sync has failed could not be noted beside the file");
        }
    }

    /// The end of the run: what is buffered is written, and the checkpoint says that nothing was under way.
    pub(crate) fn close(&mut self, path: &Path) {
        self.settle(path);
        self.let_room_go();
        self.buffer.clear();
        self.latch(LatchCause::Closed);
        self.storage.unlock();
    }

    fn settle(&mut self, path: &Path) {
        if self.turn == Turn::Theirs {
            return;
        }
        if let Err(error) = self.flush::<std::convert::Infallible>(path) {
            let records = self.buffered_records;
            tracing::warn!(path = %path.display(), %error, records, "buffered records are lost");
        }
        if self.latched().is_some() {
            return;
        }
        // Never through what somebody else may have written behind our back.
        if self.check::<std::convert::Infallible>(path).is_err() {
            return;
        }
        // If that fails the file stays open in what the checkpoint says, and whoever opens it next syncs it.
        if let Err(error) = self.settle_cut::<std::convert::Infallible>(path) {
            tracing::warn!(path = %path.display(), %error, "what was cut off after a failed write may come back with a power cut");
            return;
        }
        if self.set_aside_to > self.len
            && let Err(error) = self.storage.truncate(self.len)
        {
            tracing::debug!(%error, "blocks that were set aside stay with the file");
        }
        self.state.open = false;
        // A file that others write next has to refuse what was revoked here.
        self.state.floor = self.state.floor.max(self.floor);
        if let Err(error) = self.mark() {
            tracing::warn!(path = %path.display(), %error, "no checkpoint could be written; opening the file will take longer");
        }
    }
}

/// What the system said, where it said something.
fn into_io(error: IdsError) -> io::Error {
    match error {
        IdsError::Io { source, .. } => source,
        error => io::Error::other(error.to_string()),
    }
}
