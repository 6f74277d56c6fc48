//! Others meddle with the file or with what lies beside it; quotas and read-only disks.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_journal::inspect::{self, CheckSpec, LockFileFound, RepairSpec, Verdict};
use lockkeeper_journal::storage::Disk;
use lockkeeper_journal::{
    AppendError, AppendFile, AppendOptions, Change, CheckpointUse, FileSpec, Format, FormatKind, IDS_PER_FILE_MAX,
    LatchCause, OpenError, OpenReport, Quota, RecordId, SyncError, unguarded,
};
use rustix::io::Errno;

use crate::double::{Fault, Kind, Machine};
use crate::script::{FLAVOURS, Flavour, OUT, TORN, machine};

const LINES: Flavour = Flavour { format: FormatKind::Lines, ids: false };
const LINES_WITH_IDS: Flavour = Flavour { format: FormatKind::Lines, ids: true };
const FRAMED: Flavour = Flavour { format: FormatKind::Framed, ids: false };

fn open_with(machine: &Machine, spec: &FileSpec) -> Result<(AppendFile, OpenReport), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    AppendFile::open_on(&disk, spec)
}

fn open(machine: &Machine, flavour: Flavour) -> Result<(AppendFile, OpenReport), OpenError> {
    open_with(machine, &flavour.spec())
}

fn spec_with(flavour: Flavour, change: impl FnOnce(&mut FileSpec)) -> FileSpec {
    let mut spec = flavour.spec();
    change(&mut spec);
    spec
}

fn opened(flavour: Flavour) -> (Machine, AppendFile) {
    let machine = machine();
    let (file, _) = open(&machine, flavour).expect("it can be opened");
    for n in 0..3 {
        file.append(&flavour.record(n), unguarded).expect("it can be appended to");
    }
    (machine, file)
}

fn code<E>(error: &AppendError<E>) -> Option<i32> {
    match error {
        AppendError::Io { source, .. } => source.raw_os_error(),
        _ => None,
    }
}

fn number(errno: Errno) -> Option<i32> {
    Some(errno.raw_os_error())
}

#[test]
fn a_file_that_others_changed_is_latched_before_anything_more_is_written() {
    type Case = (fn(&Machine), fn(u64) -> Change);
    let cases: [Case; 4] = [
        (|machine| machine.truncate(OUT, 2), |expected| Change::Truncated { expected, found: 2 }),
        (|machine| machine.append(OUT, b"!"), |expected| Change::Grown { expected, found: expected + 1 }),
        (|machine| machine.unlink(OUT), |_| Change::Unlinked),
        (|machine| machine.replace(OUT, b"another"), |_| Change::Unlinked),
    ];
    for flavour in FLAVOURS {
        for (meddle, expected) in cases {
            let machine = machine();
            let (file, _) = open_with(&machine, &spec_with(flavour, |spec| spec.look_every = Duration::ZERO))
                .expect("it can be opened");
            for n in 0..3 {
                file.append(&flavour.record(n), unguarded).expect("it can be appended to");
            }
            let expected = expected(file.position().bytes);
            meddle(&machine);
            let left = machine.read(OUT);
            let error = file.append(&flavour.record(3), unguarded).expect_err("it was changed");
            assert!(matches!(error, AppendError::Changed { what, .. } if what == expected), "{error}");
            let error = file.append(&flavour.record(3), unguarded).expect_err("it was changed");
            assert!(
                matches!(error, AppendError::Latched { cause: LatchCause::Changed(what), .. } if what == expected),
                "{error}"
            );
            file.sync().wait().expect_err("it is latched");
            drop(file);
            assert_eq!(machine.read(OUT), left);
        }
    }
}

#[test]
fn a_file_that_was_renamed_or_replaced_is_found_out_at_the_next_sync() {
    for replace in [false, true] {
        let (machine, file) = opened(LINES);
        machine.rename(OUT, "/data/elsewhere");
        if replace {
            machine.put(OUT, b"");
        }
        file.append(b"follows the file", unguarded).expect("it is whole where it is");
        let error = file.sync().wait().expect_err("it was renamed");
        assert!(matches!(error, SyncError::Latched { cause: LatchCause::Changed(Change::Renamed), .. }), "{error}");
        let error = file.append(b"never", unguarded).expect_err("it is latched");
        assert!(matches!(error, AppendError::Latched { .. }), "{error}");
        drop(file);
        assert!(machine.read("/data/elsewhere").is_some_and(|content| content.ends_with(b"follows the file\n")));
    }
}

