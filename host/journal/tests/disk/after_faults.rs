//! The power is cut after something has failed: what was acknowledged since is there all the same.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper_journal::{AppendOptions, FormatKind, OpenError, RecordId, unguarded};
use rustix::io::Errno;

use crate::double::{Fault, Kind, Machine, Random};
use crate::script::{FLAVOURS, Flavour, OUT, machine, open_at};

/// In every state that a power cut may leave, the file begins with what was acknowledged as synced.
fn every_cut_keeps(machine: &Machine, flavour: Flavour, synced: &[u8]) -> usize {
    let mut states = 0;
    for cut in machine.power_cuts(2_000) {
        let opened = open_at(&cut.machine, flavour);
        let (_, report) = opened.unwrap_or_else(|error| panic!("{flavour:?}: {error}\n{cut}"));
        let now = cut.machine.read(OUT).expect("it is there");
        assert!(now.starts_with(synced), "{flavour:?}: {report:?}\n{cut}");
        states += 1;
    }
    states
}

/// The word about a batch that failed was taken back without a sync. A power cut could leave the word and lose that it was
/// taken back; the record that had come in the place of the batch was then half of it, and cut, although it had been
/// acknowledged as synced. Now the word is gone from the disk before anything comes in that place.
#[test]
fn a_synced_record_in_the_place_of_a_batch_that_failed_outlives_a_power_cut() {
    type Case = (&'static str, fn() -> Fault);
    let cases: [Case; 4] = [
        ("the write is torn", || Fault::torn(9, Errno::NOSPC).on(&[Kind::Append]).of("/out")),
        ("nothing is written", || Fault::fail(Errno::NOSPC).on(&[Kind::Append]).of("/out")),
        ("the word is written, and its writer told otherwise", || {
            Fault::late(Errno::IO).on(&[Kind::WriteAt]).of(".checkpoint")
        }),
        ("the id is refused", || Fault::fail(Errno::NOSPC).on(&[Kind::WriteAt]).of(".ids.new")),
    ];
    let mut states = 0;
    for flavour in FLAVOURS {
        for (what, fault) in cases {
            for next in [1..2, 1..3] {
                let machine = machine();
                let (file, _) = open_at(&machine, flavour).expect("it can be opened");
                file.append(&flavour.record(0), unguarded).expect("the disk is healthy");
                file.sync().wait().expect("the disk is healthy");
                let batch: Vec<_> = (3..9).map(|n| flavour.record(n)).collect();
                let encoded = file.encode_batch(&batch).expect("they are records");
                let id = flavour.ids.then(|| RecordId::of(b"a batch"));
                let options = AppendOptions { id, ..AppendOptions::default() };
                machine.inject(fault());
                let failed = file.commit_with(&encoded, &options, unguarded).is_err();
                // Frames need no word, and not every file has ids.
                let is_met = !machine.log().iter().all(|it| it.failed.is_none_or(|errno| errno == NOT_FOUND));
                assert_eq!(failed, is_met, "{flavour:?}, {what}");
                machine.heal();
                let next: Vec<_> = next.map(|n| flavour.record(n)).collect();
                let appended = file.append_batch(&next, unguarded).expect("the disk is healthy");
                file.synced(&appended).wait().expect("the disk is healthy");
                states += every_cut_keeps(&machine, flavour, &machine.read(OUT).expect("it is there"));
            }
        }
    }
    println!("{states} states");
}

/// What a missing file answers; no fault.
const NOT_FOUND: i32 = Errno::NOENT.raw_os_error();

/// That the word is gone is not believed before a sync has said so.
#[test]
fn nothing_is_appended_while_the_word_of_a_failed_batch_may_still_be_on_the_disk() {
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.format != FormatKind::Framed) {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        machine.inject(Fault::fail(Errno::NOSPC).on(&[Kind::Append]).of("/out"));
        file.append_batch(&[flavour.record(3), flavour.record(4)], unguarded).expect_err("the write failed");
        let before = machine.read(OUT);
        machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of(".checkpoint").times(2));
        for _ in 0..2 {
            file.append(&flavour.record(1), unguarded).expect_err("the word may still be there");
            assert_eq!(machine.read(OUT), before);
        }
        let syncs = machine.count(Kind::Sync);
        file.append(&flavour.record(1), unguarded).expect("the disk is healthy");
        assert_eq!(machine.count(Kind::Sync) - syncs, 1);
        file.append(&flavour.record(2), unguarded).expect("the disk is healthy");
        assert_eq!(machine.count(Kind::Sync) - syncs, 1, "only what has failed costs a sync");
    }
}

