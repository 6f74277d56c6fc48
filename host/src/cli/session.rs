//! One run of the command: the host, its processes, signals, and how it all ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lockkeeper::observe::Event;
use lockkeeper::{
    ByteSize, CheckpointUse, IdsReport, Job, JobError, JobSpec, LockLimits, LockScope, LockSpec, Name, OpenReport,
    ProcessSpec, Profile, Program, ProgramError, ProgramSpec, Runtime, RuntimeConfig, Torn,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::map::{Batch, Begin, Found, Logged, Order, Results, Series, When};
use super::options::HostOptions;
use super::output::{Output, Tags};
use super::python;
use super::running::{Halted, Running};
use super::summary::{Ran, Summary, Tally};
use super::{EXIT_IO, EXIT_STALLED, environment, primitives};

/// How long processes may take to end by themselves once the command is interrupted.
const GRACE: Duration = Duration::from_millis(200);

/// The exit code counts no further: 101 is "more than 100 failed".
const FAILED_COUNTED_MAX: usize = 101;

/// How long the command waits for what should take no time, once it is interrupted: a process that is stopped, a reader of
/// its output.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the processes of a run are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The one process has the command's own streams, and nothing is added.
    Raw,
    /// Several share the streams: lines are tagged, and a summary ends it.
    Tagged,
}

/// What runs: every process, and how many at a time.
pub(super) struct Plan {
    pub(super) job: JobSpec,
    pub(super) processes: Vec<(Program, ProcessSpec)>,
    pub(super) at_once: usize,
    pub(super) view: View,
    pub(super) exit_code: ExitCodes,
}

/// What the exit code of the command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitCodes {
    /// How the one process ended.
    OfTheProcess,
    /// How many processes failed.
    Failures,
}

/// Deep enough that the interpreter's own limits on recursion are met before that of its stack.
const PYTHON_STACK_BYTES: usize = 32 << 20;

/// Room for one that has as many children as it may, while the ones before them are cleared away.
const PYTHON_PROCESSES: usize = 1_100;

/// Shares the locks with all other hosts that say so, unless they say it themselves.
fn widen(locks: &mut [LockSpec]) -> anyhow::Result<()> {
    let mut wide = locks.iter_mut().filter(|lock| primitives::is_exclusive(&lock.kind)).peekable();
    if wide.peek().is_none() {
        bail!("--locks machine: there is no lock that it could be said of; add one that is a mutex, rlock or rwlock");
    }
    for lock in wide.filter(|lock| lock.scope == LockScope::Process) {
        lock.scope = LockScope::Machine { file: None, allow_remote: false };
    }
    Ok(())
}

/// A host for one run.
pub(super) struct Session {
    runtime: Arc<Runtime>,
    output: Arc<Output>,
    tally: Arc<Tally>,
    /// Told when the host reports a stall.
    stalled: Arc<Notify>,
    json: bool,
    locks_are_wider: bool,
}

impl Session {
    /// Starts the host. `total` is how many processes will run, for the progress shown, and `at_once` how many at a time.
    pub(super) fn start(
        options: &HostOptions,
        lock_limits: LockLimits,
        tags: Tags,
        total: usize,
        at_once: usize,
    ) -> anyhow::Result<Self> {
        let output = Output::new(options.json, tags, total as u64)?;
        let tally = Arc::<Tally>::default();
        let stalled = Arc::<Notify>::default();
        let (shown, counted, told) = (output.clone(), tally.clone(), stalled.clone());
        let config = RuntimeConfig {
            shards: options.shards.unwrap_or(0),
            cache_dir: options.cache_dir(),
            state_dir: options.state_dir()?,
            lock_dir: options.lock_dir.clone(),
            run_name: environment::command_line(),
            observer: Some(Arc::new(move |event| {
                counted.note(event);
                shown.event(event);
                if let Event::Stalled { .. } = event {
                    told.notify_one();
                }
            })),
            lock_limits,
            profile: options.profile(),
            // A Python program starts as many as it likes.
            expected: Some(at_once).filter(|_| !options.runs_python),
            image_stack_bytes: options.runs_python.then_some(PYTHON_STACK_BYTES),
            image_processes: options.runs_python.then_some(PYTHON_PROCESSES),
            // Most of them start few, and a pool for as many as they may would take longer to make than they run.
            image_on_demand: options.runs_python,
            disk: None,
            ..RuntimeConfig::default()
        };
        Ok(Self {
            runtime: Arc::new(Runtime::new(config)?),
            output,
            tally,
            stalled,
            json: options.json,
            locks_are_wider: options.locks_are_wider(),
        })
    }

