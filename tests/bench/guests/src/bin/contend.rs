//! `contend LOCK`: prints `ready` and acquires and releases until it is killed. The host counts.

use lockkeeper_bench_guests::{Outcome, argument};
use lockkeeper_guest::Mutex;

fn main() -> Outcome {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    println!("ready");
    loop {
        lock.lock()?.unlock()?;
    }
}
