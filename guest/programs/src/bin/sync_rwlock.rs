//! Reader-writer locks keep what the contract promises. CPython has none. Argument: the case, as in
//! [`lockkeeper_guest_programs::sync`].

use lockkeeper_guest::{Barrier, EndCause, Error, Event, Mode, Previous, RwLock, Upgrade, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "readers_share_and_exclude_writers" => share,
    "writer_excludes_everyone" => exclude,
    "readers_do_not_overtake_a_writer" => overtake,
    "reader_reads_again_past_a_writer" => again,
    "misuse_is_refused" => misuse,
    "upgrade_waits_for_the_other_readers" => upgrade,
    "second_upgrade_is_a_deadlock" => second_upgrade,
    "failed_upgrade_leaves_the_read" => failed_upgrade,
    "downgrade_leaves_no_gap" => downgrade,
    "dead_writer_is_told" => dead_writer,
    "dead_reader_is_not" => dead_reader,
    "killed_writer_lets_readers_pass" => killed_waiting_writer,
}

fn share(rank: u32) -> Outcome {
    let (lock, all) = (RwLock::open("l")?, Barrier::open("b")?);
    let guard = lock.read()?;
    all.wait()?;
    // All of them read now.
    assert!(lock.is_locked());
    let held = lock.held().expect("this process reads");
    assert_eq!((held.how, held.depth, held.fence), (Mode::Shared, 1, guard.fence()));
    all.wait()?;
    if rank == 0 {
        guard.unlock()?;
        assert!(lock.try_write()?.is_none(), "the others read");
        assert_eq!(lasts(SHORT, || lock.write_timeout(SHORT).err()), Some(Error::TimedOut));
        all.wait()?;
    } else {
        all.wait()?;
        guard.unlock()?;
    }
    all.wait()?;
    assert!(!lock.is_locked());
    Ok(())
}

fn exclude(rank: u32) -> Outcome {
    let (lock, both) = (RwLock::open("l")?, Barrier::open("b")?);
    if rank == 0 {
        let guard = lock.write()?;
        both.wait()?;
        both.wait()?;
        guard.unlock()?;
        both.wait()?;
    } else {
        both.wait()?;
        assert!(lock.try_read()?.is_none() && lock.try_write()?.is_none());
        assert_eq!(lock.read_timeout(SHORT).err(), Some(Error::TimedOut));
        assert_eq!(lock.write_timeout(SHORT).err(), Some(Error::TimedOut));
        assert_eq!(lock.release(), Err(Error::NotOwner));
        both.wait()?;
        both.wait()?;
        lock.try_read()?.expect("it is free").unlock()?;
        lock.try_write()?.expect("it is free").unlock()?;
        assert_eq!(lock.release(), Err(Error::NotHeld));
    }
    Ok(())
}

/// Rank 0 reads, rank 1 waits to write, rank 2 comes later to read: it reads after the write.
fn overtake(rank: u32) -> Outcome {
    let (lock, got) = (RwLock::open("l")?, Value::<i64>::open("got")?);
    match rank {
        0 => {
            let guard = lock.read()?;
            Event::open("first")?.set();
            Event::open("go")?.wait()?;
            assert_eq!(got.get(), 0, "nobody has passed");
            guard.unlock()
        }
        1 => {
            Event::open("first")?.wait()?;
            let guard = lock.write()?;
            assert_eq!(got.add(1)?, 0, "the writer came first");
            guard.unlock()
        }
        _ => {
            Event::open("second")?.wait()?;
            let guard = lock.read()?;
            assert_eq!(got.add(1)?, 1, "the reader came second");
            guard.unlock()
        }
    }
}

/// A process that reads may read again at once, or it would lock itself out behind the writer.
fn again(rank: u32) -> Outcome {
    let lock = RwLock::open("l")?;
    if rank == 1 {
        Event::open("first")?.wait()?;
        return lock.write()?.unlock();
    }
    let outer = lock.read()?;
    Event::open("first")?.set();
    Event::open("go")?.wait()?;
    let inner = lock.read()?;
    assert_eq!(inner.fence(), outer.fence());
    assert_eq!(lock.held().map(|held| held.depth), Some(2));
    outer.unlock()?;
    inner.unlock()
}

fn misuse(_rank: u32) -> Outcome {
    let lock = RwLock::open("l")?;
    let guard = lock.read()?;
    assert!(matches!(lock.write(), Err(Error::Deadlock(_))), "`upgrade` is for that");
    assert!(lock.try_write()?.is_none());
    let second = lock.read()?;
    let (guard, refused) = guard.upgrade().expect_err("it reads twice");
    assert!(matches!(refused, Error::InvalidArgument(_)), "{refused}");
    second.unlock()?;
    let guard = guard.upgrade().map_err(|(_, error)| error)?;
    assert!(matches!(lock.write(), Err(Error::Deadlock(_))));
    assert!(matches!(lock.read(), Err(Error::Deadlock(_))));
    assert!(lock.try_read()?.is_none() && lock.try_write()?.is_none());
    guard.unlock()?;
    assert_eq!(lock.release(), Err(Error::NotHeld));
    Ok(())
}

