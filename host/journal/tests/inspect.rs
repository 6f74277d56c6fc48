//! What a check says of a file, what a repair makes of it, and that opening it then agrees with both.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lockkeeper_journal::inspect::{self, CheckReport, CheckpointFound, IdsRepaired, RepairReport, RepairSpec, Verdict};
use lockkeeper_journal::os_lock::{Note, OsLockError};
use lockkeeper_journal::storage::{Access, Disk, LocalDisk, Lock, Status, Storage};
use lockkeeper_journal::{
    AppendFile, AppendOptions, CheckpointUse, FaultKind, FileSpec, Format, FormatKind, OpenError, RecordId, Torn,
    unguarded,
};
use tempfile::{TempDir, tempdir};

fn csv(header: &[&str]) -> Format {
    Format::Csv { header: header.iter().map(|name| (*name).to_owned()).collect() }
}

fn spec(path: &Path, format: &Format) -> FileSpec {
    FileSpec::new(path, format.clone(), "a test")
}

fn place(name: &str) -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join(name);
    (directory, path)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

fn ours(path: &Path, format: &Format, records: &[&str]) {
    let (file, _) = AppendFile::open(&spec(path, format)).unwrap();
    for record in records {
        file.append(record.as_bytes(), unguarded).unwrap();
    }
}

