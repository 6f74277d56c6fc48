//! `<file>.checkpoint`: how far a file was known to be whole, so that opening it after a crash costs the tail and not the
//! file; and what must outlive its host: the fence floor, a failed sync, a batch that was being written.
//!
//! Six slots, 4096 bytes apart. A slot is text, so that a person can read it, padded to its size, with a checksum over
//! all of it:
//!
//! ```text
//! lockkeeper-checkpoint 1
//! generation 7
//! durable 5                                (the last one that had been synced when this was written)
//! inode 1311 born 1763942400123456789
//! boot 6f7e...                             (within one boot, what was written is in the page cache, synced or not)
//! format csv columns 5
//! latest 1048570 records 20971 sequence 1 ids 20970 tail 5b1d3e0f
//! synced 1048000 records 20960 sequence 1 ids 20959 tail 0f3c9a11
//! floor 2049
//! run open syncing no latched no named yes
//! batch 1048570 1052000 tail 5b1d3e0f      (or `batch none`)
//! check 2b90c1aa
//! ```
//!
//! The valid slot of the highest generation counts. Neither that one is ever written over, nor the last one that has been
//! synced, nor one that is being synced: so whatever the death of a host tears, the last state is there, and whatever a power cut does, the last synced
//! state is, or a later one.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::identity::Birth;
use crate::scan::FormatKind;
use crate::storage::{Access, Disk, FileKind, Storage, read_exact_at, uninterrupted, write_all_at};

/// A slot's text never needs more; a test pins it.
const SLOT_BYTES: usize = 1024;

/// One more than those that must not be lost: the last one, the last one synced, and those that are being synced.
const SLOTS: u64 = SYNCING_MAX as u64 + 3;

/// How many syncs of the checkpoint are remembered at once: that of the group, and that of who reserves fences.
const SYNCING_MAX: usize = 3;

/// No number in a slot is as large as this, so that counting on from it does not overflow.
const NUMBER_END: u64 = 1 << 63;

/// The slots lie on pages of their own.
const SLOT_STRIDE: u64 = 4096;

/// How much before a mark its checksum covers.
const TAIL_BYTES: u64 = 4096;

const VERSION_LINE: &str = "lockkeeper-checkpoint 1";

/// A place in the file up to which everything is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Just after a whole record.
    pub(crate) at: u64,
    /// The records before it, a header among them.
    pub(crate) records: u64,
    /// The number of the next frame.
    pub(crate) sequence: u64,
    /// How many ids stand for records before it.
    pub(crate) ids: u64,
    /// The checksum of the last bytes before it.
    pub(crate) tail: u32,
}

impl Mark {
    /// The start of a file.
    pub(crate) const START: Mark = Mark { at: 0, records: 0, sequence: 1, ids: 0, tail: 0 };

    /// The mark of what `storage` holds before `at`.
    pub(crate) fn of(storage: &dyn Storage, at: u64, records: u64, sequence: u64, ids: u64) -> io::Result<Mark> {
        Ok(Mark { at, records, sequence, ids, tail: tail_before(storage, at)? })
    }

    /// Whether a file of `len` bytes still holds what it held.
    pub(crate) fn fits(&self, storage: &dyn Storage, len: u64) -> io::Result<bool> {
        Ok(self.at <= len && Mark::of(storage, self.at, self.records, self.sequence, self.ids)? == *self)
    }
}

/// All that a slot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Which file it is about.
    pub(crate) birth: Birth,
    /// During which boot it was written; empty if the system did not say.
    pub(crate) boot: String,
    pub(crate) kind: FormatKind,
    /// Of a csv file; 0 while they are not fixed.
    pub(crate) columns: u64,
    /// Up to here it was written.
    pub(crate) latest: Mark,
    /// Up to here it was synced.
    pub(crate) synced: Mark,
    /// No fence below it may write after a restart.
    pub(crate) floor: u64,
    /// Whether a host has the file open, or died with it open.
    pub(crate) open: bool,
    /// Whether this run has synced, so that a sync may have failed without a word left here.
    pub(crate) syncing: bool,
    /// Whether a sync has failed.
    pub(crate) latched: bool,
    /// Whether records have ids.
    pub(crate) ids: bool,
    /// A batch that was being written: half of it is none of it.
    pub(crate) batch: Option<Batch>,
}

