//! What is read from a sidecar, whatever is in it.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::ids::entry::{ENTRY_BYTES, HEADER_BYTES, decode, encode};
use crate::ids::judge::Claims;
use crate::ids::{CHUNK_ENTRIES, Place};
use crate::storage::LocalDisk;

/// `a\n`, nothing, `bb\n`, `a\n`: two of the same data, and one without.
const RECORDS: [(&str, &[u8]); 4] = [("one", b"a\n"), ("none", b""), ("two", b"bb\n"), ("three", b"a\n")];

fn filled() -> Memory {
    let data: Vec<u8> = RECORDS.iter().flat_map(|(_, data)| data.iter().copied()).collect();
    let disk = disk_with(&data);
    let (mut ids, found) = open(&disk).unwrap();
    assert_eq!(found, IdsFound { made: true, ..IdsFound::default() });
    let mut offset = 0;
    for (name, data) in RECORDS {
        ids.note(&entry(name, offset, data)).unwrap();
        offset += data.len() as u64;
    }
    disk
}

fn end(disk: &Memory) -> u64 {
    disk.bytes(DATA).unwrap().len() as u64
}

#[test]
fn an_id_is_the_hash_of_its_name_and_reads_back_from_its_digits() {
    let id = id("one");
    let text = id.to_string();
    assert_eq!(text.len(), 32);
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(text.to_uppercase().parse(), Ok(id));
    assert_eq!(text, blake3::Hash::from(blake3::derive_key("lockkeeper record id 1", b"one")).to_hex()[..32]);
    for bad in ["", "1", &text[1..], &format!("{text}0"), &format!("+{}", &text[1..]), &text.replace(|_| true, "g")] {
        assert!(bad.parse::<RecordId>().is_err(), "{bad:?}");
    }
}

#[test]
fn an_entry_reads_back_only_at_its_place() {
    let entry = IdEntry { records: u32::MAX, ..entry("one", u64::MAX - 2, b"a\n") };
    let bytes = encode(&entry, 5);
    assert_eq!(decode(&bytes, 5), Some(entry));
    assert_eq!(decode(&bytes, 4), None);
    let past = IdEntry { offset: u64::MAX, ..entry };
    assert_eq!(decode(&encode(&past, 5), 5), None);
    assert_eq!(decode(&[0; ENTRY_BYTES], 0), None);
}

#[test]
fn what_was_noted_is_there_after_opening_again() {
    let disk = filled();
    let (ids, found) = open(&disk).unwrap();
    assert_eq!(found, IdsFound { entries: 4, ..IdsFound::default() });
    assert_eq!(ids.get(id("two")), Some(Place { offset: 2, len: 3, records: 1 }));
    assert_eq!(ids.get(id("none")), Some(Place { offset: 2, len: 0, records: 1 }));
    assert_eq!(ids.get(id("four")), None);
    assert_eq!((ids.count(), ids.count_to(2), ids.covered_to(0), ids.covered_to(3)), (4, 2, 7, 7));
    assert!(ids.is_dirty(), "what an earlier host wrote may not be durable");
}

#[test]
fn every_cut_of_the_sidecar_loses_the_entries_behind_it_and_no_other() {
    let disk = filled();
    let whole = disk.bytes(SIDECAR).unwrap();
    for cut in 0..=whole.len() {
        disk.set_bytes(SIDECAR, &whole[..cut]);
        let opened = open(&disk);
        if cut < HEADER_BYTES {
            assert!(matches!(opened, Err(IdsError::Header { .. })), "{cut}");
            continue;
        }
        let (mut ids, found) = opened.unwrap();
        let good = (cut - HEADER_BYTES) / ENTRY_BYTES;
        let torn = ((cut - HEADER_BYTES) % ENTRY_BYTES) as u64;
        assert_eq!(found, IdsFound { entries: good as u64, torn_bytes: torn, ..IdsFound::default() });
        assert_eq!(disk.bytes(SIDECAR).unwrap().len(), cut, "opening changes nothing");
        for (number, (name, _)) in RECORDS.iter().enumerate() {
            assert_eq!(ids.get(id(name)).is_some(), number < good);
        }
        ids.note(&entry("new", 7, b"n\n")).unwrap();
        let (ids, found) = open(&disk).unwrap();
        assert_eq!(found, IdsFound { entries: good as u64 + 1, ..IdsFound::default() });
        assert!(ids.get(id("new")).is_some());
    }
}

