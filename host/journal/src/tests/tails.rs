//! Finding the end of the last record, and a repair that dies at every one of its steps.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::double::{Life, Memory, Mortal};
use crate::file::AppendFile;
use crate::format::Format;
use crate::open::FileSpec;
use crate::storage::Disk;
use crate::tail;

fn csv() -> Format {
    Format::Csv { header: Vec::new() }
}

fn in_memory(bytes: &[u8]) -> Memory {
    let memory = Memory::new();
    memory.with(|state| state.bytes = bytes.to_vec());
    memory
}

#[test]
fn the_last_newline_is_found_across_chunks_and_only_the_tail_is_read() {
    let chunk = tail::CHUNK_BYTES;
    for (head, torn) in [(0, 0), (0, 5), (10, 0), (10, chunk - 1), (10, chunk), (10, chunk + 1), (3 * chunk, 1)] {
        let mut bytes = vec![b'x'; head];
        if head > 0 {
            *bytes.last_mut().unwrap() = b'\n';
        }
        bytes.extend(vec![b'y'; torn]);
        let mut memory = in_memory(&bytes);
        let found = tail::examine(&mut memory, bytes.len() as u64, &Format::Lines, 100).unwrap();
        assert_eq!(found.last_record_end, head as u64, "{head} and {torn} bytes");
        assert!(found.bytes_read <= (torn + 1).next_multiple_of(chunk) as u64, "{head} and {torn} bytes");
    }
}

#[test]
fn a_csv_file_is_scanned_across_chunks() {
    let field = format!("\"{}\n\"", "x".repeat(tail::CHUNK_BYTES / 3));
    let row = format!("{field},b\n");
    let whole = row.repeat(7);
    for torn in ["", "a", &field, "\"a\n"] {
        let bytes = format!("{whole}{torn}");
        let mut memory = in_memory(bytes.as_bytes());
        let found = tail::examine(&mut memory, bytes.len() as u64, &csv(), 100).unwrap();
        assert_eq!(found.last_record_end, whole.len() as u64);
        let scanned = found.csv.unwrap();
        assert_eq!((scanned.rows, scanned.columns), (7, Some(2)));
        assert_eq!((scanned.first_row.len(), scanned.first_row_whole), (100, false));
    }
}

/// A file of ours that ends in `torn`, and perhaps an older file of torn bytes.
fn torn_file(path: &Path, older: &[u8], torn: &[u8]) {
    let (file, _) = AppendFile::open(&FileSpec::new(path, Format::Lines, "test")).unwrap();
    file.append(b"whole", crate::unguarded).unwrap();
    drop(file);
    OpenOptions::new().append(true).open(path).unwrap().write_all(torn).unwrap();
    if !older.is_empty() {
        fs::write(path.with_extension("csv.torn"), older).unwrap();
    }
}

/// A host that died while it repaired must find, when it comes back, every byte in one of the two places, and end up as
/// if it had not died. A half-saved piece may remain in front.
#[test]
fn a_repair_that_dies_at_any_step_loses_nothing_and_is_finished_by_the_next_open() {
    let long = vec![b'z'; 3 * tail::CHUNK_BYTES + 17];
    let mut deaths = 0;
    for (older, torn) in [(&b""[..], &b"torn"[..]), (b"older", b"torn"), (b"older", &long), (b"torn", b"torn")] {
        for operations in 0.. {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("out.csv");
            let torn_path = directory.path().join("out.csv.torn");
            torn_file(&path, older, torn);

            let life = Life::of(operations);
            let open = |path: &Path| {
                let mut options = OpenOptions::new();
                let file = options.read(true).append(true).create(true).open(path).unwrap();
                Mortal { storage: Disk(file), life: life.clone() }
            };
            let len = fs::metadata(&path).unwrap().len();
            let sync_name = || if life.spend() { Ok(()) } else { Err(std::io::Error::other("the process is dead")) };
            let done = tail::move_to(&mut open(&torn_path), &mut open(&path), 6, len, sync_name);
            assert!(done.is_ok() || life.over(), "only death stops a repair: {done:?}");
            let saved = fs::read(&torn_path).unwrap();
            let left = fs::read(&path).unwrap();
            assert!(saved.starts_with(older), "what was saved before is never overwritten");
            assert!(left.ends_with(torn) || saved.ends_with(torn), "the torn bytes are somewhere");

            let was_torn = left.ends_with(torn);
            let (file, report) = AppendFile::open(&FileSpec::new(&path, Format::Lines, "test")).unwrap();
            assert_eq!(report.torn.map(|torn| torn.bytes), was_torn.then_some(torn.len() as u64));
            assert_eq!(fs::read(&path).unwrap(), b"whole\n");
            let saved_now = fs::read(&torn_path).unwrap();
            assert!(saved_now.ends_with(torn) && saved_now.starts_with(older));
            if saved.ends_with(torn) {
                assert_eq!(saved_now, saved, "the same bytes are not saved twice");
            }
            file.append(b"next", crate::unguarded).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"whole\nnext\n");
            if done.is_ok() {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 20, "{deaths}");
}

#[test]
fn a_repair_without_room_for_the_torn_bytes_changes_neither_file() {
    let mut data = in_memory(b"whole\ntorn");
    let mut saved = in_memory(b"older");
    saved.writes([super::double::Fault::Short(2), super::double::Fault::Fail(super::errno::ENOSPC)]);
    let error = tail::move_to(&mut saved, &mut data, 6, 10, || Ok(())).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(super::errno::ENOSPC));
    assert_eq!((data.bytes(), saved.bytes()), (b"whole\ntorn".to_vec(), b"older".to_vec()));
    tail::move_to(&mut saved, &mut data, 6, 10, || Ok(())).unwrap();
    assert_eq!((data.bytes(), saved.bytes()), (b"whole\n".to_vec(), b"oldertorn".to_vec()));
}
