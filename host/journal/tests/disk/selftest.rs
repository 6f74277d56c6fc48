//! The disk double does what it says: if it were kinder than a real disk, every test built on it would be worth nothing.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lockkeeper_journal::storage::{Access, Disk, FileKind, Held, Lock, Storage, uninterrupted};
use rustix::io::Errno;

use crate::double::{
    Fate, Fault, Host, Kind, Machine, POINTS_EXHAUSTIVE_MAX, Random, SECTOR_BYTES, Settings, is_death,
};

const OUT: &str = "/data/out";

/// A machine with an empty durable file, one process on it, and the file opened by that.
fn opened() -> (Machine, Host, Arc<dyn Storage>) {
    let machine = Machine::new();
    machine.put(OUT, b"");
    let host = machine.host();
    let file = append_to(&host, OUT);
    (machine, host, file)
}

fn append_to(host: &Host, path: &str) -> Arc<dyn Storage> {
    host.open(Path::new(path), Access::Append).expect("the file is there")
}

fn update(host: &Host, path: &str) -> Arc<dyn Storage> {
    host.open(Path::new(path), Access::Update).expect("the file is there")
}

fn create(host: &Host, path: &str) -> Arc<dyn Storage> {
    host.open(Path::new(path), Access::CreateAppend { mode: 0o600 }).expect("the name is free")
}

fn errno(result: io::Result<impl Sized>) -> Option<i32> {
    result.err().expect("it fails").raw_os_error()
}

fn number(errno: Errno) -> Option<i32> {
    Some(errno.raw_os_error())
}

fn take_lock(host: &Host, path: &str) -> Option<Box<dyn Held>> {
    match host.lock(Path::new(path), "a test").expect("the lock can be tried") {
        Lock::Held(held) => Some(held),
        Lock::Busy(_) => None,
    }
}

/// The different contents that a file may have after a power cut; none if it may be missing.
fn contents(machine: &Machine, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    machine.power_cuts(100_000).map(|cut| cut.machine.read(path)).collect()
}

fn some(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

#[test]
fn what_is_appended_is_read_and_counted() {
    let (machine, host, file) = opened();
    let before = machine.operations();
    assert_eq!(file.append(b"one").unwrap(), 3);
    assert_eq!(file.append(b"two").unwrap(), 3);
    let mut into = [0; 8];
    assert_eq!(file.read_at(&mut into, 1).unwrap(), 5);
    assert_eq!(&into[..5], b"netwo");
    assert_eq!(file.status().unwrap().len, 6);
    assert_eq!(machine.operations() - before, 4);
    let log = machine.log();
    let last = &log[log.len() - 4];
    assert_eq!((last.kind, last.bytes, last.host, last.number), (Kind::Append, 3, host.id(), before + 1));
    assert_eq!(machine.count(Kind::Append), 2);
    machine.set(|settings| settings.read_bytes_max = Some(2));
    assert_eq!(file.read_at(&mut into, 0).unwrap(), 2);
}

#[test]
fn names_and_kinds_are_told_apart_as_by_linux() {
    let (machine, host, file) = opened();
    machine.put_odd("/data/link", FileKind::SymbolicLink);
    machine.put_odd("/data/device", FileKind::Device);
    let open = |path: &str, access| errno(host.open(Path::new(path), access));
    assert_eq!(open("/data/none", Access::Append), number(Errno::NOENT));
    assert_eq!(open("/none/none", Access::CreateAppend { mode: 0o600 }), number(Errno::NOENT));
    assert_eq!(open("/data/out/x", Access::CreateAppend { mode: 0o600 }), number(Errno::NOTDIR));
    assert_eq!(open(OUT, Access::CreateUpdate { mode: 0o600 }), number(Errno::EXIST));
    assert_eq!(open("/data", Access::Append), number(Errno::ISDIR));
    assert_eq!(open("/data/link", Access::Read), number(Errno::LOOP));
    assert_eq!(open("/data/device", Access::Read), number(Errno::NXIO));
    assert!(host.look(Path::new("/data/none")).unwrap().is_none());
    let status = host.look(Path::new(OUT)).unwrap().expect("it is there");
    assert_eq!((status.kind, status.links, status.mode), (FileKind::Regular, 1, 0o644));
    assert_eq!(status.id, file.status().unwrap().id);
    machine.link(OUT, "/data/also");
    assert_eq!(file.status().unwrap().links, 2);
    host.make_dirs(Path::new("/a/b/c")).unwrap();
    assert_eq!(host.look(Path::new("/a/b")).unwrap().map(|status| status.kind), Some(FileKind::Directory));
    assert_eq!(errno(host.make_dirs(Path::new("/data/out/d"))), number(Errno::NOTDIR));
    let reader = host.open(Path::new(OUT), Access::Read).unwrap();
    assert_eq!(errno(reader.append(b"x")), number(Errno::BADF));
    assert_eq!(errno(reader.truncate(0)), number(Errno::INVAL));
}

#[test]
fn relative_paths_are_those_of_the_root() {
    let machine = Machine::new();
    let host = machine.host();
    create(&host, "out").append(b"x").unwrap();
    assert_eq!(machine.read("/out"), some(b"x"));
    host.sync_dir(Path::new(".")).unwrap();
    assert_eq!(machine.cut_to_synced().names(), [Path::new("/out")]);
}

#[test]
fn a_fault_meets_the_nth_that_fits_and_no_other() {
    let (machine, _host, file) = opened();
    machine.inject(Fault::fail(Errno::IO).on(&[Kind::Append]).of("out").nth(2));
    file.append(b"a").unwrap();
    file.status().unwrap();
    assert_eq!(errno(file.append(b"b")), number(Errno::IO));
    file.append(b"c").unwrap();
    assert_eq!(machine.read(OUT), some(b"ac"));
    let failed: Vec<_> = machine.log().into_iter().filter(|operation| operation.failed.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].failed, number(Errno::IO));
}

