//! `add_rate VALUE WINDOW_MS`: how much others add to a value per second, looked at twice, so long apart.

use std::time::{Duration, Instant};

use lockkeeper_bench_guests::{Outcome, argument, number};
use lockkeeper_guest::Value;

fn main() -> Outcome {
    let value = Value::<i64>::open(&argument(1, "VALUE")?)?;
    let window = Duration::from_millis(number(2, "WINDOW_MS")?);
    let (begun, before) = (Instant::now(), value.get());
    std::thread::sleep(window);
    let (took, after) = (begun.elapsed(), value.get());
    println!("{}", (after - before) as f64 / took.as_secs_f64());
    Ok(())
}
