//! Queues of items.

use lockkeeper_locks::{AcquireError, EndCause, Passage, TaskDoneError};

use crate::support::{A, B, C, D, Desk, E, asleep, item, ready};

fn numbers(desk: &Desk, queue: lockkeeper_locks::LockId, count: u32) -> Vec<u64> {
    (0..count).map(|_| desk.get(E, queue).number).collect()
}

#[test]
fn items_come_out_in_the_order_in_which_they_were_put() {
    let desk = Desk::new();
    let queue = desk.items(9, 100);
    for number in 1..=3 {
        assert_eq!(desk.put(A, queue, 2), number);
    }
    assert_eq!(desk.table.queue(queue), (3, 3, false));
    let first = desk.get(B, queue);
    assert_eq!((first.number, first.returned, first.bytes), (1, 0, item(2)));
    assert_eq!(numbers(&desk, queue, 2), [2, 3]);
    assert!(!desk.table.holds_any(B), "without acknowledgement nobody has anything");
}

#[test]
fn a_put_waits_for_room_and_stores_when_it_is_its_turn() {
    let desk = Desk::new();
    let queue = desk.items(2, 100);
    desk.put(A, queue, 1);
    desk.put(A, queue, 1);
    let (mut first, mut second) = (desk.wait_put(B, queue, 1), desk.wait_put(C, queue, 1));
    assert_eq!(desk.get(D, queue).number, 1);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert_eq!(second.poll(), None, "it is not its turn");
    assert_eq!(first.got().0, 3);
    assert_eq!(desk.get(D, queue).number, 2);
    assert_eq!(second.got().0, 4);
    assert_eq!(numbers(&desk, queue, 2), [3, 4]);
}

#[test]
fn a_put_does_not_overtake_one_that_waits() {
    let desk = Desk::new();
    let queue = desk.items(9, 10);
    desk.put(A, queue, 8);
    let mut large = desk.wait_put(B, queue, 5);
    let mut small = desk.wait_put(C, queue, 1);
    assert_eq!(small.poll(), None, "it would fit");
    drop(desk.get(D, queue));
    let _ = large.got();
    let _ = small.got();
}

#[test]
fn a_large_item_waits_until_enough_bytes_are_free_and_one_that_never_fits_is_refused() {
    let desk = Desk::new();
    let queue = desk.items(9, 10);
    let refused = desk.table.put(A, queue, item(11), desk.at(0)).unwrap_err();
    assert_eq!(refused, AcquireError::QueueExceeded { queue });
    for _ in 0..3 {
        desk.put(A, queue, 3);
    }
    let mut large = desk.wait_put(B, queue, 7);
    drop(desk.get(C, queue));
    assert_eq!(large.poll(), None);
    drop(desk.get(C, queue));
    assert_eq!(large.got().0, 4);
}

/// An item without bytes waits behind a large one that gives up. Once nobody woke it, as no byte was free.
#[test]
fn an_item_without_bytes_needs_none_to_be_free() {
    let desk = Desk::new();
    let queue = desk.items(9, 10);
    desk.put(A, queue, 10);
    let mut large = desk.wait_put(B, queue, 1);
    let mut empty = desk.wait_put(C, queue, 0);
    assert_eq!(large.expire(desk.at(1)), Err(AcquireError::TimedOut));
    assert_eq!(empty.got().0, 2);

    let none = desk.items(1, 0);
    desk.put(A, none, 0);
    let mut empty = desk.wait_put(C, none, 0);
    drop(desk.get(D, none));
    let _ = empty.got();
}

#[test]
fn a_get_waits_for_an_item_and_those_who_came_first_are_first() {
    let desk = Desk::new();
    let queue = desk.items(9, 100);
    let (mut first, mut second) = (desk.wait_get(A, queue), desk.wait_get(B, queue));
    desk.put(C, queue, 1);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    let mut late = desk.wait_get(D, queue);
    desk.put(C, queue, 1);
    assert_eq!(first.got().number, 1);
    assert_eq!(second.got().number, 2);
    assert_eq!((late.wakes(), late.poll()), (0, None));
}

#[test]
fn an_item_that_was_there_at_the_deadline_is_had() {
    let desk = Desk::new();
    let queue = desk.items(1, 100);
    let (mut first, mut second) = (desk.wait_get(A, queue), desk.wait_get(B, queue));
    desk.put(C, queue, 1);
    assert_eq!(second.expire(desk.at(1)).map(drop), Err(AcquireError::TimedOut), "it is not its turn");
    assert_eq!(first.expire(desk.at(1)).map(|item| item.number), Ok(1));
    desk.put(C, queue, 1);
    let mut put = desk.wait_put(C, queue, 1);
    drop(desk.get(A, queue));
    assert_eq!(put.expire(desk.at(2)).map(|stored| stored.0), Ok(3));
}

