//! Files that a process sees without their neighbours.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

/// The directory under which a process sees its inputs.
pub(crate) const INPUT_DIR: &str = "/input";

/// A directory of its own with nothing in it but the inputs of one process. It goes when this is dropped.
///
/// WASI grants directories, not files, so the inputs are linked into one, or copied where a link is not possible
/// (another file system). A process reaches it read-only.
#[derive(Debug)]
pub(crate) struct InputDir {
    dir: TempDir,
}

/// Why a process cannot have its inputs.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file is not there, or cannot be read.
    #[error("the input {} cannot be used: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory, a pipe or the like.
    #[error("the input {} is not a regular file; grant a directory with --dir or `dir = [..]` instead", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Two inputs of one process have the same file name.
    #[error(
        "two inputs are called {name}: a process sees its inputs as {INPUT_DIR}/<file name>, so the names must differ"
    )]
    SameName {
        /// The name.
        name: String,
    },
}

/// An input that is no file of its own, such as one row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputContent {
    /// What the file is called: no directory stands before it.
    pub name: String,
    /// What is in it.
    pub bytes: Bytes,
}

impl InputDir {
    pub(crate) fn new(inputs: &[PathBuf], contents: &[InputContent]) -> Result<Self, InputError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| InputError::Unusable { path, source }
        };
        let dir = tempfile::Builder::new().prefix("lockkeeper-input-").tempdir().map_err(unusable(Path::new(".")))?;
        for input in inputs {
            // Links are followed here, once, so that what the process sees is a file.
            let real = input.canonicalize().map_err(unusable(input))?;
            if !real.is_file() {
                return Err(InputError::NotAFile { path: input.clone() });
            }
            let name = input.file_name().ok_or_else(|| InputError::NotAFile { path: input.clone() })?;
            let seen = dir.path().join(name);
            if seen.exists() {
                return Err(InputError::SameName { name: name.to_string_lossy().into_owned() });
            }
            if fs::hard_link(&real, &seen).is_err() {
                fs::copy(&real, &seen).map_err(unusable(input))?;
            }
        }
        for InputContent { name, bytes } in contents {
            let path = Path::new(name);
            // Whatever else it is called would lie elsewhere.
            if path.file_name() != Some(path.as_os_str()) {
                return Err(InputError::NotAFile { path: path.to_owned() });
            }
            let seen = dir.path().join(path);
            if seen.exists() {
                return Err(InputError::SameName { name: name.clone() });
            }
            fs::write(&seen, bytes).map_err(unusable(path))?;
        }
        Ok(Self { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}
