//! Pages that could not be written count as clean, and the page cache may drop them: then it says zeros, as the disk does,
//! and comparing the two proves nothing. Whoever looks at such a file next must not take it for whole.

use std::path::Path;
use std::sync::Arc;

use lockkeeper_journal::inspect::{self, RepairSpec, Verdict};
use lockkeeper_journal::storage::{Access, Disk};
use lockkeeper_journal::{AppendFile, AppendOptions, FormatKind, OpenError, RecordId, unguarded};
use rustix::io::Errno;

use crate::double::{Fault, Kind, Machine};
use crate::script::{FLAVOURS, Flavour, OUT, TORN, machine, open_at};

/// More than lies between two checkpoints.
const BYTES: usize = 700_000;

/// Appends until there are as many bytes.
fn fill(machine: &Machine, file: &AppendFile, flavour: Flavour, next: &mut u64, bytes: usize) {
    while machine.read(OUT).expect("it is there").len() < bytes {
        file.append(&flavour.record(*next), unguarded).expect("it can be appended to");
        *next += 1;
    }
}

/// A file of which 300 KB after the last good sync could not be written and are gone from the page cache, and 400 KB after
/// that are well.
fn with_a_hole(flavour: Flavour, end: impl FnOnce(&Machine, AppendFile)) -> (Machine, Vec<u8>) {
    let machine = machine();
    let (file, _) = open_at(&machine, flavour).expect("it can be opened");
    let mut next = 0;
    fill(&machine, &file, flavour, &mut next, 100);
    file.sync().wait().expect("the disk is healthy");
    let synced = machine.read(OUT).expect("it is there");
    fill(&machine, &file, flavour, &mut next, 300_000);
    // The kernel writes back, and that fails; the double has no other way to say so than somebody's sync.
    machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of("/out"));
    let other = machine.host().open(Path::new(OUT), Access::Read).expect("it is there");
    other.sync().expect_err("the pages cannot be written");
    fill(&machine, &file, flavour, &mut next, BYTES);
    end(&machine, file);
    machine.drop_caches();
    (machine, synced)
}

fn check(machine: &Machine) -> inspect::CheckReport {
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    inspect::check(&disk, Path::new(OUT), None, |_, _| {}).expect("it can be read")
}

fn repair(machine: &Machine, cut: bool) -> Result<inspect::RepairReport, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    inspect::repair(&disk, Path::new(OUT), &RepairSpec { cut, ..RepairSpec::default() }, |_, _| {})
}

/// The latch was lifted in the same breath in which the damage was reported; then opening the file began behind the hole,
/// or took all of it for a torn end, and acknowledged a sync.
#[test]
fn a_check_that_finds_damage_lifts_no_latch() {
    for flavour in FLAVOURS {
        let (machine, synced) = with_a_hole(flavour, |machine, file| {
            machine.inject(Fault::late(Errno::IO).on(&[Kind::Sync]).of("/out"));
            file.sync().wait().expect_err("now the host is told");
        });
        for _ in 0..2 {
            let error = open_at(&machine, flavour).expect_err("it is latched");
            assert!(matches!(error, OpenError::SyncFailed { .. }), "{error}");
            let report = check(&machine);
            assert!(report.was_in_doubt && report.not_on_disk.is_none(), "{report:?}");
            assert_eq!(report.verdict(), Verdict::Damaged, "{report:?}");
            assert!(matches!(report.refused, Some(OpenError::Damaged { .. })), "{report:?}");
        }
        let error = repair(&machine, false).expect_err("it is more than a torn end");
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert_eq!(machine.read(TORN), None);
        repair(&machine, true).expect("it may be cut");
        assert_eq!(check(&machine).verdict(), Verdict::Whole);
        let (_file, report) = open_at(&machine, flavour).expect("it was repaired");
        let now = machine.read(OUT).expect("it is there");
        assert!(now.starts_with(&synced), "{report:?}");
        flavour.parse(&now).expect("it is whole");
    }
}

