//! Mutexes and rlocks behave as the locks of CPython's tests do. Argument: the case, as in
//! [`lockkeeper_guest_programs::sync`].

use std::time::Duration;

use lockkeeper_guest::{Barrier, Condition, EndCause, Error, Event, Latch, Mutex, Previous, RLock, Value};
use lockkeeper_guest_programs::sync::{Outcome, SHORT, lasts};
use lockkeeper_guest_programs::sync_main;

sync_main! {
    "test_constructor" => mutex::constructor,
    "test_constructor@rlock" => rlock::constructor,
    "test_acquire_destroy" => mutex::acquire_destroy,
    "test_acquire_destroy@rlock" => rlock::acquire_destroy,
    "test_acquire_release" => mutex::acquire_release,
    "test_acquire_release@rlock" => rlock::acquire_release,
    "test_try_acquire" => mutex::try_acquire,
    "test_try_acquire@rlock" => rlock::try_acquire,
    "test_try_acquire_contended" => mutex::try_acquire_contended,
    "test_try_acquire_contended@rlock" => rlock::try_acquire_contended,
    "test_acquire_contended" => mutex::acquire_contended,
    "test_acquire_contended@rlock" => rlock::acquire_contended,
    "test_with" => mutex::with,
    "test_with@rlock" => rlock::with,
    "test_timeout" => mutex::timeout,
    "test_timeout@rlock" => rlock::timeout,
    "test_locked_repr" => mutex::locked_repr,
    "test_locked_repr@rlock" => rlock::locked_repr,
    "test_thread_leak" => mutex::thread_leak,
    "test_thread_leak@rlock" => rlock::thread_leak,
    "test_state_after_timeout" => mutex::state_after_timeout,
    "test_state_after_timeout@rlock" => rlock::state_after_timeout,
    "test_different_thread" => mutex::different_thread,
    "test_different_thread@rlock" => rlock::different_thread,
    "test_release_unacquired" => mutex::release_unacquired,
    "test_release_unacquired@rlock" => rlock::release_unacquired,
    "test_lock_locked_2processes" => mutex::locked_by_another,
    "test_rlock_locked_2processes" => rlock::locked_by_another,
    "test_acquire@asyncio" => mutex::served_in_order,
    "test_acquire@asyncio-rlock" => rlock::served_in_order,
    "test_acquire_cancel" => mutex::acquire_cancel,
    "test_acquire_cancel@rlock" => rlock::acquire_cancel,
    "test_cancel_race" => mutex::killed_about_the_grant,
    "test_cancel_race@rlock" => rlock::killed_about_the_grant,
    "test_cancel_release_race" => mutex::killed_about_the_grant,
    "test_cancel_release_race@rlock" => rlock::killed_about_the_grant,
    "test_finished_waiter_cancelled" => mutex::killed_after_the_grant,
    "test_finished_waiter_cancelled@rlock" => rlock::killed_after_the_grant,
    "test_reacquire" => reacquire_mutex,
    "test_reacquire@rlock" => reacquire_rlock,
    "test_lock@mp" => lock_mp,
    "test_rlock@mp" => rlock_mp,
    "test_recursion_count" => recursion_count,
    "test__is_owned" => is_owned,
    "test_locked_with_2threads" => locked_with_two,
    "test_release_save_unacquired" => release_save_unacquired,
}

