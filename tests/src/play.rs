//! A job whose processes do what a test tells them, step by step: the program `die_steps`.

use std::sync::Arc;

use lockkeeper::{
    AppendSpec, Exit, Job, JobSpec, Limits, LockConfig, LockKind, LockSpec, Outcome, Placement, Process, ProcessSpec,
    Program, ValueSpec,
};

use crate::{Lines, TestHost, join, spec, until};

/// A job and its processes, each of which may name everything that the job has.
pub struct Play<'a> {
    host: &'a TestHost,
    program: Program,
    job: Job,
    locks: Vec<String>,
    values: Vec<String>,
    files: Vec<String>,
    placement: Placement,
}

/// A process of a [`Play`].
pub struct Actor {
    /// The process.
    pub process: Process,
    /// What it says.
    pub lines: Lines,
}

/// A lock, or another primitive, that behaves as usual.
pub fn thing(name: &str, kind: LockKind) -> LockSpec {
    LockSpec { name: name.to_owned(), kind, ..LockSpec::default() }
}

/// A lock of this configuration.
pub fn configured(name: &str, kind: LockKind, config: LockConfig) -> LockSpec {
    LockSpec { config, ..thing(name, kind) }
}

impl<'a> Play<'a> {
    /// A job with these locks and other primitives, on the shard of their home.
    pub fn new(host: &'a TestHost, locks: Vec<LockSpec>) -> Self {
        Self::with(host, locks, Vec::new(), Vec::new())
    }

    /// A job that has also values and files.
    pub fn with(host: &'a TestHost, locks: Vec<LockSpec>, values: Vec<ValueSpec>, files: Vec<AppendSpec>) -> Self {
        let names = (
            locks.iter().map(|lock| lock.name.clone()).collect(),
            values.iter().map(|value| value.name.clone()).collect(),
            files.iter().map(|file| file.name.clone()).collect(),
        );
        let job = host.runtime().job(JobSpec { locks, values, files, ..JobSpec::default() }).expect("a job");
        Self {
            host,
            program: host.program("die_steps"),
            job,
            locks: names.0,
            values: names.1,
            files: names.2,
            placement: Placement::Home,
        }
    }

    /// The same with processes that go where the fewest are.
    #[must_use]
    pub fn spread(self) -> Self {
        Self { placement: Placement::Spread, ..self }
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Starts a process that takes these steps.
    pub fn start(&self, name: &str, steps: &[&str]) -> Actor {
        self.start_with(name, steps, Limits::default())
    }

    /// Starts a process with limits of its own.
    pub fn start_with(&self, name: &str, steps: &[&str], limits: Limits) -> Actor {
        let spec = ProcessSpec {
            name: name.to_owned(),
            locks: self.locks.clone(),
            values: self.values.clone(),
            files: self.files.clone(),
            limits,
            placement: self.placement,
            ..spec(&self.program, steps, &[], &[])
        };
        let (process, lines) = self.host.spawn_spec(&self.job, &self.program, spec);
        Actor { process, lines }
    }

    /// Starts a process that takes these steps, and waits for its good end.
    pub fn run(&self, name: &str, steps: &[&str]) -> Vec<String> {
        self.start(name, steps).ends_well()
    }

    /// How many wait at something at this moment.
    pub fn queue(&self, of: &str) -> usize {
        self.job.inspect_lock(of).unwrap_or_else(|| panic!("the job has no `{of}`")).queue.len()
    }

    /// Waits until exactly so many wait at something.
    pub fn until_queue(&self, of: &str, length: usize) {
        until(&format!("{length} wait at `{of}`"), || self.queue(of) == length);
    }
}

impl Actor {
    /// Waits for the answer to a step, by the words of the step.
    pub fn answer(&self, step: &str) -> String {
        self.nth_answer(step, 0)
    }

    /// Waits for the answer to a step that it takes several times: the one at this place, from 0.
    pub fn nth_answer(&self, step: &str, place: usize) -> String {
        let start = format!("{step}=");
        self.lines.wait_for_nth(&start, place).split_off(start.len())
    }

    /// Waits for its end.
    pub fn ends(&self) -> Arc<Exit> {
        join(&self.process)
    }

    /// Waits for its good end, and answers what it said.
    pub fn ends_well(&self) -> Vec<String> {
        let exit = self.ends();
        assert_eq!(exit.outcome, Outcome::Returned, "{}: {:?}", exit.name, self.lines.all());
        self.lines.all()
    }

    /// Ends it.
    pub fn kill(&self) {
        self.process.kill();
        self.ends();
    }
}