/// Where a batch is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The checksum of the last bytes before it.
    tail: u32,
}

impl Batch {
    pub(crate) fn new(storage: &dyn Storage, from: u64, to: u64) -> io::Result<Batch> {
        Ok(Batch { from, to, tail: tail_before(storage, from)? })
    }

    /// Whether it was begun in this file as it is now. What comes behind `from` is not compared: whether that is half of the
    /// batch or a later record nobody can tell, so the word of a batch that failed must be gone before there is one.
    pub(crate) fn fits(&self, storage: &dyn Storage, len: u64) -> io::Result<bool> {
        Ok(self.from <= len && tail_before(storage, self.from)? == self.tail)
    }
}

/// The checksum of the last bytes before a place.
fn tail_before(storage: &dyn Storage, at: u64) -> io::Result<u32> {
    let from = at.saturating_sub(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(at - from).expect("a tail is small")];
    read_exact_at(storage, &mut tail, from)?;
    Ok(if at == 0 { 0 } else { crc32c::crc32c(&tail) })
}

/// The sidecar, open.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    storage: Arc<dyn Storage>,
    generation: u64,
    /// The slot that counts; none if there is none yet.
    slot: Option<u64>,
    /// The last generation that has been synced, and its slot.
    durable: Option<(u64, u64)>,
    /// Those that are being synced.
    syncing: Vec<Begun>,
    syncs: Arc<Syncs>,
    /// How many syncs had failed when the slot was written.
    failures_before: u64,
}

/// A sync that is under way.
#[derive(Debug, Clone, Copy)]
struct Begun {
    generation: u64,
    slot: u64,
    failures_before: u64,
}

/// The syncs of one sidecar, one at a time. Linux tells of a failed write-back once for each open file: of two syncs at the
/// same time one is told, and the other ends well. So a sync proves something for what was written since the last failure.
#[derive(Debug, Default)]
struct Syncs {
    turn: Mutex<()>,
    failures: AtomicU64,
}

impl Syncs {
    fn sync(&self, storage: &dyn Storage) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        uninterrupted(|| storage.sync()).inspect_err(|_| {
            self.failures.fetch_add(1, Ordering::SeqCst);
        })
    }

    fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }
}

/// A sync that is to be done without the mutex of the file; whether it proves anything [`Checkpoint::was_synced`] says.
#[derive(Debug)]
pub(crate) struct CheckpointSync {
    storage: Arc<dyn Storage>,
    syncs: Arc<Syncs>,
    /// What is durable then.
    pub(crate) generation: u64,
}

impl CheckpointSync {
    pub(crate) fn run(&self) -> io::Result<()> {
        self.syncs.sync(&*self.storage)
    }
}

/// What stood in a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stood {
    /// There was none, or an empty one.
    Nothing,
    /// Something, but no valid slot.
    Unreadable,
    /// This.
    State(State),
}

impl Checkpoint {
    /// Reads a sidecar without making one.
    pub(crate) fn look(disk: &dyn Disk, path: &Path) -> io::Result<Stood> {
        match disk.look(path)? {
            None => Ok(Stood::Nothing),
            Some(status) if status.kind != FileKind::Regular => Ok(Stood::Unreadable),
            Some(_) => {
                let storage = uninterrupted(|| disk.open(path, Access::Read))?;
                Ok(read(&*storage)?.0)
            }
        }
    }

