//! Reader-writer locks: phases, upgrades, downgrades.

use lockkeeper_locks::{AcquireError, Ask, ClaimError, EndCause, LockState, Mode, Previous, ReleaseError};

use crate::support::{A, B, BOUND_US, C, D, Desk, E, RWLOCK};

const READ: Ask = Ask::Shared;
const WRITE: Ask = Ask::Exclusive;

#[test]
fn readers_read_together_and_a_writer_is_alone() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, READ, 0);
    desk.hold(B, lock, READ, 0);
    assert!(!desk.can_take(C, lock, WRITE, 1));
    let mut writer = desk.queue(C, lock, WRITE, 1);
    desk.release(A, lock, 2);
    assert_eq!(writer.wakes(), 0);
    desk.release(B, lock, 3);
    let written = writer.got();
    assert_eq!(desk.table.check_claim(C, lock, written.fence), Ok(()));
    assert!(!desk.can_take(A, lock, READ, 4));
}

#[test]
fn a_reader_never_overtakes_a_waiting_writer_but_reads_again_past_it() {
    for lock in [0, 1] {
        let desk = Desk::new();
        let lock = if lock == 0 { desk.rwlock() } else { desk.barging(RWLOCK) };
        let read = desk.take(A, lock, READ, 0);
        let mut writer = desk.queue(B, lock, WRITE, 1);
        assert!(!desk.can_take(C, lock, READ, 2), "a writer waits");
        let mut reader = desk.queue(C, lock, READ, 2);
        assert_eq!(desk.take(A, lock, READ, 3), read, "it reads already");
        desk.release(A, lock, 4);
        assert_eq!((writer.wakes(), reader.wakes()), (0, 0));
        desk.release(A, lock, 5);
        assert_eq!(reader.wakes(), 0);
        let _ = writer.got();
        desk.release(B, lock, 6);
        let _ = reader.got();
    }
}

#[test]
fn readers_that_wait_together_are_served_together_up_to_the_next_writer() {
    for strict in [true, false] {
        let desk = Desk::new();
        let lock = if strict { desk.rwlock() } else { desk.barging(RWLOCK) };
        desk.hold(A, lock, WRITE, 0);
        let mut first = desk.queue(B, lock, READ, 1);
        let mut second = desk.queue(C, lock, READ, 2);
        let mut writer = desk.queue(D, lock, WRITE, 3);
        let late = desk.queue(E, lock, READ, 4);
        desk.release(A, lock, 5);
        let _ = first.got();
        let _ = second.got();
        assert_eq!(desk.table.inspect(lock).holders.len(), 2);
        assert_eq!((writer.wakes(), late.wakes()), (0, 0));
        desk.release(B, lock, 6);
        desk.release(C, lock, 6);
        let _ = writer.got();
        assert_eq!(late.wakes(), 0);
    }
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, READ, 0);
    let mut timed_out = desk.queue(B, lock, WRITE, 1);
    let mut first = desk.queue(C, lock, READ, 2);
    let mut second = desk.queue(D, lock, READ, 3);
    assert_eq!(timed_out.expire(desk.at(4)), Err(AcquireError::TimedOut));
    let _ = first.got();
    let _ = second.got();

    let dropped = desk.queue(B, lock, WRITE, 5);
    let mut third = desk.queue(E, lock, READ, 6);
    drop(dropped);
    let _ = third.got();
}

#[test]
fn an_owner_that_would_wait_for_itself_is_refused_at_once() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, READ, 0);
    assert!(matches!(desk.refused(A, lock, WRITE, 1), AcquireError::Deadlock { circle } if circle.len() == 1));
    assert!(!desk.can_take(A, lock, WRITE, 1));
    desk.release(A, lock, 2);
    desk.hold(A, lock, WRITE, 3);
    for ask in [READ, WRITE] {
        assert!(matches!(desk.refused(A, lock, ask, 4), AcquireError::Deadlock { .. }), "{ask:?}");
    }
    assert_eq!(desk.counters(lock).deadlocks, 3);
}

#[test]
fn reads_within_reads_have_a_limit() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    for us in 0..3 {
        desk.hold(A, lock, READ, us);
    }
    assert_eq!(desk.refused(A, lock, READ, 4), AcquireError::DepthExceeded { lock });
}

// ---- downgrade ----

