//! Semaphores behave as those of CPython's tests do. Argument: the case, as in [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{Barrier, Error, Event, Latch, LimitKind, Semaphore, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts, until};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_constructor" => constructor,
    "test_acquire" => acquire,
    "test_acquire_destroy" => acquire_destroy,
    "test_acquire_contended" => acquire_contended,
    "test_multirelease" => multirelease,
    "test_try_acquire" => try_acquire,
    "test_try_acquire_contended" => try_acquire_contended,
    "test_acquire_timeout" => acquire_timeout,
    "test_default_value" => default_value,
    "test_with" => with,
    "test_release_unacquired" => release_unacquired,
    "test_release_unacquired@bounded" => release_unacquired_bounded,
    "test_release_unacquired@owned" => release_unacquired_owned,
    "test_semaphore@mp" => semaphore_mp,
    "test_bounded_semaphore@mp" => bounded_semaphore_mp,
    "test_timeout@mp" => timeout_mp,
    "test_initial_value_zero" => initial_value_zero,
    "test_acquire_fifo_order" => fifo_order,
    "test_acquire_fifo_order_2" => fifo_order_many_first,
    "test_acquire_fifo_order_3" => fifo_order_killed,
    "test_acquire_fifo_order_4" => fifo_order,
    "test_acquire_cancel" => acquire_cancel,
    "test_acquire_cancel_before_awoken" => cancel_before_awoken,
    "test_acquire_hang" => hang,
    "permits_of_a_dead_process_come_back" => dead_owner,
}

fn constructor(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    assert_eq!((semaphore.value(), semaphore.maximum(), semaphore.held()), (3, Some(5), 0));
    assert_eq!(Semaphore::open("nothing-of-the-job").err(), Some(Error::Denied));
    assert!(matches!(semaphore.acquire(0), Err(Error::InvalidArgument(_))));
    assert!(matches!(semaphore.try_acquire(0), Err(Error::InvalidArgument(_))));
    assert!(matches!(semaphore.release(0), Err(Error::InvalidArgument(_))));
    // More than there can ever be is refused at once.
    assert_eq!(semaphore.acquire(6).err(), Some(Error::Limit(LimitKind::Permits)));
    assert_eq!(semaphore.try_acquire(6).err(), Some(Error::Limit(LimitKind::Permits)));
    Ok(())
}

fn acquire(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    semaphore.acquire(1)?.release()?;
    let both = semaphore.acquire(2)?;
    assert_eq!((both.count(), semaphore.value()), (2, 0));
    both.release()?;
    assert_eq!(semaphore.value(), 2);
    Ok(())
}

fn acquire_destroy(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    semaphore.acquire(1)?.forget();
    drop(semaphore);
    let again = Semaphore::open("s")?;
    assert_eq!(again.value(), 1, "a handle that is dropped gives nothing back");
    again.release(1)
}

/// Ten processes acquire twice each; as many get through as there are permits.
fn acquire_contended(rank: u32) -> Outcome {
    let (semaphore, start) = (Semaphore::open("s")?, Barrier::open("b")?);
    let (got, ended) = (Value::<i64>::open("got")?, Latch::open("ended")?);
    if rank != 0 {
        start.wait()?;
        for _ in 0..2 {
            semaphore.acquire(1)?.forget();
            got.add(1)?;
        }
        ended.count_down(1)?;
        return Ok(());
    }
    semaphore.acquire(1)?.forget();
    start.wait()?;
    for (release, total) in [(7, 13), (6, 19), (1, 20)] {
        until("all permits are taken", || semaphore.value() == 0 && got.get() == total - i64::from(release));
        semaphore.release(release)?;
    }
    ended.wait()?;
    assert_eq!((got.get(), semaphore.value()), (20, 0));
    Ok(())
}

/// One release lets so many through, and no more.
fn multirelease(rank: u32) -> Outcome {
    let (semaphore, got) = (Semaphore::open("s")?, Value::<i64>::open("got")?);
    if rank != 0 {
        semaphore.acquire(1)?.forget();
        got.add(1)?;
        return Ok(());
    }
    Event::open("go")?.wait()?;
    assert_eq!(got.get(), 0);
    semaphore.release(3)?;
    // The host sees that three still wait before it goes on.
    Event::open("rest")?.wait()?;
    until("three are through", || got.get() == 3);
    semaphore.release(3)?;
    until("all are through", || got.get() == 6);
    assert_eq!(semaphore.value(), 0);
    Ok(())
}

