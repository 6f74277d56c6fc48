//! The death matrix: every primitive, every instant at which an owner can die there, and what the others get.

use lockkeeper_locks::{
    AcquireError, Ask, BrokenCause, EndCause, Kind, LockId, Parties, Previous, SemaphoreKind, Turn,
};

use crate::support::{A, B, C, D, Desk, RWLOCK};

const CAUSES: [EndCause; 3] = [EndCause::Trapped, EndCause::Killed, EndCause::Limit];

/// A is the one that dies; B goes on. Every scene checks what A had, what A is told, and what B gets.
type Scene = fn(&Desk, EndCause);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Instant {
    Holding,
    Waiting,
    /// Handed over, or answered, and not polled yet.
    Granted,
    /// Woken, and not there yet.
    Woken,
}
use Instant::{Granted, Holding, Waiting, Woken};

// ---- what is held: the same scenes for every kind ----

/// A kind, what A asks for, and what B asks for, which excludes it.
const LOCKS: [(&str, Kind, Ask, Ask); 8] = [
    ("mutex", Kind::Mutex, Ask::Exclusive, Ask::Exclusive),
    ("rlock", Kind::RLock { depth_max: 9 }, Ask::Exclusive, Ask::Exclusive),
    ("rwlock, writer before writer", RWLOCK, Ask::Exclusive, Ask::Exclusive),
    ("rwlock, writer before reader", RWLOCK, Ask::Exclusive, Ask::Shared),
    ("rwlock, reader before writer", RWLOCK, Ask::Shared, Ask::Exclusive),
    ("semaphore, one of one", owned(1), Ask::Permits(1), Ask::Permits(1)),
    ("semaphore, some of many", owned(5), Ask::Permits(4), Ask::Permits(2)),
    ("once", Kind::Once, Ask::Exclusive, Ask::Exclusive),
];

const fn owned(permits: u32) -> Kind {
    Kind::Semaphore(SemaphoreKind::Owned { permits })
}

/// What A or C has to take so that nobody else fits.
fn all_of(kind: Kind) -> Ask {
    match kind {
        Kind::Semaphore(SemaphoreKind::Owned { permits }) => Ask::Permits(permits),
        _ => Ask::Exclusive,
    }
}

fn let_go(desk: &Desk, lock: LockId, kind: Kind, us: u64) {
    match all_of(kind) {
        Ask::Permits(permits) => desk.give(C, lock, permits, us),
        _ => desk.release(C, lock, us),
    }
}

/// Everything a lock promises at a death, at one instant.
fn lock_scene(kind: Kind, dies_with: Ask, goes_on_with: Ask, instant: Instant, how: EndCause) {
    let desk = Desk::new();
    let lock = if instant == Woken { desk.barging(kind) } else { desk.strict(kind) };
    let spoilt = instant == Holding && dies_with == Ask::Exclusive;
    let previous = if spoilt { Previous::Abandoned { how, who: A } } else { Previous::Clean };
    if instant == Holding {
        desk.hold(A, lock, dies_with, 0);
        let mut next = desk.queue(B, lock, goes_on_with, 1);
        let ended = desk.table.begin_end(A, how);
        assert_eq!((ended.holds.len(), next.wakes()), (1, 0), "nobody is granted between the halves");
        desk.table.finish_end(ended, desk.at(2));
        assert_eq!(next.got().previous, previous);
    } else {
        desk.hold(C, lock, all_of(kind), 0);
        let mut dies = desk.queue(A, lock, dies_with, 1);
        let mut next = desk.queue(B, lock, goes_on_with, 2);
        if instant != Waiting {
            let_go(&desk, lock, kind, 3);
        }
        assert_eq!((dies.wakes(), next.wakes()), (usize::from(instant != Waiting), 0));
        desk.end(A, how, 4);
        if instant == Waiting {
            assert_eq!(next.wakes(), 0);
            let_go(&desk, lock, kind, 5);
        }
        assert_eq!(next.got().previous, previous);
        assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
    }
    assert_eq!(desk.table.held(A, lock), None);
    assert!(desk.queued(lock).is_empty());
    assert_eq!(desk.refused(A, lock, goes_on_with, 6), AcquireError::Cancelled);
}

