//! What is measured of processes: from start to end, and the memory of those that wait; beside `multiprocessing.Process`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lockkeeper::{Job, JobSpec, LockSpec, Outcome, Process, ProcessSpec, Profile, Program, Runtime};
use tempfile::TempDir;

use crate::figures::Unit;
use crate::guests;
use crate::ours::{LOCK, PATIENCE, runtime};
use crate::plan::{Lengths, NotMeasured, OURS, Planned};
use crate::python::Python;

const IMAGE: &str = "ours, image";
const FORK: &str = "mp.Process, fork";
const SPAWN: &str = "mp.Process, spawn";

/// How many processes there are at once where there are several.
const AT_ONCE: u32 = 64;
/// How many of ours wait while their memory is looked at; the pool has room for a thousand.
const WAITING: u32 = 900;

/// Of the peers, fewer: they take a thousand times as long.
mod peers {
    pub(super) const FORKED: u32 = 256;
    pub(super) const SPAWNED: u32 = 32;
    pub(super) const SPAWNED_AT_ONCE: u32 = 16;
    pub(super) const WAITING_FORKED: u32 = 64;
    pub(super) const WAITING_SPAWNED: u32 = 16;
}

/// Everything that takes part.
pub(crate) struct Bench {
    dense: Ours,
    image: Ours,
    python: Result<Python, String>,
    shards: usize,
    window: Duration,
}

struct Ours {
    runtime: Runtime,
    nothing: Program,
    once: Program,
    hold: Program,
    _state: TempDir,
}

impl Ours {
    fn new(shards: usize, profile: Profile) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let runtime = runtime(shards, &state)?;
        let load = |name: &str| Program::from_file_as(&runtime, guests::path(name), Some(profile));
        let (nothing, once, hold) = (load("nothing")?, load("once")?, load("hold")?);
        Ok(Self { runtime, nothing, once, hold, _state: state })
    }

    fn job(&self) -> anyhow::Result<Job> {
        let locks = vec![LockSpec { name: LOCK.to_owned(), ..LockSpec::default() }];
        Ok(self.runtime.job(JobSpec { locks, ..JobSpec::default() })?)
    }

    /// Microseconds from start to end of each, so many at a time, for as long as the window is.
    fn start_to_end(&self, at_once: u32, window: Duration) -> anyhow::Result<f64> {
        let job = self.job()?;
        let spec = ProcessSpec { name: "one".to_owned(), ..ProcessSpec::default() };
        let mut ended = 0;
        let begun = Instant::now();
        while begun.elapsed() < window {
            let batch: Result<Vec<Process>, _> = (0..at_once).map(|_| job.spawn(&self.nothing, &spec)).collect();
            for process in batch? {
                ensure!(process.join_blocking().outcome == Outcome::Returned, "a process does not end well");
            }
            ended += at_once;
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(ended))
    }

    /// KiB of memory, page tables included, for each of so many that wait for one lock.
    fn memory(&self, waiting: u32) -> anyhow::Result<f64> {
        let job = self.job()?;
        let spec = ProcessSpec {
            name: "one".to_owned(),
            args: vec![LOCK.to_owned()],
            locks: vec![LOCK.to_owned()],
            ..ProcessSpec::default()
        };
        let holder = job.spawn(&self.hold, &spec)?;
        wait(&job, |held, _| held)?;
        let before = taken_kib()?;
        let processes: Result<Vec<Process>, _> = (0..waiting).map(|_| job.spawn(&self.once, &spec)).collect();
        let processes = processes?;
        wait(&job, |_, queued| queued == waiting as usize)?;
        let after = taken_kib()?;
        holder.kill();
        for process in processes {
            ensure!(process.join_blocking().outcome == Outcome::Returned, "a process does not end well");
        }
        Ok(after.saturating_sub(before) as f64 / f64::from(waiting))
    }
}

