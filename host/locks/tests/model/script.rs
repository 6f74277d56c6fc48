//! A script of steps, run on the table and on the reference side by side.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    AcquireError, Acquired, Acquisition, Counters, EndCause, EndedOwner, Fence, FenceBlock, Holder, Limits, LockConfig,
    LockId, LockTable, Mode, OwnerId, Revoked, Wait,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::reference::{Answer, HOLDS_MAX, Lock, Reference, Taken, WAITERS_MAX, WaitId};

const OWNERS: usize = 8;
/// The barging bounds of the locks, and how many fences each starts with.
const LOCKS: [(u64, u64); 3] = [(0, 40), (300, 200), (1_000, 6)];

/// Owners and locks are named by their index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Try {
        owner: usize,
        lock: usize,
    },
    Acquire {
        owner: usize,
        lock: usize,
    },
    Poll {
        owner: usize,
    },
    DropWait {
        owner: usize,
    },
    Expire {
        owner: usize,
    },
    Release {
        owner: usize,
        lock: usize,
    },
    /// Whoever holds it releases it: a script of blind releases would mostly be refused.
    ReleaseHeld {
        lock: usize,
    },
    BeginRevoke {
        lock: usize,
        expect: Expect,
        how: EndCause,
    },
    FinishRevoke {
        choice: usize,
    },
    BeginEnd {
        owner: usize,
        how: EndCause,
    },
    FinishEnd {
        choice: usize,
    },
    Claim {
        owner: usize,
        lock: usize,
        claim: Claim,
    },
    AddFences {
        lock: usize,
        count: u64,
    },
    Advance {
        us: u64,
    },
    ShutDown,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    Any,
    Newest,
    Older,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    Below(u64),
    Above(u64),
    Greatest,
}

pub(crate) fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let owner = 0..OWNERS;
    // Two in three at one lock, so that queues form.
    let lock = prop_oneof![4 => Just(1_usize), 1 => Just(0), 1 => Just(2)].boxed();
    let cause = select(vec![EndCause::Exited, EndCause::Trapped, EndCause::Killed, EndCause::Expired]);
    let expect = select(vec![Expect::Any, Expect::Newest, Expect::Older]);
    let claim =
        prop_oneof![(0..3_u64).prop_map(Claim::Below), (1..3_u64).prop_map(Claim::Above), Just(Claim::Greatest),];
    let step = prop_oneof![
        6 => (owner.clone(), lock.clone()).prop_map(|(owner, lock)| Step::Try { owner, lock }),
        24 => (owner.clone(), lock.clone()).prop_map(|(owner, lock)| Step::Acquire { owner, lock }),
        20 => owner.clone().prop_map(|owner| Step::Poll { owner }),
        4 => owner.clone().prop_map(|owner| Step::DropWait { owner }),
        4 => owner.clone().prop_map(|owner| Step::Expire { owner }),
        4 => (owner.clone(), lock.clone()).prop_map(|(owner, lock)| Step::Release { owner, lock }),
        14 => lock.clone().prop_map(|lock| Step::ReleaseHeld { lock }),
        4 => (lock.clone(), expect, cause.clone())
            .prop_map(|(lock, expect, how)| Step::BeginRevoke { lock, expect, how }),
        6 => (0..4_usize).prop_map(|choice| Step::FinishRevoke { choice }),
        1 => (owner.clone(), cause).prop_map(|(owner, how)| Step::BeginEnd { owner, how }),
        4 => (0..4_usize).prop_map(|choice| Step::FinishEnd { choice }),
        3 => (owner, lock.clone(), claim).prop_map(|(owner, lock, claim)| Step::Claim { owner, lock, claim }),
        1 => (lock, 0..5_u64).prop_map(|(lock, count)| Step::AddFences { lock, count }),
        10 => select(vec![0, 1, 100, 299, 300, 700, 1_000]).prop_map(|us| Step::Advance { us }),
    ];
    vec(step, 0..=max)
}

pub(crate) fn run<'a>(steps: impl IntoIterator<Item = &'a Step>) {
    let mut bench = Bench::new();
    for (number, step) in steps.into_iter().enumerate() {
        bench.step(*step, number);
        bench.compare();
    }
}

/// The table and the reference, with everything that a host keeps for them.
struct Bench {
    table: Arc<LockTable>,
    reference: Reference,
    ids: Vec<LockId>,
    start: Instant,
    now_us: u64,
    waits: [Option<Running>; OWNERS],
    revoked: Vec<(Revoked, Taken)>,
    ended: Vec<(EndedOwner, Vec<Taken>)>,
    reserved: [u64; LOCKS.len()],
}

