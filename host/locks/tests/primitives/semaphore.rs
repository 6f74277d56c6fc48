//! Semaphores, whose permits are owned or mere signals.

use lockkeeper_locks::{AcquireError, Ask, EndCause, Kind, Limits, ReleaseError, SemaphoreKind};

use crate::support::{A, B, BOUND_US, C, D, Desk};

fn some(count: u32) -> Ask {
    Ask::Permits(count)
}

#[test]
fn permits_are_taken_all_or_none_and_held_together() {
    let desk = Desk::new();
    let lock = desk.permits(5);
    let first = desk.take(A, lock, some(2), 0);
    assert!(!desk.can_take(B, lock, some(4), 1));
    assert_eq!(desk.free(lock), 3);
    let more = desk.take(A, lock, some(1), 2);
    assert_eq!(more.fence, first.fence, "it is one hold");
    assert_eq!(desk.table.held(A, lock).map(|hold| (hold.count, hold.fence)), Some((3, first.fence)));
    desk.hold(B, lock, some(2), 3);
    assert_eq!((desk.free(lock), desk.count(B, lock)), (0, 2));
    desk.give(A, lock, 3, 4);
    assert_eq!((desk.free(lock), desk.count(A, lock)), (3, 0));
}

#[test]
fn more_permits_that_were_waited_for_are_of_the_same_hold_and_it_can_be_taken_away() {
    let desk = Desk::new();
    let lock = desk.permits(3);
    let first = desk.take(A, lock, some(1), 0);
    desk.hold(B, lock, some(2), 0);
    let mut more = desk.queue(A, lock, some(2), 1);
    desk.give(B, lock, 2, 2);
    let more = more.got();
    assert_eq!((more.fence, desk.count(A, lock)), (first.fence, 3));
    let revoked = desk.table.begin_revoke(lock, Some(more.fence), EndCause::Expired).expect("A holds it");
    desk.table.finish_revoke(revoked, desk.at(3));
    assert_eq!(desk.free(lock), 3);
}

#[test]
fn an_over_release_gives_nothing_back() {
    let desk = Desk::new();
    let owned = desk.permits(3);
    assert_eq!(desk.table.release_permits(A, owned, 1, desk.at(0)), Err(ReleaseError::NotHeld { lock: owned }));
    desk.hold(A, owned, some(2), 0);
    desk.hold(B, owned, some(1), 0);
    let over = Err(ReleaseError::OverRelease { lock: owned });
    assert_eq!(desk.table.release_permits(A, owned, 3, desk.at(1)), over);
    assert_eq!((desk.count(A, owned), desk.free(owned)), (2, 0));

    for (signal, too_many) in [(desk.signal(2, Some(3)), 2), (desk.signal(2, None), u32::MAX - 1)] {
        let over = Err(ReleaseError::OverRelease { lock: signal });
        assert_eq!(desk.table.release_permits(A, signal, too_many, desk.at(1)), over);
        assert_eq!(desk.free(signal), 2);
        desk.give(A, signal, 1, 2);
        assert_eq!(desk.free(signal), 3);
    }
}

#[test]
fn a_release_of_one_level_gives_one_permit_back() {
    let desk = Desk::new();
    let lock = desk.permits(2);
    desk.hold(A, lock, some(2), 0);
    let mut wait = desk.queue(B, lock, some(2), 1);
    desk.release(A, lock, 2);
    assert_eq!((desk.free(lock), desk.count(A, lock)), (1, 1));
    assert_eq!(desk.table.put_back(A, lock, desk.at(3)), Ok(()));
    let _ = wait.got();
}

#[test]
fn more_permits_than_there_can_ever_be_are_refused_at_once() {
    let desk = Desk::new();
    for lock in [desk.permits(3), desk.signal(0, Some(3))] {
        assert_eq!(desk.refused(A, lock, some(4), 0), AcquireError::PermitsExceeded { lock });
        let tried = desk.table.try_ask(A, lock, some(4), desk.at(0));
        assert_eq!(tried, Err(AcquireError::PermitsExceeded { lock }));
    }
    let endless = desk.signal(0, None);
    drop(desk.queue(A, endless, some(u32::MAX), 0));
}

#[test]
fn a_request_for_many_is_not_starved_by_requests_for_few() {
    let desk = Desk::new();
    let lock = desk.barging(Kind::Semaphore(SemaphoreKind::Owned { permits: 3 }));
    desk.hold(A, lock, some(1), 0);
    let mut many = desk.queue(B, lock, some(3), 1);
    assert!(desk.can_take(C, lock, some(1), BOUND_US), "within the bound");
    assert!(!desk.can_take(D, lock, some(1), 1 + BOUND_US), "the first one has waited its bound");
    let mut few = desk.queue(D, lock, some(1), 1 + BOUND_US);
    desk.give(A, lock, 1, 2 * BOUND_US);
    assert_eq!((many.wakes(), few.wakes()), (0, 0), "two are free, and nobody takes one of them");
    desk.give(C, lock, 1, 2 * BOUND_US);
    let _ = many.got();
    desk.give(B, lock, 1, 2 * BOUND_US);
    let _ = few.got();
}

