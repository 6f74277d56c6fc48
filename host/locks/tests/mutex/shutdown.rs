//! After the shut-down nobody is granted.

use lockkeeper_locks::{AcquireError, EndCause, LockState};

use crate::support::{A, B, C, Desk};

#[test]
fn shut_down_cancels_every_waiter_and_grants_nobody() {
    let desk = Desk::new();
    let (lock, other) = (desk.mutex(), desk.strict());
    desk.hold(A, lock, 0);
    desk.hold(A, other, 0);
    let mut waits = [desk.queue(B, lock, 1), desk.queue(C, lock, 2), desk.queue(B, other, 3)];
    desk.table.shut_down();
    for wait in &mut waits {
        assert_eq!((wait.wakes(), wait.wakers_kept()), (1, 0));
        assert_eq!(wait.poll(), Some(Err(AcquireError::Cancelled)));
    }
    assert_eq!(desk.table.waiter_count(lock), 0);
    assert_eq!(desk.refused(C, lock, 4), AcquireError::Cancelled);

    desk.release(A, lock, 5);
    assert_eq!(desk.table.inspect(lock).state, LockState::Free);
    assert_eq!(desk.table.try_acquire(C, lock, desk.at(6)), Err(AcquireError::Cancelled));
}

#[test]
fn an_end_after_the_shut_down_grants_nobody() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    desk.table.shut_down();
    let ended = desk.table.begin_end(A, EndCause::Killed);
    assert_eq!(ended.holds.len(), 1);
    desk.table.finish_end(ended, desk.at(2));
    assert_eq!(wait.poll(), Some(Err(AcquireError::Cancelled)));
    assert_eq!(desk.table.inspect(lock).state, LockState::Free);
}

#[test]
fn a_shut_down_between_the_halves_of_an_end_grants_nobody() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    let ended = desk.table.begin_end(A, EndCause::Killed);
    desk.table.shut_down();
    desk.table.finish_end(ended, desk.at(2));
    assert_eq!(wait.poll(), Some(Err(AcquireError::Cancelled)));
    assert!(!desk.table.locked(lock));
}

#[test]
fn a_grant_in_flight_at_the_shut_down_is_withdrawn() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    assert_eq!(desk.holder(lock), Some(B));
    desk.table.shut_down();
    assert_eq!(wait.poll(), Some(Err(AcquireError::Cancelled)));
    assert!(!desk.table.locked(lock));
}

#[test]
fn an_expiry_after_the_shut_down_is_cancelled_and_not_timed_out() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    desk.table.shut_down();
    assert_eq!(wait.expire(desk.at(2)), Err(AcquireError::Cancelled));
}

#[test]
fn a_hold_survives_the_shut_down_with_its_fence() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let acquired = desk.take(A, lock, 0);
    desk.table.shut_down();
    assert_eq!(desk.table.check_claim(A, lock, acquired.fence), Ok(()));
    desk.release(A, lock, 1);
}

#[test]
fn a_lock_made_after_the_shut_down_grants_nobody() {
    let desk = Desk::new();
    desk.table.shut_down();
    let lock = desk.mutex();
    assert_eq!(desk.refused(A, lock, 0), AcquireError::Cancelled);
}
