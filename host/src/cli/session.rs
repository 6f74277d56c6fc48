//! One run of the command: the host, its processes, signals, and how it all ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lockkeeper::observe::Event;
use lockkeeper::{
    ByteSize, CheckpointUse, CommitOrder, Exit, IdsReport, Job, JobError, JobSpec, LockLimits, Name, OpenReport,
    Process, ProcessSpec, Profile, Program, Runtime, RuntimeConfig, SpawnError, Stall, Stdio, Torn,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

use super::options::HostOptions;
use super::output::Output;
use super::series::{Begin, Found, Order, Series};
use super::summary::{Ran, Summary, Tally};
use super::{EXIT_IO, EXIT_STALLED, picture};

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

/// A host for one run.
pub(super) struct Session {
    runtime: Arc<Runtime>,
    output: Arc<Output>,
    tally: Arc<Tally>,
    /// Told when the host reports a stall.
    stalled: Arc<Notify>,
    json: bool,
}

impl Session {
    /// Starts the host. `total` is how many processes will run, for the progress shown, and `at_once` how many at a time.
    pub(super) fn start(
        options: &HostOptions,
        lock_limits: LockLimits,
        total: usize,
        at_once: usize,
    ) -> anyhow::Result<Self> {
        let output = Output::new(options.json, total as u64)?;
        let tally = Arc::<Tally>::default();
        let stalled = Arc::<Notify>::default();
        let (shown, counted, told) = (output.clone(), tally.clone(), stalled.clone());
        let config = RuntimeConfig {
            shards: options.shards.unwrap_or(0),
            cache_dir: options.cache_dir(),
            state_dir: options.state_dir()?,
            observer: Some(Arc::new(move |event| {
                counted.note(event);
                shown.event(event);
                if let Event::Stalled { .. } = event {
                    told.notify_one();
                }
            })),
            lock_limits,
            profile: options.profile(),
            expected: Some(at_once),
            disk: None,
            ..RuntimeConfig::default()
        };
        Ok(Self { runtime: Arc::new(Runtime::new(config)?), output, tally, stalled, json: options.json })
    }

    pub(super) fn load(&self, path: &Path) -> anyhow::Result<Program> {
        Ok(self.runtime.load(path)?)
    }

    /// Runs everything and answers the exit code.
    pub(super) fn run(self, plan: Plan) -> anyhow::Result<u8> {
        self.run_series(plan, None)
    }

    /// [`run`](Session::run), with commits that a later run can go on with.
    pub(super) fn run_series(self, mut plan: Plan, series: Option<&Series>) -> anyhow::Result<u8> {
        check_what_they_see(&plan.processes)?;
        for (_, process) in &plan.processes {
            self.runtime.check(&plan.job, process)?;
        }
        self.check_room(&plan)?;
        let profiles = profiles(&plan.processes);
        let started = Instant::now();
        let job = self.runtime.job(plan.job).map_err(with_hint)?;
        for (name, report) in job.reports() {
            for word in found(report) {
                self.output.say(&format!("file {name}: {word}"));
            }
        }
        let planned = plan.processes.len();
        let found = match series {
            None => Found::default(),
            Some(series) => {
                self.tell_what_is_forgotten(&job, series);
                series.open(&job, &mut plan.processes)?
            }
        };
        self.tell(&found, series);
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = executor.block_on(async { Signals::new() }).context("signals cannot be caught")?;
        let mut run = Running {
            job: &job,
            output: &self.output,
            view: plan.view,
            running: JoinSet::new(),
            exits: Vec::new(),
            unstartable: Vec::new(),
            stalled: &self.stalled,
            series,
            order: None,
            order_changed: Arc::default(),
            told_of_limit: false,
            ending: 0,
            ended_a_stall: false,
        };
        if let Some(Series { order: Order::AsGiven { ahead_max }, .. }) = series {
            run.keep_order(*ahead_max);
        }
        let mut signal = executor.block_on(async {
            let signal = tokio::select! {
                () = run.all(&plan.processes, plan.at_once) => None,
                code = signals.next() => Some(code),
            };
            if let Some(code) = signal {
                self.interrupt(&mut run, &mut signals, code).await;
            }
            signal
        });
        let Running { mut exits, unstartable, ended_a_stall, .. } = run;
        exits.sort_by_key(|exit| exit.id);
        self.output.finish();
        let unwritten = job.flush();
        for (file, error) in &unwritten {
            self.output.say(&format!("file {file}: what was buffered for it could not be written: {error}"));
        }
        if let ([], Some(why)) = (&exits[..], unstartable.first()) {
            self.output.drain();
            bail!("{why}; nothing was started");
        }
        let ran = Ran { planned, done: found.done.len(), exits: &exits, unstartable: &unstartable };
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
        self.output.skip(&found.done);
        if found.late > 0 && series.is_some_and(|series| series.order != Order::AsTheyEnd) {
            let late = found.late;
            self.output.say(&format!(
                "--keep-order: the files have records of inputs that stand behind {late} of those that are still to run; \
                 theirs come after them"
            ));
        }
    }

    /// Ends every process and settles the files. A second signal does not wait for it.
    async fn interrupt(&self, run: &mut Running<'_>, signals: &mut Signals, code: u8) {
        self.output.say("interrupted: ending all processes");
        let runtime = self.runtime.clone();
        let ending = tokio::task::spawn_blocking(move || runtime.shut_down(GRACE));
        tokio::select! {
            _ = ending => {}
            _ = signals.next() => std::process::exit(i32::from(code)),
            () = tokio::time::sleep(GRACE + PATIENCE) => {
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
pub(super) fn check_what_they_see(processes: &[(Program, ProcessSpec)]) -> anyhow::Result<()> {
    for (_, spec) in processes {
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

/// The processes that are under way.
struct Running<'a> {
    job: &'a Job,
    output: &'a Arc<Output>,
    view: View,
    running: JoinSet<Arc<Exit>>,
    exits: Vec<Arc<Exit>>,
    /// Why some could not be started.
    unstartable: Vec<String>,
    /// Told when the host reports a stall. What it is told before somebody waits for it is kept.
    stalled: &'a Notify,
    series: Option<&'a Series>,
    /// In which order they commit, and how far starts may run ahead of the first that has not.
    order: Option<(CommitOrder, u64)>,
    /// Told when somebody begins to wait for its turn to commit, or has had it.
    order_changed: Arc<Notify>,
    /// Whether it was said that a stall waits for a time limit.
    told_of_limit: bool,
    /// How many of those that run are being ended because they stood still.
    ending: usize,
    /// Whether a stall was ended.
    ended_a_stall: bool,
}

impl Running<'_> {
    /// Runs all processes. One that cannot be started stops no other, and neither does a stall of those before it.
    async fn all(&mut self, processes: &[(Program, ProcessSpec)], at_once: usize) {
        for (program, spec) in processes {
            while !self.has_room(at_once) {
                self.one_ended_or_stalled().await;
            }
            // Nothing that is started now could commit.
            if self.order.as_ref().is_some_and(|(order, _)| order.is_broken()) {
                break;
            }
            if let Err(why) = self.series.map_or(Ok(()), |series| series.check(spec)) {
                self.unstartable.push(why);
                continue;
            }
            match self.start(program, spec) {
                Ok(process) => {
                    self.running.spawn(async move { process.join().await });
                }
                Err(error) => self.unstartable.push(error.to_string()),
            }
        }
        // What was reported while others were still to come.
        self.look_for_stall();
        while self.one_ended_or_stalled().await {}
    }

    /// From here on the processes commit in the order in which they are started.
    fn keep_order(&mut self, ahead_max: u64) {
        let changed = self.order_changed.clone();
        self.order = Some((CommitOrder::new(move || changed.notify_one()), ahead_max));
    }

    /// Whether one more may be started. One that has ended and waits for its turn to commit takes no room.
    fn has_room(&self, at_once: usize) -> bool {
        match &self.order {
            None => self.running.len() < at_once,
            Some((order, ahead_max)) => {
                order.is_broken()
                    || self.running.len().saturating_sub(order.waiting()) < at_once && order.ahead() < *ahead_max
            }
        }
    }

    fn start(&mut self, program: &Program, spec: &ProcessSpec) -> Result<Process, SpawnError> {
        let stdio = match self.view {
            View::Raw => Stdio::Inherit,
            View::Tagged => Stdio::Lines(self.output.sink(spec.full_name())),
        };
        // If the process does not start its turn goes with this.
        let commit_turn = self.order.as_mut().map(|(order, _)| order.next_turn());
        self.job.spawn(program, &ProcessSpec { stdio, commit_turn, ..spec.clone() })
    }

    /// Waits until one more process has ended, or has moved in the order of commits; false if none is left. It is waited for
    /// only when there is nothing to start
    /// or no room to start it in: so who stands still here would stand still for ever.
    ///
    /// No stall is missed: the host reports each one anew that is not the same as the last, and a report from the time
    /// before this call is kept for it.
    async fn one_ended_or_stalled(&mut self) -> bool {
        loop {
            tokio::select! {
                // Room to start something comes before the stall that this may end.
                biased;
                ended = self.running.join_next() => return self.note_end(ended),
                () = self.order_changed.notified() => return true,
                () = self.stalled.notified() => self.look_for_stall(),
            }
        }
    }

    /// Ends a stall that nothing else will end, and says who waited for whom.
    fn look_for_stall(&mut self) {
        // Those that are being ended sit where they sat until they are gone.
        if self.ending > 0 {
            return;
        }
        match self.job.stall() {
            None => {}
            Some(Stall { waits, ends_by_itself: true }) => {
                let told = std::mem::replace(&mut self.told_of_limit, true);
                if !told {
                    self.output.draw(|| picture::stall(&waits, true));
                }
            }
            Some(Stall { ends_by_itself: false, .. }) => {
                if let Some(Stall { waits, .. }) = self.job.end_stall() {
                    self.ended_a_stall = true;
                    self.ending = waits.len();
                    self.output.draw(|| picture::stall(&waits, false));
                }
            }
        }
    }

    /// Waits until one more process has ended; false if none is left.
    async fn one_ended(&mut self) -> bool {
        let ended = self.running.join_next().await;
        self.note_end(ended)
    }

    fn note_end(&mut self, ended: Option<Result<Arc<Exit>, JoinError>>) -> bool {
        match ended {
            Some(exit) => {
                self.exits.push(exit.expect("waiting for a process does not panic"));
                if self.ending > 0 {
                    self.ending -= 1;
                    // A report may have come meanwhile: of those that were started since.
                    if self.ending == 0 {
                        self.stalled.notify_one();
                    }
                }
                true
            }
            None => false,
        }
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
