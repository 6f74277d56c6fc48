//! The races of mutexes.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    AcquireError, Acquisition, ClaimError, EndCause, LockId, LockState, LockTable, OwnerId, Previous, ReleaseError,
};
use loom::future::block_on;
use loom::thread;

use crate::support::{A, B, C, barging, explore, glance, hold, is_over, queue, several, strict, with_bound};

/// The deadline of the waiter against the release that hands the lock over to it: the grant is won, or it never was.
#[test]
fn grant_against_timeout() {
    explore(|now| {
        let (table, lock) = strict();
        let _ = hold(&table, A, lock, now);
        let mut wait = queue(&table, B, lock, now);
        let releaser = thread::spawn({
            let table = Arc::clone(&table);
            move || table.release(A, lock, now)
        });
        match wait.expire(now) {
            Ok(acquired) => {
                assert_eq!(table.held_fence(B, lock), Some(acquired.fence));
                assert_eq!(table.release(B, lock, now), Ok(()));
            }
            Err(error) => assert_eq!(error, AcquireError::TimedOut),
        }
        assert_eq!(releaser.join().expect("no panic"), Ok(()));
        is_over(&table, lock, now);
    });
}

/// The waiter at the front expires while the lock is released and a second one sleeps: the second one is woken.
#[test]
fn timeout_of_the_head_against_grant_with_one_behind() {
    for bound in [Duration::ZERO, Duration::from_secs(3_600)] {
        explore(move |now| {
            let (table, lock) = with_bound(bound);
            let _ = hold(&table, A, lock, now);
            let mut head = queue(&table, B, lock, now);
            let behind = queue(&table, C, lock, now);
            let releaser = thread::spawn({
                let table = Arc::clone(&table);
                move || table.release(A, lock, now)
            });
            let expirer = thread::spawn({
                let table = Arc::clone(&table);
                move || match head.expire(now) {
                    Ok(_) => table.release(B, lock, now).expect("B was granted"),
                    Err(error) => assert_eq!(error, AcquireError::TimedOut),
                }
            });
            let _ = block_on(behind).expect("C is granted in the end");
            assert_eq!(table.release(C, lock, now), Ok(()));
            assert_eq!(releaser.join().expect("no panic"), Ok(()));
            expirer.join().expect("no panic");
            is_over(&table, lock, now);
        });
    }
}

/// The waiter is dropped while the release hands the lock over to it: the grant passes on to the one behind.
#[test]
fn grant_against_cancellation() {
    for bound in [Duration::ZERO, Duration::from_secs(3_600)] {
        explore(move |now| {
            let (table, lock) = with_bound(bound);
            let _ = hold(&table, A, lock, now);
            let head = queue(&table, B, lock, now);
            let behind = queue(&table, C, lock, now);
            let releaser = thread::spawn({
                let table = Arc::clone(&table);
                move || table.release(A, lock, now)
            });
            let canceller = thread::spawn(move || drop(head));
            let acquired = block_on(behind).expect("C is granted in the end");
            assert_eq!(acquired.previous, Previous::Clean);
            assert_eq!(table.release(C, lock, now), Ok(()));
            assert_eq!(releaser.join().expect("no panic"), Ok(()));
            canceller.join().expect("no panic");
            is_over(&table, lock, now);
        });
    }
}

/// The waiter's owner dies while the lock is handed over to it and it polls: it is told and abandons, or it never was.
#[test]
fn death_of_the_grantee() {
    explore(|now| {
        let (table, lock) = strict();
        let _ = hold(&table, A, lock, now);
        let wait = queue(&table, B, lock, now);
        let mut behind = queue(&table, C, lock, now);
        assert!(glance(&mut behind).is_pending());
        let releaser = thread::spawn({
            let table = Arc::clone(&table);
            move || table.release(A, lock, now)
        });
        let killer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let ended = table.begin_end(B, EndCause::Killed);
                table.finish_end(ended, now);
            }
        });
        let told = block_on(wait);
        assert_eq!(releaser.join().expect("no panic"), Ok(()));
        killer.join().expect("no panic");

        let next = block_on(behind).expect("C is granted in the end");
        match told {
            Ok(acquired) => {
                assert_eq!(next.previous, Previous::Abandoned { how: EndCause::Killed, who: B });
                let fenced = Err(ClaimError::Fenced { current: next.fence });
                assert_eq!(table.check_claim(B, lock, acquired.fence), fenced);
            }
            Err(error) => {
                assert_eq!(error, AcquireError::Cancelled);
                assert_eq!(next.previous, Previous::Clean);
            }
        }
        assert_eq!(table.release(C, lock, now), Ok(()));
        is_over(&table, lock, now);
    });
}

/// An owner dies while it asks: whatever it got is taken away, and nothing of it stays.
#[test]
fn death_against_acquire() {
    explore(|now| {
        let (table, lock) = barging();
        let killer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let ended = table.begin_end(A, EndCause::Killed);
                table.finish_end(ended, now);
            }
        });
        let tried = table.try_acquire(A, lock, now);
        assert!(matches!(tried, Ok(Some(_)) | Err(AcquireError::Cancelled)), "{tried:?}");
        killer.join().expect("no panic");
        is_over(&table, lock, now);
    });
}

