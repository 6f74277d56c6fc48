//! Who may write is asked at the moment of writing.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use lockkeeper_journal::{AppendError, AppendFile, FileSpec, Format, unguarded};
use tempfile::{TempDir, tempdir};

fn open() -> (TempDir, PathBuf, AppendFile) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("out");
    let (file, _) = AppendFile::open(&FileSpec::new(&path, Format::Lines, "a test")).unwrap();
    (directory, path, file)
}

/// What a host answers when the claim of a guest does not fit its own record.
#[derive(Debug, PartialEq, Eq)]
struct NoHold;

fn fence(fence: u64) -> impl Fn() -> Result<Option<u64>, NoHold> {
    move || Ok(Some(fence))
}

#[test]
fn a_refusing_guard_has_the_last_word_and_nothing_is_written() {
    let (_directory, path, file) = open();
    let refused = file.append(b"record", || Err(NoHold));
    assert!(matches!(refused, Err(AppendError::Refused(NoHold))));
    let refused = file.append_batch(&[b"record"], || Err(NoHold));
    assert!(matches!(refused, Err(AppendError::Refused(NoHold))));
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert_eq!(file.position().records, 0);
}

#[test]
fn a_record_that_is_invalid_is_refused_before_the_guard_is_asked() {
    let (_directory, _path, file) = open();
    let refused = file.append::<NoHold>(b"a\nb", || panic!("the guard is not asked"));
    assert!(matches!(refused, Err(AppendError::Invalid(_))));
}

#[test]
fn a_fence_below_the_floor_is_fenced_and_a_higher_one_raises_it() {
    let (_directory, path, file) = open();
    file.append(b"5", fence(5)).unwrap();
    assert_eq!(file.floor(), 5);
    let refused = file.append(b"4", fence(4));
    assert!(matches!(refused, Err(AppendError::Fenced { offered: 4, current: 5 })), "{refused:?}");
    file.append(b"5", fence(5)).unwrap();
    file.append(b"9", fence(9)).unwrap();
    file.append(b"none", unguarded).unwrap();
    file.raise_floor(3);
    assert_eq!(file.floor(), 9);
    file.raise_floor(20);
    let refused = file.append(b"19", fence(19));
    assert!(matches!(refused, Err(AppendError::Fenced { offered: 19, current: 20 })), "{refused:?}");
    file.append(b"20", fence(20)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "5\n5\n9\nnone\n20\n");
}

/// The hold was taken away while the append stood at the file: the answer that counts is the one at the moment of
/// writing.
#[test]
fn the_guard_is_asked_only_once_the_file_is_free() {
    for _ in 0..200 {
        let (_directory, path, file) = open();
        let held = AtomicBool::new(true);
        let asked = AtomicBool::new(false);
        let (in_guard, wait_in_guard) = mpsc::channel();
        let (go_on, wait_to_go_on) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let (file, held, asked) = (&file, &held, &asked);
            scope.spawn(move || {
                let guard = || {
                    in_guard.send(()).unwrap();
                    wait_to_go_on.recv().unwrap();
                    assert!(!asked.load(Ordering::SeqCst), "another guard was asked while this append holds the file");
                    Ok::<_, NoHold>(Some(1))
                };
                file.append(b"first", guard).unwrap();
            });
            wait_in_guard.recv().unwrap();
            let second = scope.spawn(move || {
                file.append(b"second", || {
                    asked.store(true, Ordering::SeqCst);
                    if held.load(Ordering::SeqCst) { Ok(Some(1)) } else { Err(NoHold) }
                })
            });
            // A chance to ask too early; a right implementation needs none.
            for _ in 0..100 {
                thread::yield_now();
            }
            held.store(false, Ordering::SeqCst);
            go_on.send(()).unwrap();
            assert!(matches!(second.join().unwrap(), Err(AppendError::Refused(NoHold))));
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n");
    }
}