#[test]
fn every_flipped_byte_loses_its_entry_and_no_other() {
    let disk = filled();
    let whole = disk.bytes(SIDECAR).unwrap();
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            disk.set_bytes(SIDECAR, &bytes);
            let opened = open(&disk);
            let Some(hit) = at.checked_sub(HEADER_BYTES).map(|at| at / ENTRY_BYTES) else {
                assert!(matches!(opened, Err(IdsError::Header { .. })), "{at}");
                continue;
            };
            let (mut ids, found) = opened.unwrap();
            for (number, (name, _)) in RECORDS.iter().enumerate() {
                assert_eq!(ids.get(id(name)).is_some(), number != hit);
            }
            let expected = match hit {
                3 => IdsFound { entries: 3, torn_bytes: 64, ..IdsFound::default() },
                _ => IdsFound { entries: 3, damaged: 1, damaged_before: Some([2, 2, 5][hit]), ..IdsFound::default() },
            };
            assert_eq!(found, expected);
            assert_eq!(ids.count_to(end(&disk)), 3, "a caller that remembers four sees it");
            assert_eq!(reconcile(&disk, &mut ids, 7, 7).unwrap(), Reconciled { kept: 3, dropped: 0 });
            assert_eq!(ids.covered_to(0), [0, 7, 2, 5][hit]);
            let (_, found) = open(&disk).unwrap();
            assert_eq!(found, IdsFound { entries: 3, ..IdsFound::default() }, "nothing of the damage is left");
        }
    }
}

#[test]
fn zeros_behind_the_entries_are_no_entries() {
    let disk = filled();
    let mut bytes = disk.bytes(SIDECAR).unwrap();
    bytes.resize(bytes.len() + 1000, 0);
    disk.set_bytes(SIDECAR, &bytes);
    let (mut ids, found) = open(&disk).unwrap();
    assert_eq!(found, IdsFound { entries: 4, torn_bytes: 1000, ..IdsFound::default() });
    assert_eq!(reconcile(&disk, &mut ids, 0, 7).unwrap(), Reconciled { kept: 4, dropped: 0 });
    assert_eq!(open(&disk).unwrap().1.torn_bytes, 0);
    disk.set_bytes(SIDECAR, &bytes);
    let (mut ids, _) = open(&disk).unwrap();
    ids.note(&entry("new", 7, b"n\n")).unwrap();
    assert_eq!(open(&disk).unwrap().1, IdsFound { entries: 5, ..IdsFound::default() });
}

#[test]
fn a_sidecar_of_another_file_is_foreign() {
    let change: [fn(&mut Status); 2] = [|status| status.born += 1, |status| status.id.inode += 1];
    for change in change {
        let disk = filled();
        let mut other = data_status(&disk);
        change(&mut other);
        let (mut ids, found) = Ids::open(&disk, Path::new(SIDECAR), &other, MODE).unwrap();
        assert!(found.foreign);
        assert_eq!(ids.count(), 4);
        ids.forget_all(&disk, &other).unwrap();
        assert_eq!((ids.count(), ids.is_dirty()), (0, false));
        ids.note(&entry("one", 0, b"a\n")).unwrap();
        let (ids, found) = Ids::open(&disk, Path::new(SIDECAR), &other, MODE).unwrap();
        assert_eq!((found.foreign, ids.count()), (false, 1));
    }
}

#[test]
fn looking_changes_nothing_and_allows_no_change() {
    let disk = disk_with(b"a\nx");
    let look = || Ids::look(&disk, Path::new(SIDECAR), &data_status(&disk)).unwrap();
    assert!(look().is_none());
    assert_eq!(disk.bytes(SIDECAR), None);
    let (mut ids, _) = open(&disk).unwrap();
    ids.note(&entry("one", 0, b"a\n")).unwrap();
    ids.note(&entry("two", 2, b"xx\n")).unwrap();
    let before = disk.bytes(SIDECAR);
    let (mut ids, found) = look().unwrap();
    assert_eq!(found.entries, 2);
    let answer = ids.check(&*open_data(&disk), Path::new(DATA), 0, 2).unwrap();
    assert_eq!(answer, Reconciled { kept: 1, dropped: 1 });
    assert!(matches!(ids.note(&entry("three", 2, b"")), Err(IdsError::ReadOnly { .. })));
    assert!(matches!(ids.compact(&disk), Err(IdsError::ReadOnly { .. })));
    assert!(matches!(ids.forget_all(&disk, &data_status(&disk)), Err(IdsError::ReadOnly { .. })));
    assert!(matches!(reconcile(&disk, &mut ids, 0, 2), Err(IdsError::ReadOnly { .. })));
    assert_eq!(disk.bytes(SIDECAR), before);
}

