//! `pair LOCK COUNT`: what a pair of acquire and release costs when nobody else wants the lock. Prints nanoseconds per
//! pair.

use lockkeeper_bench_guests::{Outcome, argument, number, timed};
use lockkeeper_guest::Mutex;

fn main() -> Outcome {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let count = number(2, "COUNT")?;
    let took = timed(count, || lock.lock()?.unlock())?;
    println!("{}", took.as_nanos() as f64 / count as f64);
    Ok(())
}