/// The release wakes the head while somebody barges in between: the head is woken again and has the lock in the end.
#[test]
fn release_against_barging_and_woken_head() {
    explore(|now| {
        let (table, lock) = barging();
        let _ = hold(&table, A, lock, now);
        let head = queue(&table, B, lock, now);
        let barger = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                if let Some(acquired) = table.try_acquire(C, lock, now).expect("no limit is near") {
                    assert_eq!(table.check_claim(C, lock, acquired.fence), Ok(()));
                    table.release(C, lock, now).expect("C was granted");
                }
            }
        });
        let releaser = thread::spawn({
            let table = Arc::clone(&table);
            move || table.release(A, lock, now)
        });
        let acquired = block_on(head).expect("B is granted in the end");
        assert_eq!(table.held_fence(B, lock), Some(acquired.fence));
        assert_eq!(table.release(B, lock, now), Ok(()));
        barger.join().expect("no panic");
        assert_eq!(releaser.join().expect("no panic"), Ok(()));
        is_over(&table, lock, now);
    });
}

/// The holder writes and releases while its hold is taken away. A claim is good before, and never again after.
#[test]
fn revoke_against_claim() {
    explore(|now| {
        let (table, lock) = strict();
        let fence = hold(&table, A, lock, now).fence;
        let wait = queue(&table, B, lock, now);
        let revoker = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let revoked = table.begin_revoke(lock, Some(fence), EndCause::Expired)?;
                // Here the host raises the floor of the bound files.
                let claim = table.check_claim(A, lock, fence);
                assert_eq!(claim, Err(ClaimError::Fenced { current: fence }), "nobody is granted in between");
                table.finish_revoke(revoked, now);
                Some(())
            }
        });
        let first = table.check_claim(A, lock, fence);
        let second = table.check_claim(A, lock, fence);
        assert!(first.is_ok() || second.is_err(), "a dead fence came to life again");
        assert!(second.is_ok() || matches!(second, Err(ClaimError::Fenced { .. })), "{second:?}");
        let released = table.release(A, lock, now);
        let next = block_on(wait).expect("B is granted in the end");
        match revoker.join().expect("no panic") {
            Some(()) => {
                assert_eq!(released, Err(ReleaseError::Lost { how: EndCause::Expired }));
                assert_eq!(next.previous, Previous::Abandoned { how: EndCause::Expired, who: A });
            }
            None => {
                assert_eq!(released, Ok(()));
                assert_eq!(next.previous, Previous::Clean);
            }
        }
        assert_eq!(table.release(B, lock, now), Ok(()));
        is_over(&table, lock, now);
    });
}

/// Two take the same hold away, one of them because the owner ends: one of them has it and grants the next, the other finds
/// nothing.
#[test]
fn revoke_against_death() {
    explore(|now| {
        let (table, lock) = strict();
        let fence = hold(&table, A, lock, now).fence;
        let wait = queue(&table, B, lock, now);
        let revoker = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let revoked = table.begin_revoke(lock, Some(fence), EndCause::Expired)?;
                table.finish_revoke(revoked, now);
                Some(())
            }
        });
        let ended = table.begin_end(A, EndCause::Killed);
        let ended_it = ended.holds.len() == 1;
        assert!(table.check_claim(A, lock, fence).is_err());
        table.finish_end(ended, now);
        let revoked_it = revoker.join().expect("no panic").is_some();
        assert_ne!(ended_it, revoked_it, "one of them, and only one");

        let how = if ended_it { EndCause::Killed } else { EndCause::Expired };
        let next = block_on(wait).expect("B is granted in the end");
        assert_eq!(next.previous, Previous::Abandoned { how, who: A });
        assert_eq!(table.release(B, lock, now), Ok(()));
        is_over(&table, lock, now);
    });
}

/// The table is shut down while the lock is handed over: a wait is told of a grant from before, or it is cancelled; after
/// the shut-down nobody is told of any.
#[test]
fn shutdown_against_grant() {
    for bound in [Duration::ZERO, Duration::from_secs(3_600)] {
        explore(move |now| {
            let (table, lock) = with_bound(bound);
            let _ = hold(&table, A, lock, now);
            let wait = queue(&table, B, lock, now);
            let mut behind = queue(&table, C, lock, now);
            let releaser = thread::spawn({
                let table = Arc::clone(&table);
                move || table.release(A, lock, now)
            });
            let closer = thread::spawn({
                let table = Arc::clone(&table);
                move || {
                    table.shut_down();
                    assert_eq!(glance(&mut behind), Poll::Ready(Err(AcquireError::Cancelled)));
                }
            });
            match block_on(wait) {
                Ok(_) => assert_eq!(table.release(B, lock, now), Ok(())),
                Err(error) => assert_eq!(error, AcquireError::Cancelled),
            }
            assert_eq!(releaser.join().expect("no panic"), Ok(()));
            closer.join().expect("no panic");
            table.check();
            assert_eq!(table.inspect(lock).state, LockState::Free);
            assert_eq!(table.try_acquire(OwnerId::new(9), lock, now), Err(AcquireError::Cancelled));
        });
    }
}

