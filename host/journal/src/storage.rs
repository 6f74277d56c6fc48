//! The file operations of this crate, behind two traits, so that a test can fail any one of them, and lose what was not
//! synced as a power cut does.
//!
//! Nothing here retries or decides; an operation is one system call, or a few that belong together. [`LocalDisk`] is the
//! real thing.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustix::fs::{Advice, FallocateFlags, OFlags};

use crate::os_lock::{Attempt, DataLock, Holder, Note, OsLock, OsLockError};

/// What kind of thing a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The only kind that records are kept in.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link; it is never followed.
    SymbolicLink,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

/// One file, however it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The device that it is on; the number may change from boot to boot.
    pub device: u64,
    /// Its number there; given to another file once it is gone.
    pub inode: u64,
}

/// What the system says about a file, as far as this crate cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Which file it is.
    pub id: FileId,
    /// When it was made, in nanoseconds since 1970; 0 where the file system does not say.
    pub born: u128,
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes.
    pub len: u64,
    /// How many names it has.
    pub links: u64,
    /// Its permissions, as in `chmod`.
    pub mode: u32,
}

/// How a file is opened. A symbolic link is never followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// An existing file, to be read.
    Read,
    /// An existing file, to be read and appended to.
    Append,
    /// A new file with these permissions, to be read and appended to; `AlreadyExists` if there is one.
    CreateAppend {
        /// As in `chmod`.
        mode: u32,
    },
    /// An existing file, to be read and written anywhere.
    Update,
    /// A new file with these permissions, to be read and written anywhere; `AlreadyExists` if there is one.
    CreateUpdate {
        /// As in `chmod`.
        mode: u32,
    },
}

/// The outcome of trying a lock.
#[derive(Debug)]
pub enum Lock {
    /// It is ours until the value is dropped.
    Held(Box<dyn Held>),
    /// Somebody has it.
    Busy(Option<Holder>),
}

impl From<Attempt> for Lock {
    fn from(attempt: Attempt) -> Lock {
        match attempt {
            Attempt::Acquired(lock) => Lock::Held(Box::new(lock)),
            Attempt::Busy(holder) => Lock::Busy(holder),
        }
    }
}

/// A lock that is held until this is dropped, and the one line that its holders leave to those after them.
pub trait Held: Send + Sync + fmt::Debug {
    /// What this or an earlier holder has noted.
    fn mark(&self) -> Option<&str>;
    /// Notes one line for the holders after this one; it replaces the former mark, and survives power loss.
    fn set_mark(&mut self, mark: &str) -> Result<(), OsLockError>;
    /// Reads what others have noted meanwhile, and notes that this is the holder now: for a lock that is shared.
    fn renew(&mut self) -> Result<(), OsLockError>;
}

