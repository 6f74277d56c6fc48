//! What lockkeeper's locks, append files and processes cost beside those of others: `cargo run --release -p
//! lockkeeper-bench -- locks`, `append`, `processes`, `python` or `machine`.
//!
//! Ours and the peers take turns in one run, round by round, so that whatever else the machine does meets all of them
//! alike. A ratio is taken within a round; its median over the rounds is compared with the budget.

mod append;
mod bare;
mod bindings;
mod conditions;
mod figures;
mod guests;
mod machine;
mod native;
mod ours;
mod plan;
mod processes;
mod python;
mod report;
mod scripts;
mod tally;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::conditions::Conditions;
use crate::figures::Cell;
use crate::plan::{Lengths, NotMeasured};

/// Measures lockkeeper beside its peers.
#[derive(Parser)]
#[command(name = "lockkeeper-bench")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Locks and shared values, beside empty host calls, `parking_lot`, tokio and CPython.
    Locks {
        #[command(flatten)]
        how: How,
    },
    /// Append files, beside the same loops in native Rust and in CPython.
    Append {
        #[command(flatten)]
        how: How,
        /// Where the files are; a disk, as a sync costs nothing in memory [default: a new directory in `target`]
        #[arg(long)]
        dir: Option<PathBuf>,
        /// How many bytes at a time all that sync, ours and the native peers, allocate ahead, the length left as it is; 0 is
        /// none. The default is ours.
        #[arg(long, default_value_t = 1 << 20)]
        preallocate: u64,
    },
    /// What `processes` runs in a system process of its own.
    #[command(hide = true)]
    Waiting { profile: String, shards: usize },
    /// Processes, from start to end, and the memory of those that wait, beside CPython's.
    Processes {
        #[command(flatten)]
        how: How,
    },
    /// Locks of the machine, in one host and in several, beside `flock(2)`.
    Machine {
        #[command(flatten)]
        how: How,
    },
    /// What `machine` runs in a system process of its own.
    #[command(hide = true)]
    Outsider { who: machine::Who, dir: PathBuf, processes: u32, shards: usize },
    /// Python programs as guests, beside the same ones in CPython.
    Python {
        #[command(flatten)]
        how: How,
    },
}

#[derive(clap::Args)]
struct How {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// How long each figure that is a rate is counted for, in milliseconds.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    window_ms: u64,
    /// How many shards; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    shards: usize,
    /// Only what has this text in its name.
    #[arg(long)]
    only: Option<String>,
    /// Everything as one JSON document.
    #[arg(long)]
    json: bool,
}

impl How {
    fn shards(&self) -> usize {
        if self.shards == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { self.shards }
    }

    fn lengths(&self) -> Lengths {
        let window = Duration::from_millis(self.window_ms);
        Lengths { pairs: 200_000, warm_up: Duration::from_millis(100), window }
    }

    fn conditions(&self) -> Conditions {
        Conditions::look(self.shards(), self.rounds, self.lengths())
    }

    fn print(&self, cells: &[Cell], not_measured: Vec<NotMeasured>, conditions: Conditions) -> anyhow::Result<()> {
        let report = report::Report::new(cells, not_measured, conditions);
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    match Args::parse().what {
        What::Locks { how } => {
            let mut conditions = how.conditions();
            let bench = plan::Bench::new(how.shards(), how.lengths())?;
            let cells = plan::measure(bench.plan(), how.rounds, how.only.as_deref())?;
            conditions.finish(bench.python_version(), bench.notes());
            how.print(&cells, bench.not_measured(), conditions)
        }
        What::Append { how, dir, preallocate } => {
            let mut conditions = how.conditions();
            let disk = append::Disk::new(dir.as_deref(), preallocate)?;
            let bench = append::Bench::new(how.shards(), how.lengths(), disk)?;
            let cells = plan::measure(bench.plan(), how.rounds, how.only.as_deref())?;
            conditions.finish(bench.python_version(), bench.notes());
            how.print(&cells, bench.not_measured(), conditions)
        }
        What::Waiting { profile, shards } => {
            println!("{}", processes::waiting(&profile, shards)?);
            Ok(())
        }
        What::Processes { how } => {
            let mut conditions = how.conditions();
            let bench = processes::Bench::new(how.shards(), how.lengths())?;
            let cells = plan::measure(bench.plan(), how.rounds, how.only.as_deref())?;
            conditions.finish(bench.python_version(), bench.notes());
            how.print(&cells, bench.not_measured(), conditions)
        }
        What::Machine { how } => {
            let mut conditions = how.conditions();
            let bench = machine::Bench::new(how.shards(), how.lengths())?;
            let cells = plan::measure(bench.plan(), how.rounds, how.only.as_deref())?;
            conditions.finish(None, bench.notes());
            how.print(&cells, Vec::new(), conditions)
        }
        What::Outsider { who, dir, processes, shards } => machine::take_part(who, &dir, processes, shards),
        What::Python { how } => {
            let mut conditions = how.conditions();
            let bench = scripts::Bench::new(how.shards(), how.lengths())?;
            let cells = plan::measure(bench.plan(), how.rounds, how.only.as_deref())?;
            conditions.finish(bench.python_version(), bench.notes());
            how.print(&cells, bench.not_measured(), conditions)
        }
    }
}
