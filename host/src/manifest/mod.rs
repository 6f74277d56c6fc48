//! The manifest: a job described in TOML, made into locks, files and processes.
//!
//! Whatever is wrong with it is said with file and line, and with the nearest word that would have been right. Nothing is
//! started before all of it is understood.

mod diagnose;
mod expand;
mod file;
mod lock;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use toml::Spanned;

use crate::byte_size::{ByteSize, ByteSizeError};
pub use crate::job::{MAX_HOLD_MAX, check_max_hold};
use crate::process::{Clocks, Placement, Random, UnknownGrant};
pub use diagnose::{ManifestError, unknown_word};
pub use expand::{
    COUNT_MAX, Defaults, PlannedJob, PlannedProcess, check_cpu_share, check_output_rate, expand, parse_dir,
};
use file::FileTable;
pub use file::format_of;
use lock::LockTable;
pub use lock::QUEUE_DEFAULT;
use value::ValueTable;
pub use value::{VALUE_BYTES_DEFAULT, array};

/// The version of the format that this host reads.
pub const MANIFEST_VERSION: u32 = 1;

/// A job as written down. Paths are relative to the manifest's directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[expect(dead_code, reason = "it is looked at before the rest is read")]
    version: u32,
    #[serde(default)]
    lock: BTreeMap<Spanned<String>, LockTable>,
    #[serde(default)]
    value: BTreeMap<Spanned<String>, ValueTable>,
    #[serde(default)]
    file: BTreeMap<Spanned<String>, FileTable>,
    #[serde(default)]
    program: BTreeMap<Spanned<String>, ProgramTable>,
    #[serde(default)]
    limits: JobLimitsTable,
    #[serde(default)]
    process: Vec<ProcessTable>,
    #[serde(skip)]
    source: Source,
}

/// Where a manifest came from, for messages.
#[derive(Clone, Debug, Default)]
struct Source {
    path: PathBuf,
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProcessTable {
    name: Spanned<String>,
    program: PathBuf,
    build: Option<String>,
    count: Option<Spanned<u32>>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    inputs: Vec<String>,
    stdin: Option<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    #[serde(default)]
    grants: GrantsTable,
    #[serde(default)]
    limits: LimitsTable,
    placement: Option<PlacementName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PlacementName {
    Home,
    Spread,
}

impl From<PlacementName> for Placement {
    fn from(name: PlacementName) -> Self {
        match name {
            PlacementName::Home => Self::Home,
            PlacementName::Spread => Self::Spread,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GrantsTable {
    #[serde(default)]
    lock: Vec<Spanned<String>>,
    #[serde(default)]
    value: Vec<Spanned<String>>,
    #[serde(default)]
    file: Vec<Spanned<String>>,
    #[serde(default)]
    dir: Vec<Spanned<String>>,
    #[serde(default)]
    program: Vec<Spanned<String>>,
    #[serde(default, deserialize_with = "random")]
    random: Random,
    #[serde(default, deserialize_with = "clocks")]
    clocks: Clocks,
}

/// `[program.NAME]`: what processes may start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProgramTable {
    path: PathBuf,
    build: Option<String>,
}

/// `[limits]`: what the host of the job keeps to, for every process and every lock alike.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct JobLimitsTable {
    holds: Option<Spanned<u32>>,
    waiters: Option<Spanned<u32>>,
    started: Option<u32>,
    objects: Option<u32>,
    object_bytes: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    #[serde(default, deserialize_with = "size")]
    memory: Option<ByteSize>,
    #[serde(default, deserialize_with = "duration")]
    timeout: Option<Duration>,
    table_elements: Option<u64>,
    tables: Option<u32>,
    memories: Option<u32>,
    cpu_share: Option<Spanned<u8>>,
    handles: Option<u32>,
    open_files: Option<u32>,
    #[serde(default, deserialize_with = "size")]
    call: Option<ByteSize>,
    #[serde(default, deserialize_with = "size")]
    output: Option<ByteSize>,
    output_rate: Option<Spanned<Size>>,
    #[serde(default, deserialize_with = "size")]
    append_bytes: Option<ByteSize>,
    append_records: Option<u64>,
    children: Option<u32>,
    depth: Option<u32>,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserializer.deserialize_str(TIME).map(Some)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    deserializer.deserialize_str(SIZE).map(Some)
}

fn random<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Random, D::Error> {
    deserializer.deserialize_str(RANDOM)
}

fn clocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Clocks, D::Error> {
    deserializer.deserialize_str(CLOCKS)
}

const RANDOM: Quoted<Random, UnknownGrant> = Quoted { what: "\"system\", \"seed:7\" or \"none\"", parse: str::parse };
const CLOCKS: Quoted<Clocks, UnknownGrant> = Quoted { what: "\"system\", \"coarse\" or \"none\"", parse: str::parse };

/// A time as it is written, such as `60s`.
#[derive(Clone, Copy, Debug)]
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TIME).map(Self)
    }
}