#[test]
fn a_fault_for_ever_ends_when_it_is_healed() {
    let (machine, _host, file) = opened();
    machine.inject(Fault::fail(Errno::NOSPC).nth(2).forever());
    file.append(b"a").unwrap();
    for _ in 0..3 {
        assert_eq!(errno(file.append(b"b")), number(Errno::NOSPC));
        assert_eq!(errno(file.status()), number(Errno::NOSPC));
    }
    machine.heal();
    file.append(b"c").unwrap();
    assert_eq!(machine.read(OUT), some(b"ac"));
}

#[test]
fn an_interrupted_call_is_interrupted_as_often_as_asked() {
    let (machine, _host, file) = opened();
    machine.inject(Fault::fail(Errno::INTR).on(&[Kind::Append, Kind::Sync]).times(3));
    assert_eq!(uninterrupted(|| file.append(b"a")).unwrap(), 1);
    assert_eq!(machine.count(Kind::Append), 4);
    machine.inject(Fault::fail(Errno::INTR).on(&[Kind::Sync]));
    uninterrupted(|| file.sync()).unwrap();
    assert_eq!(machine.read_synced(OUT), some(b"a"), "an interrupted sync has lost nothing");
}

#[test]
fn writes_are_short_torn_late_or_idle() {
    let (machine, _host, file) = opened();
    machine.inject(Fault::short(2));
    machine.inject(Fault::fail(Errno::NOSPC).on(&Kind::WRITES).nth(2));
    assert_eq!(file.append(b"abc").unwrap(), 2);
    assert_eq!(errno(file.append(b"c")), number(Errno::NOSPC));
    machine.inject(Fault::torn(1, Errno::IO));
    assert_eq!(errno(file.append(b"xyz")), number(Errno::IO));
    machine.inject(Fault::late(Errno::IO));
    assert_eq!(errno(file.append(b"L")), number(Errno::IO));
    machine.inject(Fault::idle());
    assert_eq!(file.append(b"nothing").unwrap(), 7);
    assert_eq!(machine.read(OUT), some(b"abxL"));
    machine.inject(Fault::idle().on(&[Kind::Truncate]));
    file.truncate(0).unwrap();
    assert_eq!(machine.read(OUT), some(b"abxL"));
}