#[test]
fn without_its_lock_file_a_file_still_has_one_writer() {
    let (machine, file) = opened(LINES);
    machine.unlink("/data/out.lock");
    let error = open(&machine.snapshot(), LINES).map(drop);
    assert!(error.is_ok(), "where nobody has it, it can be opened: {error:?}");
    // The list of open files of this process is not what keeps the second one out.
    let second = machine.host();
    let storage = second.open(Path::new(OUT), lockkeeper_journal::storage::Access::Append).expect("it is there");
    assert!(!storage.try_lock().expect("it can be tried"));
    file.append(b"goes on", unguarded).expect("it is ours");
    drop(file);
    assert!(storage.try_lock().expect("it can be tried"));
    let error = open(&machine, LINES).expect_err("another has it");
    assert!(matches!(error, OpenError::Busy { holder: None, .. }), "{error}");
}

#[test]
fn a_checkpoint_that_is_gone_damaged_or_of_another_file_costs_a_reading_of_the_whole_file() {
    type Meddle = fn(&Machine);
    let cases: [(Meddle, CheckpointUse); 4] = [
        (|machine| machine.unlink("/data/out.checkpoint"), CheckpointUse::Missing),
        (
            |machine| machine.put("/data/out.checkpoint", b"lockkeeper-checkpoint 1\nnonsense"),
            CheckpointUse::Unreadable,
        ),
        (
            |machine| {
                let (file, _) = open_with(machine, &spec_with(LINES, |spec| spec.path = "/data/b".into())).unwrap();
                drop(file);
                let other = machine.read("/data/b.checkpoint").unwrap();
                machine.put("/data/out.checkpoint", &other);
            },
            CheckpointUse::Stale,
        ),
        (
            |machine| {
                machine.sync_all();
                machine.damage(OUT, 3, b"X");
            },
            CheckpointUse::Stale,
        ),
    ];
    for (meddle, expected) in cases {
        let (machine, file) = opened(LINES);
        drop(file);
        meddle(&machine);
        let before = machine.read(OUT).expect("it is there");
        let (file, report) = open(&machine, LINES).expect("the file is whole");
        assert_eq!((report.checkpoint, report.bytes_read), (expected, before.len() as u64));
        assert_eq!((report.records_before, report.torn), (3, None));
        file.append(b"next", unguarded).expect("it can be appended to");
        drop(file);
        let (_, report) = open(&machine, LINES).expect("the file is whole");
        assert_eq!((report.checkpoint, report.bytes_read), (CheckpointUse::Used, 0));
    }
}

#[test]
fn a_floor_whose_record_is_lost_is_found_in_frames_and_else_asked_for() {
    for flavour in [LINES, FRAMED] {
        for gone in [true, false] {
            let (machine, file) = opened(flavour);
            file.reserve_fences(20).expect("the disk is healthy");
            file.append(&flavour.record(4), || Ok::<_, Infallible>(Some(21))).expect("the fence is high enough");
            drop(file);
            match gone {
                true => machine.unlink("/data/out.checkpoint"),
                false => machine.put("/data/out.checkpoint", &[b'x'; 9000]),
            }
            if flavour == FRAMED {
                let (file, report) = open(&machine, flavour).expect("the frames say it");
                assert_eq!((report.floor, file.floor()), (21, 21));
                continue;
            }
            let error = open(&machine, flavour).expect_err("the floor is lost");
            assert!(matches!(error, OpenError::FloorLost { .. }), "{error}");
            let disk: Arc<dyn Disk> = Arc::new(machine.host());
            let spec = RepairSpec { fence_floor: Some(30), ..RepairSpec::default() };
            inspect::repair(&disk, Path::new(OUT), &spec, |_, _| {}).expect("a floor is given");
            let (file, report) = open(&machine, flavour).expect("it was repaired");
            assert_eq!((report.floor, file.floor()), (30, 30));
        }
    }
}

