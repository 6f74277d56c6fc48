//! How another sidecar takes the place of the old one: at every moment, one of them is there, whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Owner, encode_header};
use super::error::{IdsError, io_error};
use crate::storage::{Access, Disk, FileKind, Storage, uninterrupted, write_all_at};

/// Makes `<path>.new`, with a header and no entries. What a crash has left under that name is written over.
pub(super) fn start_new(
    disk: &dyn Disk,
    path: &Path,
    owner: Owner,
    mode: u32,
) -> Result<(PathBuf, Arc<dyn Storage>), IdsError> {
    let new = {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        PathBuf::from(name)
    };
    let access = match uninterrupted(|| disk.look(&new)).map_err(io_error("look at", &new))? {
        None => Access::CreateUpdate { mode },
        Some(status) if status.kind == FileKind::Regular && status.links == 1 => Access::Update,
        Some(_) => return Err(IdsError::NotRegular { path: new }),
    };
    let storage = uninterrupted(|| disk.open(&new, access)).map_err(io_error("open", &new))?;
    uninterrupted(|| storage.truncate(0)).map_err(io_error("cut", &new))?;
    write_all_at(&*storage, &encode_header(owner), 0).map_err(io_error("write to", &new))?;
    Ok((new, storage))
}

/// Whether the name leads to the new file, though something has failed.
pub(super) enum Placed {
    No,
    Unknown,
    /// Now, but perhaps not after power loss.
    Undurable,
}

pub(super) fn put_in_place(
    disk: &dyn Disk,
    new: &Path,
    path: &Path,
    storage: &dyn Storage,
) -> Result<(), (Placed, IdsError)> {
    uninterrupted(|| storage.sync()).map_err(|source| (Placed::No, io_error("sync", new)(source)))?;
    disk.rename(new, path).map_err(|source| (Placed::Unknown, io_error("replace", path)(source)))?;
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    uninterrupted(|| disk.sync_dir(dir))
        .map_err(|source| (Placed::Undurable, io_error("sync the directory", dir)(source)))
}
