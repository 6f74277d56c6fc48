//! The end of a wait by its own side: dropped, or its deadline.

use lockkeeper_locks::{AcquireError, LockState, Previous};

use crate::support::{A, B, BOUND_US, C, Desk};

#[test]
fn a_dropped_wait_leaves_no_place_and_no_waker() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let first = desk.queue(B, lock, 1);
    let second = desk.queue(C, lock, 2);
    assert_eq!(second.wakers_kept(), 1);
    drop(first);
    assert_eq!(desk.queued(lock), [C]);
    drop(second);
    desk.release(A, lock, 3);
    assert_eq!(desk.table.inspect(lock).state, LockState::Free);
    desk.hold(B, lock, 4);
}

#[test]
fn a_woken_head_that_is_dropped_passes_the_wake_up_on() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let head = desk.queue(B, lock, 1);
    let mut next = desk.queue(C, lock, 2);
    desk.release(A, lock, 3);
    assert_eq!((head.wakes(), next.wakes()), (1, 0));
    drop(head);
    assert_eq!(next.wakes(), 1);
    let _ = next.granted();
}

#[test]
fn a_woken_head_that_expires_has_the_lock_if_it_is_still_free() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut head = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    let acquired = head.expire(desk.at(3)).expect("its turn came before its deadline");
    assert_eq!(desk.table.held_fence(B, lock), Some(acquired.fence));
}

#[test]
fn a_woken_head_that_was_overtaken_and_expires_is_out_of_the_queue() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut head = desk.queue(B, lock, 1);
    let mut next = desk.queue(C, lock, 2);
    desk.release(A, lock, 3);
    desk.hold(A, lock, 4);
    assert_eq!(head.expire(desk.at(5)), Err(AcquireError::TimedOut));
    desk.release(A, lock, 6);
    assert_eq!(next.wakes(), 1);
    let _ = next.granted();
    assert_eq!(desk.table.inspect(lock).counters.timeouts, 1);
}

#[test]
fn a_grant_in_flight_is_won_at_the_deadline() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    let acquired = wait.expire(desk.at(2)).expect("the grant was first");
    assert_eq!(desk.table.held_fence(B, lock), Some(acquired.fence));
    assert_eq!(desk.table.inspect(lock).counters.timeouts, 0);
}

#[test]
fn a_deadline_before_the_release_leaves_nobody_to_grant() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    assert_eq!(wait.expire(desk.at(2)), Err(AcquireError::TimedOut));
    assert_eq!(wait.wakers_kept(), 0);
    desk.release(A, lock, 3);
    assert!(!desk.table.locked(lock));
    drop(wait);
    assert_eq!(desk.table.inspect(lock).state, LockState::Free);
}

#[test]
fn a_waiter_in_the_middle_that_expires_wakes_nobody() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let head = desk.queue(B, lock, 1);
    let mut middle = desk.queue(C, lock, 2);
    desk.release(A, lock, 3);
    assert_eq!(middle.expire(desk.at(4)), Err(AcquireError::TimedOut), "the lock is free, but it is not its turn");
    assert_eq!(head.wakes(), 1);
    assert_eq!(desk.queued(lock), [B]);
}

#[test]
fn a_grant_in_flight_to_a_dropped_wait_passes_on_with_a_new_fence() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let first = desk.queue(B, lock, 1);
    let mut second = desk.queue(C, lock, 2);
    desk.release(A, lock, 3);
    let burnt = desk.table.inspect(lock).holder().expect("in flight").fence;
    drop(first);
    assert_eq!(desk.holder(lock), Some(C));
    let acquired = second.granted();
    assert!(acquired.fence > burnt, "no fence is issued twice");
    assert_eq!(acquired.previous, Previous::Clean);
    assert_eq!(desk.table.inspect(lock).counters.passed_on, 1);
}

#[test]
fn a_grant_in_flight_to_the_last_waiter_leaves_the_lock_free_when_it_is_dropped() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let only = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    drop(only);
    assert_eq!(desk.table.inspect(lock).state, LockState::Free);
    desk.hold(B, lock, 3);
}

#[test]
fn a_wait_that_was_granted_and_dropped_keeps_its_hold() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    let acquired = wait.granted();
    drop(wait);
    assert_eq!(desk.table.held_fence(B, lock), Some(acquired.fence));
    desk.release(B, lock, 3);
}

#[test]
fn a_waiter_that_never_polled_is_granted_all_the_same() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue_unpolled(B, lock, 1);
    desk.release(A, lock, 1 + BOUND_US);
    assert_eq!(desk.holder(lock), Some(B));
    let _ = wait.granted();
}

#[test]
fn only_the_latest_waker_is_called() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    assert_eq!(wait.poll(), None);
    assert_eq!(wait.poll(), None);
    assert_eq!(wait.wakers_kept(), 1);
    desk.release(A, lock, 2);
    assert_eq!((wait.wakes(), wait.wakers_kept()), (1, 0));
}
