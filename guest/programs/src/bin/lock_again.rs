//! Appends with the fence of each hold until the host refuses it, then acquires the lock anew, for ever. Arguments: LOCK,
//! FILE.
//!
//! A record is `FENCE NUMBER REFUSED`: the fence of the hold, the number of the record in it from 0, and how many holds
//! this process has lost before.

use std::error::Error;

use lockkeeper_guest::{AppendFile, Error as Refusal, Mutex};
use lockkeeper_guest_programs::argument;

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let file = AppendFile::open(&argument(2, "FILE")?)?;
    let mut refused = 0_u64;
    loop {
        let fence = match lock.lock() {
            Ok(guard) => {
                let fence = guard.fence();
                std::mem::forget(guard);
                fence
            }
            // Told once for each hold that was taken away.
            Err(Refusal::Lost(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        for number in 0_u64.. {
            match file.append(&fence, format!("{fence} {number} {refused}")) {
                Ok(_) => {}
                Err(Refusal::Fenced(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        refused += 1;
    }
}
