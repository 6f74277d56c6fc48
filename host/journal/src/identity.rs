//! Which files this process has open for appending.
//!
//! A file is what (device, inode) says, not a path: two paths may lead to one file, through a link of a directory or a mount,
//! and then the locks of two sidecars would not know of each other.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::storage::{FileId, Status};

/// Which file a sidecar belongs to. The inode alone would not do: a removed file's number is soon given to the next one.
/// The device number is left out, since it may change from boot to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Birth {
    pub(crate) inode: u64,
    pub(crate) born: u128,
}

impl Birth {
    pub(crate) fn of(status: &Status) -> Birth {
        Birth { inode: status.id.inode, born: status.born }
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "inode {} born {}", self.inode, self.born)
    }
}

static OPEN: Mutex<BTreeMap<FileId, PathBuf>> = Mutex::new(BTreeMap::new());

fn open_files() -> MutexGuard<'static, BTreeMap<FileId, PathBuf>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path under which this process has the file open.
pub(crate) fn open_as(id: FileId) -> Option<PathBuf> {
    open_files().get(&id).cloned()
}

/// An entry in the list of open files; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration(FileId);

impl Registration {
    /// Enters the file, or answers the path under which it is open already.
    pub(crate) fn enter(id: FileId, path: &Path) -> Result<Registration, PathBuf> {
        let mut open = open_files();
        if let Some(open_as) = open.get(&id) {
            return Err(open_as.clone());
        }
        open.insert(id, path.to_owned());
        Ok(Registration(id))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let left = open_files().remove(&self.0);
        debug_assert!(left.is_some(), "an open file is on the list");
    }
}
