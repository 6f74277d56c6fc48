//! Waiting for the end of an owner: an edge of the deadlock graph like any other.

use lockkeeper_locks::{AcquireError, Ask, EndCause, Kind, LockId, Mode, OwnerId, Passage};

use crate::support::{A, B, C, D, Desk, asleep};

fn exit(desk: &Desk, of: OwnerId) -> LockId {
    desk.strict(Kind::Exit { of, since: desk.at(0) })
}

/// The members of the circle that a refused request would have closed.
fn circle<T: std::fmt::Debug>(refused: Result<T, AcquireError>) -> Vec<OwnerId> {
    match refused {
        Err(AcquireError::Deadlock { circle }) => circle.iter().map(|link| link.owner).collect(),
        other => panic!("no circle: {other:?}"),
    }
}

#[test]
fn everyone_who_waits_is_told_of_the_end_and_nobody_waits_any_more() {
    let desk = Desk::new();
    let of_a = exit(&desk, A);
    let mut waits = [desk.wait_exit(B, of_a), desk.wait_exit(C, of_a)];
    desk.end(A, EndCause::Killed, 1);
    waits.iter_mut().for_each(|wait| assert_eq!(wait.wakes(), 0, "whoever settles what it leaves says when"));
    desk.table.end_exit(of_a);
    waits.iter_mut().for_each(|wait| wait.got());
    assert!(matches!(desk.table.wait_exit(D, of_a, desk.at(2)), Ok(Passage::Ready(()))));
}

#[test]
fn a_wait_that_expires_or_whose_owner_dies_leaves_no_trace() {
    let desk = Desk::new();
    let of_a = exit(&desk, A);
    let (mut late, mut dead) = (desk.wait_exit(B, of_a), desk.wait_exit(C, of_a));
    assert_eq!(late.expire(desk.at(5)), Err(AcquireError::TimedOut));
    desk.end(C, EndCause::Trapped, 6);
    assert_eq!(dead.answer(), Err(AcquireError::Cancelled));
    assert_eq!(desk.queued(of_a), vec![]);
    desk.table.check();
}

#[test]
fn whoever_waits_for_itself_is_refused() {
    let desk = Desk::new();
    let of_a = exit(&desk, A);
    let refused = desk.table.wait_exit(A, of_a, desk.at(0));
    assert!(matches!(&refused, Err(AcquireError::Deadlock { circle }) if circle[0].asks_as == Mode::Join));
    assert_eq!(circle(refused.map(drop)), [A]);
}

/// The parent holds what its child waits for, and waits for its child: whichever of the two comes second closes the circle.
#[test]
fn a_circle_of_a_lock_and_an_exit_is_refused_from_both_sides() {
    for parent_first in [true, false] {
        let desk = Desk::new();
        let (lock, of_b) = (desk.mutex(), exit(&desk, B));
        let held = desk.table.try_ask(A, lock, Ask::Exclusive, desk.at(0)).expect("it may").expect("it is free");
        if parent_first {
            let mut join = desk.wait_exit(A, of_b);
            assert_eq!(circle(desk.table.ask(B, lock, Ask::Exclusive, desk.at(1)).map(drop)), [B, A]);
            assert_eq!(desk.queued(lock), vec![], "what was refused waits no more");
            desk.table.end_exit(of_b);
            join.got();
        } else {
            let wait = desk.table.ask(B, lock, Ask::Exclusive, desk.at(1)).expect("the parent could release it");
            assert_eq!(circle(desk.table.wait_exit(A, of_b, desk.at(2)).map(drop)), [A, B]);
            assert_eq!(desk.queued(of_b), vec![], "what was refused waits no more");
            drop(wait);
        }
        desk.table.release_hold(A, lock, held.fence, desk.at(3)).expect("its own");
        desk.table.check();
    }
}

/// The same, but that the parent has ended its child: that still stands in the queue, and will be gone from there.
#[test]
fn whoever_was_told_to_end_closes_no_circle() {
    let desk = Desk::new();
    let (lock, of_b) = (desk.mutex(), exit(&desk, B));
    let held = desk.table.try_ask(A, lock, Ask::Exclusive, desk.at(0)).expect("it may").expect("it is free");
    let wait = desk.table.ask(B, lock, Ask::Exclusive, desk.at(1)).expect("the parent could release it");
    desk.table.doom_owner(B);
    let mut join = desk.wait_exit(A, of_b);
    drop(wait);
    desk.table.end_exit(of_b);
    join.got();
    desk.table.release_hold(A, lock, held.fence, desk.at(3)).expect("its own");
    desk.table.doom_owner(C);
    desk.table.check();
}

#[test]
fn a_circle_through_several_exits_is_found_and_a_line_of_them_is_none() {
    let desk = Desk::new();
    let [of_a, of_b, of_c] = [A, B, C].map(|owner| exit(&desk, owner));
    let mut ab = desk.wait_exit(A, of_b);
    let mut bc = desk.wait_exit(B, of_c);
    assert_eq!(circle(desk.table.wait_exit(C, of_a, desk.at(1)).map(drop)), [C, A, B]);
    desk.table.end_exit(of_c);
    bc.got();
    desk.table.end_exit(of_b);
    ab.got();
}

/// The place of what was removed is taken again, and nothing of it is left there.
#[test]
fn what_is_removed_makes_room_and_leaves_nothing() {
    let desk = Desk::new();
    let (mutex, event) = (desk.mutex(), desk.strict(Kind::Event));
    let held = desk.table.try_ask(A, mutex, Ask::Exclusive, desk.at(0)).expect("it may").expect("it is free");
    desk.table.release_hold(A, mutex, held.fence, desk.at(1)).expect("its own");
    desk.table.set_event(event);
    assert!(desk.table.remove(mutex) && desk.table.remove(event));
    // Those that tell many and those that do not are never given each other's place.
    let (latch, rlock) = (desk.strict(Kind::Latch { count: 1 }), desk.rlock(8));
    assert_eq!((latch, rlock), (event, mutex));
    assert_eq!(desk.table.latch_remaining(latch), 1);
    assert!(desk.table.held(A, rlock).is_none());
    let again = desk.table.try_ask(B, rlock, Ask::Exclusive, desk.at(2)).expect("it may").expect("it is free");
    assert_eq!(desk.table.held_fence(B, rlock), Some(again.fence));
    assert_eq!(desk.table.inspect(rlock).counters.acquired, 1);
    desk.table.check();
}

#[test]
fn what_somebody_holds_or_waits_at_is_not_removed() {
    let desk = Desk::new();
    let (mutex, event) = (desk.mutex(), desk.strict(Kind::Event));
    let held = desk.table.try_ask(A, mutex, Ask::Exclusive, desk.at(0)).expect("it may").expect("it is free");
    let wait = asleep(desk.table.wait_event(B, event, desk.at(0)));
    assert!(!desk.table.remove(mutex) && !desk.table.remove(event));
    drop(wait);
    desk.table.release_hold(A, mutex, held.fence, desk.at(1)).expect("it is still there");
    assert!(desk.table.remove(mutex) && desk.table.remove(event));
}
