//! Conditions behave as those of CPython's tests do. Argument: the case, as in [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{Condition, EndCause, Error, Event, Mutex, Previous, RLock, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts, until};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_acquire" => acquire,
    "test_unacquired_wait" => unacquired_wait,
    "test_unacquired_notify" => unacquired_notify,
    "test_notify" => notify,
    "test_timeout" => timeout,
    "test_waitfor" => wait_for,
    "test_waitfor_timeout" => wait_for_timeout,
    "test_notify@mp" => notify_one_by_one,
    "test_notify_all@mp" => notify_all,
    "test_notify_n@mp" => notify_n,
    "test_wait@asyncio" => served_in_order,
    "test_explicit_lock" => explicit_lock,
    "test_wait_cancel" => wait_cancel,
    "test_wait_cancel_contested" => wait_cancel_contested,
    "test_wait_cancel_after_notify" => wait_cancel_after_notify,
    "test_cancelled_wakeup_relock" => killed_after_relock,
    "wait_lets_go_of_every_depth" => depth,
    "mutex_will_do" => over_mutex,
}

fn open() -> Result<(RLock, Condition), Error> {
    Ok((RLock::open("l")?, Condition::open("c")?))
}

fn acquire(_rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let (outer, inner) = (lock.lock()?, lock.lock()?);
    assert_eq!((condition.notify_all()?, condition.waiting()), (0, 0));
    assert!(!condition.notify_one()?);
    inner.unlock()?;
    outer.unlock()?;
    assert_eq!(lock.release(), Err(Error::NotHeld));
    assert_eq!(Condition::open("nothing-of-the-job").err(), Some(Error::Denied));
    Ok(())
}

fn unacquired_wait(_rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let other = Mutex::open("other")?;
    assert_eq!(condition.wait(other.lock()?).err(), Some(Error::NotOwner));
    assert_eq!(condition.wait_timeout(other.lock()?, Duration::ZERO).err(), Some(Error::NotOwner));
    assert!(!lock.is_locked() && condition.waiting() == 0);
    Ok(())
}

fn unacquired_notify(_rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    assert_eq!(condition.notify(1), Err(Error::NotOwner));
    assert_eq!(condition.notify_all(), Err(Error::NotOwner));
    let guard = lock.lock()?;
    assert!(matches!(condition.notify(0), Err(Error::InvalidArgument(_))));
    guard.unlock()
}

/// A waiter: counts itself when it has woken.
fn sleep() -> Outcome {
    let (lock, condition) = open()?;
    let woken = Value::<i64>::open("woken")?;
    let guard = condition.wait(lock.lock()?)?;
    assert_eq!(lock.held(), Some(guard.fence()), "the guard stands for the new hold");
    woken.add(1)?;
    guard.unlock()
}

/// Notifies in these portions: so many asked for, so many woken. Nobody wakes before.
fn wake(waiters: u32, portions: &[(u32, u32)]) -> Outcome {
    let (lock, condition) = open()?;
    let woken = Value::<i64>::open("woken")?;
    until("all of them wait", || condition.waiting() == waiters);
    let mut total = 0;
    for &(asked, expected) in portions {
        let guard = lock.lock()?;
        assert_eq!(woken.get(), total, "nobody wakes without a notification");
        assert_eq!(condition.notify(asked)?, expected);
        guard.unlock()?;
        total += i64::from(expected);
        until("those who were notified have woken", || woken.get() == total);
        assert_eq!(i64::from(condition.waiting()), i64::from(waiters) - total);
    }
    Ok(())
}

fn notify(rank: u32) -> Outcome {
    if rank == 0 { wake(5, &[(3, 3), (5, 2), (1, 0)]) } else { sleep() }
}

fn notify_one_by_one(rank: u32) -> Outcome {
    if rank == 0 { wake(2, &[(1, 1), (1, 1), (1, 0)]) } else { sleep() }
}

fn notify_n(rank: u32) -> Outcome {
    if rank == 0 { wake(6, &[(1, 1), (2, 2), (4, 3), (3, 0)]) } else { sleep() }
}

