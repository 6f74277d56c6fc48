//! The races of the other primitives.

use std::sync::Arc;

use lockkeeper_locks::{
    AcquireError, AfterDeath, Ask, BrokenCause, Delivery, EndCause, Index, Kind, Limits, LockId, LockTable, Mode,
    Notification, OwnerId, Parties, Passage, Previous, QueueConfig, ReleaseError, SemaphoreKind, Turn, Wait,
};
use loom::future::block_on;

use crate::support::{
    A, B, C, add, ask, beside, condition, explore, get_in_the_end, glance, had, hold, is_over, kill, one, rwlock,
    wait_condition, waits,
};

/// The deadline of the first waiter against a notification of one: it is notified, or the second one is.
#[test]
fn notify_against_timeout() {
    explore(|now| {
        let (table, lock, condition, mut first) = condition(now);
        let mut second = wait_condition(&table, B, lock, condition, now);
        assert!(glance(&mut second).is_pending());
        let _ = hold(&table, C, lock, now);
        let notifier = beside(&table, move |table| table.notify(C, condition, 1));
        let expired = first.expire(now);
        assert_eq!(notifier.join().expect("no panic"), Ok(1));
        match expired {
            Ok(()) => assert!(glance(&mut second).is_pending(), "one notification wakes one"),
            Err(error) => {
                assert_eq!(error, AcquireError::TimedOut);
                block_on(second).expect("the notification was for somebody");
            }
        }
        table.check();
    });
}

/// The first waiter dies, and its future is polled, while one is notified: the second one is, whichever came first.
#[test]
fn notify_against_death_of_the_waiter() {
    explore(|now| {
        let (table, lock, condition, first) = condition(now);
        let second = wait_condition(&table, B, lock, condition, now);
        let mut third = wait_condition(&table, OwnerId::new(4), lock, condition, now);
        let _ = hold(&table, C, lock, now);
        let notifier = beside(&table, move |table| table.notify(C, condition, 1));
        let killer = beside(&table, move |table| kill(table, A, now));
        let told = block_on(first_seen(&table, condition, first));
        match told {
            // It had seen the notification before it died: its host lets it go.
            Ok(notification) => drop(notification),
            Err(error) => assert_eq!(error, AcquireError::Cancelled),
        }
        block_on(second).expect("the notification passes on");
        assert_eq!(notifier.join().expect("no panic"), Ok(1));
        killer.join().expect("no panic");
        assert!(glance(&mut third).is_pending(), "one notification wakes one");
        table.check();
    });
}

async fn first_seen(
    table: &Arc<LockTable>,
    condition: LockId,
    mut wait: Wait<()>,
) -> Result<Notification, AcquireError> {
    (&mut wait).await?;
    Ok(table.notified(condition, &wait))
}

/// A wait at a condition against the notification of whoever gets its lock next: nothing is missed.
#[test]
fn condition_wait_against_notify() {
    explore(|now| {
        let table = Arc::new(LockTable::new(Limits::default()));
        let lock = add(&table, Kind::Mutex, AfterDeath::Flag);
        let condition = add(&table, Kind::Condition { lock }, AfterDeath::Flag);
        let _ = hold(&table, A, lock, now);
        let notifier = beside(&table, move |table| {
            let _ = get_in_the_end(table.acquire(B, lock, now)).expect("A lets it go");
            assert_eq!(table.notify(B, condition, 1), Ok(1), "A waits before anybody else has the lock");
            table.release(B, lock, now)
        });
        let waiting = table.wait_condition(A, condition, now).expect("A holds the lock");
        block_on(waiting.wait).expect("B notifies");
        let _ = get_in_the_end(table.acquire(A, lock, now)).expect("B releases");
        assert_eq!(table.release(A, lock, now), Ok(()));
        assert_eq!(notifier.join().expect("no panic"), Ok(()));
        is_over(&table, lock, now);
    });
}

/// An event is set and cleared while somebody comes to wait and another one waits already: the latter has seen it.
#[test]
fn set_against_clear_with_a_waiter() {
    explore(|now| {
        let (table, event) = one(Kind::Event);
        let waiting = waits(table.wait_event(A, event, now));
        let setter = beside(&table, move |table| {
            table.set_event(event);
            table.clear_event(event);
        });
        let comer = beside(&table, move |table| match table.wait_event(B, event, now) {
            Ok(Passage::Ready(())) => {}
            Ok(Passage::Wait(mut wait)) => {
                let seen = wait.expire(now);
                assert!(matches!(seen, Ok(()) | Err(AcquireError::TimedOut)), "{seen:?}");
            }
            Err(error) => panic!("{error}"),
        });
        block_on(waiting).expect("it was set while A waited");
        setter.join().expect("no panic");
        comer.join().expect("no panic");
        assert_eq!(table.waiter_count(event), 0);
        table.check();
    });
}