#[test]
fn a_file_all_of_whose_pages_were_lost_is_not_cut_after_a_check() {
    for flavour in FLAVOURS {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        let mut next = 0;
        fill(&machine, &file, flavour, &mut next, BYTES);
        machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of("/out"));
        file.sync().wait().expect_err("the sync failed");
        drop(file);
        machine.drop_caches();
        let before = machine.read(OUT);
        assert_eq!(check(&machine).verdict(), Verdict::Damaged);
        let error = open_at(&machine, flavour).expect_err("it is latched");
        assert!(matches!(error, OpenError::SyncFailed { .. }), "{error}");
        assert_eq!((machine.read(OUT), machine.read(TORN)), (before, None));
    }
}

/// A host that died while it synced leaves no word of a failure. The file was then read from the latest mark on, which may
/// lie behind the hole.
#[test]
fn what_was_lost_before_a_host_died_is_found_by_who_opens_the_file() {
    for flavour in FLAVOURS {
        let (machine, _) = with_a_hole(flavour, |machine, file| {
            machine.kill_all();
            drop(file);
        });
        let before = machine.read(OUT);
        for _ in 0..2 {
            let error = open_at(&machine, flavour).expect_err("there is a hole");
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        }
        let report = check(&machine);
        assert!(report.was_in_doubt && report.verdict() == Verdict::Damaged, "{report:?}");
        open_at(&machine, flavour).expect_err("there still is");
        assert_eq!((machine.read(OUT), machine.read(TORN)), (before, None));
    }
}

/// The system tells of a failure once. Whoever opened the file a second time was told that all is well.
#[test]
fn a_sync_that_fails_while_a_file_is_opened_checked_or_repaired_is_remembered() {
    type Look = fn(&Machine, Flavour) -> bool;
    let looks: [(&str, Look); 3] = [
        ("open", |machine, flavour| open_at(machine, flavour).is_err()),
        ("check", |machine, _| {
            let disk: Arc<dyn Disk> = Arc::new(machine.host());
            inspect::check(&disk, Path::new(OUT), None, |_, _| {}).is_err()
        }),
        ("repair", |machine, _| repair(machine, false).is_err()),
    ];
    for flavour in FLAVOURS {
        for (what, look) in looks {
            let machine = machine();
            let (file, _) = open_at(&machine, flavour).expect("it can be opened");
            file.append(&flavour.record(0), unguarded).expect("it can be appended to");
            file.sync().wait().expect("the disk is healthy");
            file.append(&flavour.record(1), unguarded).expect("it can be appended to");
            machine.kill_all();
            drop(file);
            machine.inject(Fault::late(Errno::IO).on(&[Kind::Sync]).of("/out"));
            assert!(look(&machine, flavour), "{what}");
            let error = open_at(&machine, flavour).expect_err("it is latched");
            assert!(matches!(error, OpenError::SyncFailed { .. }), "{what}: {error}");
            assert_eq!(check(&machine).verdict(), Verdict::Whole, "{what}");
            open_at(&machine, flavour).expect("the disk holds it");
        }
    }
}

/// What others wrote may hold zeros. It is synced when it is taken over, so that later they are not taken for a loss.
#[test]
fn zeros_in_a_file_that_was_taken_over_are_not_taken_for_what_a_host_lost() {
    const LINES: Flavour = Flavour { format: FormatKind::Lines, ids: false };
    let machine = machine();
    machine.put(OUT, b"others\0wrote\nthis\n");
    let (file, _) = open_at(&machine, LINES).expect("it is whole");
    file.append(b"ours", unguarded).expect("it can be appended to");
    let synced = machine.cut_to_synced();
    machine.kill_all();
    drop(file);
    for machine in [machine, synced] {
        let (_file, report) = open_at(&machine, LINES).expect("it is whole");
        assert_eq!(report.torn, None);
    }
}