#[test]
fn whoever_waits_for_a_lock_goes_on_whenever_and_however_another_owner_dies() {
    let mut scenes = 0;
    for (name, kind, dies_with, goes_on_with) in LOCKS {
        for instant in [Holding, Waiting, Granted, Woken] {
            for how in CAUSES {
                println!("{name}, {instant:?}, {how:?}");
                lock_scene(kind, dies_with, goes_on_with, instant, how);
                scenes += 1;
            }
        }
    }
    assert_eq!(scenes, 96);
}

// ---- the rest: a scene for each instant that there is ----

const SCENES: [(&str, Instant, Scene); 27] = [
    ("upgrade", Holding, |desk, how| {
        let lock = desk.rwlock();
        desk.hold(A, lock, Ask::Shared, 0);
        desk.hold(A, lock, Ask::Upgrade, 1);
        let mut next = desk.queue(B, lock, Ask::Shared, 2);
        desk.end(A, how, 3);
        assert_eq!(next.got().previous, Previous::Abandoned { how, who: A });
    }),
    ("upgrade", Waiting, |desk, how| upgrade(desk, how, Waiting)),
    ("upgrade", Granted, |desk, how| upgrade(desk, how, Granted)),
    ("upgrade", Woken, |desk, how| upgrade(desk, how, Woken)),
    ("more permits", Waiting, |desk, how| more_permits(desk, how, Waiting)),
    ("more permits", Granted, |desk, how| more_permits(desk, how, Granted)),
    ("signal", Holding, |desk, how| {
        let lock = desk.signal(1, Some(1));
        desk.hold(A, lock, Ask::Permits(1), 0);
        let mut next = desk.queue(B, lock, Ask::Permits(1), 1);
        desk.end(A, how, 2);
        assert_eq!(next.poll(), None, "nobody holds a signal, and nothing comes back");
        desk.give(C, lock, 1, 3);
        let _ = next.got();
    }),
    ("signal", Waiting, |desk, how| signal(desk, how, Waiting)),
    ("signal", Granted, |desk, how| signal(desk, how, Granted)),
    ("signal", Woken, |desk, how| signal(desk, how, Woken)),
    ("once that is completed", Waiting, |desk, how| {
        let once = desk.strict(Kind::Once);
        let _ = desk.begin(C, once, 0);
        let (mut dies, mut next) = (desk.wait_once(A, once, 1), desk.wait_once(B, once, 2));
        desk.end(A, how, 3);
        desk.table.complete_once(C, once, None, desk.at(4)).expect("C has the turn");
        assert_eq!((dies.answer(), next.got()), (Err(AcquireError::Cancelled), Turn::Done));
    }),
    ("once that is completed", Granted, |desk, how| {
        let once = desk.strict(Kind::Once);
        let _ = desk.begin(C, once, 0);
        let (mut dies, mut next) = (desk.wait_once(A, once, 1), desk.wait_once(B, once, 2));
        desk.table.complete_once(C, once, None, desk.at(3)).expect("C has the turn");
        desk.end(A, how, 4);
        assert_eq!((dies.answer(), next.got()), (Err(AcquireError::Cancelled), Turn::Done));
    }),
    ("condition, with its lock", Holding, |desk, how| {
        let lock = desk.rlock(9);
        let condition = desk.condition(lock);
        desk.hold(B, lock, Ask::Exclusive, 0);
        let (mut next, _) = desk.wait_condition(B, condition, 1);
        desk.hold(A, lock, Ask::Exclusive, 2);
        desk.hold(A, lock, Ask::Exclusive, 2);
        desk.end(A, how, 3);
        assert_eq!(next.poll(), None, "a death notifies nobody");
        assert_eq!(desk.take(C, lock, Ask::Exclusive, 4).previous, Previous::Abandoned { how, who: A });
        assert_eq!(desk.table.notify(C, condition, 1), Ok(1));
        next.got();
    }),
    ("condition", Waiting, |desk, how| condition(desk, how, Waiting)),
    ("condition", Granted, |desk, how| condition(desk, how, Granted)),
    ("condition, before its lock is held again", Woken, |desk, how| condition(desk, how, Woken)),
    ("event", Waiting, |desk, how| {
        let event = desk.strict(Kind::Event);
        let (mut dies, mut next) = (desk.wait_event(A, event), desk.wait_event(B, event));
        desk.end(A, how, 1);
        desk.table.set_event(event);
        assert_eq!((dies.answer(), next.got()), (Err(AcquireError::Cancelled), ()));
    }),
    ("event", Granted, |desk, how| {
        let event = desk.strict(Kind::Event);
        let (mut dies, mut next) = (desk.wait_event(A, event), desk.wait_event(B, event));
        desk.table.set_event(event);
        desk.table.clear_event(event);
        desk.end(A, how, 1);
        assert_eq!((dies.answer(), next.got()), (Err(AcquireError::Cancelled), ()));
    }),
    ("barrier", Waiting, |desk, how| {
        let barrier = desk.barrier(3, Parties::Waiting);
        let (mut dies, mut next) = (desk.arrive(A, barrier), desk.arrive(B, barrier));
        desk.end(A, how, 1);
        assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
        assert_eq!(next.refused(), AcquireError::Broken { cause: BrokenCause::PartyEnded });
    }),
    ("barrier", Granted, |desk, how| {
        let barrier = desk.barrier(3, Parties::Waiting);
        let (mut dies, mut next) = (desk.arrive(A, barrier), desk.arrive(B, barrier));
        assert_eq!(desk.arrive_last(C, barrier), 2);
        desk.end(A, how, 1);
        assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
        assert_eq!((next.got().0, desk.table.barrier(barrier).2), (1, None));
    }),
    ("registered barrier, between rounds", Holding, |desk, how| {
        let barrier = desk.barrier(2, Parties::Registered);
        let mut first = desk.arrive(A, barrier);
        assert_eq!((desk.arrive_last(B, barrier), first.got().0), (1, 0));
        let mut next = desk.arrive(B, barrier);
        desk.end(A, how, 1);
        assert_eq!(next.refused(), AcquireError::Broken { cause: BrokenCause::PartyEnded });
    }),
    ("latch", Waiting, |desk, how| {
        let latch = desk.strict(Kind::Latch { count: 1 });
        let (mut dies, mut next) = (desk.wait_latch(A, latch), desk.wait_latch(B, latch));
        desk.end(A, how, 1);
        assert_eq!(desk.table.count_down(latch, 1), Ok(0));
        assert_eq!((dies.answer(), next.got()), (Err(AcquireError::Cancelled), ()));
    }),
    ("queue, item in hand", Holding, |desk, how| {
        let queue = desk.acknowledged(9, 100);
        desk.put(C, queue, 1);
        desk.put(C, queue, 1);
        assert_eq!(desk.get(A, queue).number, 1);
        desk.end(A, how, 1);
        let item = desk.get(B, queue);
        assert_eq!((item.number, item.returned), (1, 1));
    }),
    ("queue, getter", Waiting, |desk, how| {
        let queue = desk.acknowledged(9, 100);
        let (mut dies, mut next) = (desk.wait_get(A, queue), desk.wait_get(B, queue));
        desk.end(A, how, 1);
        desk.put(C, queue, 1);
        assert_eq!((next.got().number, dies.answer()), (1, Err(AcquireError::Cancelled)));
    }),
    ("queue, getter", Woken, |desk, how| {
        let queue = desk.acknowledged(9, 100);
        let (mut dies, mut next) = (desk.wait_get(A, queue), desk.wait_get(B, queue));
        desk.put(C, queue, 1);
        desk.end(A, how, 1);
        let item = next.got();
        assert_eq!((item.number, item.returned), (1, 0));
        assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
    }),
    ("queue, putter", Woken, |desk, how| {
        let queue = desk.items(1, 100);
        desk.put(C, queue, 1);
        let (mut dies, mut next) = (desk.wait_put(A, queue, 1), desk.wait_put(B, queue, 1));
        drop(desk.get(D, queue));
        desk.end(A, how, 1);
        assert_eq!((next.got().0, dies.answer()), (2, Err(AcquireError::Cancelled)));
        assert_eq!(desk.table.queue(queue), (1, 2, false), "a put that did not return stored nothing");
    }),
    ("queue, join", Granted, |desk, how| {
        let queue = desk.items(1, 100);
        desk.put(C, queue, 1);
        let (mut dies, mut next) = (desk.wait_join(A, queue), desk.wait_join(B, queue));
        drop(desk.get(C, queue));
        assert_eq!(desk.table.task_done(C, queue, 1), Ok(()));
        desk.end(A, how, 1);
        assert_eq!((dies.answer(), next.got()), (Err(AcquireError::Cancelled), ()));
    }),
];

