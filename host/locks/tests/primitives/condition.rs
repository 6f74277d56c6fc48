//! Conditions: nothing is missed, nobody wakes for nothing, and no notification is lost on its way.

use lockkeeper_locks::{AcquireError, Ask, ConditionError, EndCause, Limits, LockId, Passage, ReleaseError};

use crate::support::{A, B, C, D, Desk, E, Sleeper};

const X: Ask = Ask::Exclusive;

/// Owners that wait at a condition, in this order.
fn waiting<const N: usize>(desk: &Desk, condition: LockId, lock: LockId) -> [Sleeper<()>; N] {
    [A, B, C].first_chunk().expect("three wait at most").map(|owner| {
        desk.hold(owner, lock, X, 0);
        desk.wait_condition(owner, condition, 1).0
    })
}

/// Somebody notifies under the lock. Answers how many it was told.
fn notify(desk: &Desk, condition: LockId, lock: LockId, count: u32) -> u32 {
    desk.hold(D, lock, X, 2);
    let notified = desk.table.notify(D, condition, count).expect("D holds the lock");
    desk.release(D, lock, 3);
    notified
}

#[test]
fn a_wait_lets_the_lock_go_and_queues_in_one_step() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    desk.hold(A, lock, X, 0);
    let mut behind = desk.queue(B, lock, X, 1);
    let (mut wait, depth) = desk.wait_condition(A, condition, 2);
    assert_eq!(depth, 1);
    let _ = behind.got();
    assert_eq!(desk.table.notify(B, condition, 1), Ok(1), "A is there before anybody else has the lock");
    wait.got();
}

#[test]
fn every_level_of_an_rlock_is_let_go_and_restored() {
    let desk = Desk::new();
    let lock = desk.rlock(5);
    let condition = desk.condition(lock);
    for us in 0..3 {
        desk.hold(A, lock, X, us);
    }
    let (mut wait, depth) = desk.wait_condition(A, condition, 4);
    assert_eq!((depth, desk.count(A, lock)), (3, 0));
    assert_eq!(notify(&desk, condition, lock, 1), 1);
    wait.got();
    let notification = desk.table.notified(condition, &wait.wait);
    desk.hold(A, lock, X, 5);
    desk.table.restore_depth(A, lock, depth);
    notification.accept();
    assert_eq!(desk.count(A, lock), 3);
    for us in 6..9 {
        desk.release(A, lock, us);
    }
    assert!(!desk.table.locked(lock));
}

#[test]
fn whoever_does_not_hold_the_lock_neither_waits_nor_notifies() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let not_held = ReleaseError::NotHeld { lock };
    assert_eq!(desk.table.notify(A, condition, 1), Err(not_held));
    assert!(
        matches!(desk.table.wait_condition(A, condition, desk.at(0)), Err(ConditionError::Lock(error)) if error == not_held)
    );
    desk.hold(B, lock, X, 1);
    let not_owner = ReleaseError::NotOwner { lock, owner: B };
    assert_eq!(desk.table.notify(A, condition, 1), Err(not_owner));
    desk.revoke(lock, 2);
    assert_eq!(desk.table.notify(B, condition, 1), Err(ReleaseError::Lost { how: EndCause::Expired }));
    assert_eq!(desk.table.waiter_count(condition), 0);
}

#[test]
fn whoever_cannot_wait_still_holds_the_lock() {
    let desk = Desk::with_limits(Limits { waiters_per_lock_max: 1, holds_per_owner_max: 2 });
    let lock = desk.rlock(4);
    let condition = desk.condition(lock);
    let [_first] = waiting(&desk, condition, lock);
    desk.hold(B, lock, X, 2);
    desk.hold(B, lock, X, 3);
    let full = ConditionError::Wait(AcquireError::WaitersExceeded { lock: condition, max: 1 });
    assert_eq!(desk.table.wait_condition(B, condition, desk.at(4)).map(drop), Err(full));
    assert_eq!(desk.count(B, lock), 2);
}

/// The wait takes the place of the hold, and the hold that of the wait: neither meets a limit that the other one met.
#[test]
fn whoever_holds_as_much_as_it_may_can_wait_and_have_the_lock_again_past_a_full_queue() {
    let desk = Desk::with_limits(Limits { waiters_per_lock_max: 1, holds_per_owner_max: 1 });
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    desk.hold(A, lock, X, 0);
    let mut waiting = desk.table.wait_condition(A, condition, desk.at(0)).expect("A holds the lock");
    desk.hold(B, lock, X, 1);
    let _full = desk.queue(C, lock, X, 1);
    assert_eq!(desk.table.notify(B, condition, 1), Ok(1));
    assert_eq!(waiting.wait.expire(desk.at(2)), Ok(()), "the notification was first");
    let notification = desk.table.notified(condition, &waiting.wait);
    let again = desk.table.ask_again(A, lock, desk.at(2));
    assert!(matches!(again, Ok(Passage::Wait(_))), "{again:?}");
    notification.accept();
}