#[test]
fn a_woken_getter_that_ends_or_leaves_wakes_the_next() {
    for way in 0..2 {
        let desk = Desk::new();
        let queue = desk.items(9, 100);
        let (first, mut second) = (desk.wait_get(A, queue), desk.wait_get(B, queue));
        desk.put(C, queue, 1);
        match way {
            0 => desk.end(A, EndCause::Killed, 1),
            _ => drop(first),
        }
        assert_eq!(second.got().number, 1);
    }
}

// ---- acknowledgement ----

#[test]
fn the_items_of_a_dead_consumer_go_back_to_the_head_in_their_order() {
    let desk = Desk::new();
    let queue = desk.acknowledged(9, 100);
    for _ in 0..5 {
        desk.put(A, queue, 1);
    }
    assert_eq!((desk.get(B, queue).number, desk.get(C, queue).number), (1, 2));
    assert_eq!((desk.get(B, queue).number, desk.get(B, queue).number), (3, 4));
    assert_eq!(desk.table.task_done(B, queue, 3), Ok(()));
    assert!(desk.table.holds_any(B));
    desk.end(B, EndCause::Killed, 1);
    let back: Vec<_> = (0..3).map(|_| desk.get(D, queue)).map(|item| (item.number, item.returned)).collect();
    assert_eq!(back, [(1, 1), (4, 1), (5, 0)]);
    desk.end(D, EndCause::Killed, 2);
    let again = desk.get(E, queue);
    assert_eq!((again.number, again.returned), (1, 2));
    assert_eq!(desk.table.queue(queue), (2, 4, false));
}

#[test]
fn an_item_is_finished_by_whoever_has_it_once() {
    let desk = Desk::new();
    let queue = desk.acknowledged(9, 100);
    desk.put(A, queue, 1);
    let not_held = Err(TaskDoneError::NotHeld { number: 1 });
    assert_eq!(desk.table.task_done(B, queue, 1), not_held, "it is in the queue");
    drop(desk.get(B, queue));
    assert_eq!(desk.table.task_done(C, queue, 1), not_held);
    assert_eq!(desk.table.task_done(B, queue, 1), Ok(()));
    assert_eq!(desk.table.task_done(B, queue, 1), not_held);
    assert!(!desk.table.holds_any(B));
}

#[test]
fn bytes_of_items_that_are_out_are_kept_for_their_return() {
    let desk = Desk::new();
    let queue = desk.acknowledged(9, 10);
    desk.put(A, queue, 8);
    assert_eq!(desk.get(B, queue).number, 1);
    let mut put = desk.wait_put(A, queue, 5);
    assert_eq!(put.poll(), None);
    assert_eq!(desk.table.task_done(B, queue, 1), Ok(()));
    assert_eq!(put.got().0, 2);
}

#[test]
fn an_owner_has_only_so_many_items_unfinished() {
    let desk = Desk::new();
    let queue = desk.acknowledged(9, 100);
    for _ in 0..5 {
        desk.put(A, queue, 1);
    }
    for _ in 0..4 {
        drop(desk.get(B, queue));
    }
    assert_eq!(desk.table.get(B, queue, desk.at(0)).unwrap_err(), AcquireError::QueueExceeded { queue });
    assert_eq!(desk.get(C, queue).number, 5);
    assert_eq!(desk.table.task_done(B, queue, 1), Ok(()));
    drop(desk.wait_get(B, queue));
}

#[test]
fn an_item_that_was_answered_and_not_polled_is_had_by_nobody_and_by_a_poll_once() {
    let desk = Desk::new();
    let queue = desk.acknowledged(9, 100);
    let (mut dead, mut alive) = (desk.wait_get(A, queue), desk.wait_get(B, queue));
    desk.put(C, queue, 1);
    desk.end(A, EndCause::Killed, 1);
    assert_eq!(dead.answer(), Err(AcquireError::Cancelled));
    let item = alive.got();
    assert_eq!((item.number, item.returned), (1, 0), "A never had it");
}

// ---- join ----

#[test]
fn join_waits_until_every_item_is_finished() {
    for acknowledged in [true, false] {
        let desk = Desk::new();
        let queue = if acknowledged { desk.acknowledged(9, 100) } else { desk.items(9, 100) };
        assert!(matches!(desk.table.join_queue(A, queue, desk.at(0)), Ok(Passage::Ready(()))));
        desk.put(A, queue, 1);
        desk.put(A, queue, 1);
        let mut join = desk.wait_join(A, queue);
        drop((desk.get(B, queue), desk.get(B, queue)));
        assert_eq!(desk.table.task_done(B, queue, 1), Ok(()));
        assert_eq!(join.wakes(), 0);
        assert_eq!(desk.table.task_done(B, queue, 2), Ok(()));
        join.got();
        let too_many = if acknowledged { TaskDoneError::NotHeld { number: 2 } } else { TaskDoneError::OverRelease };
        assert_eq!(desk.table.task_done(B, queue, 2), Err(too_many));
    }
}