#[test]
fn a_full_disk_takes_what_fits() {
    for limit in 0..8 {
        let (machine, _host, file) = opened();
        machine.set(|settings| settings.disk_bytes_max = Some(limit));
        assert_eq!(file.room().unwrap(), limit);
        let fits = usize::try_from(limit.min(5)).unwrap();
        match fits {
            0 => assert_eq!(errno(file.append(b"12345")), number(Errno::NOSPC)),
            _ => assert_eq!(file.append(b"12345").unwrap(), fits),
        }
        assert_eq!(file.room().unwrap(), limit - fits as u64);
        file.truncate(0).unwrap();
        assert_eq!(file.room().unwrap(), limit);
    }
}

#[test]
fn what_is_set_aside_is_kept_for_its_file_until_it_is_cut() {
    let (machine, host, file) = opened();
    machine.set(|settings| settings.disk_bytes_max = Some(10));
    file.set_aside(0, 8).unwrap();
    assert_eq!(machine.read(OUT), some(b""), "the length stays");
    assert_eq!(file.room().unwrap(), 2);
    let other = create(&host, "/data/other");
    assert_eq!(other.append(b"xxx").unwrap(), 2);
    assert_eq!(errno(other.append(b"x")), number(Errno::NOSPC));
    assert_eq!(file.append(b"12345678").unwrap(), 8);
    assert_eq!(errno(file.set_aside(8, 1)), number(Errno::NOSPC));
    file.truncate(3).unwrap();
    assert_eq!(other.append(b"xxxxx").unwrap(), 5);
}

#[test]
fn a_file_of_its_largest_size_takes_no_more() {
    let (machine, _host, file) = opened();
    machine.set(|settings| settings.file_bytes_max = Some(3));
    assert_eq!(file.append(b"12").unwrap(), 2);
    assert_eq!(file.append(b"34").unwrap(), 1);
    assert_eq!(errno(file.append(b"4")), number(Errno::FBIG));
}

#[test]
fn a_read_only_disk_is_read_and_not_changed() {
    let (machine, host, file) = opened();
    machine.inject(Fault::read_only());
    assert_eq!(errno(file.append(b"1")), number(Errno::ROFS));
    assert_eq!(errno(host.open(Path::new(OUT), Access::Append)), number(Errno::ROFS));
    assert!(host.lock(Path::new("/data/out.lock"), "a test").is_err());
    host.open(Path::new(OUT), Access::Read).unwrap();
    file.sync().unwrap();
}

#[test]
fn descriptors_run_out_and_come_back() {
    let (machine, host, file) = opened();
    machine.set(|settings| settings.open_files_max = Some(2));
    let second = append_to(&host, OUT);
    assert_eq!(errno(host.open(Path::new(OUT), Access::Read)), number(Errno::MFILE));
    assert_eq!(errno(host.open(Path::new("/data/new"), Access::CreateAppend { mode: 0o600 })), number(Errno::MFILE));
    assert_eq!(machine.read("/data/new"), None);
    assert!(host.lock(Path::new("/data/out.lock"), "a test").is_err());
    drop(second);
    drop(append_to(&host, OUT));
    drop(file);
    machine.set(|settings| *settings = Settings::default());
    machine.inject(Fault::fail(Errno::MFILE).on(&Kind::OPENS));
    assert_eq!(errno(host.sync_dir(Path::new("/data"))), number(Errno::MFILE));
}

