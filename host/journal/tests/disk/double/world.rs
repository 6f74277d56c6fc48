//! What is on the disk, what only the page cache knows, and what lies between the two.
//!
//! Plain values without locks, threads or faults. For each file there is the content that everybody reads (`cache`), the
//! content that would be there if nothing since the last sync had reached the disk (`disk`), and the list of changes in
//! between. Names are kept the same way, apart from the files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockkeeper_journal::storage::FileKind;
use rustix::io::Errno;

/// A file for as long as the machine exists; never given to another one, as the inode number may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

/// The first inode number that is handed out.
const NUMBER_MIN: u64 = 11;

/// A change of a file that has not been synced.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Truncate { len: usize },
}

impl Change {
    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => write(content, *offset, bytes),
            Change::Truncate { len } => content.resize(*len, 0),
        }
    }

    /// What is left of it if the length reaches the disk and the bytes do not.
    pub(crate) fn apply_length(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => grow(content, offset + bytes.len()),
            Change::Truncate { .. } => {}
        }
    }
}

/// Writes over what is there; zeros where nothing was.
pub(crate) fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if !bytes.is_empty() {
        grow(content, offset + bytes.len());
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// Makes the content at least this long.
pub(crate) fn grow(content: &mut Vec<u8>, len: usize) {
    content.resize(content.len().max(len), 0);
}

#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// When it was made, counted in changes of the whole machine.
    pub(crate) sequence: u64,
    pub(crate) change: Change,
    /// A sync has failed since: the pages count as clean, so nobody will write these bytes any more.
    pub(crate) lost: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) number: u64,
    pub(crate) born: u128,
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    pub(crate) cache: Vec<u8>,
    pub(crate) disk: Vec<u8>,
    pub(crate) pending: Vec<Pending>,
    /// How far blocks are set aside.
    pub(crate) set_aside: usize,
    /// The note of a lock; it needs no room, so that limits count data alone.
    pub(crate) note: bool,
}

impl Inode {
    /// What a read past the page cache finds. Linux writes out the dirty pages of the range first, and the length is the
    /// one in memory; so it differs from the cache only where a failed sync has lost something.
    pub(crate) fn direct(&self) -> Vec<u8> {
        let mut content = self.disk.clone();
        for Pending { change, lost, .. } in &self.pending {
            match lost {
                true => change.apply_length(&mut content),
                false => change.apply(&mut content),
            }
        }
        content
    }

    /// A sync that worked: the changes up to `upto` are on the disk, but for those that an earlier one has lost.
    fn settle(&mut self, upto: u64) {
        let mut kept = Vec::new();
        for mut pending in std::mem::take(&mut self.pending) {
            if pending.sequence > upto || pending.lost {
                kept.push(pending);
                continue;
            }
            pending.change.apply(&mut self.disk);
            if let Change::Truncate { len } = pending.change {
                kept.retain_mut(|earlier: &mut Pending| shorten(earlier, len));
                pending.lost = false;
            }
        }
        self.pending = kept;
    }

    /// A sync that failed: what was written is clean and not on the disk. A cut is metadata and stays to be done.
    fn lose(&mut self, upto: u64) {
        for pending in &mut self.pending {
            pending.lost |= pending.sequence <= upto && matches!(pending.change, Change::Write { .. });
        }
    }
}

/// Takes what a durable cut has removed out of a lost write. False if nothing is left of it.
fn shorten(earlier: &mut Pending, len: usize) -> bool {
    match &mut earlier.change {
        Change::Write { offset, .. } if *offset >= len => false,
        Change::Write { offset, bytes } => {
            if *offset + bytes.len() > len {
                *bytes = bytes[..len - *offset].into();
            }
            true
        }
        Change::Truncate { .. } => true,
    }
}

/// A change of the names that has not been synced.
#[derive(Debug, Clone)]
pub(crate) enum NameChange {
    Create { path: PathBuf, key: Key },
    Rename { from: PathBuf, to: PathBuf, key: Key },
    Remove { path: PathBuf },
}

impl NameChange {
    pub(crate) fn apply(&self, names: &mut BTreeMap<PathBuf, Key>) {
        match self {
            NameChange::Create { path, key } => drop(names.insert(path.clone(), *key)),
            NameChange::Rename { from, to, key } => {
                if names.get(from) == Some(key) {
                    names.remove(from);
                }
                names.insert(to.clone(), *key);
            }
            NameChange::Remove { path } => drop(names.remove(path)),
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        match self {
            NameChange::Create { path, .. } | NameChange::Remove { path } => path.parent() == Some(dir),
            NameChange::Rename { from, to, .. } => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct PendingName {
    pub(crate) sequence: u64,
    pub(crate) change: NameChange,
}

/// What a test may set about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How many bytes fit on the disk.
    pub(crate) disk_bytes_max: Option<u64>,
    /// How long one file may become.
    pub(crate) file_bytes_max: Option<u64>,
    /// How many files and locks may be open at once.
    pub(crate) open_files_max: Option<usize>,
    /// How much one read gives at most.
    pub(crate) read_bytes_max: Option<usize>,
    /// What `remote` answers.
    pub(crate) remote: Option<&'static str>,
    /// Whether the system has a boot word.
    pub(crate) boot_known: bool,
    /// Whether the file system says when a file was made.
    pub(crate) births_known: bool,
    /// Whether the number of a file that is gone goes to the next one.
    pub(crate) numbers_reused: bool,
    /// Whether the note in a lock file is on the disk as soon as it is written. Only its mark is synced.
    pub(crate) notes_durable: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            disk_bytes_max: None,
            file_bytes_max: None,
            open_files_max: None,
            read_bytes_max: None,
            remote: None,
            boot_known: true,
            births_known: true,
            numbers_reused: true,
            notes_durable: true,
        }
    }
}

/// All that survives the death of every process.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) inodes: BTreeMap<Key, Arc<Inode>>,
    pub(crate) names: BTreeMap<PathBuf, Key>,
    pub(crate) disk_names: BTreeMap<PathBuf, Key>,
    pub(crate) pending_names: Vec<PendingName>,
    pub(crate) boots: u64,
    /// How many changes there have been.
    pub(crate) sequence: u64,
    pub(crate) settings: Settings,
    next_key: u64,
}

