//! Several locks as one, and rings of processes that acquire locks one by one. Argument: the case, as in
//! [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{
    Barrier, Error, Event, Latch, MultiLock, Mutex, Part, Previous, RLock, RwLock, Semaphore, Value, process,
};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_deadlock@mutex-2" => |rank| mutexes(rank, 1),
    "test_deadlock@mutex-10" => |rank| mutexes(rank, 1),
    "test_deadlock@rlock-10" => |rank| rlocks(rank, 1),
    "test_deadlock@write-10" => |rank| writes(rank, 1),
    "test_deadlock@read-10" => |rank| reads(rank, 1),
    "test_deadlock@semaphore-10" => |rank| semaphores(rank, 1),
    "test_no_deadlock@mutex" => |rank| mutexes(rank, 0),
    "test_no_deadlock@rlock" => |rank| rlocks(rank, 0),
    "test_no_deadlock@write" => |rank| writes(rank, 0),
    "test_no_deadlock@read" => |rank| reads(rank, 0),
    "test_no_deadlock@semaphore" => |rank| semaphores(rank, 0),
    "ring_in_one_order_has_no_deadlock" => ring_as_one,
    "every_kind_of_part" => every_kind,
    "open_refuses_what_makes_no_sense" => refused,
    "all_or_nothing" => all_or_nothing,
    "any_order_of_names_will_do" => any_order,
    "dead_holder_is_told_of_each" => dead_holder,
    "killed_waiter_keeps_nothing" => killed_waiter,
}

/// Every process takes the lock of its own place, `own`, and asks for that of the next, `next`. Where the ring has as
/// many places as processes, the request that closes the circle is refused, and no other; where it has one more, none.
fn ring<A, B>(
    rank: u32,
    circles: i64,
    own: impl FnOnce(u32) -> Result<A, Error>,
    next: impl FnOnce(u32) -> Result<B, Error>,
) -> Outcome {
    let (start, ended, refused) = (Barrier::open("start")?, Latch::open("ended")?, Value::<i64>::open("refused")?);
    let places = start.parties() + u32::from(circles == 0);
    let own = own(rank)?;
    start.wait()?;
    match next((rank + 1) % places) {
        Ok(next) => drop(next),
        Err(Error::Deadlock(circle)) => {
            assert_eq!(circle.len(), places as usize, "the whole circle is named");
            let me = process::current().id;
            assert!(circle.iter().any(|wait| wait.process == me), "and this process is in it");
            refused.add(1)?;
        }
        Err(error) => return Err(error),
    }
    drop(own);
    ended.count_down(1)?;
    ended.wait()?;
    assert_eq!(refused.get(), circles);
    Ok(())
}

/// The name of the lock of a place.
fn name(place: u32) -> String {
    format!("l{place}")
}

/// Keeps a handle to the end of the process, so that its guard can be handed on.
fn keep<T>(handle: T) -> &'static T {
    Box::leak(Box::new(handle))
}

fn mutexes(rank: u32, circles: i64) -> Outcome {
    let take = |place| keep(Mutex::open(&name(place))?).lock();
    ring(rank, circles, take, take)
}

fn rlocks(rank: u32, circles: i64) -> Outcome {
    let take = |place| keep(RLock::open(&name(place))?).lock();
    ring(rank, circles, take, take)
}

fn writes(rank: u32, circles: i64) -> Outcome {
    let take = |place| keep(RwLock::open(&name(place))?).write();
    ring(rank, circles, take, take)
}

/// Holds its own to read, and asks for the next to write: readers alone would share.
fn reads(rank: u32, circles: i64) -> Outcome {
    let read = |place| keep(RwLock::open(&name(place))?).read();
    let write = |place| keep(RwLock::open(&name(place))?).write();
    ring(rank, circles, read, write)
}

fn semaphores(rank: u32, circles: i64) -> Outcome {
    let take = |place| keep(Semaphore::open(&name(place))?).acquire(1);
    ring(rank, circles, take, take)
}

/// The same ring with [`MultiLock`]: each process has its own lock and the next one as long as it likes.
fn ring_as_one(rank: u32) -> Outcome {
    let start = Barrier::open("start")?;
    let (own, next) = (name(rank), name((rank + 1) % start.parties()));
    let both = MultiLock::open([Part::mutex(&own), Part::mutex(&next)])?;
    start.wait()?;
    for _ in 0..50 {
        both.lock()?.unlock()?;
    }
    Ok(())
}