/// The cases that every lock must pass.
macro_rules! base_lock_tests {
    ($module:ident, $lock:ident) => {
        mod $module {
            use super::*;

            pub(super) fn constructor(_rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                assert!(!lock.is_locked());
                assert_eq!(lock.held(), None);
                assert_eq!($lock::open("nothing-of-the-job").err(), Some(Error::Denied));
                assert!(matches!($lock::open("no name"), Err(Error::InvalidName(_))));
                assert!(matches!($lock::open(""), Err(Error::InvalidName(_))));
                Ok(())
            }

            /// A hold belongs to the process, not to a handle.
            pub(super) fn acquire_destroy(_rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                let guard = lock.lock()?;
                let fence = guard.fence();
                std::mem::forget(guard);
                drop(lock);
                let again = $lock::open("l")?;
                assert_eq!(again.held(), Some(fence));
                again.release()?;
                assert!(!again.is_locked());
                Ok(())
            }

            pub(super) fn acquire_release(_rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                let first = lock.lock()?;
                let fence = first.fence();
                first.unlock()?;
                let second = lock.lock()?;
                assert!(second.fence() > fence, "a later hold has the greater fence");
                assert_eq!(second.previous(), Previous::Clean);
                second.unlock()
            }

            pub(super) fn try_acquire(_rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                let guard = lock.try_lock()?.expect("nobody holds it");
                assert!(lock.is_locked());
                guard.unlock()?;
                assert!(!lock.is_locked());
                Ok(())
            }

            pub(super) fn try_acquire_contended(rank: u32) -> Outcome {
                let (lock, both) = ($lock::open("l")?, Barrier::open("b")?);
                let guard = if rank == 0 { Some(lock.lock()?) } else { None };
                both.wait()?;
                if rank != 0 {
                    assert!(lock.try_lock()?.is_none(), "another process holds it");
                }
                both.wait()?;
                drop(guard);
                both.wait()?;
                if rank != 0 {
                    lock.try_lock()?.expect("nobody holds it any more").unlock()?;
                }
                Ok(())
            }

            pub(super) fn acquire_contended(rank: u32) -> Outcome {
                let (lock, held, go) = ($lock::open("l")?, Event::open("held")?, Event::open("go")?);
                let (got, ended) = (Value::<i64>::open("got")?, Latch::open("ended")?);
                if rank == 0 {
                    let guard = lock.lock()?;
                    held.set();
                    go.wait()?;
                    assert_eq!(got.get(), 0, "nobody passes while this process holds the lock");
                    guard.unlock()?;
                    ended.wait()?;
                    assert_eq!(got.get(), 4);
                    assert!(!lock.is_locked());
                } else {
                    held.wait()?;
                    let guard = lock.lock()?;
                    // Two steps, which only the lock keeps together.
                    let before = got.get();
                    got.set(before + 1)?;
                    guard.unlock()?;
                    ended.count_down(1)?;
                }
                Ok(())
            }

            pub(super) fn with(_rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                let answer = lock.with_lock(|guard| {
                    assert_eq!(lock.held(), Some(guard.fence()));
                    Ok::<_, Error>(7)
                })?;
                assert_eq!(answer, 7);
                let failed = lock.with_lock(|_| Err::<(), _>(Error::OutOfRange));
                assert_eq!(failed, Err(Error::OutOfRange));
                assert!(!lock.is_locked(), "released also after a failure");
                Ok(())
            }

            pub(super) fn timeout(rank: u32) -> Outcome {
                let (lock, both) = ($lock::open("l")?, Barrier::open("b")?);
                let guard = if rank == 0 { Some(lock.lock_timeout(Duration::MAX)?) } else { None };
                both.wait()?;
                if rank != 0 {
                    assert_eq!(lock.lock_timeout(Duration::ZERO).err(), Some(Error::TimedOut));
                    let late = lasts(SHORT, || lock.lock_timeout(SHORT).err());
                    assert_eq!(late, Some(Error::TimedOut));
                }
                both.wait()?;
                drop(guard);
                both.wait()?;
                if rank != 0 {
                    lock.lock_timeout(SHORT)?.unlock()?;
                }
                Ok(())
            }

            pub(super) fn locked_repr(_rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                for _ in 0..3 {
                    assert!(!lock.is_locked());
                    let guard = lock.lock()?;
                    assert!(lock.is_locked());
                    drop(guard);
                }
                assert!(!lock.is_locked());
                Ok(())
            }

            /// Many processes come, take the lock, and go.
            pub(super) fn thread_leak(rank: u32) -> Outcome {
                let (lock, ended) = ($lock::open("l")?, Latch::open("ended")?);
                drop(lock.lock()?);
                ended.count_down(1)?;
                if rank == 0 {
                    ended.wait()?;
                    lock.try_lock()?.expect("everyone has released it").unlock()?;
                }
                Ok(())
            }

            /// A waiter whose time ran out has left nothing behind.
            pub(super) fn state_after_timeout(rank: u32) -> Outcome {
                let (lock, both) = ($lock::open("l")?, Barrier::open("b")?);
                if rank == 0 {
                    let guard = lock.lock()?;
                    both.wait()?;
                    both.wait()?;
                    guard.unlock()?;
                    both.wait()?;
                } else {
                    both.wait()?;
                    assert_eq!(lock.lock_timeout(SHORT).err(), Some(Error::TimedOut));
                    both.wait()?;
                    both.wait()?;
                    assert!(!lock.is_locked());
                    lock.lock()?.unlock()?;
                }
                Ok(())
            }

            /// Only the owner releases.
            pub(super) fn different_thread(rank: u32) -> Outcome {
                let (lock, both) = ($lock::open("l")?, Barrier::open("b")?);
                let guard = if rank == 0 { Some(lock.lock()?) } else { None };
                both.wait()?;
                if rank != 0 {
                    assert_eq!(lock.release(), Err(Error::NotOwner));
                    assert!(lock.is_locked());
                }
                both.wait()?;
                if let Some(guard) = guard {
                    guard.unlock()?;
                }
                Ok(())
            }

            pub(super) fn release_unacquired(_rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                assert_eq!(lock.release(), Err(Error::NotHeld));
                lock.lock()?.unlock()?;
                assert_eq!(lock.release(), Err(Error::NotHeld));
                Ok(())
            }

            pub(super) fn locked_by_another(rank: u32) -> Outcome {
                let (lock, both) = ($lock::open("l")?, Barrier::open("b")?);
                let guard = if rank == 0 { Some(lock.lock()?) } else { None };
                both.wait()?;
                assert!(lock.is_locked());
                assert_eq!(lock.held().is_some(), rank == 0);
                both.wait()?;
                drop(guard);
                both.wait()?;
                assert!(!lock.is_locked());
                Ok(())
            }

            /// Those who wait are served in order of arrival.
            pub(super) fn served_in_order(rank: u32) -> Outcome {
                let (lock, got) = ($lock::open("l")?, Value::<i64>::open("got")?);
                if rank == 0 {
                    let guard = lock.lock()?;
                    Event::open("first")?.set();
                    Event::open("go")?.wait()?;
                    return guard.unlock();
                }
                Event::open(["first", "second", "third"][rank as usize - 1])?.wait()?;
                let guard = lock.lock()?;
                assert_eq!(got.add(1)?, i64::from(rank) - 1, "the place in the order");
                guard.unlock()
            }

            /// A waiter that is killed (rank 1) leaves the queue.
            pub(super) fn acquire_cancel(rank: u32) -> Outcome {
                let (lock, held) = ($lock::open("l")?, Event::open("held")?);
                if rank == 1 {
                    held.wait()?;
                    drop(lock.lock()?);
                    panic!("this process was to be killed while it waited");
                }
                let guard = lock.lock()?;
                held.set();
                Event::open("go")?.wait()?;
                guard.unlock()?;
                let guard = lock.try_lock()?.expect("nobody waits any more");
                assert_eq!(guard.previous(), Previous::Clean);
                guard.unlock()
            }

            /// Rank 1 is killed at about the moment of its grant. Whichever comes first, rank 2 gets the lock.
            pub(super) fn killed_about_the_grant(rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                if rank == 0 {
                    let guard = lock.lock()?;
                    Event::open("first")?.set();
                    Event::open("go")?.wait()?;
                    return guard.unlock();
                }
                Event::open(["first", "second"][rank as usize - 1])?.wait()?;
                let guard = lock.lock()?;
                if rank == 1 {
                    Event::open("never")?.wait()?;
                }
                if let Previous::Abandoned(last) = guard.previous() {
                    assert_eq!(last.how, EndCause::Killed);
                }
                guard.unlock()
            }

            /// Rank 1 is killed when it holds the lock. Rank 2 gets it, and is told.
            pub(super) fn killed_after_the_grant(rank: u32) -> Outcome {
                let lock = $lock::open("l")?;
                if rank == 0 {
                    let guard = lock.lock()?;
                    Event::open("first")?.set();
                    Event::open("go")?.wait()?;
                    return guard.unlock();
                }
                Event::open(["first", "second"][rank as usize - 1])?.wait()?;
                let guard = lock.lock()?;
                if rank == 1 {
                    Event::open("never")?.wait()?;
                }
                let Previous::Abandoned(last) = guard.previous() else {
                    panic!("the last owner was killed, and this one was not told");
                };
                assert_eq!(last.how, EndCause::Killed);
                guard.unlock()
            }
        }
    };
}

