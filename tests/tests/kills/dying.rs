//! The disk of this machine, which kills its host at one of the places where something is about to change on it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper::os_lock::{Note, OsLockError};
use lockkeeper::storage::{Access, Disk, Held, LocalDisk, Lock, Status, Storage};
use rustix::process::{Signal, getpid, kill_process};

/// A disk on which the host dies.
#[derive(Debug)]
pub(crate) struct DyingDisk {
    sites: Arc<Sites>,
    is_late: bool,
}

/// Counts the sites: the instant before each operation that changes something, and for a write also that after half of it.
#[derive(Debug)]
struct Sites {
    passed: AtomicU64,
    last: u64,
    /// Where the host says at what it died.
    note: PathBuf,
}

impl DyingDisk {
    /// A disk that kills at its site number `last`, from 1, and first writes to `note` what kind of site that is. One that
    /// `is_late` keeps the newest append to each file to itself.
    pub(crate) fn new(last: u64, note: PathBuf, is_late: bool) -> Self {
        Self { sites: Arc::new(Sites { passed: AtomicU64::new(0), last, note }), is_late }
    }
}

impl Sites {
    fn is_last(&self) -> bool {
        self.passed.fetch_add(1, Ordering::Relaxed) + 1 == self.last
    }

    fn before(&self, what: &str) {
        if self.is_last() {
            self.die(what);
        }
    }

    fn die(&self, what: &str) -> ! {
        std::fs::write(&self.note, what).expect("the note can be written");
        kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        loop {
            std::thread::park();
        }
    }

    /// A write is two sites.
    fn write(&self, what: &str, bytes: &[u8], write: impl Fn(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.before(what);
        if self.is_last() {
            write(&bytes[..bytes.len() / 2])?;
            self.die(&format!("half of {what}"));
        }
        write(bytes)
    }
}

impl DyingDisk {
    fn dying(&self, lock: Lock) -> Lock {
        match lock {
            Lock::Held(inner) => Lock::Held(Box::new(DyingHeld { inner, sites: self.sites.clone() })),
            busy @ Lock::Busy(_) => busy,
        }
    }
}

impl Disk for DyingDisk {
    fn look(&self, path: &Path) -> io::Result<Option<Status>> {
        LocalDisk.look(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        if matches!(access, Access::CreateAppend { .. } | Access::CreateUpdate { .. }) {
            self.sites.before("create");
        }
        let inner = LocalDisk.open(path, access)?;
        let kept =
            (self.is_late && matches!(access, Access::Append | Access::CreateAppend { .. })).then(Mutex::default);
        Ok(Arc::new(DyingStorage { inner, sites: self.sites.clone(), kept }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.sites.before("rename");
        LocalDisk.rename(from, to)
    }

    fn make_dirs(&self, path: &Path) -> io::Result<()> {
        self.sites.before("make a directory");
        LocalDisk.make_dirs(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sites.before("sync a directory");
        LocalDisk.sync_dir(path)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        self.sites.before("lock");
        Ok(self.dying(LocalDisk.lock(path, holder)?))
    }

    fn share(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        self.sites.before("share");
        Ok(self.dying(LocalDisk.share(path, holder)?))
    }

    fn read_note(&self, path: &Path) -> Result<Option<Note>, OsLockError> {
        LocalDisk.read_note(path)
    }

    fn boot(&self) -> Option<String> {
        LocalDisk.boot()
    }

    fn remote(&self, dir: &Path) -> io::Result<Option<&'static str>> {
        LocalDisk.remote(dir)
    }
}

struct DyingHeld {
    inner: Box<dyn Held>,
    sites: Arc<Sites>,
}

impl fmt::Debug for DyingHeld {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(out)
    }
}

impl Held for DyingHeld {
    fn mark(&self) -> Option<&str> {
        self.inner.mark()
    }

    fn set_mark(&mut self, mark: &str) -> Result<(), OsLockError> {
        self.sites.before("mark");
        self.inner.set_mark(mark)
    }

    fn renew(&mut self) -> Result<(), OsLockError> {
        self.sites.before("renew");
        self.inner.renew()
    }
}

#[derive(Debug)]
struct DyingStorage {
    inner: Arc<dyn Storage>,
    sites: Arc<Sites>,
    /// What a late disk has not written.
    kept: Option<Mutex<Vec<u8>>>,
}

impl DyingStorage {
    /// Writes what was kept, and keeps this.
    fn keep(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.inner.append(&kept)?;
        assert_eq!(written, kept.len(), "a short write, which nothing here is ready for");
        *kept = bytes.to_vec();
        Ok(())
    }
}

impl Storage for DyingStorage {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.kept.is_some() {
            return self.keep(bytes).map(|()| bytes.len());
        }
        self.sites.write("append", bytes, |bytes| self.inner.append(bytes))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.sites.write("write", bytes, |bytes| self.inner.write_at(bytes, offset))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.keep(&[])?;
        self.inner.read_at(into, offset)
    }

    fn read_disk_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_disk_at(into, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.sites.before("truncate");
        self.keep(&[])?;
        self.inner.truncate(len)
    }

    fn status(&self) -> io::Result<Status> {
        let Some(kept) = &self.kept else { return self.inner.status() };
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let status = self.inner.status()?;
        Ok(Status { len: status.len + kept.len() as u64, ..status })
    }

    fn sync(&self) -> io::Result<()> {
        self.sites.before("sync");
        self.keep(&[])?;
        self.inner.sync()
    }

    fn set_aside(&self, offset: u64, len: u64) -> io::Result<()> {
        self.sites.before("set aside");
        self.inner.set_aside(offset, len)
    }

    fn room(&self) -> io::Result<u64> {
        self.inner.room()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) {
        self.inner.unlock();
    }
}
