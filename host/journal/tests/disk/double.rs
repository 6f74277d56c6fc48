//! A machine in memory: its disk, its page cache, its locks and its faults.
//!
//! A [`Machine`] is what survives the death of processes. A [`Host`] is one process on it, and the [`Disk`](lockkeeper_journal::storage::Disk) that is handed
//! to the crate; several hosts of one machine see the same files and each other's locks. Every call of the traits is one
//! [`Operation`]: counted, written to a log, and open to [`Fault`]s. After a power cut there are many machines, one for
//! each state that the disk may be in ([`Machine::power_cuts`]); a machine is copied with [`Machine::snapshot`] at little
//! cost.
//!
//! Three rules of Linux that are easy to forget are kept here:
//! * a sync that fails marks the pages clean: reads go on showing bytes that no later sync writes;
//! * the names in a directory are durable only when the directory is synced, whatever was done to the files;
//! * what is written while a sync runs is not covered by it.

mod faults;
mod host;
mod power;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockkeeper_journal::storage::{FileId, FileKind, Status};
use rustix::io::Errno;

pub(crate) use faults::{Fault, Kind, Operation};
pub(crate) use host::Host;
pub(crate) use power::{Cut, Fate, POINTS_EXHAUSTIVE_MAX, PowerCuts, Random, SECTOR_BYTES};
pub(crate) use world::Settings;

use faults::Faults;
use world::{Change, Inode, Key, NameChange, World, absolute};

/// How long a test waits for operations at a gate before it is taken for stuck.
const GATE_WAIT_MAX: Duration = Duration::from_secs(60);

/// What every operation of a dead host ends with.
#[derive(Debug, thiserror::Error)]
#[error("the host is dead")]
pub(crate) struct HostIsDead;

/// Whether an error comes from the death of its host, however deep.
pub(crate) fn is_death(error: &(dyn Error + 'static)) -> bool {
    let here = error.is::<HostIsDead>()
        || error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<HostIsDead>());
    here || error.source().is_some_and(is_death)
}

/// A disk with all that is on it. Its clones are the same machine.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    /// An operation came to a gate, or a gate changed.
    gates_changed: Condvar,
    watcher: Mutex<Option<Watcher>>,
}

type Watcher = Box<dyn FnMut(&Machine, &Operation) + Send>;

/// What is behind the mutex of a machine.
struct Inner {
    world: World,
    /// Another one for each machine: the crate keeps one list of open files for all that run in this process.
    device: u64,
    /// For each host whether it lives.
    hosts: Vec<bool>,
    /// Open files and locks, and whose they are.
    handles: BTreeMap<Token, (Key, usize)>,
    /// Who has which file locked.
    locks: BTreeMap<Key, Locked>,
    next_token: u64,
    faults: Faults,
    log: Vec<Operation>,
    counted: u64,
    gates: BTreeMap<Kind, GateState>,
    watched: bool,
}

/// One opening of one file, as Linux's open file descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Token(u64);

/// How a file is locked.
#[derive(Debug)]
enum Locked {
    Alone(Token),
    Shared(BTreeSet<Token>),
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    waiting: usize,
    permits: usize,
}

/// How an operation is to be done.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// The last change that was made before it began.
    upto: u64,
    /// How many bytes a write may take.
    bytes_max: usize,
    /// Whether it only says that it is done.
    idle: bool,
}

impl fmt::Debug for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Machine")
    }
}

impl Machine {
    /// An empty disk. Its root is there.
    pub(crate) fn new() -> Machine {
        Machine::of(World::new())
    }

    fn of(world: World) -> Machine {
        static DEVICES: AtomicU64 = AtomicU64::new(1);
        let inner = Inner {
            world,
            device: DEVICES.fetch_add(1, Ordering::Relaxed),
            hosts: Vec::new(),
            handles: BTreeMap::new(),
            locks: BTreeMap::new(),
            next_token: 0,
            faults: Faults::default(),
            log: Vec::new(),
            counted: 0,
            gates: BTreeMap::new(),
            watched: false,
        };
        Machine(Arc::new(Shared { inner: Mutex::new(inner), gates_changed: Condvar::new(), watcher: Mutex::new(None) }))
    }