    /// Opens the sidecar, or makes it.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, mode: u32) -> io::Result<(Checkpoint, Stood)> {
        let storage = match disk.look(path)? {
            Some(status) if status.kind == FileKind::Regular => uninterrupted(|| disk.open(path, Access::Update))?,
            Some(_) => return Err(io::Error::other("it is not a regular file")),
            None => uninterrupted(|| disk.open(path, Access::CreateUpdate { mode }))?,
        };
        let (stood, best) = read(&*storage)?;
        let (generation, slot) = best.map_or((0, None), |best| (best.generation, Some(best.slot)));
        // Whether the last slot was synced nobody knows, and it must not be lost. Nor does a sync tell: after one that has
        // failed the next one ends well, and the slot is in the page cache alone. So the disk says which slot it holds.
        let durable = match slot {
            Some(_) => {
                uninterrupted(|| storage.sync())?;
                read_disk(&*storage)?.map(|best| (best.generation, best.slot))
            }
            None => None,
        };
        let (syncing, syncs) = (Vec::new(), Arc::default());
        Ok((Checkpoint { storage, generation, slot, durable, syncing, syncs, failures_before: 0 }, stood))
    }

    /// Reads what other hosts have written since. Which slot is durable the last one says, if its host has let go of the file
    /// in order.
    pub(crate) fn reread(&mut self) -> io::Result<Stood> {
        let (stood, best) = read(&*self.storage)?;
        if let Some(Best { generation, slot, durable }) = best {
            (self.generation, self.slot, self.durable) = (generation, Some(slot), durable);
            self.failures_before = self.syncs.failures();
        }
        Ok(stood)
    }

    /// Whether this is the sidecar that bears the name.
    pub(crate) fn is_named(&self, disk: &dyn Disk, path: &Path) -> io::Result<bool> {
        let open = uninterrupted(|| self.storage.status())?;
        Ok(disk.look(path)?.is_some_and(|named| named.id == open.id))
    }

    /// Writes the next state. It survives the host; power loss only after a sync.
    pub(crate) fn write(&mut self, state: &State) -> io::Result<()> {
        let taken = [self.slot, self.durable.map(|(_, slot)| slot)];
        let is_free =
            |slot: &u64| !taken.contains(&Some(*slot)) && self.syncing.iter().all(|begun| begun.slot != *slot);
        let slot = (0..SLOTS).find(is_free).expect("there is one more slot than are taken");
        let bytes = text(self.generation + 1, self.durable_generation(), state);
        let failures_before = self.syncs.failures();
        write_all_at(&*self.storage, &bytes, slot * SLOT_STRIDE)?;
        self.generation += 1;
        self.slot = Some(slot);
        self.failures_before = failures_before;
        Ok(())
    }

    /// Writes the next state and syncs it, here and now.
    pub(crate) fn write_durably(&mut self, state: &State) -> io::Result<()> {
        loop {
            self.write(state)?;
            self.syncs.sync(&*self.storage).inspect_err(|_| self.was_not_synced())?;
            // If not, somebody else's sync has failed meanwhile, and may have lost it.
            if !self.is_lost() {
                self.durable = self.slot.map(|slot| (self.generation, slot));
                // Those that are under way cover no more than this one did.
                self.syncing.clear();
                return Ok(());
            }
        }
    }

    /// The number of the last state that was written.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of the last state that is known to survive power loss; 0 if none is.
    pub(crate) fn durable_generation(&self) -> u64 {
        self.durable.map_or(0, |(generation, _)| generation)
    }

    /// Whether a sync has failed since the last state was written: that may never reach the disk, whatever later syncs say.
    pub(crate) fn is_lost(&self) -> bool {
        self.failures_before != self.syncs.failures()
    }

    /// What is to be synced; nothing if that is done. The slot is left alone until it is known how that ended.
    pub(crate) fn begin_sync(&mut self) -> Option<CheckpointSync> {
        let (generation, failures_before) = (self.generation, self.failures_before);
        let slot = self.slot.filter(|_| self.durable_generation() < generation)?;
        if self.syncing.len() == SYNCING_MAX {
            self.syncing.remove(0);
        }
        self.syncing.push(Begun { generation, slot, failures_before });
        Some(CheckpointSync { storage: self.storage.clone(), syncs: self.syncs.clone(), generation })
    }

    /// A sync of that generation has ended well. Answers whether it is durable now: if not, it has to be written anew.
    #[must_use]
    pub(crate) fn was_synced(&mut self, generation: u64) -> bool {
        let begun = self.syncing.iter().find(|begun| begun.generation == generation);
        if let Some(&Begun { slot, failures_before, .. }) = begun
            && failures_before == self.syncs.failures()
        {
            self.durable = Some((generation, slot));
            self.syncing.retain(|begun| begun.generation > generation);
        }
        generation <= self.durable_generation()
    }

    /// A sync has failed.
    pub(crate) fn was_not_synced(&mut self) {
        self.syncing.clear();
    }
}

