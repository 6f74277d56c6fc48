//! What is done once.

use lockkeeper_locks::{AcquireError, EndCause, Kind, Passage, Previous, ReleaseError, Turn};

use crate::support::{A, B, C, D, Desk};

#[test]
fn one_does_it_and_everyone_else_is_told_that_it_is_done() {
    for strict in [true, false] {
        let desk = Desk::new();
        let once = if strict { desk.strict(Kind::Once) } else { desk.barging(Kind::Once) };
        assert!(!desk.table.is_done(once));
        let turn = desk.begin(A, once, 0);
        assert_eq!(desk.table.held_fence(A, once), Some(turn.fence));
        let mut waits = [desk.wait_once(B, once, 1), desk.wait_once(C, once, 2)];
        assert_eq!(desk.table.complete_once(A, once, None, desk.at(3)), Ok(()));
        for wait in &mut waits {
            assert_eq!(wait.got(), Turn::Done);
        }
        assert!(desk.table.is_done(once));
        assert!(matches!(desk.table.begin_once(D, once, desk.at(4)), Ok(Passage::Ready(Turn::Done))));
        for owner in [A, B, C, D] {
            assert!(!desk.table.holds_any(owner));
            assert_eq!(
                desk.table.complete_once(owner, once, None, desk.at(5)),
                Err(ReleaseError::NotHeld { lock: once })
            );
        }
    }
}

#[test]
fn the_end_of_whoever_has_the_turn_gives_it_to_the_next_who_is_told_how() {
    for how in [EndCause::Trapped, EndCause::Killed, EndCause::Limit] {
        let desk = Desk::new();
        let once = desk.strict(Kind::Once);
        let _ = desk.begin(A, once, 0);
        let mut next = desk.wait_once(B, once, 1);
        let mut last = desk.wait_once(C, once, 2);
        desk.end(A, how, 3);
        let Turn::Yours(turn) = next.got() else { panic!("it was not done") };
        assert_eq!(turn.previous, Previous::Abandoned { how, who: A });
        assert_eq!(last.wakes(), 0);
        assert_eq!(desk.table.complete_once(B, once, None, desk.at(4)), Ok(()));
        assert_eq!(last.got(), Turn::Done);
    }
}

#[test]
fn a_turn_that_is_given_up_goes_to_the_next() {
    let desk = Desk::new();
    let once = desk.strict(Kind::Once);
    let _ = desk.begin(A, once, 0);
    let mut next = desk.wait_once(B, once, 1);
    desk.release(A, once, 2);
    assert!(matches!(next.got(), Turn::Yours(_)));
    assert!(!desk.table.is_done(once));
}

#[test]
fn only_whoever_has_the_turn_completes_it() {
    let desk = Desk::new();
    let once = desk.strict(Kind::Once);
    assert_eq!(desk.table.complete_once(A, once, None, desk.at(0)), Err(ReleaseError::NotHeld { lock: once }));
    let _ = desk.begin(A, once, 0);
    assert_eq!(
        desk.table.complete_once(B, once, None, desk.at(1)),
        Err(ReleaseError::NotOwner { lock: once, owner: A })
    );
    assert!(matches!(desk.table.begin_once(A, once, desk.at(2)), Err(AcquireError::Deadlock { .. })));
    desk.revoke(once, 3);
    let lost = Err(ReleaseError::Lost { how: EndCause::Expired });
    assert_eq!(desk.table.complete_once(A, once, None, desk.at(4)), lost);
    assert!(!desk.table.is_done(once));
}

#[test]
fn a_waiter_that_ended_is_not_told_that_it_is_done() {
    let desk = Desk::new();
    let once = desk.strict(Kind::Once);
    let _ = desk.begin(A, once, 0);
    let mut dead = desk.wait_once(B, once, 1);
    let mut told = desk.wait_once(C, once, 2);
    desk.end(B, EndCause::Killed, 3);
    assert_eq!(desk.table.complete_once(A, once, None, desk.at(4)), Ok(()));
    desk.end(C, EndCause::Killed, 5);
    assert_eq!(dead.answer(), Err(AcquireError::Cancelled));
    assert_eq!(told.answer(), Err(AcquireError::Cancelled), "it ended before it came");
}
