//! Barriers behave as those of CPython's tests do. Argument: the case, as in [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{Array, Barrier, BrokenCause, Error, Event, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts, until};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_constructor" => constructor,
    "test_barrier" => barrier,
    "test_barrier_10" => barrier_10,
    "test_thousand" => thousand,
    "test_wait_return" => wait_return,
    "test_action" => action,
    "test_abort" => abort,
    "test_reset" => reset,
    "test_abort_and_reset" => abort_and_reset,
    "test_timeout" => timeout,
    "test_default_timeout" => lonely_timeout,
    "test_single_thread" => single,
    "test_filling_task_by_task" => one_by_one,
    "test_filling_tasks_wait_twice" => wait_twice,
    "test_reset_barrier" => reset_empty,
    "test_reset_barrier_while_tasks_waiting_and_waiting_again" => reset_and_again,
    "test_abort_barrier" => abort_empty,
    "test_abort_barrier_when_exception_then_resetting" => abort_and_reset,
    "test_reset_barrier_when_tasks_half_draining" => half_draining,
    "test_filling_tasks_cancel_one" => cancel_one,
    "party_that_dies_elsewhere_breaks_a_registered_barrier" => registered,
    "process_that_dies_elsewhere_breaks_no_other" => not_registered,
}

fn constructor(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    assert_eq!((barrier.parties(), barrier.waiting(), barrier.broken()), (5, 0, None));
    assert_eq!(Barrier::open("nothing-of-the-job").err(), Some(Error::Denied));
    Ok(())
}

/// In two steps a round, each counted when all have come to it, and by nobody before.
fn passes(rounds: i64) -> Outcome {
    let barrier = Barrier::open("x")?;
    let (before, after) = (Value::<i64>::open("before")?, Value::<i64>::open("after")?);
    let parties = i64::from(barrier.parties());
    for round in 0..rounds {
        before.add(1)?;
        assert_eq!(after.get(), round * parties);
        barrier.wait()?;
        after.add(1)?;
        assert_eq!(before.get(), (round + 1) * parties);
        barrier.wait()?;
    }
    assert_eq!(barrier.broken(), None);
    Ok(())
}

fn barrier(_rank: u32) -> Outcome {
    passes(1)
}

fn barrier_10(_rank: u32) -> Outcome {
    passes(10)
}

fn thousand(_rank: u32) -> Outcome {
    passes(1_000)
}

/// In each round every party gets another index.
fn wait_return(rank: u32) -> Outcome {
    let (barrier, taken) = (Barrier::open("x")?, Array::<i64>::open("taken")?);
    for round in 1..=20 {
        taken.add(barrier.wait()?, 1)?;
        barrier.wait()?;
        if rank == 0 {
            assert_eq!(taken.slice(0, 5)?, [round; 5]);
        }
        barrier.wait()?;
    }
    Ok(())
}

/// One of them, chosen by its index, acts for all before they go on.
fn action(_rank: u32) -> Outcome {
    let (barrier, acted) = (Barrier::open("x")?, Value::<i64>::open("before")?);
    if barrier.wait()? == 0 {
        acted.add(1)?;
    }
    barrier.wait()?;
    assert_eq!(acted.get(), 1);
    Ok(())
}

fn abort(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    if barrier.wait()? == 2 {
        barrier.abort();
    } else {
        assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::Aborted)));
    }
    assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::Aborted)), "broken until it is reset");
    assert_eq!(barrier.broken(), Some(BrokenCause::Aborted));
    Ok(())
}

/// Who waits at the reset is sent away; afterwards all of them meet.
fn reset(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    if barrier.wait()? == 2 {
        until("the others wait", || barrier.waiting() == 4);
        barrier.reset();
    } else {
        assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::Reset)));
    }
    barrier.wait()?;
    assert_eq!(barrier.broken(), None);
    Ok(())
}

fn abort_and_reset(_rank: u32) -> Outcome {
    let (barrier, other) = (Barrier::open("x")?, Barrier::open("y")?);
    if barrier.wait()? == 2 {
        barrier.abort();
    } else {
        assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::Aborted)));
    }
    if other.wait()? == 2 {
        barrier.reset();
    }
    other.wait()?;
    barrier.wait()?;
    assert_eq!(barrier.broken(), None);
    Ok(())
}