/// A wait that has not been answered.
struct Running {
    wait: Wait,
    id: WaitId,
    lock: usize,
    bell: Arc<Bell>,
}

/// Rung, or waiting for it.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn owner_id(owner: usize) -> OwnerId {
    OwnerId::new(70 + owner as u64)
}

fn answer(result: Result<Acquired, AcquireError>) -> Answer {
    match result {
        Ok(acquired) => Answer::Granted(acquired.fence.get(), acquired.previous),
        Err(error) => Answer::Refused(error),
    }
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { waiters_per_lock_max: WAITERS_MAX, holds_per_owner_max: HOLDS_MAX };
        let table = Arc::new(LockTable::new(limits));
        let ids: Vec<_> = LOCKS
            .iter()
            .map(|(bound_us, fences)| {
                let config = LockConfig::bounded(Duration::from_micros(*bound_us));
                table.create_mutex(config, FenceBlock { start: 10, end: 10 + fences })
            })
            .collect();
        let locks = LOCKS.iter().zip(&ids).map(|((bound_us, fences), id)| Lock::new(*id, *bound_us, 10, *fences));
        Self {
            table,
            reference: Reference::new(locks.collect()),
            ids,
            start: Instant::now(),
            now_us: 0,
            waits: [const { None }; OWNERS],
            revoked: Vec::new(),
            ended: Vec::new(),
            reserved: LOCKS.map(|(_, fences)| 10 + fences),
        }
    }

    fn refused(&self, error: AcquireError) -> Answer {
        let AcquireError::Deadlock { circle } = error else {
            return Answer::Refused(error);
        };
        let us = |since: Instant| since.duration_since(self.start).as_micros() as u64;
        Answer::Deadlock(
            circle.into_iter().map(|link| (link.owner, link.holds, us(link.since), link.waits_for)).collect(),
        )
    }

    fn now(&self) -> Instant {
        self.at(self.now_us)
    }

    fn at(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    fn step(&mut self, step: Step, number: usize) {
        match step {
            Step::Try { owner, lock } => {
                let result = self.table.try_acquire(owner_id(owner), self.ids[lock], self.now());
                let real = match result {
                    Ok(Some(acquired)) => answer(Ok(acquired)),
                    Ok(None) => Answer::Busy,
                    Err(error) => self.refused(error),
                };
                assert_eq!(real, self.reference.acquire(owner_id(owner), lock, self.now_us, None));
            }
            Step::Acquire { owner, lock } => self.acquire(owner, lock, number),
            Step::Poll { owner } => self.poll(owner),
            Step::DropWait { owner } => {
                if let Some(running) = self.waits[owner].take() {
                    self.reference.drop_wait(owner_id(owner), running.lock, running.id);
                    drop(running);
                }
            }
            Step::Expire { owner } => {
                if let Some(mut running) = self.waits[owner].take() {
                    let real = answer(running.wait.expire(self.now()));
                    let model = self.reference.expire(owner_id(owner), running.lock, running.id, self.now_us);
                    assert_eq!(real, model);
                }
            }
            Step::Release { owner, lock } => self.release(owner_id(owner), lock),
            Step::ReleaseHeld { lock } => {
                let hold = self.reference.locks[lock].hold;
                if let Some(hold) = hold {
                    self.release(hold.owner, lock);
                }
            }
            Step::BeginRevoke { lock, expect, how } => {
                let newest = self.reference.locks[lock].newest();
                let expect = match expect {
                    Expect::Any => None,
                    Expect::Newest => Some(newest),
                    Expect::Older => Some(newest - 1),
                };
                let real = self.table.begin_revoke(self.ids[lock], expect.map(Fence::new), how);
                let model = self.reference.begin_revoke(lock, expect, how);
                assert_eq!(real.as_ref().map(taken), model);
                self.revoked.extend(real.zip(model));
            }
            Step::FinishRevoke { choice } => {
                if !self.revoked.is_empty() {
                    let (real, model) = self.revoked.remove(choice % self.revoked.len());
                    self.table.finish_revoke(real, self.now());
                    self.reference.finish_revoke(model, self.now_us);
                }
            }
            Step::BeginEnd { owner, how } => {
                let real = self.table.begin_end(owner_id(owner), how);
                let model = self.reference.begin_end(owner_id(owner), how);
                let mut holds: Vec<_> = real.holds.iter().map(taken).collect();
                holds.sort_unstable_by_key(|(lock, ..)| *lock);
                assert_eq!(holds, model);
                self.ended.push((real, model));
            }
            Step::FinishEnd { choice } => {
                if !self.ended.is_empty() {
                    let (real, model) = self.ended.remove(choice % self.ended.len());
                    self.table.finish_end(real, self.now());
                    model.into_iter().for_each(|taken| self.reference.finish_revoke(taken, self.now_us));
                }
            }
            Step::Claim { owner, lock, claim } => {
                let newest = self.reference.locks[lock].newest();
                let claim = Fence::new(match claim {
                    Claim::Below(by) => newest - by,
                    Claim::Above(by) => newest + by,
                    Claim::Greatest => u64::MAX,
                });
                let real = self.table.check_claim(owner_id(owner), self.ids[lock], claim);
                assert_eq!(real, self.reference.locks[lock].claim(owner_id(owner), claim));
            }
            Step::AddFences { lock, count } => {
                // A gap between blocks, as a host leaves it after a restart.
                let start = self.reserved[lock] + 3;
                self.reserved[lock] = start + count;
                self.table.add_fences(self.ids[lock], FenceBlock { start, end: start + count });
                self.reference.add_fences(lock, start, count);
            }
            Step::Advance { us } => self.now_us += us,
            Step::ShutDown => {
                self.table.shut_down();
                self.reference.shut_down();
            }
        }
    }

    fn acquire(&mut self, owner: usize, lock: usize, number: usize) {
        if self.waits[owner].is_some() {
            return; // A process waits for one thing at a time.
        }
        let real = match self.table.acquire(owner_id(owner), self.ids[lock], self.now()) {
            Ok(Acquisition::Ready(acquired)) => answer(Ok(acquired)),
            Ok(Acquisition::Wait(wait)) => {
                let bell = Arc::new(Bell(AtomicBool::new(true)));
                self.waits[owner] = Some(Running { wait, id: number, lock, bell });
                Answer::Queued
            }
            Err(error) => self.refused(error),
        };
        assert_eq!(real, self.reference.acquire(owner_id(owner), lock, self.now_us, Some(number)));
    }

    fn poll(&mut self, owner: usize) {
        let Some(running) = &mut self.waits[owner] else { return };
        running.bell.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&running.bell));
        let real = match Pin::new(&mut running.wait).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(answer(result)),
            Poll::Pending => None,
        };
        assert_eq!(real, self.reference.poll(owner_id(owner), running.lock, running.id));
        if real.is_some() {
            self.waits[owner] = None;
        }
    }

    fn release(&mut self, owner: OwnerId, lock: usize) {
        let real = self.table.release(owner, self.ids[lock], self.now());
        assert_eq!(real, self.reference.release(owner, lock, self.now_us));
    }

    fn compare(&self) {
        self.table.check();
        for (lock, id) in self.reference.locks.iter().zip(&self.ids) {
            let view = self.table.inspect(*id);
            assert_eq!(view.state, lock.state());
            let holder = lock.hold.map(|hold| Holder {
                owner: hold.owner,
                mode: Mode::Exclusive,
                count: 1,
                fence: Fence::new(hold.fence),
                since: self.at(hold.since_us),
            });
            assert_eq!(view.holder(), holder);
            let queue: Vec<_> = view.queue.iter().map(|waiter| (waiter.owner, waiter.since)).collect();
            let expected: Vec<_> =
                lock.queue.iter().map(|waiting| (waiting.owner, self.at(waiting.since_us))).collect();
            assert_eq!(queue, expected);
            let (longest_wait, longest_hold) = (view.counters.longest_wait, view.counters.longest_hold);
            assert_eq!(view.counters, Counters { longest_wait, longest_hold, ..lock.counters });
            assert_eq!(self.table.fences_left(*id), lock.fences.len() as u64);
            assert_eq!(self.table.waiter_count(*id), lock.queue.len());
            assert_eq!(self.table.locked(*id), lock.hold.is_some());
            for owner in (0..OWNERS).map(owner_id) {
                assert_eq!(self.table.held_fence(owner, *id).map(Fence::get), lock.live_fence(owner));
            }
        }
        // No wake-up is ever lost: whoever would be answered if it came has been rung since it last came.
        for running in self.waits.iter().flatten() {
            let answered = self.reference.locks[running.lock].would_answer(running.id);
            assert!(!answered || running.bell.0.load(Ordering::Relaxed), "{:?} sleeps for ever", running.wait);
        }
    }
}

fn taken(revoked: &Revoked) -> Taken {
    (revoked.lock, revoked.owner, revoked.fence.get())
}