#[test]
fn a_downgrade_leaves_no_gap_and_lets_the_readers_in_that_are_next() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    let written = desk.take(A, lock, WRITE, 0);
    let mut reader = desk.queue(B, lock, READ, 1);
    let mut writer = desk.queue(C, lock, WRITE, 2);
    let late = desk.queue(D, lock, READ, 3);
    let read = desk.table.downgrade(A, lock, desk.at(4)).expect("A writes");
    assert_eq!(read.fence, written.fence);
    assert_eq!(desk.table.held(A, lock).map(|hold| hold.mode), Some(Mode::Shared));
    assert_ne!(desk.table.check_claim(A, lock, read.fence), Ok(()), "a reader does not write");
    let _ = reader.got();
    assert_eq!((writer.wakes(), late.wakes()), (0, 0));
    desk.release(A, lock, 5);
    desk.release(B, lock, 5);
    let _ = writer.got();
}

#[test]
fn only_a_writer_downgrades() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    let not_held = Err(ReleaseError::NotHeld { lock });
    assert_eq!(desk.table.downgrade(A, lock, desk.at(0)), not_held);
    // The readers are held in no order: neither the first nor the second is in the other one's way.
    desk.hold(A, lock, READ, 1);
    desk.hold(B, lock, READ, 1);
    for owner in [A, B, C] {
        assert_eq!(desk.table.downgrade(owner, lock, desk.at(2)), not_held, "nobody writes");
        assert_eq!(desk.table.mark_consistent(owner, lock), Err(ReleaseError::NotHeld { lock }));
    }
    desk.release(A, lock, 3);
    desk.release(B, lock, 3);
    desk.hold(A, lock, WRITE, 4);
    assert_eq!(desk.table.downgrade(B, lock, desk.at(5)), Err(ReleaseError::NotOwner { lock, owner: A }));
}

// ---- upgrade ----

#[test]
fn the_only_reader_upgrades_at_once_with_a_new_fence() {
    let desk = Desk::new();
    let lock = desk.barging(RWLOCK);
    let read = desk.take(A, lock, READ, 0);
    let mut writer = desk.queue(B, lock, WRITE, 1);
    let written = desk.take(A, lock, Ask::Upgrade, 5 * BOUND_US);
    assert!(written.fence > read.fence, "even ahead of a writer beyond its bound");
    assert_eq!(desk.table.check_claim(A, lock, written.fence), Ok(()));
    assert_eq!(desk.count(A, lock), 1);
    desk.release(A, lock, 5 * BOUND_US);
    let _ = writer.got();
}

#[test]
fn an_upgrade_goes_ahead_of_all_who_wait_and_waits_for_the_other_readers() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, READ, 0);
    desk.hold(B, lock, READ, 0);
    let mut writer = desk.queue(C, lock, WRITE, 1);
    let mut upgrade = desk.queue(A, lock, Ask::Upgrade, 2);
    assert_eq!(desk.queued(lock), [A, C]);
    assert_eq!(desk.table.held(A, lock).map(|hold| hold.mode), Some(Mode::Shared));
    desk.release(B, lock, 3);
    assert_eq!(writer.wakes(), 0);
    let _ = upgrade.got();
    assert_eq!(desk.table.held(A, lock).map(|hold| hold.mode), Some(Mode::Exclusive));
    desk.release(A, lock, 4);
    let _ = writer.got();
}

#[test]
fn a_reader_behind_an_upgrade_waits_for_it_although_it_would_fit() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, READ, 0);
    desk.hold(B, lock, READ, 0);
    let mut upgrade = desk.queue(A, lock, Ask::Upgrade, 1);
    let mut reader = desk.queue(C, lock, READ, 2);
    desk.release(B, lock, 3);
    assert_eq!(reader.wakes(), 0);
    let _ = upgrade.got();
    let _ = desk.table.downgrade(A, lock, desk.at(4)).expect("A writes");
    let _ = reader.got();
}

#[test]
fn an_upgrade_that_fails_keeps_the_read_and_lets_the_others_go_on() {
    for way in 0..2 {
        let desk = Desk::new();
        let lock = desk.rwlock();
        let read = desk.take(A, lock, READ, 0);
        desk.hold(B, lock, READ, 0);
        let mut upgrade = desk.queue(A, lock, Ask::Upgrade, 1);
        let mut reader = desk.queue(C, lock, READ, 2);
        if way == 0 {
            assert_eq!(upgrade.expire(desk.at(3)), Err(AcquireError::TimedOut));
        } else {
            drop(upgrade);
        }
        let _ = reader.got();
        assert_eq!(desk.table.held(A, lock).map(|hold| (hold.mode, hold.fence)), Some((Mode::Shared, read.fence)));
        desk.release(A, lock, 4);
    }
}

