//! One operating-system lock on one sidecar file, and who holds it.
//!
//! The only file that names fs2, always as `fs2::FileExt::method(&file)`: std has methods of the same names, and method
//! syntax would silently pick some of them.
//!
//! The lock is on a sidecar (`out.csv.lock`), never on the data: readers of the data are never in its way. The sidecar is
//! made when it is missing and never removed: whoever removed it on release would let the next two lock two different
//! files. For the case that somebody else removed it, the file that was locked is compared with the file that now bears
//! the name.
//!
//! The sidecar carries a note for people and for the next holder:
//!
//! ```text
//! lockkeeper-lock 1
//! pid 4711
//! holder lockkeeper run job.toml
//! mark ...            (only once a holder has set one)
//! end
//! ```
//!
//! A mark is synced when it is set; who holds the lock is not.
//!
//! A lock file that stays open and is locked again and again is [`crate::lock_file`].
//!
//! Not promised: that the note names the holder of this very moment (it is written just after the lock is taken), and
//! any exclusion on NFS, CIFS or other network file systems.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

use crate::storage::Held;

/// A note is a few short lines; no more than this is read from a sidecar that anybody may have written.
const NOTE_BYTES_MAX: u64 = 4096;

/// A holder's text is a command line for people to read; the rest of a longer one is left out.
pub const HOLDER_CHARS_MAX: usize = 256;

/// A mark is one short line.
pub const MARK_BYTES_MAX: usize = 256;

/// How often the sidecar may be replaced under our hands before we say that somebody keeps doing it.
pub(crate) const REPLACED_TRIES_MAX: usize = 16;

const VERSION_LINE: &str = "lockkeeper-lock 1";

/// Who holds, or last held, a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// What it said it is, for example its command line.
    pub text: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "process {} ({})", self.pid, self.text)
    }
}

impl Holder {
    /// Words for a holder whose note may be missing.
    pub fn describe(holder: Option<&Holder>) -> String {
        holder.map_or_else(|| "another process".to_owned(), Holder::to_string)
    }
}