/// Where files are.
pub trait Disk: Send + Sync + fmt::Debug {
    /// What bears the name; nothing if there is none.
    fn look(&self, path: &Path) -> io::Result<Option<Status>>;
    /// Opens or makes a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>>;
    /// Gives a file another name, in place of whoever has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a directory and those above it, and their names durable: a directory that power loss takes would take its files
    /// with it.
    fn make_dirs(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory survive power loss.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Tries the exclusive lock of a sidecar, which is made if it is missing and never removed.
    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError>;
    /// Tries its shared lock, which several may have, but not beside one who has it alone. Notes nothing.
    fn share(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError>;
    /// What stands in a sidecar, for one who may not or will not write to it; nothing if there is none.
    fn read_note(&self, path: &Path) -> Result<Option<Note>, OsLockError>;
    /// A word that is another one after each start of the system: what was written under the same word and not synced is
    /// still in the page cache. None if the system does not say.
    fn boot(&self) -> Option<String>;
    /// The name of the network or user-space file system that `dir` is on; none if it is a local one.
    fn remote(&self, dir: &Path) -> io::Result<Option<&'static str>>;
}

/// One open file. Shared by threads: a sync runs beside reads and appends.
pub trait Storage: Send + Sync + fmt::Debug {
    /// One write at the end of the file. May take fewer bytes than it is given, never more.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// One write at `offset`, of a file opened for that.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// One read. Fills less than `into` only at the end of the file, or when the system says so.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// As [`read_at`](Storage::read_at), but what the disk holds and not what the page cache says it does, wherever the
    /// file system can tell them apart.
    fn read_disk_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// What the system says about it now.
    fn status(&self) -> io::Result<Status>;
    /// Makes its bytes and its length survive power loss.
    fn sync(&self) -> io::Result<()>;
    /// Sets blocks of the disk aside for the bytes from `offset` on. The length stays as it is, so no zeros are read.
    fn set_aside(&self, offset: u64, len: u64) -> io::Result<()>;
    /// The bytes that an ordinary user can still write on its file system.
    fn room(&self) -> io::Result<u64>;
    /// Tries to keep every other holder of this lock away, through whatever name it opened the file. Held until
    /// [`unlock`](Storage::unlock), or until the last reference to the file is gone.
    fn try_lock(&self) -> io::Result<bool>;
    /// Lets that lock go, if it is held.
    fn unlock(&self);
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn look(&self, path: &Path) -> io::Result<Option<Status>> {
        match path.symlink_metadata() {
            Ok(metadata) => Ok(Some(status_of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        let mut options = OpenOptions::new();
        // No link is followed, and no pipe waited for, that has taken the file's place since it was looked at.
        options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        match access {
            Access::Read => &mut options,
            Access::Append => options.append(true),
            Access::CreateAppend { mode } => options.append(true).create_new(true).mode(mode),
            Access::Update => options.write(true),
            Access::CreateUpdate { mode } => options.write(true).create_new(true).mode(mode),
        };
        Ok(Arc::new(LocalFile { file: options.open(path)?, lock: DataLock::default() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn make_dirs(&self, path: &Path) -> io::Result<()> {
        make_dirs_durably(path, 0o777)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        OsLock::try_exclusive(path, holder).map(Lock::from)
    }

    fn share(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        OsLock::try_shared(path, holder).map(Lock::from)
    }

    fn read_note(&self, path: &Path) -> Result<Option<Note>, OsLockError> {
        OsLock::read_note(path)
    }

    fn boot(&self) -> Option<String> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned())
    }

    fn remote(&self, dir: &Path) -> io::Result<Option<&'static str>> {
        Ok(remote_kind(&rustix::fs::statfs(dir)?))
    }
}

/// What a file system is called on which locks or appends do not mean what they mean on a local disk.
pub(crate) fn remote_kind(on: &rustix::fs::StatFs) -> Option<&'static str> {
    let kind = i128::from(on.f_type);
    REMOTE.iter().find(|(number, _)| kind == i128::from(*number)).map(|(_, name)| *name)
}

/// File systems on which locks or appends do not mean what they mean on a local disk, by the number that `statfs` gives
/// (linux/magic.h, and the sources of those that are not in there).
const REMOTE: [(u32, &str); 12] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
];

/// A file of this machine.
#[derive(Debug)]
struct LocalFile {
    file: File,
    lock: DataLock,
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        self.lock.release(&self.file);
    }
}

/// What reads past the page cache are aligned to: a multiple of every sector size in use.
const DIRECT_ALIGN: usize = 4096;

impl Storage for LocalFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn read_disk_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        use std::os::fd::AsRawFd;
        // A description of its own, since the flag belongs to the description; found by number, so no name can mislead it.
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let Ok(direct) = direct else {
            return self.read_dropped_at(into, offset);
        };
        let skipped = offset % DIRECT_ALIGN as u64;
        let skip = usize::try_from(skipped).expect("less than the alignment");
        let wanted = (skip + into.len()).next_multiple_of(DIRECT_ALIGN);
        let mut space = vec![0; wanted + DIRECT_ALIGN];
        let aligned = space.as_ptr().align_offset(DIRECT_ALIGN);
        let space = &mut space[aligned..aligned + wanted];
        match direct.read_at(space, offset - skipped) {
            Ok(got) => {
                let got = got.saturating_sub(skip).min(into.len());
                into[..got].copy_from_slice(&space[skip..skip + got]);
                Ok(got)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.read_dropped_at(into, offset),
            Err(error) => Err(error),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.file, len)?)
    }

    fn status(&self) -> io::Result<Status> {
        let stat = rustix::fs::fstat(&self.file)?;
        Ok(Status {
            id: FileId { device: stat.st_dev, inode: stat.st_ino },
            // Not in this call, and only asked for by name.
            born: 0,
            kind: FileKind::Regular,
            len: u64::try_from(stat.st_size).expect("a regular file has no negative length"),
            links: stat.st_nlink,
            mode: stat.st_mode,
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_aside(&self, offset: u64, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, len)?)
    }

    fn room(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.file)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.lock.try_acquire(&self.file)
    }

    fn unlock(&self) {
        self.lock.release(&self.file);
    }
}

impl LocalFile {
    /// For file systems without direct reads: drops what the cache holds of the range, if it is clean, and reads it anew.
    fn read_dropped_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = std::num::NonZeroU64::new(into.len() as u64);
        rustix::fs::fadvise(&self.file, offset, len, Advice::DontNeed)?;
        self.file.read_at(into, offset)
    }
}

