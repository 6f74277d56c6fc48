//! `hold LOCK`: acquires the lock, prints `ready` and keeps it until it is killed, so that others queue.

use std::time::Duration;

use lockkeeper_bench_guests::{Outcome, argument};
use lockkeeper_guest::Mutex;

fn main() -> Outcome {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let _held = lock.lock()?;
    println!("ready");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
