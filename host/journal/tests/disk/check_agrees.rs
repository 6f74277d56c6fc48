//! A check says what opening the file would do, in whatever state a power cut has left it.

use std::path::Path;
use std::sync::Arc;

use lockkeeper_journal::inspect::{self, Verdict};
use lockkeeper_journal::storage::Disk;
use lockkeeper_journal::{AppendOptions, FormatKind, OpenError, RecordId, unguarded};

use crate::script::{FLAVOURS, OUT, TORN, machine, open_at};

/// Ids that the data does not bear out counted as if they covered it, so that a check called whole what was then cut.
#[test]
fn a_check_after_a_power_cut_keeps_what_opening_the_file_keeps() {
    let mut states = 0;
    for flavour in FLAVOURS {
        let machine = machine();
        let (file, _) = open_at(&machine, flavour).expect("it can be opened");
        file.sync().wait().expect("the disk is healthy");
        for (n, count) in [(0, 2), (2, 1), (3, 1)] {
            let batch: Vec<_> = (n..n + count).map(|n| flavour.record(n)).collect();
            let encoded = file.encode_batch(&batch).expect("they are records");
            let id = (flavour.ids && n < 3).then(|| RecordId::of(&n.to_le_bytes()));
            let options = AppendOptions { id, ..AppendOptions::default() };
            file.commit_with(&encoded, &options, unguarded).expect("it can be appended to");
        }
        for cut in machine.power_cuts(3_000) {
            let disk: Arc<dyn Disk> = Arc::new(cut.machine.host());
            let checked = inspect::check(&disk, Path::new(OUT), None, |_, _| {}).expect("it can be read");
            let (_file, report) = open_at(&cut.machine, flavour).unwrap_or_else(|error| panic!("{error}\n{cut}"));
            assert!(checked.refused.is_none(), "{flavour:?}: {checked:?}\n{cut}");
            if report.header_written {
                continue;
            }
            assert_eq!(checked.whole_bytes, report.bytes_before, "{flavour:?}: {checked:?}\n{cut}");
            let torn = report.torn.map(|torn| torn.reason);
            assert_eq!(
                (checked.verdict() == Verdict::Torn, checked.torn),
                (torn.is_some(), torn),
                "{flavour:?}\n{cut}"
            );
            states += 1;
        }
    }
    println!("{states} states");
}

/// Without a checkpoint an end of zeros and a newline was a record to who opened the file, and damage to who checked it.
#[test]
fn zeros_in_a_file_of_ours_without_its_checkpoint_are_damage_to_all() {
    for flavour in FLAVOURS.into_iter().filter(|flavour| flavour.format != FormatKind::Framed && !flavour.ids) {
        for meddle in ["gone", "unreadable", "stale"] {
            let machine = machine();
            let (file, _) = open_at(&machine, flavour).expect("it can be opened");
            file.append(&flavour.record(0), unguarded).expect("it can be appended to");
            drop(file);
            machine.sync_all();
            match meddle {
                "gone" => machine.unlink("/data/out.checkpoint"),
                "unreadable" => machine.put("/data/out.checkpoint", &[b'x'; 9_000]),
                _ => {
                    let end = machine.read(OUT).expect("it is there").len();
                    machine.damage(OUT, end - 2, b"X");
                }
            }
            machine.append(OUT, b"\0\0\0\0tail\n");
            let before = machine.read(OUT);
            let error = open_at(&machine, flavour).expect_err("it is damaged");
            assert!(matches!(error, OpenError::Damaged { .. }), "{flavour:?}, {meddle}: {error}");
            let disk: Arc<dyn Disk> = Arc::new(machine.host());
            let checked = inspect::check(&disk, Path::new(OUT), None, |_, _| {}).expect("it can be read");
            assert!(matches!(checked.refused, Some(OpenError::Damaged { .. })), "{checked:?}");
            assert_eq!((machine.read(OUT), machine.read(TORN)), (before, None));
        }
    }
}