/// The sync of the ids that had failed was forgotten once the data had been compared with the disk. An id that had never
/// reached it was known as long as the page cache was there; after a power cut its record was appended a second time. Now
/// ids that the disk does not hold are written anew before a latch is lifted, and by who opens or repairs the file.
#[test]
fn an_id_whose_sync_failed_is_on_the_disk_before_the_file_is_trusted_again() {
    let mut states = 0;
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.ids) {
        for then in ["check", "open", "repair"] {
            let machine = machine();
            let (file, _) = open_at(&machine, flavour).expect("it can be opened");
            file.sync().wait().expect("the disk is healthy");
            file.append(&flavour.record(0), unguarded).expect("it can be appended to");
            file.sync().wait().expect("the disk is healthy");
            let options = AppendOptions { id: Some(RecordId::of(b"a")), ..AppendOptions::default() };
            let append = |file: &AppendFile| {
                let encoded = file.encode(&flavour.record(1)).expect("it is a record");
                file.commit_with(&encoded, &options, unguarded).expect("it can be appended to")
            };
            append(&file);
            machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of(".ids.new"));
            if then == "open" {
                machine.inject(Fault::death(0).on(&[Kind::WriteAt]).of(".checkpoint"));
            }
            file.sync().wait().expect_err("the sync failed");
            drop(file);
            match then {
                "check" => {
                    let report = check(&machine);
                    assert!(report.was_in_doubt && report.verdict() == Verdict::Whole, "{report:?}");
                }
                "repair" => drop(repair(&machine, false).expect("it can be repaired")),
                _ => {}
            }
            let (file, _) = open_at(&machine, flavour).expect("it is whole");
            let repeated = append(&file);
            assert!(repeated.repeated, "{then}");
            file.synced(&repeated).wait().expect("the disk is healthy");
            let content = machine.read(OUT).expect("it is there");
            for cut in machine.power_cuts(200) {
                let (file, _) = open_at(&cut.machine, flavour).unwrap_or_else(|error| panic!("{then}: {error}\n{cut}"));
                assert!(append(&file).repeated, "{then}\n{cut}");
                assert_eq!(cut.machine.read(OUT).as_ref(), Some(&content), "{then}\n{cut}");
                states += 1;
            }
        }
    }
    println!("{states} states");
}

/// Where the page cache has dropped them already nobody knows which ids they were, so the file is refused until a repair.
#[test]
fn ids_that_are_lost_and_dropped_from_the_page_cache_are_missed() {
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.ids) {
        for dies in [false, true] {
            let machine = machine();
            let (file, _) = open_at(&machine, flavour).expect("it can be opened");
            file.append(&flavour.record(0), unguarded).expect("it can be appended to");
            file.sync().wait().expect("the disk is healthy");
            let options = AppendOptions { id: Some(RecordId::of(b"a")), ..AppendOptions::default() };
            let encoded = file.encode(&flavour.record(1)).expect("it is a record");
            file.commit_with(&encoded, &options, unguarded).expect("it can be appended to");
            machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of(".ids.new"));
            if dies {
                machine.inject(Fault::death(0).on(&[Kind::WriteAt]).of(".checkpoint"));
            }
            file.sync().wait().expect_err("the sync failed");
            drop(file);
            machine.drop_caches();
            let report = check(&machine);
            assert!(matches!(report.refused, Some(OpenError::Ids { .. })), "{report:?}");
            let error = open_at(&machine, flavour).expect_err("an id is lost");
            assert!(
                matches!((dies, &error), (false, OpenError::SyncFailed { .. }) | (true, OpenError::Ids { .. })),
                "{error}"
            );
            repair(&machine, false).expect("it can be repaired");
            open_at(&machine, flavour).expect("it was repaired");
        }
    }
}

/// A host that dies before it can note that the sync of its repair has failed has left the doubt there beforehand.
#[test]
fn a_host_that_dies_with_the_failed_sync_of_its_repair_leaves_the_file_in_doubt() {
    for flavour in FLAVOURS {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        file.append(&flavour.record(0), unguarded).expect("it can be appended to");
        machine.kill_all();
        drop(file);
        machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of("/out"));
        machine.inject(Fault::death(0).on(&[Kind::WriteAt]).of(".checkpoint").nth(2));
        open_at(&machine, flavour).expect_err("it died");
        machine.heal();
        let error = open_at(&machine, flavour).expect_err("the page cache is not believed");
        assert!(matches!(error, OpenError::NotOnDisk { .. }), "{error}");
    }
}
