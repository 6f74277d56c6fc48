//! Where a shard is told what to run next, by its own thread and by others.
//!
//! Whoever has something for a shard puts it into the queues under one mutex, and wakes the thread only if it sleeps. On
//! the shard's own thread it never does: a wake-up there is a push.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::ready::{Level, Ready};

/// Something to run on a shard, made there because it never leaves.
pub(super) type Start = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The place of a task among those of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(pub(super) usize);

/// What a shard has to do next.
pub(super) enum Work {
    Start(Start),
    Poll(Place),
}

/// What a shard finds in its inbox.
pub(super) enum Next {
    Work(Level, Work),
    /// Nothing now.
    Nothing,
    /// Nothing now, and nothing new will be started.
    Closed,
}

/// Whether a shard has tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tasks {
    None,
    Some,
}

/// The inbox of a shard.
pub(super) struct Inbox {
    state: Mutex<State>,
    /// How many are in the high queue, for looking without the mutex.
    high: Arc<AtomicUsize>,
}

struct State {
    ready: Ready<Work>,
    /// Some while the shard sleeps, or is about to.
    sleeper: Option<Waker>,
    closed: bool,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let state = State { ready: Ready::new(), sleeper: None, closed: false };
        Self { state: Mutex::new(state), high: Arc::default() }
    }

    /// A leaf: nothing that is done under it takes another mutex, or is foreign code.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait in the high queue, as it changes.
    pub(super) fn high(&self) -> &Arc<AtomicUsize> {
        &self.high
    }

    /// To the back of a queue.
    pub(super) fn push(&self, level: Level, work: Work) {
        let sleeper = {
            let mut state = self.state();
            state.ready.push(level, work);
            self.high.store(state.ready.high_len(), Ordering::Release);
            state.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Takes what comes next.
    pub(super) fn pop(&self) -> Next {
        let mut state = self.state();
        match state.ready.pop() {
            Some((level, work)) => {
                self.high.store(state.ready.high_len(), Ordering::Release);
                Next::Work(level, work)
            }
            None if state.closed => Next::Closed,
            None => Next::Nothing,
        }
    }

    /// Whether somebody has put something in, without the mutex.
    pub(super) fn has_any(&self) -> bool {
        self.high.load(Ordering::Acquire) > 0
    }

    /// A queue has had the core for so long.
    pub(super) fn ran(&self, level: Level, time: Duration) {
        self.state().ready.ran(level, time);
    }

    /// The shard goes to sleep until `sleeper` is woken, unless there is something to do by now. Answers whether it may.
    /// Without a task it has to end when the inbox is closed, so it may not sleep then.
    pub(super) fn sleep(&self, sleeper: &Waker, tasks: Tasks) -> bool {
        // Cloned before the mutex is taken: this runs foreign code.
        let sleeper = sleeper.clone();
        let mut state = self.state();
        let idle = state.ready.is_empty() && !(state.closed && tasks == Tasks::None);
        if idle {
            assert!(state.sleeper.is_none(), "a shard is awake before it sleeps");
            state.sleeper = Some(sleeper);
        }
        idle
    }

    /// The shard is awake, whoever woke it.
    pub(super) fn awake(&self) {
        let sleeper = self.state().sleeper.take();
        drop(sleeper);
    }

    /// Nothing is started any more. The shard ends with the last task.
    pub(super) fn close(&self) {
        let sleeper = {
            let mut state = self.state();
            state.closed = true;
            state.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("high", &self.high).finish_non_exhaustive()
    }
}