    pub(super) fn load(&self, path: &Path) -> anyhow::Result<Program> {
        if python::is_script(path) {
            bail!(
                "{} is a Python program, which processes do not start by a name: it starts its own with multiprocessing; name \
                 a component or a module",
                path.display()
            );
        }
        let program = Program::from_file(&self.runtime, path)?;
        if !program.is_command() {
            return Err(ProgramError::NotACommand { path: path.to_owned() }.into());
        }
        Ok(program)
    }

    /// How many cores there are for processes.
    pub(super) fn cores(&self) -> usize {
        self.runtime.shards()
    }

    /// Loads the programs that processes may start.
    pub(super) fn load_all(&self, programs: Vec<(String, PathBuf)>) -> anyhow::Result<Vec<ProgramSpec>> {
        programs.into_iter().map(|(name, path)| Ok(ProgramSpec { name, program: self.load(&path)? })).collect()
    }

    /// Runs everything and answers the exit code.
    pub(super) fn run(self, plan: Plan) -> anyhow::Result<u8> {
        self.run_batch(plan, Batch::default())
    }

    /// [`run`](Session::run), as a batch: with commits that a later run can go on with, a log, an early end.
    pub(super) fn run_batch(self, mut plan: Plan, mut batch: Batch) -> anyhow::Result<u8> {
        if self.locks_are_wider {
            widen(&mut plan.job.locks)?;
        }
        check_what_they_see(plan.processes.iter().map(|(_, spec)| spec))?;
        for (_, process) in &plan.processes {
            self.runtime.check(&plan.job, process)?;
        }
        self.check_room(&plan)?;
        let profiles = profiles(&plan.processes);
        let begin = batch.series.as_ref().map_or(Begin::Anew, |series| series.begin);
        // Before files are emptied that are to be replaced.
        if let Some(joblog) = &batch.joblog {
            joblog.check(begin)?;
        }
        let started = Instant::now();
        let job = self.runtime.job(plan.job).map_err(with_hint)?;
        for (name, report) in job.reports() {
            for word in found(report) {
                self.output.say(&format!("file {name}: {word}"));
            }
        }
        let (joblog, logged) = match batch.joblog.as_ref().map(|joblog| joblog.open(begin)).transpose()? {
            None => (None, Logged::new()),
            Some((joblog, report, logged)) => {
                for word in self::found(&report) {
                    self.output.say(&format!("--joblog: {word}"));
                }
                (Some(joblog), logged)
            }
        };
        let results = match &batch.results {
            None => None,
            Some(dir) => {
                let results = Results::open(dir);
                Some(
                    results
                        .with_context(|| format!("--results {} cannot be made; nothing was started", dir.display()))?,
                )
            }
        };
        let planned = plan.processes.len();
        let found = match &batch.series {
            None => Found::default(),
            Some(series) => {
                self.tell_what_is_forgotten(&job, series);
                series.open(&job, &logged, &mut plan.processes)?
            }
        };
        self.tell(&found, batch.series.as_ref());
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = executor.block_on(async { Signals::new() }).context("signals cannot be caught")?;
        let mut run =
            Running::new(&job, &self.output, plan.view, &plan.processes, plan.at_once, &self.stalled, &mut batch);
        (run.joblog, run.results) = (joblog.as_ref(), results.as_ref());
        let mut signal = executor.block_on(async {
            let signal = tokio::select! {
                () = run.all() => None,
                code = signals.next() => Some(code),
            };
            match (signal, run.halted) {
                (Some(code), _) => {
                    self.output.say("interrupted: ending all processes");
                    self.end_all(&mut run, &mut signals, code).await;
                }
                (None, Some(Halted { when: When::Now, exit_code })) => {
                    self.end_all(&mut run, &mut signals, exit_code).await;
                }
                (None, _) => {}
            }
            signal
        });
        run.finish();
        let Running { mut exits, unstartable, ended_a_stall, unlogged, halted, retries, .. } = run;
        exits.sort_by_key(|exit| exit.id);
        self.output.finish();
        let mut unwritten = Vec::new();
        for (file, error) in job.flush() {
            unwritten.push(format!("file {file}: what was buffered for it could not be written: {error}"));
        }
        unwritten.extend(unlogged.map(|why| format!("--joblog: not every process is in it: {why}")));
        unwritten.extend(results.and_then(Results::finish));
        unwritten.iter().for_each(|why| self.output.say(why));
        if let ([], Some(why)) = (&exits[..], unstartable.first()) {
            self.output.drain();
            bail!("{why}; nothing was started");
        }
        let (done, failed_before) = (found.done.len(), found.failed.len());
        let ran = Ran { planned, done, failed_before, exits: &exits, unstartable: &unstartable, retries };
        let summary = Summary::new(&job, ran, profiles, &self.tally, started.elapsed());
        match plan.view {
            View::Raw => summary.explain_single(&self.output),
            View::Tagged if self.json => self.output.json(&summary),
            View::Tagged => summary.print(&self.output),
        }
        executor.block_on(async {
            let output = self.output.clone();
            let drained = tokio::task::spawn_blocking(move || output.drain());
            tokio::select! {
                _ = drained => {}
                // Who is interrupted has a reader that may never read again.
                () = tokio::time::sleep(PATIENCE), if signal.is_some() => {}
                code = signals.next() => signal = Some(code),
            }
        });
        executor.shutdown_background();
        Ok(match (signal, &exits[..], plan.exit_code) {
            (Some(code), ..) => code,
            (None, ..) if ended_a_stall => EXIT_STALLED,
            (None, ..) if !unwritten.is_empty() => EXIT_IO,
            (None, ..) if let Some(Halted { exit_code, .. }) = halted => exit_code,
            (None, [exit], ExitCodes::OfTheProcess) => exit.outcome.exit_code(),
            (None, exits, _) => {
                let failed = exits.iter().filter(|exit| !exit.outcome.is_success()).count() + unstartable.len();
                u8::try_from(failed.min(FAILED_COUNTED_MAX)).expect("an exit code has room for that number")
            }
        })
    }