fn wait(job: &Job, is: impl Fn(bool, usize) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !job.inspect_lock(LOCK).is_some_and(|view| is(view.holder().is_some(), view.queue.len())) {
        ensure!(Instant::now() < deadline, "processes do not all wait");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// What [`Bench::memory_of`] asks of its child: KiB of each process that waits.
pub(crate) fn waiting(profile: &str, shards: usize) -> anyhow::Result<f64> {
    let profile = if profile == "image" { Profile::Image } else { Profile::Dense };
    Ours::new(shards, profile)?.memory(WAITING)
}

/// What this process takes: its memory, and the page tables for it.
fn taken_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).context("Linux does not tell")?;
        line.trim_end_matches(" kB").trim().parse::<u64>().context("no number")
    };
    Ok(of("VmRSS:")? + of("VmPTE:")?)
}

impl Bench {
    pub(crate) fn new(shards: usize, lengths: Lengths) -> anyhow::Result<Self> {
        guests::build()?;
        let (dense, image) = (Ours::new(shards, Profile::Dense)?, Ours::new(shards, Profile::Image)?);
        Ok(Self { dense, image, python: Python::find(), shards, window: lengths.window })
    }

    pub(crate) fn plan(&self) -> Vec<Planned<'_>> {
        vec![self.start_to_end(1), self.start_to_end(AT_ONCE), self.memory()]
    }

    fn start_to_end(&self, at_once: u32) -> Planned<'_> {
        let mut cell = Planned::new(format!("start to end, {at_once} at a time"), Unit::MicrosecondsEach);
        cell.subject(OURS, move || self.dense.start_to_end(at_once, self.window));
        cell.subject(IMAGE, move || self.image.start_to_end(at_once, self.window));
        if let Ok(python) = &self.python {
            cell.peer(FORK, None, move || python.process("start", "fork", &[peers::FORKED, at_once]));
            let at_once = at_once.min(peers::SPAWNED_AT_ONCE);
            cell.peer(SPAWN, None, move || python.process("start", "spawn", &[peers::SPAWNED, at_once]));
        }
        cell
    }

    fn memory(&self) -> Planned<'_> {
        let mut cell = Planned::new("memory of a process that waits".to_owned(), Unit::KibibytesEach);
        cell.subject(OURS, || self.memory_of(Profile::Dense));
        cell.subject(IMAGE, || self.memory_of(Profile::Image));
        if let Ok(python) = &self.python {
            cell.peer(FORK, None, move || python.process("memory", "fork", &[peers::WAITING_FORKED]));
            cell.peer(SPAWN, None, move || python.process("memory", "spawn", &[peers::WAITING_SPAWNED]));
        }
        cell
    }

    /// In a system process of its own: one that had as many waiting before has kept memory for them.
    fn memory_of(&self, profile: Profile) -> anyhow::Result<f64> {
        let mut child = Command::new(std::env::current_exe()?);
        let answer = child.args(["waiting", &profile.to_string(), &self.shards.to_string()]).output()?;
        ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        let text = String::from_utf8_lossy(&answer.stdout);
        text.trim().parse().with_context(|| format!("no number: {text:?}"))
    }

    /// What is missing here.
    pub(crate) fn not_measured(&self) -> Vec<NotMeasured> {
        let what = || format!("{FORK} and {SPAWN}");
        self.python.as_ref().err().map(|why| NotMeasured { what: what(), why: why.clone() }).into_iter().collect()
    }

    /// What belongs to these figures and to no others.
    pub(crate) fn notes(&self) -> Vec<String> {
        vec![
            format!(
                "`{OURS}` is the profile dense; {WAITING} of ours wait, resident memory and page tables of the host"
            ),
            format!(
                "of the peers {} and {} wait, what is theirs alone (private in smaps_rollup, without page tables); {SPAWN}: {} at a time at most",
                peers::WAITING_FORKED,
                peers::WAITING_SPAWNED,
                peers::SPAWNED_AT_ONCE
            ),
        ]
    }

    /// The interpreter of the peers.
    pub(crate) fn python_version(&self) -> Option<&str> {
        self.python.as_ref().ok().map(Python::version)
    }
}
