//! `locked_rows LOCK FILE HOW`: prints `ready`, and acquires the lock, appends a row that takes 100 bytes and releases,
//! until it is killed. The host counts. HOW is `fields` or `bytes`.

use lockkeeper_bench_guests::append::{append_row, append_row_bytes};
use lockkeeper_bench_guests::{Outcome, argument};
use lockkeeper_guest::{AppendFile, Mutex};

/// What the row takes in the file without its newline, as that of `peers/append.py`.
const ROW_BYTES: usize = 99;

fn main() -> Outcome {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let file = AppendFile::open(&argument(2, "FILE")?)?;
    let how = argument(3, "HOW")?;
    let start = "client-3,17,0.250000,";
    let row = format!("{start}{}", "x".repeat(ROW_BYTES - start.len()));
    let fields: Vec<&str> = row.split(',').collect();
    println!("ready");
    match how.as_str() {
        "fields" => loop {
            let guard = lock.lock()?;
            append_row(&file, &guard, &fields)?;
            guard.unlock()?;
        },
        "bytes" => loop {
            let guard = lock.lock()?;
            append_row_bytes(&file, &guard, row.as_bytes())?;
            guard.unlock()?;
        },
        _ => Err(format!("{how} is not `fields` or `bytes`").into()),
    }
}
