//! Holds its own lock, waits at a gate for the others, and asks for its neighbour's lock: a ring of these is a deadlock.
//!
//! `lock_ring OWN GATE NEXT` prints `holding`, and then `granted`, or `deadlock` with the names in the circle.

use std::error;

use lockkeeper_guest::{Error, Mutex};
use lockkeeper_guest_programs::argument;

fn main() -> Result<(), Box<dyn error::Error>> {
    let own = Mutex::open(&argument(1, "OWN")?)?;
    let gate = Mutex::open(&argument(2, "GATE")?)?;
    let next = Mutex::open(&argument(3, "NEXT")?)?;
    let _own = own.lock()?;
    println!("holding");
    gate.with_lock(|_| Ok::<_, Error>(()))?;
    match next.lock() {
        Ok(_next) => println!("granted"),
        Err(Error::Deadlock(circle)) => {
            let links: Vec<_> = circle.iter().map(|w| format!("{}:{}>{}", w.name, w.holds, w.waits_for)).collect();
            println!("deadlock {}", links.join(" "));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
