//! Barriers: everyone is here, or everyone is told why not.

use lockkeeper_locks::{AcquireError, BrokenCause, EndCause, Limits, OwnerId, Parties};

use crate::support::{A, B, C, D, Desk, E};

fn broken(cause: BrokenCause) -> AcquireError {
    AcquireError::Broken { cause }
}

#[test]
fn each_party_of_each_round_has_another_index_in_the_order_of_arrival() {
    let desk = Desk::new();
    let barrier = desk.barrier(3, Parties::Waiting);
    for _ in 0..5 {
        let (mut first, mut second) = (desk.arrive(A, barrier), desk.arrive(B, barrier));
        assert_eq!(desk.table.barrier(barrier), (3, 2, None));
        assert_eq!(desk.arrive_last(C, barrier), 2);
        assert_eq!((second.got().0, first.got().0), (1, 0));
        assert_eq!(desk.table.barrier(barrier), (3, 0, None));
    }
}

#[test]
fn a_barrier_of_one_party_keeps_nobody() {
    let desk = Desk::new();
    let barrier = desk.barrier(1, Parties::Waiting);
    assert_eq!((desk.arrive_last(A, barrier), desk.arrive_last(A, barrier)), (0, 0));
}

#[test]
fn a_party_that_expires_breaks_the_barrier_for_the_others_and_for_those_who_come() {
    let desk = Desk::new();
    let barrier = desk.barrier(3, Parties::Waiting);
    let (mut first, mut second) = (desk.arrive(A, barrier), desk.arrive(B, barrier));
    assert_eq!(first.expire(desk.at(1)), Err(AcquireError::TimedOut));
    assert_eq!(second.refused(), broken(BrokenCause::TimedOut));
    assert_eq!(desk.table.wait_barrier(C, barrier, desk.at(2)).unwrap_err(), broken(BrokenCause::TimedOut));
    assert_eq!(desk.table.barrier(barrier).2, Some(BrokenCause::TimedOut));
    desk.table.reset_barrier(barrier);
    let (mut first, mut second) = (desk.arrive(A, barrier), desk.arrive(B, barrier));
    assert_eq!(desk.arrive_last(C, barrier), 2);
    assert_eq!((first.got().0, second.got().0), (0, 1));
}

#[test]
fn an_abort_breaks_it_and_the_first_cause_stays() {
    let desk = Desk::new();
    let barrier = desk.barrier(3, Parties::Waiting);
    let mut wait = desk.arrive(A, barrier);
    desk.table.abort_barrier(barrier);
    assert_eq!(wait.refused(), broken(BrokenCause::Aborted));
    desk.end(B, EndCause::Killed, 1);
    assert_eq!(desk.table.barrier(barrier), (3, 0, Some(BrokenCause::Aborted)));
}

#[test]
fn a_reset_tells_those_who_wait_and_begins_anew() {
    let desk = Desk::new();
    let barrier = desk.barrier(2, Parties::Waiting);
    let mut old = desk.arrive(A, barrier);
    desk.table.reset_barrier(barrier);
    assert_eq!(desk.table.barrier(barrier), (2, 0, None));
    let mut new = desk.arrive(B, barrier);
    assert_eq!(old.refused(), broken(BrokenCause::Reset));
    assert_eq!(desk.arrive_last(C, barrier), 1);
    assert_eq!(new.got().0, 0);
}

#[test]
fn whoever_was_let_go_has_its_index_whatever_comes_next() {
    type Deed = fn(&Desk, lockkeeper_locks::LockId);
    let deeds: [Deed; 4] = [
        |desk, barrier| desk.table.reset_barrier(barrier),
        |desk, barrier| desk.table.abort_barrier(barrier),
        |desk, _| desk.end(C, EndCause::Killed, 1),
        |desk, barrier| {
            // A whole round more.
            let mut waits = [desk.arrive(D, barrier), desk.arrive(E, barrier)];
            assert_eq!(desk.arrive_last(C, barrier), 2);
            waits.iter_mut().for_each(|wait| _ = wait.got());
        },
    ];
    for deed in deeds {
        let desk = Desk::new();
        let barrier = desk.barrier(3, Parties::Waiting);
        let (mut first, mut second) = (desk.arrive(A, barrier), desk.arrive(B, barrier));
        assert_eq!(desk.arrive_last(C, barrier), 2);
        assert_eq!(first.got().0, 0, "one of them has come before, the other one after");
        deed(&desk, barrier);
        assert_eq!(second.expire(desk.at(2)).map(|index| index.0), Ok(1));
    }
}