/// The last party arrives while another one gives up: all are through, or all are told that it is broken.
#[test]
fn barrier_last_arrival_against_timeout() {
    explore(|now| {
        let (table, barrier) = one(Kind::Barrier { parties: 3, parties_are: Parties::Waiting });
        let mut first = waits(table.wait_barrier(A, barrier, now));
        let second = waits(table.wait_barrier(B, barrier, now));
        let last = beside(&table, move |table| table.wait_barrier(C, barrier, now).map(had_index));
        let gave_up = first.expire(now);
        let broken = AcquireError::Broken { cause: BrokenCause::TimedOut };
        match gave_up {
            Ok(index) => {
                assert_eq!((index.0, block_on(second).map(|index| index.0)), (0, Ok(1)));
                assert_eq!(last.join().expect("no panic"), Ok(2));
            }
            Err(error) => {
                assert_eq!(error, AcquireError::TimedOut);
                assert_eq!(block_on(second).unwrap_err(), broken);
                assert_eq!(last.join().expect("no panic"), Err(broken));
            }
        }
        table.check();
    });
}

fn had_index(passage: Passage<Index>) -> u32 {
    had(Ok(passage)).0
}

/// The last party arrives while another one dies and its future is polled: who is let go has its index, who is not is told.
#[test]
fn barrier_arrival_against_death() {
    explore(|now| {
        let (table, barrier) = one(Kind::Barrier { parties: 3, parties_are: Parties::Waiting });
        let first = waits(table.wait_barrier(A, barrier, now));
        let second = waits(table.wait_barrier(B, barrier, now));
        let last = beside(&table, move |table| table.wait_barrier(C, barrier, now).map(had_index));
        let killer = beside(&table, move |table| kill(table, A, now));
        let dead = block_on(first);
        let second = block_on(second).map(|index| index.0);
        let last = last.join().expect("no panic");
        killer.join().expect("no panic");
        let broken = AcquireError::Broken { cause: BrokenCause::PartyEnded };
        match (&second, &last) {
            (Ok(1), Ok(2)) => {
                assert!(matches!(&dead, Ok(index) if index.0 == 0) || dead == Err(AcquireError::Cancelled));
            }
            (Err(second), Err(last)) => {
                assert_eq!((second, last), (&broken, &broken));
                assert_eq!(dead, Err(AcquireError::Cancelled));
            }
            other => panic!("some are through and some are not: {other:?}"),
        }
        table.check();
    });
}

/// Two readers upgrade at once: one is refused with both in the circle, and the other one writes when that one gives up.
#[test]
fn upgrade_against_upgrade() {
    explore(|now| {
        let (table, lock) = rwlock();
        for owner in [A, B] {
            let _ = had(table.ask(owner, lock, Ask::Shared, now));
        }
        let upgrade = move |table: &Arc<LockTable>, owner| {
            let refused = match get_in_the_end(table.ask(owner, lock, Ask::Upgrade, now)) {
                Ok(written) => {
                    assert_eq!(table.check_claim(owner, lock, written.fence), Ok(()));
                    false
                }
                Err(AcquireError::Deadlock { circle }) => {
                    assert_eq!(circle.len(), 2);
                    assert_eq!(table.held(owner, lock).map(|hold| hold.mode), Some(Mode::Shared));
                    true
                }
                Err(other) => panic!("{other}"),
            };
            assert_eq!(table.release(owner, lock, now), Ok(()));
            refused
        };
        let other = beside(&table, move |table| upgrade(table, B));
        let mine = upgrade(&table, A);
        let other = other.join().expect("no panic");
        assert!(!(mine && other), "one of the two goes on");
        is_over(&table, lock, now);
    });
}