/// A sidecar of ids that somebody removed or damaged is missed, since the checkpoint knows how many there were.
#[test]
fn ids_that_are_gone_or_damaged_are_missed_and_only_a_repair_goes_on_without_them() {
    type Meddle = fn(&Machine);
    let cases: [Meddle; 3] = [
        |machine| machine.unlink("/data/out.ids"),
        |machine| machine.damage("/data/out.ids", 64 + 30, b"\xff\xff"),
        |machine| machine.truncate("/data/out.ids", 64 + 64),
    ];
    for meddle in cases {
        let (machine, file) = opened(LINES_WITH_IDS);
        for n in 3..6_u64 {
            let encoded = file.encode(&LINES_WITH_IDS.record(n)).expect("it is a record");
            let options = AppendOptions { id: Some(RecordId::of(&n.to_le_bytes())), ..AppendOptions::default() };
            file.commit_with(&encoded, &options, unguarded).expect("it can be appended to");
        }
        drop(file);
        machine.sync_all();
        let before = machine.read(OUT);
        meddle(&machine);
        let error = open(&machine, LINES_WITH_IDS).expect_err("ids are missing");
        assert!(matches!(error, OpenError::Ids { .. }), "{error}");
        assert_eq!(machine.read(OUT), before);
        let disk: Arc<dyn Disk> = Arc::new(machine.host());
        inspect::repair(&disk, Path::new(OUT), &RepairSpec::default(), |_, _| {}).expect("it can be repaired");
        let (file, report) = open(&machine, LINES_WITH_IDS).expect("it was repaired");
        assert_eq!((machine.read(OUT), report.records_before), (before, 6));
        drop(file);
    }
}

#[test]
fn a_failed_sync_is_remembered_by_restarts_and_power_cuts_until_a_check_has_seen_the_disk() {
    for flavour in FLAVOURS {
        let (machine, file) = opened(flavour);
        file.sync().wait().expect("the disk is healthy");
        file.append(&flavour.record(3), unguarded).expect("it can be appended to");
        machine.inject(Fault::late(Errno::IO).on(&[Kind::Sync]).of("/out"));
        file.sync().wait().expect_err("the sync failed");
        file.append(&flavour.record(4), unguarded).expect_err("it is latched");
        drop(file);
        for machine in [machine.snapshot(), machine.cut_to_synced()] {
            for _ in 0..2 {
                let error = open(&machine, flavour).expect_err("it is latched");
                assert!(matches!(error, OpenError::SyncFailed { .. }), "{error}");
            }
            let disk: Arc<dyn Disk> = Arc::new(machine.host());
            let report = inspect::check(&disk, Path::new(OUT), None, |_, _| {}).expect("it can be read");
            assert!(report.was_in_doubt && report.not_on_disk.is_none(), "{report:?}");
            let (file, _) = open(&machine, flavour).expect("the disk holds it");
            file.append(&flavour.record(5), unguarded).expect("it can be appended to");
            file.sync().wait().expect("the disk is healthy");
        }
    }
}

#[test]
fn a_host_that_dies_before_it_can_note_its_failed_sync_leaves_it_to_be_found_out() {
    for flavour in FLAVOURS {
        let (machine, file) = opened(flavour);
        file.sync().wait().expect("the disk is healthy");
        let synced = machine.read(OUT);
        file.append(&flavour.record(3), unguarded).expect("it can be appended to");
        machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of("/out"));
        machine.inject(Fault::death(0).on(&[Kind::WriteAt]).of(".checkpoint"));
        file.sync().wait().expect_err("the sync failed");
        drop(file);
        for _ in 0..2 {
            let error = open(&machine, flavour).expect_err("the page cache is not believed");
            assert!(matches!(error, OpenError::NotOnDisk { .. }), "{error}");
        }
        let disk: Arc<dyn Disk> = Arc::new(machine.host());
        let report = inspect::check(&disk, Path::new(OUT), None, |_, _| {}).expect("it can be read");
        assert!(report.not_on_disk.is_some());
        open(&machine, flavour).expect_err("a check lifts nothing that is not on the disk");
        inspect::repair(&disk, Path::new(OUT), &RepairSpec::default(), |_, _| {}).expect("it can be repaired");
        assert_eq!(machine.read(OUT), synced);
        let (file, _) = open(&machine, flavour).expect("it was repaired");
        file.append(&flavour.record(5), unguarded).expect("it can be appended to");
        file.sync().wait().expect("the disk is healthy");
        assert_eq!(machine.read_synced(OUT), machine.read(OUT));
    }
}