/// The slot that counts.
#[derive(Debug, Clone, Copy)]
struct Best {
    generation: u64,
    slot: u64,
    /// The generation of which it says that it has been synced, and its slot.
    durable: Option<(u64, u64)>,
}

/// What counts, and its slot.
fn read(storage: &dyn Storage) -> io::Result<(Stood, Option<Best>)> {
    let mut bytes = vec![0; bytes_of_interest(storage)?];
    read_exact_at(storage, &mut bytes, 0)?;
    Ok(judge(&bytes))
}

/// What would count if the page cache were gone.
fn read_disk(storage: &dyn Storage) -> io::Result<Option<Best>> {
    let mut bytes = vec![0; bytes_of_interest(storage)?];
    let mut got = 0;
    while got < bytes.len() {
        match uninterrupted(|| storage.read_disk_at(&mut bytes[got..], got as u64))? {
            0 => break,
            more => got += more,
        }
    }
    Ok(judge(&bytes[..got]).1)
}

fn bytes_of_interest(storage: &dyn Storage) -> io::Result<usize> {
    let len = uninterrupted(|| storage.status())?.len.min(SLOTS * SLOT_STRIDE);
    Ok(usize::try_from(len).expect("a few slots are small"))
}

fn judge(bytes: &[u8]) -> (Stood, Option<Best>) {
    let mut slots = Vec::new();
    let mut anything = false;
    let stride = usize::try_from(SLOT_STRIDE).expect("it is small");
    for (slot, bytes) in (0..).zip(bytes.chunks(stride)) {
        let bytes = &bytes[..bytes.len().min(SLOT_BYTES)];
        anything |= bytes.iter().any(|&byte| byte != 0);
        slots.extend(parse(bytes).map(|said| (slot, said)));
    }
    let of = |wanted: u64| slots.iter().find(|(_, said)| said.generation == wanted).map(|(slot, _)| (wanted, *slot));
    match slots.iter().max_by_key(|(_, said)| said.generation) {
        Some((slot, Said { generation, durable, state })) => {
            let best = Best { generation: *generation, slot: *slot, durable: of(*durable) };
            (Stood::State(state.clone()), Some(best))
        }
        None if anything => (Stood::Unreadable, None),
        None => (Stood::Nothing, None),
    }
}

fn text(generation: u64, durable: u64, state: &State) -> Vec<u8> {
    let State { birth, boot, kind, columns, latest, synced, floor, open, syncing, latched, ids, batch } = state;
    let mark = |mark: &Mark| {
        let Mark { at, records, sequence, ids, tail } = mark;
        format!("{at} records {records} sequence {sequence} ids {ids} tail {tail:08x}")
    };
    let yes = |yes: &bool| if *yes { "yes" } else { "no" };
    let mut text = format!(
        "{VERSION_LINE}\ngeneration {generation}\ndurable {durable}\n{birth}\nboot {boot}\nformat {kind} columns {columns}\n\
         latest {}\nsynced {}\nfloor {floor}\nrun {} syncing {} latched {} named {}\n",
        mark(latest),
        mark(synced),
        if *open { "open" } else { "closed" },
        yes(syncing),
        yes(latched),
        yes(ids),
    );
    match batch {
        Some(Batch { from, to, tail }) => writeln!(text, "batch {from} {to} tail {tail:08x}"),
        None => writeln!(text, "batch none"),
    }
    .expect("writing to memory does not fail");
    let check = crc32c::crc32c(text.as_bytes());
    writeln!(text, "check {check:08x}").expect("writing to memory does not fail");
    let mut bytes = text.into_bytes();
    assert!(bytes.len() <= SLOT_BYTES, "a slot has room for every state");
    bytes.resize(SLOT_BYTES, b' ');
    bytes
}

