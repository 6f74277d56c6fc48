//! Holds and waits that somebody else ends: a revocation, the end of the owner.

use lockkeeper_locks::{AcquireError, ClaimError, EndCause, Limits, LockState, Previous, ReleaseError};

use crate::support::{A, B, BOUND_US, C, D, Desk};

// ---- a revocation ----

#[test]
fn between_the_halves_of_a_revocation_nobody_is_granted_and_the_fence_is_dead() {
    let desk = Desk::new();
    for lock in [desk.mutex(), desk.strict()] {
        let acquired = desk.take(A, lock, 0);
        let mut wait = desk.queue(B, lock, 1);
        let revoked = desk.table.begin_revoke(lock, Some(acquired.fence), EndCause::Expired).expect("held");
        assert_eq!((revoked.lock, revoked.owner, revoked.fence), (lock, A, acquired.fence));

        assert_eq!(desk.table.inspect(lock).state, LockState::Revoking);
        assert!(desk.table.locked(lock));
        let fenced = Err(ClaimError::Fenced { current: acquired.fence });
        assert_eq!(desk.table.check_claim(A, lock, acquired.fence), fenced);
        assert_eq!(desk.table.held_fence(A, lock), None);
        assert_eq!(wait.poll(), None);
        assert!(!desk.can_take(C, lock, 2));
        assert_eq!(wait.wakes(), 0);
        assert_eq!(desk.table.begin_revoke(lock, None, EndCause::Killed), None, "it is being taken away");

        desk.table.finish_revoke(revoked, desk.at(2 * BOUND_US));
        let next = wait.granted();
        assert!(next.fence > acquired.fence);
        assert_eq!(next.previous, Previous::Abandoned { how: EndCause::Expired, who: A });
        assert!(!desk.can_take(C, lock, 2 * BOUND_US));
        desk.release(B, lock, 3 * BOUND_US);
        assert_eq!(desk.take(C, lock, 3 * BOUND_US).previous, Previous::Clean);
        assert_eq!(desk.table.release(A, lock, desk.at(0)), Err(ReleaseError::Lost { how: EndCause::Expired }));
        desk.release(C, lock, 3 * BOUND_US);
    }
}

#[test]
fn a_revocation_of_another_hold_than_the_expected_one_takes_nothing() {
    let desk = Desk::new();
    let lock = desk.mutex();
    assert_eq!(desk.table.begin_revoke(lock, None, EndCause::Expired), None, "nobody holds it");
    let old = desk.take(A, lock, 0);
    desk.release(A, lock, 1);
    let new = desk.take(A, lock, 2);
    assert_eq!(desk.table.begin_revoke(lock, Some(old.fence), EndCause::Expired), None);
    assert_eq!(desk.table.check_claim(A, lock, new.fence), Ok(()));
}

#[test]
fn the_old_holder_is_told_once_at_its_next_call() {
    let desk = Desk::new();
    let lost = AcquireError::Lost { how: EndCause::Expired };
    let revoke = |lock, us| {
        let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("held");
        desk.table.finish_revoke(revoked, desk.at(us));
    };

    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    revoke(lock, 1);
    assert_eq!(desk.table.release(A, lock, desk.at(2)), Err(ReleaseError::Lost { how: EndCause::Expired }));
    assert_eq!(desk.table.release(A, lock, desk.at(3)), Err(ReleaseError::NotHeld { lock }));

    desk.hold(A, lock, 4);
    revoke(lock, 5);
    assert_eq!(desk.refused(A, lock, 6), lost);
    desk.hold(A, lock, 7);
    revoke(lock, 8);
    assert_eq!(desk.table.try_acquire(A, lock, desk.at(9)), Err(lost));
    assert!(desk.can_take(A, lock, 10));
}

#[test]
fn a_loss_that_was_not_told_counts_against_the_limit_on_holds() {
    let desk = Desk::with_limits(Limits { holds_per_owner_max: 1, ..Limits::default() });
    let (lock, other) = (desk.mutex(), desk.mutex());
    desk.hold(A, lock, 0);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Other).expect("held");
    desk.table.finish_revoke(revoked, desk.at(1));
    assert_eq!(desk.refused(A, other, 2), AcquireError::HoldsExceeded { owner: A, max: 1 });
    assert_eq!(desk.table.release(A, lock, desk.at(3)), Err(ReleaseError::Lost { how: EndCause::Other }));
    desk.hold(A, other, 4);
}

#[test]
fn a_holder_that_was_told_of_its_loss_may_queue_again_before_the_revocation_is_finished() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("held");
    assert_eq!(desk.refused(A, lock, 1), AcquireError::Lost { how: EndCause::Expired });
    let mut again = desk.queue(A, lock, 2);
    assert_eq!(desk.table.release(A, lock, desk.at(3)), Err(ReleaseError::NotHeld { lock }));
    desk.table.finish_revoke(revoked, desk.at(4));
    assert_eq!(again.granted().previous, Previous::Abandoned { how: EndCause::Expired, who: A });
}

