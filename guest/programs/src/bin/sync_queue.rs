//! Queues behave as those of CPython's tests do, and give back what a dead process did not finish. Argument: the case,
//! as in [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{Array, Error, Event, LimitKind, Queue, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts, until};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_put" => put,
    "test_get" => get,
    "test_fork" => fork,
    "test_qsize" => qsize,
    "test_task_done" => task_done,
    "test_task_done@acknowledge" => task_done,
    "task_done_too_often" => too_often,
    "task_done_too_often@acknowledge" => too_often_acknowledged,
    "test_timeout" => timeout,
    "test_closed_queue_empty_exceptions" => closed_and_empty,
    "test_closed_queue_put_get_exceptions" => closed,
    "test_empty@simple" => empty,
    "closing_wakes_those_who_wait" => close_wakes,
    "items_of_several_keep_their_order" => order,
    "item_of_a_dead_process_comes_again" => comes_again,
    "item_of_a_dead_process_is_gone_without_acknowledgement" => gone,
    "killed_getter_takes_nothing" => killed_getter,
    "item_that_can_never_fit_is_refused" => too_large,
}

/// A queue of six, filled by one process and emptied by another.
fn put(rank: u32) -> Outcome {
    let (queue, full, emptied) = (Queue::open("q")?, Event::open("full")?, Event::open("emptied")?);
    if rank == 1 {
        full.wait()?;
        for item in 1..=6_u8 {
            let got = queue.get()?;
            assert_eq!(got.bytes, [item]);
            got.done()?;
        }
        emptied.set();
        return Ok(());
    }
    assert!(queue.is_empty());
    queue.put([1])?;
    queue.put_timeout([2], SHORT)?;
    queue.put_timeout([3], Duration::ZERO)?;
    assert!(queue.try_put([4])? && queue.try_put([5])? && queue.try_put([6])?);
    assert_eq!(queue.len(), 6);
    assert!(!queue.try_put([7])?);
    assert_eq!(queue.put_timeout([7], Duration::ZERO), Err(Error::Full));
    assert_eq!(lasts(SHORT, || queue.put_timeout([7], SHORT)), Err(Error::Full));
    full.set();
    emptied.wait()?;
    assert!(queue.is_empty());
    Ok(())
}

fn get(rank: u32) -> Outcome {
    let (queue, go) = (Queue::open("q")?, Event::open("go")?);
    if rank == 1 {
        go.wait()?;
        for item in 1..=4_u8 {
            queue.put([item])?;
        }
        return Ok(());
    }
    // Waits for the other one: the host sets `go` when it sees this.
    let first = queue.get()?;
    assert_eq!((first.bytes.as_slice(), first.returned), (&[1][..], 0));
    let second = queue.get_timeout(Duration::from_secs(3_600))?;
    assert_eq!(second.bytes, [2]);
    assert!(second.number > first.number, "numbers are in the order of put");
    until("two are left", || queue.len() == 2);
    assert_eq!(queue.try_get()?.expect("two are left").bytes, [3]);
    assert_eq!(queue.get_timeout(Duration::ZERO)?.bytes, [4]);
    assert!(queue.try_get()?.is_none());
    assert_eq!(queue.get_timeout(Duration::ZERO).err(), Some(Error::Empty));
    assert_eq!(lasts(SHORT, || queue.get_timeout(SHORT).err()), Some(Error::Empty));
    Ok(())
}

/// What was put before a process began is there for it.
fn fork(rank: u32) -> Outcome {
    let (queue, filled) = (Queue::open("q")?, Event::open("filled")?);
    if rank == 0 {
        for item in 0..10_u8 {
            queue.put([item])?;
        }
        filled.set();
        // Ends at once: what it put is stored in the host.
        return Ok(());
    }
    filled.wait()?;
    for item in 0..10_u8 {
        assert_eq!(queue.get()?.bytes, [item]);
    }
    assert!(queue.try_get()?.is_none());
    Ok(())
}

fn qsize(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    assert_eq!(queue.len(), 0);
    queue.put([1])?;
    assert_eq!(queue.len(), 1);
    queue.put([5])?;
    assert_eq!((queue.len(), queue.unfinished()), (2, 2));
    queue.get()?.done()?;
    assert_eq!((queue.len(), queue.unfinished()), (1, 1));
    queue.get()?.done()?;
    assert_eq!((queue.len(), queue.unfinished()), (0, 0));
    Ok(())
}