    /// A panic elsewhere is a failed test already, and the handles of that thread are still to be closed.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process.
    pub(crate) fn host(&self) -> Host {
        let mut inner = self.inner();
        inner.hosts.push(true);
        Host { machine: self.clone(), id: inner.hosts.len() - 1 }
    }

    /// The same files at this moment on another machine, on which nobody runs: what every process would find if all that
    /// run now died. Settings go along; faults, log and gates do not, nor does the device number.
    pub(crate) fn snapshot(&self) -> Machine {
        Machine::of(self.inner().world.clone())
    }

    /// Every state that a power cut may leave if at most [`POINTS_EXHAUSTIVE_MAX`] changes are not synced: all subsets of
    /// them, and those done by half as far as `states_max` goes. Beyond that, states at random.
    pub(crate) fn power_cuts(&self, states_max: usize) -> PowerCuts {
        PowerCuts::new(self.inner().world.clone(), states_max)
    }

    /// Every subset of the changes that are not synced, of which there are at most [`POINTS_EXHAUSTIVE_MAX`].
    pub(crate) fn power_cuts_to_every_subset(&self) -> PowerCuts {
        PowerCuts::subsets(self.inner().world.clone())
    }

    /// The same; then every subset once more for each way in which one change can be done by half.
    pub(crate) fn power_cuts_to_every_half(&self) -> PowerCuts {
        PowerCuts::halves(self.inner().world.clone())
    }

    /// So many states at random.
    pub(crate) fn power_cuts_at_random(&self, states: usize) -> PowerCuts {
        PowerCuts::at_random(self.inner().world.clone(), states)
    }

    /// All that whoever opens files here can tell apart, but for the device number.
    pub(crate) fn fingerprint(&self, hasher: &mut impl Hasher) {
        let World { names, inodes, boots, .. } = &self.inner().world;
        boots.hash(hasher);
        for (path, key) in names {
            let inode = &inodes[key];
            (path, inode.number, inode.born, inode.mode, &inode.cache, inode.pending.len()).hash(hasher);
        }
    }

    /// One state that a power cut may leave.
    pub(crate) fn power_cut(&self, random: &mut Random) -> Cut {
        power::random_cut(&self.inner().world, random)
    }

    /// The state in which nothing that was not synced is there.
    pub(crate) fn cut_to_synced(&self) -> Machine {
        let inner = self.inner();
        let fates = vec![Fate::Dropped; inner.world.points().len()];
        Machine::of(inner.world.cut(&fates))
    }

    /// What is not synced, in words.
    pub(crate) fn unsynced(&self) -> Vec<String> {
        self.inner().world.points().iter().map(ToString::to_string).collect()
    }