#[test]
fn those_who_fit_together_are_served_together() {
    let desk = Desk::new();
    let lock = desk.permits(4);
    desk.hold(A, lock, some(4), 0);
    let mut waits = [desk.queue(B, lock, some(1), 1), desk.queue(C, lock, some(2), 2)];
    let mut last = desk.queue(D, lock, some(2), 3);
    desk.give(A, lock, 3, 4);
    waits.iter_mut().for_each(|wait| _ = wait.got());
    assert_eq!(last.wakes(), 0);
    desk.give(A, lock, 1, 5);
    assert_eq!(last.wakes(), 0);
    desk.give(B, lock, 1, 6);
    let _ = last.got();
}

#[test]
fn a_large_request_that_times_out_lets_the_small_ones_behind_it_go_on() {
    for owned in [true, false] {
        let desk = Desk::new();
        let lock = if owned { desk.permits(3) } else { desk.signal(3, Some(3)) };
        desk.hold(A, lock, some(1), 0);
        let mut large = desk.queue(B, lock, some(3), 1);
        let mut small = [desk.queue(C, lock, some(1), 2), desk.queue(D, lock, some(1), 3)];
        assert_eq!(large.expire(desk.at(4)), Err(AcquireError::TimedOut));
        small.iter_mut().for_each(|wait| _ = wait.got());
        assert_eq!(desk.free(lock), 0);
    }
}

#[test]
fn owned_permits_come_back_at_the_end_of_their_owner_and_signals_do_not() {
    let desk = Desk::new();
    let owned = desk.permits(3);
    desk.hold(A, owned, some(2), 0);
    let mut wait = desk.queue(B, owned, some(3), 1);
    desk.end(A, EndCause::Trapped, 2);
    let _ = wait.got();

    let signal = desk.signal(3, Some(3));
    desk.hold(C, signal, some(2), 3);
    desk.end(C, EndCause::Trapped, 4);
    assert_eq!(desk.free(signal), 1);
    assert_eq!(desk.table.held(C, signal), None);
}

#[test]
fn permits_in_flight_pass_on_whoever_they_were_going_to() {
    for owned in [true, false] {
        for way in 0..3 {
            let desk = Desk::new();
            let lock = if owned { desk.permits(2) } else { desk.signal(2, Some(2)) };
            desk.hold(A, lock, some(2), 0);
            let mut first = desk.queue(B, lock, some(2), 1);
            let mut second = desk.queue(C, lock, some(1), 2);
            desk.give(A, lock, 2, 3);
            assert_eq!(desk.free(lock), 0, "they are on their way");
            match way {
                0 => desk.end(B, EndCause::Killed, 4),
                1 => drop(first),
                _ => {
                    assert!(first.expire(desk.at(4)).is_ok(), "the grant was first");
                    desk.give(B, lock, 2, 5);
                }
            }
            let _ = second.got();
            assert_eq!(desk.free(lock), 1, "owned: {owned}, way {way}");
        }
    }
}

/// Permits of a signal are handed over to a waiter, others fill the signal up to its maximum, and the waiter dies: what comes
/// back does not fit any more. Once this broke an invariant, and with it everyone who met the semaphore.
#[test]
fn permits_in_flight_that_come_back_to_a_full_signal_are_gone() {
    for way in 0..3 {
        for maximum in [Some(1), None] {
            let desk = Desk::new();
            let full = maximum.unwrap_or(u32::MAX);
            let lock = desk.signal(0, maximum);
            let wait = desk.queue(B, lock, some(1), 1);
            desk.give(A, lock, 1, 2);
            desk.give(A, lock, full, 3);
            match way {
                0 => desk.end(B, EndCause::Killed, 4),
                1 => drop(wait),
                _ => desk.table.shut_down(),
            }
            assert_eq!(desk.table.permits(lock), (full, maximum));
        }
    }
}

/// Whoever waited for a signal holds nothing afterwards. Once the wait stayed in its record for ever and counted.
#[test]
fn permits_of_a_signal_that_were_waited_for_do_not_count_as_held() {
    let desk = Desk::with_limits(Limits { holds_per_owner_max: 1, ..Limits::default() });
    for _ in 0..3 {
        let lock = desk.signal(0, None);
        let mut woken = desk.queue(A, lock, some(1), 0);
        desk.give(B, lock, 1, 1);
        let _ = woken.got();
        assert!(!desk.table.holds_any(A));
        let mut expired = desk.queue(A, lock, some(1), 2);
        desk.give(B, lock, 1, 3);
        assert!(expired.expire(desk.at(3)).is_ok());
        assert!(!desk.table.holds_any(A));
    }
}

#[test]
fn signals_make_no_circle_and_owned_permits_do() {
    let desk = Desk::new();
    let signal = desk.signal(1, Some(1));
    desk.hold(A, signal, some(1), 0);
    drop(desk.queue(A, signal, some(1), 1));
    let owned = desk.permits(2);
    desk.hold(A, owned, some(2), 2);
    let AcquireError::Deadlock { circle } = desk.refused(A, owned, some(1), 3) else { panic!("A has them all") };
    assert_eq!(circle.iter().map(|link| (link.owner, link.holds)).collect::<Vec<_>>(), [(A, owned)]);
    assert_eq!(desk.count(A, owned), 2);
}