fn try_acquire(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    let first = semaphore.try_acquire(1)?.expect("two are there");
    let second = semaphore.try_acquire(1)?.expect("one is there");
    assert!(semaphore.try_acquire(1)?.is_none());
    assert_eq!(semaphore.value(), 0, "what was not taken is not given back");
    first.release()?;
    assert!(semaphore.try_acquire(2)?.is_none(), "all or none");
    second.release()?;
    semaphore.try_acquire(2)?.expect("two are there").release()
}

fn try_acquire_contended(rank: u32) -> Outcome {
    let (semaphore, all, got) = (Semaphore::open("s")?, Barrier::open("b")?, Value::<i64>::open("got")?);
    all.wait()?;
    for _ in 0..2 {
        if let Some(permit) = semaphore.try_acquire(1)? {
            permit.forget();
            got.add(1)?;
        }
    }
    all.wait()?;
    if rank == 0 {
        assert_eq!((got.get(), semaphore.value()), (6, 0));
    }
    Ok(())
}

fn acquire_timeout(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    let first = semaphore.acquire_timeout(1, Duration::ZERO)?;
    let second = semaphore.acquire_timeout(1, Duration::from_secs(60))?;
    assert_eq!(semaphore.acquire_timeout(1, Duration::ZERO).err(), Some(Error::TimedOut));
    assert_eq!(lasts(SHORT, || semaphore.acquire_timeout(1, SHORT).err()), Some(Error::TimedOut));
    first.release()?;
    semaphore.acquire_timeout(1, Duration::MAX)?.release()?;
    second.release()
}

fn default_value(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    let permit = semaphore.acquire(1)?;
    assert!(semaphore.try_acquire(1)?.is_none());
    permit.release()
}

fn with(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    {
        let _first = semaphore.acquire(1)?;
        let _second = semaphore.acquire(1)?;
        assert_eq!(semaphore.value(), 0);
    }
    assert_eq!(semaphore.value(), 2, "permits that are dropped are given back");
    Ok(())
}

/// `signal` without a maximum: anyone may release, also more than was taken.
fn release_unacquired(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    assert_eq!((semaphore.value(), semaphore.maximum()), (1, None));
    semaphore.release(1)?;
    semaphore.release(2)?;
    assert_eq!((semaphore.value(), semaphore.held()), (4, 0));
    semaphore.acquire(4)?.forget();
    Ok(())
}

fn release_unacquired_bounded(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    assert_eq!(semaphore.release(1), Err(Error::OverRelease));
    semaphore.acquire(1)?.forget();
    assert_eq!(semaphore.release(2), Err(Error::OverRelease), "all or none");
    assert_eq!(semaphore.value(), 1);
    semaphore.release(1)?;
    assert_eq!(semaphore.release(1), Err(Error::OverRelease));
    Ok(())
}

/// `owned`: only who holds permits gives them back.
fn release_unacquired_owned(rank: u32) -> Outcome {
    let (semaphore, both) = (Semaphore::open("s")?, Barrier::open("b")?);
    if rank == 0 {
        let permits = semaphore.acquire(2)?;
        assert_eq!(semaphore.held(), 2);
        assert_eq!(semaphore.release(3), Err(Error::OverRelease));
        both.wait()?;
        both.wait()?;
        permits.release()?;
        assert_eq!((semaphore.value(), semaphore.held()), (3, 0));
    } else {
        both.wait()?;
        assert_eq!((semaphore.held(), semaphore.release(1)), (0, Err(Error::NotHeld)));
        assert_eq!(semaphore.value(), 1);
        both.wait()?;
    }
    Ok(())
}

fn semaphore_mp(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    through_two(&semaphore)?;
    semaphore.release(1)?;
    assert_eq!(semaphore.value(), 3);
    Ok(())
}

fn bounded_semaphore_mp(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    through_two(&semaphore)?;
    assert_eq!(semaphore.release(1), Err(Error::OverRelease));
    assert_eq!(semaphore.value(), 2);
    Ok(())
}

fn through_two(semaphore: &Semaphore) -> Outcome {
    assert_eq!(semaphore.value(), 2);
    for left in [1, 0] {
        semaphore.acquire(1)?.forget();
        assert_eq!(semaphore.value(), left);
    }
    assert!(semaphore.try_acquire(1)?.is_none());
    for back in [1, 2] {
        semaphore.release(1)?;
        assert_eq!(semaphore.value(), back);
    }
    Ok(())
}

