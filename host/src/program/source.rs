//! The file of a program, as far as it has to be read.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ProgramError;
use super::cache::Cache;
use super::stamp::Stamp;
use crate::engine::Footprint;

/// What is known of a program before it is compiled.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Known {
    /// The hash of its bytes.
    pub(super) digest: [u8; 32],
    pub(super) footprint: Footprint,
}

/// What is kept beside the compiled programs of one that nobody writes to.
#[derive(Serialize, Deserialize)]
struct Note {
    stamp: Stamp,
    known: Known,
}

/// A program that is to be linked.
pub(crate) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) known: Known,
    /// None: they were not needed so far.
    bytes: Option<Cow<'a, [u8]>>,
}

impl<'a> Source<'a> {
    /// A file. One that nobody may write to is not read if it has the stamp that it had when it was: it may be large (an
    /// interpreter with its library), and reading it would take most of the time of a start. Any other is read at every
    /// start, as it may be written by whoever builds it.
    pub(crate) fn file(path: &'a Path, cache: Option<&Cache>) -> Result<Self, ProgramError> {
        // Of a file elsewhere, whose file system may count otherwise, or which others may have mapped, a stamp proves nothing.
        let cache = cache.filter(|cache| cache.is_above(path));
        let Some((cache, stamp)) = cache.zip(unwritable(path)) else { return Self::read(path) };
        let name = format!("{}.program", blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex());
        if let Some(note) = cache.note::<Note>(&name).filter(|note| note.stamp == stamp) {
            return Ok(Self { path, known: note.known, bytes: None });
        }
        let source = Self::read(path)?;
        // It is the same file that was read, and the next change to it will show.
        if stamp.is_settled() && unwritable(path).as_ref() == Some(&stamp) {
            cache.keep_note(&name, &Note { stamp, known: source.known });
        }
        Ok(source)
    }

    /// Bytes that are at hand.
    pub(crate) fn bytes(path: &'a Path, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        let bytes = bytes.into();
        // What is no program fits anywhere: the compiler says what is wrong with it.
        let footprint = wat::parse_bytes(&bytes).map(|wasm| Footprint::of(&wasm)).unwrap_or_default();
        let known = Known { digest: *blake3::hash(&bytes).as_bytes(), footprint };
        Self { path, known, bytes: Some(bytes) }
    }

    /// With its bytes, and with what is known of just those.
    pub(super) fn whole(self) -> Result<(Known, Cow<'a, [u8]>), ProgramError> {
        match self.bytes {
            Some(bytes) => Ok((self.known, bytes)),
            None => Self::read(self.path)?.whole(),
        }
    }

    fn read(path: &'a Path) -> Result<Self, ProgramError> {
        let bytes = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProgramError::Missing { path: path.to_owned() },
            _ => ProgramError::Unreadable { path: path.to_owned(), source },
        })?;
        Ok(Self::bytes(path, bytes))
    }
}

/// The stamp of a file that nobody may write to.
fn unwritable(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok().filter(|file| file.is_file() && file.permissions().readonly())?;
    Stamp::of(&file)
}
