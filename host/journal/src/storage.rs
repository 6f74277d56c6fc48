//! The few file operations that the writer needs, behind a trait, so that a test can fail any one of them.
//!
//! Nothing here retries or decides; an operation is one system call.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// What `fstat` says about a file, as far as the writer cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) len: u64,
    /// It has no name any more.
    pub(crate) unlinked: bool,
}

/// One open append file.
pub(crate) trait Storage: Send {
    /// One write at the end of the file. May take fewer bytes than it is given, never more.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// One read. Fills less than `into` only at the end of the file, or when the system says so.
    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Length and number of names, now.
    fn status(&mut self) -> io::Result<Status>;
    /// Makes what was written survive power loss.
    fn sync(&mut self) -> io::Result<()>;
}

/// The real thing. The file was opened with `O_APPEND`: the kernel finds the end and writes there in one step.
pub(crate) struct Disk(pub(crate) File);

impl Storage for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.0, len)?)
    }

    fn status(&mut self) -> io::Result<Status> {
        let stat = rustix::fs::fstat(&self.0)?;
        let len = u64::try_from(stat.st_size).expect("a regular file has no negative length");
        Ok(Status { len, unlinked: stat.st_nlink == 0 })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Repeats a call that a signal interrupted before it did anything.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Fills `into` from `offset` on, or fails with `UnexpectedEof`.
pub(crate) fn read_exact_at(storage: &mut dyn Storage, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
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
