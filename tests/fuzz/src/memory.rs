//! A disk in memory on which nothing fails: the machine of the crate's own tests does far more for each operation than
//! a fuzzer has time for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockkeeper_journal::os_lock::{MARK_BYTES_MAX, Note, OsLockError};
use lockkeeper_journal::storage::{Access, Disk, FileId, FileKind, Held, Lock, Status, Storage};

/// The number of the first file that is made.
pub const FIRST_INODE: u64 = 7;

/// When every file was made.
pub const BORN: u128 = 1;

/// The disk. Its clones are the same one.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Mutex<World>>);

#[derive(Debug)]
struct World {
    /// Another one for each disk: the crate keeps one list of open files for all of this process.
    device: u64,
    boot: u64,
    next_inode: u64,
    names: BTreeMap<PathBuf, Inode>,
    /// What stands in lock files.
    locks: BTreeMap<PathBuf, Sidecar>,
}

#[derive(Debug, Clone)]
struct Inode {
    id: FileId,
    bytes: Arc<Mutex<Vec<u8>>>,
    locked: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Default)]
struct Sidecar {
    mark: Arc<Mutex<Option<String>>>,
    locked: Arc<AtomicBool>,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// An empty disk.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Memory {
        Memory::of(0, FIRST_INODE)
    }

    fn of(boot: u64, next_inode: u64) -> Memory {
        static DEVICES: AtomicU64 = AtomicU64::new(1);
        let device = DEVICES.fetch_add(1, Ordering::Relaxed);
        let (names, locks) = (BTreeMap::new(), BTreeMap::new());
        Memory(Arc::new(Mutex::new(World { device, boot, next_inode, names, locks })))
    }

    /// What the crate asks for.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// The same files on another disk, which nobody has open: what is there after the death of everybody. `boots` is how
    /// often the system has been started since.
    pub fn snapshot(&self, boots: u64) -> Memory {
        let world = guard(&self.0);
        let copy = Memory::of(world.boot + boots, world.next_inode);
        let mut new = guard(&copy.0);
        for (path, inode) in &world.names {
            let id = FileId { device: new.device, inode: inode.id.inode };
            let bytes = Arc::new(Mutex::new(guard(&inode.bytes).clone()));
            new.names.insert(path.clone(), Inode { id, bytes, locked: Arc::default() });
        }
        for (path, sidecar) in &world.locks {
            let mark = Arc::new(Mutex::new(guard(&sidecar.mark).clone()));
            new.locks.insert(path.clone(), Sidecar { mark, locked: Arc::default() });
        }
        drop(new);
        copy
    }

    /// Puts a file there.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut world = guard(&self.0);
        let inode = world.create(path);
        guard(&inode.bytes).extend_from_slice(bytes);
    }

    /// Puts a lock file there that says this.
    pub fn put_mark(&self, path: &Path, mark: &str) {
        let sidecar = Sidecar::default();
        *guard(&sidecar.mark) = Some(mark.to_owned());
        guard(&self.0).locks.insert(path.to_owned(), sidecar);
    }

    /// What is in a file; none if there is none.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        guard(&self.0).names.get(path).map(|inode| guard(&inode.bytes).clone())
    }

    /// Changes what is in a file behind everybody's back.
    pub fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = guard(&self.0).names.get(path).cloned().expect("the file is there");
        change(&mut guard(&inode.bytes));
    }
}

impl World {
    fn create(&mut self, path: &Path) -> Inode {
        let id = FileId { device: self.device, inode: self.next_inode };
        self.next_inode += 1;
        let inode = Inode { id, bytes: Arc::default(), locked: Arc::default() };
        self.names.insert(path.to_owned(), inode.clone());
        inode
    }
}

fn status(inode: &Inode) -> Status {
    let len = guard(&inode.bytes).len() as u64;
    Status { id: inode.id, born: BORN, kind: FileKind::Regular, len, links: 1, mode: 0o644 }
}

