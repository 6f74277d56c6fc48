//! What is measured of Python programs: the same scripts as guests of the command, and in CPython.

use std::time::{Duration, Instant};

use anyhow::ensure;
use lockkeeper::{Access, DirGrant, Job, JobSpec, Outcome, ProcessSpec, Profile, Program, Runtime, RuntimeConfig};
use tempfile::TempDir;

use crate::figures::{Budget, Unit};
use crate::guests;
use crate::plan::{Lengths, NotMeasured, OURS, Planned};
use crate::python::{FORK, Python, SPAWN};

const CPYTHON: &str = "CPython";
const WARM: &str = "ours, in a host that is there";
const BY_FORK: &str = "CPython, fork";
const BY_SPAWN: &str = "CPython, spawn";

/// How many processes work on one lock, one value, one file.
const WORKING: u32 = 4;
/// How many a script starts, and how many at a time where there are several.
const STARTED: u32 = 200;
const STARTED_BY_SPAWN: u32 = 20;
const AT_ONCE: u32 = 10;
/// How many wait while their memory is looked at.
const WAITING: u32 = 200;
const WAITING_BY_SPAWN: u32 = 16;
/// How often a whole command is run for one figure.
const COMMANDS: u32 = 10;

/// What the command gives a Python program (`host/src/cli/session.rs`).
const STACK_BYTES: usize = 32 << 20;

/// Everything that takes part.
pub(crate) struct Bench {
    guest: Python,
    warm: Warm,
    python: Result<Python, String>,
    lengths: Lengths,
}

/// A host that is there before the script is.
struct Warm {
    job: Job,
    runner: Program,
    spec: ProcessSpec,
    _runtime: Runtime,
    _state: TempDir,
}

impl Warm {
    fn new(shards: usize) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let config = crate::ours::config(shards, &state);
        let config = RuntimeConfig { image_stack_bytes: Some(STACK_BYTES), image_on_demand: true, ..config };
        let runtime = Runtime::new(config)?;
        let runner = Program::from_file_as(&runtime, Python::runner()?, Some(Profile::Image))?;
        let dir = guests::workspace().join("tests/bench/peers");
        let named = dir.to_string_lossy().into_owned();
        let spec = ProcessSpec {
            name: "empty".to_owned(),
            args: vec![dir.join("empty.py").to_string_lossy().into_owned()],
            env: vec![("LOCKKEEPER_PYTHON_CWD".to_owned(), named.clone())],
            dirs: vec![DirGrant { host: dir, guest: named, access: Access::ReadOnly }],
            ..ProcessSpec::default()
        };
        let job = runtime.job(JobSpec::default())?;
        Ok(Self { job, runner, spec, _runtime: runtime, _state: state })
    }

    /// Microseconds from start to end of each, one at a time, for as long as the window is.
    fn empty(&self, window: Duration) -> anyhow::Result<f64> {
        let (begun, mut ended) = (Instant::now(), 0_u32);
        while begun.elapsed() < window {
            let process = self.job.spawn(&self.runner, &self.spec)?;
            ensure!(process.join_blocking().outcome == Outcome::Returned, "an empty script does not end well");
            ended += 1;
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(ended))
    }
}

impl Bench {
    pub(crate) fn new(shards: usize, lengths: Lengths) -> anyhow::Result<Self> {
        let guest = Python::guest()?;
        let warm = Warm::new(shards)?;
        Ok(Self { guest, warm, python: Python::find(), lengths })
    }

