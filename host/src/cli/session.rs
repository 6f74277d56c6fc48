//! One run of the command: the host, its processes, signals, and how it all ends.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lockkeeper::{
    Exit, Job, JobError, JobSpec, Process, ProcessSpec, Program, Runtime, RuntimeConfig, SpawnError, Stdio,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::options::HostOptions;
use super::output::Output;
use super::summary::{self, Waits};

/// How long processes may take to end by themselves once the command is interrupted.
const GRACE: Duration = Duration::from_millis(200);

/// The exit code counts no further: 101 is "more than 100 failed".
const FAILED_COUNTED_MAX: usize = 101;

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
}

/// A process could not be started when others ran already.
#[derive(Debug, thiserror::Error)]
#[error("{source}; {started} that had been started before were ended")]
pub(super) struct Unfinished {
    started: usize,
    source: SpawnError,
}

/// A host for one run.
pub(super) struct Session {
    runtime: Arc<Runtime>,
    output: Arc<Output>,
    waits: Arc<Waits>,
    json: bool,
}

impl Session {
    /// Starts the host. `total` is how many processes will run, for the progress shown.
    pub(super) fn start(options: &HostOptions, total: usize) -> anyhow::Result<Self> {
        let output = Output::new(options.json, total as u64);
        let waits = Arc::<Waits>::default();
        let (shown, counted) = (output.clone(), waits.clone());
        let config = RuntimeConfig {
            shards: options.shards.unwrap_or(0),
            cache_dir: options.cache_dir(),
            state_dir: options.state_dir()?,
            observer: Some(Arc::new(move |event| {
                counted.note(event);
                shown.event(event);
            })),
            ..RuntimeConfig::default()
        };
        Ok(Self { runtime: Arc::new(Runtime::new(config)?), output, waits, json: options.json })
    }

    pub(super) fn load(&self, path: &Path) -> anyhow::Result<Program> {
        Ok(self.runtime.load(path)?)
    }

    /// Runs everything and answers the exit code.
    pub(super) fn run(self, plan: Plan) -> anyhow::Result<u8> {
        check_what_they_see(&plan.processes)?;
        for (_, process) in &plan.processes {
            self.runtime.check(&plan.job, process)?;
        }
        let started = Instant::now();
        let job = self.runtime.job(plan.job).map_err(with_hint)?;
        for (name, report) in job.reports() {
            if let Some(torn) = &report.torn {
                let saved = torn.saved_to.display();
                self.output.say(&format!("file {name}: {} torn bytes at its end were moved to {saved}", torn.bytes));
            }
        }
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (exits, signal) = executor.block_on(async {
            let mut signals = Signals::new().context("signals cannot be caught")?;
            let mut run = Running {
                job: &job,
                output: &self.output,
                view: plan.view,
                running: JoinSet::new(),
                exits: Vec::new(),
            };
            let signal = tokio::select! {
                ended = run.all(&plan.processes, plan.at_once) => { ended?; None }
                code = signals.next() => Some(code),
            };
            if let Some(code) = signal {
                self.interrupt(&mut run, &mut signals, code).await;
            }
            run.exits.sort_by_key(|exit| exit.id);
            anyhow::Ok((run.exits, signal))
        })?;
        self.output.finish();
        let summary = summary::Summary::new(&job, &exits, &self.waits, started.elapsed());
        match plan.view {
            View::Raw => summary.explain_single(&self.output),
            View::Tagged if self.json => self.output.json(&summary),
            View::Tagged => summary.print(&self.output),
        }
        Ok(match (signal, &exits[..], plan.view) {
            (Some(code), ..) => code,
            (None, [exit], View::Raw) => exit.outcome.exit_code(),
            (None, exits, _) => {
                let failed = exits.iter().filter(|exit| !exit.outcome.is_success()).count();
                u8::try_from(failed.min(FAILED_COUNTED_MAX)).expect("an exit code has room for that number")
            }
        })
    }

    /// Ends every process and settles the files. A second signal does not wait for it.
    async fn interrupt(&self, run: &mut Running<'_>, signals: &mut Signals, code: u8) {
        self.output.say("interrupted: ending all processes");
        let runtime = self.runtime.clone();
        let ending = tokio::task::spawn_blocking(move || runtime.shut_down(GRACE));
        tokio::select! {
            _ = ending => {}
            _ = signals.next() => std::process::exit(i32::from(code)),
        }
        while run.one_ended().await {}
    }
}

/// Refuses a run whose processes would miss something, before a file is opened and the first of them started.
fn check_what_they_see(processes: &[(Program, ProcessSpec)]) -> anyhow::Result<()> {
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
}

impl Running<'_> {
    async fn all(&mut self, processes: &[(Program, ProcessSpec)], at_once: usize) -> anyhow::Result<()> {
        for (program, spec) in processes {
            while self.running.len() >= at_once {
                self.one_ended().await;
            }
            let process = self.start(program, spec).map_err(|source| match self.exits.len() + self.running.len() {
                0 => anyhow::Error::from(source),
                started => Unfinished { started, source }.into(),
            })?;
            self.running.spawn(async move { process.join().await });
        }
        while self.one_ended().await {}
        Ok(())
    }

    fn start(&self, program: &Program, spec: &ProcessSpec) -> Result<Process, SpawnError> {
        let stdio = match self.view {
            View::Raw => Stdio::Inherit,
            View::Tagged => Stdio::Lines(self.output.sink(spec.full_name())),
        };
        self.job.spawn(program, &ProcessSpec { stdio, ..spec.clone() })
    }

    /// Waits until one more process has ended; false if none is left.
    async fn one_ended(&mut self) -> bool {
        match self.running.join_next().await {
            Some(exit) => {
                self.exits.push(exit.expect("waiting for a process does not panic"));
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
