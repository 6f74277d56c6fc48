//! What a look from outside shows, and what is counted.

use lockkeeper_locks::{Ask, Counters, EndCause, Kind, LockState, Mode, Parties, Want};

use crate::support::{A, B, BOUND_US, C, D, Desk, RWLOCK};

#[test]
fn a_view_shows_every_holder_with_its_mode_and_every_waiter_with_what_it_wants() {
    let desk = Desk::new();
    let lock = desk.rwlock();
    desk.hold(A, lock, Ask::Shared, 0);
    desk.hold(A, lock, Ask::Shared, 1);
    desk.hold(B, lock, Ask::Shared, 2);
    let _writer = desk.queue(C, lock, Ask::Exclusive, 3);
    let _upgrade = desk.queue(B, lock, Ask::Upgrade, 4);
    let view = desk.table.inspect(lock);
    assert_eq!(view.state, LockState::Held);
    let mut holders: Vec<_> = view.holders.iter().map(|hold| (hold.owner, hold.mode, hold.count)).collect();
    holders.sort_unstable_by_key(|(owner, ..)| *owner);
    assert_eq!(holders, [(A, Mode::Shared, 2), (B, Mode::Shared, 1)]);
    let waiters: Vec<_> = view.queue.iter().map(|waiter| (waiter.owner, waiter.want, waiter.since)).collect();
    let upgrade = (B, Want::Lock(Ask::Upgrade), desk.at(4));
    assert_eq!(waiters, [upgrade, (C, Want::Lock(Ask::Exclusive), desk.at(3))]);
}

#[test]
fn a_view_of_permits_shows_those_on_their_way_and_those_being_taken_away() {
    let desk = Desk::new();
    let lock = desk.permits(4);
    desk.hold(A, lock, Ask::Permits(3), 0);
    desk.hold(B, lock, Ask::Permits(1), 0);
    let mut wait = desk.queue(C, lock, Ask::Permits(1), 1);
    desk.give(A, lock, 1, 2);
    let view = desk.table.inspect(lock);
    assert_eq!((view.state, view.holders.len()), (LockState::InFlight, 3));
    let _ = wait.got();
    let ended = desk.table.begin_end(A, EndCause::Killed);
    let view = desk.table.inspect(lock);
    assert_eq!((view.state, view.holders.len(), desk.free(lock)), (LockState::Revoking, 3, 0));
    desk.table.finish_end(ended, desk.at(3));
    assert_eq!((desk.table.inspect(lock).holders.len(), desk.free(lock)), (2, 2));
}

#[test]
fn a_view_shows_in_which_lane_somebody_waits() {
    let desk = Desk::new();
    let wants = |object| -> Vec<_> { desk.table.inspect(object).queue.iter().map(|waiter| waiter.want).collect() };
    let (event, latch) = (desk.strict(Kind::Event), desk.strict(Kind::Latch { count: 1 }));
    let (barrier, queue) = (desk.barrier(2, Parties::Waiting), desk.items(1, 10));
    let _waits = (desk.wait_event(A, event), desk.wait_latch(A, latch), desk.arrive(A, barrier));
    assert_eq!(
        (wants(event), wants(latch), wants(barrier)),
        (vec![Want::Event], vec![Want::Latch], vec![Want::Barrier])
    );
    desk.put(A, queue, 1);
    let _lanes = (desk.wait_join(C, queue), desk.wait_put(B, queue, 1));
    assert_eq!(wants(queue), [Want::Put, Want::Join]);
}

#[test]
fn everything_that_happens_to_a_lock_is_counted_once() {
    let desk = Desk::new();
    let lock = desk.barging(RWLOCK);
    desk.hold(A, lock, Ask::Exclusive, 0);
    let mut head = desk.queue(B, lock, Ask::Exclusive, 1);
    desk.release(A, lock, 2);
    desk.hold(C, lock, Ask::Exclusive, 3);
    let mut timed_out = desk.queue(D, lock, Ask::Shared, 4);
    assert!(timed_out.expire(desk.at(5)).is_err());
    desk.release(C, lock, 6 + BOUND_US);
    let _ = head.got();
    assert!(desk.table.ask(B, lock, Ask::Shared, desk.at(7 + BOUND_US)).is_err(), "it would wait for itself");
    let dropped = desk.queue(C, lock, Ask::Exclusive, 8 + BOUND_US);
    desk.release(B, lock, 9 + 3 * BOUND_US);
    drop(dropped);
    desk.hold(D, lock, Ask::Exclusive, 9 + 3 * BOUND_US);
    let waits = desk.queue(C, lock, Ask::Shared, 9 + 3 * BOUND_US);
    desk.end(C, EndCause::Killed, 9 + 3 * BOUND_US);
    drop(waits);
    desk.end(D, EndCause::Killed, 9 + 3 * BOUND_US);
    let counted = desk.counters(lock);
    let (longest_wait, longest_hold) = (counted.longest_wait, counted.longest_hold);
    let expected = Counters {
        acquired: 4,
        deadlocks: 1,
        contended: 4,
        barged: 1,
        handed_over: 2,
        passed_on: 1,
        timeouts: 1,
        cancelled: 1,
        abandoned: 1,
        longest_wait,
        longest_hold,
    };
    assert_eq!(counted, expected);
}