/// Half of them with a timeout that runs out first.
fn notify_all(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let woken = Value::<i64>::open("woken")?;
    match rank {
        0 => {
            until("three have given up, and three wait", || woken.get() == 3 && condition.waiting() == 3);
            let guard = lock.lock()?;
            assert_eq!(condition.notify_all()?, 3);
            guard.unlock()?;
            until("all have woken", || woken.get() == 6);
            assert_eq!(condition.waiting(), 0);
            Ok(())
        }
        1..=3 => {
            let (guard, notified) = condition.wait_timeout(lock.lock()?, SHORT)?;
            assert!(!notified);
            woken.add(1)?;
            guard.unlock()
        }
        _ => sleep(),
    }
}

fn timeout(_rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let guard = lock.lock()?;
    let (guard, notified) = condition.wait_timeout(guard, Duration::ZERO)?;
    assert!(!notified);
    let before = guard.fence();
    let (guard, notified) = lasts(SHORT, || condition.wait_timeout(guard, SHORT))?;
    assert!(!notified);
    assert!(guard.fence() > before, "the lock was let go and is held again");
    assert_eq!((lock.held(), condition.waiting()), (Some(guard.fence()), 0));
    guard.unlock()
}

fn wait_for(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let state = Value::<i64>::open("state")?;
    if rank == 0 {
        let guard = condition.wait_while(lock.lock()?, |_| state.get() != 4)?;
        assert_eq!(state.get(), 4);
        return guard.unlock();
    }
    for _ in 0..4 {
        let guard = lock.lock()?;
        state.add(1)?;
        condition.notify_one()?;
        guard.unlock()?;
    }
    Ok(())
}

/// The state never comes to what is waited for, whatever is notified.
fn wait_for_timeout(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let (state, given_up) = (Value::<i64>::open("state")?, Event::open("given-up")?);
    if rank == 0 {
        let guard = lock.lock()?;
        let (guard, came) = lasts(SHORT, || condition.wait_while_timeout(guard, SHORT, |_| state.get() != 4))?;
        assert!(!came && state.get() != 4);
        let (guard, came) = condition.wait_while_timeout(guard, Duration::ZERO, |_| false)?;
        assert!(came, "it need not wait for what is so already");
        guard.unlock()?;
        given_up.set();
        return Ok(());
    }
    for _ in 0..3 {
        let guard = lock.lock()?;
        state.add(1)?;
        condition.notify_one()?;
        guard.unlock()?;
    }
    // Notified as often as you like.
    while !given_up.is_set() {
        let guard = lock.lock()?;
        condition.notify_all()?;
        guard.unlock()?;
    }
    Ok(())
}

/// Ranks 1 to 3 wait in this order, and are woken in it.
fn served_in_order(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let woken = Value::<i64>::open("woken")?;
    if rank == 0 {
        return wake(3, &[(1, 1), (1, 1), (1, 1)]);
    }
    until("those before wait", || woken.get() == 0 && condition.waiting() == rank - 1);
    let guard = condition.wait(lock.lock()?)?;
    assert_eq!(woken.add(1)?, i64::from(rank) - 1, "the place in the order");
    guard.unlock()
}

/// While one waits, others have the lock.
fn explicit_lock(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    let state = Value::<i64>::open("state")?;
    if rank == 0 {
        let guard = lock.lock()?;
        Event::open("first")?.set();
        let guard = condition.wait(guard)?;
        assert_eq!(state.get(), 1);
        return guard.unlock();
    }
    Event::open("first")?.wait()?;
    // Granted only when the other one waits, and so is the notification not missed.
    let guard = lock.lock()?;
    assert_eq!(condition.waiting(), 1);
    assert!(condition.notify_one()?);
    assert_eq!(condition.waiting(), 0);
    state.set(1)?;
    guard.unlock()
}

/// A waiter that is killed (rank 1) has left, and a notification does not wait for it.
fn wait_cancel(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    if rank == 1 {
        drop(condition.wait(lock.lock()?)?);
        panic!("this process was to be killed while it waited");
    }
    Event::open("go")?.wait()?;
    let guard = lock.lock()?;
    assert_eq!((guard.previous(), condition.waiting()), (Previous::Clean, 0), "it held nothing");
    assert_eq!(condition.notify_all()?, 0);
    guard.unlock()
}