#[test]
fn on_a_disk_that_became_read_only_appends_fail_and_work_again_when_it_is_not() {
    for flavour in FLAVOURS {
        let (machine, file) = opened(flavour);
        let before = machine.read(OUT);
        machine.inject(Fault::read_only());
        for _ in 0..2 {
            let error = file.append(&flavour.record(3), unguarded).expect_err("it is read-only");
            assert_eq!(code(&error), number(Errno::ROFS), "{error}");
        }
        assert!(file.latched().is_none());
        assert_eq!(machine.read(OUT), before);
        machine.heal();
        file.append(&flavour.record(3), unguarded).expect("it is no longer read-only");
    }
}

#[test]
fn a_remote_disk_is_refused_by_name_and_taken_only_when_that_was_said() {
    let machine = machine();
    machine.set(|settings| settings.remote = Some("NFS"));
    let error = open(&machine, LINES).expect_err("it is remote");
    assert!(matches!(error, OpenError::Remote { file_system: "NFS", .. }), "{error}");
    assert!(error.to_string().contains("NFS") && error.to_string().contains("lost"), "{error}");
    assert_eq!(machine.read(OUT), None);
    let (file, _) = open_with(&machine, &spec_with(LINES, |spec| spec.allow_remote = true)).expect("it was said");
    file.append(b"x", unguarded).expect("it can be appended to");
}

/// A check opened the lock file for writing and left its own name in it, so a backup on a read-only mount, or the file of
/// somebody else, could not be looked at.
#[test]
fn a_check_works_where_nothing_may_be_written_and_writes_only_to_lift_a_latch() {
    let check = |machine: &Machine| {
        let disk: Arc<dyn Disk> = Arc::new(machine.host());
        inspect::check(&disk, Path::new(OUT), None, |_, _| {})
    };
    for flavour in FLAVOURS {
        let (machine, file) = opened(flavour);
        file.sync().wait().expect("the disk is healthy");
        let error = check(&machine.snapshot()).map(drop);
        assert!(error.is_ok(), "where nobody has it, it can be checked: {error:?}");
        let error = check(&machine).expect_err("it is being written");
        assert!(matches!(error, OpenError::AlreadyOpen { .. } | OpenError::Busy { .. }), "{error}");
        drop(file);
        let (lock, before) = (machine.read("/data/out.lock"), machine.operations());
        machine.inject(Fault::read_only());
        let report = check(&machine).expect("it is only read");
        assert_eq!((report.verdict(), report.ours, report.lock_file), (Verdict::Whole, true, LockFileFound::Read));
        let changes = machine.log().into_iter().filter(|it| it.number > before && Kind::CHANGES.contains(&it.kind));
        assert_eq!(changes.map(|it| it.kind).collect::<Vec<_>>(), [], "nothing was tried");
        assert_eq!(machine.read("/data/out.lock"), lock, "it still names its last writer");

        // Somebody else's lock file: whose the file is, is known from the checkpoint, and that nobody writes it, from itself.
        machine.heal();
        machine.inject(Fault::fail(Errno::ACCESS).on(&[Kind::OpenRead]).of(".lock").forever());
        let report = check(&machine).expect("it is only read");
        assert_eq!((report.verdict(), report.ours, report.lock_file), (Verdict::Whole, true, LockFileFound::Forbidden));
        machine.heal();
        let writer = machine.host();
        let storage = writer.open(Path::new(OUT), lockkeeper_journal::storage::Access::Append).expect("it is there");
        assert!(storage.try_lock().expect("it can be tried"));
        let error = check(&machine).expect_err("it is being written");
        assert!(matches!(&error, OpenError::Busy { holder: Some(holder), .. } if holder.text == "a test"), "{error}");
        machine.inject(Fault::fail(Errno::ACCESS).on(&[Kind::OpenRead]).of(".lock").forever());
        let error = check(&machine).expect_err("it is being written");
        assert!(matches!(error, OpenError::Busy { holder: None, .. }), "{error}");
    }
    let (machine, file) = opened(LINES);
    machine.inject(Fault::late(Errno::IO).on(&[Kind::Sync]).of("/out"));
    file.sync().wait().expect_err("the sync failed");
    drop(file);
    machine.inject(Fault::read_only());
    let error = check(&machine).expect_err("that cannot be noted here");
    assert!(matches!(error, OpenError::Io { action: "write", .. }), "{error}");
    machine.heal();
    assert!(check(&machine).expect("now it can").was_in_doubt);
}

