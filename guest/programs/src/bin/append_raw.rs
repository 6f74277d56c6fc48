//! What append files are measured against: the same by plain WASI. Arguments: PATH, RECORDS, BYTES, TAG.
//!
//! A record is BYTES bytes long: the letter TAG, and a newline at the end. Nothing promises that it stays whole.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;

use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<(), Box<dyn Error>> {
    let path = argument(1, "PATH")?;
    let (records, bytes) = (number(2, "RECORDS")?, number(3, "BYTES")?);
    let tag = argument(4, "TAG")?;
    let [tag] = *tag.as_bytes() else { return Err("TAG is one letter".into()) };

    let mut record = vec![tag; usize::try_from(bytes)?.saturating_sub(1)];
    record.push(b'\n');
    let mut file =
        OpenOptions::new().append(true).create(true).open(&path).map_err(|error| format!("{path}: {error}"))?;
    for _ in 0..records {
        file.write_all(&record)?;
    }
    Ok(())
}
