//! Any bytes as the sidecars that are files of this machine: they are not reached through a disk in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lockkeeper_journal::counter::{CounterError, reserve_block};
use lockkeeper_journal::os_lock::{Attempt, OsLock};

/// Where these targets write: what the environment says, or a directory of this process.
fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let named = std::env::var_os("LOCKKEEPER_FUZZ_SCRATCH").map(PathBuf::from);
        let own = || std::env::temp_dir().join(format!("lockkeeper-fuzz-{}", std::process::id()));
        let dir = named.unwrap_or_else(own);
        fs::create_dir_all(&dir).expect("a directory can be made");
        dir
    })
}

/// The first byte says how; the others are the file of the counter.
pub fn counter(data: &[u8]) {
    let Some((&how, bytes)) = data.split_first() else { return };
    let dir = directory();
    let name = "jobs/results";
    let stem = blake3::hash(name.as_bytes()).to_hex();
    let path = dir.join(format!("{stem}.counter"));
    let mut bytes = bytes.to_vec();
    if how & 1 != 0 {
        let check = blake3::hash(&bytes).to_hex();
        bytes.extend_from_slice(format!("check {check}\n").as_bytes());
    }
    fs::write(&path, &bytes).expect("a file can be written");
    let lock_path = dir.join(format!("{stem}.lock"));
    fs::write(&lock_path, if how & 2 != 0 { "lockkeeper-lock 1\nmark reserved\nend\n" } else { "" })
        .expect("a file can be written");
    let len = if how & 4 != 0 { u64::MAX } else { 1 + u64::from(how >> 3) };
    let stands_at = end_of(&bytes, name);
    match reserve_block(dir, name, len) {
        Ok(block) => {
            assert_eq!(Some(block.start), stands_at, "only a whole file is believed");
            assert_eq!(block.end - block.start, len, "as many as asked for");
            let next = reserve_block(dir, name, 1);
            match next {
                Ok(next) => assert_eq!(next, block.end..block.end + 1, "blocks follow each other"),
                Err(CounterError::Exhausted { .. }) => assert_eq!(block.end, u64::MAX, "there are more"),
                Err(error) => panic!("a counter that works is refused: {error}"),
            }
        }
        Err(CounterError::Exhausted { end, .. }) => {
            assert!(end.checked_add(len).is_none() && stands_at == Some(end), "there are more numbers");
        }
        Err(CounterError::Corrupt { .. }) => {
            assert_eq!(stands_at, None, "a good file is refused");
            assert_eq!(fs::read(&path).expect("it is there"), bytes, "what is refused is not changed");
        }
        Err(error) => panic!("the directory is sound: {error}"),
    }
}

/// Where a counter stands, if its file is as it was written.
fn end_of(bytes: &[u8], name: &str) -> Option<u64> {
    let text = str::from_utf8(bytes).ok()?;
    let end: u64 = text.lines().nth(2)?.strip_prefix("end ")?.parse().ok()?;
    let body = format!("lockkeeper-counter 1\nname {name}\nend {end}\n");
    let good = format!("{body}check {}\n", blake3::hash(body.as_bytes()).to_hex());
    (text == good && end > 0).then_some(end)
}

/// The bytes are the lock file; what follows a zero byte, if there is one, is the holder.
pub fn lock_note(data: &[u8]) {
    let cut = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let (note, holder) = data.split_at(cut);
    let holder = String::from_utf8_lossy(holder);
    let path = directory().join("note.lock");
    fs::write(&path, note).expect("a file can be written");
    let lock = acquire(&path, &holder);
    let mark = lock.mark().map(ToOwned::to_owned);
    assert!(mark.as_ref().is_none_or(|mark| !mark.contains('\n')), "a mark is one line");
    match OsLock::try_exclusive(&path, "another").expect("the file can be locked") {
        Attempt::Acquired(_) => panic!("two have the lock"),
        Attempt::Busy(holder) => {
            // A note longer than a reader reads is the one of nobody; only a mark that we did not write is so long.
            let is_long = mark.as_ref().is_some_and(|mark| mark.len() > 2048);
            assert!(is_long || holder.as_ref().is_some_and(|it| it.pid == std::process::id()), "the holder is named");
            let text = holder.map(|holder| holder.text).unwrap_or_default();
            assert!(!text.contains(char::is_control), "a holder is one line for a terminal");
        }
    }
    drop(lock);
    let mut lock = acquire(&path, &holder);
    assert!(lock.mark() == mark.as_deref() || mark.is_some_and(|mark| mark.len() > 2048), "a mark outlives its holder");
    lock.set_mark("ours").expect("the file can be written");
    drop(lock);
    let lock = acquire(&path, "the next");
    assert_eq!(lock.mark(), Some("ours"), "what was noted is read");
}

fn acquire(path: &Path, holder: &str) -> OsLock {
    match OsLock::try_exclusive(path, holder).expect("the file can be locked") {
        Attempt::Acquired(lock) => lock,
        Attempt::Busy(_) => panic!("nobody has the lock"),
    }
}
