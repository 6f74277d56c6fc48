//! The next owner: waits for a lock and says how the last one left it. Arguments: LOCK, TIMEOUT_MS (for ever
//! if it is missing).
//!
//! Prints `granted fence=N previous=clean` or `granted fence=N previous=abandoned how=CAUSE who=PROCESS`, releases, and
//! prints `released`. If the wait ends otherwise, prints `error=WORD` and ends with status 1.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use lockkeeper_guest::{Mutex, Previous};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let answer = match std::env::args().nth(2) {
        None => lock.lock(),
        Some(_) => lock.lock_timeout(Duration::from_millis(number(2, "TIMEOUT_MS")?)),
    };
    let guard = match answer {
        Ok(guard) => guard,
        Err(error) => {
            println!("error={}", error.word());
            return Ok(ExitCode::FAILURE);
        }
    };
    match guard.previous() {
        Previous::Clean => println!("granted fence={} previous=clean", guard.fence()),
        Previous::Abandoned(last) => {
            println!("granted fence={} previous=abandoned how={} who={}", guard.fence(), last.how, last.who);
        }
    }
    guard.unlock()?;
    println!("released");
    Ok(ExitCode::SUCCESS)
}