    /// Sets what the machine is like.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.inner().world.settings);
    }

    /// Adds something that will go wrong.
    pub(crate) fn inject(&self, fault: Fault) {
        self.inner().faults.add(fault);
    }

    /// Takes back what has not gone wrong yet.
    pub(crate) fn heal(&self) {
        self.inner().faults.clear();
    }

    /// How many operations there have been.
    pub(crate) fn operations(&self) -> u64 {
        self.inner().counted
    }

    /// How many operations of this kind there have been, tried or done.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.inner().log.iter().filter(|operation| operation.kind == kind).count()
    }

    /// All operations so far.
    pub(crate) fn log(&self) -> Vec<Operation> {
        self.inner().log.clone()
    }

    /// Calls this before each operation, when it has been counted and nothing of it is done. No lock is held, so it may
    /// take snapshots and change files; it may not use a host of this machine.
    pub(crate) fn watch(&self, watcher: impl FnMut(&Machine, &Operation) + Send + 'static) {
        *self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(watcher));
        self.inner().watched = true;
    }

    /// Holds operations of this kind up from now on, until the gate is dropped.
    pub(crate) fn gate(&self, kind: Kind) -> Gate {
        let mut inner = self.inner();
        let gate = inner.gates.entry(kind).or_default();
        assert!(!gate.closed, "one gate for a kind");
        *gate = GateState { closed: true, permits: 0, waiting: gate.waiting };
        drop(inner);
        Gate { machine: self.clone(), kind }
    }

    /// Ends one process, as `kill -9` does.
    pub(crate) fn kill(&self, host: &Host) {
        self.inner().kill(host.id);
        self.0.gates_changed.notify_all();
    }

    /// Ends every process.
    pub(crate) fn kill_all(&self) {
        let mut inner = self.inner();
        (0..inner.hosts.len()).for_each(|host| inner.kill(host));
        drop(inner);
        self.0.gates_changed.notify_all();
    }

    /// Puts a file there that is on the disk already, and the directories above it.
    pub(crate) fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut inner = self.inner();
        let path = absolute(path.as_ref());
        inner.make_dirs(path.parent().expect("a file is in a directory")).expect("no file is in the way");
        inner.replace(&path, FileKind::Regular, bytes);
        inner.world.settle_all();
    }

    /// Puts something there that is no regular file.
    pub(crate) fn put_odd(&self, path: impl AsRef<Path>, kind: FileKind) {
        let mut inner = self.inner();
        inner.replace(&absolute(path.as_ref()), kind, b"");
        inner.world.settle_all();
    }

    /// What everybody reads in a file; none if there is none.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.inner().named(path.as_ref()).map(|inode| inode.cache.clone())
    }

    /// What is on the disk of a file for certain.
    pub(crate) fn read_synced(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let inner = self.inner();
        let key = inner.world.disk_names.get(&absolute(path.as_ref()))?;
        Some(inner.world.inode(*key).disk.clone())
    }

    /// All names but those of directories.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let inner = self.inner();
        let files = inner.world.names.iter().filter(|(_, key)| inner.world.inode(**key).kind != FileKind::Directory);
        files.map(|(path, _)| path.clone()).collect()
    }

    /// Somebody else cuts a file.
    pub(crate) fn truncate(&self, path: impl AsRef<Path>, len: usize) {
        let mut inner = self.inner();
        let key = inner.key_of(path.as_ref());
        inner.world.change(key, Change::Truncate { len });
    }

    /// Somebody else appends to a file.
    pub(crate) fn append(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut inner = self.inner();
        let key = inner.key_of(path.as_ref());
        let offset = inner.world.inode(key).cache.len();
        inner.world.change(key, Change::Write { offset, bytes: bytes.into() });
    }

    /// Bytes turn into others, on the disk and in the cache.
    pub(crate) fn damage(&self, path: impl AsRef<Path>, offset: usize, bytes: &[u8]) {
        let mut inner = self.inner();
        let key = inner.key_of(path.as_ref());
        let inode = inner.world.inode_mut(key);
        assert!(inode.pending.is_empty(), "only what is synced is damaged");
        world::write(&mut inode.cache, offset, bytes);
        world::write(&mut inode.disk, offset, bytes);
    }

    /// Somebody else puts a new file in the place of one.
    pub(crate) fn replace(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.inner().replace(&absolute(path.as_ref()), FileKind::Regular, bytes);
    }

    /// Somebody else renames a file.
    pub(crate) fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let (from, to) = (absolute(from.as_ref()), absolute(to.as_ref()));
        self.inner().rename(&from, &to).expect("the test renames what is there");
    }

    /// Somebody else removes a file.
    pub(crate) fn unlink(&self, path: impl AsRef<Path>) {
        let mut inner = self.inner();
        inner.key_of(path.as_ref());
        inner.world.change_names(NameChange::Remove { path: absolute(path.as_ref()) });
    }

    /// Somebody else gives a file one more name.
    pub(crate) fn link(&self, path: impl AsRef<Path>, new: impl AsRef<Path>) {
        let mut inner = self.inner();
        let key = inner.key_of(path.as_ref());
        inner.world.change_names(NameChange::Create { path: absolute(new.as_ref()), key });
    }

    /// All that has been done becomes durable, but for what a failed sync has lost.
    pub(crate) fn sync_all(&self) {
        let mut inner = self.inner();
        for key in inner.world.inodes.keys().copied().collect::<Vec<_>>() {
            inner.world.settle(key, u64::MAX);
        }
        inner.world.disk_names = inner.world.names.clone();
        inner.world.pending_names.clear();
    }

    /// The page cache forgets what is clean: where a failed sync has lost something, everybody now sees it.
    pub(crate) fn drop_caches(&self) {
        let mut inner = self.inner();
        for key in inner.world.inodes.keys().copied().collect::<Vec<_>>() {
            let inode = inner.world.inode_mut(key);
            inode.cache = inode.direct();
        }
    }
}