/// A write that failed was cut off without a sync. If a power cut undid that, the end of what had been refused stood behind
/// the record that had come in its place, and read as one of its own. Now the cut is on the disk before the next write.
#[test]
fn the_end_of_a_refused_record_is_not_read_behind_the_next_one_after_a_power_cut() {
    let options = |flavour: Flavour| AppendOptions {
        id: flavour.ids.then(|| RecordId::of(b"refused")),
        ..AppendOptions::default()
    };
    let mut states = 0;
    for flavour in FLAVOURS {
        for then in ["append", "close", "die"] {
            let machine = machine();
            let (mut file, _) = open_at(&machine, flavour).expect("it can be opened");
            file.append(&flavour.record(0), unguarded).expect("the disk is healthy");
            let before = machine.read(OUT).expect("it is there");
            machine.inject(Fault::late(Errno::IO).on(&[Kind::Append]).of("/out"));
            let refused = file.encode(&flavour.record(4)).expect("it is a record");
            file.commit_with(&refused, &options(flavour), unguarded).expect_err("the write failed");
            assert_eq!(machine.read(OUT).as_ref(), Some(&before));
            if then != "append" {
                if then == "die" {
                    machine.kill_all();
                }
                drop(file);
                (file, _) = open_at(&machine, flavour).expect("it can be opened");
            }
            file.append(&flavour.record(1), unguarded).expect("the disk is healthy");
            let content = machine.read(OUT).expect("it is there");
            for cut in machine.power_cuts(2_000) {
                let (_, report) = open_at(&cut.machine, flavour).unwrap_or_else(|error| panic!("{error}\n{cut}"));
                let now = cut.machine.read(OUT).expect("it is there");
                assert!(content.starts_with(&now), "{flavour:?}, {then}: {report:?}\n{cut}");
                states += 1;
            }
        }
    }
    println!("{states} states");
}

/// Whoever opened a file after a sync of its checkpoint had failed synced it once more, was told that all is well, and wrote
/// over the last slot that the disk did hold. Now the disk is asked which one that is.
#[test]
fn a_checkpoint_whose_sync_failed_is_not_taken_for_durable_by_who_opens_the_file_next() {
    let (mut states, mut random) = (0, Random::new(3));
    for flavour in FLAVOURS {
        // Each reservation is in another slot than the one before.
        for (reservations, nth) in (2..4).flat_map(|reservations| [(reservations, 1), (reservations, 2)]) {
            let machine = machine();
            let (file, _) = open_at(&machine, flavour).expect("it can be opened");
            file.append(&flavour.record(0), unguarded).expect("the disk is healthy");
            file.sync().wait().expect("the disk is healthy");
            for reservation in 1..=reservations {
                file.reserve_fences(10 * reservation).expect("the disk is healthy");
            }
            machine.kill_all();
            drop(file);
            machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of(".checkpoint").nth(nth));
            open_at(&machine, flavour).expect_err("the sync failed");
            let synced = machine.read_synced(OUT).expect("it is there");
            let moments = Arc::new(Mutex::new(Vec::new()));
            let sink = moments.clone();
            machine.watch(move |machine, _| {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(machine.snapshot());
            });
            let _file = open_at(&machine, flavour).expect("the disk is healthy");
            for moment in moments.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                // At random, since a slot is text at its start and spaces behind: few of its halves are not whole.
                for _ in 0..20 {
                    let cut = moment.power_cut(&mut random);
                    let (_, report) = open_at(&cut.machine, flavour).unwrap_or_else(|error| panic!("{error}\n{cut}"));
                    assert_eq!(report.floor, 10 * reservations, "{flavour:?}\n{cut}");
                    assert_eq!(cut.machine.read(OUT).as_ref(), Some(&synced), "{flavour:?}\n{cut}");
                    states += 1;
                }
            }
        }
    }
    println!("{states} states");
}