fn timeout_mp(_rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    assert!(semaphore.try_acquire(1)?.is_none());
    assert_eq!(semaphore.acquire_timeout(1, Duration::ZERO).err(), Some(Error::TimedOut));
    for timeout in [SHORT, 2 * SHORT] {
        assert_eq!(lasts(timeout, || semaphore.acquire_timeout(1, timeout).err()), Some(Error::TimedOut));
    }
    Ok(())
}

fn initial_value_zero(rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    if rank == 0 {
        semaphore.acquire(1)?.forget();
    } else {
        semaphore.release(1)?;
    }
    Ok(())
}

/// Rank 0 releases one by one; ranks 1 to 3 have come in this order.
fn fifo_order(rank: u32) -> Outcome {
    let (semaphore, got) = (Semaphore::open("s")?, Value::<i64>::open("got")?);
    if rank == 0 {
        Event::open("go")?.wait()?;
        for count in 1..=3 {
            semaphore.release(1)?;
            until("one more is through", || got.get() == count);
        }
        return Ok(());
    }
    if rank > 1 {
        Event::open(["second", "third"][rank as usize - 2])?.wait()?;
    }
    semaphore.acquire(1)?.forget();
    assert_eq!(got.add(1)?, i64::from(rank) - 1, "the place in the order");
    Ok(())
}

/// Rank 1 asks for two permits, rank 2, later, for one. The first permit is kept for rank 1.
fn fifo_order_many_first(rank: u32) -> Outcome {
    let (semaphore, got) = (Semaphore::open("s")?, Value::<i64>::open("got")?);
    match rank {
        0 => {
            Event::open("go")?.wait()?;
            semaphore.release(1)?;
            Event::open("more")?.wait()?;
            assert_eq!(got.get(), 0, "many are not starved by few");
            semaphore.release(1)?;
            until("the first is through", || got.get() == 1);
            semaphore.release(1)
        }
        1 => {
            semaphore.acquire(2)?.forget();
            assert_eq!(got.add(1)?, 0);
            Ok(())
        }
        _ => {
            Event::open("second")?.wait()?;
            semaphore.acquire(1)?.forget();
            assert_eq!(got.add(1)?, 1);
            Ok(())
        }
    }
}

/// As before, but rank 1 is killed: the permit that was kept for it goes to rank 2.
fn fifo_order_killed(rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    match rank {
        0 => {
            Event::open("go")?.wait()?;
            semaphore.release(1)
        }
        1 => {
            semaphore.acquire(2)?.forget();
            panic!("this process was to be killed while it waited");
        }
        _ => {
            Event::open("second")?.wait()?;
            semaphore.acquire(1)?.forget();
            Ok(())
        }
    }
}

/// Rank 1 is killed while it waits, and takes nothing.
fn acquire_cancel(rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    if rank == 1 {
        semaphore.acquire(1)?.forget();
        panic!("this process was to be killed while it waited");
    }
    Event::open("go")?.wait()?;
    semaphore.release(1)?;
    assert_eq!(semaphore.value(), 1);
    semaphore.try_acquire(1)?.expect("nobody waits any more").forget();
    Ok(())
}

/// Of four who wait, the first two are killed at about the moment of two releases. Nothing of it is lost: with `owned`,
/// what they got comes back with them.
fn cancel_before_awoken(rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    match rank {
        0 => {
            let permits = semaphore.acquire(2)?;
            Event::open("first")?.set();
            Event::open("go")?.wait()?;
            permits.release()
        }
        1 | 2 => {
            Event::open("first")?.wait()?;
            semaphore.acquire(1)?.forget();
            Event::open("never")?.wait()
        }
        _ => {
            Event::open("second")?.wait()?;
            semaphore.acquire(1)?.forget();
            Ok(())
        }
    }
}

/// Rank 1 is killed at about the moment of the release. Whichever comes first, rank 2 gets the permit.
fn hang(rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    match rank {
        0 => {
            let permit = semaphore.acquire(1)?;
            Event::open("first")?.set();
            Event::open("go")?.wait()?;
            permit.release()
        }
        1 => {
            Event::open("first")?.wait()?;
            semaphore.acquire(1)?.forget();
            Event::open("never")?.wait()
        }
        _ => {
            Event::open("second")?.wait()?;
            semaphore.acquire(1)?.release()
        }
    }
}

/// Rank 1 is killed while it holds both permits of an `owned` semaphore, for which rank 0 waits.
fn dead_owner(rank: u32) -> Outcome {
    let semaphore = Semaphore::open("s")?;
    if rank == 1 {
        semaphore.acquire(2)?.forget();
        Event::open("first")?.set();
        return Event::open("never")?.wait();
    }
    Event::open("first")?.wait()?;
    semaphore.acquire(2)?.release()
}
