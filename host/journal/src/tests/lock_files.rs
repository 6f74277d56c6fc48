//! Lock files that are kept open: modes, meddling, forks, and where they may lie.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::io::FdFlags;
use tempfile::tempdir;

use crate::lock_file::{LockFile, Remote, Tried};
use crate::os_lock::{Mode, OsLockError};
use crate::storage::remote_kind;

fn open(path: &Path) -> LockFile {
    LockFile::open(path, Remote::Refused).unwrap()
}

fn locks(file: &mut LockFile, mode: Mode) -> bool {
    file.try_lock(mode).unwrap() == Tried::Locked
}

#[test]
fn readers_fit_beside_each_other_and_a_writer_beside_nobody() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    let (mut one, mut two) = (open(&path), open(&path));
    assert!(locks(&mut one, Mode::Shared) && locks(&mut two, Mode::Shared));
    one.unlock();
    assert!(!locks(&mut one, Mode::Exclusive), "there is a reader");
    two.unlock();
    assert!(locks(&mut one, Mode::Exclusive));
    assert!(!locks(&mut two, Mode::Shared) && !locks(&mut two, Mode::Exclusive));
    drop(one);
    assert!(locks(&mut two, Mode::Exclusive));
}

#[test]
#[should_panic(expected = "not changed in place")]
fn a_lock_is_never_upgraded_in_place() {
    let directory = tempdir().unwrap();
    let mut file = open(&directory.path().join("x.lock"));
    assert!(locks(&mut file, Mode::Shared));
    drop(file.try_lock(Mode::Exclusive));
}

#[test]
fn a_lock_file_that_was_removed_or_replaced_is_opened_anew_by_the_next_who_locks_it() {
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
        let (mut one, mut two) = (open(&path), open(&path));
        meddle(&path);
        assert!(!one.is_named().unwrap());
        assert!(locks(&mut one, Mode::Exclusive));
        assert_eq!(one.opened(), 2, "the file of the old name is no lock any more");
        assert!(
            !locks(&mut two, Mode::Exclusive) && !locks(&mut open(&path), Mode::Exclusive),
            "there are two holders"
        );
        one.unlock();
        assert!(locks(&mut two, Mode::Exclusive));
    }
}

#[test]
fn unlocking_frees_a_lock_although_a_forked_child_has_the_file_open() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    let (mut one, mut two) = (open(&path), open(&path));
    assert!(locks(&mut one, Mode::Exclusive));
    let of_child = one.file().try_clone().unwrap();
    one.unlock();
    assert!(locks(&mut two, Mode::Exclusive));
    drop(of_child);
}

#[test]
fn a_program_that_is_started_meanwhile_does_not_get_the_file() {
    let directory = tempdir().unwrap();
    let file = open(&directory.path().join("x.lock"));
    assert!(rustix::io::fcntl_getfd(file.file().as_fd()).unwrap().contains(FdFlags::CLOEXEC));
}

#[test]
fn neither_a_link_nor_a_directory_nor_a_fifo_is_a_lock_file() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    symlink(directory.path().join("elsewhere"), &path).unwrap();
    assert!(matches!(LockFile::open(&path, Remote::Refused), Err(OsLockError::NotRegular { .. })));
    assert!(!directory.path().join("elsewhere").exists());
    let found = LockFile::open(directory.path(), Remote::Allowed);
    assert!(matches!(found, Err(OsLockError::NotRegular { .. })));
    let fifo = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    assert!(matches!(LockFile::open(&fifo, Remote::Allowed), Err(OsLockError::NotRegular { .. })));
}

#[test]
fn a_lock_file_is_refused_where_a_lock_may_keep_nobody_out_unless_that_is_allowed() {
    let on = |kind: i64| {
        let mut on = rustix::fs::statfs("/proc").unwrap();
        on.f_type = kind;
        remote_kind(&on)
    };
    for (kind, name) in [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB2"), (0x6573_5546, "FUSE")] {
        assert_eq!(on(kind), Some(name));
    }
    // ext4, tmpfs, xfs, btrfs, overlay
    for kind in [0xEF53, 0x0102_1994, 0x5846_5342, 0x9123_683E, 0x794C_7630] {
        assert_eq!(on(kind), None);
    }
}

#[test]
fn who_watches_the_file_is_told_by_its_times_and_nothing_else_changes() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    let file = open(&path);
    fs::write(&path, "kept").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    file.file().set_times(fs::FileTimes::new().set_modified(long_ago).set_accessed(long_ago)).unwrap();
    let times = || {
        let meta = fs::metadata(&path).unwrap();
        (meta.accessed().unwrap() > long_ago, meta.modified().unwrap() > long_ago)
    };
    file.say_wanted().unwrap();
    assert_eq!(times(), (true, false));
    file.file().set_times(fs::FileTimes::new().set_accessed(long_ago)).unwrap();
    file.say_changed().unwrap();
    assert_eq!(times(), (false, true));
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
}
