//! Appends until a quota says stop. Arguments: FILE (bound to no lock), RECORDS, BYTES.
//!
//! A record is BYTES bytes long, its end not counted: one letter for each rank. After the first that is refused, prints
//! `error=WORD` and ends with status 1.

use std::error::Error;
use std::process::ExitCode;

use lockkeeper_guest::{AppendFile, process};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let file = AppendFile::open(&argument(1, "FILE")?)?;
    let (records, bytes) = (number(2, "RECORDS")?, number(3, "BYTES")?);
    let letter = b'a' + (process::current().rank % 26) as u8;
    let record = vec![letter; usize::try_from(bytes)?];
    for _ in 0..records {
        if let Err(error) = file.append_unlocked(&record) {
            println!("error={}", error.word());
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