/// A gate that holds operations of one kind up.
#[derive(Debug)]
pub(crate) struct Gate {
    machine: Machine,
    kind: Kind,
}

impl Gate {
    /// Waits until as many operations stand before it.
    pub(crate) fn wait_for(&self, waiting: usize) {
        let short = |inner: &mut Inner| inner.gates[&self.kind].waiting < waiting;
        let (inner, waited) = self
            .machine
            .0
            .gates_changed
            .wait_timeout_while(self.machine.inner(), GATE_WAIT_MAX, short)
            .unwrap_or_else(PoisonError::into_inner);
        drop(inner);
        assert!(!waited.timed_out(), "{waiting} operations of the kind {:?} never came", self.kind);
    }

    /// Lets as many pass.
    pub(crate) fn pass(&self, permits: usize) {
        self.machine.inner().gates.get_mut(&self.kind).expect("the gate stands").permits += permits;
        self.machine.0.gates_changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.machine.inner().gates.get_mut(&self.kind).expect("the gate stands").closed = false;
        self.machine.0.gates_changed.notify_all();
    }
}

impl Inner {
    fn named(&self, path: &Path) -> Option<&Inode> {
        self.world.names.get(&absolute(path)).map(|key| self.world.inode(*key))
    }

    fn key_of(&self, path: &Path) -> Key {
        *self.world.names.get(&absolute(path)).unwrap_or_else(|| panic!("there is no {}", path.display()))
    }

    /// The files that are in use, with or without a name.
    fn open_keys(&self) -> BTreeSet<Key> {
        self.handles.values().map(|(key, _)| *key).collect()
    }

    fn kill(&mut self, host: usize) {
        self.hosts[host] = false;
        let dead: Vec<_> =
            self.handles.iter().filter(|(_, (_, owner))| *owner == host).map(|(token, _)| *token).collect();
        dead.into_iter().for_each(|token| self.close(token));
    }

    fn check_alive(&self, host: usize) -> io::Result<()> {
        match self.hosts[host] {
            true => Ok(()),
            false => Err(io::Error::other(HostIsDead)),
        }
    }

    fn status(&self, key: Key) -> Status {
        let inode = self.world.inode(key);
        Status {
            id: FileId { device: self.device, inode: inode.number },
            born: inode.born,
            kind: inode.kind,
            len: inode.cache.len() as u64,
            links: self.world.links(key),
            mode: inode.mode,
        }
    }

    fn create(&mut self, path: &Path, kind: FileKind, mode: u32) -> io::Result<Key> {
        self.world.check_parent(path)?;
        let open = self.open_keys();
        Ok(self.world.create(path, kind, mode, &open))
    }