#[test]
fn what_a_dead_host_has_written_is_there_and_its_locks_are_not() {
    let (machine, host, file) = opened();
    let held = take_lock(&host, "/data/out.lock").expect("nobody has it");
    assert!(file.try_lock().unwrap());
    machine.inject(Fault::death(2).nth(2));
    file.append(b"one\n").unwrap();
    let error = file.append(b"two\n").unwrap_err();
    assert!(is_death(&error) && !host.lives());
    assert!(is_death(&file.status().unwrap_err()));
    assert!(is_death(&host.lock(Path::new("/data/x.lock"), "a test").unwrap_err()));
    assert_eq!(machine.read(OUT), some(b"one\ntw"));
    let next = machine.host();
    assert_eq!(next.boot(), host.boot());
    let again = append_to(&next, OUT);
    assert!(again.try_lock().unwrap());
    assert!(take_lock(&next, "/data/out.lock").is_some());
    drop((held, file));
    assert!(!append_to(&next, OUT).try_lock().unwrap(), "a dead host lets nobody else's lock go");
}

#[test]
fn a_host_is_killed_from_outside() {
    let (machine, host, file) = opened();
    machine.kill(&host);
    assert!(is_death(&file.append(b"x").unwrap_err()));
    assert_eq!(machine.read(OUT), some(b""));
}

#[test]
fn death_at_anything_but_a_write_does_nothing() {
    let (machine, host, file) = opened();
    file.append(b"x").unwrap();
    machine.inject(Fault::death(9).on(&[Kind::Truncate]));
    assert!(is_death(&file.truncate(0).unwrap_err()));
    assert_eq!(machine.read(OUT), some(b"x"));
    assert!(!host.lives());
}

#[test]
fn a_sync_covers_what_was_written_before_it() {
    let (machine, _host, file) = opened();
    file.append(b"one").unwrap();
    assert_eq!(machine.read_synced(OUT), some(b""));
    file.sync().unwrap();
    file.append(b"two").unwrap();
    assert_eq!(machine.read_synced(OUT), some(b"one"));
    assert_eq!(machine.cut_to_synced().read(OUT), some(b"one"));
    machine.inject(Fault::idle().on(&[Kind::Sync]));
    file.sync().unwrap();
    assert_eq!(machine.read_synced(OUT), some(b"one"), "the disk has lied");
    machine.sync_all();
    assert_eq!(machine.read_synced(OUT), some(b"onetwo"));
    assert!(machine.unsynced().is_empty());
}

#[test]
fn what_is_written_while_a_sync_runs_is_not_covered() {
    let (machine, _host, file) = opened();
    file.append(b"before").unwrap();
    let gate = machine.gate(Kind::Sync);
    let syncing = Arc::clone(&file);
    let thread = std::thread::spawn(move || syncing.sync());
    gate.wait_for(1);
    file.append(b"during").unwrap();
    gate.pass(1);
    thread.join().expect("the sync does not panic").unwrap();
    assert_eq!(machine.read_synced(OUT), some(b"before"));
    drop(gate);
    file.sync().unwrap();
    assert_eq!(machine.read_synced(OUT), some(b"beforeduring"));
}

#[test]
fn who_waits_at_a_gate_can_be_killed() {
    let (machine, host, file) = opened();
    file.append(b"x").unwrap();
    let gate = machine.gate(Kind::Sync);
    let syncing = Arc::clone(&file);
    let thread = std::thread::spawn(move || syncing.sync());
    gate.wait_for(1);
    machine.kill(&host);
    assert!(is_death(&thread.join().expect("the sync does not panic").unwrap_err()));
    assert_eq!(machine.read_synced(OUT), some(b""));
}

#[test]
fn a_failed_sync_loses_what_it_was_to_write_for_good() {
    let (machine, _host, file) = opened();
    file.append(b"one").unwrap();
    file.sync().unwrap();
    file.append(b"two").unwrap();
    machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]));
    assert_eq!(errno(file.sync()), number(Errno::IO));
    file.sync().unwrap();
    file.append(b"six").unwrap();
    file.sync().unwrap();
    assert_eq!(machine.read(OUT), some(b"onetwosix"), "the cache goes on telling it");
    let mut into = [1; 16];
    assert_eq!(file.read_disk_at(&mut into, 0).unwrap(), 9);
    assert_eq!(&into[..9], b"one\0\0\0six");
    assert_eq!(contents(&machine, OUT), BTreeSet::from([some(b"one\0\0\0six")]));
    machine.drop_caches();
    assert_eq!(machine.read(OUT), some(b"one\0\0\0six"));
}

