//! What lockkeeper's locks cost beside those of others: `cargo run --release -p lockkeeper-bench -- locks`.
//!
//! Ours and the peers take turns in one run, round by round, so that whatever else the machine does meets all of them
//! alike. A ratio is taken within a round; its median over the rounds is compared with the budget.

mod bare;
mod bindings;
mod conditions;
mod figures;
mod guests;
mod native;
mod ours;
mod plan;
mod python;
mod report;
mod tally;

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::conditions::Conditions;
use crate::plan::Lengths;

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
    },
}

fn main() -> anyhow::Result<()> {
    let What::Locks { rounds, window_ms, shards, only, json } = Args::parse().what;
    let shards = if shards == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { shards };
    let lengths =
        Lengths { pairs: 200_000, warm_up: Duration::from_millis(100), window: Duration::from_millis(window_ms) };
    let mut conditions = Conditions::look(shards, rounds, lengths);
    let bench = plan::Bench::new(shards, lengths)?;
    let cells = bench.run(rounds, only.as_deref())?;
    conditions.finish(&bench);
    let report = report::Report::new(&cells, bench.not_measured(), conditions);
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
