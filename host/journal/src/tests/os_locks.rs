//! Locks whose file is meddled with. Locks between processes are tested in `tests/processes.rs`.

use std::fs;
use std::path::Path;
use std::thread;

use tempfile::tempdir;

use crate::os_lock::{Attempt, OsLock, OsLockError};

fn try_lock(path: &Path) -> Option<OsLock> {
    match OsLock::try_exclusive(path, "a test").unwrap() {
        Attempt::Acquired(lock) => Some(lock),
        Attempt::Busy(_) => None,
    }
}

#[test]
fn a_lock_is_let_go_although_a_forked_child_has_its_file_open() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    let lock = try_lock(&path).unwrap();
    let of_child = lock.duplicate();
    assert!(try_lock(&path).is_none());
    drop(lock);
    assert!(try_lock(&path).is_some());
    drop(of_child);
}

/// Who waits for a lock whose file is removed meanwhile gets the lock of a file that has no name any more: the next one
/// would lock the file that bears the name, and there would be two holders.
#[test]
fn who_waited_for_a_removed_lock_file_holds_the_one_that_bears_the_name() {
    let meddlers: [fn(&Path); 2] = [
        |path| fs::remove_file(path).unwrap(),
        |path| {
            let new = path.with_extension("new");
            fs::write(&new, "").unwrap();
            fs::rename(new, path).unwrap();
        },
    ];
    for meddle in meddlers {
        let directory = tempdir().unwrap();
        let path = directory.path().join("x.lock");
        let first = try_lock(&path).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| OsLock::exclusive(&path, "a test").unwrap());
            while open_descriptors(&path) < 2 {
                thread::yield_now();
            }
            meddle(&path);
            drop(first);
            let second = waiting.join().unwrap();
            assert!(try_lock(&path).is_none(), "there are two holders");
            drop(second);
            assert!(try_lock(&path).is_some());
        });
    }
}

fn open_descriptors(path: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    descriptors.filter(|fd| fs::read_link(fd).is_ok_and(|target| target == path)).count()
}

#[test]
fn a_mark_outlives_its_holder_and_a_longer_note() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    let Attempt::Acquired(mut lock) = OsLock::try_exclusive(&path, &"long ".repeat(1_000)).unwrap() else {
        panic!("nobody has it")
    };
    assert_eq!(lock.mark(), None);
    lock.set_mark("a mark of some length").unwrap();
    lock.set_mark("a mark").unwrap();
    drop(lock);
    let lock = try_lock(&path).unwrap();
    assert_eq!(lock.mark(), Some("a mark"));
    let note = fs::read_to_string(&path).unwrap();
    let expected = format!("lockkeeper-lock 1\npid {}\nholder a test\nmark a mark\nend\n", std::process::id());
    assert_eq!(note, expected);
}

/// A note may be foreign, cut or from another version; the lock is the same, and the note is written anew.
#[test]
fn a_note_that_cannot_be_read_vouches_for_nothing_and_locks_all_the_same() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    let good = "lockkeeper-lock 1\npid 1\nholder x\nmark a mark\nend\n";
    let cut = (0..good.len() - "\n".len()).map(|len| good.as_bytes()[..len].to_vec());
    let foreign = [&b"\xff\xfe\0"[..], b"lockkeeper-lock 2\nmark a mark\nend\n", &[b'x'; 100_000]];
    for bytes in cut.chain(foreign.map(<[u8]>::to_vec)) {
        fs::write(&path, &bytes).unwrap();
        let lock = try_lock(&path).unwrap();
        assert_eq!(lock.mark(), None, "{:?}", String::from_utf8_lossy(&bytes));
        assert!(fs::read_to_string(&path).unwrap().ends_with("holder a test\nend\n"));
        drop(lock);
    }
    fs::write(&path, format!("{good}rest of a longer note")).unwrap();
    assert_eq!(try_lock(&path).unwrap().mark(), Some("a mark"));
}

#[test]
fn a_note_is_read_without_the_lock_and_without_a_trace() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    assert_eq!(OsLock::read_note(&path).unwrap(), None);
    assert!(!path.exists(), "a file was made");
    let mut lock = try_lock(&path).unwrap();
    lock.set_mark("a mark").unwrap();
    let before = fs::read(&path).unwrap();
    let note = OsLock::read_note(&path).unwrap().expect("it is there");
    assert_eq!(note.mark.as_deref(), Some("a mark"));
    assert_eq!(note.holder.map(|holder| holder.text).as_deref(), Some("a test"));
    drop(lock);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(try_lock(&path).is_some(), "whoever reads holds nobody up");
    let link = path.with_extension("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(OsLock::read_note(&link), Err(OsLockError::NotRegular { .. })));
}
