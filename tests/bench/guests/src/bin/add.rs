//! `add VALUE`: prints `ready` and adds to the value until it is killed. `add_rate` counts.

use lockkeeper_bench_guests::{Outcome, argument};
use lockkeeper_guest::Value;

fn main() -> Outcome {
    let value = Value::<i64>::open(&argument(1, "VALUE")?)?;
    println!("ready");
    loop {
        value.add(1)?;
    }
}