#[test]
fn a_length_may_reach_the_disk_although_the_sync_failed() {
    let (machine, _host, file) = opened();
    file.append(b"one").unwrap();
    machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]));
    assert_eq!(errno(file.sync()), number(Errno::IO));
    assert_eq!(contents(&machine, OUT), BTreeSet::from([some(b""), some(b"\0\0\0")]));
    file.truncate(1).unwrap();
    file.sync().unwrap();
    assert_eq!(contents(&machine, OUT), BTreeSet::from([some(b"\0")]));
}

#[test]
fn a_read_past_the_cache_shows_what_can_still_be_synced() {
    let (_machine, _host, file) = opened();
    file.append(b"abc").unwrap();
    let mut into = [0; 2];
    assert_eq!(file.read_disk_at(&mut into, 1).unwrap(), 2);
    assert_eq!(&into, b"bc");
}

#[test]
fn every_subset_of_the_unsynced_changes_is_a_state() {
    let (machine, _host, file) = opened();
    file.append(b"aa").unwrap();
    file.append(b"bb").unwrap();
    let states = contents(&machine, OUT);
    for whole in [&b""[..], b"aa", b"aabb", b"\0\0bb"] {
        assert!(states.contains(&some(whole)), "{whole:?}");
    }
    for half in [&b"\0\0"[..], b"a", b"a\0", b"aa\0\0", b"aab", b"aab\0", b"\0\0\0\0", b"\0\0b", b"a\0b\0"] {
        assert!(states.contains(&some(half)), "{half:?}");
    }
    assert!(!states.contains(&some(b"abb")), "bytes do not move");
    assert_eq!(machine.unsynced().len(), 2);
}

#[test]
fn a_cut_may_come_after_what_was_written_behind_it() {
    let (machine, _host, file) = opened();
    file.append(b"torn tail").unwrap();
    file.sync().unwrap();
    file.truncate(0).unwrap();
    file.append(b"new").unwrap();
    let states = contents(&machine, OUT);
    for state in [&b"torn tail"[..], b"", b"new", b"newn tail"] {
        assert!(states.contains(&some(state)), "{state:?}");
    }
}

#[test]
fn an_overwrite_is_torn_at_sectors_with_the_old_bytes_between() {
    let machine = Machine::new();
    machine.put(OUT, &[b'o'; 2 * SECTOR_BYTES]);
    let host = machine.host();
    update(&host, OUT).write_at(&[b'n'; 2 * SECTOR_BYTES], 0).unwrap();
    let halves = |first: u8, second: u8| some(&[[first; SECTOR_BYTES], [second; SECTOR_BYTES]].concat());
    let states = contents(&machine, OUT);
    for state in [halves(b'o', b'o'), halves(b'n', b'o'), halves(b'o', b'n'), halves(b'n', b'n')] {
        assert!(states.contains(&state));
    }
    let cut = machine.power_cuts(100).find(|cut| matches!(cut.fates[0], Fate::Sectors(_))).expect("there is one");
    assert!(cut.to_string().starts_with("write of 1024 bytes at 0 of /data/out: Sectors("), "{cut}");
}

#[test]
fn a_name_is_durable_when_its_directory_is_synced() {
    let (machine, host, _file) = opened();
    let new = create(&host, "/data/new");
    new.append(b"x").unwrap();
    new.sync().unwrap();
    assert_eq!(contents(&machine, "/data/new"), BTreeSet::from([None, some(b"x")]));
    machine.inject(Fault::fail(Errno::IO).on(&[Kind::SyncDir]));
    assert_eq!(errno(host.sync_dir(Path::new("/data"))), number(Errno::IO));
    host.sync_dir(Path::new("/")).unwrap();
    assert_eq!(contents(&machine, "/data/new").len(), 2, "another directory");
    host.sync_dir(Path::new("/data")).unwrap();
    assert_eq!(contents(&machine, "/data/new"), BTreeSet::from([some(b"x")]));
}