/// What a slot says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    generation: u64,
    /// The last one that had been synced; 0 if none had.
    durable: u64,
    state: State,
}

fn parse(bytes: &[u8]) -> Option<Said> {
    let text = str::from_utf8(bytes).ok()?.trim_end_matches(' ');
    let mut words = text.split_ascii_whitespace();
    let mut after = |label: &str| {
        words.find(|word| *word == label)?;
        words.next()
    };
    let batch = text.lines().find_map(|line| line.strip_prefix("batch "))?;
    let batch = match batch.split_once(' ') {
        Some((from, rest)) => {
            let (to, tail) = rest.split_once(" tail ")?;
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            let tail = u32::from_str_radix(tail, 16).ok()?;
            if from >= to || to >= NUMBER_END {
                return None;
            }
            Some(Batch { from, to, tail })
        }
        None => None,
    };
    let number = |word: &str| word.parse::<u64>().ok().filter(|number| *number < NUMBER_END);
    let yes = |word: &str| match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    let generation = number(after("generation")?)?;
    let durable = number(after("durable")?)?;
    let birth = Birth { inode: after("inode")?.parse().ok()?, born: after("born")?.parse().ok()? };
    // A system that does not say leaves nothing behind the word.
    let boot = text.lines().find_map(|line| line.strip_prefix("boot "))?.to_owned();
    let kind = after("format")?.parse().ok()?;
    let columns = number(after("columns")?)?;
    let mut mark = |label: &str| {
        Some(Mark {
            at: number(after(label)?)?,
            records: number(after("records")?)?,
            sequence: number(after("sequence")?)?,
            ids: number(after("ids")?)?,
            tail: u32::from_str_radix(after("tail")?, 16).ok()?,
        })
    };
    let latest = mark("latest")?;
    let synced = mark("synced")?;
    let floor = after("floor")?.parse().ok()?;
    let open = match after("run")? {
        "open" => true,
        "closed" => false,
        _ => return None,
    };
    let syncing = yes(after("syncing")?)?;
    let latched = yes(after("latched")?)?;
    let ids = yes(after("named")?)?;
    let state = State { birth, boot, kind, columns, latest, synced, floor, open, syncing, latched, ids, batch };
    // A record has at least one byte.
    if [latest, synced].iter().any(|mark| mark.records > mark.at || mark.ids > NUMBER_END) {
        return None;
    }
    // Writing it anew and comparing checks every byte.
    (self::text(generation, durable, &state) == bytes).then_some(Said { generation, durable, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalDisk;

    fn largest() -> State {
        const MOST: u64 = NUMBER_END - 1;
        let mark = Mark { at: MOST, records: MOST, sequence: MOST, ids: MOST, tail: u32::MAX };
        State {
            birth: Birth { inode: u64::MAX, born: u128::MAX },
            boot: "b".repeat(64),
            kind: FormatKind::Framed,
            columns: MOST,
            latest: mark,
            synced: mark,
            floor: u64::MAX,
            open: false,
            syncing: true,
            latched: true,
            ids: true,
            batch: Some(Batch { from: MOST - 1, to: MOST, tail: u32::MAX }),
        }
    }

    #[test]
    fn every_state_fits_into_a_slot_and_is_read_back() {
        let empty = State { boot: String::new(), batch: None, open: true, ..largest() };
        for state in [largest(), empty] {
            let (generation, durable) = (NUMBER_END - 1, NUMBER_END - 2);
            let bytes = text(generation, durable, &state);
            assert_eq!(parse(&bytes), Some(Said { generation, durable, state }));
        }
    }

    #[test]
    fn a_slot_that_is_being_synced_is_not_written_over() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("checkpoint");
        let (mut checkpoint, _) = Checkpoint::open(&LocalDisk, &path, 0o600).expect("it is made");
        let state = |floor| State { floor, batch: None, ..largest() };
        checkpoint.write(&state(1)).expect("there is room");
        let generation = checkpoint.begin_sync().expect("it was written").generation;
        for floor in 2..9 {
            checkpoint.write(&state(floor)).expect("there is room");
        }
        assert!(checkpoint.was_synced(generation));
        let there = |floor: u64| {
            let bytes = std::fs::read(&path).expect("it is there");
            bytes.chunks(4096).any(|slot| {
                slot.len() >= SLOT_BYTES && parse(&slot[..SLOT_BYTES]).is_some_and(|said| said.state.floor == floor)
            })
        };
        assert!(there(1) && there(8));
        for floor in 9..20 {
            checkpoint.write(&state(floor)).expect("there is room");
            assert!(there(1), "what is durable stays");
        }
        // A sync here and now covers more than one that is still under way.
        let older = checkpoint.begin_sync().expect("it was written").generation;
        checkpoint.write_durably(&state(20)).expect("it can be synced");
        assert!(checkpoint.was_synced(older));
        for floor in 21..40 {
            checkpoint.write(&state(floor)).expect("there is room");
            assert!(there(20), "what is durable stays");
        }
    }

    /// One host after another: what the one before has synced is left alone.
    #[test]
    fn whoever_reads_again_knows_which_slot_is_durable() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("checkpoint");
        let open = || Checkpoint::open(&LocalDisk, &path, 0o600).expect("it is made or there").0;
        let (mut one, mut other) = (open(), open());
        let state = |floor| State { floor, batch: None, ..largest() };
        one.write_durably(&state(1)).expect("it can be synced");
        one.write(&state(2)).expect("there is room");
        for floor in 3..12 {
            assert_eq!(other.reread().expect("it can be read"), Stood::State(state(floor - 1)));
            assert_eq!(other.durable_generation(), 1);
            other.write(&state(floor)).expect("there is room");
        }
        let bytes = std::fs::read(&path).expect("it is there");
        let slots = bytes.chunks(4096).filter_map(|slot| parse(&slot[..SLOT_BYTES.min(slot.len())]));
        assert!(slots.map(|said| said.state.floor).any(|floor| floor == 1), "what is durable stays");
        assert!(one.is_named(&LocalDisk, &path).expect("it can be seen"));
        std::fs::rename(&path, path.with_extension("old")).expect("it is there");
        assert!(!one.is_named(&LocalDisk, &path).expect("it can be seen"));
    }

    /// Two that sync at the same time: one is told that the disk has failed, and the other that all is well.
    #[test]
    fn a_sync_beside_one_that_failed_proves_nothing() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("checkpoint");
        let (mut checkpoint, _) = Checkpoint::open(&LocalDisk, &path, 0o600).expect("it is made");
        checkpoint.write(&largest()).expect("there is room");
        let (failed, well) =
            (checkpoint.begin_sync().expect("it was written"), checkpoint.begin_sync().expect("so too"));
        failed.syncs.failures.fetch_add(1, Ordering::SeqCst);
        well.run().expect("it can be synced");
        // Whoever comes first under the file's mutex.
        assert!(!checkpoint.was_synced(well.generation));
        checkpoint.was_not_synced();
        assert!(!checkpoint.was_synced(well.generation) && checkpoint.is_lost());
        checkpoint.write_durably(&largest()).expect("it can be synced");
        assert!(!checkpoint.is_lost() && checkpoint.was_synced(well.generation));
    }

    #[test]
    fn a_slot_with_numbers_that_cannot_be_is_none() {
        let good = largest();
        let mark = good.latest;
        for state in [
            State { columns: NUMBER_END, ..good.clone() },
            State { latest: Mark { records: mark.at, at: mark.at - 1, ..mark }, ..good.clone() },
            State { batch: Some(Batch { from: 2, to: 1, tail: 0 }), ..good.clone() },
        ] {
            assert_eq!(parse(&text(7, 5, &state)), None, "{state:?}");
        }
        assert_eq!(parse(&text(u64::MAX, 5, &good)), None);
    }

    #[test]
    fn a_slot_with_a_flipped_bit_or_a_missing_end_is_none() {
        let bytes = text(7, 5, &largest());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(parse(&flipped), None, "byte {at}");
            assert_eq!(parse(&bytes[..at]), None, "cut at {at}");
        }
    }
}