/// A repair locked and cut on NFS as if its lock kept anybody away there, and a check lifted latches by what NFS said of
/// its disk.
#[test]
fn on_a_remote_disk_nothing_is_repaired_and_no_latch_lifted_unless_that_was_said() {
    let (machine, file) = opened(LINES);
    file.sync().wait().expect("the disk is healthy");
    file.append(b"one more", unguarded).expect("it can be appended to");
    machine.inject(Fault::late(Errno::IO).on(&[Kind::Sync]).of("/out"));
    file.sync().wait().expect_err("the sync failed");
    drop(file);
    machine.append(OUT, b"half");
    machine.unlink("/data/out.lock");
    machine.set(|settings| settings.remote = Some("FUSE"));
    let names = machine.names();
    let content = machine.read(OUT);
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    let path = Path::new(OUT);
    let is_refused = |error: OpenError| {
        assert!(matches!(error, OpenError::Remote { file_system: "FUSE", .. }), "{error}");
        assert_eq!((machine.names(), machine.read(OUT)), (names.clone(), content.clone()), "nothing was touched");
    };
    is_refused(inspect::repair(&disk, path, &RepairSpec::default(), |_, _| {}).expect_err("it is remote"));
    is_refused(inspect::check(&disk, path, None, |_, _| {}).expect_err("a latch would be lifted"));

    let spec = CheckSpec { allow_remote: true, ..CheckSpec::default() };
    let report = inspect::check_with(&disk, path, &spec, |_, _| {}).expect("it was said");
    assert!(report.was_in_doubt && report.not_on_disk.is_none(), "{report:?}");
    let report = inspect::check(&disk, path, None, |_, _| {}).expect("who only looks may look anywhere");
    assert!(!report.was_in_doubt && report.torn.is_some(), "{report:?}");
    let spec = RepairSpec { allow_remote: true, ..RepairSpec::default() };
    let report = inspect::repair(&disk, path, &spec, |_, _| {}).expect("it was said");
    assert_eq!(report.torn.map(|torn| torn.bytes), Some(4));
}

#[test]
fn a_quota_leaves_the_file_on_a_whole_record_and_a_smaller_one_may_fit() {
    let limit = |error: AppendError<Infallible>| match error {
        AppendError::Limit { quota, .. } => quota,
        other => panic!("{other}"),
    };
    for buffered in [false, true] {
        let machine = machine();
        let spec = spec_with(LINES, |spec| (spec.bytes_max, spec.records_max) = (Some(12), Some(3)));
        let (file, _) = open_with(&machine, &spec).expect("it can be opened");
        let options = AppendOptions { buffered, ..AppendOptions::default() };
        let append = |text: &[u8]| file.commit_with(&file.encode(text).unwrap(), &options, unguarded);
        append(b"12345").expect("there is room");
        assert_eq!(limit(append(b"123456").unwrap_err()), Quota::Bytes);
        append(b"1234").expect("a smaller one fits");
        append(b"").expect("the last byte");
        assert_eq!(limit(append(b"").unwrap_err()), Quota::Bytes);
        file.flush().expect("the disk is healthy");
        assert_eq!(machine.read(OUT).as_deref(), Some(&b"12345\n1234\n\n"[..]));
        drop(file);
        let spec = spec_with(LINES, |spec| spec.records_max = Some(3));
        let (file, _) = open_with(&machine, &spec).expect("it can be opened");
        let append = |text: &[u8]| file.commit_with(&file.encode(text).unwrap(), &options, unguarded);
        assert_eq!(limit(append(b"").unwrap_err()), Quota::Records, "those of earlier runs count");
    }
}

#[test]
fn what_has_to_stay_free_on_the_disk_stays_free() {
    let machine = machine();
    let spec = spec_with(LINES, |spec| (spec.reserve_bytes, spec.set_aside_bytes) = (5_000, 0));
    machine.set(|settings| settings.disk_bytes_max = Some(40_000));
    let (file, _) = open_with(&machine, &spec).expect("it can be opened");
    let record = [b'x'; 999];
    let mut appended = 0;
    let error = loop {
        match file.append(&record, unguarded) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Limit { quota: Quota::Reserve, max: 5_000, .. }), "{error}");
    assert!(appended > 15, "{appended}");
    assert_eq!(machine.read(OUT).map(|content| content.len()), Some(appended * 1_000));
    file.append(b"", unguarded).expect("a smaller one fits");
}

