//! After the shut-down nobody waits, at whatever primitive, and nobody is told anything but that.

use lockkeeper_locks::{AcquireError, Ask, Kind, LockId, Parties};

use crate::support::{A, B, C, D, Desk, E, item};

const CANCELLED: AcquireError = AcquireError::Cancelled;

/// Every object that is no lock.
fn objects(desk: &Desk) -> [LockId; 4] {
    [
        desk.strict(Kind::Event),
        desk.strict(Kind::Latch { count: 1 }),
        desk.barrier(2, Parties::Waiting),
        desk.items(1, 10),
    ]
}

fn all_are_refused(desk: &Desk, [event, latch, barrier, queue]: [LockId; 4]) {
    assert_eq!(desk.table.wait_event(E, event, desk.at(9)).unwrap_err(), CANCELLED);
    assert_eq!(desk.table.wait_latch(E, latch, desk.at(9)).unwrap_err(), CANCELLED);
    assert_eq!(desk.table.wait_barrier(E, barrier, desk.at(9)).unwrap_err(), CANCELLED);
    assert_eq!(desk.table.get(E, queue, desk.at(9)).unwrap_err(), CANCELLED);
    assert_eq!(desk.table.put(E, queue, item(1), desk.at(9)).unwrap_err(), CANCELLED);
    assert_eq!(desk.table.join_queue(E, queue, desk.at(9)).unwrap_err(), CANCELLED);
}

/// Once only locks were closed: who came to wait elsewhere after the shut-down waited for ever, and who waited at a queue was
/// told that it had been closed.
#[test]
fn every_wait_is_cancelled_and_every_later_one_refused() {
    let desk = Desk::new();
    let [event, latch, barrier, queue] = objects(&desk);
    let full = desk.items(1, 10);
    desk.put(D, full, 1);
    let mut event_wait = desk.wait_event(A, event);
    let mut latch_wait = desk.wait_latch(A, latch);
    let mut barrier_wait = desk.arrive(A, barrier);
    let mut getter = desk.wait_get(A, queue);
    let mut putter = desk.wait_put(B, full, 1);
    let mut joiner = desk.wait_join(C, full);
    desk.table.shut_down();
    assert_eq!(event_wait.refused(), CANCELLED);
    assert_eq!(latch_wait.refused(), CANCELLED);
    assert_eq!(barrier_wait.refused(), CANCELLED);
    assert_eq!(getter.refused(), CANCELLED);
    assert_eq!(putter.refused(), CANCELLED);
    assert_eq!(joiner.expire(desk.at(1)), Err(CANCELLED));
    assert_eq!(desk.counters(full).cancelled, 2);
    all_are_refused(&desk, [event, latch, barrier, queue]);
    desk.table.set_event(event);
    assert_eq!(desk.table.count_down(latch, 1), Ok(0));
}

#[test]
fn whatever_is_made_after_the_shut_down_is_closed() {
    let desk = Desk::new();
    desk.table.shut_down();
    let objects = objects(&desk);
    all_are_refused(&desk, objects);
    for kind in [Kind::Once, crate::support::RWLOCK] {
        let lock = desk.strict(kind);
        assert_eq!(desk.refused(A, lock, Ask::Exclusive, 0), CANCELLED);
    }
}

#[test]
fn a_condition_is_not_waited_at_and_the_lock_stays_held() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    desk.hold(A, lock, Ask::Exclusive, 0);
    let (mut waiting, _) = desk.wait_condition(A, condition, 1);
    desk.hold(B, lock, Ask::Exclusive, 2);
    desk.table.shut_down();
    assert_eq!(waiting.refused(), CANCELLED);
    assert!(desk.table.wait_condition(B, condition, desk.at(3)).is_err());
    assert_eq!(desk.count(B, lock), 1);
    desk.release(B, lock, 4);
}

#[test]
fn an_answer_from_before_the_shut_down_that_nobody_came_for_is_cancelled() {
    let desk = Desk::new();
    let [event, _, barrier, _] = objects(&desk);
    let mut event_wait = desk.wait_event(A, event);
    let mut party = desk.arrive(B, barrier);
    desk.table.set_event(event);
    let _ = desk.arrive_last(C, barrier);
    desk.table.shut_down();
    assert_eq!(event_wait.refused(), CANCELLED);
    assert_eq!(party.refused(), CANCELLED);
}

#[test]
fn an_upgrade_in_flight_at_the_shut_down_is_withdrawn_and_the_read_stays() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    let read = desk.take(A, lock, Ask::Shared, 0);
    desk.hold(B, lock, Ask::Shared, 0);
    let mut upgrade = desk.queue(A, lock, Ask::Upgrade, 1);
    desk.release(B, lock, 2);
    desk.table.shut_down();
    assert_eq!(upgrade.refused(), CANCELLED);
    assert_eq!(desk.table.held(A, lock).map(|hold| hold.fence), Some(read.fence));
    desk.release(A, lock, 3);
}
