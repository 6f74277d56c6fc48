//! How a program comes into a host.

use std::path::Path;

use crate::engine::Profile;
use crate::program::{Program, ProgramError, Source};
use crate::runtime::Runtime;

impl Program {
    /// Reads a program from a file, compiles it unless that was done before, and links it: a component, or a core module of
    /// WASI 0.1, each in binary or as text. To be started it must export `wasi:cli/run`, as every program with a `main`
    /// does; one that exports something else can be called ([`Spawn::plugin`](crate::Spawn::plugin)).
    pub fn from_file(runtime: &Runtime, path: impl AsRef<Path>) -> Result<Self, ProgramError> {
        Self::from_file_as(runtime, path, runtime.profile())
    }

    /// [`from_file`](Program::from_file), for processes that are kept in this way whatever fits the program. None: the way
    /// that fits it.
    pub fn from_file_as(
        runtime: &Runtime,
        path: impl AsRef<Path>,
        profile: Option<Profile>,
    ) -> Result<Self, ProgramError> {
        let path = path.as_ref();
        Self::link(runtime.engines(), runtime.cache(), profile, Source::file(path, runtime.cache())?)
    }

    /// [`from_file`](Program::from_file) for a program whose bytes are at hand. Its processes see `name` as their first
    /// argument, and messages call it so.
    pub fn from_bytes(runtime: &Runtime, name: &str, bytes: &[u8]) -> Result<Self, ProgramError> {
        Self::link(runtime.engines(), runtime.cache(), runtime.profile(), Source::bytes(Path::new(name), bytes))
    }
}