    fn replace(&mut self, path: &Path, kind: FileKind, bytes: &[u8]) {
        let key = self.create(path, kind, 0o644).expect("the directory is there");
        if !bytes.is_empty() {
            self.world.change(key, Change::Write { offset: 0, bytes: bytes.into() });
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let key = *self.world.names.get(from).ok_or(Errno::NOENT)?;
        self.world.check_parent(to)?;
        assert_ne!(self.world.inode(key).kind, FileKind::Directory, "only files are renamed on this disk");
        // Linux does nothing if both names are of the same file already.
        if self.world.names.get(to) != Some(&key) {
            self.world.change_names(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), key });
        }
        Ok(())
    }

    fn make_dirs(&mut self, path: &Path) -> io::Result<()> {
        let above: Vec<_> = path.ancestors().collect();
        for dir in above.into_iter().rev() {
            match self.named(dir).map(|inode| inode.kind) {
                Some(FileKind::Directory) => {}
                Some(_) => return Err(Errno::NOTDIR.into()),
                None => drop(self.create(dir, FileKind::Directory, 0o755)?),
            }
        }
        Ok(())
    }

    fn open(&mut self, key: Key, host: usize) -> io::Result<Token> {
        if self.world.settings.open_files_max.is_some_and(|max| self.handles.len() >= max) {
            return Err(Errno::MFILE.into());
        }
        let token = Token(self.next_token);
        self.next_token += 1;
        self.handles.insert(token, (key, host));
        Ok(token)
    }

    fn close(&mut self, token: Token) {
        self.handles.remove(&token);
        self.unlock(token);
    }

    fn unlock(&mut self, token: Token) {
        self.locks.retain(|_, locked| match locked {
            Locked::Alone(holder) => *holder != token,
            Locked::Shared(holders) => {
                holders.remove(&token);
                !holders.is_empty()
            }
        });
    }

    /// As `flock`: one holder for a file, and the holder may ask again.
    fn try_lock(&mut self, key: Key, token: Token) -> bool {
        matches!(self.locks.entry(key).or_insert(Locked::Alone(token)), Locked::Alone(holder) if *holder == token)
    }

    /// The same, for one of several.
    fn try_share(&mut self, key: Key, token: Token) -> bool {
        match self.locks.entry(key).or_insert_with(|| Locked::Shared(BTreeSet::new())) {
            Locked::Alone(_) => false,
            Locked::Shared(holders) => holders.insert(token),
        }
    }

    fn room(&self) -> u64 {
        let Some(max) = self.world.settings.disk_bytes_max else {
            return u64::MAX >> 1;
        };
        let mut in_use = self.open_keys();
        in_use.extend(self.world.names.values());
        let sizes = in_use.iter().map(|key| self.world.inode(*key)).filter(|inode| !inode.note);
        max.saturating_sub(sizes.map(|inode| inode.cache.len().max(inode.set_aside) as u64).sum())
    }

    /// How many of `len` bytes at `offset` can be written now.
    fn fitting(&self, key: Key, offset: usize, len: usize) -> io::Result<usize> {
        let inode = self.world.inode(key);
        let (wanted, mut end) = (offset + len, offset + len);
        if let Some(max) = self.world.settings.file_bytes_max {
            end = end.min(in_memory(max));
            if end <= offset && wanted > offset {
                return Err(Errno::FBIG.into());
            }
        }
        let backed = inode.cache.len().max(inode.set_aside);
        end = end.min(backed.saturating_add(in_memory(self.room())));
        if end <= offset && wanted > offset {
            return Err(Errno::NOSPC.into());
        }
        Ok(end - offset)
    }

    fn write(&mut self, key: Key, offset: usize, bytes: &[u8], turn: Turn) -> io::Result<usize> {
        if turn.idle {
            return Ok(bytes.len());
        }
        let taken = self.fitting(key, offset, bytes.len())?.min(turn.bytes_max);
        if taken > 0 {
            self.world.change(key, Change::Write { offset, bytes: bytes[..taken].into() });
        }
        Ok(taken)
    }
}

/// Tests do not make files that do not fit.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a file of a test fits into memory")
}