#[test]
fn those_who_have_waited_longest_are_notified_and_nobody_else_wakes() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let [mut first, mut second, mut third] = waiting(&desk, condition, lock);
    assert_eq!(notify(&desk, condition, lock, 0), 0);
    assert_eq!(notify(&desk, condition, lock, 2), 2);
    first.got();
    second.got();
    assert_eq!((third.wakes(), third.poll()), (0, None));
    assert_eq!(notify(&desk, condition, lock, u32::MAX), 1);
    third.got();
    assert_eq!(notify(&desk, condition, lock, 1), 0, "nothing is kept for who comes later");
    let [late] = waiting(&desk, condition, lock);
    assert_eq!(late.wakes(), 0);
}

#[test]
fn nothing_but_a_notification_wakes() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let [mut first, second, mut third] = waiting(&desk, condition, lock);
    assert_eq!(first.expire(desk.at(5)), Err(AcquireError::TimedOut));
    drop(second);
    desk.end(B, EndCause::Killed, 6);
    desk.hold(D, lock, X, 7);
    desk.end(D, EndCause::Killed, 8);
    assert_eq!((third.wakes(), third.poll()), (0, None));
}

#[test]
fn a_notification_before_the_deadline_wins() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let [mut first, second] = waiting(&desk, condition, lock);
    notify(&desk, condition, lock, 1);
    assert_eq!(first.expire(desk.at(5)), Ok(()));
    assert_eq!(second.wakes(), 0);
}

// ---- a notification passes on ----

#[test]
fn a_waiter_that_is_gone_before_the_notification_does_not_take_it() {
    for way in 0..3 {
        let desk = Desk::new();
        let lock = desk.mutex();
        let condition = desk.condition(lock);
        let [mut first, mut second, third] = waiting(&desk, condition, lock);
        match way {
            0 => desk.end(A, EndCause::Killed, 2),
            1 => assert_eq!(first.expire(desk.at(2)), Err(AcquireError::TimedOut)),
            _ => drop(first),
        }
        assert_eq!(notify(&desk, condition, lock, 1), 1);
        second.got();
        assert_eq!(third.wakes(), 0);
    }
}

#[test]
fn a_notification_passes_on_from_who_ends_or_leaves_before_it_has_seen_it() {
    for way in 0..2 {
        let desk = Desk::new();
        let lock = desk.mutex();
        let condition = desk.condition(lock);
        let [mut first, mut second, third] = waiting(&desk, condition, lock);
        notify(&desk, condition, lock, 1);
        if way == 0 {
            desk.end(A, EndCause::Killed, 5);
            assert_eq!(first.answer(), Err(AcquireError::Cancelled));
        }
        drop(first);
        second.got();
        assert_eq!(third.wakes(), 0, "it passes on once");
    }
}

#[test]
fn a_notification_passes_on_from_who_ends_before_it_has_the_lock_again() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let [mut first, mut second, mut third] = waiting(&desk, condition, lock);
    notify(&desk, condition, lock, 1);
    first.got();
    let notification = desk.table.notified(condition, &first.wait);
    desk.hold(E, lock, X, 4);
    let again = desk.queue(A, lock, X, 5);
    desk.end(A, EndCause::Killed, 6);
    drop((again, notification));
    second.got();
    let notification = desk.table.notified(condition, &second.wait);
    drop(notification);
    third.got();
    let notification = desk.table.notified(condition, &third.wait);
    drop(notification);
    desk.release(E, lock, 7);
    desk.hold(B, lock, X, 8);
    let (late, _) = desk.wait_condition(B, condition, 9);
    assert_eq!(late.wakes(), 0, "nobody was left to take it, and it is not kept");
}

#[test]
fn an_accepted_notification_stays_where_it_is() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let [mut first, second] = waiting(&desk, condition, lock);
    notify(&desk, condition, lock, 1);
    first.got();
    let notification = desk.table.notified(condition, &first.wait);
    desk.hold(A, lock, X, 4);
    notification.accept();
    desk.end(A, EndCause::Trapped, 5);
    assert_eq!(second.wakes(), 0);
}

/// A waiter ends while it queues, and another one is notified before the first one's future is polled. Once that poll looked
/// like a notification, which then passed on to somebody whom nobody had notified.
#[test]
fn a_waiter_that_ended_is_not_notified_after_it() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let [mut first, mut second, third] = waiting(&desk, condition, lock);
    desk.end(A, EndCause::Killed, 2);
    notify(&desk, condition, lock, 1);
    assert_eq!(first.answer(), Err(AcquireError::Cancelled));
    second.got();
    assert_eq!(third.wakes(), 0);
}

#[test]
fn a_revocation_between_the_two_steps_of_a_wait_leaves_no_waiter() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    desk.hold(A, lock, X, 0);
    desk.revoke(lock, 1);
    let lost = ConditionError::Lock(ReleaseError::Lost { how: EndCause::Expired });
    assert_eq!(desk.table.wait_condition(A, condition, desk.at(2)).map(drop), Err(lost));
    assert_eq!(desk.table.waiter_count(condition), 0);
    assert!(!desk.table.locked(lock));
}