#[test]
fn an_id_cannot_be_noted_twice() {
    let disk = filled();
    let (mut ids, _) = open(&disk).unwrap();
    assert!(matches!(ids.note(&entry("two", 7, b"bb\n")), Err(IdsError::Known { .. })));
    assert_eq!(ids.get(id("two")).unwrap().offset, 2);
    ids.note(&entry("four", 7, b"d\n")).unwrap();
}

#[test]
fn an_entry_counts_only_if_the_data_bears_it_out() {
    let disk = disk_with(b"a\nb\n");
    let (mut ids, _) = open(&disk).unwrap();
    ids.note(&entry("whole", 0, b"a\n")).unwrap();
    ids.note(&entry("other", 2, b"c\n")).unwrap();
    ids.note(&entry("none", 2, b"")).unwrap();
    ids.note(&entry("beyond", 4, b"d\n")).unwrap();
    ids.note(&entry("none beyond", 400, b"")).unwrap();
    assert_eq!(reconcile(&disk, &mut ids, 0, 4).unwrap(), Reconciled { kept: 3, dropped: 2 });
    assert!(["whole", "none", "none beyond"].iter().all(|name| ids.get(id(name)).is_some()));
    assert_eq!(ids.covered_to(0), 2);
    let (mut ids, found) = open(&disk).unwrap();
    assert_eq!(found.entries, 3);
    assert_eq!(reconcile(&disk, &mut ids, 0, 0).unwrap(), Reconciled { kept: 2, dropped: 1 });
    assert_eq!((ids.count(), ids.count_to(0)), (2, 2), "a caller that remembers them does not miss any");
}

#[test]
fn what_was_durable_is_believed_unless_the_file_is_shorter() {
    let disk = disk_with(b"x\ny\n");
    let (mut ids, _) = open(&disk).unwrap();
    ids.note(&entry("one", 0, b"a\n")).unwrap();
    ids.note(&entry("two", 2, b"b\n")).unwrap();
    assert_eq!(reconcile(&disk, &mut ids, 4, 4).unwrap(), Reconciled { kept: 2, dropped: 0 });
    assert_eq!(reconcile(&disk, &mut ids, 3, 4).unwrap(), Reconciled { kept: 1, dropped: 1 });
    assert_eq!(reconcile(&disk, &mut ids, 3, 0).unwrap(), Reconciled { kept: 0, dropped: 1 });
}

#[test]
fn the_later_of_two_entries_for_the_same_bytes_counts() {
    let disk = disk_with(b"aa\naa\n");
    let (mut ids, _) = open(&disk).unwrap();
    ids.note(&entry("a", 0, b"aa\n")).unwrap();
    ids.note(&entry("b", 0, b"aa\n")).unwrap();
    ids.note(&entry("c", 3, b"aa\n")).unwrap();
    ids.note(&entry("d", 2, b"\naa")).unwrap();
    ids.note(&entry("e", 5, b"\n")).unwrap();
    ids.note(&entry("not so", 0, b"zz\n")).unwrap();
    assert_eq!(reconcile(&disk, &mut ids, 0, 6).unwrap(), Reconciled { kept: 2, dropped: 4 });
    assert!(ids.get(id("d")).is_some() && ids.get(id("e")).is_some());
    assert_eq!((ids.covered_to(0), ids.covered_to(2), ids.covered_to(3), ids.covered_to(6)), (0, 6, 6, 6));
}

#[test]
fn the_later_of_two_entries_for_one_id_counts_if_the_data_bears_it_out() {
    for (second, kept_offset) in [(b"b\n", 2), (b"c\n", 0)] {
        let disk = disk_with(b"a\nb\n");
        drop(open(&disk).unwrap());
        let mut bytes = disk.bytes(SIDECAR).unwrap();
        bytes.extend(encode(&entry("one", 0, b"a\n"), 0));
        bytes.extend(encode(&entry("one", 2, second), 1));
        disk.set_bytes(SIDECAR, &bytes);
        let (mut ids, found) = open(&disk).unwrap();
        assert_eq!((found.entries, ids.count(), ids.get(id("one")).unwrap().offset), (2, 1, 2));
        assert_eq!(reconcile(&disk, &mut ids, 0, 4).unwrap(), Reconciled { kept: 1, dropped: 1 });
        assert_eq!(ids.get(id("one")).unwrap().offset, kept_offset);
        assert_eq!(open(&disk).unwrap().1.entries, 1);
    }
}

