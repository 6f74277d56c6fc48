//! All ids of a file are forgotten while it is in use.

use lockkeeper_journal::{AppendFile, AppendOptions, RecordId, unguarded};

use crate::double::{Kind, Machine};
use crate::script::{FLAVOURS, Flavour, OUT, machine, open_at};

fn append(file: &AppendFile, flavour: Flavour, n: u64) {
    let options = AppendOptions { id: Some(RecordId::of(&n.to_le_bytes())), ..AppendOptions::default() };
    let encoded = file.encode(&flavour.record(n)).expect("it is a record");
    file.commit_with(&encoded, &options, unguarded).expect("it can be appended to");
}

/// The file holds this, and its old ids are either all there or not at all.
fn every_cut_keeps(machine: &Machine, flavour: Flavour, synced: &[u8]) -> usize {
    let mut states = 0;
    for cut in machine.power_cuts(500) {
        let opened = open_at(&cut.machine, flavour);
        drop(opened.unwrap_or_else(|error| panic!("{flavour:?}: {error}\n{cut}")));
        let now = cut.machine.read(OUT).expect("it is there");
        assert!(now.starts_with(synced), "{flavour:?}\n{cut}");
        states += 1;
    }
    states
}

/// A sync that was under way while the ids were forgotten put the count of the old ones back into the checkpoint: after a
/// power cut they were missing, and the file was refused.
#[test]
fn a_sync_that_ends_after_the_ids_were_forgotten_does_not_miss_them() {
    let mut states = 0;
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.ids) {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        (0..5).for_each(|n| append(&file, flavour, n));
        file.sync().wait().expect("the disk is healthy");
        file.append(&flavour.record(5), unguarded).expect("it can be appended to");
        let gate = machine.gate(Kind::Sync);
        std::thread::scope(|threads| {
            let syncing = threads.spawn(|| file.sync().wait());
            gate.wait_for(1);
            let forgetting = threads.spawn(|| file.forget_ids());
            // The sync of the data still stands there, and that of the checkpoint in which there are no ids comes.
            gate.wait_for(2);
            drop(gate);
            forgetting.join().expect("it ends").expect("the disk is healthy");
            syncing.join().expect("it ends").expect("the disk is healthy");
        });
        states += every_cut_keeps(&machine, flavour, &machine.read(OUT).expect("it is there"));
    }
    println!("{states} states");
}

/// Records that were not synced yet had no id any more, and a power cut took them although they were synced later.
#[test]
fn records_whose_ids_were_forgotten_are_kept_once_they_are_synced() {
    let mut states = 0;
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.ids) {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        (0..5).for_each(|n| append(&file, flavour, n));
        file.forget_ids().expect("the disk is healthy");
        (6..8).for_each(|n| append(&file, flavour, n));
        file.sync().wait().expect("the disk is healthy");
        append(&file, flavour, 8);
        let synced = machine.read_synced(OUT).expect("it is there");
        states += every_cut_keeps(&machine, flavour, &synced);
    }
    println!("{states} states");
}
