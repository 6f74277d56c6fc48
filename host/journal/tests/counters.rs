//! Numbers that are handed out once, ever.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use lockkeeper_journal::counter::{CounterError, reserve_block};
use tempfile::tempdir;

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|is| is == extension)).collect()
}

fn the_file(dir: &Path) -> PathBuf {
    let files = files(dir, "counter");
    assert_eq!(files.len(), 1);
    files[0].clone()
}

#[test]
fn blocks_start_at_one_and_follow_each_other_without_overlap() {
    let directory = tempdir().unwrap();
    let dir = directory.path();
    assert_eq!(reserve_block(dir, "jobs/results", 1000).unwrap(), 1..1001);
    assert_eq!(reserve_block(dir, "jobs/results", 1).unwrap(), 1001..1002);
    assert_eq!(reserve_block(dir, "jobs/results", 24).unwrap(), 1002..1026);
    assert_eq!(reserve_block(dir, "other", 5).unwrap(), 1..6);
}

#[test]
fn a_name_is_never_a_path() {
    let directory = tempdir().unwrap();
    let dir = directory.path().join("state");
    for name in ["../escape", "/etc/passwd", "a\nend 5\n", "..", "\0", "a/b"] {
        assert_eq!(reserve_block(&dir, name, 3).unwrap(), 1..4, "{name:?}");
        assert_eq!(reserve_block(&dir, name, 3).unwrap(), 4..7, "{name:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!((files(&dir, "counter").len(), files(&dir, "lock").len()), (6, 6));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 12, "nothing is left over");
}

#[test]
fn a_missing_directory_is_made_for_its_owner_alone() {
    let directory = tempdir().unwrap();
    let dir = directory.path().join("a/b");
    reserve_block(&dir, "x", 1).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(dir.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn odd_names_and_empty_blocks_are_refused() {
    let directory = tempdir().unwrap();
    let dir = directory.path();
    assert!(matches!(reserve_block(dir, "", 1), Err(CounterError::Name { bytes: 0, .. })));
    assert!(matches!(reserve_block(dir, &"x".repeat(257), 1), Err(CounterError::Name { bytes: 257, .. })));
    assert!(matches!(reserve_block(dir, "x", 0), Err(CounterError::EmptyBlock)));
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn the_end_of_the_numbers_is_an_error_and_the_rest_can_still_be_had() {
    let directory = tempdir().unwrap();
    let dir = directory.path();
    assert_eq!(reserve_block(dir, "x", u64::MAX - 10).unwrap(), 1..u64::MAX - 9);
    let error = reserve_block(dir, "x", 10).unwrap_err();
    assert!(matches!(error, CounterError::Exhausted { asked: 10, .. }), "{error}");
    assert_eq!(reserve_block(dir, "x", 9).unwrap(), u64::MAX - 9..u64::MAX);
    assert!(matches!(reserve_block(dir, "x", 1), Err(CounterError::Exhausted { .. })));
}

/// Any byte of the file may rot, or be cut: the counter then says so, and never starts again.
#[test]
fn a_damaged_counter_is_an_error_and_stays_one() {
    let directory = tempdir().unwrap();
    let dir = directory.path();
    reserve_block(dir, "x", 1000).unwrap();
    let path = the_file(dir);
    let good = fs::read(&path).unwrap();
    let cut = (0..good.len()).map(|len| good[..len].to_vec());
    let flipped = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    let longer = [[&good[..], b"\n"].concat(), [&good[..], &good[..]].concat(), vec![b'x'; 10_000]];
    for bad in cut.chain(flipped).chain(longer) {
        fs::write(&path, &bad).unwrap();
        for _ in 0..2 {
            let error = reserve_block(dir, "x", 1).unwrap_err();
            assert!(matches!(error, CounterError::Corrupt { .. }), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), bad, "a damaged file is left for a person to see");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(reserve_block(dir, "x", 1).unwrap(), 1001..1002);
}

#[test]
fn the_file_of_another_counter_is_not_taken_for_ours() {
    let directory = tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    reserve_block(&one, "x", 1000).unwrap();
    reserve_block(&two, "y", 5).unwrap();
    fs::copy(the_file(&two), the_file(&one)).unwrap();
    assert!(matches!(reserve_block(&one, "x", 1), Err(CounterError::Corrupt { .. })));
}

#[test]
fn a_removed_counter_is_missed_and_does_not_start_anew() {
    let directory = tempdir().unwrap();
    let dir = directory.path();
    reserve_block(dir, "x", 1000).unwrap();
    let path = the_file(dir);
    fs::remove_file(&path).unwrap();
    let error = reserve_block(dir, "x", 1).unwrap_err();
    assert!(matches!(error, CounterError::Missing { .. }), "{error}");
    assert!(!path.exists());
    // The message says what to do for who wants to start anew.
    fs::remove_file(&files(dir, "lock")[0]).unwrap();
    assert_eq!(reserve_block(dir, "x", 1).unwrap(), 1..2);
}

#[test]
fn an_unreadable_counter_is_an_error() {
    let directory = tempdir().unwrap();
    let dir = directory.path();
    reserve_block(dir, "x", 1000).unwrap();
    let path = the_file(dir);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(reserve_block(dir, "x", 1), Err(CounterError::Io { .. })));
}

/// A process that died before its new file took the place of the old one leaves half of it beside.
#[test]
fn a_half_written_new_file_is_not_taken_for_the_counter() {
    let directory = tempdir().unwrap();
    let dir = directory.path();
    reserve_block(dir, "x", 1000).unwrap();
    let path = the_file(dir);
    fs::write(path.with_extension("counter.new"), b"lockkeeper-counter 1\nname x\nend 9").unwrap();
    assert_eq!(reserve_block(dir, "x", 1).unwrap(), 1001..1002);
}

#[test]
fn eight_threads_never_get_the_same_number() {
    let directory = tempdir().unwrap();
    let dir = directory.path().join("state");
    let all = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for len in 1..=8 {
            let (dir, all) = (&dir, &all);
            scope.spawn(move || {
                for _ in 0..25 {
                    let block = reserve_block(dir, "x", len).unwrap();
                    all.lock().unwrap().push(block);
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap();
    all.sort_by_key(|block| block.start);
    assert_eq!(all.first().unwrap().start, 1);
    assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!(all.last().unwrap().end, 1 + 25 * (1..=8).sum::<u64>());
}