/// Rank 1 is notified, and killed while it waits for the lock, which rank 0 holds. The lock goes on.
fn wait_cancel_contested(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    if rank == 1 {
        drop(condition.wait(lock.lock()?)?);
        panic!("this process was to be killed while it waited");
    }
    until("the other one waits", || condition.waiting() == 1);
    let guard = lock.lock()?;
    assert!(condition.notify_one()?);
    Event::open("go")?.wait()?;
    guard.unlock()?;
    let guard = lock.try_lock()?.expect("nobody waits for it");
    assert_eq!(guard.previous(), Previous::Clean);
    guard.unlock()
}

/// Ranks 1 and 2 wait. Rank 1 is notified, and killed before it has the lock: the notification passes to rank 2.
fn wait_cancel_after_notify(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    match rank {
        0 => {
            until("both wait", || condition.waiting() == 2);
            let guard = lock.lock()?;
            assert!(condition.notify_one()?);
            Event::open("go")?.wait()?;
            guard.unlock()
        }
        1 => {
            drop(condition.wait(lock.lock()?)?);
            panic!("this process was to be killed while it waited");
        }
        _ => {
            until("the first waits", || condition.waiting() == 1);
            condition.wait(lock.lock()?)?.unlock()
        }
    }
}

/// Rank 1 is notified, has the lock again, and is killed then: the notification is used up, and the lock abandoned.
fn killed_after_relock(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    if rank == 1 {
        std::mem::forget(condition.wait(lock.lock()?)?);
        Event::open("woken")?.set();
        return Event::open("never")?.wait();
    }
    if rank == 2 {
        until("the first waits", || condition.waiting() == 1);
        return condition.wait(lock.lock()?)?.unlock();
    }
    until("both wait", || condition.waiting() == 2);
    let guard = lock.lock()?;
    assert!(condition.notify_one()?);
    guard.unlock()?;
    Event::open("woken")?.wait()?;
    let guard = lock.lock()?;
    let Previous::Abandoned(last) = guard.previous() else { panic!("the last owner was killed") };
    assert_eq!(last.how, EndCause::Killed);
    assert_eq!(condition.waiting(), 1, "the notification was used up");
    assert!(condition.notify_one()?);
    guard.unlock()
}

/// The wait lets the lock go, however often it is held, and afterwards all guards stand for the new hold.
fn depth(rank: u32) -> Outcome {
    let (lock, condition) = open()?;
    if rank == 1 {
        until("the other one waits", || condition.waiting() == 1);
        let guard = lock.lock()?;
        assert_eq!(guard.depth(), 1);
        assert!(condition.notify_one()?);
        return guard.unlock();
    }
    let (outer, middle) = (lock.lock()?, lock.lock()?);
    // As a library would, which knows nothing of the handle of its caller.
    let same = RLock::open("l")?;
    let before = outer.fence();
    let inner = condition.wait(same.lock()?)?;
    assert_eq!(inner.depth(), 3);
    assert!(inner.fence() > before);
    assert_eq!((outer.fence(), middle.fence()), (inner.fence(), inner.fence()));
    outer.unlock()?;
    inner.unlock()?;
    assert_eq!(lock.depth(), 1);
    middle.unlock()?;
    assert!(!lock.is_locked() || lock.held().is_none());
    Ok(())
}

/// A condition of a mutex.
fn over_mutex(rank: u32) -> Outcome {
    let (lock, condition) = (Mutex::open("m")?, Condition::open("of-m")?);
    let state = Value::<i64>::open("state")?;
    // Ping, pong.
    for round in 0..100 {
        let turn = 2 * round + i64::from(rank);
        let guard = condition.wait_while(lock.lock()?, |_| state.get() != turn)?;
        state.add(1)?;
        condition.notify_all()?;
        guard.unlock()?;
    }
    Ok(())
}
