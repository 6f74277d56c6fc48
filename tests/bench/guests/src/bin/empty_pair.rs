//! `empty_pair COUNT`: what two host calls of the shape of acquire and release cost that do nothing. Prints nanoseconds
//! per pair.

use lockkeeper_bench_guests::{EmptyPair, Outcome, number, timed};

fn main() -> Outcome {
    let pair = EmptyPair::open()?;
    let count = number(1, "COUNT")?;
    let took = timed(count, || pair.call())?;
    println!("{}", took.as_nanos() as f64 / count as f64);
    Ok(())
}
