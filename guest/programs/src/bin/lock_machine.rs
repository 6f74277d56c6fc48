//! One of many at a lock that other hosts and native programs have too. Arguments: LOCK, NAME, ROUNDS.
//!
//! In `/data`, under the lock: reads the number in `count`, writes the next one, and notes it with the fence of the hold in a
//! file of its own, `log-NAME`, so that a number that was written twice is an update that was lost. Whoever is inside says so
//! in `inside` (both are written in one piece, so that whoever dies leaves the old or the new one); if somebody is inside already whose host is not in the directory `doomed`, two are. Prints how often the last
//! owner had died, and the longest wait in milliseconds.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use lockkeeper_guest::{Mutex, Previous};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let (name, rounds) = (argument(2, "NAME")?, number(3, "ROUNDS")?);
    let mut log = OpenOptions::new().create(true).append(true).open(format!("/data/log-{name}"))?;
    let (mut abandoned, mut longest) = (0, Duration::ZERO);
    for _ in 0..rounds {
        let asked = Instant::now();
        let guard = lock.lock()?;
        longest = longest.max(asked.elapsed());
        abandoned += u32::from(guard.previous() != Previous::Clean);
        let inside = fs::read_to_string("/data/inside")?.trim().to_owned();
        let host = inside.split(' ').next().unwrap_or_default();
        if !inside.is_empty() && !fs::exists(format!("/data/doomed/{host}"))? {
            writeln!(log, "OVERLAP {inside}")?;
        }
        put("inside", &name.replace('.', " "))?;
        let count: u64 = fs::read_to_string("/data/count")?.trim().parse()?;
        put("count", &(count + 1).to_string())?;
        log.write_all(format!("{} {}\n", count + 1, guard.fence()).as_bytes())?;
        put("inside", "")?;
        guard.unlock()?;
    }
    println!("done abandoned={abandoned} longest={}", longest.as_millis());
    Ok(())
}

fn put(file: &str, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(format!("/data/{file}"))?;
    file.write_all(format!("{text:63}\n").as_bytes())
}
