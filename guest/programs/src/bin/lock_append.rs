//! Many processes append records of many sizes to one file, so that a test can look for a lost, torn or mixed one.
//!
//! Arguments: LOCK (`-` for none), FILE, RECORDS, SEED. The records are those of
//! [`lockkeeper_guest_programs::record`]; with a lock, each is appended under a hold of its own.

use std::error::Error;

use lockkeeper_guest::{AppendFile, Mutex, process};
use lockkeeper_guest_programs::{argument, number, record};

fn main() -> Result<(), Box<dyn Error>> {
    let (lock, file) = (argument(1, "LOCK")?, argument(2, "FILE")?);
    let (records, seed) = (number(3, "RECORDS")?, number(4, "SEED")?);
    let rank = process::current().rank;
    let lock = if lock == "-" { None } else { Some(Mutex::open(&lock)?) };
    let file = AppendFile::open(&file)?;
    for index in 0..records {
        let record = record(seed, rank, index);
        match &lock {
            Some(lock) => lock.with_lock(|guard| file.append(guard, &record))?,
            None => file.append_unlocked(&record)?,
        };
    }
    Ok(())
}
