//! Operations that fail while the host lives on.

use super::memory::Fault;
use super::*;

fn with_one() -> (Memory, Ids) {
    let disk = disk_with(b"a\n");
    let (mut ids, _) = open(&disk).unwrap();
    ids.note(&entry("one", 0, b"a\n")).unwrap();
    ids.sync().unwrap();
    (disk, ids)
}

#[test]
fn a_short_write_is_finished_or_cut_back() {
    let (disk, mut ids) = with_one();
    disk.fault(1, Fault::DieWithin);
    // The rest fails, and so does the cut.
    assert!(matches!(ids.note(&entry("two", 2, b"b\n")), Err(IdsError::Io { .. })));
    disk.revive();
    assert!(ids.is_broken());
    assert!(matches!(ids.note(&entry("two", 2, b"b\n")), Err(IdsError::Broken { .. })));
    assert!(matches!(ids.sync(), Err(IdsError::Broken { .. })));
    assert!(ids.get(id("two")).is_none() && ids.get(id("one")).is_some());

    let (disk, mut ids) = with_one();
    disk.fault(1, Fault::Short);
    assert!(matches!(ids.note(&entry("two", 2, b"b\n")), Err(IdsError::Io { .. })));
    assert_eq!(disk.bytes(SIDECAR).unwrap().len(), 128);
    ids.note(&entry("two", 2, b"b\n")).unwrap();
    assert_eq!(open(&disk).unwrap().1, IdsFound { entries: 2, ..IdsFound::default() });
}

#[test]
fn a_write_that_fails_leaves_no_entry_even_if_it_was_done() {
    for fault in [Fault::Fail, Fault::FailDone] {
        let (disk, mut ids) = with_one();
        disk.fault(1, fault);
        assert!(matches!(ids.note(&entry("two", 2, b"b\n")), Err(IdsError::Io { .. })));
        assert!(ids.get(id("two")).is_none());
        assert_eq!(disk.bytes(SIDECAR).unwrap().len(), 128);
        ids.note(&entry("three", 2, b"b\n")).unwrap();
        assert!(!ids.is_broken());
    }
}

#[test]
fn an_entry_that_cannot_be_taken_back_breaks_the_sidecar() {
    // The cut, the look at the length, the sync.
    for operation in 1..=3 {
        let (disk, mut ids) = with_one();
        ids.note(&entry("two", 2, b"b\n")).unwrap();
        disk.fault(operation, Fault::Fail);
        assert!(matches!(ids.take_back(), Err(IdsError::Broken { .. })));
        assert!(disk.revive());
        assert!(ids.get(id("two")).is_none());
        assert!(matches!(ids.note(&entry("three", 2, b"b\n")), Err(IdsError::Broken { .. })));
        // What is known is written anew, and nothing else.
        ids.compact(&disk).unwrap();
        ids.note(&entry("three", 2, b"b\n")).unwrap();
        let (ids, found) = open(&disk).unwrap();
        assert_eq!((found.entries, ids.get(id("two"))), (2, None));
    }
}

#[test]
fn a_cut_that_does_nothing_is_noticed() {
    let (disk, mut ids) = with_one();
    ids.note(&entry("two", 2, b"b\n")).unwrap();
    disk.idle_cuts(SIDECAR, 1);
    assert!(matches!(ids.take_back(), Err(IdsError::Broken { .. })));
}

#[test]
fn an_entry_that_was_taken_back_does_not_return_after_power_loss() {
    let (disk, mut ids) = with_one();
    ids.note(&entry("two", 2, b"b\n")).unwrap();
    ids.sync().unwrap();
    ids.take_back().unwrap();
    // Somebody else's record, without an id, of the same bytes at the same place.
    disk.set_bytes(DATA, b"a\nb\n");
    disk.lose_power(
        |path| if path == Path::new(SIDECAR) { memory::Fate::Lost } else { memory::Fate::Kept },
        memory::Fate::Lost,
    );
    let (mut ids, _) = open(&disk).unwrap();
    reconcile(&disk, &mut ids, 2, 4).unwrap();
    assert!(ids.get(id("two")).is_none());
}

