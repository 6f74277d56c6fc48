//! Directories whose contents are run: nobody else may ever have put anything there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes the directory where it is missing, for this user alone. One that others could ever write to may hold what is theirs, so
/// it is refused and not mended.
///
/// # Errors
///
/// It cannot be made; it is none, or another user's; others may enter it.
pub fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let found = fs::symlink_metadata(dir)?;
    let name = dir.file_name().unwrap_or_default().display();
    let refuse = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return refuse(format!("`{name}` in it is not a directory of this user's own"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        return refuse(format!("`{name}` in it is open to other users; remove it, and it is made anew"));
    }
    Ok(())
}
