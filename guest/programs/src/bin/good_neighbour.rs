//! Takes a lock, computes a little under it, lets it go and computes much more without it, again and again, and says
//! how long it waited. Arguments: LOCK, ROUNDS, WORK (in turns of a loop).
//!
//! Begins at the barrier `start`, with the others. Prints `p99-us=N`: of a hundred waits for the lock, all but the longest
//! took no longer.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use lockkeeper_guest::{Barrier, Mutex};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<(), Box<dyn Error>> {
    let (lock, rounds, work) = (Mutex::open(&argument(1, "LOCK")?)?, number(2, "ROUNDS")?, number(3, "WORK")?);
    let mut waits = Vec::new();
    Barrier::open("start")?.wait()?;
    for _ in 0..rounds {
        let before = Instant::now();
        let guard = lock.lock()?;
        waits.push(before.elapsed());
        compute(work / 32);
        drop(guard);
        compute(work);
    }
    waits.sort_unstable();
    println!("p99-us={}", waits[waits.len() * 99 / 100].as_micros());
    Ok(())
}

fn compute(work: u64) {
    for turn in 0..work {
        black_box(turn);
    }
}