#[test]
fn a_party_that_ends_while_it_waits_breaks_the_barrier() {
    for parties_are in [Parties::Waiting, Parties::Registered] {
        for way in 0..2 {
            let desk = Desk::new();
            let barrier = desk.barrier(4, parties_are);
            let (mut gone, mut stays, mut polls_late) =
                (desk.arrive(A, barrier), desk.arrive(B, barrier), desk.arrive(C, barrier));
            if way == 0 {
                desk.end(A, EndCause::Killed, 1);
                assert_eq!(gone.answer(), Err(AcquireError::Cancelled), "it comes before the others");
            }
            drop(gone);
            assert_eq!(stays.refused(), broken(BrokenCause::PartyEnded));
            assert_eq!(polls_late.refused(), broken(BrokenCause::PartyEnded));
            assert_eq!(desk.table.barrier(barrier), (4, 0, Some(BrokenCause::PartyEnded)));
        }
    }
}

/// A party that was let go ends, and its future is polled all the same. Once it took the verdict of another one with it,
/// which was then told that it was cancelled.
#[test]
fn a_party_that_ends_after_it_was_let_go_takes_nobodys_index() {
    let desk = Desk::new();
    let barrier = desk.barrier(3, Parties::Waiting);
    let (mut dead, mut alive) = (desk.arrive(A, barrier), desk.arrive(B, barrier));
    assert_eq!(desk.arrive_last(C, barrier), 2);
    desk.end(A, EndCause::Killed, 1);
    assert_eq!(dead.answer(), Err(AcquireError::Cancelled));
    drop(dead);
    assert_eq!(alive.got().0, 1);
    assert_eq!(desk.table.barrier(barrier).2, None);
}

#[test]
fn a_registered_party_that_ends_between_rounds_breaks_it_and_a_waiting_one_does_not() {
    for (parties_are, cause) in [(Parties::Waiting, None), (Parties::Registered, Some(BrokenCause::PartyEnded))] {
        for last in [false, true] {
            let desk = Desk::new();
            let barrier = desk.barrier(2, parties_are);
            let mut first = desk.arrive(A, barrier);
            let _ = desk.arrive_last(B, barrier);
            assert_eq!(first.got().0, 0);
            desk.end(D, EndCause::Killed, 1);
            assert_eq!(desk.table.barrier(barrier).2, None, "D was never here");
            desk.end(if last { B } else { A }, EndCause::Exited, 2);
            assert_eq!(desk.table.barrier(barrier).2, cause);
        }
    }
}

#[test]
fn a_registered_party_whose_wait_is_dropped_after_it_was_let_go_has_not_ended() {
    let desk = Desk::new();
    let barrier = desk.barrier(2, Parties::Registered);
    let first = desk.arrive(A, barrier);
    let _ = desk.arrive_last(B, barrier);
    drop(first);
    assert_eq!(desk.table.barrier(barrier).2, None);
    let mut again = desk.arrive(A, barrier);
    desk.end(B, EndCause::Exited, 1);
    assert_eq!(again.refused(), broken(BrokenCause::PartyEnded));
}

#[test]
fn the_last_party_does_not_wait_and_needs_no_place() {
    let desk = Desk::with_limits(Limits { waiters_per_lock_max: 2, ..Limits::default() });
    let barrier = desk.barrier(3, Parties::Waiting);
    let mut waits = [desk.arrive(A, barrier), desk.arrive(B, barrier)];
    assert_eq!(desk.arrive_last(C, barrier), 2);
    waits.iter_mut().for_each(|wait| _ = wait.got());

    let larger = desk.barrier(4, Parties::Waiting);
    let _waits = [desk.arrive(A, larger), desk.arrive(B, larger)];
    let full = AcquireError::WaitersExceeded { lock: larger, max: 2 };
    assert_eq!(desk.table.wait_barrier(C, larger, desk.at(0)).unwrap_err(), full);
}

#[test]
fn a_thousand_parties_have_a_thousand_indices() {
    let desk = Desk::new();
    let barrier = desk.barrier(1_000, Parties::Waiting);
    let mut waits: Vec<_> = (0..999).map(|id| desk.arrive(OwnerId::new(100 + id), barrier)).collect();
    assert_eq!(desk.arrive_last(A, barrier), 999);
    for (index, wait) in waits.iter_mut().enumerate().rev() {
        assert_eq!(wait.got().0 as usize, index);
    }
}
