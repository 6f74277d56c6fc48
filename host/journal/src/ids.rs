//! Which records are in an append file already: the sidecar of record ids, `<file>.ids`.
//!
//! An entry is written before the data that it speaks of, and says what the data is. So a host that dies between the two
//! leaves an entry that the data does not bear out, and [`Ids::reconcile`] drops it; it never leaves data that a process
//! has written whole and that no entry covers. Power loss may leave that, since the two files reach the disk in any order;
//! [`Ids::covered_to`] says where such data begins.
//!
//! An entry whose data was not written must be gone before anything else is appended to the data, with an id or without:
//! the next bytes at the same place may be the same, and would bear out both. So when [`Ids::take_back`] fails, nothing
//! more may be appended to the data.
//!
//! All numbers are little endian. The file is a header and entries, 64 bytes each, nothing between or after them:
//!
//! ```text
//! header   0..16  "lockkeeper-ids 1"
//!         16..24  inode of the data file
//!         24..40  when the data file was made, in nanoseconds since 1970; 0 if that is not known
//!         40..60  zero
//!         60..64  crc32c of 0..60
//! entry    0..4   "LKI1"
//!          4..8   crc32c of 8..64
//!          8..24  id
//!         24..32  offset of its data
//!         32..40  length of its data
//!         40..44  number of its records
//!         44..48  crc32c of its data
//!         48..52  number of this entry in the file, from 0
//!         52..64  zero
//! ```
//!
//! An entry is never changed where it stands, only cut off at the end. Whatever removes others writes `<file>.ids.new`,
//! makes it durable, and puts it in the place of the old one.
//!
//! Not promised: that an entry which was durable and is lost later (bit rot at the end of the sidecar, a sidecar that
//! somebody cut) is noticed here. [`Ids::count_to`] is for a caller that remembers how many there were.

mod entry;
mod error;
mod judge;
mod replace;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::entry::IdEntry;
use self::entry::{ENTRY_BYTES, HEADER_BYTES, Owner, decode, decode_header, encode};
pub use self::entry::{RecordId, RecordIdSyntax};
pub(crate) use self::error::IdsError;
use self::error::io_error;
use self::judge::{Claims, Evidence};
use self::replace::{Placed, put_in_place, start_new};
use crate::storage::{
    Access, Disk, FileKind, Status, Storage, read_exact_at, uninterrupted, verify_disk, write_all_at,
};

/// An entry knows its number, in 32 bits.
pub(crate) const IDS_MAX: u64 = u32::MAX as u64;

/// How many entries are read or written at once.
const CHUNK_ENTRIES: u32 = 1024;

/// Where the records of an id are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the data begins.
    pub(crate) offset: u64,
    /// How long it is.
    pub(crate) len: u64,
    /// How many records it holds.
    pub(crate) records: u32,
}

/// What a sidecar was found to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IdsFound {
    /// There was none.
    pub(crate) made: bool,
    /// It belongs to another data file. Its entries are read all the same; the caller refuses or forgets them.
    pub(crate) foreign: bool,
    /// Good entries.
    pub(crate) entries: u64,
    /// Entries that are not as they were written, with a good one after them.
    pub(crate) damaged: u64,
    /// Where the data of the good entry after the first damaged one begins. If what lies before it was durable, so was the
    /// damaged entry, and something has damaged it; otherwise a power cut may have left it so.
    pub(crate) damaged_before: Option<u64>,
    /// Bytes after the last good entry: what a crash left of the next ones. They are cut off by the next change.
    pub(crate) torn_bytes: u64,
}

impl IdsFound {
    /// Entries at the end that are there in full length and are not as they were written. A crash of the host leaves none:
    /// where no power was cut, the disk has lost them.
    pub(crate) fn torn_entries(&self) -> u64 {
        self.torn_bytes / ENTRY_BYTES as u64
    }
}

/// What has become of the entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// Entries that the data bears out.
    pub(crate) kept: u64,
    /// Entries that it does not, and those that another one has replaced.
    pub(crate) dropped: u64,
}

/// How many changes had been made at some moment; what to tell [`Ids::synced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Changes(u64);