/// Why a lock could not be tried. Contention is none of these.
#[derive(Debug, thiserror::Error)]
pub enum OsLockError {
    /// The sidecar could not be opened or made.
    #[error("cannot open the lock file {}: {source}", path.display())]
    Open {
        /// The sidecar.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The sidecar's name belongs to something that is no regular file (a link is never followed).
    #[error("the lock file {} is not a regular file; remove it or choose another place", path.display())]
    NotRegular {
        /// The sidecar.
        path: PathBuf,
    },
    /// It lies on another machine's disk, or on one that a program makes up.
    #[error("the lock file {} is on {kind}, where a lock may not keep others out; put it on a local disk, or allow it", path.display())]
    Remote {
        /// The lock file.
        path: PathBuf,
        /// What it lies on.
        kind: &'static str,
    },
    /// Somebody keeps replacing or removing the sidecar.
    #[error("the lock file {} was replaced {tries} times while it was being locked; \
        stop whatever removes it (it must stay where it is)", path.display())]
    Replaced {
        /// The sidecar.
        path: PathBuf,
        /// How often it was found replaced.
        tries: usize,
    },
    /// The file system cannot lock, or failed to.
    #[error("cannot lock {}: {source}; a local file system is needed", path.display())]
    Lock {
        /// The sidecar.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The note could not be written.
    #[error("cannot write to the lock file {}: {source}", path.display())]
    Note {
        /// The sidecar.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The outcome of trying.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours until the value is dropped.
    Acquired(OsLock),
    /// Somebody has it: a process, or another [`OsLock`] of this one.
    Busy(Option<Holder>),
}

/// A held lock. Dropping it, or the end of the process, lets it go.
#[must_use = "the lock is let go when this is dropped"]
#[derive(Debug)]
pub struct OsLock {
    file: File,
    path: PathBuf,
    note: Note,
    holder: Holder,
}

impl OsLock {
    /// Takes the exclusive lock of the sidecar `path` if nobody has it.
    pub fn try_exclusive(path: &Path, holder: &str) -> Result<Attempt, OsLockError> {
        acquire(path, holder, Wait::No)
    }

    /// Takes the shared lock of the sidecar `path`, unless somebody has it alone. As there may be others, nothing is noted
    /// before [`renew`](OsLock::renew).
    pub fn try_shared(path: &Path, holder: &str) -> Result<Attempt, OsLockError> {
        acquire(path, holder, Wait::Shared)
    }

    /// What stands in the sidecar `path`, without taking its lock, or writing to it or beside it; nothing if there is none.
    /// What somebody writes meanwhile reads as the old note, the new one or an empty one.
    pub fn read_note(path: &Path) -> Result<Option<Note>, OsLockError> {
        match open_to_read(path) {
            Ok(mut file) => Ok(Some(Note::read_twice(&mut file))),
            Err(OsLockError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the exclusive lock of the sidecar `path`, waiting for it. The thread blocks.
    pub fn exclusive(path: &Path, holder: &str) -> Result<OsLock, OsLockError> {
        match acquire(path, holder, Wait::Yes)? {
            Attempt::Acquired(lock) => Ok(lock),
            Attempt::Busy(_) => unreachable!("a waiting lock call does not answer busy"),
        }
    }

    /// The sidecar.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what others have noted meanwhile, and notes that this is the holder now. Of those who share a lock one at a time
    /// may do so, or set a mark: which one, they have to settle elsewhere.
    pub fn renew(&mut self) -> Result<(), OsLockError> {
        self.note = Note::read(&mut self.file);
        if self.note.holder.as_ref() == Some(&self.holder) {
            return Ok(());
        }
        self.note.holder = Some(self.holder.clone());
        self.write_note()
    }

    /// What this or an earlier holder has noted for those after it.
    pub fn mark(&self) -> Option<&str> {
        self.note.mark.as_deref()
    }

    /// Notes one line for the holders after this one; it replaces the former mark. Once this has returned it survives power
    /// loss.
    pub fn set_mark(&mut self, mark: &str) -> Result<(), OsLockError> {
        assert!(mark.len() <= MARK_BYTES_MAX && !mark.contains(char::is_control), "a mark is one short line");
        let before = self.note.mark.replace(mark.to_owned());
        let noted = self.write_note().and_then(|()| {
            let synced = uninterrupted(|| self.file.sync_data());
            synced.map_err(|source| OsLockError::Note { path: self.path.clone(), source })
        });
        // Whoever asks again is not told that it is there already.
        noted.inspect_err(|_| self.note.mark = before)
    }

    /// What a forked child has: the same open file, and with it the lock.
    #[cfg(test)]
    pub(crate) fn duplicate(&self) -> File {
        self.file.try_clone().expect("a test has descriptors to spare")
    }

    fn write_note(&mut self) -> Result<(), OsLockError> {
        self.note.write(&mut self.file).map_err(|source| OsLockError::Note { path: self.path.clone(), source })
    }
}

impl Drop for OsLock {
    /// Closing is not enough: a forked child may still have the description open, and the lock with it.
    fn drop(&mut self) {
        if let Err(error) = unflock(&self.file) {
            tracing::warn!(path = %self.path.display(), %error, "a lock file could not be unlocked");
        }
    }
}

impl Held for OsLock {
    fn mark(&self) -> Option<&str> {
        OsLock::mark(self)
    }

    fn set_mark(&mut self, mark: &str) -> Result<(), OsLockError> {
        OsLock::set_mark(self, mark)
    }

    fn renew(&mut self) -> Result<(), OsLockError> {
        OsLock::renew(self)
    }
}

/// The lock of a data file itself, held beside that of its sidecar: if somebody removes the sidecar, the next host makes a
/// new one and locks it, but does not get this one. Readers do not ask for it.
#[derive(Debug, Default)]
pub(crate) struct DataLock {
    held: AtomicBool,
}

impl DataLock {
    pub(crate) fn try_acquire(&self, file: &File) -> io::Result<bool> {
        let acquired = try_flock(file, Mode::Exclusive)?;
        if acquired {
            self.held.store(true, Ordering::Relaxed);
        }
        Ok(acquired)
    }

    /// As for the sidecar, closing is not enough.
    pub(crate) fn release(&self, file: &File) {
        if self.held.swap(false, Ordering::Relaxed)
            && let Err(error) = unflock(file)
        {
            tracing::warn!(%error, "a data file could not be unlocked");
        }
    }
}

/// The calls that others of this crate make on a file that they keep open.
pub(crate) fn try_flock(file: &File, mode: Mode) -> io::Result<bool> {
    let tried = uninterrupted(|| match mode {
        Mode::Shared => fs2::FileExt::try_lock_shared(file),
        Mode::Exclusive => fs2::FileExt::try_lock_exclusive(file),
    });
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn unflock(file: &File) -> io::Result<()> {
    uninterrupted(|| fs2::FileExt::unlock(file))
}

/// How a lock of the operating system is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Beside others.
    Shared,
    /// Alone.
    Exclusive,
}

#[derive(Clone, Copy)]
enum Wait {
    Yes,
    No,
    /// No, and others may have it too.
    Shared,
}

fn acquire(path: &Path, holder: &str, wait: Wait) -> Result<Attempt, OsLockError> {
    for _ in 0..REPLACED_TRIES_MAX {
        let mut file = open(path)?;
        let tried = uninterrupted(|| match wait {
            Wait::Yes => fs2::FileExt::lock_exclusive(&file),
            Wait::No => fs2::FileExt::try_lock_exclusive(&file),
            Wait::Shared => fs2::FileExt::try_lock_shared(&file),
        });
        match tried {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Attempt::Busy(Note::read(&mut file).holder));
            }
            Err(source) => {
                return Err(OsLockError::Lock { path: path.to_owned(), source });
            }
        }
        let note = Note::read(&mut file);
        let holder = Holder { pid: std::process::id(), text: printable(holder) };
        let mut lock = OsLock { file, path: path.to_owned(), note, holder };
        if !still_named(&lock.file, &lock.path)? {
            continue;
        }
        if let Wait::Shared = wait {
            return Ok(Attempt::Acquired(lock));
        }
        lock.note.holder = Some(lock.holder.clone());
        // The note is for people; a full disk is no reason to refuse a lock.
        if let Err(error) = lock.write_note() {
            tracing::warn!(%error, "a lock is held, but its file does not say by whom");
        }
        return Ok(Attempt::Acquired(lock));
    }
    Err(OsLockError::Replaced { path: path.to_owned(), tries: REPLACED_TRIES_MAX })
}

pub(crate) fn open(path: &Path) -> Result<File, OsLockError> {
    open_with(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
}

pub(crate) fn open_to_read(path: &Path) -> Result<File, OsLockError> {
    open_with(path, OpenOptions::new().read(true))
}

fn open_with(path: &Path, options: &mut OpenOptions) -> Result<File, OsLockError> {
    let opened = options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()).open(path);
    let not_regular = || OsLockError::NotRegular { path: path.to_owned() };
    let open_failed = |source: io::Error| OsLockError::Open { path: path.to_owned(), source };
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            let odd = path.symlink_metadata().is_ok_and(|meta| !meta.is_file());
            return Err(if odd { not_regular() } else { open_failed(error) });
        }
    };
    if !file.metadata().map_err(open_failed)?.is_file() {
        return Err(not_regular());
    }
    Ok(file)
}

/// Whether the file that was locked still bears the name. If not, others may lock another file under it.
pub(crate) fn still_named(file: &File, path: &Path) -> Result<bool, OsLockError> {
    let open_failed = |source| OsLockError::Open { path: path.to_owned(), source };
    let locked = file.metadata().map_err(open_failed)?;
    match path.symlink_metadata() {
        Ok(named) => Ok((named.dev(), named.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(open_failed(error)),
    }
}

fn uninterrupted<T>(call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    crate::storage::uninterrupted(call)
}

/// One line of at most [`HOLDER_CHARS_MAX`] characters, none of which moves a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(HOLDER_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What stands in a sidecar. A note that is missing, foreign or half-written reads as an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// Who holds its lock, or held it last.
    pub holder: Option<Holder>,
    /// What a holder has noted for those after it.
    pub mark: Option<String>,
}

/// How often a note is read until it stays the same.
const READ_TRIES_MAX: usize = 16;

impl Note {
    /// For one who does not have the lock: a note that is being written may be read as half the old and half the new one.
    fn read_twice(file: &mut File) -> Note {
        let mut before = Note::read(file);
        for _ in 0..READ_TRIES_MAX {
            let now = Note::read(file);
            if now == before {
                break;
            }
            before = now;
        }
        before
    }

    fn read(file: &mut File) -> Note {
        let mut text = Vec::new();
        let read =
            file.seek(SeekFrom::Start(0)).and_then(|_| Read::take(&*file, NOTE_BYTES_MAX).read_to_end(&mut text));
        match read {
            Ok(_) => Note::parse(&String::from_utf8_lossy(&text)).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the note in a lock file cannot be read");
                Note::default()
            }
        }
    }

    fn parse(text: &str) -> Option<Note> {
        let mut lines = text.split('\n');
        if lines.next() != Some(VERSION_LINE) {
            return None;
        }
        let (mut pid, mut holder, mut mark) = (None, None, None);
        for line in lines {
            match line.split_once(' ') {
                Some(("pid", value)) => pid = value.parse().ok(),
                Some(("holder", value)) => holder = Some(printable(value)),
                Some(("mark", value)) => mark = Some(value.to_owned()),
                None if line == "end" => {
                    let holder = pid.zip(holder).map(|(pid, text)| Holder { pid, text });
                    return Some(Note { holder, mark });
                }
                Some(_) | None => return None,
            }
        }
        None
    }

    /// In place, and shortened only afterwards: at no moment is the file without an `end`.
    fn write(&self, file: &mut File) -> io::Result<()> {
        let mut text = format!("{VERSION_LINE}\n");
        if let Some(Holder { pid, text: holder }) = &self.holder {
            text.push_str(&format!("pid {pid}\nholder {holder}\n"));
        }
        if let Some(mark) = &self.mark {
            text.push_str(&format!("mark {mark}\n"));
        }
        text.push_str("end\n");
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}