#[test]
fn a_holder_that_queued_again_and_ends_leaves_nothing_while_its_old_hold_is_taken_away() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("held");
    assert_eq!(desk.refused(A, lock, 1), AcquireError::Lost { how: EndCause::Expired });
    let mut again = desk.queue(A, lock, 2);
    let ended = desk.table.begin_end(A, EndCause::Killed);
    assert_eq!(ended.holds, [], "whoever began to take the hold away will finish it");
    assert_eq!(again.poll(), Some(Err(AcquireError::Cancelled)));
    assert_eq!(desk.table.waiter_count(lock), 0);
    desk.table.finish_end(ended, desk.at(3));
    assert!(desk.table.locked(lock));
    desk.table.finish_revoke(revoked, desk.at(4));
    assert!(desk.can_take(B, lock, 5));
}

#[test]
fn a_revoked_grant_in_flight_is_lost_to_its_waiter_and_abandoned_by_nobody() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut first = desk.queue(B, lock, 1);
    let mut second = desk.queue(C, lock, 2);
    desk.release(A, lock, 3);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("in flight");
    assert_eq!(revoked.owner, B);
    assert_eq!(first.poll(), Some(Err(AcquireError::Lost { how: EndCause::Expired })));
    assert_eq!(second.poll(), None);
    desk.table.finish_revoke(revoked, desk.at(4));
    assert_eq!(second.granted().previous, Previous::Clean, "B had never been told");
    assert_eq!(desk.table.inspect(lock).counters.abandoned, 0);
    let _again = desk.queue(B, lock, 5);
}

#[test]
fn a_revoked_grant_in_flight_whose_wait_is_dropped_leaves_nothing_to_be_told() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let wait = desk.queue(B, lock, 1);
    desk.release(A, lock, 2);
    let revoked = desk.table.begin_revoke(lock, None, EndCause::Expired).expect("in flight");
    drop(wait);
    desk.table.finish_revoke(revoked, desk.at(3));
    assert!(desk.can_take(B, lock, 4));
}

// ---- the end of an owner ----

#[test]
fn a_holder_that_ends_abandons_and_the_next_owner_is_told_how_and_who() {
    for how in [
        EndCause::Exited,
        EndCause::Trapped,
        EndCause::Killed,
        EndCause::Limit,
        EndCause::Expired,
        EndCause::HostDied,
        EndCause::Other,
    ] {
        let desk = Desk::new();
        let lock = desk.mutex();
        let acquired = desk.take(A, lock, 0);
        let mut wait = desk.queue(B, lock, 1);

        let ended = desk.table.begin_end(A, how);
        assert_eq!((ended.owner, ended.how, ended.holds.len()), (A, how, 1));
        assert_eq!((ended.holds[0].lock, ended.holds[0].fence), (lock, acquired.fence));
        assert_eq!(wait.poll(), None);
        assert!(!desk.can_take(C, lock, 2));
        let fenced = Err(ClaimError::Fenced { current: acquired.fence });
        assert_eq!(desk.table.check_claim(A, lock, acquired.fence), fenced);

        desk.table.finish_end(ended, desk.at(2));
        assert_eq!(wait.granted().previous, Previous::Abandoned { how, who: A });
    }
}

#[test]
fn a_release_before_the_end_is_clean() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    desk.release(A, lock, 1);
    let ended = desk.table.begin_end(A, EndCause::Killed);
    assert_eq!(ended.holds, []);
    desk.table.finish_end(ended, desk.at(2));
    assert_eq!(desk.take(B, lock, 3).previous, Previous::Clean);
}

#[test]
fn an_owner_that_ends_gives_up_every_lock_that_it_held() {
    let desk = Desk::new();
    let locks: Vec<_> = (0..64).map(|_| desk.mutex()).collect();
    for lock in &locks {
        desk.hold(A, *lock, 0);
    }
    let ended = desk.table.begin_end(A, EndCause::Trapped);
    assert_eq!(ended.holds.iter().map(|hold| hold.lock).collect::<Vec<_>>(), locks);
    desk.table.finish_end(ended, desk.at(1));
    for lock in &locks {
        let previous = desk.take(B, *lock, 2).previous;
        assert_eq!(previous, Previous::Abandoned { how: EndCause::Trapped, who: A });
    }
}

#[test]
fn death_while_waiting_leaves_no_entry() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut dead = desk.queue(B, lock, 1);
    let mut alive = desk.queue(C, lock, 2);
    let ended = desk.table.begin_end(B, EndCause::Killed);
    assert_eq!(ended.holds, []);
    assert_eq!(desk.queued(lock), [C], "gone before its future is");
    assert_eq!((dead.wakes(), dead.wakers_kept()), (1, 0));
    assert_eq!(dead.poll(), Some(Err(AcquireError::Cancelled)));
    desk.table.finish_end(ended, desk.at(3));
    desk.release(A, lock, 4);
    assert_eq!(alive.granted().previous, Previous::Clean);
    assert_eq!(desk.table.inspect(lock).counters.cancelled, 1);
}