/// Every id stays in memory as long as its file is open, and one-byte records with ids of their own cost a guest little.
#[test]
fn a_file_takes_no_more_ids_than_its_limit_and_still_answers_for_those_that_it_has() {
    let machine = machine();
    let spec = spec_with(LINES_WITH_IDS, |spec| spec.ids_max = 3);
    let (file, _) = open_with(&machine, &spec).expect("it can be opened");
    let append = |n: u64| {
        let options = AppendOptions { id: Some(RecordId::of(&n.to_le_bytes())), ..AppendOptions::default() };
        file.commit_with(&file.encode(b"x").expect("it is a line"), &options, unguarded)
    };
    append(0).expect("there is room");
    append(1).expect("there is room");
    file.note_done(RecordId::of(b"done")).expect("it is the last");
    let is_full = |error: AppendError<Infallible>| {
        assert!(matches!(error, AppendError::Limit { quota: Quota::Ids, max: 3, .. }), "{error}");
        assert!(error.to_string().contains("ids_max"), "{error}");
    };
    is_full(append(2).expect_err("it is one too many"));
    is_full(file.note_done(RecordId::of(b"more")).expect_err("it is one too many"));
    assert!(append(1).expect("it is known").repeated);
    file.note_done(RecordId::of(b"done")).expect("it is known");
    file.append(b"without", unguarded).expect("it needs no id");
    assert_eq!(machine.read(OUT).as_deref(), Some(&b"x\nx\nwithout\n"[..]));
    assert_eq!(FileSpec::new(OUT, Format::Lines, "a test").ids_max, IDS_PER_FILE_MAX);
}

/// What was set aside ahead of a file was taken from the reserve, and each file had an allowance of its own, so that several
/// overran it together.
#[test]
fn what_has_to_stay_free_stays_free_beside_what_is_set_aside_and_beside_other_files() {
    const RESERVE: u64 = 2 << 20;
    // A checkpoint beside each file, which no quota counts.
    const BESIDE: u64 = 5 * 4096;
    for buffered in [false, true] {
        let machine = machine();
        machine.set(|settings| settings.disk_bytes_max = Some(8 << 20));
        // One host has all of them.
        let disk: Arc<dyn Disk> = Arc::new(machine.host());
        let files: Vec<_> = (0..5)
            .map(|n| {
                let mut spec = FileSpec::new(format!("/data/{n}"), Format::Lines, "a test");
                spec.reserve_bytes = RESERVE;
                assert!(spec.set_aside_bytes > 0);
                let (file, _) = AppendFile::open_on(&disk, &spec).expect("it can be opened");
                file.append(b"first", unguarded).expect("there is room");
                file.sync().wait().expect("the disk is healthy");
                file
            })
            .collect();
        let host = machine.host();
        let probe = host.open(Path::new("/data/0"), lockkeeper_journal::storage::Access::Read).expect("it is there");
        let options = AppendOptions { buffered, ..AppendOptions::default() };
        let record = vec![b'x'; 9_999];
        let (mut appended, mut full) = (0, 0);
        while full < files.len() {
            full = 0;
            for file in &files {
                match file.commit_with(&file.encode(&record).expect("it is a line"), &options, unguarded) {
                    Ok(_) => appended += 10_000,
                    Err(AppendError::Limit { quota: Quota::Reserve, .. }) => full += 1,
                    Err(error) => panic!("{error}"),
                }
                let free = probe.room().expect("it can be asked");
                assert!(free + BESIDE >= RESERVE, "only {free} bytes are free");
            }
        }
        files.iter().for_each(|file| file.flush().expect("what was accepted has room"));
        let free = probe.room().expect("it can be asked");
        assert!(free + BESIDE >= RESERVE, "only {free} bytes are free");
        assert!(appended > 5 << 20, "only {appended} bytes found room");
    }
}

