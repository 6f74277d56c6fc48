//! Latches: counted down to zero, once.

use lockkeeper_locks::{AcquireError, EndCause, Kind, LatchError, Passage};

use crate::support::{A, B, C, Desk};

#[test]
fn at_zero_everyone_goes_on_and_nobody_waits_any_more() {
    let desk = Desk::new();
    let latch = desk.strict(Kind::Latch { count: 3 });
    let mut waits = [desk.wait_latch(A, latch), desk.wait_latch(B, latch)];
    assert_eq!(desk.table.count_down(latch, 2), Ok(1));
    assert_eq!(waits[0].wakes(), 0);
    assert_eq!(desk.table.count_down(latch, 2), Err(LatchError { remaining: 1 }), "all or nothing");
    assert_eq!(desk.table.latch_remaining(latch), 1);
    assert_eq!(desk.table.count_down(latch, 1), Ok(0));
    waits.iter_mut().for_each(|wait| wait.got());
    assert!(matches!(desk.table.wait_latch(C, latch, desk.at(1)), Ok(Passage::Ready(()))));
    assert_eq!(desk.table.count_down(latch, 1), Err(LatchError { remaining: 0 }));
}

#[test]
fn a_latch_that_starts_at_zero_keeps_nobody() {
    let desk = Desk::new();
    let latch = desk.strict(Kind::Latch { count: 0 });
    assert!(matches!(desk.table.wait_latch(A, latch, desk.at(0)), Ok(Passage::Ready(()))));
}

#[test]
fn whoever_dies_counts_nothing_down_and_leaves_no_waiter() {
    let desk = Desk::new();
    let latch = desk.strict(Kind::Latch { count: 1 });
    let (mut dead, mut expired, mut alive) =
        (desk.wait_latch(A, latch), desk.wait_latch(B, latch), desk.wait_latch(C, latch));
    desk.end(A, EndCause::Killed, 1);
    assert_eq!(expired.expire(desk.at(2)), Err(AcquireError::TimedOut));
    assert_eq!((desk.table.latch_remaining(latch), desk.queued(latch)), (1, vec![C]));
    assert_eq!(desk.table.count_down(latch, 1), Ok(0));
    assert_eq!(dead.answer(), Err(AcquireError::Cancelled));
    assert_eq!(alive.expire(desk.at(3)), Ok(()), "zero came before the deadline");
}
