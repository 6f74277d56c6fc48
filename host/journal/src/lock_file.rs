//! A lock file that is opened once, kept open, and locked and unlocked as often as one likes.
//!
//! What is locked is what `flock(2)` locks, so programs of any kind take part: flock(1), Python's filelock and portalocker,
//! fs2, `std::fs::File::lock`. Nothing here waits: a lock that somebody has is [`Tried::Busy`], and nothing but that is.
//!
//! * The file is never removed. If somebody else removed or replaced it, the file that was locked is not the one that bears
//!   the name, which is looked at each time: then it is opened anew.
//! * A lock is not changed in place: the system lets go of the old mode before it has the new one, and may end with neither.
//! * Unlocking is a call, and not only closing: a forked child may have the same open file.
//! * Where a lock may not keep others out (network file systems, and those that a program makes up) it is refused, unless
//!   that is allowed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fstatfs, futimens};

use crate::os_lock::{Mode, OsLockError, REPLACED_TRIES_MAX, open, still_named, try_flock, unflock};
use crate::storage::remote_kind;

/// Whether a lock file may lie where its lock may not keep everybody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Remote {
    /// It is refused.
    #[default]
    Refused,
    /// Whoever allows it knows that no other machine, and nobody on the other side, takes part.
    Allowed,
}

/// The outcome of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "whoever was busy does not have the lock"]
pub enum Tried {
    /// It is ours until [`LockFile::unlock`], or the end of the process.
    Locked,
    /// Somebody has it.
    Busy,
}

/// A lock file that is kept open.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    file: File,
    remote: Remote,
    held: Option<Mode>,
    opened: u64,
}

impl LockFile {
    /// Opens the file, and makes it if it is missing. A link is not followed.
    pub fn open(path: &Path, remote: Remote) -> Result<LockFile, OsLockError> {
        let file = open_local(path, remote)?;
        Ok(LockFile { path: path.to_owned(), file, remote, held: None, opened: 1 })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, for what stands in it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// How it is locked at the moment, by us.
    pub fn held(&self) -> Option<Mode> {
        self.held
    }

    /// How often the file was opened: when this has changed, [`LockFile::file`] is another one.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Takes the lock if nobody has it in a way that does not fit.
    ///
    /// # Panics
    ///
    /// If we have it already, in whatever mode.
    pub fn try_lock(&mut self, mode: Mode) -> Result<Tried, OsLockError> {
        assert!(self.held.is_none(), "a lock is not changed in place");
        for _ in 0..REPLACED_TRIES_MAX {
            let locked = try_flock(&self.file, mode);
            if !locked.map_err(|source| OsLockError::Lock { path: self.path.clone(), source })? {
                return Ok(Tried::Busy);
            }
            self.held = Some(mode);
            match self.is_named() {
                Ok(true) => return Ok(Tried::Locked),
                Ok(false) => {
                    self.unlock();
                    self.file = open_local(&self.path, self.remote)?;
                    self.opened += 1;
                }
                Err(error) => {
                    self.unlock();
                    return Err(error);
                }
            }
        }
        Err(OsLockError::Replaced { path: self.path.clone(), tries: REPLACED_TRIES_MAX })
    }

    /// Whether the open file still bears the name. If not, others may lock another one under it.
    pub fn is_named(&self) -> Result<bool, OsLockError> {
        still_named(&self.file, &self.path)
    }

    /// Lets the lock go, if we have it.
    pub fn unlock(&mut self) {
        if self.held.take().is_none() {
            return;
        }
        if let Err(error) = unflock(&self.file) {
            // Closing lets it go as well, as long as no child has the same open file.
            tracing::warn!(path = %self.path.display(), %error, "a lock file could not be unlocked; it is opened anew");
            if let Ok(file) = open_local(&self.path, self.remote) {
                self.file = file;
                self.opened += 1;
            }
        }
    }

    /// Tells whoever watches the file (inotify) that it may be free: its time of change is now, and nothing else changes.
    pub fn say_changed(&self) -> io::Result<()> {
        self.set_times(UTIME_OMIT, UTIME_NOW)
    }

    /// Tells whoever watches the file that somebody waits for it: its time of access is now, and nothing else changes.
    pub fn say_wanted(&self) -> io::Result<()> {
        self.set_times(UTIME_NOW, UTIME_OMIT)
    }

    fn set_times(&self, access: i64, modification: i64) -> io::Result<()> {
        let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        let times = Timestamps { last_access: time(access), last_modification: time(modification) };
        Ok(futimens(&self.file, &times)?)
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.unlock();
    }
}

fn open_local(path: &Path, remote: Remote) -> Result<File, OsLockError> {
    let file = open(path)?;
    if remote == Remote::Refused {
        let on = fstatfs(&file).map_err(|error| OsLockError::Lock { path: path.to_owned(), source: error.into() })?;
        if let Some(kind) = remote_kind(&on) {
            return Err(OsLockError::Remote { path: path.to_owned(), kind });
        }
    }
    Ok(file)
}