/// The writer becomes a reader while a queued reader comes or gives up: both read, or one does.
#[test]
fn downgrade_against_queued_reader() {
    explore(|now| {
        let (table, lock) = rwlock();
        let _ = had(table.ask(A, lock, Ask::Exclusive, now));
        let mut reader = ask(&table, B, lock, Ask::Shared, now);
        let writer = ask(&table, C, lock, Ask::Exclusive, now);
        let downgrader = beside(&table, move |table| {
            let _ = table.downgrade(A, lock, now).expect("A writes");
            assert_eq!(table.release(A, lock, now), Ok(()));
        });
        match reader.expire(now) {
            Ok(_) => assert_eq!(table.release(B, lock, now), Ok(())),
            Err(error) => assert_eq!(error, AcquireError::TimedOut),
        }
        let _ = block_on(writer).expect("the readers are gone");
        assert_eq!(table.release(C, lock, now), Ok(()));
        downgrader.join().expect("no panic");
        is_over(&table, lock, now);
    });
}

/// A reader dies while the lock is handed over to it and another reader stands behind: that one reads in any case.
#[test]
fn reader_in_flight_against_death() {
    explore(|now| {
        let (table, lock) = rwlock();
        let _ = had(table.ask(A, lock, Ask::Exclusive, now));
        let dies = ask(&table, B, lock, Ask::Shared, now);
        let behind = ask(&table, C, lock, Ask::Shared, now);
        let releaser = beside(&table, move |table| table.release(A, lock, now));
        let killer = beside(&table, move |table| kill(table, B, now));
        let told = block_on(dies);
        assert!(told.is_ok() || told == Err(AcquireError::Cancelled), "{told:?}");
        let read = block_on(behind).expect("C reads in the end");
        assert_eq!(read.previous, Previous::Clean, "a dead reader spoils nothing");
        assert_eq!(releaser.join().expect("no panic"), Ok(()));
        killer.join().expect("no panic");
        assert_eq!(table.release(C, lock, now), Ok(()));
        is_over(&table, lock, now);
    });
}

/// Permits come back while a large request gives up and a small one stands behind it: the small one has its permit.
#[test]
fn semaphore_release_against_timeout_of_a_large_request() {
    for kind in [SemaphoreKind::Owned { permits: 2 }, SemaphoreKind::Signal { permits: 2, maximum: Some(2) }] {
        explore(move |now| {
            let (table, lock) = one(Kind::Semaphore(kind));
            let _ = had(table.ask(A, lock, Ask::Permits(2), now));
            let mut large = ask(&table, B, lock, Ask::Permits(2), now);
            let small = ask(&table, C, lock, Ask::Permits(1), now);
            let releaser = beside(&table, move |table| table.release_permits(A, lock, 2, now));
            let expirer = beside(&table, move |table| match large.expire(now) {
                Ok(_) => table.release_permits(B, lock, 2, now).expect("B has them"),
                Err(error) => assert_eq!(error, AcquireError::TimedOut),
            });
            let _ = block_on(small).expect("C is served in the end");
            assert_eq!(releaser.join().expect("no panic"), Ok(()));
            expirer.join().expect("no panic");
            assert_eq!(table.permits(lock).0, 1);
            table.check();
        });
    }
}

/// A signal is filled while the permit that is on its way comes back, as its waiter dies: nothing breaks.
#[test]
fn signal_filled_against_death_of_the_waiter() {
    explore(|now| {
        let (table, lock) = one(Kind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: Some(1) }));
        let dies = ask(&table, B, lock, Ask::Permits(1), now);
        let releaser = beside(&table, move |table| {
            let first = table.release_permits(A, lock, 1, now);
            let second = table.release_permits(A, lock, 1, now);
            assert_eq!(first, Ok(()));
            assert!(matches!(second, Ok(()) | Err(ReleaseError::OverRelease { .. })), "{second:?}");
        });
        let killer = beside(&table, move |table| kill(table, B, now));
        drop(block_on(dies));
        releaser.join().expect("no panic");
        killer.join().expect("no panic");
        assert!(table.permits(lock).0 <= 1);
        table.check();
    });
}

fn queue_of(delivery: Delivery) -> (Arc<LockTable>, LockId) {
    one(Kind::Queue(QueueConfig { items_max: 1, bytes_max: 8, delivery }))
}

