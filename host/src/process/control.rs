//! How a process is stopped from outside, and how its end is awaited.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::process::Exit;

/// Why a process is stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    TimeLimit,
    /// A time limit that was not known when the process started.
    Overdue(Duration),
    Killed,
    ShutDown,
    Stalled,
    /// The process that started it has ended.
    Orphaned,
}

impl Stop {
    /// Whether it is for the guest alone, and not for what follows its end.
    fn is_for_guest(self) -> bool {
        matches!(self, Self::TimeLimit | Self::Overdue(_))
    }
}

/// The part of a process that other threads reach.
///
/// | `stop` | `exit` | meaning | who goes on |
/// |---|---|---|---|
/// | none | none | runs or waits | the guest |
/// | some | none | is being ended | the shard, at the process's next step |
/// | any | some | has ended; its holds are released and its appends settled | whoever joined |
#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    /// Whether `stop` is some, for those who only want to know that.
    stopping: Arc<AtomicBool>,
    /// Whether it was asked to end by itself, and waits for nothing any more.
    terminating: Arc<AtomicBool>,
    /// Whether the host shuts down, and with it what the guest needs.
    host_ends: Arc<AtomicBool>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: Option<Stop>,
    runner: Option<Waker>,
    /// Whether the guest has ended, and no time limit counts any more.
    untimed: bool,
    /// When it is to be ended, as it was asked to end by itself.
    end_at: Option<Instant>,
    exit: Option<Arc<Exit>>,
    joiners: Vec<Waker>,
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this mutex can panic half-way, so a poisoned one still tells the truth.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the end. The first reason counts.
    pub(crate) fn stop(&self, why: Stop) {
        let runner = {
            let mut state = self.state();
            if why.is_for_guest() && state.untimed {
                return;
            }
            state.stop.get_or_insert(why);
            self.stopping.store(true, Ordering::SeqCst);
            state.runner.take()
        };
        if let Some(runner) = runner {
            runner.wake();
        }
    }

    /// Asks it to end by itself: what it waits for is over from here on.
    pub(crate) fn terminate(&self) {
        self.terminating.store(true, Ordering::SeqCst);
        let runner = self.state().runner.take();
        if let Some(runner) = runner {
            runner.wake();
        }
    }

    /// Becomes true once it was asked to end by itself.
    pub(crate) fn terminating(&self) -> Arc<AtomicBool> {
        self.terminating.clone()
    }

    /// It is to be ended at this time; the earliest one counts. Answers whether that is this one, and the one that does not
    /// count any more.
    pub(crate) fn end_at(&self, at: Instant) -> (bool, Option<Instant>) {
        let mut state = self.state();
        if state.exit.is_some() || state.end_at.is_some_and(|before| before <= at) {
            return (false, None);
        }
        (true, state.end_at.replace(at))
    }

    /// When it was to be ended.
    pub(crate) fn was_to_end_at(&self) -> Option<Instant> {
        self.state().end_at
    }

    /// The guest has ended: its time limit is kept, whatever is still to be waited for.
    pub(crate) fn guest_ended(&self) {
        let mut state = self.state();
        state.untimed = true;
        // It may have passed between the guest's end and this.
        state.stop = state.stop.filter(|why| !why.is_for_guest());
    }

    /// The host shuts down. The process may still end by itself.
    pub(crate) fn host_ends(&self) {
        self.host_ends.store(true, Ordering::SeqCst);
        let runner = self.state().runner.take();
        if let Some(runner) = runner {
            runner.wake();
        }
    }

    /// Becomes true once the host shuts down. The process is woken then.
    pub(crate) fn ending_of_host(&self) -> Arc<AtomicBool> {
        self.host_ends.clone()
    }

    /// Whether the host shut down before the process had ended.
    pub(crate) fn outlives_host(&self) -> bool {
        self.host_ends.load(Ordering::SeqCst)
    }

    /// Becomes true once it is being ended.
    pub(crate) fn stopping(&self) -> Arc<AtomicBool> {
        self.stopping.clone()
    }

    /// Runs `work` until it is done or the process is to be stopped, and does not poll it once more after that: a
    /// stopped guest does not run again.
    pub(crate) async fn run_until_stopped<F: Future>(&self, mut work: Pin<&mut F>) -> Result<F::Output, Stop> {
        poll_fn(|cx| {
            {
                let mut state = self.state();
                if let Some(why) = state.stop {
                    return Poll::Ready(Err(why));
                }
                match &mut state.runner {
                    Some(runner) => runner.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
            }
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Publishes the end.
    pub(crate) fn publish(&self, exit: Arc<Exit>) {
        let joiners = {
            let mut state = self.state();
            assert!(state.exit.is_none(), "a process ends once");
            state.exit = Some(exit);
            std::mem::take(&mut state.joiners)
        };
        self.ended.notify_all();
        for joiner in joiners {
            // Wakers are foreign code. If one panics, the others are still to be woken, and the shard goes on.
            let _panicked = catch_unwind(AssertUnwindSafe(|| joiner.wake())).is_err();
        }
    }

    pub(crate) fn try_join(&self) -> Option<Arc<Exit>> {
        self.state().exit.clone()
    }

    pub(crate) fn join_blocking(&self) -> Arc<Exit> {
        let mut state = self.state();
        loop {
            if let Some(exit) = &state.exit {
                return exit.clone();
            }
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) async fn join(&self) -> Arc<Exit> {
        poll_fn(|cx| {
            let mut state = self.state();
            if let Some(exit) = &state.exit {
                return Poll::Ready(exit.clone());
            }
            if !state.joiners.iter().any(|w| w.will_wake(cx.waker())) {
                state.joiners.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}
