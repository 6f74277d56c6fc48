//! Holds of every kind that somebody else takes away, also with more of the same on its way.

use lockkeeper_locks::{AcquireError, Ask, EndCause, Fence, Limits, LockState, Mode, Previous, ReleaseError};

use crate::support::{A, B, C, Desk, RWLOCK};

const LOST: AcquireError = AcquireError::Lost { how: EndCause::Expired };

#[test]
fn between_the_halves_nobody_else_has_it_exclusively_and_afterwards_the_next_does() {
    let kinds = [lockkeeper_locks::Kind::RLock { depth_max: 2 }, RWLOCK, lockkeeper_locks::Kind::Once];
    for kind in kinds {
        let desk = Desk::new();
        let lock = desk.strict(kind);
        desk.hold(A, lock, Ask::Exclusive, 0);
        let mut wait = desk.queue(B, lock, Ask::Exclusive, 1);
        let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("A holds it");
        assert_eq!((desk.table.inspect(lock).state, wait.poll()), (LockState::Revoking, None));
        assert!(!desk.can_take(C, lock, Ask::Exclusive, 2));
        desk.table.finish_revoke(revoked, desk.at(3));
        assert_eq!(wait.got().previous, Previous::Abandoned { how: EndCause::Expired, who: A });
        let lost = Err(ReleaseError::Lost { how: EndCause::Expired });
        assert_eq!(desk.table.release(A, lock, desk.at(4)), lost);
    }
}

#[test]
fn a_reader_that_is_revoked_spoils_nothing_and_the_others_read_on() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    let read = desk.take(A, lock, Ask::Shared, 0);
    desk.hold(B, lock, Ask::Shared, 0);
    let mut writer = desk.queue(C, lock, Ask::Exclusive, 1);
    let revoked = desk.table.begin_revoke(lock, Some(read.fence), EndCause::Expired).expect("A reads");
    assert_eq!(desk.table.held(A, lock), None);
    desk.release(B, lock, 2);
    assert_eq!(writer.wakes(), 0, "A's read is not gone yet");
    desk.table.finish_revoke(revoked, desk.at(3));
    assert_eq!(writer.got().previous, Previous::Clean);
    assert_eq!(desk.table.release(A, lock, desk.at(4)), Err(ReleaseError::Lost { how: EndCause::Expired }));
}

#[test]
fn a_read_that_is_revoked_takes_its_upgrade_along() {
    for in_flight in [false, true] {
        let desk = Desk::new();
        let lock = desk.rwlock();
        let read = desk.take(A, lock, Ask::Shared, 0);
        desk.hold(B, lock, Ask::Shared, 0);
        let mut upgrade = desk.queue(A, lock, Ask::Upgrade, 1);
        let mut behind = desk.queue(C, lock, Ask::Shared, 2);
        if in_flight {
            desk.release(B, lock, 3);
        }
        let revoked = desk.table.begin_revoke(lock, Some(read.fence), EndCause::Expired).expect("A reads");
        assert_eq!(upgrade.refused(), LOST, "in flight: {in_flight}");
        desk.table.finish_revoke(revoked, desk.at(4));
        assert_eq!(behind.got().previous, Previous::Clean);
        assert_eq!(desk.table.held(A, lock), None);
        desk.end(A, EndCause::Exited, 5);
    }
}

/// The fence of an upgrade in flight is in sight, and is no hold by itself. Once this request never came back.
#[test]
fn an_upgrade_or_more_permits_in_flight_are_no_hold_by_themselves() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, Ask::Shared, 0);
    desk.hold(B, lock, Ask::Shared, 0);
    let mut upgrade = desk.queue(A, lock, Ask::Upgrade, 1);
    desk.release(B, lock, 2);
    assert_eq!(desk.table.begin_revoke(lock, Some(Fence::new(3)), EndCause::Expired), None);
    let written = upgrade.got();
    assert_eq!(written.fence, Fence::new(3));
    let revoked = desk.table.begin_revoke(lock, Some(written.fence), EndCause::Expired).expect("A writes");
    desk.table.finish_revoke(revoked, desk.at(3));

    let permits = desk.permits(2);
    desk.hold(A, permits, Ask::Permits(1), 0);
    desk.hold(B, permits, Ask::Permits(1), 0);
    let mut more = desk.queue(A, permits, Ask::Permits(1), 1);
    desk.give(B, permits, 1, 2);
    assert_eq!(desk.table.begin_revoke(permits, Some(Fence::new(3)), EndCause::Expired), None);
    let _ = more.got();
}

