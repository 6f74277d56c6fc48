//! lockkeeper itself, through its public library: guest processes on shards.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use lockkeeper::{
    Counters, Job, JobSpec, LockConfig, LockScope, LockSpec, Outcome, Placement, Process, ProcessSpec, Program,
    Runtime, RuntimeConfig, Scalar, Stdio, ValueContent, ValueSpec,
};
use tempfile::TempDir;

use crate::figures::Figure;
use crate::guests;
use crate::plan::Lengths;

/// How long processes may take to start, to queue or to print. Nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The lock that all want.
pub(crate) const LOCK: &str = "lock";

/// The value that all add to. It is bound to no lock.
const VALUE: &str = "value";

/// A host that is measured.
pub(crate) struct Ours {
    runtime: Runtime,
    lengths: Lengths,
    /// Of the lock that all want.
    scope: LockScope,
    pair: Program,
    contend: Program,
    hold: Program,
    add: Program,
    add_rate: Program,
    _state: TempDir,
}

/// Processes of one job, which end with this.
pub(crate) struct Group<'a> {
    pub(crate) job: Job,
    lengths: &'a Lengths,
    /// What each of them is granted.
    grants: ProcessSpec,
    processes: Vec<Process>,
}

/// A process that waits for the lock; it ends with this.
pub(crate) struct Queueing<'a> {
    _group: Group<'a>,
    comes: Receiver<Instant>,
}

impl Queueing<'_> {
    /// When it has the lock.
    pub(crate) fn came(&self) -> anyhow::Result<Instant> {
        self.comes.recv_timeout(PATIENCE).context("the lock does not come")
    }
}

/// A host as all figures of ours are taken with.
pub(crate) fn runtime(shards: usize, state: &TempDir) -> anyhow::Result<Runtime> {
    Ok(Runtime::new(config(shards, state))?)
}

/// How it is set up.
pub(crate) fn config(shards: usize, state: &TempDir) -> RuntimeConfig {
    RuntimeConfig {
        shards,
        cache_dir: Some(guests::cache_dir()),
        state_dir: state.path().join("state"),
        // Nobody looks: an observer would be told of every pair.
        observer: None,
        ..RuntimeConfig::default()
    }
}

impl Ours {
    /// A host with so many shards.
    pub(crate) fn new(shards: usize, lengths: Lengths) -> anyhow::Result<Self> {
        Self::at(shards, lengths, None)
    }