#[test]
fn a_sidecar_of_several_blocks_survives_compaction_and_goes_on() {
    let disk = disk_with(b"");
    let count = 2 * u64::from(CHUNK_ENTRIES) + 3;
    let (mut ids, _) = open(&disk).unwrap();
    for number in 0..count {
        ids.note(&entry(&number.to_string(), number * 2, b"a\n")).unwrap();
    }
    // Every third is not there.
    let data: Vec<u8> = (0..count).flat_map(|number| if number % 3 == 0 { *b"x\n" } else { *b"a\n" }).collect();
    disk.set_bytes(DATA, &data);
    let dropped = count.div_ceil(3);
    let expected = Reconciled { kept: count - dropped, dropped };
    assert_eq!(reconcile(&disk, &mut ids, 0, count * 2).unwrap(), expected);
    ids.note(&entry("last", count * 2, b"a\n")).unwrap();
    ids.take_back().unwrap();
    ids.note(&entry("last", count * 2, b"z\n")).unwrap();
    ids.compact(&disk).unwrap();
    let (again, found) = open(&disk).unwrap();
    assert_eq!(found, IdsFound { entries: count - dropped + 1, ..IdsFound::default() });
    for number in 0..count {
        assert_eq!(again.get(id(&number.to_string())).is_some(), number % 3 != 0);
        assert_eq!(again.get(id(&number.to_string())), ids.get(id(&number.to_string())));
    }
    let mut seen = 0;
    again.entries(|index, entry| seen += u64::from(entry.is_some() && u64::from(index) == seen)).unwrap();
    assert_eq!(seen, found.entries);
}

#[test]
fn compaction_finds_out_that_entries_are_gone() {
    let disk = filled();
    let (mut ids, _) = open(&disk).unwrap();
    let mut bytes = disk.bytes(SIDECAR).unwrap();
    bytes[HEADER_BYTES + 10] ^= 1;
    disk.set_bytes(SIDECAR, &bytes);
    assert!(matches!(ids.compact(&disk), Err(IdsError::Lost { missing: 1, .. })));
    assert_eq!(disk.bytes(SIDECAR).unwrap(), bytes, "the old one stays");
}

#[test]
fn a_sidecar_on_a_real_disk_is_kept_and_a_link_in_its_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, path) = (dir.path().join("out"), dir.path().join("out.ids"));
    std::fs::write(&data, b"a\n").unwrap();
    let status = LocalDisk.look(&data).unwrap().unwrap();
    let (mut ids, found) = Ids::open(&LocalDisk, &path, &status, MODE).unwrap();
    assert!(found.made);
    ids.note(&entry("one", 0, b"a\n")).unwrap();
    ids.note(&entry("two", 2, b"a\n")).unwrap();
    ids.take_back().unwrap();
    ids.sync().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 128);
    let storage = LocalDisk.open(&data, Access::Read).unwrap();
    let (mut ids, _) = Ids::open(&LocalDisk, &path, &status, MODE).unwrap();
    let reconciled = ids.reconcile(&LocalDisk, &*storage, &data, 0, 2).unwrap();
    assert_eq!(reconciled, Reconciled { kept: 1, dropped: 0 });
    ids.compact(&LocalDisk).unwrap();
    assert_eq!(LocalDisk.look(&path).unwrap().unwrap().mode, MODE);

    std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(matches!(Ids::open(&LocalDisk, &path, &status, MODE), Err(IdsError::NotRegular { .. })));
    let new = dir.path().join("out.ids.new");
    std::fs::hard_link(&data, &new).unwrap();
    assert!(matches!(ids.compact(&LocalDisk), Err(IdsError::NotRegular { .. })));
    assert_eq!(std::fs::read(&data).unwrap(), b"a\n", "another file's name is not written through");
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_is_claimed_twice(ranges in prop::collection::vec((0usize..30, 0usize..6), 0..20)) {
        let (mut claims, mut taken) = (Claims::default(), [false; 40]);
        for (offset, len) in ranges {
            let free = taken[offset..offset + len].iter().all(|&taken| !taken);
            prop_assert_eq!(claims.claim(&entry("one", offset as u64, &[b'a'; 6][..len])), free);
            if free {
                taken[offset..offset + len].fill(true);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..400), keep in 0usize..5, end in 0u64..9) {
        let disk = filled();
        let mut bytes = disk.bytes(SIDECAR).unwrap();
        bytes.truncate(keep * ENTRY_BYTES);
        bytes.extend(body);
        disk.set_bytes(SIDECAR, &bytes);
        if let Ok((mut ids, found)) = open(&disk) {
            prop_assert!(found.entries + 1 >= keep as u64);
            // The data is seven bytes long; a longer end is an error, not a panic.
            let reconciled = reconcile(&disk, &mut ids, 0, end);
            prop_assert!(reconciled.is_ok() || end > 7);
        }
    }
}