#[test]
fn permits_that_are_revoked_take_the_request_for_more_along() {
    for in_flight in [false, true] {
        let desk = Desk::new();
        let lock = desk.permits(3);
        let some = desk.take(A, lock, Ask::Permits(1), 0);
        desk.hold(B, lock, Ask::Permits(2), 0);
        let mut more = desk.queue(A, lock, Ask::Permits(2), 1);
        let mut behind = desk.queue(C, lock, Ask::Permits(1), 2);
        if in_flight {
            desk.give(B, lock, 2, 3);
        }
        let revoked = desk.table.begin_revoke(lock, Some(some.fence), EndCause::Expired).expect("A holds one");
        assert_eq!(more.refused(), LOST, "in flight: {in_flight}");
        desk.table.finish_revoke(revoked, desk.at(4));
        let _ = behind.got();
        assert_eq!(desk.free(lock), if in_flight { 2 } else { 0 });
        assert_eq!(desk.table.held(A, lock), None);
    }
}

#[test]
fn an_end_with_more_pending_takes_both_and_counts_the_wait() {
    let desk = Desk::new();
    let lock = desk.permits(2);
    desk.hold(A, lock, Ask::Permits(1), 0);
    desk.hold(B, lock, Ask::Permits(1), 0);
    let mut more = desk.queue(A, lock, Ask::Permits(1), 1);
    desk.end(A, EndCause::Killed, 2);
    assert_eq!(more.refused(), AcquireError::Cancelled);
    assert_eq!((desk.free(lock), desk.counters(lock).cancelled, desk.counters(lock).abandoned), (1, 1, 1));
}

#[test]
fn an_upgrade_that_was_told_is_a_write_and_its_death_is_known() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, Ask::Shared, 0);
    desk.hold(A, lock, Ask::Upgrade, 1);
    desk.end(A, EndCause::Killed, 2);
    assert_eq!(desk.take(B, lock, Ask::Shared, 3).previous, Previous::Abandoned { how: EndCause::Killed, who: A });
}

#[test]
fn an_upgrade_that_is_dropped_leaves_the_read_and_nothing_else() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, Ask::Shared, 0);
    desk.hold(B, lock, Ask::Shared, 0);
    drop(desk.queue(A, lock, Ask::Upgrade, 1));
    assert!(desk.table.holds_any(A));
    assert_eq!(desk.table.held(A, lock).map(|hold| hold.mode), Some(Mode::Shared));
    desk.release(A, lock, 2);
    assert!(!desk.table.holds_any(A));
}

/// An owner is told of its loss, asks again, and gives up before the revocation is finished: it has nothing then. Once its old
/// hold stayed in its record, and counted.
#[test]
fn a_hold_that_is_being_taken_away_is_not_its_owners_when_a_later_wait_ends() {
    let desk = Desk::with_limits(Limits { holds_per_owner_max: 1, ..Limits::default() });
    let (lock, other) = (desk.mutex(), desk.mutex());
    desk.hold(A, lock, Ask::Exclusive, 0);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("A holds it");
    assert_eq!(desk.table.release(A, lock, desk.at(1)), Err(ReleaseError::Lost { how: EndCause::Expired }));
    let mut again = desk.queue(A, lock, Ask::Exclusive, 2);
    assert_eq!(again.expire(desk.at(3)), Err(AcquireError::TimedOut));
    desk.table.finish_revoke(revoked, desk.at(4));
    assert!(!desk.table.holds_any(A));
    desk.hold(A, other, Ask::Exclusive, 5);
}
