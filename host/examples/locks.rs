//! Host code and guests in one queue: both take the same lock and append to the same file.
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2 -p lockkeeper-guest-programs --bin lock_append
//! cargo run --example locks -- target/wasm32-wasip2/release/lock_append.wasm out
//! ```

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, bail};
use lockkeeper::{
    AppendSpec, Durability, FileSpec, Format, Grant, IfExists, Job, JobSpec, LockError, LockSpec, Program, Runtime,
};

/// Records that each guest, and each thread of the host, appends.
const RECORDS: u32 = 100;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(program), Some(out)) = (args.next(), args.next()) else {
        bail!("give the program and a directory for what it writes");
    };
    println!("{} records", run(program.as_ref(), out.as_ref())?);
    Ok(())
}

/// Runs it all; answers how many records are in the file.
pub(crate) fn run(program: &Path, out: &Path) -> anyhow::Result<u64> {
    std::fs::create_dir_all(out)?;
    let runtime = Runtime::builder().state_dir(out.join("state")).build()?;
    let program = Program::from_file(&runtime, program)?;
    let mut results = FileSpec::new(out.join("results.bin"), Format::Framed, "the locks example");
    results.if_exists = IfExists::Replace;
    let job = runtime.job(JobSpec {
        locks: vec![LockSpec::new("results")],
        files: vec![AppendSpec::new("results", results).requires_lock("results")],
        ..JobSpec::default()
    })?;

    // Nobody writes before the host has: it has the lock first.
    let mut first = job.locks("first");
    let hold = first.acquire("results").blocking()?;
    let guests = (0..2)
        .map(|rank| {
            let spawn = runtime.spawn(&program).job(&job).name(format!("guest-{rank}"));
            let args = ["results".to_owned(), "results".to_owned(), RECORDS.to_string(), rank.to_string()];
            let spawn = args.into_iter().fold(spawn, |spawn, arg| spawn.arg(arg));
            spawn.grant(Grant::lock("results")).grant(Grant::file("results")).start()
        })
        .collect::<Result<Vec<_>, _>>()?;
    first.append("results", "the first record").under(&hold).durability(Durability::Synced).blocking()?;
    hold.release()?;

    thread::scope(|scope| {
        let threads = [scope.spawn(|| append(&job, "thread-0")), scope.spawn(|| append(&job, "thread-1"))];
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        anyhow::Ok(())
    })?;
    for guest in guests {
        let exit = guest.join_blocking();
        if !exit.outcome.is_success() {
            bail!("{} ended badly: {}", exit.name, exit.outcome);
        }
    }
    Ok(job.position("results").expect("the job has this file").records)
}

/// One thread of the host. Each has an owner of its own, so that they exclude each other.
fn append(job: &Job, name: &str) -> anyhow::Result<()> {
    let mut locks = job.locks(name);
    for number in 0..RECORDS {
        let hold = match locks.acquire("results").within(Duration::from_secs(60)).blocking() {
            Ok(hold) => hold,
            Err(LockError::TimedOut { .. }) => bail!("the lock was not free for a minute"),
            Err(error) => return Err(error.into()),
        };
        let record = format!("{name}: {number}");
        locks.append("results", &record).under(&hold).blocking()?;
    }
    Ok(())
}
