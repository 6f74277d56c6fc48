//! Appends the fence of each hold under it. Arguments: LOCK, FILE, HOLDS.

use std::error::Error;

use lockkeeper_guest::{AppendFile, Mutex};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let file = AppendFile::open(&argument(2, "FILE")?)?;
    for _ in 0..number(3, "HOLDS")? {
        lock.with_lock(|guard| file.append(guard, guard.fence().to_string()))?;
    }
    Ok(())
}