/// Makes a directory and those above it that are missing, and has their names survive power loss.
pub fn make_dirs_durably(path: &Path, mode: u32) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    for made in missing {
        let parent = match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn status_of(metadata: &Metadata) -> Status {
    let kind = metadata.file_type();
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Status {
        id: FileId { device: metadata.dev(), inode: metadata.ino() },
        born: born.map_or(0, |born| born.as_nanos()),
        kind: match () {
            () if kind.is_file() => FileKind::Regular,
            () if kind.is_dir() => FileKind::Directory,
            () if kind.is_symlink() => FileKind::SymbolicLink,
            () if kind.is_fifo() => FileKind::Pipe,
            () if kind.is_socket() => FileKind::Socket,
            () => FileKind::Device,
        },
        len: metadata.len(),
        links: metadata.nlink(),
        mode: metadata.mode() & 0o777,
    }
}

/// Repeats a call that a signal interrupted before it did anything.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Fills `into` from `offset` on, or fails with `UnexpectedEof`.
pub fn read_exact_at(storage: &dyn Storage, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !into.is_empty() {
        match uninterrupted(|| storage.read_at(into, offset))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => {
                into = &mut into[got..];
                offset += got as u64;
            }
        }
    }
    Ok(())
}

/// Compares what the page cache says of a file that has been synced with what the disk holds. Answers the first byte that
/// differs.
pub(crate) fn verify_disk(
    storage: &dyn Storage,
    from: u64,
    to: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<Option<u64>> {
    const CHUNK_BYTES: usize = 1 << 20;
    let (mut cached, mut on_disk) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut at = from;
    while at < to {
        let len = CHUNK_BYTES.min(usize::try_from(to - at).unwrap_or(usize::MAX));
        read_exact_at(storage, &mut cached[..len], at)?;
        let mut got = 0;
        while got < len {
            match uninterrupted(|| storage.read_disk_at(&mut on_disk[got..len], at + got as u64))? {
                0 => break,
                more => got += more,
            }
        }
        let same = cached[..len].iter().zip(&on_disk[..got]).take_while(|(ours, theirs)| ours == theirs).count();
        if same < len {
            return Ok(Some(at + same as u64));
        }
        at += len as u64;
        progress(at - from);
    }
    Ok(None)
}

/// Writes all of `bytes` from `offset` on.
pub(crate) fn write_all_at(storage: &dyn Storage, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| storage.write_at(bytes, offset))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            taken => {
                bytes = &bytes[taken..];
                offset += taken as u64;
            }
        }
    }
    Ok(())
}