    pub(crate) fn plan(&self) -> Vec<Planned<'_>> {
        vec![
            self.script(),
            self.process(1, Some(Budget::AtMost(0.1))),
            self.process(AT_ONCE, None),
            self.memory(),
            self.pair(),
            self.beside("contended pairs of a Lock", |python, method| python.contended(method, WORKING, &self.lengths)),
            self.beside("adding to a Value under its lock", |python, method| {
                python.value_add(method, WORKING, &self.lengths)
            }),
            self.beside("rows of one file, flushed under a lock", |python, method| {
                let dir = tempfile::tempdir()?;
                python.locked_rows(method, "flush", &dir.path().join("rows.csv"), WORKING, &self.lengths)
            }),
        ]
    }

    fn script(&self) -> Planned<'_> {
        let mut cell = Planned::new("an empty script, the whole command".to_owned(), Unit::MicrosecondsEach);
        let empty = |python: &Python| {
            let took = (0..COMMANDS).map(|_| python.empty()).collect::<anyhow::Result<Vec<f64>>>();
            took.map(|took| took.iter().sum::<f64>() / f64::from(COMMANDS))
        };
        cell.subject(OURS, move || empty(&self.guest));
        if let Ok(python) = &self.python {
            cell.peer(CPYTHON, None, move || empty(python));
        }
        cell.subject(WARM, || self.warm.empty(self.lengths.window));
        cell
    }

    fn process(&self, at_once: u32, budget: Option<Budget>) -> Planned<'_> {
        let name = format!("a Process from start to join, {at_once} at a time");
        let mut cell = Planned::new(name, Unit::MicrosecondsEach);
        cell.subject(OURS, move || self.guest.process("start", SPAWN, &[STARTED, at_once]));
        if let Ok(python) = &self.python {
            cell.peer(BY_FORK, None, move || python.process("start", FORK, &[STARTED, at_once]));
            cell.peer(BY_SPAWN, budget, move || python.process("start", SPAWN, &[STARTED_BY_SPAWN, at_once]));
        }
        cell
    }

    fn memory(&self) -> Planned<'_> {
        let mut cell = Planned::new("private memory of a Process that waits".to_owned(), Unit::KibibytesEach);
        cell.subject(OURS, || self.guest.parked(WAITING));
        if let Ok(python) = &self.python {
            cell.peer(BY_FORK, None, || python.process("memory", FORK, &[WAITING]));
            cell.peer(BY_SPAWN, None, || python.process("memory", SPAWN, &[WAITING_BY_SPAWN]));
        }
        cell
    }

    fn pair(&self) -> Planned<'_> {
        let mut cell = Planned::new("uncontended pair of a Lock".to_owned(), Unit::NanosecondsPerPair);
        cell.subject(OURS, || self.guest.pair(&self.lengths));
        if let Ok(python) = &self.python {
            cell.peer(CPYTHON, None, || python.pair(&self.lengths));
        }
        cell
    }

    /// A rate of several processes.
    fn beside<'a>(
        &'a self,
        what: &str,
        rate: impl Fn(&Python, &str) -> anyhow::Result<f64> + Copy + 'a,
    ) -> Planned<'a> {
        let mut cell = Planned::new(format!("{what}, {WORKING} processes"), Unit::PerSecond);
        cell.subject(OURS, move || rate(&self.guest, SPAWN));
        if let Ok(python) = &self.python {
            cell.peer(BY_FORK, None, move || rate(python, FORK));
            cell.peer(BY_SPAWN, None, move || rate(python, SPAWN));
        }
        cell
    }

    /// What is missing here.
    pub(crate) fn not_measured(&self) -> Vec<NotMeasured> {
        let why = self.python.as_ref().err();
        why.map(|why| NotMeasured { what: CPYTHON.to_owned(), why: why.clone() }).into_iter().collect()
    }

    /// What belongs to these figures and to no others.
    pub(crate) fn notes(&self) -> Vec<String> {
        vec![
            format!(
                "`{OURS}` is the command, with the runner and its code in the cache; a Process of it begins by spawn"
            ),
            format!(
                "{WAITING} of ours wait, and of the peers {WAITING} and {WAITING_BY_SPAWN}: what is private in smaps_rollup"
            ),
        ]
    }

    /// The interpreter of the peers.
    pub(crate) fn python_version(&self) -> Option<&str> {
        self.python.as_ref().ok().map(Python::version)
    }
}
