//! `once LOCK`: acquires the lock, lets it go, and ends.

use lockkeeper_bench_guests::{Outcome, argument};
use lockkeeper_guest::Mutex;

fn main() -> Outcome {
    Ok(Mutex::open(&argument(1, "LOCK")?)?.lock()?.unlock()?)
}