#[test]
fn a_rename_shows_the_old_file_or_the_new_one() {
    let (machine, host, _file) = opened();
    machine.put("/data/state", b"old");
    let new = create(&host, "/data/state.new");
    new.append(b"new").unwrap();
    new.sync().unwrap();
    host.rename(Path::new("/data/state.new"), Path::new("/data/state")).unwrap();
    assert_eq!(machine.read("/data/state"), some(b"new"));
    assert_eq!(contents(&machine, "/data/state"), BTreeSet::from([some(b"old"), some(b"new")]));
    assert_eq!(contents(&machine, "/data/state.new"), BTreeSet::from([None, some(b"new")]));
    host.sync_dir(Path::new("/data")).unwrap();
    assert_eq!(contents(&machine, "/data/state"), BTreeSet::from([some(b"new")]));
    assert_eq!(contents(&machine, "/data/state.new"), BTreeSet::from([None]));
    assert_eq!(errno(host.rename(Path::new("/data/none"), Path::new("/data/x"))), number(Errno::NOENT));
}

#[test]
fn a_rename_without_a_sync_of_the_file_may_leave_it_empty() {
    let (machine, host, _file) = opened();
    machine.put("/data/state", b"old");
    create(&host, "/data/state.new").append(b"new").unwrap();
    host.rename(Path::new("/data/state.new"), Path::new("/data/state")).unwrap();
    host.sync_dir(Path::new("/data")).unwrap();
    assert!(contents(&machine, "/data/state").contains(&some(b"")));
}

#[test]
fn files_in_a_directory_that_did_not_survive_are_gone() {
    let machine = Machine::new();
    let host = machine.host();
    host.make_dirs(Path::new("/a/b")).unwrap();
    let file = create(&host, "/a/b/c");
    file.append(b"x").unwrap();
    file.sync().unwrap();
    host.sync_dir(Path::new("/a/b")).unwrap();
    host.sync_dir(Path::new("/a")).unwrap();
    assert_eq!(contents(&machine, "/a/b/c"), BTreeSet::from([None, some(b"x")]));
}

#[test]
fn a_removal_is_undone_by_a_power_cut_or_not() {
    let (machine, host, file) = opened();
    machine.unlink(OUT);
    assert_eq!(file.status().unwrap().links, 0);
    file.append(b"x").unwrap();
    assert_eq!(machine.read(OUT), None);
    assert!(contents(&machine, OUT).is_superset(&BTreeSet::from([None, some(b""), some(b"x")])));
    host.sync_dir(Path::new("/data")).unwrap();
    assert_eq!(contents(&machine, OUT), BTreeSet::from([None]));
}

#[test]
fn a_machine_after_a_power_cut_has_booted_and_nobody_runs() {
    let (machine, host, file) = opened();
    let held = take_lock(&host, "/data/out.lock").expect("nobody has it");
    host.sync_dir(Path::new("/data")).unwrap();
    file.append(b"x").unwrap();
    let cut = machine.power_cut(&mut Random::new(1));
    let next = cut.machine.host();
    assert_ne!(next.boot(), host.boot());
    assert!(take_lock(&next, "/data/out.lock").is_some());
    assert!(cut.machine.unsynced().is_empty());
    let (old, new) = (host.look(Path::new(OUT)).unwrap().unwrap(), next.look(Path::new(OUT)).unwrap().unwrap());
    assert_eq!((old.id.inode, old.born), (new.id.inode, new.born));
    assert_ne!(old.id.device, new.id.device);
    machine.set(|settings| settings.boot_known = false);
    assert_eq!(host.boot(), None);
    drop(held);
}

