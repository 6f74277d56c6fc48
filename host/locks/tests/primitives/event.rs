//! Events: whoever waits at the moment of `set` has seen it.

use lockkeeper_locks::{AcquireError, EndCause, Kind, OwnerId, Passage};

use crate::support::{A, B, C, Desk};

#[test]
fn everyone_who_waits_at_a_set_has_seen_it_even_if_a_clear_follows() {
    let desk = Desk::new();
    let event = desk.strict(Kind::Event);
    let mut waits = [desk.wait_event(A, event), desk.wait_event(B, event)];
    desk.table.set_event(event);
    desk.table.clear_event(event);
    assert!(!desk.table.is_event_set(event));
    let mut late = desk.wait_event(C, event);
    waits.iter_mut().for_each(|wait| wait.got());
    assert_eq!((late.wakes(), late.poll()), (0, None));
    assert_eq!(desk.queued(event), [C]);
    desk.table.set_event(event);
    late.got();
    assert!(matches!(desk.table.wait_event(A, event, desk.at(1)), Ok(Passage::Ready(()))));
}

#[test]
fn a_thousand_waiters_have_seen_each_of_many_sets() {
    let desk = Desk::new();
    let event = desk.strict(Kind::Event);
    for _ in 0..20 {
        let mut waits: Vec<_> = (0..1_000).map(|id| desk.wait_event(OwnerId::new(100 + id), event)).collect();
        assert_eq!(desk.table.waiter_count(event), 1_000);
        desk.table.set_event(event);
        desk.table.clear_event(event);
        for wait in &mut waits {
            assert_eq!(wait.wakes(), 1);
            wait.got();
        }
    }
}

#[test]
fn a_set_before_the_deadline_wins_and_a_set_after_it_does_not_come_back() {
    let desk = Desk::new();
    let event = desk.strict(Kind::Event);
    let (mut early, mut late) = (desk.wait_event(A, event), desk.wait_event(B, event));
    assert_eq!(late.expire(desk.at(1)), Err(AcquireError::TimedOut));
    desk.table.set_event(event);
    assert_eq!(early.expire(desk.at(2)), Ok(()));
    assert_eq!(desk.table.waiter_count(event), 0);
    assert!(!desk.table.holds_any(A) && !desk.table.holds_any(B));
}

#[test]
fn a_dead_or_dropped_waiter_is_in_nobodys_way() {
    let desk = Desk::new();
    let event = desk.strict(Kind::Event);
    let (mut dead, dropped, mut alive) =
        (desk.wait_event(A, event), desk.wait_event(B, event), desk.wait_event(C, event));
    desk.end(A, EndCause::Killed, 1);
    drop(dropped);
    assert_eq!(desk.queued(event), [C]);
    desk.table.set_event(event);
    assert_eq!(dead.answer(), Err(AcquireError::Cancelled), "also after the set");
    alive.got();
}
