//! The order of arrival, and how far a running owner may go ahead of it.

use lockkeeper_locks::{LockState, OwnerId};

use crate::support::{A, B, BOUND_US, C, D, Desk};

#[test]
fn a_release_within_the_bound_wakes_the_head_and_leaves_the_lock_free() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut head = desk.queue(B, lock, 10);
    desk.release(A, lock, 20);

    assert_eq!(desk.table.inspect(lock).state, LockState::HeadWoken);
    assert!(!desk.table.locked(lock));
    assert_eq!(head.wakes(), 1);
    let _ = head.granted();
    assert_eq!(desk.holder(lock), Some(B));
}

#[test]
fn a_running_owner_takes_a_free_lock_ahead_of_a_head_within_its_bound() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut head = desk.queue(B, lock, 10);
    desk.release(A, lock, 20);

    desk.hold(C, lock, 21);
    assert_eq!(head.poll(), None, "it was overtaken");
    assert_eq!(desk.queued(lock), [B], "and keeps its place");
    desk.release(C, lock, 22);
    assert_eq!(head.wakes(), 2, "and is woken again");
    let _ = head.granted();
    assert_eq!(desk.table.inspect(lock).counters.barged, 1);
}

#[test]
fn a_head_that_was_overtaken_before_it_came_is_still_on_its_way() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut head = desk.queue(B, lock, 10);
    desk.release(A, lock, 20);
    assert!(desk.can_take(C, lock, 21));
    desk.release(C, lock, 22);
    assert_eq!(head.wakes(), 1, "it has not polled since, so one wake-up is enough");
    let _ = head.granted();
}

#[test]
fn the_releaser_itself_may_barge_only_until_the_head_has_waited_its_bound() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let mut now = 0;
    desk.hold(A, lock, now);
    let mut head = desk.queue(B, lock, now);
    let mut barged = 0;
    loop {
        now += 100;
        desk.release(A, lock, now);
        if !desk.can_take(A, lock, now) {
            break;
        }
        barged += 1;
        assert!(now < BOUND_US, "A overtook a waiter that had waited its bound");
    }
    assert_eq!((barged, now), (9, BOUND_US));
    assert_eq!(desk.table.inspect(lock).state, LockState::InFlight);
    assert_eq!(desk.holder(lock), Some(B), "the waiter is the owner at once");
    let _ = head.granted();
}

#[test]
fn nobody_overtakes_a_woken_head_that_has_meanwhile_waited_its_bound() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut head = desk.queue(B, lock, 10);
    desk.release(A, lock, 20);

    let late = 10 + BOUND_US;
    assert!(desk.can_take(C, lock, late - 1));
    desk.release(C, lock, late - 1);
    assert!(!desk.can_take(C, lock, late), "a try obeys the bound");
    assert!(!desk.table.locked(lock), "although the lock is free");
    let mut behind = desk.queue(D, lock, late);
    assert_eq!(desk.queued(lock), [B, D], "an arrival queues");
    let _ = head.granted();
    desk.release(B, lock, late + 1);
    let _ = behind.granted();
}

#[test]
fn a_clock_that_is_read_early_does_not_reopen_the_bound() {
    // Two threads read the clock and reach the lock in the other order.
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let _head = desk.queue(B, lock, 10);
    desk.release(A, lock, 20);
    assert!(!desk.can_take(C, lock, 10 + BOUND_US));
    assert!(!desk.can_take(D, lock, 30), "the lock has seen a later time");
}

#[test]
fn strict_fifo_hands_over_at_every_release_and_nobody_overtakes() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut first = desk.queue(B, lock, 0);
    let mut second = desk.queue(C, lock, 0);
    desk.release(A, lock, 0);

    assert_eq!(desk.holder(lock), Some(B));
    assert!(!desk.can_take(A, lock, 0));
    let mut third = desk.queue(A, lock, 0);
    let _ = first.granted();
    desk.release(B, lock, 0);
    let _ = second.granted();
    desk.release(C, lock, 0);
    let _ = third.granted();
    assert_eq!(desk.table.inspect(lock).counters.handed_over, 3);
    assert_eq!(desk.table.inspect(lock).counters.barged, 0);
}

#[test]
fn ten_thousand_waiters_are_served_in_order_each_with_a_greater_fence() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let mut last = desk.take(A, lock, 0).fence;
    let owners: Vec<_> = (0..10_000).map(|id| OwnerId::new(100 + id)).collect();
    let mut waits: Vec<_> = owners.iter().map(|owner| desk.queue(*owner, lock, 1)).collect();
    assert_eq!(desk.table.waiter_count(lock), 10_000);
    assert_eq!(desk.queued(lock), owners);

    let mut holder = A;
    for (owner, wait) in owners.iter().zip(&mut waits) {
        desk.release(holder, lock, 2 * BOUND_US);
        assert_eq!(wait.wakes(), 1);
        let fence = wait.granted().fence;
        assert!(fence > last, "{fence} follows {last}");
        (last, holder) = (fence, *owner);
    }
    assert_eq!(desk.table.waiter_count(lock), 0);
    assert_eq!(desk.table.inspect(lock).counters.handed_over, 10_000);
}

#[test]
fn ten_thousand_waiters_leave_from_the_middle_and_no_place_stays() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut waits: Vec<_> = (0..10_000).map(|id| desk.queue(OwnerId::new(100 + id), lock, 1)).collect();
    let mut odd = 0;
    waits.retain(|_| {
        odd += 1;
        odd % 2 == 0
    });
    assert_eq!(desk.table.waiter_count(lock), 5_000);
    assert_eq!(desk.queued(lock)[0], OwnerId::new(101));
    drop(waits);
    assert_eq!(desk.table.waiter_count(lock), 0);
    desk.release(A, lock, 2);
    assert!(desk.can_take(A, lock, 3));
}