fn upgrade(rank: u32) -> Outcome {
    let (lock, both, got) = (RwLock::open("l")?, Barrier::open("b")?, Value::<i64>::open("got")?);
    let guard = lock.read()?;
    both.wait()?;
    if rank == 1 {
        Event::open("go")?.wait()?;
        assert_eq!(got.get(), 0, "the upgrade waits for this reader");
        return guard.unlock();
    }
    let read_as = guard.fence();
    let Ok(Upgrade::Busy(guard)) = guard.try_upgrade() else { panic!("another process reads") };
    let guard = guard.upgrade().map_err(|(_, error)| error)?;
    got.set(1)?;
    assert!(guard.fence() > read_as, "a write is a new hold");
    assert_eq!(lock.held().map(|held| held.how), Some(Mode::Exclusive));
    guard.unlock()
}

fn second_upgrade(_rank: u32) -> Outcome {
    let (lock, both, got) = (RwLock::open("l")?, Barrier::open("b")?, Value::<i64>::open("got")?);
    let guard = lock.read()?;
    both.wait()?;
    let guard = match guard.upgrade() {
        Ok(guard) => guard,
        Err((guard, Error::Deadlock(_))) => {
            assert_eq!(got.add(1)?, 0, "one of the two is refused");
            guard.unlock()?;
            lock.write()?
        }
        Err((_guard, error)) => return Err(error),
    };
    guard.unlock()?;
    both.wait()?;
    assert_eq!(got.get(), 1);
    Ok(())
}

fn failed_upgrade(rank: u32) -> Outcome {
    let (lock, both) = (RwLock::open("l")?, Barrier::open("b")?);
    let guard = lock.read()?;
    both.wait()?;
    if rank == 0 {
        let read_as = guard.fence();
        let (guard, late) = lasts(SHORT, || guard.upgrade_timeout(SHORT)).expect_err("another process reads");
        assert_eq!(late, Error::TimedOut);
        let held = lock.held().expect("it still reads");
        assert_eq!((held.how, held.fence, guard.fence()), (Mode::Shared, read_as, read_as));
        both.wait()?;
        guard.unlock()
    } else {
        both.wait()?;
        guard.unlock()
    }
}

/// Rank 1 waits to write when rank 0 goes from writing to reading: it writes only when rank 0 has stopped.
fn downgrade(rank: u32) -> Outcome {
    let (lock, got) = (RwLock::open("l")?, Value::<i64>::open("got")?);
    if rank == 1 {
        Event::open("first")?.wait()?;
        let guard = lock.write()?;
        got.set(1)?;
        return guard.unlock();
    }
    let guard = lock.write()?;
    let written_as = guard.fence();
    Event::open("first")?.set();
    Event::open("go")?.wait()?;
    let guard = guard.downgrade()?;
    assert_eq!(guard.fence(), written_as, "the fence stays");
    assert_eq!(got.get(), 0, "nobody has written since");
    guard.unlock()
}

/// Rank 1 is killed while it writes.
fn dead_writer(rank: u32) -> Outcome {
    let lock = RwLock::open("l")?;
    if rank == 1 {
        std::mem::forget(lock.write()?);
        return Event::open("never")?.wait();
    }
    Event::open("go")?.wait()?;
    let guard = lock.write()?;
    let Previous::Abandoned(last) = guard.previous() else { panic!("the last writer was killed") };
    assert_eq!(last.how, EndCause::Killed);
    guard.mark_consistent()?;
    guard.unlock()?;
    assert_eq!(lock.write()?.previous(), Previous::Clean);
    Ok(())
}

/// Rank 1 is killed while it reads.
fn dead_reader(rank: u32) -> Outcome {
    let lock = RwLock::open("l")?;
    if rank == 1 {
        std::mem::forget(lock.read()?);
        return Event::open("never")?.wait();
    }
    Event::open("go")?.wait()?;
    let guard = lock.write()?;
    assert_eq!(guard.previous(), Previous::Clean, "a reader has spoilt nothing");
    guard.unlock()
}

/// Rank 0 reads, rank 1 waits to write and is killed, rank 2 waits behind it to read: it reads with rank 0.
fn killed_waiting_writer(rank: u32) -> Outcome {
    let lock = RwLock::open("l")?;
    match rank {
        0 => {
            let guard = lock.read()?;
            Event::open("first")?.set();
            Event::open("passed")?.wait()?;
            guard.unlock()
        }
        1 => {
            Event::open("first")?.wait()?;
            drop(lock.write()?);
            panic!("this process was to be killed while it waited");
        }
        _ => {
            Event::open("second")?.wait()?;
            let guard = lock.read()?;
            Event::open("passed")?.set();
            guard.unlock()
        }
    }
}