base_lock_tests!(mutex, Mutex);
base_lock_tests!(rlock, RLock);

/// A second acquisition by the owner could never be granted, so it is refused at once.
fn reacquire_mutex(_rank: u32) -> Outcome {
    let lock = Mutex::open("l")?;
    let guard = lock.lock()?;
    assert!(matches!(lock.lock(), Err(Error::Deadlock(_))));
    assert!(matches!(lock.lock_timeout(Duration::from_secs(60)), Err(Error::Deadlock(_))));
    assert!(lock.try_lock()?.is_none());
    guard.unlock()
}

fn reacquire_rlock(_rank: u32) -> Outcome {
    let lock = RLock::open("l")?;
    let outer = lock.lock()?;
    let middle = lock.try_lock()?.expect("this process holds it");
    let inner = lock.lock_timeout(Duration::ZERO)?;
    assert_eq!(inner.fence(), outer.fence());
    // In any order.
    outer.unlock()?;
    inner.unlock()?;
    assert!(lock.is_locked());
    middle.unlock()?;
    assert!(!lock.is_locked());
    Ok(())
}

fn lock_mp(_rank: u32) -> Outcome {
    let lock = Mutex::open("l")?;
    let guard = lock.lock()?;
    assert!(lock.try_lock()?.is_none());
    guard.unlock()?;
    assert_eq!(lock.release(), Err(Error::NotHeld));
    Ok(())
}

