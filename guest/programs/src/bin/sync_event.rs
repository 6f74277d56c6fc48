//! Events behave as those of CPython's tests do. Argument: the case, as in [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{Error, Event, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts, until};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_is_set" => is_set,
    "test_notify" => notify,
    "test_timeout" => timeout,
    "test_set_and_clear" => set_and_clear,
    "test_event@mp" => event_mp,
    "test_wait_on_set" => wait_on_set,
    "test_clear" => clear,
    "test_clear_with_waiters" => clear_with_waiters,
    "test_wait_cancel" => wait_cancel,
}

fn is_set(_rank: u32) -> Outcome {
    let event = Event::open("e")?;
    assert!(!event.is_set(), "clear at the start of the job");
    event.set();
    assert!(event.is_set());
    event.set();
    assert!(event.is_set());
    event.clear();
    assert!(!event.is_set());
    event.clear();
    assert!(!event.is_set());
    assert_eq!(Event::open("nothing-of-the-job").err(), Some(Error::Denied));
    Ok(())
}

/// Nobody passes before `set`, everyone after it, also a second time without waiting.
fn notify(rank: u32) -> Outcome {
    let (event, passed) = (Event::open("e")?, Value::<i64>::open("passed")?);
    if rank == 0 {
        Event::open("go")?.wait()?;
        assert_eq!(passed.get(), 0);
        event.set();
        until("all have passed twice", || passed.get() == 10);
    } else {
        for _ in 0..2 {
            event.wait()?;
            passed.add(1)?;
        }
    }
    Ok(())
}

fn timeout(_rank: u32) -> Outcome {
    let event = Event::open("e")?;
    assert!(!event.wait_timeout(Duration::ZERO)?);
    assert!(!lasts(SHORT, || event.wait_timeout(SHORT))?);
    event.set();
    assert!(event.wait_timeout(Duration::ZERO)?);
    assert!(event.wait_timeout(Duration::MAX)?);
    Ok(())
}

/// Who waits at the moment of `set` gets it, although `clear` follows at once (cpython#95826).
fn set_and_clear(rank: u32) -> Outcome {
    let event = Event::open("e")?;
    if rank == 0 {
        Event::open("go")?.wait()?;
        event.set();
        event.clear();
        assert!(!event.is_set());
        Ok(())
    } else {
        assert!(event.wait_timeout(Duration::from_secs(3_600))?);
        Ok(())
    }
}

fn event_mp(rank: u32) -> Outcome {
    let (event, last) = (Event::open("e")?, Event::open("last")?);
    if rank == 1 {
        Event::open("go")?.wait()?;
        last.set();
        return Ok(());
    }
    assert!(!event.wait_timeout(Duration::ZERO)? && !event.wait_timeout(SHORT)?);
    event.set();
    assert!(event.wait_timeout(Duration::ZERO)? && event.is_set());
    event.clear();
    assert!(!event.is_set());
    // Another process sets it while this one waits.
    last.wait()?;
    assert!(last.is_set());
    Ok(())
}

fn wait_on_set(_rank: u32) -> Outcome {
    let event = Event::open("e")?;
    event.set();
    event.wait()?;
    event.wait()
}

fn clear(_rank: u32) -> Outcome {
    let event = Event::open("e")?;
    event.set();
    event.clear();
    assert!(!event.wait_timeout(Duration::ZERO)?, "cleared is cleared");
    Ok(())
}

/// `clear` wakes nobody; rank 1 goes on at the next `set`.
fn clear_with_waiters(rank: u32) -> Outcome {
    let (event, passed) = (Event::open("e")?, Value::<i64>::open("passed")?);
    if rank == 0 {
        Event::open("go")?.wait()?;
        event.clear();
        assert_eq!(passed.get(), 0);
        event.set();
        event.set();
        event.clear();
        until("the other one has passed", || passed.get() == 1);
    } else {
        event.wait()?;
        passed.add(1)?;
    }
    Ok(())
}

/// A waiter that is killed (rank 1) keeps nobody: `set` never waits, and the other waiter gets it.
fn wait_cancel(rank: u32) -> Outcome {
    let event = Event::open("e")?;
    match rank {
        0 => {
            Event::open("go")?.wait()?;
            event.set();
            Ok(())
        }
        1 => {
            event.wait()?;
            panic!("this process was to be killed while it waited");
        }
        _ => event.wait(),
    }
}
