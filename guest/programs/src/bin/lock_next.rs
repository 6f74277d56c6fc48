//! The next owner: waits for a lock and says how the last one left it. Argument: LOCK.
//!
//! Prints `granted fence=N previous=clean` or `granted fence=N previous=abandoned how=CAUSE who=PROCESS`, releases, and
//! prints `released`.

use std::error::Error;

use lockkeeper_guest::{Mutex, Previous};
use lockkeeper_guest_programs::argument;

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let guard = lock.lock()?;
    match guard.previous() {
        Previous::Clean => println!("granted fence={} previous=clean", guard.fence()),
        Previous::Abandoned(last) => {
            println!("granted fence={} previous=abandoned how={} who={}", guard.fence(), last.how, last.who);
        }
    }
    guard.unlock()?;
    println!("released");
    Ok(())
}
