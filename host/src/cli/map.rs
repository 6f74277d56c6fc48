//! `lockkeeper map`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use lockkeeper::{ByteSize, Commit, IfExists, Placement, ProcessSpec};

use super::options::{GrantOptions, HostOptions, processes};
use super::series::{Begin, Order, Series};
use super::session::{ExitCodes, Plan, Session, View, check_what_they_see};

/// With `--keep-order`, so many inputs per job may be started before the first of them has committed: what they have
/// appended waits in memory, and more jobs need more inputs to have something to do meanwhile.
const AHEAD_PER_JOB: u64 = 4;

#[derive(Debug, Args)]
pub(super) struct Map {
    /// A program (component, or WASI 0.1 core module)
    #[arg(value_name = "PROGRAM.wasm")]
    program: PathBuf,
    /// Input files, one process each; a process sees its own as its last argument, read-only, and no other
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// Processes at a time [default: two per core]
    #[arg(short = 'j', long = "jobs", value_name = "N", value_parser = processes)]
    jobs: Option<u32>,
    /// Go on with the last run of `map` into these files, after a crash or a failure: an input runs only if its records are
    /// not in all of the files yet. One counts as the same if its name and content, the program and the arguments are
    #[arg(long)]
    resume: bool,
    /// The records stand in the files in the order of the inputs; processes run side by side all the same
    #[arg(short = 'k', long)]
    keep_order: bool,
    /// Bytes that a process may append, which are held back until it ends well [default: 64MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Grants and limits")]
    max_held_back: Option<ByteSize>,
    /// Arguments of the program, before the input
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    grants: GrantOptions,
    #[command(flatten)]
    host: HostOptions,
}

impl Map {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        if !self.grants.has_files() {
            bail!("map writes what the processes append; name a file with --append NAME=FILE");
        }
        let mut job = self.grants.job()?;
        for file in &mut job.files {
            file.file.ids = true;
            let contradiction = match file.file.if_exists {
                IfExists::Append => continue,
                IfExists::Replace => "--if-exists replace, which empties them",
                IfExists::Refuse => "--if-exists refuse, which wants none",
            };
            if self.resume {
                bail!("--resume goes on with what is in the files, unlike {contradiction}; give one of the two");
            }
        }
        let mut common = self.grants.process(&job)?;
        if let Some(max) = self.max_held_back {
            common.limits.held_back_bytes_max = max.0;
        }
        let total = self.inputs.len();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = self.jobs.map_or(2 * cores, |jobs| jobs as usize);
        let session = Session::start(&self.host, self.grants.lock_limits(), total, at_once)?;
        let program = session.load(&self.program)?;
        let processes = self.inputs.iter().zip(0u32..).map(|(input, rank)| {
            let file = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut args = self.args.clone();
            args.push(format!("/input/{file}"));
            let spec = ProcessSpec {
                name: file,
                rank,
                count: u32::try_from(total).unwrap_or(u32::MAX),
                args,
                inputs: vec![input.clone()],
                commit: Commit::AtEnd,
                placement: Placement::Spread,
                ..common.clone()
            };
            (program.clone(), spec)
        });
        let mut processes: Vec<_> = processes.collect();
        let order = match self.keep_order {
            true => Order::AsGiven { ahead_max: AHEAD_PER_JOB.saturating_mul(at_once as u64) },
            false => Order::AsTheyEnd,
        };
        let begin = if self.resume { Begin::Resumed } else { Begin::Anew };
        check_what_they_see(&processes)?;
        let series = Series::new(begin, order, &mut processes)?;
        let plan = Plan { job, processes, at_once, view: View::Tagged, exit_code: ExitCodes::Failures };
        session.run_series(plan, Some(&series))
    }
}