fn push(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn local() -> Arc<dyn Disk> {
    Arc::new(LocalDisk)
}

fn check(path: &Path) -> Result<CheckReport, OpenError> {
    inspect::check(&local(), path, None, |_, _| {})
}

fn checked(path: &Path) -> CheckReport {
    check(path).unwrap_or_else(|error| panic!("{error}"))
}

fn repair(path: &Path, spec: &RepairSpec) -> Result<RepairReport, OpenError> {
    inspect::repair(&local(), path, spec, |_, _| {})
}

fn cut() -> RepairSpec {
    RepairSpec { cut: true, holder: "a test".to_owned(), ..RepairSpec::default() }
}

fn plain() -> RepairSpec {
    RepairSpec { cut: false, ..cut() }
}

/// Everything that lies in the directory of the file, with its content.
fn everything(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

/// What is kept of what was cut.
fn piece(cut: &Torn, bytes: &[u8]) -> Vec<u8> {
    let Torn { offset, bytes: length, reason, .. } = cut;
    let line = format!("lockkeeper-torn 1 offset {offset} length {length} reason {reason}\n");
    [line.as_bytes(), bytes, b"\n"].concat()
}

#[test]
fn a_whole_file_of_every_format_is_whole_and_its_records_are_counted() {
    let formats = [
        ("out.txt", Format::Lines, ["one", "two"], None, 2),
        ("out.csv", csv(&["a", "b"]), ["1,\"x\ny\"", "2,z"], Some(2), 3),
        ("out.jsonl", Format::Jsonl, ["{\"a\":1}", "[2]"], None, 2),
        ("out.lkf", Format::Framed, ["one\n\0", "LKF1"], None, 2),
    ];
    for (name, format, records, columns, count) in formats {
        let (_directory, path) = place(name);
        ours(&path, &format, &records);
        let before = everything(&path);
        let report = checked(&path);
        assert_eq!(report.verdict(), Verdict::Whole, "{report:?}");
        let bytes = fs::metadata(&path).unwrap().len();
        assert_eq!((report.format, report.bytes, report.whole_bytes), (format.kind(), bytes, bytes));
        assert_eq!((report.records, report.columns, report.ours), (count, columns, true));
        assert_eq!(report.next_sequence, (name == "out.lkf").then_some(3));
        assert_eq!(report.floor, Some(0));
        assert!(matches!(report.checkpoint, CheckpointFound::Fits { at, .. } if at == bytes), "{report:?}");
        assert_eq!(everything(&path), before, "a check changes nothing, nor does the lock file name it");
    }
}

#[test]
fn a_file_of_others_is_checked_and_nothing_is_made_beside_it() {
    let (_directory, path) = place("theirs.csv");
    fs::write(&path, "a,b\n1,2\n").unwrap();
    let report = checked(&path);
    assert_eq!((report.verdict(), report.ours, report.floor), (Verdict::Whole, false, Some(0)));
    assert_eq!(report.checkpoint, CheckpointFound::Missing);
    assert_eq!(everything(&path).len(), 1);
    fs::write(&path, "").unwrap();
    assert_eq!(checked(&path).verdict(), Verdict::Whole, "an empty file is whole");
}

#[test]
fn a_torn_end_of_ours_is_torn_and_a_repair_cuts_what_opening_would() {
    for (name, format, record, torn) in [
        ("out.txt", Format::Lines, "whole", "half"),
        ("out.csv", csv(&["a", "b"]), "1,2", "3,\"quoted\nhalf"),
        ("out.jsonl", Format::Jsonl, "{}", "{\"a\":"),
        ("out.lkf", Format::Framed, "whole", "LKF1 half"),
    ] {
        let (_directory, path) = place(name);
        ours(&path, &format, &[record]);
        let whole = fs::read(&path).unwrap();
        // A header that is cut off, in framed: a torn one would not fit its checksum.
        let torn = if name == "out.lkf" { &whole[..30] } else { torn.as_bytes() };
        push(&path, torn);
        let report = checked(&path);
        assert_eq!(report.verdict(), Verdict::Torn, "{report:?}");
        assert_eq!(report.whole_bytes, whole.len() as u64);
        assert_eq!(report.torn.as_deref(), Some("a record without its end"));

        let repaired = repair(&path, &plain()).unwrap();
        let cut = repaired.torn.expect("something was cut");
        assert_eq!((cut.offset, cut.bytes), (whole.len() as u64, torn.len() as u64));
        assert_eq!(fs::read(&cut.saved_to).unwrap(), piece(&cut, torn));
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!((repaired.bytes, repaired.records), (report.whole_bytes, report.records));
        assert_eq!(checked(&path).verdict(), Verdict::Whole);
        ours(&path, &format, &[record]);
        assert_eq!(repair(&path, &plain()).unwrap().torn, None, "a second repair has nothing to do");
    }
}

/// Opening it would refuse it, so a script must not be told that opening it mends it.
#[test]
fn a_torn_end_of_others_is_damage_and_is_cut_only_where_that_was_asked_for() {
    let (_directory, path) = place("theirs.txt");
    fs::write(&path, "whole\nhalf").unwrap();
    let report = checked(&path);
    assert_eq!(report.verdict(), Verdict::Damaged);
    assert!(matches!(report.refused, Some(OpenError::ForeignTail { last_record_end: 6, bytes: 10, .. })), "{report:?}");
    let refused = repair(&path, &plain()).unwrap_err();
    assert!(matches!(refused, OpenError::ForeignTail { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"whole\nhalf");

    let cut = repair(&path, &cut()).unwrap().torn.expect("something was cut");
    assert_eq!(fs::read(&path).unwrap(), b"whole\n");
    assert_eq!(fs::read(&cut.saved_to).unwrap(), piece(&cut, b"half"));
    ours(&path, &Format::Lines, &["more"]);
}

#[test]
fn a_flipped_bit_in_a_frame_is_damage_that_only_a_cut_gets_rid_of() {
    let (_directory, path) = place("out.lkf");
    ours(&path, &Format::Framed, &["one", "two", "three"]);
    let mut bytes = fs::read(&path).unwrap();
    let second = 48 + 3;
    bytes[second + 48] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let report = checked(&path);
    assert_eq!(report.verdict(), Verdict::Damaged);
    assert_eq!((report.whole_bytes, report.records), (second as u64, 1));
    let fault = report.fault.expect("it is found");
    assert_eq!((fault.offset, &fault.what), (second as u64, &FaultKind::PayloadChecksum));

    let refused = repair(&path, &plain()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { at, .. } if at == second as u64), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");

    let repaired = repair(&path, &cut()).unwrap();
    assert_eq!((repaired.bytes, repaired.records), (second as u64, 1));
    let cut = repaired.torn.expect("something was cut");
    assert_eq!(fs::read(beside(&path, ".torn")).unwrap(), piece(&cut, &bytes[second..]));
    assert_eq!(checked(&path).verdict(), Verdict::Whole);
    ours(&path, &Format::Framed, &["two again"]);
    let report = checked(&path);
    assert_eq!((report.verdict(), report.records, report.next_sequence), (Verdict::Whole, 2, Some(3)));
}

#[test]
fn records_that_are_not_what_their_format_says_are_damage_though_the_file_can_be_opened() {
    let (_directory, path) = place("out.jsonl");
    fs::write(&path, "{}\nnot json\n[1]\n").unwrap();
    let report = checked(&path);
    assert_eq!((report.verdict(), report.records, report.oddities.count), (Verdict::Damaged, 3, 1));
    assert!(report.refused.is_none() && report.fault.is_none(), "{report:?}");
    let first = report.oddities.first.expect("the first is told").offset;
    assert!((3..11).contains(&first), "in the second line, not at {first}");
    ours(&path, &Format::Jsonl, &["{}"]);
}

#[test]
fn a_file_that_is_open_or_missing_or_no_file_is_refused() {
    let (directory, path) = place("out.txt");
    assert!(matches!(check(&path), Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
    assert!(matches!(check(directory.path()), Err(OpenError::NotRegular { .. })));
    assert!(repair(&path, &plain()).is_err() && !path.exists());

    let (file, _) = AppendFile::open(&spec(&path, &Format::Lines)).unwrap();
    let busy = check(&path).unwrap_err();
    assert!(matches!(&busy, OpenError::AlreadyOpen { open_as, .. } if *open_as == path), "{busy}");
    assert!(matches!(repair(&path, &plain()), Err(OpenError::Busy { .. })));
    file.append(b"one", unguarded).unwrap();
    drop(file);
    assert_eq!(checked(&path).verdict(), Verdict::Whole);
}

#[test]
fn a_format_that_is_not_the_files_own_is_refused_and_harms_nothing() {
    let (_directory, path) = place("out.csv");
    ours(&path, &csv(&["a"]), &["1"]);
    let asked = Some(FormatKind::Framed);
    let refused = inspect::check(&local(), &path, asked, |_, _| {}).unwrap_err();
    assert!(matches!(refused, OpenError::OtherFormat { is: FormatKind::Csv, .. }), "{refused}");
    let refused = repair(&path, &RepairSpec { format: asked, ..cut() }).unwrap_err();
    assert!(matches!(refused, OpenError::OtherFormat { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"a\n1\n");
    // Its ending says nothing against what its checkpoint says.
    let (_directory, path) = place("out.dat");
    ours(&path, &Format::Jsonl, &["1"]);
    assert_eq!(checked(&path).format, FormatKind::Jsonl);
    let likeness = inspect::likeness(&local(), &path).unwrap();
    assert_eq!((likeness.format, likeness.ours), (FormatKind::Jsonl, true));
    // The checkpoint of a file that is gone says nothing of the one in its place.
    fs::rename(&path, path.with_extension("old")).unwrap();
    fs::write(&path, "no json\n").unwrap();
    let report = checked(&path);
    assert_eq!((report.format, report.checkpoint), (FormatKind::Lines, CheckpointFound::OfAnotherFile));
}

fn fenced(path: &Path, format: &Format, end: u64) {
    let (file, _) = AppendFile::open(&spec(path, format)).unwrap();
    file.reserve_fences(end).unwrap();
    file.append(b"1", || Ok::<_, io::Error>(Some(end - 1))).unwrap();
}

#[test]
fn a_lost_floor_of_text_is_damage_until_it_is_set_and_never_goes_back() {
    let (_directory, path) = place("out.txt");
    fenced(&path, &Format::Lines, 100);
    assert_eq!(checked(&path).floor, Some(100));
    fs::remove_file(beside(&path, ".checkpoint")).unwrap();
    let report = checked(&path);
    assert_eq!((report.floor, report.verdict()), (None, Verdict::Damaged));
    assert!(matches!(report.refused, Some(OpenError::FloorLost { .. })), "{report:?}");
    let refused = repair(&path, &cut()).unwrap_err();
    assert!(matches!(refused, OpenError::FloorLost { .. }), "{refused}");
    assert!(matches!(AppendFile::open(&spec(&path, &Format::Lines)), Err(OpenError::FloorLost { .. })));

    let floor = |floor| RepairSpec { fence_floor: Some(floor), ..plain() };
    assert_eq!(repair(&path, &floor(200)).unwrap().floor, 200);
    assert_eq!((checked(&path).floor, checked(&path).verdict()), (Some(200), Verdict::Whole));
    let refused = repair(&path, &floor(199)).unwrap_err();
    assert!(matches!(refused, OpenError::FloorTooLow { asked: 199, known: 200, .. }), "{refused}");
    assert_eq!(repair(&path, &plain()).unwrap().floor, 200, "a repair keeps it");
    let (_file, report) = AppendFile::open(&spec(&path, &Format::Lines)).unwrap();
    assert_eq!(report.floor, 200);
}

/// After a repair without a floor the sidecar still says that there were fences: losing the checkpoint again is refused again.
#[test]
fn a_repair_does_not_forget_that_there_were_fences() {
    let (_directory, path) = place("out.txt");
    fenced(&path, &Format::Lines, 100);
    repair(&path, &plain()).unwrap();
    fs::remove_file(beside(&path, ".checkpoint")).unwrap();
    assert!(matches!(checked(&path).refused, Some(OpenError::FloorLost { .. })));
    repair(&path, &RepairSpec { fence_floor: Some(0), ..plain() }).unwrap();
    fs::remove_file(beside(&path, ".checkpoint")).unwrap();
    assert!(matches!(checked(&path).refused, Some(OpenError::FloorLost { .. })));
}

#[test]
fn a_lost_floor_of_frames_is_found_in_them() {
    let (_directory, path) = place("out.lkf");
    fenced(&path, &Format::Framed, 100);
    fs::remove_file(beside(&path, ".checkpoint")).unwrap();
    let report = checked(&path);
    assert_eq!((report.floor, report.verdict()), (Some(99), Verdict::Whole));
    assert_eq!(repair(&path, &plain()).unwrap().floor, 99);
}

fn with_ids_spec(path: &Path) -> FileSpec {
    let mut spec = spec(path, &Format::Lines);
    spec.ids = true;
    spec
}

fn with_ids(path: &Path, records: &[(&str, u8)]) {
    let (file, _) = AppendFile::open(&with_ids_spec(path)).unwrap();
    for (record, id) in records {
        let options = AppendOptions { id: Some(id_of(*id)), ..AppendOptions::default() };
        file.commit_with(&file.encode(record.as_bytes()).unwrap(), &options, unguarded).unwrap();
    }
}

fn id_of(number: u8) -> RecordId {
    format!("{number:032x}").parse().expect("an id")
}

#[test]
fn ids_whose_records_were_torn_off_are_told_and_dropped() {
    let (_directory, path) = place("out.txt");
    with_ids(&path, &[("one", 1), ("two", 2)]);
    let ids = checked(&path).ids.expect("it has ids");
    assert_eq!((ids.fitting, ids.without_records, ids.damaged, ids.missing), (2, 0, 0, 0));
    // As if the host had died after the id and before all of the record.
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 2]).unwrap();
    let report = checked(&path);
    let ids = report.ids.expect("it has ids");
    assert_eq!((ids.fitting, ids.without_records), (1, 1));
    let repaired = repair(&path, &cut()).unwrap();
    assert_eq!(repaired.ids, Some(IdsRepaired { kept: 1, dropped: 1, ..IdsRepaired::default() }));
    let report = checked(&path);
    assert_eq!((report.verdict(), report.ids.map(|ids| ids.fitting)), (Verdict::Whole, Some(1)));
    let (file, _) = AppendFile::open(&with_ids_spec(&path)).unwrap();
    assert!(file.has(id_of(1)) && !file.has(id_of(2)));
}

/// A repair said "0 kept, 0 dropped" of ids that were gone, and a check nothing at all as long as nobody had opened the file:
/// that records can be appended twice from then on was nowhere to be read.
#[test]
fn ids_that_were_lost_are_counted_by_a_check_and_by_a_repair_and_what_it_costs_is_said() {
    type Lose = fn(&Path);
    let cases: [(Lose, IdsRepaired); 3] = [
        (|ids| fs::remove_file(ids).unwrap(), IdsRepaired { missing: 3, ..IdsRepaired::default() }),
        (
            |ids| OpenOptions::new().write(true).open(ids).unwrap().set_len(64 + 64).unwrap(),
            IdsRepaired { kept: 1, missing: 2, ..IdsRepaired::default() },
        ),
        (
            |ids| {
                let mut bytes = fs::read(ids).unwrap();
                bytes[64 + 30] ^= 1;
                fs::write(ids, bytes).unwrap();
            },
            IdsRepaired { kept: 2, damaged: 1, ..IdsRepaired::default() },
        ),
    ];
    for (lose, expected) in cases {
        let (_directory, path) = place("out.txt");
        with_ids(&path, &[("one", 1), ("two", 2), ("three", 3)]);
        lose(&beside(&path, ".ids"));
        // Opening the file makes a sidecar where there is none.
        for _ in 0..2 {
            let report = checked(&path);
            let ids = report.ids.expect("it had ids");
            assert_eq!((ids.fitting, ids.missing.max(ids.damaged)), (expected.kept, expected.lost()), "{ids:?}");
            assert!(matches!(report.refused, Some(OpenError::Ids { .. })), "{report:?}");
            let refused = AppendFile::open(&with_ids_spec(&path)).unwrap_err();
            assert!(matches!(refused, OpenError::Ids { .. }), "{refused}");
            assert!(refused.to_string().contains("may then be appended once more"), "{refused}");
        }
        assert_eq!(repair(&path, &plain()).unwrap().ids, Some(expected));
        assert_eq!(checked(&path).verdict(), Verdict::Whole);
        let (file, opened) = AppendFile::open(&with_ids_spec(&path)).unwrap();
        assert_eq!(opened.ids.map(|ids| ids.known), Some(expected.kept));
        assert_eq!(file.has(id_of(3)), expected.missing == 0);
    }
}

/// The disk of this machine, which loses what a failed sync was to write, and starts anew when told to.
#[derive(Debug, Default)]
struct Faulty {
    fails_syncs: AtomicBool,
    /// From this byte of data files on the disk holds zeros, whatever the page cache says.
    lost_from: AtomicU64,
    boots: AtomicU64,
}

#[derive(Debug)]
struct FaultyFile {
    storage: Arc<dyn Storage>,
    is_data: bool,
    disk: Arc<Faulty>,
}

/// The disk as the crate takes it.
#[derive(Debug)]
struct Shared(Arc<Faulty>);

fn faulty() -> (Arc<Faulty>, Arc<dyn Disk>) {
    let faulty = Arc::new(Faulty { lost_from: AtomicU64::new(u64::MAX), ..Faulty::default() });
    (faulty.clone(), Arc::new(Shared(faulty)))
}

impl Disk for Shared {
    fn look(&self, path: &Path) -> io::Result<Option<Status>> {
        LocalDisk.look(path)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        let storage = LocalDisk.open(path, access)?;
        let is_data = path.extension().is_some_and(|ending| ending == "txt");
        Ok(Arc::new(FaultyFile { storage, is_data, disk: self.0.clone() }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }
    fn make_dirs(&self, path: &Path) -> io::Result<()> {
        LocalDisk.make_dirs(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_dir(path)
    }
    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        LocalDisk.lock(path, holder)
    }
    fn share(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        LocalDisk.share(path, holder)
    }
    fn read_note(&self, path: &Path) -> Result<Option<Note>, OsLockError> {
        LocalDisk.read_note(path)
    }
    fn boot(&self) -> Option<String> {
        Some(format!("boot-{}", self.0.boots.load(Ordering::Relaxed)))
    }
    fn remote(&self, dir: &Path) -> io::Result<Option<&'static str>> {
        LocalDisk.remote(dir)
    }
}

impl Storage for FaultyFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.storage.append(bytes)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.storage.write_at(bytes, offset)
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.storage.read_at(into, offset)
    }
    fn read_disk_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let got = self.storage.read_at(into, offset)?;
        for (at, byte) in (offset..).zip(&mut into[..got]) {
            if at >= self.disk.lost_from.load(Ordering::Relaxed) {
                *byte = 0;
            }
        }
        Ok(got)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.storage.truncate(len)
    }
    fn status(&self) -> io::Result<Status> {
        self.storage.status()
    }
    fn sync(&self) -> io::Result<()> {
        if self.is_data && self.disk.fails_syncs.load(Ordering::Relaxed) {
            return Err(io::Error::other("a sync fails"));
        }
        self.storage.sync()
    }
    fn set_aside(&self, offset: u64, len: u64) -> io::Result<()> {
        self.storage.set_aside(offset, len)
    }
    fn room(&self) -> io::Result<u64> {
        self.storage.room()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.storage.try_lock()
    }
    fn unlock(&self) {
        self.storage.unlock();
    }
}

/// A file of three lines of which one was synced when the next sync failed.
fn latched(path: &Path, faulty: &Faulty, disk: &Arc<dyn Disk>) {
    let (file, _) = AppendFile::open_on(disk, &spec(path, &Format::Lines)).unwrap();
    file.append(b"one", unguarded).unwrap();
    file.sync().wait().unwrap();
    file.append(b"two", unguarded).unwrap();
    file.append(b"three", unguarded).unwrap();
    faulty.fails_syncs.store(true, Ordering::Relaxed);
    assert!(file.sync().wait().is_err());
    faulty.fails_syncs.store(false, Ordering::Relaxed);
    drop(file);
    let refused = AppendFile::open_on(disk, &spec(path, &Format::Lines)).unwrap_err();
    assert!(matches!(refused, OpenError::SyncFailed { synced: 4, .. }), "{refused}");
}

#[test]
fn after_a_failed_sync_a_check_lifts_the_latch_if_the_disk_holds_what_was_written() {
    let (_directory, path) = place("out.txt");
    let (faulty, disk) = faulty();
    latched(&path, &faulty, &disk);
    let report = inspect::check(&disk, &path, None, |_, _| {}).unwrap();
    assert_eq!((report.was_in_doubt, report.not_on_disk, report.verdict()), (true, None, Verdict::Whole));
    let again = inspect::check(&disk, &path, None, |_, _| {}).unwrap();
    assert!(!again.was_in_doubt);
    let (_file, report) = AppendFile::open_on(&disk, &spec(&path, &Format::Lines)).unwrap();
    assert_eq!(report.records_before, 3);
}

#[test]
fn after_a_failed_sync_what_the_disk_lost_keeps_the_latch_and_a_repair_keeps_the_rest() {
    let (_directory, path) = place("out.txt");
    let (faulty, disk) = faulty();
    latched(&path, &faulty, &disk);
    // In the middle of the third line.
    faulty.lost_from.store(10, Ordering::Relaxed);
    for _ in 0..2 {
        let report = inspect::check(&disk, &path, None, |_, _| {}).unwrap();
        assert_eq!((report.was_in_doubt, report.not_on_disk, report.verdict()), (true, Some(10), Verdict::Damaged));
        assert!(matches!(report.refused, Some(OpenError::NotOnDisk { at: 10, .. })), "{report:?}");
    }
    let repaired = inspect::repair(&disk, &path, &plain(), |_, _| {}).unwrap();
    assert_eq!((repaired.bytes, repaired.records), (8, 2));
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    let cut = repaired.torn.expect("something was cut");
    assert_eq!(fs::read(beside(&path, ".torn")).unwrap(), piece(&cut, b"three\n"));
    faulty.lost_from.store(u64::MAX, Ordering::Relaxed);
    let (_file, report) = AppendFile::open_on(&disk, &spec(&path, &Format::Lines)).unwrap();
    assert_eq!(report.records_before, 2);
}

/// Zeros at the end are what a power cut leaves of lines whose length alone reached the disk.
#[test]
fn zeros_after_a_power_cut_are_a_torn_end_and_without_one_are_damage() {
    let (_directory, path) = place("out.txt");
    let (faulty, disk) = faulty();
    let (file, _) = AppendFile::open_on(&disk, &spec(&path, &Format::Lines)).unwrap();
    file.append(b"one", unguarded).unwrap();
    file.sync().wait().unwrap();
    drop(file);
    push(&path, b"two\nth\0\0\0\0");
    let report = inspect::check(&disk, &path, None, |_, _| {}).unwrap();
    assert_eq!((report.verdict(), report.whole_bytes), (Verdict::Damaged, 8));
    assert!(matches!(inspect::repair(&disk, &path, &plain(), |_, _| {}), Err(OpenError::Damaged { at: 10, .. })));

    faulty.boots.fetch_add(1, Ordering::Relaxed);
    let report = inspect::check(&disk, &path, None, |_, _| {}).unwrap();
    assert_eq!((report.verdict(), report.whole_bytes), (Verdict::Torn, 8), "{report:?}");
    let repaired = inspect::repair(&disk, &path, &plain(), |_, _| {}).unwrap();
    assert_eq!((repaired.bytes, repaired.records), (8, 2));
    let cut = repaired.torn.expect("something was cut");
    assert_eq!(fs::read(beside(&path, ".torn")).unwrap(), piece(&cut, b"th\0\0\0\0"));
}

#[test]
fn of_a_file_cut_below_its_checkpoint_a_check_says_what_opening_it_does() {
    let (_directory, path) = place("out.txt");
    let (file, _) = AppendFile::open(&spec(&path, &Format::Lines)).unwrap();
    file.append(b"one", unguarded).unwrap();
    file.append(b"two", unguarded).unwrap();
    file.sync().wait().unwrap();
    drop(file);
    fs::write(&path, "one\ntw").unwrap();
    let report = checked(&path);
    // The checkpoint does not fit any more, so nobody knows what was synced; whoever opens it is told that.
    assert_eq!((report.verdict(), report.checkpoint), (Verdict::Torn, CheckpointFound::Stale));
    let (_file, opened) = AppendFile::open(&spec(&path, &Format::Lines)).unwrap();
    assert_eq!((opened.bytes_before, opened.checkpoint), (report.whole_bytes, CheckpointUse::Stale));
}

/// A checkpoint as it was before it was written last.
fn without_the_last_slot(mut checkpoint: Vec<u8>) -> Vec<u8> {
    let generation = |slot: &[u8]| -> Option<u64> {
        let text = String::from_utf8_lossy(slot).into_owned();
        text.lines().find_map(|line| line.strip_prefix("generation ")?.parse().ok())
    };
    let last = checkpoint.chunks_mut(4096).max_by_key(|slot| generation(slot)).expect("there is a slot");
    last.fill(0);
    checkpoint
}

/// A batch of rows that was not written to its end is none of it, though its first rows are whole.
#[test]
fn half_a_batch_is_torn_from_its_start_for_check_repair_and_open_alike() {
    let (_directory, path) = place("out.txt");
    let whole = "one\n";
    for by_repair in [true, false] {
        let (file, _) = AppendFile::open(&spec(&path, &Format::Lines)).unwrap();
        if by_repair {
            file.append(b"one", unguarded).unwrap();
        }
        // What is written after a mark tells where the batch was.
        file.sync().wait().unwrap();
        let before = fs::read(beside(&path, ".checkpoint")).unwrap();
        file.append_batch(&["a".repeat(5000), "b".repeat(5000)], unguarded).unwrap();
        // The word about it is taken back afterwards, in a slot of its own.
        let during = without_the_last_slot(fs::read(beside(&path, ".checkpoint")).unwrap());
        drop(file);
        assert_ne!(before, during, "a batch is noted before it is written");
        // As a host leaves it that was killed in the middle of the write.
        fs::write(beside(&path, ".checkpoint"), during).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(4 + 5001 + 10).unwrap();
        let report = checked(&path);
        assert_eq!((report.verdict(), report.whole_bytes, report.records), (Verdict::Torn, 4, 1), "{report:?}");
        assert_eq!(report.torn.as_deref(), Some("a batch that was not written to its end"));
        match by_repair {
            true => assert_eq!(repair(&path, &plain()).unwrap().bytes, 4),
            false => drop(AppendFile::open(&spec(&path, &Format::Lines)).unwrap()),
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }
}

#[test]
fn progress_goes_up_to_the_length_of_the_file() {
    let (_directory, path) = place("big.txt");
    fs::write(&path, "0123456789abcde\n".repeat(100_000)).unwrap();
    let mut told = Vec::new();
    inspect::check(&local(), &path, None, |done, of| told.push((done, of))).unwrap();
    assert!(told.len() > 1 && told.is_sorted() && told.last() == Some(&(1_600_000, 1_600_000)), "{told:?}");
}
