//! Panics in the middle of many handles, with a lock held and a record appended. Arguments: LOCK, FILE, HANDLES.

use std::error::Error;

use lockkeeper_guest::{AppendFile, Mutex};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<(), Box<dyn Error>> {
    let (lock, file) = (argument(1, "LOCK")?, argument(2, "FILE")?);
    let mut handles = Vec::new();
    for _ in 0..number(3, "HANDLES")? {
        handles.push((Mutex::open(&lock)?, AppendFile::open(&file)?));
    }
    let (lock, file) = handles.first().ok_or("HANDLES is 0")?;
    let guard = lock.lock()?;
    file.append(&guard, "before the panic")?;
    panic!("as it was told to");
}