fn rlock_mp(_rank: u32) -> Outcome {
    let lock = RLock::open("l")?;
    for _ in 0..3 {
        std::mem::forget(lock.lock()?);
    }
    for _ in 0..3 {
        lock.release()?;
    }
    assert_eq!(lock.release(), Err(Error::NotHeld));
    Ok(())
}

fn recursion_count(_rank: u32) -> Outcome {
    let lock = RLock::open("l")?;
    assert_eq!(lock.depth(), 0);
    let outer = lock.lock()?;
    assert_eq!(outer.depth(), 1);
    let inner = lock.lock()?;
    assert_eq!((inner.depth(), outer.depth()), (2, 2));
    inner.unlock()?;
    assert_eq!(lock.depth(), 1);
    outer.unlock()?;
    assert_eq!(lock.depth(), 0);
    Ok(())
}

fn is_owned(rank: u32) -> Outcome {
    let (lock, both) = (RLock::open("l")?, Barrier::open("b")?);
    assert_eq!(lock.held(), None);
    // Nobody holds it before both have looked.
    both.wait()?;
    if rank == 0 {
        let (outer, inner) = (lock.lock()?, lock.lock()?);
        both.wait()?;
        both.wait()?;
        inner.unlock()?;
        assert_eq!(lock.held(), Some(outer.fence()));
        outer.unlock()?;
    } else {
        both.wait()?;
        assert_eq!((lock.held(), lock.depth()), (None, 0));
        both.wait()?;
    }
    Ok(())
}

/// Held twice and released once, it is still locked for the other process.
fn locked_with_two(rank: u32) -> Outcome {
    let (lock, both) = (RLock::open("l")?, Barrier::open("b")?);
    if rank == 0 {
        let (outer, inner) = (lock.lock()?, lock.lock()?);
        inner.unlock()?;
        both.wait()?;
        both.wait()?;
        outer.unlock()?;
        both.wait()?;
    } else {
        both.wait()?;
        assert!(lock.is_locked() && lock.try_lock()?.is_none());
        both.wait()?;
        both.wait()?;
        assert!(!lock.is_locked());
    }
    Ok(())
}

/// What a condition does to its lock needs a hold of that lock, and not of another.
fn release_save_unacquired(_rank: u32) -> Outcome {
    let (lock, other, condition) = (RLock::open("l")?, RLock::open("other")?, Condition::open("c")?);
    assert_eq!(condition.wait(other.lock()?).err(), Some(Error::NotOwner));
    let guard = lock.lock()?;
    let mistaken = condition.wait_timeout(other.lock()?, Duration::ZERO);
    assert!(matches!(mistaken, Err(Error::InvalidArgument(_))), "the guard is of another lock: {mistaken:?}");
    assert!(!other.is_locked());
    drop(mistaken);
    drop(guard);
    // The hold that the wait gave has no guard.
    while lock.depth() > 0 {
        lock.release()?;
    }
    Ok(())
}
