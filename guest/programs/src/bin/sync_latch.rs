//! Latches keep what the contract promises. CPython has none. Argument: the case, as in
//! [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{Error, Event, Latch, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts, until};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "counts_down_to_zero_and_no_further" => counts,
    "zero_lets_everyone_go" => zero,
    "death_counts_nothing_down" => death,
}

fn counts(_rank: u32) -> Outcome {
    let latch = Latch::open("x")?;
    assert_eq!(latch.remaining(), 5);
    assert!(matches!(latch.count_down(0), Err(Error::InvalidArgument(_))));
    assert_eq!(latch.count_down(6), Err(Error::OverRelease));
    assert_eq!(latch.count_down(2)?, 3);
    assert!(!latch.wait_timeout(Duration::ZERO)? && !lasts(SHORT, || latch.wait_timeout(SHORT))?);
    assert_eq!(latch.count_down(3)?, 0);
    latch.wait()?;
    assert!(latch.wait_timeout(Duration::ZERO)?);
    assert_eq!((latch.count_down(1), latch.remaining()), (Err(Error::OverRelease), 0));
    assert_eq!(Latch::open("nothing-of-the-job").err(), Some(Error::Denied));
    Ok(())
}

/// Ranks 1 to 4 wait until rank 0 has counted down.
fn zero(rank: u32) -> Outcome {
    let (latch, passed) = (Latch::open("x")?, Value::<i64>::open("passed")?);
    if rank > 0 {
        latch.wait()?;
        passed.add(1)?;
        return Ok(());
    }
    Event::open("go")?.wait()?;
    latch.count_down(4)?;
    assert_eq!(passed.get(), 0);
    latch.count_down(1)?;
    until("all have passed", || passed.get() == 4);
    Ok(())
}

/// Rank 1 is killed, rank 0 still waits for what it did not count.
fn death(rank: u32) -> Outcome {
    let latch = Latch::open("x")?;
    if rank == 1 {
        latch.count_down(4)?;
        return Event::open("never")?.wait();
    }
    Event::open("go")?.wait()?;
    assert_eq!(latch.remaining(), 1);
    assert!(!latch.wait_timeout(SHORT)?);
    latch.count_down(1)?;
    latch.wait()
}
