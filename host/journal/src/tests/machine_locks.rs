//! Locks of the machine: fences that never go back, whatever becomes of the file, and what is told of those before.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use crate::lock_file::Remote;
use crate::machine_lock::{
    HOST_DIED, Holder, Left, MachineLock, MachineLockError, Note, Presence, State, Taken, read_note, waiting,
};
use crate::os_lock::Mode;

struct Place {
    dir: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempdir().unwrap();
    let path = dir.path().join("x.lock");
    Place { dir, path }
}

fn open(path: &Path) -> MachineLock {
    MachineLock::open(path, Remote::Refused, "a test", 0).unwrap()
}

fn take(lock: &mut MachineLock) -> Taken {
    lock.try_take(Mode::Exclusive).unwrap().expect("nobody has it")
}

fn note(path: &Path) -> Note {
    read_note(path).unwrap().expect("it says something")
}

/// The host dies: the system lets its lock go, and nobody writes anything.
fn die(mut lock: MachineLock, of: &Path) {
    let kept = fs::read(of).unwrap();
    lock.let_go(u64::MAX, Left::Clean);
    drop(lock);
    fs::write(of, kept).unwrap();
}

#[test]
fn fences_are_exact_after_a_release_and_beyond_all_that_may_have_been_issued_after_a_death() {
    let Place { dir: _dir, path } = place();
    let (mut one, mut two) = (open(&path), open(&path));
    let first = take(&mut one);
    assert_eq!((first.fences.start, first.left), (1, Left::Clean));
    assert_eq!(two.try_take(Mode::Exclusive).unwrap(), None);
    assert_eq!(note(&path).state, State::Held);
    one.let_go(7, Left::Clean);
    assert_eq!((note(&path).state, note(&path).next), (State::Free, 7));
    let second = take(&mut two);
    assert_eq!(second.fences.start, 7);
    die(two, &path);
    let third = take(&mut one);
    assert_eq!((third.fences.start, third.left), (second.fences.end, Left::Abandoned(HOST_DIED.to_owned())));
}

#[test]
fn how_it_was_left_is_told_to_the_next_one_whoever_that_is() {
    let Place { dir: _dir, path } = place();
    let (mut one, mut two) = (open(&path), open(&path));
    for left in [Left::Abandoned("trapped".to_owned()), Left::Ruined, Left::Clean] {
        let fences = take(&mut one).fences;
        one.let_go(fences.start + 1, left.clone());
        let taken = take(&mut two);
        assert_eq!((taken.left, taken.fences.start), (left.clone(), fences.start + 1));
        two.let_go(taken.fences.start, left);
    }
}

/// Whoever died with it had not mended it, and nobody else is asked to.
#[test]
fn what_nobody_has_mended_stays_so_through_a_death() {
    let Place { dir: _dir, path } = place();
    let (mut one, mut two) = (open(&path), open(&path));
    let fences = take(&mut one).fences;
    one.let_go(fences.start + 1, Left::Ruined);
    assert_eq!(take(&mut two).left, Left::Ruined);
    die(two, &path);
    assert_eq!(take(&mut one).left, Left::Ruined);
}

#[test]
fn fences_go_on_above_all_that_was_reserved_if_the_file_is_emptied_damaged_or_of_another_boot() {
    let meddlers: [fn(&Path); 6] = [
        |path| fs::write(path, "").unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, vec![0; fs::read(path).unwrap().len()]).unwrap(),
        |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, &text[..text.len() / 2]).unwrap();
        },
        |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replacen("next 0", "next 1", 1)).unwrap();
        },
        |path| {
            let text = fs::read_to_string(path).unwrap();
            let boot = text.lines().find(|line| line.starts_with("boot ")).unwrap();
            let other = text.replacen(boot, "boot another", 1);
            let (covered, _) = other.split_once("check ").unwrap();
            let check = blake3::hash(covered.as_bytes()).to_hex();
            fs::write(path, format!("{covered}check {check}\nend\n")).unwrap();
        },
    ];
    for meddle in meddlers {
        let Place { dir: _dir, path } = place();
        let mut lock = open(&path);
        let before = take(&mut lock);
        lock.let_go(5, Left::Clean);
        meddle(&path);
        // Another host, which knows nothing of before.
        let after = take(&mut open(&path));
        assert!(after.fences.start >= before.reserved, "{after:?} after {before:?}");
    }
}

