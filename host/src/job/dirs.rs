//! Which directories a process may be given: none through which it could reach past the host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::error::SpawnError;
use crate::process::{Access, DirGrant, ProcessSpec};

/// Refuses directories through which a process could write to an append file past its lock, or to what the host keeps for
/// itself.
pub(super) fn check_dirs(
    process: &Arc<str>,
    dirs: &[DirGrant],
    files: &[(&str, &Path)],
    own_dirs: &[PathBuf],
) -> Result<(), SpawnError> {
    for dir in dirs.iter().filter(|dir| dir.access == Access::ReadWrite) {
        let real = real_path(&dir.host);
        if let Some((file, _)) = files.iter().find(|(_, path)| real_path(path).starts_with(&real)) {
            let (dir, file) = (dir.host.clone(), (*file).to_owned());
            return Err(SpawnError::FileInDir { process: process.clone(), dir, file });
        }
        let overlaps = |own: &&PathBuf| {
            let own = real_path(own);
            own.starts_with(&real) || real.starts_with(own)
        };
        if let Some(own) = own_dirs.iter().filter(|own| !own.as_os_str().is_empty()).find(overlaps) {
            let (dir, own) = (dir.host.clone(), own.clone());
            return Err(SpawnError::OwnDir { process: process.clone(), dir, own });
        }
    }
    Ok(())
}

/// Refuses to make a standard stream of an append file: emptying it would cost what is in it, and what the process prints is
/// no record.
pub(super) fn check_streams(process: &Arc<str>, spec: &ProcessSpec, files: &[(&str, &Path)]) -> Result<(), SpawnError> {
    for stream in [&spec.stdout, &spec.stderr].into_iter().flatten() {
        let real = real_path(stream);
        if let Some((file, _)) = files.iter().find(|(_, path)| real_path(path) == real) {
            let (stream, file) = (stream.clone(), (*file).to_owned());
            return Err(SpawnError::StreamIsAppendFile { process: process.clone(), stream, file });
        }
    }
    Ok(())
}

/// Where a path leads, also if the end of it is still to be made.
pub(super) fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path
}

pub(super) fn grant_dir(wasi: &mut WasiCtxBuilder, process: &Arc<str>, dir: &DirGrant) -> Result<(), SpawnError> {
    let perms = match dir.access {
        Access::ReadOnly => FsPerms::ReadOnly,
        Access::ReadWrite => FsPerms::ReadWrite,
    };
    let opened = wasi.preopened_dir(&dir.host, &dir.guest, perms);
    opened.map(drop).map_err(|error| SpawnError::Dir {
        process: process.clone(),
        dir: dir.host.clone(),
        source: std::io::Error::other(format!("{error:#}")),
    })
}
