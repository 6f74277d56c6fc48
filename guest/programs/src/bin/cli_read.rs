//! A plain WASI command that prints a file: what a process may see, it can read. Argument: PATH.

use std::error::Error;
use std::io::{self, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let path = lockkeeper_guest_programs::argument(1, "PATH")?;
    let contents = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    io::stdout().write_all(&contents)?;
    Ok(())
}
