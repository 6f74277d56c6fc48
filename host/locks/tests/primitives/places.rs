//! Where owners run: who may overtake whom, and how far a lock may stay in one place.

use std::time::Duration;

use lockkeeper_locks::{Ask, Kind, LockConfig, LockId, OwnerId, Place};

use crate::support::{Desk, Sleeper};

const X: Ask = Ask::Exclusive;
const LOCAL_US: u64 = 100;
const REMOTE_US: u64 = 1_000;

fn config(cohort_max: u32) -> LockConfig {
    LockConfig {
        bound_local: Duration::from_micros(LOCAL_US),
        bound_remote: Duration::from_micros(REMOTE_US),
        cohort_max,
        ..LockConfig::default()
    }
}

/// An owner that runs in a place.
fn owner(desk: &Desk, number: u64, place: u16) -> OwnerId {
    let owner = OwnerId::new(number);
    desk.table.place_owner(owner, Place(place));
    owner
}

#[test]
fn a_neighbour_overtakes_within_the_local_bound_and_others_within_the_remote_one() {
    for kind in [Kind::Mutex, Kind::RLock { depth_max: 2 }] {
        let desk = Desk::new();
        let lock = desk.make(kind, config(8));
        let (holder, waiter) = (owner(&desk, 1, 0), owner(&desk, 2, 0));
        let (near, far) = (owner(&desk, 3, 0), owner(&desk, 4, 1));
        desk.hold(holder, lock, X, 0);
        let _wait = desk.queue(waiter, lock, X, 0);
        desk.release(holder, lock, 1);
        assert!(desk.can_take(near, lock, X, LOCAL_US - 1));
        desk.release(near, lock, LOCAL_US - 1);
        assert!(!desk.can_take(near, lock, X, LOCAL_US));
        assert!(desk.can_take(far, lock, X, LOCAL_US));
        // From another place the bound is the remote one, so this is no hand-over yet.
        desk.release(far, lock, LOCAL_US + 1);
        assert!(!desk.table.locked(lock));
        assert!(!desk.can_take(far, lock, X, REMOTE_US));
    }
}

#[test]
fn with_the_head_one_waiter_elsewhere_is_woken_and_may_come_first() {
    let desk = Desk::new();
    let lock = desk.make(Kind::Mutex, config(8));
    let holder = owner(&desk, 1, 0);
    desk.hold(holder, lock, X, 0);
    let mut head = desk.queue(owner(&desk, 2, 0), lock, X, 1);
    let mut remote = desk.queue(owner(&desk, 3, 1), lock, X, 2);
    let mut other = desk.queue(owner(&desk, 4, 2), lock, X, 3);
    desk.release(holder, lock, 4);
    assert_eq!((head.wakes(), remote.wakes(), other.wakes()), (1, 1, 0));
    assert_eq!(other.poll(), None, "nobody has woken it");
    let _ = remote.got();
    assert_eq!(head.poll(), None, "it keeps its place");
    desk.release(OwnerId::new(3), lock, 5);
    assert_eq!(head.wakes(), 2);
    let _ = head.got();
}

#[test]
fn a_lock_stays_in_one_place_for_eight_hand_overs_and_then_goes_elsewhere() {
    let desk = Desk::new();
    let lock = desk.make(Kind::Mutex, config(8));
    let holder = owner(&desk, 1, 0);
    desk.hold(holder, lock, X, 0);
    let mut waits: Vec<_> = (0..20).map(|n| wait(&desk, lock, 100 + n, 0)).collect();
    waits.insert(1, wait(&desk, lock, 50, 1));
    let order = serve(&desk, lock, holder, waits);
    let (before, after) = order.split_at(8);
    assert_eq!(before, (100..108).collect::<Vec<_>>());
    assert_eq!(after[0], 50, "the ninth goes to who waits elsewhere");
    assert_eq!(after[1..], (108..120).collect::<Vec<_>>());
}

#[test]
fn without_cohorts_the_order_is_that_of_arrival() {
    for config in [config(0), LockConfig::strict()] {
        let desk = Desk::new();
        let lock = desk.make(Kind::Mutex, config);
        let holder = owner(&desk, 1, 0);
        desk.hold(holder, lock, X, 0);
        let waits: Vec<_> = (0..20).map(|n| wait(&desk, lock, 100 + n, (n % 3) as u16)).collect();
        assert_eq!(serve(&desk, lock, holder, waits), (100..120).collect::<Vec<_>>());
        assert_eq!(desk.counters(lock).handed_over, 20);
    }
}

#[test]
fn readers_and_permits_keep_the_order_of_arrival_wherever_they_run() {
    let desk = Desk::new();
    let lock = desk.make(crate::support::RWLOCK, config(8));
    let holder = owner(&desk, 1, 0);
    desk.hold(holder, lock, X, 0);
    let mut remote_reader = {
        let reader = owner(&desk, 2, 1);
        desk.queue(reader, lock, Ask::Shared, 0)
    };
    let near_writer = {
        let writer = owner(&desk, 3, 0);
        desk.queue(writer, lock, X, 0)
    };
    desk.release(holder, lock, 2 * REMOTE_US);
    let _ = remote_reader.got();
    assert_eq!(near_writer.wakes(), 0);
}

struct Waiting(OwnerId, Sleeper<lockkeeper_locks::Acquired>);

fn wait(desk: &Desk, lock: LockId, number: u64, place: u16) -> Waiting {
    let owner = owner(desk, number, place);
    Waiting(owner, desk.queue(owner, lock, X, 0))
}

/// Releases until everyone has had the lock; in which order.
fn serve(desk: &Desk, lock: LockId, mut holder: OwnerId, mut waits: Vec<Waiting>) -> Vec<u64> {
    let mut order = Vec::new();
    while !waits.is_empty() {
        desk.release(holder, lock, 2 * REMOTE_US);
        holder = desk.table.inspect(lock).holder().expect("it was handed over").owner;
        let next = waits.iter().position(|wait| wait.0 == holder).expect("the owner waits");
        _ = waits.remove(next).1.got();
        order.push(holder.get());
    }
    order
}
