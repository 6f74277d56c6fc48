//! Re-entrant locks.

use lockkeeper_locks::{AcquireError, Ask, EndCause, Kind, Previous, ReleaseError};

use crate::support::{A, B, BOUND_US, Desk};

const X: Ask = Ask::Exclusive;

#[test]
fn an_owner_acquires_again_with_the_same_fence_and_nobody_else_has_it_before_the_last_release() {
    let desk = Desk::new();
    let lock = desk.rlock(3);
    let first = desk.take(A, lock, X, 0);
    let mut wait = desk.queue(B, lock, X, 1);
    for depth in 2..=3 {
        assert_eq!(desk.take(A, lock, X, 2), first);
        assert_eq!(desk.count(A, lock), depth);
    }
    for depth in [2, 1] {
        desk.release(A, lock, 3);
        assert_eq!((desk.count(A, lock), wait.wakes()), (depth, 0));
        assert_eq!(desk.table.held_fence(A, lock), Some(first.fence));
    }
    desk.release(A, lock, 4);
    assert!(wait.got().fence > first.fence);
    assert_eq!(desk.table.release(A, lock, desk.at(5)), Err(ReleaseError::NotOwner { lock, owner: B }));
}

#[test]
fn the_depth_has_a_limit_and_a_refusal_leaves_the_hold_as_it_was() {
    let desk = Desk::new();
    let lock = desk.rlock(2);
    desk.hold(A, lock, X, 0);
    desk.hold(A, lock, X, 1);
    assert_eq!(desk.refused(A, lock, X, 2), AcquireError::DepthExceeded { lock });
    assert_eq!(desk.table.try_acquire(A, lock, desk.at(2)), Err(AcquireError::DepthExceeded { lock }));
    assert_eq!(desk.count(A, lock), 2);
    desk.release(A, lock, 3);
    desk.release(A, lock, 3);
    assert_eq!(desk.table.release(A, lock, desk.at(4)), Err(ReleaseError::NotHeld { lock }));
}

#[test]
fn an_owner_acquires_again_past_a_waiter_beyond_its_bound() {
    let desk = Desk::new();
    let lock = desk.barging(Kind::RLock { depth_max: 9 });
    desk.hold(A, lock, X, 0);
    let wait = desk.queue(B, lock, X, 1);
    desk.hold(A, lock, X, 2 * BOUND_US);
    assert_eq!(desk.table.try_acquire(A, lock, desk.at(2 * BOUND_US)).map(|got| got.is_some()), Ok(true));
    assert_eq!((desk.count(A, lock), wait.wakes()), (3, 0));
}

#[test]
fn every_level_goes_with_a_dead_owner_at_once() {
    let desk = Desk::new();
    let lock = desk.rlock(3);
    for us in 0..3 {
        desk.hold(A, lock, X, us);
    }
    let mut wait = desk.queue(B, lock, X, 3);
    desk.end(A, EndCause::Limit, 4);
    assert_eq!(wait.got().previous, Previous::Abandoned { how: EndCause::Limit, who: A });
}

#[test]
fn a_revocation_takes_every_level_and_is_told_once() {
    let desk = Desk::new();
    let lock = desk.rlock(3);
    desk.hold(A, lock, X, 0);
    desk.hold(A, lock, X, 1);
    desk.revoke(lock, 2);
    assert_eq!(desk.table.release(A, lock, desk.at(3)), Err(ReleaseError::Lost { how: EndCause::Expired }));
    assert_eq!(desk.table.release(A, lock, desk.at(3)), Err(ReleaseError::NotHeld { lock }));
    desk.hold(A, lock, X, 4);
    assert_eq!(desk.count(A, lock), 1, "the levels of the old hold are gone");
}