#[test]
fn raise_floor_returns_only_after_the_write_in_flight() {
    let (_directory, path, file) = open();
    for round in 0..200_u64 {
        let (in_guard, wait_in_guard) = mpsc::channel();
        let before = file.position().bytes;
        thread::scope(|scope| {
            let file = &file;
            scope.spawn(move || {
                file.append::<NoHold>(b"in flight", || {
                    in_guard.send(()).unwrap();
                    Ok(Some(round))
                })
                .unwrap();
            });
            wait_in_guard.recv().unwrap();
            file.raise_floor(round + 1);
            assert_eq!(fs::metadata(&path).unwrap().len(), before + 10);
        });
    }
}

const REVOCATIONS: u64 = 100_000;
const APPENDERS: u64 = 7;

/// So that the file does not grow while the revoker waits for its turn.
const APPENDS_PER_OWNER_MAX: u64 = 4;

/// A host revokes: it takes the hold away, raises the floor, and only then lets the next owner write. Seven threads keep
/// writing under the fence that they last saw, most of them asking the host's record at the moment of writing, some
/// relying on the floor alone. The eighth revokes and writes the first record of each new owner: behind it, no record of
/// an earlier owner may stand.
#[test]
fn no_record_of_a_revoked_fence_is_written_after_raise_floor_returned() {
    let (_directory, path, file) = open();
    let current = AtomicU64::new(1);
    let claims = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    let (mut written, mut refused, mut fenced) = (0_u64, 0_u64, 0_u64);
    thread::scope(|scope| {
        let (file, current, claims, ended) = (&file, &current, &claims, &ended);
        let appenders: Vec<_> = (0..APPENDERS)
            .map(|appender| {
                let asks_the_record = appender % 3 != 0;
                scope.spawn(move || {
                    let (mut written, mut refused, mut fenced) = (0_u64, 0_u64, 0_u64);
                    let (mut last_claim, mut appends_left) = (0, 0);
                    while !ended.load(Ordering::SeqCst) {
                        let claim = current.load(Ordering::SeqCst);
                        if claim != last_claim {
                            (last_claim, appends_left) = (claim, APPENDS_PER_OWNER_MAX);
                        }
                        if appends_left == 0 {
                            thread::yield_now();
                            continue;
                        }
                        appends_left -= 1;
                        claims.fetch_add(1, Ordering::SeqCst);
                        let appended = file.append(format!("{claim}").as_bytes(), || {
                            if asks_the_record && current.load(Ordering::SeqCst) != claim {
                                return Err(NoHold);
                            }
                            Ok(Some(claim))
                        });
                        match appended {
                            Ok(_) => written += 1,
                            Err(AppendError::Refused(NoHold)) => refused += 1,
                            Err(AppendError::Fenced { offered, current }) => {
                                assert!(offered == claim && offered < current);
                                fenced += 1;
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                    (written, refused, fenced)
                })
            })
            .collect();
        for next in 2..2 + REVOCATIONS {
            // At least one claim of this owner is on its way to the file, so every revocation is a race.
            while claims.swap(0, Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            current.store(next, Ordering::SeqCst);
            file.raise_floor(next);
            file.append(format!("{next} first").as_bytes(), fence(next)).unwrap();
        }
        ended.store(true, Ordering::SeqCst);
        for appender in appenders {
            let counts = appender.join().unwrap();
            written += counts.0;
            refused += counts.1;
            fenced += counts.2;
        }
    });

    let text = fs::read_to_string(&path).unwrap();
    let (mut owner, mut records) = (1_u64, 0);
    for line in text.lines() {
        records += 1;
        let (fence, first) = line.split_once(' ').map_or((line, false), |(fence, _)| (fence, true));
        let fence: u64 = fence.parse().unwrap();
        assert!(fence >= owner, "record {records} of fence {fence} stands behind one of {owner}");
        assert!(first || fence <= owner + 1);
        owner = fence;
    }
    assert_eq!(records, written + REVOCATIONS);
    assert_eq!(owner, 1 + REVOCATIONS);
    println!("{written} written, {refused} refused by the guard, {fenced} fenced, {REVOCATIONS} revocations");
    assert!(refused > 0 && fenced > 0, "the race never happened: {refused} refused, {fenced} fenced");
}
