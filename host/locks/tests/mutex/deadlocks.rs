//! Circles of owners that wait for each other.

use lockkeeper_locks::{AcquireError, LockState, OwnerId};

use crate::support::{A, B, C, Desk};

/// Who is in the circle, with what each holds and waits for.
fn members(error: AcquireError) -> Vec<(OwnerId, u32, u32)> {
    match error {
        AcquireError::Deadlock { circle } => {
            circle.iter().map(|link| (link.owner, link.holds.index(), link.waits_for.index())).collect()
        }
        other => panic!("a deadlock was to be found: {other:?}"),
    }
}

#[test]
fn the_request_that_closes_a_circle_of_three_fails_at_once_with_all_of_it() {
    let desk = Desk::new();
    let locks = [desk.mutex(), desk.mutex(), desk.mutex()];
    for (owner, lock) in [A, B, C].into_iter().zip(locks) {
        desk.hold(owner, lock, 0);
    }
    let _a = desk.queue(A, locks[1], 1);
    let mut b = desk.queue(B, locks[2], 2);
    assert_eq!(members(desk.refused(C, locks[0], 3)), [(C, 2, 0), (A, 0, 1), (B, 1, 2)]);
    assert_eq!(desk.queued(locks[0]), [], "the victim waits no more");
    assert_eq!(desk.table.inspect(locks[0]).counters.deadlocks, 1);
    desk.release(C, locks[2], 4);
    assert!(b.poll().is_some_and(|granted| granted.is_ok()), "the others go on");
}

#[test]
fn a_chain_that_does_not_close_is_no_deadlock() {
    let desk = Desk::new();
    let (first, second, third) = (desk.mutex(), desk.mutex(), desk.mutex());
    desk.hold(A, first, 0);
    desk.hold(B, second, 0);
    desk.hold(C, third, 0);
    let _a = desk.queue(A, second, 1);
    let _b = desk.queue(B, third, 2);
    assert_eq!(desk.queued(third), [B]);
}

#[test]
fn a_wait_that_was_dropped_closes_no_circle() {
    let desk = Desk::new();
    let (first, second) = (desk.mutex(), desk.mutex());
    desk.hold(A, first, 0);
    desk.hold(B, second, 0);
    drop(desk.queue(A, second, 1));
    let _b = desk.queue(B, first, 2);
}

#[test]
fn a_holder_that_queued_before_it_was_granted_waits_no_more() {
    let desk = Desk::new();
    let (first, second) = (desk.strict(), desk.strict());
    desk.hold(A, first, 0);
    let mut waited = desk.queue(B, first, 1);
    desk.release(A, first, 2);
    assert!(waited.poll().is_some_and(|granted| granted.is_ok()));
    desk.hold(A, second, 3);
    // B's way to `first` led through its queue, which is over: only A's hold blocks it now.
    let _b = desk.queue(B, second, 4);
    assert_eq!(members(desk.refused(A, first, 5)), [(A, 1, 0), (B, 0, 1)]);
}

#[test]
fn a_lock_that_is_being_taken_away_or_on_its_way_blocks_nobody_for_ever() {
    let desk = Desk::new();
    let (first, second) = (desk.strict(), desk.mutex());
    desk.hold(A, first, 0);
    desk.hold(B, second, 0);
    let _b = desk.queue(B, first, 1);
    let revoked = desk.table.begin_revoke(first, None, lockkeeper_locks::EndCause::Expired).expect("A holds it");
    let _a = desk.queue(A, second, 2);
    desk.table.finish_revoke(revoked, desk.at(3));
    assert_eq!(desk.table.inspect(first).state, LockState::InFlight);
}
