//! The numbers of holds, and what a claim to one is worth.

use std::time::Duration;

use lockkeeper_locks::{AcquireError, ClaimError, EndCause, FenceBlock, LockConfig, Previous};

use crate::support::{A, B, BOUND_US, C, Desk, fence};

#[test]
fn every_hold_has_a_greater_fence_than_all_before_it() {
    let desk = Desk::new();
    let lock = desk.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 500, 600);
    let first = desk.take(A, lock, 0).fence;
    desk.release(A, lock, 1);
    let second = desk.take(A, lock, 2).fence;
    assert_eq!((first, second), (fence(500), fence(501)));
}

#[test]
fn a_claim_is_good_only_with_the_fence_of_a_live_hold() {
    let desk = Desk::new();
    let lock = desk.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 10, 20);
    let check = |owner, claim| desk.table.check_claim(owner, lock, fence(claim));

    assert_eq!(check(A, 10), Err(ClaimError::NeverIssued { claim: fence(10) }), "reserved, not issued");
    assert_eq!(check(A, 9), Err(ClaimError::LockRequired), "perhaps of an earlier run, and no hold");
    assert_eq!(check(A, 3), Err(ClaimError::Fenced { current: fence(9) }));

    assert_eq!(desk.take(A, lock, 0).fence, fence(10));
    assert_eq!(check(A, 10), Ok(()));
    assert_eq!(check(B, 10), Err(ClaimError::LockRequired), "somebody else's fence");
    assert_eq!(check(A, 9), Err(ClaimError::Fenced { current: fence(10) }));
    assert_eq!(check(A, 0), Err(ClaimError::Fenced { current: fence(10) }));
    assert_eq!(check(A, 11), Err(ClaimError::NeverIssued { claim: fence(11) }));

    desk.release(A, lock, 1);
    assert_eq!(check(A, 10), Err(ClaimError::LockRequired), "released by itself");
    assert_eq!(desk.take(B, lock, 2).fence, fence(11));
    assert_eq!(check(A, 10), Err(ClaimError::Fenced { current: fence(11) }));
    assert_eq!(check(A, 11), Err(ClaimError::LockRequired));
    assert_eq!(check(B, 11), Ok(()));
}

#[test]
fn a_made_up_fence_was_never_issued_and_shuts_nobody_out() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let claim = fence(u64::MAX);
    assert_eq!(desk.table.check_claim(B, lock, claim), Err(ClaimError::NeverIssued { claim }));
    let acquired = desk.take(A, lock, 0);
    assert_eq!(desk.table.check_claim(A, lock, claim), Err(ClaimError::NeverIssued { claim }));
    assert_eq!(desk.table.check_claim(B, lock, claim), Err(ClaimError::NeverIssued { claim }));
    assert_eq!(desk.table.check_claim(A, lock, acquired.fence), Ok(()));
}

#[test]
fn the_fence_of_a_grant_that_was_not_told_is_worth_nothing_yet() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    let in_flight = desk.table.inspect(lock).holder().expect("in flight").fence;
    assert_eq!(desk.table.check_claim(B, lock, in_flight), Err(ClaimError::LockRequired));
    assert_eq!(wait.granted().fence, in_flight);
    assert_eq!(desk.table.check_claim(B, lock, in_flight), Ok(()));
}

#[test]
fn a_lock_without_fences_refuses_until_some_are_added() {
    let desk = Desk::new();
    let lock = desk.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 1, 2);
    assert_eq!(desk.table.fences_left(lock), 1);
    desk.hold(A, lock, 0);
    assert_eq!(desk.table.fences_left(lock), 0);
    desk.release(A, lock, 1);

    let exhausted = AcquireError::FencesExhausted { lock };
    assert_eq!(desk.refused(A, lock, 2), exhausted.clone());
    assert_eq!(desk.table.try_acquire(A, lock, desk.at(2)), Err(exhausted.clone()));
    assert!(!desk.table.locked(lock));

    desk.table.add_fences(lock, FenceBlock { start: 100, end: 102 });
    desk.table.add_fences(lock, FenceBlock { start: 200, end: 201 });
    assert_eq!(desk.table.fences_left(lock), 3);
    for expected in [100, 101, 200] {
        assert_eq!(desk.take(A, lock, 3).fence, fence(expected));
        desk.release(A, lock, 3);
    }
    assert_eq!(desk.refused(A, lock, 4), exhausted);
}

#[test]
fn waiters_are_refused_one_by_one_when_no_fence_is_left_and_none_hangs() {
    let desk = Desk::new();
    let lock = desk.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 1, 2);
    desk.hold(A, lock, 0);
    let mut first = desk.queue(B, lock, 1);
    let mut second = desk.queue(C, lock, 2);
    desk.release(A, lock, 2 * BOUND_US);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert_eq!(first.poll(), Some(Err(AcquireError::FencesExhausted { lock })));
    assert_eq!(second.wakes(), 1);

    desk.table.add_fences(lock, FenceBlock { start: 2, end: 3 });
    assert_eq!(second.granted().fence, fence(2), "added in time for the second");
    assert_eq!(desk.table.waiter_count(lock), 0);
}

#[test]
fn fences_added_before_the_woken_head_comes_are_its_own() {
    let desk = Desk::new();
    let lock = desk.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 1, 2);
    desk.hold(A, lock, 0);
    let mut wait = desk.queue(B, lock, 1);
    desk.release(A, lock, 2 * BOUND_US);
    desk.table.add_fences(lock, FenceBlock { start: 7, end: 9 });
    assert!(!desk.can_take(C, lock, 2 * BOUND_US), "the head has waited its bound");
    assert_eq!(wait.granted().fence, fence(7));
}

#[test]
fn a_fence_between_two_blocks_is_not_live() {
    let desk = Desk::new();
    let lock = desk.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 1, 2);
    desk.hold(A, lock, 0);
    desk.release(A, lock, 1);
    desk.table.add_fences(lock, FenceBlock { start: 10, end: 20 });
    assert_eq!(
        desk.table.check_claim(A, lock, fence(5)),
        Err(ClaimError::NeverIssued { claim: fence(5) }),
        "above the newest"
    );
    desk.hold(A, lock, 2);
    assert_eq!(desk.table.check_claim(A, lock, fence(5)), Err(ClaimError::Fenced { current: fence(10) }));
}

#[test]
#[should_panic(expected = "was issued in part")]
fn a_block_below_an_issued_fence_is_not_accepted() {
    let desk = Desk::new();
    let lock = desk.mutex_with(LockConfig::bounded(Duration::from_millis(1)), 5, 6);
    desk.hold(A, lock, 0);
    desk.table.add_fences(lock, FenceBlock { start: 5, end: 9 });
}

#[test]
fn a_claim_with_a_revoked_fence_stays_fenced_for_its_owner_after_the_revocation() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let acquired = desk.take(A, lock, 0);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("held");
    let fenced = Err(ClaimError::Fenced { current: acquired.fence });
    assert_eq!(desk.table.check_claim(A, lock, acquired.fence), fenced);
    desk.table.finish_revoke(revoked, desk.at(1));
    assert_eq!(desk.table.check_claim(A, lock, acquired.fence), fenced);
    assert_eq!(desk.table.check_claim(B, lock, acquired.fence), Err(ClaimError::LockRequired));

    let next = desk.take(B, lock, 2);
    assert_eq!(next.previous, Previous::Abandoned { how: EndCause::Expired, who: A });
    let newer = Err(ClaimError::Fenced { current: next.fence });
    assert_eq!(desk.table.check_claim(A, lock, acquired.fence), newer);
}
