//! Who has a file locked with `flock(2)`, whatever program it is, as the system says.
//!
//! Not promised: that it is still so when one reads it; a process of another pid namespace, whose number is not known here;
//! anything on a file system that calls its files otherwise here than there (btrfs does).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{major, minor};

use crate::os_lock::Mode;

/// One who has a lock, or waits in the system for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flock {
    /// The process that asked for it; its children may have it too.
    pub pid: u32,
    /// How.
    pub mode: Mode,
    /// Whether it waits; it has the lock otherwise. Who tries again and again is not seen between two tries.
    pub waits: bool,
}

/// Everyone who has the file locked, or waits for that in the system.
pub fn of_file(file: &File) -> io::Result<Vec<Flock>> {
    let metadata = file.metadata()?;
    let (dev, ino) = (metadata.dev(), metadata.ino());
    let named = format!("{:02x}:{:02x}:{ino}", major(dev), minor(dev));
    Ok(fs::read_to_string("/proc/locks")?.lines().filter_map(|line| parse(line, &named)).collect())
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fe:00:10059855 0 EOF`, with `->` after the number for who waits.
fn parse(line: &str, file: &str) -> Option<Flock> {
    let mut words = line.split_ascii_whitespace().skip(1).peekable();
    let waits = words.next_if_eq(&"->").is_some();
    if words.next()? != "FLOCK" {
        return None;
    }
    let mode = match words.nth(1)? {
        "WRITE" => Mode::Exclusive,
        "READ" => Mode::Shared,
        _ => return None,
    };
    let pid = words.next()?.parse().ok()?;
    (words.next()? == file).then_some(Flock { pid, mode, waits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_file_and_who_waits_for_it_is_told_apart() {
        let of = |line| parse(line, "fe:00:7");
        let has = Flock { pid: 12, mode: Mode::Exclusive, waits: false };
        assert_eq!(of("1: FLOCK  ADVISORY  WRITE 12 fe:00:7 0 EOF"), Some(has));
        let waits = Flock { pid: 13, mode: Mode::Shared, waits: true };
        assert_eq!(of("1: -> FLOCK  ADVISORY  READ 13 fe:00:7 0 EOF"), Some(waits));
        for other in
            ["", "1:", "1: FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF", "2: POSIX  ADVISORY  WRITE 12 fe:00:7 0 EOF"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn this_process_is_found_at_the_file_that_it_has_locked() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.lock");
        let mut lock = crate::lock_file::LockFile::open(&path, Default::default()).expect("it is local");
        assert_eq!(of_file(lock.file()).expect("it can be read"), []);
        assert_eq!(lock.try_lock(Mode::Shared).expect("it can be locked"), crate::lock_file::Tried::Locked);
        let me = Flock { pid: std::process::id(), mode: Mode::Shared, waits: false };
        assert_eq!(of_file(lock.file()).expect("it can be read"), [me]);
    }
}
