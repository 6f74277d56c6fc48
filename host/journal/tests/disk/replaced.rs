//! A file is emptied when it is opened: what it held is gone, and what must outlive it is not.

use std::convert::Infallible;
use std::sync::Arc;

use lockkeeper_journal::storage::Disk;
use lockkeeper_journal::{AppendFile, AppendOptions, FormatKind, IfExists, OpenError, OpenReport, RecordId, unguarded};

use crate::double::Machine;
use crate::script::{FLAVOURS, Flavour, OUT, machine, open_at};

const FRAMED: Flavour = Flavour { format: FormatKind::Framed, ids: false };

fn replace(machine: &Machine, flavour: Flavour) -> Result<(AppendFile, OpenReport), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    let mut spec = flavour.spec();
    spec.if_exists = IfExists::Replace;
    AppendFile::open_on(&disk, &spec)
}

/// Frames say which fences there were, so their loss of the checkpoint is made up for. They were emptied unread, and the
/// floor began at zero.
#[test]
fn a_floor_that_only_the_frames_know_is_read_before_they_are_emptied() {
    let machine = machine();
    let (file, _) = open_at(&machine, FRAMED).expect("it can be opened");
    file.append(b"x", || Ok::<_, Infallible>(Some(500))).expect("it can be appended to");
    drop(file);
    machine.unlink("/data/out.checkpoint");
    machine.sync_all();
    let damaged = machine.snapshot();
    let (file, report) = replace(&machine, FRAMED).expect("the frames say it");
    assert_eq!((report.floor, report.replaced_bytes), (500, 49));
    file.append(b"y", || Ok::<_, Infallible>(Some(1))).expect_err("an older fence");
    drop(file);
    assert_eq!(open_at(&machine, FRAMED).expect("it is whole").1.floor, 500);

    damaged.damage(OUT, 30, b"\xff");
    let before = damaged.read(OUT);
    let error = replace(&damaged, FRAMED).expect_err("nobody knows the floor");
    assert!(matches!(error, OpenError::FloorLost { .. }), "{error}");
    assert_eq!(damaged.read(OUT), before);
}

/// The cut was not synced, so after a power cut the old records were back, in front of the new ones or in their place.
#[test]
fn what_a_file_held_before_it_was_replaced_does_not_come_back_with_a_power_cut() {
    let mut states = 0;
    for flavour in FLAVOURS {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        let options = AppendOptions { id: flavour.ids.then(|| RecordId::of(b"old")), ..AppendOptions::default() };
        let encoded = file.encode(&flavour.record(0)).expect("it is a record");
        file.commit_with(&encoded, &options, unguarded).expect("it can be appended to");
        file.sync().wait().expect("the disk is healthy");
        drop(file);
        let (file, report) = replace(&machine, flavour).expect("it can be emptied");
        assert!(report.replaced_bytes > 0);
        file.append(&flavour.record(1), unguarded).expect("it can be appended to");
        let content = machine.read(OUT).expect("it is there");
        for cut in machine.power_cuts(500) {
            let (_, report) = open_at(&cut.machine, flavour).unwrap_or_else(|error| panic!("{error}\n{cut}"));
            let now = cut.machine.read(OUT).expect("it is there");
            assert!(content.starts_with(&now), "{flavour:?}: {report:?}\n{cut}");
            states += 1;
        }
    }
    println!("{states} states");
}