#[test]
fn an_upgrade_in_flight_that_is_dropped_keeps_the_read() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    let read = desk.take(A, lock, READ, 0);
    desk.hold(B, lock, READ, 0);
    let upgrade = desk.queue(A, lock, Ask::Upgrade, 1);
    desk.release(B, lock, 2);
    assert_eq!(desk.table.inspect(lock).state, LockState::InFlight);
    drop(upgrade);
    assert_eq!(desk.table.held(A, lock).map(|hold| hold.fence), Some(read.fence));
    desk.hold(B, lock, READ, 3);
    let again = desk.queue(A, lock, Ask::Upgrade, 4);
    drop(again);
    desk.release(A, lock, 5);
}

#[test]
fn the_second_of_two_upgraders_is_refused_with_both_in_the_circle_and_the_first_goes_on() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, READ, 0);
    desk.hold(B, lock, READ, 1);
    let mut first = desk.queue(A, lock, Ask::Upgrade, 2);
    assert!(!desk.can_take(B, lock, Ask::Upgrade, 3));
    let AcquireError::Deadlock { circle } = desk.refused(B, lock, Ask::Upgrade, 3) else { panic!("a circle") };
    let links: Vec<_> = circle.iter().map(|link| (link.owner, link.held_as, link.asks_as)).collect();
    assert_eq!(links, [(B, Mode::Shared, Mode::Exclusive), (A, Mode::Shared, Mode::Exclusive)]);
    assert_eq!(desk.table.held(B, lock).map(|hold| hold.mode), Some(Mode::Shared), "the read is as it was");
    desk.release(B, lock, 4);
    let _ = first.got();
}

#[test]
fn only_a_single_read_can_be_upgraded() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    assert_eq!(desk.refused(A, lock, Ask::Upgrade, 0), AcquireError::NotHeld { lock });
    desk.hold(A, lock, READ, 1);
    desk.hold(A, lock, READ, 2);
    assert_eq!(desk.refused(A, lock, Ask::Upgrade, 3), AcquireError::Unfit { lock });
    desk.release(A, lock, 4);
    desk.hold(A, lock, Ask::Upgrade, 5);
    assert_eq!(desk.refused(A, lock, Ask::Upgrade, 6), AcquireError::Unfit { lock });
}

// ---- ends ----

#[test]
fn a_dead_reader_has_spoilt_nothing_and_a_dead_writer_has() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, READ, 0);
    desk.hold(B, lock, READ, 0);
    let mut writer = desk.queue(C, lock, WRITE, 1);
    desk.end(A, EndCause::Killed, 2);
    assert_eq!(writer.wakes(), 0);
    desk.end(B, EndCause::Killed, 3);
    let written = writer.got();
    assert_eq!(written.previous, Previous::Clean);
    let mut reader = desk.queue(D, lock, READ, 4);
    desk.end(C, EndCause::Trapped, 5);
    assert_eq!(reader.got().previous, Previous::Abandoned { how: EndCause::Trapped, who: C });
    assert!(matches!(desk.table.check_claim(C, lock, written.fence), Err(ClaimError::Fenced { .. })));
    desk.release(D, lock, 6);
    let next = desk.take(E, lock, WRITE, 7);
    assert_eq!(next.previous, Previous::Abandoned { how: EndCause::Trapped, who: C }, "a reader repairs nothing");
}

#[test]
fn a_reader_in_flight_that_dies_or_leaves_lets_the_one_behind_it_in() {
    for way in 0..2 {
        let desk = Desk::new();
        let lock = desk.rwlock();
        desk.hold(A, lock, WRITE, 0);
        let first = desk.queue(B, lock, READ, 1);
        let mut second = desk.queue(C, lock, READ, 2);
        desk.release(A, lock, 3);
        assert_eq!(second.wakes(), 0);
        if way == 0 {
            desk.end(B, EndCause::Killed, 4);
        } else {
            drop(first);
        }
        let _ = second.got();
    }
}