    /// Says that what is in the files cannot be gone on with any more, for who has left `--resume` away.
    fn tell_what_is_forgotten(&self, job: &Job, series: &Series) {
        let known =
            |(name, report): (&Name, &OpenReport)| Some((name.clone(), report.ids?.known)).filter(|(_, n)| *n > 0);
        for (file, known) in job.reports().filter_map(known).filter(|_| series.begin == Begin::Anew) {
            self.output.say(&format!(
                "file {file}: a new series begins, and the ids of {known} earlier commits are forgotten; --resume goes on with them"
            ));
        }
    }

    /// Refuses a run that cannot fit, before a file is opened and the first process started.
    fn check_room(&self, plan: &Plan) -> anyhow::Result<()> {
        for (profile, count) in profiles(&plan.processes) {
            let of = || plan.processes.iter().filter(|(program, _)| program.profile() == profile);
            // A directory of its own holds all inputs of a process.
            let files = |spec: &ProcessSpec| spec.dirs.len() + usize::from(!spec.inputs.is_empty());
            let files_each = of().map(|(_, spec)| files(spec)).max().unwrap_or_default();
            if let Some((program, _)) = of().next() {
                self.runtime.check_room(program, count.min(plan.at_once), files_each)?;
            }
        }
        Ok(())
    }