/// Two puts into a queue of one against two gets: everything comes out once, in order.
#[test]
fn put_against_get() {
    explore(|now| {
        let (table, queue) = queue_of(Delivery::AtMostOnce);
        let putter = beside(&table, move |table| {
            for number in 1..=2 {
                let stored = get_in_the_end(table.put(A, queue, vec![1].into(), now)).expect("it is stored in the end");
                assert_eq!(stored.0, number);
            }
        });
        for number in 1..=2 {
            let item = get_in_the_end(table.get(B, queue, now)).expect("it comes in the end");
            assert_eq!(item.number, number);
        }
        putter.join().expect("no panic");
        assert_eq!(table.queue(queue), (0, 2, false));
        table.check();
    });
}

/// A consumer dies while it gets an item that it has to acknowledge: the next one has it, and it is returned if the dead one had
/// it in its hands.
#[test]
fn item_in_hand_against_death_of_the_consumer() {
    explore(|now| {
        let (table, queue) = queue_of(Delivery::Acknowledged { unfinished_max: 2 });
        let dies = waits(table.get(A, queue, now));
        let next = waits(table.get(B, queue, now));
        let putter = beside(&table, move |table| had(table.put(C, queue, vec![1].into(), now)));
        let killer = beside(&table, move |table| kill(table, A, now));
        let told = block_on(dies);
        let item = block_on(next).expect("it is not lost");
        match told {
            Ok(had) => assert_eq!((had.number, item.returned), (1, 1)),
            Err(error) => {
                assert_eq!(error, AcquireError::Cancelled);
                assert_eq!(item.returned, 0);
            }
        }
        assert_eq!(item.number, 1);
        assert_eq!(putter.join().expect("no panic").0, 1);
        killer.join().expect("no panic");
        assert_eq!(table.task_done(B, queue, 1), Ok(()));
        assert_eq!(table.queue(queue), (0, 0, false));
        table.check();
    });
}

/// An acknowledgement against the death of the consumer: the item is finished or comes back, and never both.
#[test]
fn task_done_against_death_of_the_consumer() {
    explore(|now| {
        let (table, queue) = queue_of(Delivery::Acknowledged { unfinished_max: 2 });
        assert_eq!(had(table.put(C, queue, vec![1].into(), now)).0, 1);
        assert_eq!(had(table.get(A, queue, now)).number, 1);
        let killer = beside(&table, move |table| kill(table, A, now));
        let done = table.task_done(A, queue, 1).is_ok();
        killer.join().expect("no panic");
        let left = if done { (0, 0, false) } else { (1, 1, false) };
        assert_eq!(table.queue(queue), left);
        table.check();
    });
}

/// Whoever has the turn completes it while it dies: it is done, or the next one has the turn and is told.
#[test]
fn once_completion_against_death() {
    explore(|now| {
        let (table, once) = one(Kind::Once);
        let _ = had(table.begin_once(A, once, now));
        let next = waits(table.begin_once(B, once, now));
        let killer = beside(&table, move |table| kill(table, A, now));
        let completed = table.complete_once(A, once, None, now);
        killer.join().expect("no panic");
        match block_on(next).expect("nobody is left waiting") {
            Turn::Done => assert_eq!(completed, Ok(())),
            Turn::Yours(turn) => {
                assert_eq!(completed, Err(ReleaseError::Lost { how: EndCause::Killed }));
                assert_eq!(turn.previous, Previous::Abandoned { how: EndCause::Killed, who: A });
                assert_eq!(table.complete_once(B, once, None, now), Ok(()));
            }
        }
        assert!(table.is_done(once));
        table.check();
    });
}

/// The second owner of a poisoned lock releases it unmarked while one waits and another one comes: neither is granted.
#[test]
fn poison_release_against_new_request() {
    explore(|now| {
        let table = Arc::new(LockTable::new(Limits::default()));
        let lock = add(&table, Kind::Mutex, AfterDeath::Poison);
        let _ = hold(&table, OwnerId::new(4), lock, now);
        kill(&table, OwnerId::new(4), now);
        let acquired = hold(&table, A, lock, now);
        assert!(matches!(acquired.previous, Previous::Abandoned { .. }));
        let waiting = ask(&table, B, lock, Ask::Exclusive, now);
        let comer = beside(&table, move |table| get_in_the_end(table.acquire(C, lock, now)));
        assert_eq!(table.release(A, lock, now), Ok(()));
        let closed = Err(AcquireError::NotRecoverable { lock });
        assert_eq!(block_on(waiting), closed);
        assert_eq!(comer.join().expect("no panic"), closed);
        assert!(!table.locked(lock));
        table.check();
    });
}