#[test]
fn a_disk_that_fills_up_at_any_byte_leaves_whole_records_and_goes_on_when_there_is_room() {
    for flavour in FLAVOURS {
        for room in (0..1_500).step_by(13) {
            let (machine, file) = opened(flavour);
            let full: usize = machine
                .names()
                .iter()
                .filter(|path| path.extension().is_none_or(|it| it != "lock"))
                .filter_map(|path| machine.read(path))
                .map(|content| content.len())
                .sum();
            machine.set(|settings| settings.disk_bytes_max = Some((full + room) as u64));
            let mut content = machine.read(OUT).expect("it is there");
            for n in 3..20 {
                let encoded = file.encode(&flavour.record(n)).expect("it is a record");
                let id = flavour.ids.then(|| RecordId::of(&n.to_le_bytes()));
                let options = AppendOptions { id, ..AppendOptions::default() };
                match file.commit_with(&encoded, &options, unguarded) {
                    Ok(_) => content = machine.read(OUT).expect("it is there"),
                    Err(error) => assert_eq!(code(&error), number(Errno::NOSPC), "{error}"),
                }
                assert_eq!(machine.read(OUT).as_ref(), Some(&content));
            }
            flavour.parse(&content).expect("it is whole");
            machine.set(|settings| settings.disk_bytes_max = None);
            file.append(&flavour.record(20), unguarded).expect("there is room");
        }
    }
}

#[test]
fn a_record_is_one_write_whatever_its_size() {
    for size in [0, 1, 4096, 65_536, 1 << 20] {
        let (machine, file) = opened(LINES);
        let before = machine.count(Kind::Append);
        file.append(&vec![b'x'; size], unguarded).expect("it can be appended to");
        assert_eq!(machine.count(Kind::Append) - before, 1);
    }
}

#[test]
fn a_file_whose_cut_fails_or_only_claims_to_have_worked_takes_no_more() {
    for flavour in FLAVOURS {
        for cut in [Fault::fail(Errno::IO), Fault::idle()] {
            let (machine, file) = opened(flavour);
            let whole = machine.read(OUT).expect("it is there");
            machine.inject(Fault::torn(3, Errno::NOSPC).on(&[Kind::Append]));
            machine.inject(cut.on(&[Kind::Truncate]).of("/out"));
            let error = file.append(&flavour.record(3), unguarded).expect_err("the write failed");
            let is_cut = |error: &AppendError<Infallible>| {
                matches!(error, AppendError::Latched { cause: LatchCause::CutFailed { write, .. }, .. }
                    if write.raw_os_error() == number(Errno::NOSPC))
            };
            assert!(is_cut(&error), "{error}");
            let writes = machine.count(Kind::Append);
            for _ in 0..2 {
                assert!(is_cut(&file.append(&flavour.record(3), unguarded).expect_err("it is latched")));
                assert!(is_cut(&file.append_batch(&[flavour.record(3)], unguarded).expect_err("it is latched")));
            }
            drop(file);
            assert_eq!(machine.count(Kind::Append), writes);
            let (file, report) = open(&machine, flavour).expect("opening it repairs its end");
            assert_eq!((machine.read(OUT), report.torn.map(|torn| torn.bytes)), (Some(whole), Some(3)));
            file.append(&flavour.record(3), unguarded).expect("it can be appended to");
        }
    }
}

/// The word that a batch is being written stayed where it was when it could not be taken back, and records that came later
/// were taken for half of that batch. Now nothing is appended before it is gone.
#[test]
fn a_batch_that_failed_takes_no_later_record_with_it() {
    for flavour in FLAVOURS {
        for late in [false, true] {
            let (machine, file) = opened(flavour);
            let batch: Vec<_> = (3..9).map(|n| flavour.record(n)).collect();
            if late {
                // The word stands there, and the writer was told that it does not.
                machine.inject(Fault::late(Errno::IO).on(&[Kind::WriteAt]).of(".checkpoint"));
            } else {
                machine.inject(Fault::torn(9, Errno::NOSPC).on(&[Kind::Append]));
            }
            let batch_failed = file.append_batch(&batch, unguarded).is_err();
            assert!(batch_failed || (late && flavour.format == FormatKind::Framed));
            machine.heal();
            machine.inject(Fault::fail(Errno::NOSPC).on(&[Kind::WriteAt]).of(".checkpoint"));
            let mut expected = machine.read(OUT).expect("it is there");
            for n in 9..12 {
                if file.append(&flavour.record(n), unguarded).is_ok() {
                    expected = machine.read(OUT).expect("it is there");
                }
            }
            // As `kill -9`: no checkpoint is written any more.
            let copy = machine.snapshot();
            let (_, report) = open(&copy, flavour).expect("it is whole");
            assert_eq!((copy.read(OUT), report.torn), (Some(expected), None));
        }
    }
}