/// One comes too late for those whose time ran out.
fn timeout(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    if barrier.wait()? == 2 {
        until("somebody has given up", || barrier.broken().is_some());
        assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::TimedOut)));
    } else {
        let refused = barrier.wait_timeout(SHORT).expect_err("one does not come");
        assert!([Error::TimedOut, Error::Broken(BrokenCause::TimedOut)].contains(&refused), "{refused}");
    }
    assert_eq!(barrier.broken(), Some(BrokenCause::TimedOut));
    Ok(())
}

fn lonely_timeout(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    assert_eq!(lasts(SHORT, || barrier.wait_timeout(SHORT)), Err(Error::TimedOut));
    assert_eq!(barrier.wait_timeout(Duration::MAX), Err(Error::Broken(BrokenCause::TimedOut)));
    barrier.reset();
    assert_eq!(barrier.wait_timeout(Duration::ZERO), Err(Error::TimedOut));
    Ok(())
}

fn single(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    for _ in 0..3 {
        assert_eq!(barrier.wait()?, 0);
    }
    assert_eq!(barrier.waiting(), 0);
    Ok(())
}

/// They come in the order of their ranks, and get their indices in it.
fn one_by_one(rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    until("those before wait", || barrier.waiting() == rank);
    assert_eq!(barrier.wait()?, rank);
    Ok(())
}

/// Six processes at a barrier of three: two rounds, in which nobody is left behind.
fn wait_twice(rank: u32) -> Outcome {
    let (barrier, taken) = (Barrier::open("x")?, Array::<i64>::open("taken")?);
    taken.add(barrier.wait()?, 1)?;
    Barrier::open("y")?.wait()?;
    if rank == 0 {
        assert_eq!(taken.slice(0, 3)?, [2, 2, 2]);
        assert_eq!(barrier.waiting(), 0);
    }
    Ok(())
}

fn reset_empty(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    barrier.reset();
    assert_eq!((barrier.waiting(), barrier.broken()), (0, None), "nobody waited, so nothing is broken");
    Ok(())
}

/// Who was sent away by the reset waits again, in the new round.
fn reset_and_again(rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    if rank == 0 {
        for _ in 0..3 {
            until("the others wait", || barrier.waiting() == 4);
            barrier.reset();
        }
        barrier.wait()?;
    } else {
        for _ in 0..3 {
            assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::Reset)));
        }
        barrier.wait()?;
    }
    Ok(())
}

fn abort_empty(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    barrier.abort();
    barrier.abort();
    assert_eq!(barrier.broken(), Some(BrokenCause::Aborted));
    assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::Aborted)));
    barrier.reset();
    assert_eq!((barrier.waiting(), barrier.broken()), (0, None));
    Ok(())
}

/// The last one resets the barrier at once after its wait, when others may not have run yet. They have their indices.
fn half_draining(_rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    for _ in 0..100 {
        if barrier.wait()? == 4 {
            barrier.reset();
        }
        Barrier::open("y")?.wait()?;
    }
    assert_eq!(barrier.broken(), None);
    Ok(())
}

/// Rank 1 waits and is killed. Rank 2, which waits too, and rank 0, which comes later, are told.
fn cancel_one(rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    match rank {
        0 => {
            Event::open("go")?.wait()?;
            assert_eq!(barrier.broken(), Some(BrokenCause::PartyEnded));
            assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::PartyEnded)));
            barrier.reset();
            assert_eq!(barrier.broken(), None);
        }
        1 => {
            barrier.wait()?;
            panic!("this process was to be killed while it waited");
        }
        _ => assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::PartyEnded))),
    }
    Ok(())
}

/// After a first round rank 1 is killed somewhere else.
fn registered(rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    barrier.wait()?;
    if rank == 1 {
        return Event::open("never")?.wait();
    }
    assert_eq!(barrier.wait(), Err(Error::Broken(BrokenCause::PartyEnded)));
    Ok(())
}

fn not_registered(rank: u32) -> Outcome {
    let barrier = Barrier::open("x")?;
    match rank {
        0 => {
            barrier.wait()?;
            Event::open("go")?.wait()?;
            assert_eq!(barrier.broken(), None);
            barrier.wait()?;
        }
        1 => {
            barrier.wait()?;
            Event::open("never")?.wait()?;
        }
        // Takes the place of rank 1.
        _ => {
            Event::open("go")?.wait()?;
            barrier.wait()?;
        }
    }
    Ok(())
}