impl Disk for Memory {
    fn look(&self, path: &Path) -> io::Result<Option<Status>> {
        let world = guard(&self.0);
        if world.locks.contains_key(path) {
            let id = FileId { device: world.device, inode: 1 };
            return Ok(Some(Status { id, born: BORN, kind: FileKind::Regular, len: 1, links: 1, mode: 0o644 }));
        }
        Ok(world.names.get(path).map(status))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        let mut world = guard(&self.0);
        let there = world.names.get(path).cloned();
        let inode = match (there, access) {
            (Some(_), Access::CreateAppend { .. } | Access::CreateUpdate { .. }) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            (None, Access::CreateAppend { .. } | Access::CreateUpdate { .. }) => world.create(path),
            (Some(inode), Access::Read | Access::Append | Access::Update) => inode,
            (None, Access::Read | Access::Append | Access::Update) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(OpenFile { inode, has_lock: AtomicBool::new(false) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = guard(&self.0);
        let inode = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn make_dirs(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path, _holder: &str) -> Result<Lock, OsLockError> {
        let sidecar = guard(&self.0).locks.entry(path.to_owned()).or_default().clone();
        if sidecar.locked.swap(true, Ordering::Relaxed) {
            return Ok(Lock::Busy(None));
        }
        let mark = guard(&sidecar.mark).clone();
        Ok(Lock::Held(Box::new(HeldLock { sidecar, mark })))
    }

    /// There is one host, so whoever asks is alone.
    fn share(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        self.lock(path, holder)
    }

    fn read_note(&self, path: &Path) -> Result<Option<Note>, OsLockError> {
        let sidecar = guard(&self.0).locks.get(path).cloned();
        Ok(sidecar.map(|sidecar| Note { holder: None, mark: guard(&sidecar.mark).clone() }))
    }

    fn boot(&self) -> Option<String> {
        Some(format!("boot-{}", guard(&self.0).boot))
    }

    fn remote(&self, _dir: &Path) -> io::Result<Option<&'static str>> {
        Ok(None)
    }
}

#[derive(Debug)]
struct HeldLock {
    sidecar: Sidecar,
    mark: Option<String>,
}

impl Held for HeldLock {
    fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    fn set_mark(&mut self, mark: &str) -> Result<(), OsLockError> {
        assert!(mark.len() <= MARK_BYTES_MAX && !mark.contains(char::is_control), "a mark is one short line");
        self.mark = Some(mark.to_owned());
        *guard(&self.sidecar.mark) = self.mark.clone();
        Ok(())
    }

    fn renew(&mut self) -> Result<(), OsLockError> {
        self.mark = guard(&self.sidecar.mark).clone();
        Ok(())
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.sidecar.locked.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct OpenFile {
    inode: Inode,
    has_lock: AtomicBool,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.unlock();
    }
}

fn in_memory(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Storage for OpenFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        guard(&self.inode.bytes).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut there = guard(&self.inode.bytes);
        let (from, to) = (in_memory(offset), in_memory(offset).saturating_add(bytes.len()));
        if there.len() < to {
            there.resize(to, 0);
        }
        there[from..to].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = guard(&self.inode.bytes);
        let from = in_memory(offset).min(there.len());
        let len = into.len().min(there.len() - from);
        into[..len].copy_from_slice(&there[from..from + len]);
        Ok(len)
    }

    fn read_disk_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(into, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        guard(&self.inode.bytes).resize(in_memory(len), 0);
        Ok(())
    }

    fn status(&self) -> io::Result<Status> {
        Ok(Status { born: 0, ..status(&self.inode) })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_aside(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn room(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let free = !self.inode.locked.swap(true, Ordering::Relaxed);
        self.has_lock.fetch_or(free, Ordering::Relaxed);
        Ok(free)
    }

    fn unlock(&self) {
        if self.has_lock.swap(false, Ordering::Relaxed) {
            self.inode.locked.store(false, Ordering::Relaxed);
        }
    }
}
