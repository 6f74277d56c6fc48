//! A plain WASI command that prints much. Argument: how many lines of 1,000 bytes, the newline included.

use std::error::Error;
use std::io::{self, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut line = vec![b'x'; 999];
    line.push(b'\n');
    let mut out = io::stdout().lock();
    for _ in 0..lockkeeper_guest_programs::number(1, "LINES")? {
        out.write_all(&line)?;
    }
    Ok(())
}
