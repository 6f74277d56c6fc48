//! Several processes of one program append to one file, and the host waits for them.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p lockkeeper-guest-programs --bin lock_append
//! cargo run --example batch -- target/wasm32-wasip2/release/lock_append.wasm out
//! ```
//!
//! The program is given four arguments: the lock, the file, how many records to append, and a number to begin with.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use lockkeeper::{AppendSpec, FileSpec, Format, Grant, IfExists, JobSpec, LockSpec, Program, Runtime};

/// Processes, and what each of them appends.
const WORKERS: u32 = 4;
const RECORDS: u32 = 250;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(program), Some(out)) = (args.next(), args.next()) else {
        bail!("give the program and a directory for what it writes");
    };
    let records = run(program.as_ref(), out.as_ref())?;
    println!("{WORKERS} processes appended {records} records");
    Ok(())
}

/// Runs it all; answers how many records are in the file.
pub(crate) fn run(program: &Path, out: &Path) -> anyhow::Result<u64> {
    std::fs::create_dir_all(out)?;
    let runtime = Runtime::builder().state_dir(out.join("state")).build()?;
    let program = Program::from_file(&runtime, program)?;

    // What the processes share: a lock, and a file that nobody writes without it.
    let mut results = FileSpec::new(out.join("results.bin"), Format::Framed, "the batch example");
    results.if_exists = IfExists::Replace;
    let job = runtime.job(JobSpec {
        locks: vec![LockSpec::new("results")],
        files: vec![AppendSpec::new("results", results).requires_lock("results")],
        ..JobSpec::default()
    })?;

    let mut workers = Vec::new();
    for rank in 0..WORKERS {
        let worker = runtime
            .spawn(&program)
            .job(&job)
            .name(format!("worker-{rank}"))
            .arg("results")
            .arg("results")
            .arg(RECORDS.to_string())
            .arg(rank.to_string())
            .grant(Grant::lock("results"))
            .grant(Grant::file("results"))
            .limit(|limits| limits.memory_bytes_max = 16 << 20)
            .limit(|limits| limits.timeout = Some(Duration::from_secs(120)))
            .start()?;
        workers.push(worker);
    }
    // Whoever sees the end of a process finds its records in the file and its locks released.
    for worker in &workers {
        let exit = worker.join_blocking();
        if !exit.outcome.is_success() {
            bail!("{} ended badly: {}", exit.name, exit.outcome);
        }
    }
    Ok(job.position("results").expect("the job has this file").records)
}
