//! `append_rate FILE COUNT DURABILITY`: appends so many records of 99 bytes, which take 100 with their newline, and prints
//! how many it were per second. With a COUNT of 0 it prints `ready` and appends until it is killed; the host counts.

use lockkeeper_bench_guests::append::{Durability, append};
use lockkeeper_bench_guests::{Outcome, argument, number, timed};
use lockkeeper_guest::AppendFile;

const RECORD: [u8; 99] = [b'x'; 99];

fn main() -> Outcome {
    let file = AppendFile::open(&argument(1, "FILE")?)?;
    let count = number(2, "COUNT")?;
    let durability = Durability::from_word(&argument(3, "DURABILITY")?)?;
    if count > 0 {
        let took = timed(count, || append(&file, &RECORD, durability))?;
        println!("{}", count as f64 / took.as_secs_f64());
        return Ok(());
    }
    println!("ready");
    loop {
        append(&file, &RECORD, durability)?;
    }
}