#[test]
fn a_lost_or_damaged_counter_is_refused_with_what_to_do_once_it_is_needed() {
    for lost in [true, false] {
        let Place { dir, path } = place();
        let mut lock = open(&path);
        drop(take(&mut lock));
        lock.let_go(5, Left::Clean);
        let counters = fs::read_dir(dir.path().join(".lockkeeper")).unwrap().map(|entry| entry.unwrap().path());
        for counter in counters.filter(|path| path.extension().is_some_and(|ending| ending == "counter")) {
            if lost { fs::remove_file(counter).unwrap() } else { fs::write(counter, "nonsense").unwrap() }
        }
        assert_eq!(take(&mut lock).fences.start, 5, "the file itself knows");
        lock.let_go(6, Left::Clean);
        fs::write(&path, "").unwrap();
        let mut lock = open(&path);
        let error = lock.try_take(Mode::Exclusive).unwrap_err();
        assert!(matches!(error, MachineLockError::Fences(_)) && error.to_string().contains("put"), "{error}");
        assert!(open(&path).file().held().is_none());
        assert!(lock.try_take(Mode::Exclusive).is_err(), "it was let go, and is refused again");
    }
}

#[test]
fn a_lock_that_is_prepared_says_what_is_wrong_and_takes_nothing_from_anybody() {
    let Place { dir, path } = place();
    let mut one = open(&path);
    one.prepare().unwrap();
    let note = note(&path);
    assert_eq!((note.state, note.next, note.left), (State::Free, 1, Left::Clean));
    let taken = take(&mut one);
    open(&path).prepare().unwrap();
    one.let_go(taken.fences.start + 4, Left::Abandoned("killed".to_owned()));
    open(&path).prepare().unwrap();
    let taken = take(&mut one);
    assert_eq!((taken.fences.start, taken.left), (5, Left::Abandoned("killed".to_owned())));
    one.let_go(5, Left::Clean);
    fs::write(&path, "").unwrap();
    for entry in fs::read_dir(dir.path().join(".lockkeeper")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "counter") {
            fs::write(path, "nonsense").unwrap();
        }
    }
    assert!(matches!(open(&path).prepare(), Err(MachineLockError::Fences(_))));
}

