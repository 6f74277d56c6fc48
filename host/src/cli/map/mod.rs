//! `lockkeeper map`: one process per input, as a batch.

mod amount;
mod batch;
mod command_line;
mod dry_run;
mod grouped;
mod halt;
mod inputs;
mod joblog;
mod jobs;
mod overdue;
mod results;
mod rows;
mod series;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use lockkeeper::{ByteSize, Commit, IfExists, JobSpec, Placement, ProcessSpec};

use super::environment;
use super::options::{GrantOptions, HostOptions};
use super::output::Tags;
use super::python::{self, Loader, PythonOptions};
use super::session::{ExitCodes, Plan, Session, View, check_what_they_see};
pub(super) use batch::{Batch, Grouping};
pub(super) use grouped::{Group, Groups};
use halt::HaltOption;
pub(super) use halt::{Count, When};
use inputs::{Given, InputOptions};
use joblog::JoblogSpec;
pub(super) use joblog::{Entry, Joblog, JoblogError, Logged};
use jobs::Jobs;
pub(super) use overdue::MedianLimit;
pub(super) use results::Results;
pub(super) use series::{Begin, Found, Order, Series};

/// With `--keep-order`, so many inputs per job may be started before the first of them has committed: what they have
/// appended, and printed if that is grouped, waits in memory, and more jobs need more inputs to have something to do meanwhile.
const AHEAD_PER_JOB: u64 = 4;

#[derive(Debug, Args)]
pub(super) struct Map {
    /// A program (component, or WASI 0.1 core module), or a Python program (.py)
    #[arg(value_name = "PROGRAM.wasm|PROGRAM.py")]
    program: PathBuf,
    #[command(flatten)]
    inputs: InputOptions,
    /// Processes at a time, or a percentage of the cores [default: 200%]
    #[arg(short = 'j', long = "jobs", value_name = "N|N%", value_parser = jobs::parse)]
    jobs: Option<Jobs>,
    /// When to end early: `now` (those that run are ended) or `soon` (they end by themselves), and after how many of which,
    /// as in now,fail=1 or soon,success=10% or soon,done=5 [default: never]
    #[arg(long, value_name = "WHEN,WHY=N|N%", value_parser = halt::parse, allow_hyphen_values = true)]
    halt: Option<HaltOption>,
    /// How often a process that fails is started in all [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    retries: Option<u32>,
    /// Go on with the last run of `map`, after a crash or a failure: an input runs only if its records are not in all of the
    /// append files yet; without append files, if --joblog does not say that it has ended. One counts as the same if its
    /// name and content, the program and the arguments are
    #[arg(long)]
    resume: bool,
    /// The same, but what has failed by the log runs again. With append files, --resume does so too
    #[arg(long, conflicts_with = "resume")]
    resume_failed: bool,
    /// The records stand in the files in the order of the inputs, and with --group what is printed; processes run side by
    /// side all the same. Without append files it is --group that is kept in order
    #[arg(short = 'k', long)]
    keep_order: bool,
    /// Bytes that a process may append, which are held back until it ends well [default: 64MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Grants and limits")]
    max_held_back: Option<ByteSize>,
    /// A line for every process that has ended: the columns of GNU parallel, tabs between them, and an id; JSON lines if the
    /// file ends in .jsonl or .ndjson. Without --resume an older log is replaced
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    joblog: Option<PathBuf>,
    /// What a process prints goes also to DIR/NAME-ID/stdout and stderr; `seq` beside them is its number. Of several tries
    /// the last one is there
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    results: Option<PathBuf>,
    /// What a process prints comes together when it has ended, of several tries the last one's; otherwise each line as soon
    /// as it is whole. It waits in memory, up to --max-output for each that runs
    #[arg(long, help_heading = "Output")]
    group: bool,
    /// Lines that processes print have their names before them (this is the default)
    #[arg(long, overrides_with = "no_tag", help_heading = "Output")]
    tag: bool,
    /// Lines that processes print stand as they are
    #[arg(long, overrides_with = "tag", help_heading = "Output")]
    no_tag: bool,
    /// Say what would be started, with its grants and limits; start nothing, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Arguments of the program, before the input
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    python: PythonOptions,
    #[command(flatten)]
    grants: GrantOptions,
    #[command(flatten)]
    host: HostOptions,
}

