//! No waker is called or dropped while the table holds a mutex, whatever the primitive.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use lockkeeper_locks::{AcquireError, Ask, EndCause, Given, Kind, LockId, LockTable, OwnerId, Parties, Passage, Wait};

use crate::support::{A, B, C, Desk, item};

/// How long a thread that is not stuck may take.
const STUCK: Duration = Duration::from_secs(20);

/// A waker that looks at the object, and at the records of all owners, from another thread when it is called and when it is
/// dropped. Whoever runs it under a mutex waits for that look, and the look for the mutex.
struct Nosy {
    table: Arc<LockTable>,
    object: LockId,
    seen: Sender<bool>,
}

impl Nosy {
    fn look(&self) {
        let (done, looked) = channel();
        let (table, object) = (Arc::clone(&self.table), self.object);
        thread::spawn(move || {
            // As many as there are shards.
            for owner in 0..64 {
                let _ = table.holds_any(OwnerId::new(owner));
            }
            let _ = table.waiter_count(object);
            table.check();
            done.send(()).expect("somebody waits for this");
        });
        self.seen.send(looked.recv_timeout(STUCK).is_ok()).expect("the test outlives its wakers");
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.look();
    }
}

/// What the waiter itself does.
type Way<T> = fn(&mut Option<Wait<T>>, Instant);

/// B waits at an object with a nosy waker; then each of the deeds is done, and every look came through.
fn looks_come_through<T: Given>(
    make: impl Fn(&Desk) -> LockId,
    wait: impl Fn(&Desk, LockId) -> Result<Passage<T>, AcquireError>,
    deeds: &[fn(&Desk, LockId)],
) {
    let ways: [Way<T>; 4] = [
        |_, _| {},
        |wait, _| drop(wait.take()),
        |wait, now| {
            if let Some(wait) = wait {
                assert!(wait.expire(now).is_err());
            }
        },
        |wait, _| {
            let wait = pin!(wait.as_mut().expect("it waits"));
            assert!(wait.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        },
    ];
    let nothing: fn(&Desk, LockId) = |_, _| {};
    let common: [fn(&Desk, LockId); 2] = [|desk, _| desk.end(B, EndCause::Killed, 1), |desk, _| desk.table.shut_down()];
    let first = ways.iter().map(|way| (*way, nothing));
    let rest = deeds.iter().chain(&common).map(|deed| (ways[0], *deed));
    for (way, deed) in first.chain(rest) {
        let desk = Desk::new();
        let object = make(&desk);
        let Ok(Passage::Wait(mut waits)) = wait(&desk, object) else { panic!("B has to wait") };
        let (seen, looks) = channel();
        {
            let waker = Waker::from(Arc::new(Nosy { table: Arc::clone(&desk.table), object, seen }));
            assert!(pin!(&mut waits).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let mut waits = Some(waits);
        way(&mut waits, desk.at(1));
        deed(&desk, object);
        drop(waits);
        drop(desk);
        let looks: Vec<_> = looks.iter().collect();
        assert!(!looks.is_empty(), "the waker is gone by now");
        assert!(looks.iter().all(|through| *through), "the table held a mutex meanwhile");
    }
}

#[test]
fn no_waker_of_a_lock_is_called_or_dropped_under_a_mutex() {
    let end: fn(&Desk, LockId) = |desk, _| desk.end(A, EndCause::Killed, 1);
    looks_come_through(
        |desk| {
            let lock = desk.rwlock();
            desk.hold(A, lock, Ask::Exclusive, 0);
            lock
        },
        |desk, lock| desk.table.ask(B, lock, Ask::Shared, desk.at(0)),
        &[
            end,
            |desk, lock| desk.release(A, lock, 1),
            |desk, lock| {
                let _ = desk.table.downgrade(A, lock, desk.at(1)).expect("A writes");
            },
        ],
    );
    looks_come_through(
        |desk| {
            let lock = desk.permits(2);
            desk.hold(A, lock, Ask::Permits(2), 0);
            lock
        },
        |desk, lock| desk.table.ask(B, lock, Ask::Permits(1), desk.at(0)),
        &[end, |desk, lock| desk.give(A, lock, 1, 1)],
    );
    looks_come_through(
        |desk| {
            let once = desk.strict(Kind::Once);
            let _ = desk.begin(A, once, 0);
            once
        },
        |desk, once| desk.table.begin_once(B, once, desk.at(0)),
        &[end, |desk, once| desk.table.complete_once(A, once, None, desk.at(1)).expect("A has the turn")],
    );
}

#[test]
fn no_waker_of_what_is_waited_at_is_called_or_dropped_under_a_mutex() {
    looks_come_through(
        |desk| {
            let lock = desk.mutex();
            desk.condition(lock)
        },
        |desk, condition| {
            let lock = desk.lock_of(condition);
            desk.hold(B, lock, Ask::Exclusive, 0);
            let wait = desk.table.wait_condition(B, condition, desk.at(0)).expect("B holds the lock");
            Ok(Passage::Wait(wait.wait))
        },
        &[|desk, condition| {
            let lock = desk.lock_of(condition);
            desk.hold(A, lock, Ask::Exclusive, 1);
            assert_eq!(desk.table.notify(A, condition, 1), Ok(1));
        }],
    );
    looks_come_through(
        |desk| desk.strict(Kind::Event),
        |desk, event| desk.table.wait_event(B, event, desk.at(0)),
        &[|desk, event| desk.table.set_event(event)],
    );
    looks_come_through(
        |desk| desk.strict(Kind::Latch { count: 1 }),
        |desk, latch| desk.table.wait_latch(B, latch, desk.at(0)),
        &[|desk, latch| assert_eq!(desk.table.count_down(latch, 1), Ok(0))],
    );
    looks_come_through(
        |desk| desk.barrier(2, Parties::Registered),
        |desk, barrier| desk.table.wait_barrier(B, barrier, desk.at(0)),
        &[
            |desk, barrier| assert_eq!(desk.arrive_last(A, barrier), 1),
            |desk, barrier| desk.table.reset_barrier(barrier),
            |desk, barrier| desk.table.abort_barrier(barrier),
        ],
    );
}

#[test]
fn no_waker_of_a_queue_is_called_or_dropped_under_a_mutex() {
    let close: fn(&Desk, LockId) = |desk, queue| desk.table.close_queue(queue);
    looks_come_through(
        |desk| desk.acknowledged(1, 10),
        |desk, queue| desk.table.get(B, queue, desk.at(0)),
        &[close, |desk, queue| _ = desk.put(A, queue, 1)],
    );
    let full = |desk: &Desk| {
        let queue = desk.items(1, 10);
        desk.put(A, queue, 1);
        queue
    };
    looks_come_through(
        full,
        |desk, queue| desk.table.put(B, queue, item(1), desk.at(0)),
        &[close, |desk, queue| drop(desk.get(C, queue))],
    );
    looks_come_through(
        full,
        |desk, queue| desk.table.join_queue(B, queue, desk.at(0)),
        &[|desk, queue| {
            drop(desk.get(C, queue));
            assert_eq!(desk.table.task_done(C, queue, 1), Ok(()));
        }],
    );
}