/// Four workers, and one who waits until everything is finished, twice.
fn task_done(rank: u32) -> Outcome {
    let (queue, finished) = (Queue::open("q")?, Value::<i64>::open("finished")?);
    if rank == 0 {
        queue.join()?;
        for round in 1..=2 {
            for item in 0..10_u8 {
                queue.put([item])?;
            }
            queue.join()?;
            assert_eq!((finished.get(), queue.unfinished()), (10 * round, 0));
        }
        assert!(queue.join_timeout(Duration::ZERO)?);
        queue.close();
        return Ok(());
    }
    loop {
        match queue.get() {
            Ok(item) => {
                finished.add(1)?;
                item.done()?;
            }
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn too_often(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    assert_eq!(queue.task_done(1), Err(Error::OverRelease));
    let number = queue.put([1])?;
    assert!(!lasts(SHORT, || queue.join_timeout(SHORT))?);
    queue.get()?.done()?;
    assert_eq!(queue.task_done(number), Err(Error::OverRelease));
    Ok(())
}

/// With acknowledgement, only who got an item finishes it, and once.
fn too_often_acknowledged(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    let number = queue.put([1])?;
    assert_eq!(queue.task_done(number), Err(Error::NotHeld), "nobody has got it");
    let item = queue.get()?;
    assert_eq!(item.number, number);
    assert!(!queue.join_timeout(Duration::ZERO)?);
    item.done()?;
    assert_eq!(queue.task_done(number), Err(Error::NotHeld));
    queue.join()
}

fn timeout(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    let late = lasts(4 * SHORT, || queue.get_timeout(4 * SHORT).err());
    assert_eq!(late, Some(Error::Empty));
    Ok(())
}

fn closed_and_empty(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    queue.close();
    assert!(queue.is_closed() && queue.is_empty());
    assert_eq!(queue.get().err(), Some(Error::Closed));
    assert_eq!(queue.try_get().err(), Some(Error::Closed));
    queue.close();
    Ok(())
}

/// Nothing more can be put; what is there can be got.
fn closed(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    assert!(!queue.is_closed());
    queue.put("last")?;
    queue.close();
    assert_eq!(queue.put("too late"), Err(Error::Closed));
    assert_eq!(queue.try_put("too late"), Err(Error::Closed));
    let last = queue.get()?;
    assert_eq!(last.bytes, b"last");
    last.done()?;
    assert_eq!(queue.get().err(), Some(Error::Closed));
    Ok(())
}

fn empty(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    assert!(queue.is_empty());
    queue.put("")?;
    queue.put([0])?;
    assert!(!queue.is_empty());
    assert_eq!(queue.get()?.bytes, b"", "an item without bytes is one");
    assert_eq!(queue.get()?.bytes, [0]);
    assert!(queue.is_empty());
    assert_eq!(Queue::open("nothing-of-the-job").err(), Some(Error::Denied));
    Ok(())
}

/// Ranks 1 and 2 wait to put and to get when rank 0 closes both queues.
fn close_wakes(rank: u32) -> Outcome {
    let (full, empty) = (Queue::open("q")?, Queue::open("p")?);
    match rank {
        0 => {
            full.put([1])?;
            Event::open("full")?.set();
            Event::open("go")?.wait()?;
            full.close();
            empty.close();
        }
        1 => {
            Event::open("full")?.wait()?;
            assert_eq!(full.put([2]), Err(Error::Closed));
        }
        _ => assert_eq!(empty.get().err(), Some(Error::Closed)),
    }
    Ok(())
}

/// Four who put and one who gets, through a queue that is mostly full: nothing is lost, and what one put keeps its
/// order.
fn order(rank: u32) -> Outcome {
    let (queue, next) = (Queue::open("q")?, Array::<i64>::open("next")?);
    if rank > 0 {
        for number in 0..100_u8 {
            queue.put([rank as u8, number])?;
        }
        return Ok(());
    }
    for _ in 0..400 {
        let item = queue.get()?;
        let (from, number) = (u32::from(item.bytes[0]), i64::from(item.bytes[1]));
        assert_eq!(next.get(from)?, number, "in the order of rank {from}");
        next.add(from, 1)?;
        item.done()?;
    }
    assert_eq!(next.slice(1, 4)?, [100; 4]);
    Ok(())
}

/// Rank 1 is killed with an item that it has not finished. It comes first again, and says so.
fn comes_again(rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    if rank == 1 {
        Event::open("full")?.wait()?;
        let item = queue.get()?;
        assert_eq!((item.bytes.as_slice(), item.returned), (&[1][..], 0));
        return Event::open("never")?.wait();
    }
    let number = queue.put([1])?;
    queue.put([2])?;
    queue.close();
    Event::open("full")?.set();
    Event::open("go")?.wait()?;
    let item = queue.get()?;
    assert_eq!((item.bytes.as_slice(), item.number, item.returned), (&[1][..], number, 1));
    assert_eq!(queue.unfinished(), 2);
    item.done()?;
    queue.get()?.done()?;
    assert_eq!(queue.get().err(), Some(Error::Closed));
    queue.join()
}

fn gone(rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    if rank == 1 {
        Event::open("full")?.wait()?;
        assert_eq!(queue.get()?.bytes, [1]);
        return Event::open("never")?.wait();
    }
    queue.put([1])?;
    queue.put([2])?;
    Event::open("full")?.set();
    Event::open("go")?.wait()?;
    assert_eq!(queue.get()?.bytes, [2]);
    assert!(queue.try_get()?.is_none());
    Ok(())
}

/// Rank 1 waits for an item and is killed; rank 2 waits behind it and gets it.
fn killed_getter(rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    match rank {
        0 => {
            Event::open("go")?.wait()?;
            queue.put([1])?;
            queue.join()
        }
        1 => {
            drop(queue.get()?);
            Event::open("never")?.wait()
        }
        _ => {
            Event::open("second")?.wait()?;
            let item = queue.get()?;
            assert_eq!(item.bytes, [1]);
            item.done()
        }
    }
}

fn too_large(_rank: u32) -> Outcome {
    let queue = Queue::open("q")?;
    assert_eq!(queue.put([0; 65]), Err(Error::Limit(LimitKind::Queue)));
    assert_eq!(queue.try_put([0; 65]), Err(Error::Limit(LimitKind::Queue)));
    queue.put([0; 64])?;
    assert!(!queue.try_put([0])?, "no byte is left");
    Ok(())
}