/// A size as it is written, such as `64MiB`.
#[derive(Clone, Copy, Debug)]
struct Size(ByteSize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SIZE).map(Self)
    }
}

const TIME: Quoted<Duration, String> = Quoted { what: "a time in quotes, such as \"60s\",", parse: parse_time };
const SIZE: Quoted<ByteSize, ByteSizeError> =
    Quoted { what: "a size in quotes, such as \"64MiB\",", parse: str::parse };

/// Reads `60s`, `250ms` or `2h`. A number alone counts as seconds, as `wasmtime run -W timeout` has it.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    seconds
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|_| format!("`{text}` is no time; write a number and a unit, such as 60s, 250ms or 2h"))
}

/// A text with a grammar of its own. Whatever else stands there is told what belongs there.
struct Quoted<T, E> {
    what: &'static str,
    parse: fn(&str) -> Result<T, E>,
}

impl<T, E: fmt::Display> Visitor<'_> for Quoted<T, E> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<F: serde::de::Error>(self, text: &str) -> Result<T, F> {
        (self.parse)(text).map_err(F::custom)
    }
}

/// What is read of a manifest first: another version may have other keys.
#[derive(Debug, Deserialize)]
struct AnyVersion {
    version: Option<Spanned<u32>>,
}

impl Manifest {
    /// Reads a manifest.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ManifestError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(text, path)
    }

    /// Understands the text of a manifest; `path` is for messages and for what its paths are relative to.
    pub fn parse(text: String, path: &Path) -> Result<Self, ManifestError> {
        let source = Source { path: path.to_owned(), text };
        let wrong = |error| diagnose::syntax(&source, &error);
        let AnyVersion { version } = toml::from_str(&source.text).map_err(wrong)?;
        if let Some(version) = version.filter(|version| *version.get_ref() != MANIFEST_VERSION) {
            let message =
                format!("version {} is not known; this host reads version = {MANIFEST_VERSION}", version.get_ref());
            return Err(diagnose::at(&source, version.span(), message));
        }
        let mut manifest: Self = toml::from_str(&source.text).map_err(wrong)?;
        manifest.source = source;
        Ok(manifest)
    }

    /// An error at a place in its text.
    fn wrong<T>(&self, span: Range<usize>, message: impl Into<String>) -> Result<T, ManifestError> {
        Err(diagnose::at(&self.source, span, message.into()))
    }

    /// The directory that its paths and build commands start from.
    pub fn dir(&self) -> &Path {
        match self.source.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }

    /// A path of the manifest, from where the command was started.
    fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.source.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The programs that processes are of, as they are written.
    pub fn programs(&self) -> impl Iterator<Item = &Path> {
        self.process.iter().map(|process| process.program.as_path())
    }

    /// The build commands, each once, in the order of the processes.
    pub fn builds(&self) -> Vec<&str> {
        let mut builds: Vec<&str> = Vec::new();
        let of_programs = self.program.values().filter_map(|program| program.build.as_deref());
        for build in self.process.iter().filter_map(|process| process.build.as_deref()).chain(of_programs) {
            if !builds.contains(&build) {
                builds.push(build);
            }
        }
        builds
    }
}
