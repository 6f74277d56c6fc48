//! Makes `data/test.csv` and `data/train-0.csv` to `data/train-7.csv` from `data/digits.csv`.
//!
//! The files are committed, so nobody has to run this: it shows where they come from. From this directory:
//! `cargo run --bin split`.

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use federated_client::split::split;

fn main() -> ExitCode {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    match write_parts(&data) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("split: {}: {error}", data.display());
            ExitCode::FAILURE
        }
    }
}

fn write_parts(data: &Path) -> io::Result<()> {
    let rows = fs::read_to_string(data.join("digits.csv"))?;
    for (name, contents) in split(&rows) {
        fs::write(data.join(&name), &contents)?;
        println!("{name}: {} rows", contents.lines().count());
    }
    Ok(())
}