/// The last item is finished, and another one is put before the owner that joined polls. Once it was told that it was cancelled.
#[test]
fn whoever_joined_has_seen_everything_finished_whatever_is_put_next() {
    let desk = Desk::new();
    let queue = desk.items(9, 100);
    desk.put(A, queue, 1);
    let (mut polls, mut expires) = (desk.wait_join(A, queue), desk.wait_join(B, queue));
    drop(desk.get(C, queue));
    assert_eq!(desk.table.task_done(C, queue, 1), Ok(()));
    desk.put(D, queue, 1);
    let mut late = desk.wait_join(D, queue);
    polls.got();
    assert_eq!(expires.expire(desk.at(1)), Ok(()));
    assert_eq!((late.wakes(), late.expire(desk.at(1))), (0, Err(AcquireError::TimedOut)));
}

#[test]
fn a_dead_consumer_finishes_nothing_and_its_items_are_waited_for() {
    let desk = Desk::new();
    let queue = desk.acknowledged(9, 100);
    desk.put(A, queue, 1);
    let mut join = desk.wait_join(A, queue);
    drop(desk.get(B, queue));
    desk.end(B, EndCause::Killed, 1);
    assert_eq!(join.poll(), None);
    assert_eq!(desk.get(C, queue).number, 1);
    assert_eq!(desk.table.task_done(C, queue, 1), Ok(()));
    join.got();
}

// ---- close ----

#[test]
fn a_closed_queue_takes_nothing_and_gives_what_is_left() {
    let desk = Desk::new();
    let queue = desk.items(2, 100);
    desk.put(A, queue, 1);
    desk.put(A, queue, 1);
    let mut put = desk.wait_put(B, queue, 1);
    desk.table.close_queue(queue);
    desk.table.close_queue(queue);
    assert_eq!(put.refused(), AcquireError::Closed);
    assert_eq!(desk.table.put(A, queue, item(1), desk.at(0)).unwrap_err(), AcquireError::Closed);
    assert_eq!(numbers(&desk, queue, 2), [1, 2]);
    assert_eq!(desk.table.get(A, queue, desk.at(0)).unwrap_err(), AcquireError::Closed);
    assert_eq!(desk.table.queue(queue), (0, 2, true));
}

#[test]
fn closing_an_empty_queue_ends_those_who_wait_to_get() {
    let desk = Desk::new();
    let queue = desk.items(2, 100);
    let mut waits = [desk.wait_get(A, queue), desk.wait_get(B, queue)];
    desk.table.close_queue(queue);
    for wait in &mut waits {
        assert_eq!(wait.refused(), AcquireError::Closed);
    }
}

#[test]
fn whoever_takes_the_last_item_of_a_closed_queue_ends_the_others() {
    for way in 0..2 {
        let desk = Desk::new();
        let queue = desk.items(2, 100);
        let (mut first, mut second) = (desk.wait_get(A, queue), desk.wait_get(B, queue));
        desk.put(C, queue, 1);
        desk.table.close_queue(queue);
        assert_eq!(second.wakes(), 0);
        if way == 0 {
            assert_eq!(first.got().number, 1);
        } else {
            assert_eq!(first.expire(desk.at(1)).map(|item| item.number), Ok(1));
        }
        assert_eq!(second.refused(), AcquireError::Closed);
    }
}

#[test]
fn getters_of_a_closed_queue_wait_for_what_may_come_back() {
    for finished in [true, false] {
        let desk = Desk::new();
        let queue = desk.acknowledged(9, 100);
        desk.put(A, queue, 1);
        drop(desk.get(B, queue));
        desk.table.close_queue(queue);
        let mut wait = asleep(desk.table.get(C, queue, desk.at(0)));
        if finished {
            assert_eq!(desk.table.task_done(B, queue, 1), Ok(()));
            assert_eq!(wait.refused(), AcquireError::Closed);
        } else {
            desk.end(B, EndCause::Trapped, 1);
            assert_eq!(wait.got().number, 1);
            assert_eq!(ready(desk.table.join_queue(D, desk.items(1, 1), desk.at(0))), ());
        }
    }
}

#[test]
fn a_getter_that_ended_is_cancelled_also_in_a_closed_queue() {
    let desk = Desk::new();
    let queue = desk.items(9, 100);
    let mut dead = desk.wait_get(A, queue);
    desk.end(A, EndCause::Killed, 0);
    desk.table.close_queue(queue);
    assert_eq!(dead.answer(), Err(AcquireError::Cancelled));
}