const PARTS: [Part<'static>; 5] =
    [Part::permits("s", 2), Part::write("w"), Part::read("r"), Part::rlock("again"), Part::mutex("m")];

fn every_kind(_rank: u32) -> Outcome {
    let all = MultiLock::open(PARTS)?;
    let (mutex, again, semaphore) = (Mutex::open("m")?, RLock::open("again")?, Semaphore::open("s")?);
    let (read, write) = (RwLock::open("r")?, RwLock::open("w")?);
    let guard = all.lock()?;
    assert_eq!(guard.holds().len(), 5);
    assert!(guard.holds().iter().all(|hold| hold.previous == Previous::Clean));
    let fences: Vec<_> = guard.fences().collect();
    // In the order of `open`.
    assert_eq!(write.held().map(|held| held.fence), Some(fences[1]));
    assert_eq!(read.held().map(|held| held.fence), Some(fences[2]));
    assert_eq!((again.held(), mutex.held()), (Some(fences[3]), Some(fences[4])));
    assert_eq!((semaphore.held(), semaphore.value()), (2, 0));
    guard.unlock()?;
    let free = !mutex.is_locked() && !again.is_locked() && !read.is_locked() && !write.is_locked();
    assert!(free && semaphore.value() == 2);

    drop(all.try_lock()?.expect("all are free"));
    std::mem::forget(all.lock_timeout(Duration::ZERO)?);
    all.release()?;
    assert!(!mutex.is_locked() && semaphore.value() == 2);
    assert_eq!(all.release(), Err(Error::NotHeld));
    Ok(())
}

fn refused(_rank: u32) -> Outcome {
    let invalid = |parts: &[Part<'_>]| matches!(MultiLock::open(parts.iter().copied()), Err(Error::InvalidArgument(_)));
    assert!(invalid(&[]), "none");
    assert!(invalid(&[Part::mutex("m"), Part::mutex("m")]), "one of them twice");
    assert!(invalid(&[Part::read("m")]), "a mutex has no readers");
    assert!(invalid(&[Part::permits("m", 1)]), "a mutex has no permits");
    assert!(invalid(&[Part::permits("s", 0)]), "no permits");
    assert!(invalid(&[Part::write("s")]), "a semaphore has no writer");
    let unknown = MultiLock::open([Part::mutex("m"), Part::mutex("nothing-of-the-job")]);
    assert_eq!(unknown.err(), Some(Error::Denied));
    assert!(matches!(MultiLock::open([Part::mutex("no name")]), Err(Error::InvalidName(_))));
    assert!(matches!(MultiLock::open([Part::permits("s", 3)]), Err(Error::Limit(_))), "more than there can ever be");
    Ok(())
}

/// Rank 1 has one of the locks. Rank 0 does not get the others then, nor keeps them.
fn all_or_nothing(rank: u32) -> Outcome {
    let (read, both) = (RwLock::open("r")?, Barrier::open("b")?);
    if rank == 1 {
        let guard = read.write()?;
        both.wait()?;
        both.wait()?;
        guard.unlock()?;
        both.wait()?;
        return Ok(());
    }
    let all = MultiLock::open(PARTS)?;
    let (mutex, semaphore) = (Mutex::open("m")?, Semaphore::open("s")?);
    both.wait()?;
    assert!(all.try_lock()?.is_none());
    assert!(!mutex.is_locked() && semaphore.value() == 2);
    assert_eq!(lasts(SHORT, || all.lock_timeout(SHORT).err()), Some(Error::TimedOut));
    assert!(!mutex.is_locked() && semaphore.value() == 2);
    assert_eq!((mutex.held(), semaphore.held()), (None, 0));
    both.wait()?;
    both.wait()?;
    all.try_lock()?.expect("all are free").unlock()
}

/// Two processes name the locks in opposite orders, and both get them again and again.
fn any_order(rank: u32) -> Outcome {
    let (there, back) = ([Part::mutex("m"), Part::mutex("n")], [Part::mutex("n"), Part::mutex("m")]);
    let locks = MultiLock::open(if rank == 0 { there } else { back })?;
    let (count, both) = (Value::<i64>::open("count")?, Barrier::open("b")?);
    both.wait()?;
    for _ in 0..200 {
        let guard = locks.lock()?;
        let before = count.get();
        count.set(before + 1)?;
        guard.unlock()?;
    }
    both.wait()?;
    assert_eq!(count.get(), 400);
    Ok(())
}

/// Rank 1 is killed with both.
fn dead_holder(rank: u32) -> Outcome {
    let locks = MultiLock::open([Part::mutex("m"), Part::mutex("n")])?;
    if rank == 1 {
        std::mem::forget(locks.lock()?);
        return Event::open("never")?.wait();
    }
    Event::open("go")?.wait()?;
    let guard = locks.lock()?;
    assert!(guard.holds().iter().all(|hold| matches!(hold.previous, Previous::Abandoned(_))));
    guard.unlock()
}

/// Rank 0 holds the second lock, so rank 1 waits for it, with or without the first, and is killed.
fn killed_waiter(rank: u32) -> Outcome {
    if rank == 1 {
        Event::open("first")?.wait()?;
        drop(MultiLock::open([Part::mutex("m"), Part::mutex("n")])?.lock()?);
        panic!("this process was to be killed while it waited");
    }
    let (first, second) = (Mutex::open("m")?, Mutex::open("n")?);
    let guard = second.lock()?;
    Event::open("first")?.set();
    Event::open("go")?.wait()?;
    let other = first.try_lock()?.expect("the dead process has not kept it");
    guard.unlock()?;
    other.unlock()
}