impl World {
    /// A disk with nothing but its root.
    pub(crate) fn new() -> World {
        let mut world = World {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            disk_names: BTreeMap::new(),
            pending_names: Vec::new(),
            boots: 1,
            sequence: 0,
            settings: Settings::default(),
            next_key: 0,
        };
        world.create(Path::new("/"), FileKind::Directory, 0o755, &BTreeSet::new());
        world.settle_all();
        world
    }

    pub(crate) fn inode(&self, key: Key) -> &Inode {
        &self.inodes[&key]
    }

    pub(crate) fn inode_mut(&mut self, key: Key) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&key).expect("a key is never taken back"))
    }

    pub(crate) fn links(&self, key: Key) -> u64 {
        self.names.values().filter(|named| **named == key).count() as u64
    }

    /// Whether the directory of `path` is there, as the system says it.
    pub(crate) fn check_parent(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        match self.names.get(parent).map(|key| self.inode(*key).kind) {
            Some(FileKind::Directory) => Ok(()),
            Some(_) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    /// Makes a file under a name that is free. `open` are the files that are in use without a name.
    pub(crate) fn create(&mut self, path: &Path, kind: FileKind, mode: u32, open: &BTreeSet<Key>) -> Key {
        let key = Key(self.next_key);
        self.next_key += 1;
        let number = self.free_number(open);
        let born = match self.settings.births_known {
            true => 1_700_000_000_000_000_000 + u128::from(key.0) * 1_000_000,
            false => 0,
        };
        let (cache, disk, pending) = (Vec::new(), Vec::new(), Vec::new());
        let inode = Inode { number, born, kind, mode, cache, disk, pending, set_aside: 0, note: false };
        self.inodes.insert(key, Arc::new(inode));
        self.change_names(NameChange::Create { path: path.to_owned(), key });
        key
    }

    fn free_number(&self, open: &BTreeSet<Key>) -> u64 {
        if !self.settings.numbers_reused {
            return NUMBER_MIN + self.next_key;
        }
        // A file that a power cut may bring back keeps its number, too.
        let used: BTreeSet<u64> = self.reachable().iter().chain(open).map(|key| self.inode(*key).number).collect();
        (NUMBER_MIN..).find(|number| !used.contains(number)).expect("there are more numbers than files")
    }

    pub(crate) fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.sequence += 1;
        self.pending_names.push(PendingName { sequence: self.sequence, change });
    }

    pub(crate) fn change(&mut self, key: Key, change: Change) {
        self.sequence += 1;
        let sequence = self.sequence;
        let inode = self.inode_mut(key);
        change.apply(&mut inode.cache);
        if let Change::Truncate { len } = change {
            // A cut gives back what was set aside behind it.
            inode.set_aside = inode.set_aside.min(len);
        }
        inode.pending.push(Pending { sequence, change, lost: false });
    }

    /// What a lock file says from now on.
    pub(crate) fn write_note(&mut self, key: Key, text: &str) {
        self.change(key, Change::Write { offset: 0, bytes: text.as_bytes().into() });
        self.change(key, Change::Truncate { len: text.len() });
        let durable = self.settings.notes_durable;
        let inode = self.inode_mut(key);
        inode.note = true;
        if durable {
            inode.settle(u64::MAX);
        }
    }

    pub(crate) fn settle(&mut self, key: Key, upto: u64) {
        if !self.inode(key).pending.is_empty() {
            self.inode_mut(key).settle(upto);
        }
    }

    pub(crate) fn lose(&mut self, key: Key, upto: u64) {
        self.inode_mut(key).lose(upto);
    }

    pub(crate) fn settle_names(&mut self, dir: &Path, upto: u64) {
        let names = &mut self.disk_names;
        self.pending_names.retain(|pending| {
            let settled = pending.sequence <= upto && pending.change.is_in(dir);
            if settled {
                pending.change.apply(names);
            }
            !settled
        });
    }

    /// Everything that is to be read is on the disk.
    pub(crate) fn settle_all(&mut self) {
        for key in self.inodes.keys().copied().collect::<Vec<_>>() {
            let inode = self.inode_mut(key);
            inode.disk = inode.cache.clone();
            inode.pending.clear();
        }
        self.disk_names = self.names.clone();
        self.pending_names.clear();
    }

    /// The files that a name leads to, or may lead to after a power cut.
    pub(crate) fn reachable(&self) -> BTreeSet<Key> {
        let pending = self.pending_names.iter().filter_map(|pending| match &pending.change {
            NameChange::Create { key, .. } | NameChange::Rename { key, .. } => Some(*key),
            NameChange::Remove { .. } => None,
        });
        self.names.values().chain(self.disk_names.values()).copied().chain(pending).collect()
    }
}

/// A path from the root, without the parts that lead nowhere.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut absolute = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => absolute.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => panic!("{} is no path for this disk", path.display()),
        }
    }
    absolute
}