#[test]
fn a_failed_sync_is_not_repeated() {
    let (disk, mut ids) = with_one();
    assert!(!ids.is_dirty());
    ids.note(&entry("two", 2, b"b\n")).unwrap();
    assert!(ids.is_dirty());
    disk.fault(1, Fault::Fail);
    assert!(matches!(ids.sync(), Err(IdsError::Io { .. })));
    disk.revive();
    assert!(matches!(ids.sync(), Err(IdsError::Broken { .. })));
    assert!(ids.is_dirty());
    // Its data was not written either: the entry still goes, though the sidecar stays broken.
    assert!(matches!(ids.take_back(), Err(IdsError::Broken { .. })));
    assert_eq!(disk.bytes(SIDECAR).unwrap().len(), 128);
}

#[test]
fn a_sync_elsewhere_covers_what_was_noted_before_it() {
    let (disk, mut ids) = with_one();
    ids.note(&entry("two", 2, b"b\n")).unwrap();
    let (storage, changes) = ids.storage();
    ids.note(&entry("three", 4, b"c\n")).unwrap();
    storage.sync().unwrap();
    ids.synced(changes);
    assert!(ids.is_dirty(), "the third came after");
    let (storage, changes) = ids.storage();
    storage.sync().unwrap();
    ids.synced(changes);
    assert!(!ids.is_dirty());
    let (_, changes) = ids.storage();
    ids.compact(&disk).unwrap();
    ids.synced(changes);
    assert!(!ids.is_dirty());
    ids.sync_failed();
    assert!(ids.is_broken());
}

#[test]
fn whatever_fails_in_a_compaction_no_id_is_lost_and_another_one_mends_it() {
    for fault in [Fault::Fail, Fault::FailDone, Fault::Short] {
        for operation in 1.. {
            let (disk, mut ids) = with_one();
            ids.note(&entry("gone", 2, b"g\n")).unwrap();
            ids.note(&entry("two", 2, b"b\n")).unwrap();
            disk.set_bytes(DATA, b"a\nb\n");
            let data = open_data(&disk);
            disk.fault(operation, fault);
            let reconciled = ids.reconcile(&disk, &*data, Path::new(DATA), 2, 4);
            let reached = disk.revive();
            if let Err(error) = &reconciled {
                assert!(ids.is_broken(), "{error}");
                assert!(ids.note(&entry("three", 4, b"c\n")).is_err());
            }
            let (mut again, _) = open(&disk).unwrap();
            assert!(again.get(id("one")).is_some() && again.get(id("two")).is_some());
            assert_eq!(reconcile(&disk, &mut again, 2, 4).unwrap().kept, 2);
            drop(again);
            if reconciled.is_err() {
                // This host has not seen that; it reads its own file still.
                ids.compact(&disk).unwrap();
                assert!(!ids.is_broken());
                let (mut again, _) = open(&disk).unwrap();
                assert_eq!(reconcile(&disk, &mut again, 2, 4).unwrap().kept, 2);
            }
            if !reached {
                assert!(reconciled.is_ok() && operation > 10);
                break;
            }
        }
    }
}

#[test]
fn whatever_fails_while_it_is_made_the_next_one_makes_it() {
    for fault in [Fault::Fail, Fault::FailDone, Fault::Short, Fault::DieWithin] {
        for operation in 1.. {
            let disk = disk_with(b"");
            let status = data_status(&disk);
            disk.fault(operation, fault);
            let made = Ids::open(&disk, Path::new(SIDECAR), &status, MODE);
            let reached = disk.revive();
            assert!(made.is_ok() || reached);
            drop(made);
            disk.lose_power(|_| memory::Fate::Lost, memory::Fate::Kept);
            let (mut ids, found) = open(&disk).unwrap();
            assert_eq!(found.entries, 0);
            ids.note(&entry("one", 0, b"a\n")).unwrap();
            ids.compact(&disk).unwrap();
            assert_eq!(disk.bytes(NEW), None);
            if !reached {
                assert!(operation > 5, "a sidecar is made with more operations than {operation}");
                break;
            }
        }
    }
}