/// A file that is still empty forgot, when it was opened again, what had been done without a record.
#[test]
fn what_was_done_without_a_record_is_known_in_an_empty_file_too() {
    let machine = machine();
    let (file, _) = open(&machine, LINES_WITH_IDS).expect("it can be opened");
    let id = RecordId::of(b"an input without output");
    file.note_done(id).expect("the disk is healthy");
    drop(file);
    let (file, report) = open(&machine, LINES_WITH_IDS).expect("it is whole");
    assert!(file.has(id));
    assert_eq!(report.ids.map(|ids| ids.known), Some(1));
}

/// Ids without the wish for any: what was synced is not cut for want of ids.
#[test]
fn a_file_with_ids_that_is_opened_without_keeps_what_was_synced() {
    let (machine, file) = opened(LINES_WITH_IDS);
    drop(file);
    let copy = machine.snapshot();
    let (file, _) = open(&copy, LINES).expect("it is whole");
    file.append(b"no id", unguarded).expect("it can be appended to");
    file.sync().wait().expect("the disk is healthy");
    let content = copy.read(OUT);
    for cut in copy.power_cuts(200) {
        drop(open(&cut.machine, LINES).expect("it is whole"));
        assert_eq!(cut.machine.read(OUT), content, "{cut}");
    }
}

/// A first row that never reached the file must not decide how many columns the file has.
#[test]
fn a_first_row_that_failed_does_not_fix_the_columns() {
    let machine = machine();
    let spec = FileSpec::new(OUT, lockkeeper_journal::Format::Csv { header: Vec::new() }, "a test");
    let (file, _) = open_with(&machine, &spec).expect("it can be opened");
    machine.inject(Fault::torn(1, Errno::NOSPC).on(&[Kind::Append]));
    file.append_row(&["a", "b", "c"], unguarded).expect_err("the write failed");
    file.append_row(&["a", "b"], unguarded).expect("the first row is this one");
    let error = file.append_row(&["a", "b", "c"], unguarded).expect_err("there are two columns");
    assert!(matches!(error, AppendError::Invalid(_)), "{error}");
    assert_eq!(machine.read(OUT).as_deref(), Some(&b"a,b\n"[..]));
}

#[test]
fn a_guard_that_panics_leaves_the_file_usable() {
    let (machine, file) = opened(LINES);
    let before = machine.read(OUT).expect("it is there");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        file.append::<Infallible>(b"never", || std::panic::resume_unwind(Box::new("the guard of a test")))
    }));
    assert!(panicked.is_err());
    file.append(b"next", unguarded).expect("it is usable");
    assert_eq!(machine.read(OUT), Some([&before[..], b"next\n"].concat()));
}

#[test]
fn a_repair_without_room_for_the_torn_bytes_changes_neither_file() {
    let (machine, file) = opened(LINES);
    drop(file);
    machine.append(OUT, b"torn");
    machine.put(TORN, b"older");
    machine.append(OUT, b" end");
    let before = machine.read(OUT);
    let before_len = before.as_ref().map_or(0, Vec::len);
    machine.inject(Fault::torn(2, Errno::NOSPC).on(&[Kind::Append]).of(".torn"));
    let error = open(&machine, LINES).expect_err("there is no room");
    assert!(matches!(error, OpenError::Repair { .. }), "{error}");
    assert_eq!((machine.read(OUT), machine.read(TORN).as_deref()), (before, Some(&b"older"[..])));
    let offset = before_len - 8;
    let (_, report) = open(&machine, LINES).expect("there is room now");
    assert_eq!(report.torn.map(|torn| torn.bytes), Some(8));
    let expected =
        format!("older\nlockkeeper-torn 1 offset {offset} length 8 reason a record without its end\ntorn end\n");
    assert_eq!(machine.read(TORN).as_deref(), Some(expected.as_bytes()));
}

#[test]
fn what_was_noted_without_a_record_survives_a_power_cut_once_it_was_synced() {
    let machine = machine();
    let (file, _) = open(&machine, LINES_WITH_IDS).unwrap();
    let id = RecordId::of(b"done");
    file.note_done(id).unwrap();
    file.sync().wait().unwrap();
    let cut = machine.cut_to_synced();
    drop(file);
    let (file, _) = open(&cut, LINES_WITH_IDS).unwrap();
    assert!(file.has(id));
}