    /// The same, with a lock of the machine whose file is in this directory.
    pub(crate) fn at(shards: usize, lengths: Lengths, lock_dir: Option<&Path>) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let scope = match lock_dir {
            Some(_) => LockScope::Machine { file: None, allow_remote: false },
            None => LockScope::Process,
        };
        let lock_dir = lock_dir.map(Path::to_owned);
        let runtime = Runtime::new(RuntimeConfig { lock_dir, ..config(shards, &state) })?;
        let load = |name: &str| Program::from_file(&runtime, guests::path(name));
        let (pair, contend, hold) = (load("pair")?, load("contend")?, load("hold")?);
        let (add, add_rate) = (load("add")?, load("add_rate")?);
        Ok(Self { runtime, lengths, scope, pair, contend, hold, add, add_rate, _state: state })
    }

    /// Nanoseconds per pair of one process that is alone.
    pub(crate) fn pair(&self) -> anyhow::Result<f64> {
        let mut group = self.group(LockSpec::default())?;
        let pairs = self.lengths.pairs.to_string();
        let lines = group.spawn(&self.pair, 1, &[LOCK, &pairs], Placement::Home)?;
        let printed = lines.recv_timeout(PATIENCE).context("the pair prints nothing")?;
        printed.parse().with_context(|| format!("no number: {printed}"))
    }

    /// Pairs per second of so many processes that all want one lock, as it is by default.
    pub(crate) fn contended(&self, processes: u32, placement: Placement) -> anyhow::Result<f64> {
        let (rate, _) = self.contending(processes, placement)?.rate()?;
        Ok(rate)
    }

    /// So many processes that all want one lock, once all of them do.
    pub(crate) fn contending(&self, processes: u32, placement: Placement) -> anyhow::Result<Group<'_>> {
        let mut group = self.group(LockSpec::default())?;
        let lines = group.spawn(&self.contend, processes, &[LOCK], placement)?;
        for _ in 0..processes {
            lines.recv_timeout(PATIENCE).context("a process does not start")?;
        }
        Ok(group)
    }

    /// A process that has the lock, and keeps it.
    pub(crate) fn holding(&self) -> anyhow::Result<Group<'_>> {
        let mut group = self.group(LockSpec::default())?;
        let lines = group.spawn(&self.hold, 1, &[LOCK], Placement::Home)?;
        lines.recv_timeout(PATIENCE).context("nobody holds the lock")?;
        Ok(group)
    }

    /// A process that waits for the lock, and keeps it once it has come.
    pub(crate) fn queueing(&self) -> anyhow::Result<Queueing<'_>> {
        let mut group = self.group(LockSpec::default())?;
        let (came, comes) = channel();
        let stdio = Stdio::Lines(Arc::new(move |_, _| {
            // Nobody may be listening any more.
            _ = came.send(Instant::now());
        }));
        group.spawn_with(&self.hold, 1, &[LOCK], Placement::Home, &stdio)?;
        group.wait_for_queue(1)?;
        Ok(Queueing { _group: group, comes })
    }

    /// Hand-overs per second of so many processes that queue for one lock which is strictly first come, first served.
    pub(crate) fn hand_overs(&self, processes: u32, placement: Placement) -> anyhow::Result<Figure> {
        let mut group = self.group(first_come_first_served())?;
        let lines = group.spawn(&self.hold, 1, &[LOCK], placement)?;
        lines.recv_timeout(PATIENCE).context("nobody holds the lock")?;
        // One after the other, so that neighbours in the queue live on different shards if they are spread.
        for queued in 1..=processes as usize {
            drop(group.spawn(&self.contend, 1, &[LOCK], placement)?);
            group.wait_for_queue(queued)?;
        }
        group.processes[0].kill();
        let (value, handed_over) = group.rate()?;
        Ok(Figure { value, share: Some(("were hand-overs", handed_over)) })
    }

    /// Additions per second of so many processes to one value. A process more looks at the value twice.
    pub(crate) fn value_add(&self, processes: u32, placement: Placement) -> anyhow::Result<f64> {
        let mut group = self.group(LockSpec::default())?;
        let lines = group.spawn(&self.add, processes, &[VALUE], placement)?;
        for _ in 0..processes {
            lines.recv_timeout(PATIENCE).context("a process does not start")?;
        }
        std::thread::sleep(self.lengths.warm_up);
        let window_ms = self.lengths.window.as_millis().to_string();
        let lines = group.spawn(&self.add_rate, 1, &[VALUE, &window_ms], placement)?;
        let printed = lines.recv_timeout(PATIENCE).context("the rate is not printed")?;
        printed.parse().with_context(|| format!("no number: {printed}"))
    }

    fn group(&self, mut lock: LockSpec) -> anyhow::Result<Group<'_>> {
        (lock.name, lock.scope) = (LOCK.to_owned(), self.scope.clone());
        let job = self.runtime.job(JobSpec { locks: vec![lock], values: vec![counter()], ..JobSpec::default() })?;
        let grants =
            ProcessSpec { locks: vec![LOCK.to_owned()], values: vec![VALUE.to_owned()], ..ProcessSpec::default() };
        Ok(Group::new(job, &self.lengths, grants))
    }
}

fn counter() -> ValueSpec {
    let content = ValueContent::Value { initial: Scalar::Signed(0), bytes_max: 0 };
    ValueSpec { name: VALUE.to_owned(), content, requires_lock: None }
}