/// Linux tells of a failed write-back once for each open file. Of two reservations at the same time one was told, and the
/// other answered that its fences were safe. Now it writes and syncs anew.
#[test]
fn a_reservation_beside_one_that_failed_holds_through_a_power_cut() {
    let flavour = Flavour { format: FormatKind::Lines, ids: false };
    let mut beside = 0;
    for _ in 0..60 {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        file.reserve_fences(10).expect("the disk is healthy");
        machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of(".checkpoint"));
        let gate = machine.gate(Kind::Sync);
        let second = std::thread::scope(|threads| {
            let first = threads.spawn(|| file.reserve_fences(200));
            gate.wait_for(1);
            let second = threads.spawn(|| file.reserve_fences(150));
            // Whichever way they meet it has to hold; mostly the second one has begun by now.
            (0..200).for_each(|_| std::thread::yield_now());
            gate.pass(1);
            drop(gate);
            first.join().expect("it ends").expect_err("the sync failed");
            second.join().expect("it ends")
        });
        second.expect("its own sync is well");
        let (_, report) = open_at(&machine.cut_to_synced(), flavour).expect("it is whole");
        assert!(report.floor >= 150, "{}", report.floor);
        beside += usize::from(report.floor == 200);
    }
    println!("{beside} of 60 had begun beside the other");
}

/// A fence that was not reserved stood in the page cache alone, also when its record had been acknowledged as synced: after a
/// power cut an older one could write again.
#[test]
fn a_fence_that_was_not_reserved_is_as_durable_as_its_record() {
    let mut states = 0;
    for flavour in FLAVOURS {
        for reserved in [None, Some(100)] {
            let machine = machine();
            let (file, _) = open_at(&machine, flavour).expect("it can be opened");
            file.append(&flavour.record(0), || Ok::<_, Infallible>(Some(7))).expect("the disk is healthy");
            file.sync().wait().expect("the disk is healthy");
            if let Some(end) = reserved {
                file.reserve_fences(end).expect("the disk is healthy");
            }
            for n in 1..4 {
                let appended = file.append(&flavour.record(n), || Ok::<_, Infallible>(Some(500 + n / 2)));
                let appended = appended.expect("the disk is healthy");
                file.synced(&appended).wait().expect("the disk is healthy");
                for cut in machine.power_cuts(300) {
                    let (_, report) = open_at(&cut.machine, flavour).expect("it is whole");
                    assert_eq!(report.floor, 500 + n / 2, "{flavour:?}\n{cut}");
                    states += 1;
                }
            }
        }
    }
    println!("{states} states");
}

/// That a file was written under fences stands in the lock file, so that the loss of its checkpoint is noticed. The word was
/// never synced, so a power cut could take it: then the floor of a text file began at zero.
#[test]
fn that_there_were_fences_is_on_the_disk_before_they_are_given_out() {
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.format != FormatKind::Framed) {
        for reserve in [true, false] {
            let machine = machine();
            machine.set(|settings| settings.notes_durable = false);
            let (file, _) = open_at(&machine, flavour).expect("it can be opened");
            match reserve {
                true => file.reserve_fences(20).expect("the disk is healthy"),
                false => {
                    let append = file.append(&flavour.record(0), || Ok::<_, Infallible>(Some(7)));
                    file.synced(&append.expect("the disk is healthy")).wait().map(drop).expect("the disk is healthy");
                }
            }
            let cut = machine.cut_to_synced();
            cut.unlink("/data/out.checkpoint");
            let error = open_at(&cut, flavour).expect_err("the floor is lost");
            assert!(matches!(error, OpenError::FloorLost { .. }), "{flavour:?}: {error}");
        }
    }
}