#[test]
fn enumeration_is_exhaustive_as_far_as_it_promises() {
    let (machine, _host, file) = opened();
    for _ in 0..POINTS_EXHAUSTIVE_MAX {
        file.append(b"x").unwrap();
    }
    let subsets = 1 << POINTS_EXHAUSTIVE_MAX;
    // Of a write of one byte that the disk has no room for yet: dropped, whole, the length alone.
    let halves = POINTS_EXHAUSTIVE_MAX << (POINTS_EXHAUSTIVE_MAX - 1);
    let cuts = machine.power_cuts(subsets + halves);
    assert!(cuts.exhaustive());
    assert_eq!(cuts.len(), subsets + halves);
    let fates: BTreeSet<String> = cuts.map(|cut| format!("{:?}", cut.fates)).collect();
    assert_eq!(fates.len(), subsets + halves, "no state twice");
    assert_eq!(machine.power_cuts(subsets).count(), subsets);
    assert!(!machine.power_cuts(subsets - 1).exhaustive());
    file.append(b"x").unwrap();
    assert!(!machine.power_cuts(1 << 20).exhaustive());
    assert_eq!(machine.power_cuts(100).count(), 100);
}

#[test]
fn random_states_are_the_same_for_the_same_seed() {
    let (machine, _host, file) = opened();
    for round in 0..20_u8 {
        file.append(&[b'a' + round; 700]).unwrap();
    }
    let states = |seed| {
        let mut random = Random::new(seed);
        (0..200).map(|_| machine.power_cut(&mut random).machine.read(OUT)).collect::<Vec<_>>()
    };
    assert_eq!(states(7), states(7));
    assert_ne!(states(7), states(8));
    let different: BTreeSet<_> = states(7).into_iter().collect();
    assert!(different.len() > 150, "{}", different.len());
}

#[test]
fn a_snapshot_goes_its_own_way() {
    let (machine, host, file) = opened();
    file.append(b"x").unwrap();
    let copy = machine.snapshot();
    file.append(b"y").unwrap();
    assert_eq!(copy.read(OUT), some(b"x"));
    assert_eq!(copy.host().boot(), host.boot());
    assert_eq!((copy.operations(), copy.unsynced().len()), (0, 1));
}

#[test]
fn a_watcher_sees_each_operation_before_it_is_done() {
    let (machine, _host, file) = opened();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    machine.watch(move |machine, operation| {
        sink.lock().unwrap().push((operation.kind, machine.snapshot().read(OUT)));
        if operation.kind == Kind::Sync {
            machine.append(OUT, b"!");
        }
    });
    file.append(b"x").unwrap();
    file.sync().unwrap();
    assert_eq!(*seen.lock().unwrap(), [(Kind::Append, some(b"")), (Kind::Sync, some(b"x"))]);
    assert_eq!(machine.read(OUT), some(b"x!"));
}

#[test]
fn a_lock_file_has_one_holder_and_keeps_its_mark() {
    let (machine, first, _file) = opened();
    let second = machine.host();
    let mut held = take_lock(&first, "/data/out.lock").expect("nobody has it");
    assert_eq!(held.mark(), None);
    held.set_mark("wrote it").unwrap();
    assert_eq!(held.mark(), Some("wrote it"));
    for host in [&first, &second] {
        match host.lock(Path::new("/data/out.lock"), "another").unwrap() {
            Lock::Busy(holder) => assert_eq!(holder.expect("it left a note").text, "a test"),
            Lock::Held(_) => panic!("two have it"),
        }
    }
    drop(held);
    assert_eq!(take_lock(&second, "/data/out.lock").expect("it was let go").mark(), Some("wrote it"));
    // On the disk at once, but for the name of the file.
    let marks = || -> BTreeSet<Option<String>> {
        let mark = |machine: &Machine| {
            take_lock(&machine.host(), "/data/out.lock").expect("nobody has it").mark().map(str::to_owned)
        };
        machine.power_cuts(100_000).map(|cut| mark(&cut.machine)).collect()
    };
    assert_eq!(marks(), BTreeSet::from([None, Some("wrote it".to_owned())]));
    machine.sync_all();
    machine.set(|settings| settings.notes_durable = false);
    let mut held = take_lock(&second, "/data/out.lock").expect("nobody has it");
    machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]));
    held.set_mark("wrote more").unwrap_err();
    assert_eq!(held.mark(), Some("wrote it"));
    assert!(marks().contains(&Some("wrote it".to_owned())), "without a sync it may be gone");
    held.set_mark("wrote more").unwrap();
    assert_eq!(marks(), BTreeSet::from([Some("wrote more".to_owned())]));
}