/// Two owners ask for what the other one holds, at once: exactly one is refused, and the other one goes on when the
/// victim gives up what it has.
#[test]
fn two_requests_that_close_one_circle() {
    explore(|now| {
        let (table, [first, second]) = several();
        let _ = hold(&table, A, first, now);
        let _ = hold(&table, B, second, now);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || ask_or_give_up(&table, B, first, second, now)
        });
        let refused = ask_or_give_up(&table, A, second, first, now);
        assert_ne!(refused, other.join().expect("no panic"), "exactly one of the two is the victim");
        is_over(&table, first, now);
        is_over(&table, second, now);
    });
}

/// Asks for a second lock. Whoever is refused gives up what it has; whoever waits is granted in the end. Says whether it was
/// refused.
fn ask_or_give_up(table: &Arc<LockTable>, owner: OwnerId, wanted: LockId, held: LockId, now: Instant) -> bool {
    let refused = match table.acquire(owner, wanted, now) {
        Ok(Acquisition::Ready(_)) => false,
        Ok(Acquisition::Wait(wait)) => {
            let _ = block_on(wait).expect("the victim gives up what it has");
            false
        }
        Err(error) => {
            assert!(matches!(&error, AcquireError::Deadlock { circle } if circle.len() == 2), "{error:?}");
            true
        }
    };
    if !refused {
        assert_eq!(table.release(owner, wanted, now), Ok(()));
    }
    assert_eq!(table.release(owner, held, now), Ok(()));
    refused
}

/// A circle is looked for while the wait that would close it times out: nobody is refused for a circle that stood at no
/// instant, and whoever is refused saw one.
#[test]
fn a_circle_against_the_timeout_of_a_member() {
    explore(|now| {
        let (table, [first, second]) = several();
        let _ = hold(&table, A, first, now);
        let _ = hold(&table, B, second, now);
        let mut member = queue(&table, B, first, now);
        let expirer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                assert_eq!(member.expire(now), Err(AcquireError::TimedOut));
                assert_eq!(table.release(B, second, now), Ok(()));
            }
        });
        match table.acquire(A, second, now) {
            Ok(Acquisition::Ready(_)) => assert_eq!(table.release(A, second, now), Ok(())),
            Ok(Acquisition::Wait(wait)) => {
                let _ = block_on(wait).expect("B gives it up");
                assert_eq!(table.release(A, second, now), Ok(()));
            }
            Err(error) => assert!(matches!(error, AcquireError::Deadlock { .. }), "{error:?}"),
        }
        expirer.join().expect("no panic");
        assert_eq!(table.release(A, first, now), Ok(()));
        is_over(&table, first, now);
        is_over(&table, second, now);
    });
}

/// Each edge of a circle stands at some time, but never all of them: the holder waits for something harmless, releases the
/// lock that is asked for, and only then waits for what would close a circle. Nobody is refused.
#[test]
fn a_circle_whose_edges_never_stood_together() {
    explore(|now| {
        let (table, [of_a, of_b, of_c, of_d]) = several();
        let _ = hold(&table, A, of_a, now);
        let _ = hold(&table, B, of_b, now);
        let _ = hold(&table, C, of_c, now);
        let d = OwnerId::new(4);
        let _ = hold(&table, d, of_d, now);
        let c_waits = queue(&table, C, of_a, now);
        let mut b_waits = queue(&table, B, of_d, now);
        let b = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                assert_eq!(table.release(d, of_d, now), Ok(()));
                let _ = b_waits.expire(now).expect("D has given it up");
                assert_eq!(table.release(B, of_b, now), Ok(()));
                table.acquire(B, of_c, now)
            }
        });
        match table.acquire(A, of_b, now) {
            Ok(Acquisition::Ready(_)) => {}
            Ok(Acquisition::Wait(wait)) => drop(block_on(wait).expect("B gives it up")),
            Err(error) => panic!("A was refused for a circle that never stood: {error:?}"),
        }
        assert_eq!(table.release(A, of_b, now), Ok(()));
        assert_eq!(table.release(A, of_a, now), Ok(()));
        let _ = block_on(c_waits).expect("A has given it up");
        assert!(matches!(b.join().expect("no panic"), Ok(Acquisition::Wait(_))), "B waits for C, who runs");
        assert_eq!(table.release(C, of_a, now), Ok(()));
        assert_eq!(table.release(C, of_c, now), Ok(()));
        assert_eq!(table.release(B, of_d, now), Ok(()));
        for lock in [of_a, of_b, of_c, of_d] {
            is_over(&table, lock, now);
        }
    });
}
