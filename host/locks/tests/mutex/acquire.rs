//! Taking and giving up a mutex, and every way to be refused.

use lockkeeper_locks::{AcquireError, Limits, LockState, LockTable, OwnerId, Previous, ReleaseError, Wait};

use crate::support::{A, B, C, Desk, fence};

#[test]
fn a_table_is_shared_between_threads_and_a_wait_moves_between_them() {
    fn shared<T: Send + Sync>() {}
    fn moves<T: Send + Unpin>() {}
    shared::<LockTable>();
    moves::<Wait>();
}

#[test]
fn a_free_mutex_is_had_at_once_and_locked_until_its_release() {
    let desk = Desk::new();
    let lock = desk.mutex();
    assert!(!desk.table.locked(lock));

    let acquired = desk.take(A, lock, 0);
    assert_eq!(acquired.previous, Previous::Clean);
    assert!(desk.table.locked(lock));
    assert_eq!(desk.table.held_fence(A, lock), Some(acquired.fence));
    assert_eq!(desk.table.held_fence(B, lock), None);

    desk.release(A, lock, 1);
    assert!(!desk.table.locked(lock));
    assert_eq!(desk.table.held_fence(A, lock), None);
}

#[test]
fn a_try_on_a_held_mutex_is_no_error() {
    let desk = Desk::new();
    let lock = desk.mutex();
    assert!(desk.can_take(A, lock, 0));
    assert!(!desk.can_take(B, lock, 1));
    assert_eq!(desk.table.waiter_count(lock), 0, "a try does not queue");
}

#[test]
fn own_reacquire_is_a_deadlock_and_own_try_is_merely_busy() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    assert_eq!(desk.refused(A, lock, 1), desk.waits_for_itself(A, lock, 0));
    assert!(!desk.can_take(A, lock, 2));
    desk.release(A, lock, 3);
    assert!(desk.can_take(A, lock, 4), "the refusal changed nothing");
}

#[test]
fn a_second_wait_for_the_same_mutex_is_a_deadlock() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let _waiting = desk.queue(B, lock, 1);
    assert_eq!(desk.refused(B, lock, 2), desk.waits_for_itself(B, lock, 1));
    assert_eq!(desk.queued(lock), [B]);
}

#[test]
fn release_of_a_free_mutex_is_not_held() {
    let desk = Desk::new();
    let lock = desk.mutex();
    assert_eq!(desk.table.release(A, lock, desk.at(0)), Err(ReleaseError::NotHeld { lock }));
    desk.hold(A, lock, 1);
    desk.release(A, lock, 2);
    assert_eq!(desk.table.release(A, lock, desk.at(3)), Err(ReleaseError::NotHeld { lock }));
}

#[test]
fn release_by_another_is_not_owner_and_names_the_holder() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    assert_eq!(desk.table.release(B, lock, desk.at(1)), Err(ReleaseError::NotOwner { lock, owner: A }));
    assert_eq!(desk.holder(lock), Some(A));
}

#[test]
fn a_grant_that_was_not_told_cannot_be_released() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut waiting = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    assert_eq!(desk.holder(lock), Some(B));
    assert_eq!(desk.table.held_fence(B, lock), None, "it does not know yet");
    assert_eq!(desk.table.release(B, lock, desk.at(3)), Err(ReleaseError::NotHeld { lock }));
    assert_eq!(desk.table.release(C, lock, desk.at(3)), Err(ReleaseError::NotOwner { lock, owner: B }));
    let acquired = waiting.granted();
    assert_eq!(desk.table.held_fence(B, lock), Some(acquired.fence));
    desk.release(B, lock, 4);
}

#[test]
fn the_waiter_above_the_limit_is_refused_and_the_queue_is_as_before() {
    let desk = Desk::with_limits(Limits { waiters_per_lock_max: 2, ..Limits::default() });
    let (lock, other) = (desk.mutex(), desk.mutex());
    desk.hold(A, lock, 0);
    let waits = [desk.queue(B, lock, 1), desk.queue(C, lock, 2)];
    let late = OwnerId::new(9);
    assert_eq!(desk.refused(late, lock, 3), AcquireError::WaitersExceeded { lock, max: 2 });
    assert_eq!(desk.queued(lock), [B, C]);
    desk.hold(late, other, 4);

    drop(waits);
    assert_eq!(desk.table.waiter_count(lock), 0);
    let _waiting = desk.queue(late, lock, 5);
    assert_eq!(desk.queued(lock), [late], "the refusal left no mark");
}

#[test]
fn the_hold_above_the_limit_is_refused_until_one_is_released() {
    let desk = Desk::with_limits(Limits { holds_per_owner_max: 2, ..Limits::default() });
    let locks = [desk.mutex(), desk.mutex(), desk.mutex()];
    desk.hold(A, locks[0], 0);
    desk.hold(A, locks[1], 0);
    let refused = AcquireError::HoldsExceeded { owner: A, max: 2 };
    assert_eq!(desk.refused(A, locks[2], 1), refused);
    assert_eq!(desk.table.try_acquire(A, locks[2], desk.at(1)), Err(refused));
    desk.release(A, locks[0], 2);
    desk.hold(A, locks[2], 3);
}

#[test]
fn a_wait_counts_as_a_hold_until_it_is_over() {
    let desk = Desk::with_limits(Limits { holds_per_owner_max: 1, ..Limits::default() });
    let (lock, other) = (desk.mutex(), desk.mutex());
    desk.hold(A, lock, 0);
    let mut waiting = desk.queue(B, lock, 1);
    assert_eq!(desk.refused(B, other, 2), AcquireError::HoldsExceeded { owner: B, max: 1 });
    assert_eq!(waiting.expire(desk.at(3)), Err(AcquireError::TimedOut));
    desk.hold(B, other, 4);
}

#[test]
fn a_view_shows_holder_queue_and_counters_of_one_instant() {
    let desk = Desk::new();
    let lock = desk.mutex();
    assert_eq!(desk.table.inspect(lock).state, LockState::Free);
    let acquired = desk.take(A, lock, 5);
    let _first = desk.queue(B, lock, 6);
    let _second = desk.queue(C, lock, 7);

    let view = desk.table.inspect(lock);
    let holder = view.holder().expect("the lock is held");
    assert_eq!((holder.owner, holder.fence, holder.since), (A, acquired.fence, desk.at(5)));
    let queue: Vec<_> = view.queue.iter().map(|waiter| (waiter.owner, waiter.since)).collect();
    assert_eq!(queue, [(B, desk.at(6)), (C, desk.at(7))]);
    assert_eq!(view.state, LockState::Held);
    assert_eq!((view.counters.acquired, view.counters.contended), (1, 2));
}

#[test]
fn locks_of_one_table_do_not_touch_each_other() {
    let desk = Desk::new();
    let locks: Vec<_> = (0..1_000).map(|_| desk.mutex()).collect();
    for (index, lock) in locks.iter().enumerate() {
        assert_eq!(desk.take(OwnerId::new(100 + index as u64), *lock, 0).fence, fence(1));
        assert_eq!(lock.index() as usize, index);
    }
    desk.release(OwnerId::new(600), locks[500], 1);
    assert_eq!(locks.iter().filter(|lock| !desk.table.locked(**lock)).count(), 1);
}

#[test]
#[should_panic(expected = "the table that made it")]
fn a_lock_of_another_table_is_not_served() {
    let lock = Desk::new().mutex();
    let _ = Desk::new().table.locked(lock);
}
