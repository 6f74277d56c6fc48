//! Numbers that are handed out once, ever: blocks of them, reserved durably before the first is used.
//!
//! A counter is a small text file in a directory of its own, named by the hash of the counter's name, so that a name is
//! never a path. Reserving a block writes the new end to a second file, makes it durable, puts it in the place of the
//! first and makes that durable too, all under the lock of a sidecar; only then is the block answered. A block whose user
//! died is lost, never given again.
//!
//! ```text
//! lockkeeper-counter 1
//! name jobs/results
//! end 2049
//! check 5f0c...       (of the lines above)
//! ```
//!
//! Not promised: that a directory which is restored from a backup remembers what was reserved since.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::os_lock::{OsLock, OsLockError};
use crate::storage::make_dirs_durably;

/// The first number that is ever handed out.
pub const COUNTER_START: u64 = 1;

/// A name is stored in the counter's file, which is read whole.
pub const COUNTER_NAME_BYTES_MAX: usize = 256;

/// No file of ours is longer: four short lines, the name at most six times its size once escaped.
const COUNTER_FILE_BYTES_MAX: u64 = 4096;

const VERSION_LINE: &str = "lockkeeper-counter 1";

/// What the sidecar says once a block has been reserved: from then on the counter's file must exist.
const RESERVED_MARK: &str = "reserved";

/// Why no block could be reserved. The counter has not gone back in any case; a block may have been lost.
#[derive(Debug, thiserror::Error)]
pub enum CounterError {
    /// The name is empty or too long.
    #[error("a counter's name has 1 to {max} bytes, this one has {bytes}")]
    Name {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A block of no numbers was asked for.
    #[error("a block of no numbers was asked for; ask for at least one")]
    EmptyBlock,
    /// There are not that many numbers left.
    #[error("the counter {name:?} stands at {end} and has no {asked} numbers left; use another name")]
    Exhausted {
        /// The counter.
        name: String,
        /// The first number that is not reserved.
        end: u64,
        /// How many were asked for.
        asked: u64,
    },
    /// The counter's file is not as it was written.
    #[error("{} of the counter {name:?} is damaged ({reason}); put back a copy that is not older than the last run, \
        or, if the counter may start anew, remove it and {}", path.display(), lock_path.display())]
    Corrupt {
        /// The counter.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Its sidecar.
        lock_path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The counter's file is gone, though numbers were reserved in it.
    #[error("{} of the counter {name:?} is missing, though numbers were reserved; put it back, \
        or, if the counter may start anew, remove {}", path.display(), lock_path.display())]
    Missing {
        /// The counter.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Its sidecar.
        lock_path: PathBuf,
    },
    /// The sidecar could not be locked.
    #[error(transparent)]
    Lock(#[from] OsLockError),
    /// The system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reserves the next `len` numbers of the counter `name` in `dir`, which is made (mode 0700) if it is missing. Numbers
/// begin at [`COUNTER_START`]. Blocks the thread: for the counter's lock, and for the disk.
pub fn reserve_block(dir: &Path, name: &str, len: u64) -> Result<Range<u64>, CounterError> {
    reserve_block_from(dir, name, len, COUNTER_START)
}

/// [`reserve_block`], with no number below `at_least`: for who knows from elsewhere how far the numbers have gone, should
/// the counter have been lost.
pub fn reserve_block_from(dir: &Path, name: &str, len: u64, at_least: u64) -> Result<Range<u64>, CounterError> {
    if name.is_empty() || name.len() > COUNTER_NAME_BYTES_MAX {
        return Err(CounterError::Name { bytes: name.len(), max: COUNTER_NAME_BYTES_MAX });
    }
    if len == 0 {
        return Err(CounterError::EmptyBlock);
    }
    if !dir.exists() {
        make_dirs_durably(dir, 0o700).map_err(io_error("make the directory", dir))?;
    }
    let stem = blake3::hash(name.as_bytes()).to_hex();
    let path = dir.join(format!("{stem}.counter"));
    let mut lock = OsLock::exclusive(&dir.join(format!("{stem}.lock")), "a counter")?;
    let reserved_before = lock.mark() == Some(RESERVED_MARK);
    let start = match read(&path, name, lock.path())? {
        Some(end) => end,
        None if reserved_before => {
            return Err(CounterError::Missing { name: name.to_owned(), path, lock_path: lock.path().to_owned() });
        }
        None => COUNTER_START,
    };
    let start = start.max(at_least);
    let end = start.checked_add(len).ok_or_else(|| CounterError::Exhausted {
        name: name.to_owned(),
        end: start,
        asked: len,
    })?;
    replace(dir, &path, &text(name, end))?;
    if !reserved_before {
        lock.set_mark(RESERVED_MARK)?;
    }
    Ok(start..end)
}

fn sync_directory(dir: &Path) -> Result<(), CounterError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync the directory", dir))
}

/// The reserved end, or nothing if there is no file.
fn read(path: &Path, name: &str, lock_path: &Path) -> Result<Option<u64>, CounterError> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error("open", path)(source)),
    };
    let mut text = Vec::new();
    file.take(COUNTER_FILE_BYTES_MAX).read_to_end(&mut text).map_err(io_error("read", path))?;
    match parse(&text, name) {
        Ok(end) => Ok(Some(end)),
        Err(reason) => Err(CounterError::Corrupt {
            name: name.to_owned(),
            path: path.to_owned(),
            lock_path: lock_path.to_owned(),
            reason,
        }),
    }
}

fn text(name: &str, end: u64) -> String {
    let mut text = format!("{VERSION_LINE}\nname {}\nend {end}\n", name.escape_default());
    let check = blake3::hash(text.as_bytes()).to_hex();
    text.push_str(&format!("check {check}\n"));
    text
}

fn parse(bytes: &[u8], name: &str) -> Result<u64, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.split('\n');
    if lines.next() != Some(VERSION_LINE) {
        return Err("its first line is not that of a counter of this version");
    }
    let end = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("end "))
        .and_then(|end| end.parse().ok())
        .ok_or("its end cannot be read")?;
    // Writing it anew and comparing checks every byte: the name, the checksum, and that nothing follows.
    if text != self::text(name, end) {
        return Err("its name or its checksum does not fit");
    }
    if end < COUNTER_START {
        return Err("its end lies before its start");
    }
    Ok(end)
}

/// Puts `text` in the place of the file, so that at every moment the old or the new one is there, whole and durable.
fn replace(dir: &Path, path: &Path, text: &str) -> Result<(), CounterError> {
    let new = path.with_extension("counter.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(&new)
        .map_err(io_error("open", &new))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", &new))?;
    fs::rename(&new, path).map_err(io_error("replace", path))?;
    sync_directory(dir)
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> CounterError {
    move |source| CounterError::Io { action, path: path.to_owned(), source }
}
