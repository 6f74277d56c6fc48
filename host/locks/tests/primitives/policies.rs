//! What becomes of a lock after a death: flag, poison, ignore; and what `put_back` leaves.

use lockkeeper_locks::{AcquireError, AfterDeath, Ask, EndCause, Kind, Previous, ReleaseError};

use crate::support::{A, B, C, D, Desk, RWLOCK};

const X: Ask = Ask::Exclusive;

const KINDS: [Kind; 3] = [Kind::Mutex, Kind::RLock { depth_max: 9 }, RWLOCK];

fn dead(how: EndCause) -> Previous {
    Previous::Abandoned { how, who: A }
}

#[test]
fn flag_tells_the_next_owner_once() {
    for kind in KINDS {
        let desk = Desk::new();
        let lock = desk.with_policy(kind, AfterDeath::Flag);
        desk.hold(A, lock, X, 0);
        desk.end(A, EndCause::Trapped, 1);
        assert_eq!(desk.take(B, lock, X, 2).previous, dead(EndCause::Trapped));
        desk.release(B, lock, 3);
        assert_eq!(desk.take(C, lock, X, 4).previous, Previous::Clean);
        assert_eq!(desk.table.mark_consistent(C, lock), Ok(()));
    }
}

#[test]
fn ignore_tells_nobody() {
    for kind in KINDS {
        let desk = Desk::new();
        let lock = desk.with_policy(kind, AfterDeath::Ignore);
        desk.hold(A, lock, X, 0);
        let mut wait = desk.queue(B, lock, X, 1);
        desk.end(A, EndCause::Trapped, 2);
        assert_eq!(wait.got().previous, Previous::Clean);
    }
}

#[test]
fn a_poisoned_lock_that_was_marked_consistent_goes_on() {
    for kind in KINDS {
        let desk = Desk::new();
        let lock = desk.with_policy(kind, AfterDeath::Poison);
        desk.hold(A, lock, X, 0);
        desk.end(A, EndCause::Limit, 1);
        assert_eq!(desk.table.mark_consistent(B, lock), Err(ReleaseError::NotHeld { lock }));
        assert_eq!(desk.take(B, lock, X, 2).previous, dead(EndCause::Limit));
        assert_eq!(desk.table.mark_consistent(C, lock), Err(ReleaseError::NotOwner { lock, owner: B }));
        assert_eq!(desk.table.mark_consistent(B, lock), Ok(()));
        desk.release(B, lock, 3);
        assert_eq!(desk.take(C, lock, X, 4).previous, Previous::Clean);
    }
}

#[test]
fn a_poisoned_lock_that_was_not_marked_is_closed_for_those_who_wait_and_those_who_come() {
    for kind in KINDS {
        let desk = Desk::new();
        let lock = desk.with_policy(kind, AfterDeath::Poison);
        desk.hold(A, lock, X, 0);
        let mut second = desk.queue(B, lock, X, 1);
        let [mut third, mut last] = [desk.queue(C, lock, X, 2), desk.queue(D, lock, X, 3)];
        desk.end(A, EndCause::Killed, 4);
        let _ = second.got();
        desk.release(B, lock, 5);
        let closed = AcquireError::NotRecoverable { lock };
        assert_eq!(third.refused(), closed);
        assert_eq!(last.refused(), closed);
        assert_eq!(desk.refused(B, lock, X, 6), closed);
        assert_eq!(desk.table.try_acquire(D, lock, desk.at(6)), Err(closed));
        assert!(!desk.table.locked(lock) && !desk.table.holds_any(C) && !desk.table.holds_any(D));
    }
}

#[test]
fn a_waiter_of_a_ruined_lock_that_ends_or_leaves_lets_the_next_be_told() {
    for way in 0..3 {
        let desk = Desk::new();
        let lock = desk.with_policy(Kind::Mutex, AfterDeath::Poison);
        desk.hold(A, lock, X, 0);
        let mut second = desk.queue(B, lock, X, 1);
        let [mut third, mut last] = [desk.queue(C, lock, X, 2), desk.queue(D, lock, X, 3)];
        desk.end(A, EndCause::Killed, 4);
        let _ = second.got();
        desk.release(B, lock, 5);
        match way {
            0 => desk.end(C, EndCause::Killed, 6),
            1 => assert_eq!(third.expire(desk.at(6)), Err(AcquireError::NotRecoverable { lock })),
            _ => drop(third),
        }
        assert_eq!(last.refused(), AcquireError::NotRecoverable { lock });
    }
}

#[test]
fn a_second_death_before_the_mark_leaves_it_to_the_next() {
    let desk = Desk::new();
    let lock = desk.with_policy(Kind::Mutex, AfterDeath::Poison);
    desk.hold(A, lock, X, 0);
    desk.end(A, EndCause::Killed, 1);
    desk.hold(B, lock, X, 2);
    desk.end(B, EndCause::Limit, 3);
    let next = desk.take(C, lock, X, 4);
    assert_eq!(next.previous, Previous::Abandoned { how: EndCause::Limit, who: B });
    assert_eq!(desk.table.mark_consistent(C, lock), Ok(()));
    desk.release(C, lock, 5);
    desk.hold(D, lock, X, 6);
}

#[test]
fn a_reader_of_a_poisoned_lock_may_look_and_only_a_writer_repairs() {
    let desk = Desk::new();
    let lock = desk.with_policy(RWLOCK, AfterDeath::Poison);
    desk.hold(A, lock, X, 0);
    desk.end(A, EndCause::Killed, 1);
    assert_eq!(desk.take(B, lock, Ask::Shared, 2).previous, dead(EndCause::Killed));
    assert_eq!(desk.table.mark_consistent(B, lock), Err(ReleaseError::NotHeld { lock }));
    desk.release(B, lock, 3);
    desk.hold(C, lock, X, 4);
    let _ = desk.table.downgrade(C, lock, desk.at(5)).expect("C writes");
    assert_eq!(desk.refused(D, lock, Ask::Shared, 6), AcquireError::NotRecoverable { lock }, "C let it go unmarked");
    desk.release(C, lock, 7);
}

#[test]
fn a_condition_lets_a_lock_go_like_a_release() {
    let desk = Desk::new();
    let lock = desk.with_policy(Kind::Mutex, AfterDeath::Poison);
    let condition = desk.condition(lock);
    desk.hold(A, lock, X, 0);
    desk.end(A, EndCause::Killed, 1);
    desk.hold(B, lock, X, 2);
    let _wait = desk.wait_condition(B, condition, 3);
    assert_eq!(desk.refused(C, lock, X, 4), AcquireError::NotRecoverable { lock });
}

#[test]
fn what_was_put_back_is_as_the_last_owner_left_it() {
    for policy in [AfterDeath::Flag, AfterDeath::Poison] {
        for kind in KINDS {
            let desk = Desk::new();
            let lock = desk.with_policy(kind, policy);
            desk.hold(A, lock, X, 0);
            desk.end(A, EndCause::Trapped, 1);
            for us in 2..4 {
                assert_eq!(desk.take(B, lock, X, us).previous, dead(EndCause::Trapped));
                assert_eq!(desk.table.put_back(B, lock, desk.at(us)), Ok(()));
            }
            assert_eq!(desk.take(C, lock, X, 5).previous, dead(EndCause::Trapped));
            assert_eq!(desk.table.mark_consistent(C, lock), Ok(()));
            desk.release(C, lock, 6);
            desk.hold(D, lock, X, 7);
        }
    }
}