#[test]
fn what_is_no_lock_file_is_not_written_to() {
    let Place { dir: _dir, path } = place();
    fs::write(&path, "id,value\n1,2\n").unwrap();
    let error = MachineLock::open(&path, Remote::Refused, "a test", 0).unwrap_err();
    assert!(matches!(error, MachineLockError::Foreign { .. }));
    assert!(matches!(read_note(&path), Err(MachineLockError::Foreign { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "id,value\n1,2\n");
}

#[test]
fn a_lock_file_that_is_removed_while_it_is_held_lets_no_other_host_in() {
    for mode in [Mode::Exclusive, Mode::Shared] {
        let Place { dir: _dir, path } = place();
        let mut one = open(&path);
        let had = one.try_take(mode).unwrap().expect("nobody has it");
        fs::remove_file(&path).unwrap();
        let mut two = open(&path);
        assert_eq!(two.try_take(Mode::Exclusive).unwrap(), None, "there are two holders");
        assert!(two.file().held().is_none());
        one.let_go(had.fences.start + 1, Left::Clean);
        let next = take(&mut two);
        assert!(next.fences.start > had.fences.start, "{next:?} after {had:?}");
        assert_eq!(one.try_take(Mode::Exclusive).unwrap(), None);
        two.let_go(next.fences.start, Left::Clean);
        drop(take(&mut one));
    }
}

#[test]
fn readers_of_several_hosts_have_fences_of_their_own_and_writers_come_after_all_of_them() {
    let Place { dir: _dir, path } = place();
    let (mut one, mut two) = (open(&path), open(&path));
    let first = one.try_take(Mode::Shared).unwrap().expect("nobody has it");
    let second = two.try_take(Mode::Shared).unwrap().expect("readers fit");
    assert!(first.fences.end <= second.fences.start);
    assert_eq!(open(&path).try_take(Mode::Exclusive).unwrap(), None);
    one.let_go(first.fences.start, Left::Clean);
    two.let_go(second.fences.start, Left::Clean);
    assert!(take(&mut one).fences.start >= second.fences.end);
}

#[test]
fn readers_pass_the_news_of_a_death_on_to_the_next_writer() {
    let Place { dir: _dir, path } = place();
    let mut dead = open(&path);
    drop(take(&mut dead));
    die(dead, &path);
    let died = Left::Abandoned(HOST_DIED.to_owned());
    let mut one = open(&path);
    let reading = one.try_take(Mode::Shared).unwrap().expect("nobody has it");
    assert_eq!(reading.left, died);
    one.let_go(reading.fences.start, Left::Clean);
    assert_eq!(take(&mut one).left, died);
}

#[test]
fn more_fences_follow_on_those_that_came_before() {
    let Place { dir: _dir, path } = place();
    let mut lock = open(&path);
    let first = take(&mut lock);
    let more = lock.more_fences().unwrap();
    assert_eq!(more.fences.start, first.fences.end);
    assert_eq!(note(&path).next, more.fences.end);
    lock.let_go(first.fences.end + 3, Left::Clean);
    assert_eq!(take(&mut lock).fences.start, first.fences.end + 3);
}

#[test]
fn who_knows_a_higher_fence_gets_none_below_it() {
    let Place { dir: _dir, path } = place();
    let mut lock = MachineLock::open(&path, Remote::Refused, "a test", 1 << 40).unwrap();
    assert_eq!(take(&mut lock).fences.start, 1 << 40);
}

#[test]
fn the_note_says_who_it_is_in_one_line_each() {
    let Place { dir: _dir, path } = place();
    let mut lock = MachineLock::open(&path, Remote::Refused, "a\nrun\u{1b}[2J", 0).unwrap();
    drop(take(&mut lock));
    let Note { holder, .. } = note(&path);
    assert_eq!((holder.pid, &*holder.run), (std::process::id(), "a run [2J"));
    assert_eq!(holder.presence(), Presence::Running);
    let gone = Holder { start: holder.start + 1, ..holder.clone() };
    assert_eq!(gone.presence(), Presence::Gone, "its number was given to another one");
    assert_eq!(Holder { boot: "another".to_owned(), ..holder.clone() }.presence(), Presence::Gone);
    assert_eq!(Holder { pids: "pid:[1]".to_owned(), ..holder }.presence(), Presence::Unknown);
}

#[test]
fn a_holder_that_is_stopped_is_seen_to_be() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let pid = Pid::from_child(&child);
    let holder = Holder::of_process(child.id(), "a child");
    kill_process(pid, Signal::STOP).unwrap();
    while holder.presence() != Presence::Stopped {
        std::thread::yield_now();
    }
    kill_process(pid, Signal::KILL).unwrap();
    child.wait().unwrap();
    assert_eq!(holder.presence(), Presence::Gone);
}

#[test]
fn who_waits_is_seen_until_it_does_not_any_more() {
    let Place { dir: _dir, path } = place();
    let (mut one, mut two) = (open(&path), open(&path));
    take(&mut one);
    assert_eq!(waiting(&path).unwrap(), [0; 0]);
    two.show_waiting(true);
    two.show_waiting(true);
    one.show_waiting(true);
    assert_eq!(waiting(&path).unwrap(), [std::process::id()]);
    two.show_waiting(false);
    assert_eq!(waiting(&path).unwrap(), [std::process::id()]);
    drop(one);
    assert_eq!(waiting(&path).unwrap(), [0; 0]);
}

#[test]
fn what_somebody_else_writes_into_a_lock_file_is_left_as_it_is() {
    let Place { dir: _dir, path } = place();
    let mut lock = open(&path);
    for theirs in ["a row\n".to_owned(), format!("{}a row\n", "lockkeeper-machine-lock 1\n")] {
        fs::write(&path, "").unwrap();
        take(&mut lock);
        let ours = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{ours}{theirs}")).unwrap();
        lock.let_go(7, Left::Clean);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{ours}{theirs}"));
        fs::write(&path, "").unwrap();
        take(&mut lock);
        fs::write(&path, &theirs).unwrap();
        lock.let_go(8, Left::Clean);
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    }
    // Emptied by who opened it to wait: nothing is lost.
    fs::write(&path, "").unwrap();
    take(&mut lock);
    fs::write(&path, "").unwrap();
    lock.let_go(9, Left::Clean);
    assert_eq!(note(&path).state, State::Free);
}