/// A place and the number of its entry, in as few bytes as will do: one of these is kept for each id.
#[derive(Debug, Clone, Copy)]
struct Known {
    offset: u64,
    len: u64,
    records: u32,
    index: u32,
}

impl Known {
    fn of(entry: &IdEntry, index: u32) -> Known {
        Known { offset: entry.offset, len: entry.len, records: entry.records, index }
    }

    fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// Whether the sidecar takes changes.
///
/// | state | what it means | who leaves it |
/// |---|---|---|
/// | `Sound` | the file holds the entries up to `entries` and nothing after them | any failure that is not undone |
/// | `Torn` | as `Sound`, but something may follow; it is cut before the next change | `note`, `compact` |
/// | `Broken` | the file may hold an entry that has no data, or has not become durable | `compact`, `forget_all` |
/// | `ReadOnly` | it was opened so | nobody |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Sound,
    Torn,
    Broken,
    ReadOnly,
}

/// The sidecar of record ids of one append file.
#[derive(Debug)]
pub(crate) struct Ids {
    path: PathBuf,
    storage: Arc<dyn Storage>,
    owner: Owner,
    mode: u32,
    known: HashMap<RecordId, Known>,
    /// How many entries the file holds, whatever they are worth.
    entries: u32,
    /// The entry that can be taken back.
    last: Option<RecordId>,
    changes: Changes,
    synced: Changes,
    health: Health,
}