/// A lock at which nobody who is running comes before the first waiter.
fn first_come_first_served() -> LockSpec {
    LockSpec { config: LockConfig::strict(), ..LockSpec::default() }
}

impl<'a> Group<'a> {
    /// Nobody yet.
    pub(crate) fn new(job: Job, lengths: &'a Lengths, grants: ProcessSpec) -> Self {
        Self { job, lengths, grants, processes: Vec::new() }
    }

    /// Starts processes; what they print comes out of the channel, line by line.
    pub(crate) fn spawn(
        &mut self,
        program: &Program,
        count: u32,
        args: &[&str],
        placement: Placement,
    ) -> anyhow::Result<Receiver<String>> {
        let (printed, lines) = channel();
        let stdio = Stdio::Lines(Arc::new(move |_, line| {
            // Nobody may be listening any more.
            drop(printed.send(String::from_utf8_lossy(line).into_owned()));
        }));
        self.spawn_with(program, count, args, placement, &stdio)?;
        Ok(lines)
    }

    fn spawn_with(
        &mut self,
        program: &Program,
        count: u32,
        args: &[&str],
        placement: Placement,
        stdio: &Stdio,
    ) -> anyhow::Result<()> {
        for rank in 0..count {
            self.processes.push(self.job.spawn(
                program,
                &ProcessSpec {
                    name: program.name().to_owned(),
                    rank,
                    count,
                    args: args.iter().map(|&arg| arg.to_owned()).collect(),
                    stdio: stdio.clone(),
                    placement,
                    ..self.grants.clone()
                },
            )?);
        }
        Ok(())
    }

    /// Waits until so many wait for the lock.
    fn wait_for_queue(&self, queued: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.job.inspect_lock(LOCK).is_none_or(|view| view.queue.len() < queued) {
            ensure!(Instant::now() < deadline, "{queued} processes do not all queue");
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Acquisitions per second, between two looks after the warm-up, and the part of them that were hand-overs.
    fn rate(&self) -> anyhow::Result<(f64, f64)> {
        std::thread::sleep(self.lengths.warm_up);
        let (begun, before) = self.look()?;
        std::thread::sleep(self.lengths.window);
        let (ended, after) = self.look()?;
        self.ensure_none_ended()?;
        let acquired = (after.acquired - before.acquired) as f64;
        let handed_over = (after.handed_over - before.handed_over) as f64;
        Ok((acquired / (ended - begun).as_secs_f64(), handed_over / acquired))
    }

    /// How often the lock was acquired, and when that was so.
    pub(crate) fn acquired(&self) -> anyhow::Result<(Instant, u64)> {
        self.ensure_none_ended()?;
        let (at, counters) = self.look()?;
        Ok((at, counters.acquired))
    }

    /// That whoever ended was killed.
    pub(crate) fn ensure_none_ended(&self) -> anyhow::Result<()> {
        let mut exits = self.processes.iter().filter_map(Process::try_join);
        if let Some(exit) = exits.find(|exit| exit.outcome != Outcome::Killed) {
            bail!("{} {} while it was measured", exit.name, exit.outcome);
        }
        Ok(())
    }

    /// The counters of the lock, and when they stood so. This thread may lose its core at any place, so it looks again
    /// until the look itself took no time.
    fn look(&self) -> anyhow::Result<(Instant, Counters)> {
        const SHORT: Duration = Duration::from_micros(500);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let begun = Instant::now();
            let counters = self.job.inspect_lock(LOCK).context("the lock is gone")?.counters;
            let ended = Instant::now();
            if ended - begun < SHORT {
                return Ok((ended, counters));
            }
            ensure!(ended < deadline, "no look at the lock is short enough");
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.processes.iter().for_each(Process::kill);
        for process in &self.processes {
            drop(process.join_blocking());
        }
    }
}
