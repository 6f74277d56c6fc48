//! Where the files of one run are, each measurement with a directory of its own.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::FallocateFlags;
use tempfile::TempDir;

use super::RECORD_BYTES;
use crate::guests::workspace;

/// The part of a disk that a run writes to.
pub(crate) struct Disk {
    root: TempDir,
    /// What those that sync allocate at a time, 0 for nothing.
    preallocate: u64,
}

/// A file that is not there yet, alone in its directory, which goes when this is dropped.
pub(super) struct Place {
    _dir: TempDir,
    pub(super) path: PathBuf,
    /// What is allocated at a time, 0 for nothing.
    pub(super) preallocate: u64,
}

impl Disk {
    /// A new directory in this one, or in the build directory, which is on a disk where `/tmp` may not be.
    pub(crate) fn new(dir: Option<&Path>, preallocate: u64) -> anyhow::Result<Self> {
        let target = workspace().join("target");
        let dir = dir.unwrap_or(&target);
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let root = tempfile::Builder::new()
            .prefix("append-bench-")
            .tempdir_in(dir)
            .with_context(|| format!("{} takes no new directory", dir.display()))?;
        Ok(Self { root, preallocate })
    }

    /// A place for the next file. Everything that those before have left to be written is on the disk by then, so that
    /// nobody's sync pays for another's records.
    pub(super) fn place(&self) -> anyhow::Result<Place> {
        let dir = tempfile::tempdir_in(self.root.path())?;
        rustix::fs::syncfs(File::open(dir.path())?)?;
        let path = dir.path().join("records");
        Ok(Place { _dir: dir, path, preallocate: self.preallocate })
    }

    /// What allocates ahead for a new file.
    pub(super) fn ahead(&self) -> Ahead {
        // Less than a record would be none.
        let chunk = if self.preallocate == 0 { 0 } else { self.preallocate.max(RECORD_BYTES as u64) };
        Ahead { chunk, len: 0, allocated: 0 }
    }

    pub(super) fn preallocate(&self) -> u64 {
        self.preallocate
    }

    /// What kind of file system it is.
    pub(super) fn file_system(&self) -> String {
        match rustix::fs::statfs(self.root.path()).map(|found| found.f_type) {
            Ok(0xef53) => "ext4".to_owned(),
            Ok(0x5846_5342) => "xfs".to_owned(),
            Ok(0x9123_683e) => "btrfs".to_owned(),
            Ok(0x794c_7630) => "overlayfs".to_owned(),
            Ok(0x0102_1994) => "tmpfs, WHERE A SYNC COSTS NOTHING: take another --dir".to_owned(),
            Ok(other) => format!("a file system of type {other:#x}"),
            Err(error) => format!("an unknown file system ({error})"),
        }
    }
}

impl Place {
    /// Makes the file, to append to.
    pub(super) fn create(&self) -> anyhow::Result<File> {
        Ok(OpenOptions::new().append(true).create_new(true).open(&self.path)?)
    }
}

/// How far a file has been allocated ahead of its end.
pub(super) struct Ahead {
    chunk: u64,
    len: u64,
    allocated: u64,
}

impl Ahead {
    /// Before one more record is written.
    pub(super) fn of_next(&mut self, file: &File) -> std::io::Result<()> {
        self.len += RECORD_BYTES as u64;
        if self.chunk > 0 && self.len > self.allocated {
            rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, self.allocated, self.chunk)?;
            self.allocated += self.chunk;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::append::record;

    #[test]
    fn allocation_ahead_reaches_past_the_end_and_leaves_the_length_to_the_records() {
        const CHUNK: u64 = 64 << 10;
        let disk = Disk::new(None, CHUNK).expect("the build directory takes files");
        let place = disk.place().expect("the build directory takes files");
        let (mut file, mut ahead) = (place.create().expect("a new file can be made"), disk.ahead());
        for records in 1..=1_000 {
            ahead.of_next(&file).expect("there is room");
            file.write_all(&record()).expect("there is room");
            let found = file.metadata().expect("an open file has metadata");
            assert_eq!(found.len(), records * RECORD_BYTES as u64);
            assert!(ahead.allocated >= found.len() && ahead.allocated < found.len() + CHUNK);
            assert!(found.blocks() * 512 >= ahead.allocated);
        }
    }
}