fn upgrade(desk: &Desk, how: EndCause, instant: Instant) {
    let lock = if instant == Woken { desk.barging(RWLOCK) } else { desk.rwlock() };
    desk.hold(A, lock, Ask::Shared, 0);
    desk.hold(C, lock, Ask::Shared, 0);
    let mut dies = desk.queue(A, lock, Ask::Upgrade, 1);
    let mut next = desk.queue(B, lock, Ask::Exclusive, 2);
    if instant != Waiting {
        desk.release(C, lock, 3);
    }
    desk.end(A, how, 4);
    if instant == Waiting {
        assert_eq!(next.wakes(), 0, "C reads");
        desk.release(C, lock, 5);
    }
    assert_eq!(next.got().previous, Previous::Clean, "it never wrote");
    assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
}

fn more_permits(desk: &Desk, how: EndCause, instant: Instant) {
    let lock = desk.permits(4);
    desk.hold(A, lock, Ask::Permits(2), 0);
    desk.hold(C, lock, Ask::Permits(2), 0);
    let mut dies = desk.queue(A, lock, Ask::Permits(2), 1);
    let mut next = desk.queue(B, lock, Ask::Permits(4), 2);
    if instant != Waiting {
        desk.give(C, lock, 2, 3);
    }
    desk.end(A, how, 4);
    if instant == Waiting {
        desk.give(C, lock, 2, 5);
    }
    let _ = next.got();
    assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
}

