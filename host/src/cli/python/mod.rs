//! Python programs as they are, in the runner that is built once.

mod pip;
mod requirements;
mod runner;
mod script;
mod sources;

use std::path::{Path, PathBuf};

use lockkeeper::manifest::Defaults;
use lockkeeper::{JobLimits, Limits, Placement, ProcessSpec, Program};

use super::options::HostOptions;
use super::session::Session;
pub(super) use runner::component;
use script::Script;

/// What a process of Python may start at once, itself included below it: programs for `multiprocessing` start many.
const CHILDREN_MAX: u32 = 1_000;

/// What a process of Python may have open: each of its children, and its locks and queues, beside what it leaves to be collected.
const HANDLES_MAX: u32 = 4 * CHILDREN_MAX;

/// What one call of a Python program may carry: an item of a queue, what a process is started with.
const CALL_BYTES_MAX: usize = 80 << 20;

/// What all objects of a Python program may have. A queue is counted with all that it could hold.
const OBJECT_BYTES_MAX: u64 = 64 << 30;

/// Whether a program is one of Python.
pub(super) fn is_script(program: &Path) -> bool {
    program.extension().is_some_and(|extension| extension == "py")
}

/// The limits of a process that nobody has said anything of.
pub(super) fn limits_of(program: &Path) -> Limits {
    if !is_script(program) {
        return Limits::default();
    }
    Limits { children_max: CHILDREN_MAX, handles_max: HANDLES_MAX, call_bytes_max: CALL_BYTES_MAX, ..Limits::default() }
}

/// Where a process lives of which nobody has said it. What uses `multiprocessing` does so to have all cores.
pub(super) fn placement_of(program: &Path) -> Placement {
    if is_script(program) { Placement::Spread } else { Placement::Home }
}

/// The limits of a job, with Python programs or without.
pub(super) fn job_limits(runs_python: bool) -> JobLimits {
    let default = JobLimits::default();
    JobLimits { object_bytes_max: if runs_python { OBJECT_BYTES_MAX } else { default.object_bytes_max }, ..default }
}

/// What a manifest leaves unsaid.
pub(super) fn defaults(runs_python: bool) -> Defaults {
    Defaults { job: job_limits(runs_python), process: limits_of, placement: placement_of }
}

/// What Python programs of a run import beside what lies with them.
#[derive(Debug, clap::Args)]
pub(super) struct PythonOptions {
    /// A directory of Python modules, such as dependencies, for Python programs; may be given several times
    #[arg(long = "python-path", value_name = "DIR")]
    python_path: Vec<PathBuf>,
    /// A requirements file of pip: its packages, which have to be pure Python, are installed once and kept in the cache
    #[arg(long, value_name = "FILE")]
    requirements: Vec<PathBuf>,
}

impl PythonOptions {
    /// A flag that says nothing where no Python program is run.
    pub(super) fn flag(&self) -> Option<&'static str> {
        match (self.python_path.is_empty(), self.requirements.is_empty()) {
            (false, _) => Some("--python-path"),
            (true, false) => Some("--requirements"),
            (true, true) => None,
        }
    }
}

/// What processes are of: a program by itself, or the runner with a script.
pub(super) struct Loaded {
    program: Program,
    script: Option<Script>,
}

impl Loaded {
    /// Makes a process of it: one that was told its arguments.
    pub(super) fn prepare(&self, mut spec: ProcessSpec) -> anyhow::Result<(Program, ProcessSpec)> {
        if let Some(script) = &self.script {
            script.prepare(&mut spec)?;
        }
        Ok((self.program.clone(), spec))
    }

    /// What it is, for who compares.
    pub(super) fn digest(&self) -> anyhow::Result<Vec<u8>> {
        match &self.script {
            None => Ok(self.program.digest().to_vec()),
            Some(script) => Ok(script.digest()?.as_bytes().to_vec()),
        }
    }
}

/// Loads programs of both kinds.
pub(super) struct Loader<'a> {
    session: &'a Session,
    /// The runner, and what scripts import, if there are scripts.
    python: Option<(Program, Vec<PathBuf>)>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(session: &'a Session, host: &HostOptions, options: &PythonOptions) -> anyhow::Result<Self> {
        if !host.runs_python {
            return Ok(Self { session, python: None });
        }
        let cache = host.needed_cache_dir()?;
        let mut python_path = options.python_path.clone();
        for file in &options.requirements {
            python_path.push(requirements::installed(&cache, file)?);
        }
        let runner = session.load(&runner::runner(&cache)?)?;
        Ok(Self { session, python: Some((runner, python_path)) })
    }

    pub(super) fn load(&self, path: &Path) -> anyhow::Result<Loaded> {
        match &self.python {
            Some((runner, python_path)) if is_script(path) => Ok(Loaded {
                program: runner.clone(),
                script: Some(Script::new(path, python_path, self.session.cores())?),
            }),
            Some(_) | None => Ok(Loaded { program: self.session.load(path)?, script: None }),
        }
    }
}
