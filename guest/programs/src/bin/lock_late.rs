//! A late writer: goes on to append with the fence of a hold until the host refuses it. Arguments: LOCK, FILE.
//!
//! Prints `holding fence=N`, appends the records `late 0`, `late 1` and so on, and when one is refused prints the word
//! of the error, then `end`.

use std::error::Error;
use std::io::{self, Write};

use lockkeeper_guest::{AppendFile, Mutex};
use lockkeeper_guest_programs::argument;

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let file = AppendFile::open(&argument(2, "FILE")?)?;
    let guard = lock.lock()?;
    let fence = guard.fence();
    println!("holding fence={fence}");
    io::stdout().flush()?;
    for number in 0_u64.. {
        if let Err(error) = file.append(&fence, format!("late {number}")) {
            println!("{}", error.word());
            break;
        }
    }
    println!("end");
    Ok(())
}