fn signal(desk: &Desk, how: EndCause, instant: Instant) {
    let kind = Kind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: None });
    let lock = if instant == Woken { desk.barging(kind) } else { desk.strict(kind) };
    let mut dies = desk.queue(A, lock, Ask::Permits(3), 1);
    let mut next = desk.queue(B, lock, Ask::Permits(2), 2);
    if instant != Waiting {
        desk.give(C, lock, 3, 3);
    }
    desk.end(A, how, 4);
    if instant == Waiting {
        desk.give(C, lock, 3, 5);
    }
    let _ = next.got();
    assert_eq!((desk.free(lock), dies.answer()), (1, Err(AcquireError::Cancelled)));
}

fn condition(desk: &Desk, how: EndCause, instant: Instant) {
    let lock = desk.mutex();
    let condition = desk.condition(lock);
    let [(mut dies, _), (mut next, _), (mut last, _)] = [A, B, D].map(|owner| {
        desk.hold(owner, lock, Ask::Exclusive, 0);
        desk.wait_condition(owner, condition, 1)
    });
    desk.hold(C, lock, Ask::Exclusive, 2);
    let notify = || assert_eq!(desk.table.notify(C, condition, 1), Ok(1));
    match instant {
        Waiting => {
            desk.end(A, how, 3);
            notify();
            assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
        }
        Granted => {
            notify();
            desk.end(A, how, 3);
            assert_eq!(dies.answer(), Err(AcquireError::Cancelled));
        }
        _ => {
            notify();
            dies.got();
            let notification = desk.table.notified(condition, &dies.wait);
            let mut again = desk.queue(A, lock, Ask::Exclusive, 3);
            desk.end(A, how, 4);
            assert_eq!(again.answer(), Err(AcquireError::Cancelled));
            drop(notification);
        }
    }
    drop(dies);
    next.got();
    assert_eq!((last.wakes(), last.poll()), (0, None), "one notification wakes one");
}

#[test]
fn whoever_waits_at_anything_else_goes_on_whenever_and_however_another_owner_dies() {
    for (name, instant, scene) in SCENES {
        for how in CAUSES {
            println!("{name}, {instant:?}, {how:?}");
            let desk = Desk::new();
            scene(&desk, how);
            assert!(!desk.table.holds_any(A), "{name}: nothing of the dead stays");
        }
    }
}
