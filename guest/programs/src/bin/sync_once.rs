//! What is to be done once is done once, whoever dies at it. CPython has no such thing. Argument: the case, as in
//! [`lockkeeper_guest_programs::sync`].

use lockkeeper_guest::{EndCause, Error, Event, Once, Previous, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "one_does_it_for_all" => for_all,
    "turn_is_passed_on" => passed_on,
    "asking_twice_is_a_deadlock" => twice,
    "turn_of_a_dead_process_is_passed_on" => dead,
}

fn for_all(_rank: u32) -> Outcome {
    let (once, count) = (Once::open("x")?, Value::<i64>::open("count")?);
    let mine = once.call(|previous| {
        assert_eq!(previous, Previous::Clean);
        count.add(1).map(drop)
    })?;
    // Whoever did it, it has been done by now.
    assert!(once.is_done() && count.get() == 1);
    assert!(once.begin()?.is_none());
    assert!(!once.call(|_| Err(Error::OutOfRange))?, "nobody does it again");
    if mine {
        println!("done");
    }
    Ok(())
}

fn passed_on(_rank: u32) -> Outcome {
    let once = Once::open("x")?;
    assert_eq!(once.call(|_| Err(Error::OutOfRange)), Err(Error::OutOfRange));
    drop(once.begin()?.expect("not done yet"));
    let turn = once.begin()?.expect("not done yet");
    assert_eq!(turn.previous(), Previous::Clean, "giving up is no death");
    turn.give_up()?;
    assert!(!once.is_done());
    once.begin()?.expect("not done yet").complete()?;
    assert!(once.is_done());
    assert_eq!(Once::open("nothing-of-the-job").err(), Some(Error::Denied));
    Ok(())
}

/// The turn could never come to who has it.
fn twice(_rank: u32) -> Outcome {
    let once = Once::open("x")?;
    let turn = once.begin()?.expect("not done yet");
    assert!(matches!(once.begin(), Err(Error::Deadlock(_))));
    turn.complete()
}

/// Rank 1 is killed in the middle. Rank 0 waits, and does it.
fn dead(rank: u32) -> Outcome {
    let once = Once::open("x")?;
    if rank == 1 {
        std::mem::forget(once.begin()?);
        Event::open("first")?.set();
        return Event::open("never")?.wait();
    }
    Event::open("first")?.wait()?;
    assert_eq!(lasts(SHORT, || once.begin_timeout(SHORT).err()), Some(Error::TimedOut));
    Event::open("go")?.wait()?;
    let mine = once.call(|previous| {
        let Previous::Abandoned(last) = previous else { panic!("the last one was killed") };
        assert_eq!(last.how, EndCause::Killed);
        Ok::<_, Error>(())
    })?;
    assert!(mine && once.is_done());
    Ok(())
}