#[test]
fn a_woken_head_that_is_killed_passes_the_wake_up_on() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let mut head = desk.queue(B, lock, 1);
    let mut next = desk.queue(C, lock, 2);
    desk.release(A, lock, 3);
    assert_eq!(next.wakes(), 0);
    let ended = desk.table.begin_end(B, EndCause::Killed);
    assert_eq!(next.wakes(), 1, "it need not wait for the second half: nothing was held");
    desk.table.finish_end(ended, desk.at(4));
    let _ = next.granted();
    assert_eq!(head.poll(), Some(Err(AcquireError::Cancelled)));
}

#[test]
fn a_waiter_killed_at_the_instant_of_its_grant_passes_it_on_and_has_abandoned_nothing() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let mut killed = desk.queue(B, lock, 1);
    let mut next = desk.queue(C, lock, 2);
    desk.release(A, lock, 3);
    assert_eq!(desk.holder(lock), Some(B));

    let ended = desk.table.begin_end(B, EndCause::Killed);
    assert_eq!(ended.holds.len(), 1, "its fence was issued, so the floors are raised above it");
    assert_eq!(next.poll(), None);
    desk.table.finish_end(ended, desk.at(4));
    assert_eq!(next.granted().previous, Previous::Clean, "B never ran with the lock");
    assert_eq!(killed.poll(), Some(Err(AcquireError::Cancelled)));
}

#[test]
fn an_abandonment_is_remembered_over_owners_that_were_never_told() {
    let desk = Desk::new();
    let lock = desk.strict();
    desk.hold(A, lock, 0);
    let dropped = desk.queue(B, lock, 1);
    let _killed = desk.queue(C, lock, 2);
    let mut told = desk.queue(D, lock, 3);
    let ended = desk.table.begin_end(A, EndCause::Trapped);
    desk.table.finish_end(ended, desk.at(4));
    drop(dropped);
    let ended = desk.table.begin_end(C, EndCause::Killed);
    desk.table.finish_end(ended, desk.at(5));
    assert_eq!(told.granted().previous, Previous::Abandoned { how: EndCause::Trapped, who: A });
    desk.release(D, lock, 6);
    assert_eq!(desk.take(B, lock, 7).previous, Previous::Clean, "whoever was told has released");
}

#[test]
fn an_owner_that_has_ended_is_refused_whatever_it_asks() {
    let desk = Desk::new();
    let (held, free) = (desk.mutex(), desk.mutex());
    desk.hold(A, held, 0);
    let ended = desk.table.begin_end(A, EndCause::Killed);
    assert_eq!(desk.refused(A, free, 1), AcquireError::Cancelled);
    assert_eq!(desk.table.try_acquire(A, held, desk.at(1)), Err(AcquireError::Cancelled));
    assert_eq!(desk.table.release(A, held, desk.at(1)), Err(ReleaseError::Lost { how: EndCause::Killed }));
    assert_eq!(desk.table.release(A, free, desk.at(1)), Err(ReleaseError::NotHeld { lock: free }));
    desk.table.finish_end(ended, desk.at(2));
    assert_eq!(desk.refused(A, held, 3), AcquireError::Cancelled);
    assert_eq!(desk.table.begin_end(A, EndCause::Exited).holds, [], "an owner ends once");
}

#[test]
fn an_owner_that_never_asked_may_end_and_is_refused_afterwards() {
    let desk = Desk::new();
    let lock = desk.mutex();
    let ended = desk.table.begin_end(A, EndCause::Exited);
    desk.table.finish_end(ended, desk.at(0));
    assert_eq!(desk.refused(A, lock, 1), AcquireError::Cancelled);
}

#[test]
fn a_forgotten_owner_leaves_no_record_and_its_locks_are_free() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let ended = desk.table.begin_end(A, EndCause::Exited);
    desk.table.finish_end(ended, desk.at(1));
    desk.table.forget_owner(A);
    assert!(desk.can_take(B, lock, 2));
    assert_eq!(desk.table.release(A, lock, desk.at(3)), Err(ReleaseError::NotOwner { lock, owner: B }));
}

#[test]
#[should_panic(expected = "with locks in its hands")]
fn an_owner_that_still_holds_is_not_forgotten() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    desk.table.forget_owner(A);
}

#[test]
fn whoever_passes_a_grant_on_hands_it_over_if_the_next_has_waited_its_bound() {
    let desk = Desk::new();
    let lock = desk.mutex();
    desk.hold(A, lock, 0);
    let first = desk.queue(B, lock, 0);
    let mut second = desk.queue(C, lock, 0);
    let mut third = desk.queue(D, lock, BOUND_US);
    desk.release(A, lock, BOUND_US);
    assert_eq!(desk.holder(lock), Some(B));
    drop(first);
    assert_eq!(desk.holder(lock), Some(C), "C has waited its bound too");
    let _ = second.granted();
    desk.release(C, lock, BOUND_US + 1);
    assert_eq!(desk.table.inspect(lock).state, LockState::HeadWoken, "D has not");
    let _ = third.granted();
}