    /// Says what need not run, and what will stand elsewhere than it was asked for.
    fn tell(&self, found: &Found, series: Option<&Series>) {
        self.output.begin(&found.done, &found.failed);
        if found.late > 0 && series.is_some_and(|series| series.order != Order::AsTheyEnd) {
            let late = found.late;
            self.output.say(&format!(
                "--keep-order: the files have records of inputs that stand behind {late} of those that are still to run; \
                 theirs come after them"
            ));
        }
    }

    /// Ends every process and settles the files. A second signal does not wait for it.
    async fn end_all(&self, run: &mut Running<'_>, signals: &mut Signals, code: u8) {
        run.give_up();
        let runtime = self.runtime.clone();
        let ending = tokio::task::spawn_blocking(move || runtime.shut_down(GRACE));
        tokio::select! {
            _ = ending => {}
            code = signals.next() => std::process::exit(i32::from(code)),
            () = tokio::time::sleep(GRACE + PATIENCE) => {
                run.log_abandoned();
                self.output.say("a process does not end; what was acknowledged is in the files");
                std::process::exit(i32::from(code));
            }
        }
        while run.one_ended().await {}
    }
}

/// How many processes there are of each profile.
fn profiles(processes: &[(Program, ProcessSpec)]) -> BTreeMap<Profile, usize> {
    let mut profiles = BTreeMap::new();
    for (program, _) in processes {
        *profiles.entry(program.profile()).or_default() += 1;
    }
    profiles
}

/// Refuses a run whose processes would miss something, before a file is opened and the first of them started.
pub(super) fn check_what_they_see<'a>(specs: impl Iterator<Item = &'a ProcessSpec> + Clone) -> anyhow::Result<()> {
    let mut printed = HashMap::new();
    for spec in specs.clone() {
        // One process may have both of its streams in one file.
        let of_one: BTreeSet<_> = [&spec.stdout, &spec.stderr].into_iter().flatten().collect();
        for path in of_one {
            if let Some(other) = printed.insert(path, spec) {
                bail!(
                    "{} and {} would both print into {}; put {{rank}} into its name; nothing was started",
                    other.full_name(),
                    spec.full_name(),
                    path.display()
                );
            }
        }
    }
    for spec in specs {
        if let Some(dir) = spec.dirs.iter().find(|dir| !dir.host.is_dir()) {
            bail!(
                "{}: {} is not a directory, so it cannot be granted; nothing was started",
                spec.name,
                dir.host.display()
            );
        }
        if let Some(input) = spec.inputs.iter().find(|input| !input.is_file()) {
            bail!("{}: the input {} is not a file that can be read; nothing was started", spec.name, input.display());
        }
    }
    Ok(())
}

/// A file that is longer than this takes a noticeable time to read.
const LONG_FILE_BYTES: u64 = 64 << 20;

/// What is worth a word of what was found in a file when it was opened.
fn found(report: &OpenReport) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(Torn { offset, bytes, reason, saved_to }) = &report.torn {
        let saved = saved_to.display();
        words.push(format!("{bytes} torn bytes at its end were moved to {saved} (from byte {offset} on: {reason})"));
    }
    let why = match report.checkpoint {
        CheckpointUse::Used => None,
        CheckpointUse::Missing => Some("there was no checkpoint beside it"),
        CheckpointUse::Unreadable => Some("the checkpoint beside it could not be read"),
        CheckpointUse::Stale => Some("the checkpoint beside it was not of this file as it is now"),
    };
    if let Some(why) = why.filter(|_| report.bytes_read > LONG_FILE_BYTES) {
        words.push(format!("all of it was read ({}), as {why}", ByteSize(report.bytes_read)));
    }
    if let Some(IdsReport { dropped: dropped @ 1.., .. }) = report.ids {
        words.push(format!("{dropped} record ids were dropped, as their records are not in it"));
    }
    words
}

/// Says which flag helps, where the library cannot know that there are flags.
fn with_hint(error: JobError) -> anyhow::Error {
    match error {
        error @ JobError::Fences { .. } => {
            let told = format!("{error}; choose another state directory with --state-dir");
            anyhow::Error::from(error).context(told)
        }
        error => error.into(),
    }
}

/// The signals that end a run.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The exit code that the next signal asks for.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}
