//! The clock of running guests: a thread of its own, so that no guest can hold it up.
//!
//! Each tick makes every running guest yield once, and ends those whose time is over, also those that wait.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock;
use crate::ids::ProcessId;
use crate::process::control::{Control, Stop};
use crate::stall::Watch;

/// How long a guest runs before others of its shard do, and how exact a time limit is.
const TICK: Duration = Duration::from_millis(1);

/// The ticker's thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Processes alive; without any, and without an alarm, the clock rests.
    alive: usize,
    /// When which process is to be ended. An entry goes with its process.
    deadlines: BTreeMap<(Instant, ProcessId), (Arc<Control>, Stop)>,
    /// When which wait of host code is over, by the number of the alarm.
    alarms: BTreeMap<(Instant, u64), Waker>,
    alarms_set: u64,
    /// The jobs that may come to stand still.
    watches: Vec<Weak<Watch>>,
    stopped: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    /// Starts it. `tick` makes every running guest yield.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let ticking = shared.clone();
        let thread = std::thread::Builder::new().name("lockkeeper-ticker".into()).spawn(move || {
            while let Some(over) = ticking.tick() {
                clock::tick();
                tick();
                over.iter().for_each(|(control, why)| control.stop(*why));
                ticking.watches().iter().for_each(|watch| watch.tick());
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Looks with every tick whether this job stands still.
    pub(crate) fn watch(&self, watch: &Arc<Watch>) {
        self.shared.state().watches.push(Arc::downgrade(watch));
    }

    /// A process begins, to be ended at `deadline` if it is not over by then.
    pub(crate) fn begin(&self, process: ProcessId, control: &Arc<Control>, deadline: Option<Instant>) {
        // The ticker may have rested for long.
        clock::tick();
        let mut state = self.shared.state();
        state.alive += 1;
        if let Some(at) = deadline {
            state.deadlines.insert((at, process), (control.clone(), Stop::TimeLimit));
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A process is to be killed at this time, unless it is over by then.
    pub(crate) fn kill_at(&self, process: ProcessId, control: &Arc<Control>, at: Instant) {
        let mut state = self.shared.state();
        if let (true, before) = control.end_at(at) {
            if let Some(before) = before {
                state.deadlines.remove(&(before, process));
            }
            state.deadlines.insert((at, process), (control.clone(), Stop::Killed));
        }
    }

    /// Wakes somebody at this time. An alarm that was set before, and has not rung, wakes this one instead. Answers what it is
    /// called.
    pub(crate) fn wake_at(&self, at: Instant, alarm: Option<u64>, waker: &Waker) -> u64 {
        // A waker is foreign code: it is neither cloned nor dropped under a mutex.
        let waker = waker.clone();
        let mut state = self.shared.state();
        let alarm = alarm.unwrap_or_else(|| {
            state.alarms_set += 1;
            state.alarms_set
        });
        let before = state.alarms.insert((at, alarm), waker);
        drop(state);
        drop(before);
        self.shared.changed.notify_all();
        alarm
    }

    /// Takes an alarm back, if it has not rung.
    pub(crate) fn wake_no_more(&self, at: Instant, alarm: u64) {
        let before = self.shared.state().alarms.remove(&(at, alarm));
        drop(before);
    }

    /// A process is over that began with this deadline.
    pub(crate) fn end(&self, process: ProcessId, control: &Control, deadline: Option<Instant>) {
        let mut state = self.shared.state();
        state.alive -= 1;
        for at in deadline.into_iter().chain(control.was_to_end_at()) {
            state.deadlines.remove(&(at, process));
        }
    }
}

impl Shared {
    fn watches(&self) -> Vec<Arc<Watch>> {
        let mut state = self.state();
        state.watches.retain(|watch| watch.strong_count() > 0);
        state.watches.iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits for the next tick; who is over time by then, or none if the ticker is to end.
    fn tick(&self) -> Option<Vec<(Arc<Control>, Stop)>> {
        let mut state = self.state();
        while state.alive == 0 && state.alarms.is_empty() && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        std::thread::sleep(TICK);
        let mut state = self.state();
        if state.stopped {
            return None;
        }
        let now = Instant::now();
        let mut over = Vec::new();
        let mut ringing = Vec::new();
        while let Some(first) = state.alarms.first_entry().filter(|first| first.key().0 <= now) {
            ringing.push(first.remove());
        }
        while let Some(first) = state.deadlines.first_entry().filter(|first| first.key().0 <= now) {
            over.push(first.remove());
        }
        drop(state);
        for waker in ringing {
            // If one panics, the clock goes on.
            let _panicked = catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err();
        }
        Some(over)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The last one that had the host may have been a waker that this very thread called.
            if thread.thread().id() != std::thread::current().id() {
                drop(thread.join());
            }
        }
    }
}
