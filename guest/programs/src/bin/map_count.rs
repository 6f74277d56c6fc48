//! One process for each input: appends a row `INPUT,LINE,BYTES` for each line of it to the file `results` (`csv`, three
//! columns, bound to no lock). Argument: INPUT, a path.
//!
//! An input whose first line is `fail` ends with status 1, one whose first line is `trap` traps, both after their rows
//! were appended: none of those may remain.

use std::error::Error;
use std::process::ExitCode;

use lockkeeper_guest::{AppendFile, row};
use lockkeeper_guest_programs::{argument, trap};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let input = argument(1, "INPUT")?;
    let text = std::fs::read_to_string(&input).map_err(|error| format!("{input}: {error}"))?;
    let results = AppendFile::open("results")?;
    for (index, line) in text.lines().enumerate() {
        results.append_row_unlocked(row![input, index + 1, line.len()])?;
    }
    match text.lines().next() {
        Some("fail") => Ok(ExitCode::FAILURE),
        Some("trap") => trap(),
        _ => Ok(ExitCode::SUCCESS),
    }
}