impl Map {
    pub(super) fn execute(mut self) -> anyhow::Result<u8> {
        self.host.runs_python = python::is_script(&self.program);
        let begin = self.begin()?;
        let mut job = self.grants.job()?;
        job.limits = python::job_limits(self.host.runs_python);
        self.check(&job)?;
        for file in &mut job.files {
            file.file.ids = true;
            // No guest invents them: there is one for each input.
            file.file.ids_max = u64::MAX;
        }
        let mut common = self.grants.process(&job, &self.program)?;
        if let Some(max) = self.max_held_back {
            common.limits.held_back_bytes_max = max.0;
        }
        let given = self.inputs.read()?;
        let mut specs = self.specs(&common, &given);
        if self.dry_run {
            return dry_run::print(&self, &job, &specs);
        }
        let tags = if self.no_tag { Tags::LeftAway } else { Tags::Shown };
        let session = Session::start(&self.host, self.grants.lock_limits(), tags, specs.len(), self.at_once())?;
        let program = Loader::new(&session, &self.host, &self.python)?.load(&self.program)?;
        let at_once = self.at_once();
        let order = match self.keep_order {
            true => Order::AsGiven { ahead_max: AHEAD_PER_JOB.saturating_mul(at_once as u64) },
            false => Order::AsTheyEnd,
        };
        check_what_they_see(specs.iter())?;
        let grouped = self.group || self.keep_order && job.files.is_empty();
        let series = Series::new(begin, order, &program.digest()?, &mut specs)?;
        let processes = specs.into_iter().map(|spec| program.prepare(spec)).collect::<anyhow::Result<_>>()?;
        let batch = Batch {
            series: Some(series),
            halt: match self.halt {
                Some(HaltOption::At(halt)) => Some(halt),
                Some(HaltOption::Never) | None => None,
            },
            attempts_max: self.retries.unwrap_or(1),
            median_limit: self.grants.timeout_percent().map(MedianLimit::new),
            joblog: self.joblog.as_ref().map(|path| JoblogSpec::new(path, environment::command_line())),
            results: self.results.clone(),
            grouping: if grouped { Grouping::ByProcess } else { Grouping::ByLine },
        };
        let plan = Plan { job, processes, at_once, view: View::Tagged, exit_code: ExitCodes::Failures };
        session.run_batch(plan, batch)
    }

    fn at_once(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        jobs::at_once(self.jobs, cores)
    }

    fn begin(&self) -> anyhow::Result<Begin> {
        let (begin, flag) = match (self.resume, self.resume_failed) {
            (false, false) => return Ok(Begin::Anew),
            (true, _) => (Begin::Resumed, "--resume"),
            (false, true) => (Begin::FailedAgain, "--resume-failed"),
        };
        if !self.grants.has_files() && self.joblog.is_none() {
            bail!(
                "{flag}: nothing says what is done; give the append files of the last run with --append NAME=FILE, or its log \
                 with --joblog FILE"
            );
        }
        Ok(begin)
    }

    /// Refuses flags that contradict each other, before anything is read.
    fn check(&self, job: &JobSpec) -> anyhow::Result<()> {
        if let (Some(flag), false) = (self.python.flag(), self.host.runs_python) {
            bail!("{flag} goes with a Python program; {} is none", self.program.display());
        }
        let flag = if self.resume_failed { "--resume-failed" } else { "--resume" };
        for file in &job.files {
            let contradiction = match file.file.if_exists {
                IfExists::Append => continue,
                IfExists::Replace => "--if-exists replace, which empties them",
                IfExists::Refuse => "--if-exists refuse, which wants none",
            };
            if self.resume || self.resume_failed {
                bail!("{flag} goes on with what is in the files, unlike {contradiction}; give one of the two");
            }
        }
        if job.files.iter().any(|file| file.file.shared) {
            bail!(
                "--shared goes with run: map notes in its files which inputs are done, which other runs would know nothing of; \
                 give each map files of its own"
            );
        }
        if !self.grants.programs()?.is_empty() || self.grants.starts_itself() {
            bail!(
                "--program goes with run: map settles what a process has done when it ends, and would not wait for its children"
            );
        }
        if self.max_held_back.is_some() && job.files.is_empty() {
            bail!("--max-held-back: nothing is held back without append files; add --append NAME=FILE");
        }
        if self.no_tag && self.host.json {
            bail!("--no-tag: with --json every line is an event, which names its process; leave one of the two away");
        }
        if let Some(joblog) = &self.joblog
            && let Some(same) = job.files.iter().find(|file| file.file.path == *joblog)
        {
            bail!(
                "--joblog {}: it is the append file of `{}`; give the log a file of its own",
                joblog.display(),
                same.name
            );
        }
        Ok(())
    }

    fn specs(&self, common: &ProcessSpec, given: &[Given]) -> Vec<ProcessSpec> {
        let count = u32::try_from(given.len()).unwrap_or(u32::MAX);
        let specs = given.iter().zip(0..).map(|(given, rank)| {
            let mut spec = ProcessSpec {
                rank,
                count,
                args: self.args.clone(),
                commit: Commit::AtEnd,
                placement: Placement::Spread,
                ..common.clone()
            };
            given.give(&mut spec);
            self.grants.streams(spec)
        });
        specs.collect()
    }
}