#[test]
fn whoever_removes_a_lock_file_makes_two_holders() {
    let (machine, host, _file) = opened();
    let mut held = take_lock(&host, "/data/out.lock").expect("nobody has it");
    held.set_mark("wrote it").unwrap();
    machine.unlink("/data/out.lock");
    let second = take_lock(&host, "/data/out.lock").expect("it is another file");
    assert_eq!(second.mark(), None);
    drop(held);
    assert!(take_lock(&host, "/data/out.lock").is_none(), "the second still holds it");
    machine.put_odd("/data/pipe.lock", FileKind::Pipe);
    assert!(host.lock(Path::new("/data/pipe.lock"), "a test").is_err());
}

#[test]
fn a_file_is_locked_for_one_opening_whatever_its_name() {
    let (machine, host, file) = opened();
    machine.link(OUT, "/data/also");
    let also = append_to(&machine.host(), "/data/also");
    assert!(file.try_lock().unwrap() && file.try_lock().unwrap());
    assert!(!also.try_lock().unwrap());
    assert!(!append_to(&host, OUT).try_lock().unwrap());
    file.unlock();
    assert!(also.try_lock().unwrap());
    also.unlock();
    assert!(file.try_lock().unwrap());
    drop(file);
    assert!(also.try_lock().unwrap());
}

#[test]
fn outsiders_change_what_they_like() {
    let (machine, host, file) = opened();
    file.append(b"abc").unwrap();
    machine.truncate(OUT, 1);
    machine.append(OUT, b"!");
    assert_eq!(machine.read(OUT), some(b"a!"));
    machine.replace(OUT, b"new");
    file.append(b"?").unwrap();
    assert_eq!(machine.read(OUT), some(b"new"));
    assert_ne!(host.look(Path::new(OUT)).unwrap().unwrap().id, file.status().unwrap().id);
    machine.rename(OUT, "/data/moved");
    assert_eq!(machine.read("/data/moved"), some(b"new"));
    machine.sync_all();
    machine.damage("/data/moved", 1, b"E");
    assert_eq!(machine.cut_to_synced().read("/data/moved"), some(b"nEw"));
    machine.unlink("/data/moved");
    assert_eq!(machine.names(), Vec::<&Path>::new());
}

#[test]
fn the_number_of_a_file_that_is_gone_is_given_to_the_next() {
    let (machine, host, file) = opened();
    let first = host.look(Path::new(OUT)).unwrap().unwrap();
    machine.unlink(OUT);
    machine.sync_all();
    drop(file);
    drop(create(&host, OUT));
    let second = host.look(Path::new(OUT)).unwrap().unwrap();
    assert_eq!(first.id, second.id);
    assert_ne!(first.born, second.born);
    machine.set(|settings| (settings.numbers_reused, settings.births_known) = (false, false));
    machine.unlink(OUT);
    machine.sync_all();
    drop(create(&host, OUT));
    let third = host.look(Path::new(OUT)).unwrap().unwrap();
    assert_ne!(third.id, first.id);
    assert_eq!(third.born, 0);
}

#[test]
fn a_remote_disk_says_so() {
    let (machine, host, _file) = opened();
    assert_eq!(host.remote(Path::new("/data")).unwrap(), None);
    machine.set(|settings| settings.remote = Some("NFS"));
    assert_eq!(host.remote(Path::new("/data")).unwrap(), Some("NFS"));
    assert_eq!(errno(host.remote(Path::new("/none"))), number(Errno::NOENT));
}