impl Ids {
    /// Reads the sidecar of the file `data`, or makes one. `data` is what [`Disk::look`] says, which knows when the file was
    /// made. Nothing that is there is changed yet.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, data: &Status, mode: u32) -> Result<(Ids, IdsFound), IdsError> {
        match Ids::existing(disk, path, data, mode, Access::Update)? {
            Some(found) => Ok(found),
            None => {
                let ids = Ids::create(disk, path, data, mode)?;
                Ok((ids, IdsFound { made: true, ..IdsFound::default() }))
            }
        }
    }

    /// Reads the sidecar without the right to change it; nothing if there is none.
    pub(crate) fn look(disk: &dyn Disk, path: &Path, data: &Status) -> Result<Option<(Ids, IdsFound)>, IdsError> {
        let found = Ids::existing(disk, path, data, 0, Access::Read)?;
        Ok(found.map(|(mut ids, found)| {
            ids.health = Health::ReadOnly;
            (ids, found)
        }))
    }

    /// Makes an empty sidecar in the place of whatever bears the name.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, data: &Status, mode: u32) -> Result<Ids, IdsError> {
        let owner = Owner::of(data);
        let (new, storage) = start_new(disk, path, owner, mode)?;
        put_in_place(disk, &new, path, &*storage).map_err(|(_, error)| error)?;
        Ok(Ids {
            path: path.to_owned(),
            storage,
            owner,
            mode,
            known: HashMap::new(),
            entries: 0,
            last: None,
            changes: Changes(0),
            synced: Changes(0),
            health: Health::Sound,
        })
    }

    fn existing(
        disk: &dyn Disk,
        path: &Path,
        data: &Status,
        mode: u32,
        access: Access,
    ) -> Result<Option<(Ids, IdsFound)>, IdsError> {
        match uninterrupted(|| disk.look(path)).map_err(io_error("look at", path))? {
            None => return Ok(None),
            Some(status) if status.kind == FileKind::Regular => {}
            Some(_) => return Err(IdsError::NotRegular { path: path.to_owned() }),
        }
        let storage = uninterrupted(|| disk.open(path, access)).map_err(io_error("open", path))?;
        let len = uninterrupted(|| storage.status()).map_err(io_error("look at", path))?.len;
        let bad_header = |reason| IdsError::Header { path: path.to_owned(), reason };
        let Some(body) = len.checked_sub(HEADER_BYTES as u64) else {
            return Err(bad_header("it is too short"));
        };
        let mut header = [0; HEADER_BYTES];
        read_exact_at(&*storage, &mut header, 0).map_err(io_error("read", path))?;
        let written_for = decode_header(&header).map_err(bad_header)?;
        let entries = u32::try_from(body / ENTRY_BYTES as u64).map_err(|_| IdsError::Full { path: path.to_owned() })?;

        let owner = Owner::of(data);
        let mut ids = Ids {
            path: path.to_owned(),
            storage,
            owner,
            mode,
            known: HashMap::new(),
            entries,
            last: None,
            // What an earlier host wrote last may not be durable.
            changes: Changes(1),
            synced: Changes(0),
            health: Health::Sound,
        };
        let mut found = IdsFound { foreign: written_for != owner, ..IdsFound::default() };
        let (mut known, mut good_end, mut bad) = (HashMap::new(), 0, 0);
        ids.entries(|index, entry| match entry {
            Some(entry) => {
                known.insert(entry.id, Known::of(entry, index));
                if found.damaged == 0 && bad > 0 {
                    found.damaged_before = Some(entry.offset);
                }
                found.damaged += bad;
                bad = 0;
                found.entries += 1;
                good_end = index + 1;
            }
            None => bad += 1,
        })?;
        ids.known = known;
        ids.entries = good_end;
        found.torn_bytes = len - ids.len();
        if found.torn_bytes > 0 {
            ids.health = Health::Torn;
        }
        Ok(Some((ids, found)))
    }

    /// Where the records of the id are, if they are in the file, or being written.
    pub(crate) fn get(&self, id: RecordId) -> Option<Place> {
        self.known.get(&id).map(|known| Place { offset: known.offset, len: known.len, records: known.records })
    }

    /// How many ids there are.
    pub(crate) fn count(&self) -> u64 {
        self.known.len() as u64
    }

    /// How many ids have data that ends at or before `end`, or none: those are kept wherever the file ends, so a caller that
    /// remembers how many there were has counted them. Looks at every id.
    pub(crate) fn count_to(&self, end: u64) -> u64 {
        self.known.values().filter(|known| known.len == 0 || known.end() <= end).count() as u64
    }

    /// The length of the sidecar in bytes, without what is torn.
    pub(crate) fn len(&self) -> u64 {
        position(self.entries)
    }

    /// Notes an id whose data is about to be written. If this fails the entry is not there, and the data must not be
    /// written.
    pub(crate) fn note(&mut self, entry: &IdEntry) -> Result<(), IdsError> {
        assert!(entry.offset.checked_add(entry.len).is_some(), "data ends within the numbers");
        self.writable()?;
        if self.known.contains_key(&entry.id) {
            return Err(IdsError::Known { path: self.path.clone(), id: entry.id });
        }
        if u64::from(self.entries) == IDS_MAX {
            return Err(IdsError::Full { path: self.path.clone() });
        }
        if self.health == Health::Torn {
            self.cut().map_err(io_error("cut the torn end of", &self.path))?;
            self.health = Health::Sound;
        }
        // From here on the entry before this one stays.
        self.last = None;
        self.changes.0 += 1;
        if let Err(source) = write_all_at(&*self.storage, &encode(entry, self.entries), self.len()) {
            self.cut_durably();
            return Err(io_error("write to", &self.path)(source));
        }
        self.known.insert(entry.id, Known::of(entry, self.entries));
        self.entries += 1;
        self.last = Some(entry.id);
        Ok(())
    }

    /// Removes the entry that was noted last, since its data was not written. If this fails, nothing more may be appended
    /// to the data, not even without an id.
    pub(crate) fn take_back(&mut self) -> Result<(), IdsError> {
        let id = self.last.take().expect("an entry was noted and is the last one");
        let removed = self.known.remove(&id).expect("a noted id is known");
        assert_eq!(removed.index + 1, self.entries, "the last entry is at the end");
        self.entries = removed.index;
        self.changes.0 += 1;
        self.cut_durably();
        self.writable()
    }

    /// Cuts off what follows the last entry. A cut that a power cut undoes would bring the entry back beside other data, so
    /// it is made durable; that costs a sync, where something has failed before.
    fn cut_durably(&mut self) {
        let cut = self.cut().and_then(|()| uninterrupted(|| self.storage.sync()));
        if let Err(error) = cut {
            tracing::warn!(path = %self.path.display(), %error, "an entry of a record id could not be taken back");
            self.health = Health::Broken;
        }
    }

    fn cut(&self) -> io::Result<()> {
        uninterrupted(|| self.storage.truncate(self.len()))?;
        match uninterrupted(|| self.storage.status())?.len == self.len() {
            true => Ok(()),
            false => Err(io::Error::other("the file has not become shorter")),
        }
    }

    fn writable(&self) -> Result<(), IdsError> {
        match self.health {
            Health::Sound | Health::Torn => Ok(()),
            Health::Broken => Err(IdsError::Broken { path: self.path.clone() }),
            Health::ReadOnly => Err(IdsError::ReadOnly { path: self.path.clone() }),
        }
    }

    /// Whether it takes no more ids.
    pub(crate) fn is_broken(&self) -> bool {
        self.health == Health::Broken
    }

    /// Whether something in it may not survive power loss.
    pub(crate) fn is_dirty(&self) -> bool {
        self.synced < self.changes
    }

    /// Makes what was noted survive power loss. After a failure nothing is known of what is on the disk, and a second sync
    /// would not tell; the sidecar takes no more.
    pub(crate) fn sync(&mut self) -> Result<(), IdsError> {
        self.writable()?;
        let changes = self.changes;
        match uninterrupted(|| self.storage.sync()) {
            Ok(()) => {
                self.synced(changes);
                Ok(())
            }
            Err(source) => {
                self.sync_failed();
                Err(io_error("sync", &self.path)(source))
            }
        }
    }

    /// Makes what is known survive power loss after a sync of it may have failed: a sync that ends well proves nothing then,
    /// so the file is compared with what the disk holds, and written anew where they differ.
    pub(crate) fn sync_in_doubt(&mut self, disk: &dyn Disk) -> Result<(), IdsError> {
        self.writable()?;
        if !self.is_dirty() {
            return Ok(());
        }
        let synced = uninterrupted(|| self.storage.sync());
        match synced.and_then(|()| verify_disk(&*self.storage, 0, self.len(), |_| {})) {
            Ok(None) => {
                self.synced(self.changes);
                Ok(())
            }
            Ok(Some(_)) | Err(_) => self.compact(disk),
        }
    }

    /// The file, for a thread that syncs it while this one goes on, and what that sync will have covered. Another file takes
    /// its place at every [`compact`](Ids::compact), so it is asked for before each sync.
    pub(crate) fn storage(&self) -> (Arc<dyn Storage>, Changes) {
        (Arc::clone(&self.storage), self.changes)
    }

    /// A sync of [`storage`](Ids::storage) has ended well.
    pub(crate) fn synced(&mut self, changes: Changes) {
        assert!(changes <= self.changes, "only what was changed can be synced");
        self.synced = self.synced.max(changes);
    }

    /// A sync of [`storage`](Ids::storage) has failed.
    pub(crate) fn sync_failed(&mut self) {
        if self.health != Health::ReadOnly {
            self.health = Health::Broken;
        }
    }

    /// Starts anew, for the file `data`. At every moment, and after power loss, either all ids are there or none.
    pub(crate) fn forget_all(&mut self, disk: &dyn Disk, data: &Status) -> Result<(), IdsError> {
        if self.health == Health::ReadOnly {
            return Err(IdsError::ReadOnly { path: self.path.clone() });
        }
        let owner = Owner::of(data);
        let (new, storage) = start_new(disk, &self.path, owner, self.mode)?;
        self.switch(disk, &new, storage, owner, HashMap::new())
    }

    /// Rewrites the sidecar with one entry for each id, in their order, for the file that was named when it was opened; and
    /// makes it durable. This mends a broken one: what is not known is left behind, and what is known is written anew.
    pub(crate) fn compact(&mut self, disk: &dyn Disk) -> Result<(), IdsError> {
        if self.health == Health::ReadOnly {
            return Err(IdsError::ReadOnly { path: self.path.clone() });
        }
        let (new, storage) = start_new(disk, &self.path, self.owner, self.mode)?;
        let mut rewritten: HashMap<RecordId, Known> = HashMap::with_capacity(self.known.len());
        let mut block = Vec::with_capacity(CHUNK_ENTRIES as usize * ENTRY_BYTES);
        let mut written = Ok(HEADER_BYTES as u64);
        self.entries(|index, entry| {
            let Some(entry) = entry.filter(|entry| self.known.get(&entry.id).is_some_and(|it| it.index == index))
            else {
                return;
            };
            let new_index = u32::try_from(rewritten.len()).expect("there are no more than before");
            rewritten.insert(entry.id, Known::of(entry, new_index));
            block.extend_from_slice(&encode(entry, new_index));
            if block.len() == block.capacity() {
                flush(&*storage, &mut block, &mut written);
            }
        })?;
        flush(&*storage, &mut block, &mut written);
        written.map_err(io_error("write to", &new))?;
        let missing = (self.known.len() - rewritten.len()) as u64;
        if missing > 0 {
            return Err(IdsError::Lost { path: self.path.clone(), missing });
        }
        self.switch(disk, &new, storage, self.owner, rewritten)
    }

    /// Puts the file `new` in the place of the sidecar.
    fn switch(
        &mut self,
        disk: &dyn Disk,
        new: &Path,
        storage: Arc<dyn Storage>,
        owner: Owner,
        known: HashMap<RecordId, Known>,
    ) -> Result<(), IdsError> {
        let placed = put_in_place(disk, new, &self.path, &*storage);
        match placed {
            Err((Placed::No, error)) => return Err(error),
            // The old file is still open, wherever the name leads; another attempt reads from it.
            Err((Placed::Unknown, error)) => {
                self.health = Health::Broken;
                return Err(error);
            }
            Ok(()) | Err((Placed::Undurable, _)) => {}
        }
        self.entries = u32::try_from(known.len()).expect("each id has one entry");
        self.storage = storage;
        self.owner = owner;
        self.known = known;
        self.last = None;
        self.changes.0 += 1;
        match placed {
            Ok(()) => {
                self.synced = self.changes;
                self.health = Health::Sound;
                Ok(())
            }
            Err((_, error)) => {
                self.health = Health::Broken;
                Err(error)
            }
        }
    }

    /// Drops the entries that the data does not bear out, durably. What ends at or before `trusted` is believed; the rest
    /// counts if it ends at or before `end`, the end of the last whole record, and its checksum fits. Of two entries that
    /// claim the same bytes, and of two for the same id, the later one counts. If this fails the sidecar is broken.
    ///
    /// Doing it again, with a smaller `end` when the data was cut, drops what has gone with the data.
    pub(crate) fn reconcile(
        &mut self,
        disk: &dyn Disk,
        data: &dyn Storage,
        data_path: &Path,
        trusted: u64,
        end: u64,
    ) -> Result<Reconciled, IdsError> {
        self.writable()?;
        let judged = self.judge(data, data_path, trusted, end);
        let reconciled = judged.and_then(|(known, reconciled)| {
            self.known = known;
            // What is damaged is neither kept nor dropped, but goes too.
            if reconciled.kept != u64::from(self.entries) || self.health == Health::Torn {
                self.compact(disk)?;
            }
            Ok(reconciled)
        });
        if reconciled.is_err() {
            self.health = Health::Broken;
        }
        reconciled
    }

    /// Takes over a sidecar that was written for another file: if this one holds the records that it speaks of (it is a copy,
    /// or was moved to another file system), it is this one's from here on; if it holds none of them, all ids are forgotten.
    pub(crate) fn adopt(
        &mut self,
        disk: &dyn Disk,
        data: &dyn Storage,
        data_path: &Path,
        status: &Status,
        end: u64,
    ) -> Result<Reconciled, IdsError> {
        self.writable()?;
        let (known, reconciled) = self.judge(data, data_path, 0, end)?;
        if known.values().all(|known| known.len == 0) {
            self.forget_all(disk, status)?;
            return Ok(Reconciled { kept: 0, dropped: reconciled.kept + reconciled.dropped });
        }
        (self.known, self.owner) = (known, Owner::of(status));
        self.compact(disk)?;
        Ok(reconciled)
    }

    /// What [`reconcile`](Ids::reconcile) would answer, without changing anything.
    pub(crate) fn check(
        &self,
        data: &dyn Storage,
        data_path: &Path,
        trusted: u64,
        end: u64,
    ) -> Result<Reconciled, IdsError> {
        Ok(self.judge(data, data_path, trusted, end)?.1)
    }

    /// Knows from now on what [`reconcile`](Ids::reconcile) would keep, and leaves the sidecar as it is.
    pub(crate) fn assume_reconciled(
        &mut self,
        data: &dyn Storage,
        data_path: &Path,
        trusted: u64,
        end: u64,
    ) -> Result<(), IdsError> {
        assert_eq!(self.health, Health::ReadOnly, "what may be written is reconciled in earnest");
        self.known = self.judge(data, data_path, trusted, end)?.0;
        Ok(())
    }

    fn judge(
        &self,
        data: &dyn Storage,
        data_path: &Path,
        trusted: u64,
        end: u64,
    ) -> Result<(HashMap<RecordId, Known>, Reconciled), IdsError> {
        let mut evidence = Evidence::new(data, trusted, end);
        let (mut known, mut claims) = (HashMap::with_capacity(self.known.len()), Claims::default());
        let mut reconciled = Reconciled::default();
        let mut block = Vec::new();
        // From the last to the first, since the later one counts.
        for first in (0..self.entries).step_by(CHUNK_ENTRIES as usize).rev() {
            for (index, entry) in self.block(first, &mut block)?.rev() {
                let Some(entry) = entry else { continue };
                let fits = !known.contains_key(&entry.id)
                    && evidence.bears_out(&entry).map_err(io_error("read", data_path))?
                    && claims.claim(&entry);
                match fits {
                    true => {
                        known.insert(entry.id, Known::of(&entry, index));
                        reconciled.kept += 1;
                    }
                    false => reconciled.dropped += 1,
                }
            }
        }
        Ok((known, reconciled))
    }

    /// The first byte at or after `from` that belongs to no id. Looks at every id. To be asked after
    /// [`reconcile`](Ids::reconcile); if the data is cut there, reconcile once more, since entries may lie beyond.
    pub(crate) fn covered_to(&self, from: u64) -> u64 {
        let mut beyond: Vec<_> = self.known.values().filter(|known| known.len > 0 && known.end() > from).collect();
        beyond.sort_unstable_by_key(|known| known.offset);
        let mut covered = from;
        for known in beyond {
            if known.offset > covered {
                break;
            }
            covered = covered.max(known.end());
        }
        covered
    }

    /// Every entry in the file, in order, with its number; nothing where it is not as it was written.
    pub(crate) fn entries(&self, mut each: impl FnMut(u32, Option<&IdEntry>)) -> Result<(), IdsError> {
        let mut block = Vec::new();
        for first in (0..self.entries).step_by(CHUNK_ENTRIES as usize) {
            for (index, entry) in self.block(first, &mut block)? {
                each(index, entry.as_ref());
            }
        }
        Ok(())
    }

    /// Up to [`CHUNK_ENTRIES`] entries from `first` on.
    fn block<'a>(
        &self,
        first: u32,
        bytes: &'a mut Vec<u8>,
    ) -> Result<impl DoubleEndedIterator<Item = (u32, Option<IdEntry>)> + use<'a>, IdsError> {
        let count = CHUNK_ENTRIES.min(self.entries - first);
        bytes.resize(count as usize * ENTRY_BYTES, 0);
        read_exact_at(&*self.storage, bytes, position(first)).map_err(io_error("read", &self.path))?;
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        Ok((first..first + count).zip(entries).map(|(index, entry)| (index, decode(entry, index))))
    }
}

/// Where the entry with this number begins.
fn position(index: u32) -> u64 {
    HEADER_BYTES as u64 + u64::from(index) * ENTRY_BYTES as u64
}

/// Writes what was gathered, unless an earlier write has failed.
fn flush(storage: &dyn Storage, block: &mut Vec<u8>, written: &mut io::Result<u64>) {
    if let Ok(at) = *written {
        *written = write_all_at(storage, block, at).map(|()| at + block.len() as u64);
    }
    block.clear();
}
