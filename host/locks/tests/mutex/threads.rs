//! Real threads: what the state transitions cannot show by themselves.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use lockkeeper_locks::{AcquireError, Acquired, Acquisition, EndCause, LockId, LockTable, OwnerId, Wait};

use crate::support::{A, B, C, D, Desk};

/// How long a thread that is not stuck may take.
const STUCK: Duration = Duration::from_secs(20);

/// A waker that looks at the lock from another thread when it is called and when it is dropped. Whoever runs it under
/// the mutex of the lock waits for that look, and the look for the mutex.
struct Nosy {
    table: Arc<LockTable>,
    lock: LockId,
    seen: Sender<Result<(), ()>>,
}

impl Nosy {
    fn look(&self) {
        let (done, looked) = channel();
        let (table, lock) = (Arc::clone(&self.table), self.lock);
        thread::spawn(move || {
            for owner in [A, B, C, D] {
                // This one needs the records of the owners too.
                let _ = table.release(OwnerId::new(owner.get() + 1_000), lock, Instant::now());
            }
            table.check();
            done.send(()).expect("somebody waits for this");
        });
        self.seen.send(looked.recv_timeout(STUCK).map_err(drop)).expect("the test outlives its wakers");
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

#[test]
fn no_waker_is_called_or_dropped_while_the_table_holds_a_mutex() {
    type Deed = fn(&Desk, LockId, &mut Option<Wait>);
    let deeds: [Deed; 8] = [
        |desk, lock, _| desk.release(A, lock, 1),
        |desk, lock, _| desk.release(A, lock, 5_000),
        |_, _, wait| drop(wait.take()),
        |desk, _, wait| assert!(wait.as_mut().expect("waits").expire(desk.at(1)).is_err()),
        |_, _, wait| {
            let wait = pin!(wait.as_mut().expect("waits"));
            assert!(wait.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        },
        |desk, _, _| {
            let ended = desk.table.begin_end(B, EndCause::Killed);
            desk.table.finish_end(ended, desk.at(1));
        },
        |desk, _, _| {
            let ended = desk.table.begin_end(A, EndCause::Killed);
            desk.table.finish_end(ended, desk.at(1));
        },
        |desk, _, _| desk.table.shut_down(),
    ];
    for deed in deeds {
        let desk = Desk::new();
        let lock = desk.mutex();
        desk.hold(A, lock, 0);
        let Ok(Acquisition::Wait(mut wait)) = desk.table.acquire(B, lock, desk.at(0)) else { panic!("A holds it") };
        let (seen, looks) = channel();
        {
            let waker = Waker::from(Arc::new(Nosy { table: Arc::clone(&desk.table), lock, seen }));
            assert!(pin!(&mut wait).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let mut wait = Some(wait);
        deed(&desk, lock, &mut wait);
        drop(wait);
        let looks: Vec<_> = looks.iter().collect();
        assert!(!looks.is_empty(), "the waker is gone by now");
        assert!(looks.iter().all(Result::is_ok), "the table held a mutex meanwhile");
    }
}

struct Unpark(Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

/// Waits as an executor does: it polls again only after it was woken.
fn wait_for(wait: Wait) -> Result<Acquired, AcquireError> {
    let mut wait = pin!(wait);
    let woken = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        if let Poll::Ready(result) = wait.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        while !woken.1.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Four threads take one lock in every way there is, and drop, expire and die meanwhile. No two are ever inside at once,
/// fences grow, and nobody sleeps for ever.
#[test]
fn holds_of_four_threads_never_overlap_and_nobody_is_forgotten() {
    const ROUNDS: u64 = 20_000;
    for bound in [Duration::ZERO, Duration::from_micros(20), Duration::from_secs(3_600)] {
        let desk = Desk::new();
        let lock = desk.mutex_with(lockkeeper_locks::LockConfig::bounded(bound), 1, 10_000_000);
        let (inside, newest, next_owner) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(100));
        let table = &desk.table;
        let new_owner = || OwnerId::new(next_owner.fetch_add(1, Ordering::Relaxed));
        let visit = |owner, acquired: Acquired| {
            assert!(!inside.swap(true, Ordering::AcqRel), "two holders at once");
            assert!(newest.swap(acquired.fence.get(), Ordering::AcqRel) < acquired.fence.get(), "a fence fell");
            assert_eq!(table.check_claim(owner, lock, acquired.fence), Ok(()));
            assert!(inside.swap(false, Ordering::AcqRel), "two holders at once");
        };
        thread::scope(|scope| {
            for seed in 1..=4_u64 {
                let (visit, new_owner) = (&visit, &new_owner);
                scope.spawn(move || {
                    let mut owner = new_owner();
                    let mut dice = seed;
                    for _ in 0..ROUNDS {
                        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let roll = dice >> 60;
                        let acquired = match table.acquire(owner, lock, Instant::now()).expect("no limit is near") {
                            Acquisition::Ready(acquired) => Some(acquired),
                            Acquisition::Wait(wait) if roll == 0 => {
                                drop(wait);
                                None
                            }
                            Acquisition::Wait(mut wait) if roll == 1 => wait.expire(Instant::now()).ok(),
                            Acquisition::Wait(wait) if roll == 2 => {
                                let ended = table.begin_end(owner, EndCause::Killed);
                                table.finish_end(ended, Instant::now());
                                assert_eq!(wait_for(wait), Err(AcquireError::Cancelled));
                                table.forget_owner(owner);
                                owner = new_owner();
                                None
                            }
                            Acquisition::Wait(wait) => Some(wait_for(wait).expect("nobody ends this owner")),
                        };
                        let Some(acquired) = acquired else { continue };
                        visit(owner, acquired);
                        if roll == 3 {
                            let ended = table.begin_end(owner, EndCause::Trapped);
                            table.finish_end(ended, Instant::now());
                            table.forget_owner(owner);
                            owner = new_owner();
                        } else {
                            table.release(owner, lock, Instant::now()).expect("the owner holds the lock");
                        }
                    }
                });
            }
        });
        let view = table.inspect(lock);
        assert_eq!(view.state, lockkeeper_locks::LockState::Free);
        assert!(view.counters.acquired > ROUNDS, "most requests were granted");
    }
}
