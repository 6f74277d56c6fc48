//! Programs: from a file to something that processes can be started from.

mod cache;
mod inspect;
mod proc_exit;
mod source;
mod stamp;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::engine::{EngineError, Engines, Kind, Profile, Room};
use crate::process::ProcessState;
pub(crate) use cache::Cache;
pub use inspect::{Import, Inspection};
use source::Known;
pub(crate) use source::Source;

/// A program, compiled and linked, ready to be started any number of times by the [`Runtime`](crate::Runtime) that it was made for.
#[derive(Clone)]
pub struct Program {
    pub(crate) name: Arc<str>,
    pub(crate) instance: InstancePre<ProcessState>,
    /// None for one that exports no `wasi:cli/run`: its exports are called by the host.
    pub(crate) command: Option<CommandPre<ProcessState>>,
    pub(crate) room: Arc<Room>,
    digest: [u8; 32],
    inspection: Arc<Inspection>,
    /// Those of the host that it was made for.
    engines: Arc<Engines>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a file is no program for this host.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there.
    #[error("there is no program at {}; build it first, or check the path", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("the program {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no WebAssembly.
    #[error(
        "{} is not a WebAssembly component or module: {reason}; build one with `cargo build --target wasm32-wasip2`",
        path.display()
    )]
    NotWasm {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A core module that is no WASI 0.1 command.
    #[error("the core module {} is not a WASI 0.1 command: {reason}", path.display())]
    NotACommandModule {
        /// Where it is.
        path: PathBuf,
        /// What the adapter says.
        reason: String,
    },
    /// A component without an entry point, where one is needed.
    #[error("{} exports no `wasi:cli/run`, so it cannot be run; give it a main function and build it for wasm32-wasip2", path.display())]
    NotACommand {
        /// Where it is.
        path: PathBuf,
    },
    /// It wants something that this host does not have.
    #[error(
        "{} imports `{import}`, which this host does not have; it gives WASI 0.2 and lockkeeper:runtime@0.1.0, and \
         `lockkeeper inspect` lists what a program imports",
        path.display()
    )]
    UnknownImport {
        /// Where it is.
        path: PathBuf,
        /// The import.
        import: String,
    },
    /// There is no engine for it.
    #[error("{} cannot be run: {reason}", path.display())]
    Engine {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It imports a known interface in another shape.
    #[error("{} does not fit this host: {reason}", path.display())]
    Mismatch {
        /// Where it is.
        path: PathBuf,
        /// What the linker says.
        reason: String,
    },
}

impl Program {
    /// Compiles (or finds compiled) and links a program.
    pub(crate) fn link(
        engines: &Arc<Engines>,
        cache: Option<&Cache>,
        profile: Option<Profile>,
        source: Source<'_>,
    ) -> Result<Self, ProgramError> {
        let path = source.path;
        let kind = fitting(engines, profile, &source)?;
        let (known, component) = compile(kind.linker.engine(), cache, source)?;
        let mut inspection = Inspection::of(kind, known.footprint, &component);
        // With interfaces of the embedder only the linker knows them all.
        if let Some(import) = inspection.imports.iter().find(|import| !import.known)
            && !engines.host_interfaces().are_some()
        {
            return Err(ProgramError::UnknownImport { path: path.to_owned(), import: import.name.clone() });
        }
        let mismatch =
            |error: wasmtime::Error| ProgramError::Mismatch { path: path.to_owned(), reason: format!("{error:#}") };
        let instance = kind.linker.instantiate_pre(&component).map_err(mismatch)?;
        inspection.imports.iter_mut().for_each(|import| import.known = true);
        let command = inspection.is_command.then(|| CommandPre::new(instance.clone())).transpose().map_err(mismatch)?;
        let name = path.file_name().map_or_else(|| "program".into(), |name| name.to_string_lossy()).into();
        let digest = known.digest;
        let (room, inspection, engines) = (kind.room.clone(), Arc::new(inspection), engines.clone());
        Ok(Self { name, instance, command, room, digest, inspection, engines })
    }

    /// Whether it was made for the host with these.
    pub(crate) fn is_for(&self, engines: &Arc<Engines>) -> bool {
        Arc::ptr_eq(&self.engines, engines)
    }

    /// Whether it can be started: whether it exports `wasi:cli/run`.
    pub fn is_command(&self) -> bool {
        self.command.is_some()
    }

    /// The hash of its bytes (BLAKE3): another program has another one.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The name of its file: a process sees it as its first argument.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its processes are kept.
    pub fn profile(&self) -> Profile {
        self.room.profile()
    }

    /// What it imports.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }
}

/// What a program would need, whether or not this host has it.
pub(crate) fn inspect(
    engines: &Engines,
    profile: Option<Profile>,
    cache: Option<&Cache>,
    path: &Path,
) -> Result<Inspection, ProgramError> {
    let source = Source::file(path, cache)?;
    let kind = fitting(engines, profile, &source)?;
    let (known, component) = compile(kind.linker.engine(), cache, source)?;
    let mut inspection = Inspection::of(kind, known.footprint, &component);
    // What the embedder has, only the linker knows.
    if engines.host_interfaces().are_some() && kind.linker.instantiate_pre(&component).is_ok() {
        inspection.imports.iter_mut().for_each(|import| import.known = true);
    }
    Ok(inspection)
}

/// The engine for a program: the one that was asked for, or the one that fits it.
fn fitting<'a>(engines: &'a Engines, profile: Option<Profile>, source: &Source<'_>) -> Result<&'a Kind, ProgramError> {
    let kind = match profile {
        Some(profile) => engines.get(profile),
        None => engines.fitting(&source.known.footprint),
    };
    kind.map_err(|error: EngineError| ProgramError::Engine { path: source.path.to_owned(), reason: error.to_string() })
}

fn compile(engine: &Engine, cache: Option<&Cache>, source: Source<'_>) -> Result<(Known, Component), ProgramError> {
    let found = cache.and_then(|cache| cache.load(engine, &cache.key(engine, &source.known.digest)));
    if let Some(component) = found {
        return Ok((source.known, component));
    }
    let path = source.path;
    let (known, bytes) = source.whole()?;
    let not_wasm = |reason: String| ProgramError::NotWasm { path: path.to_owned(), reason };
    let binary = wat::parse_bytes(&bytes).map_err(|error| not_wasm(first_line(&error.to_string())))?;
    let adapted;
    let component = match binary.get(..8) {
        Some(b"\0asm\x01\0\0\0") => {
            adapted = adapt(path, &binary)?;
            &adapted[..]
        }
        _ => &binary[..],
    };
    let component =
        Component::from_binary(engine, component).map_err(|error| not_wasm(first_line(&format!("{error:#}"))))?;
    if let Some(cache) = cache {
        cache.store(&cache.key(engine, &known.digest), &component);
    }
    Ok((known, component))
}

/// Makes a component of a core module of WASI 0.1.
fn adapt(path: &Path, module: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let keeps_status = proc_exit::keep_status(module);
    let encode = || {
        wit_component::ComponentEncoder::default()
            .module(keeps_status.as_deref().unwrap_or(module))?
            .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)?
            .validate(true)
            .encode()
    };
    encode().map_err(|error| ProgramError::NotACommandModule {
        path: path.to_owned(),
        reason: format!(
            "{}; it must export `_start` and its `memory`, and import only wasi_snapshot_preview1",
            first_line(&format!("{error:#}"))
        ),
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
