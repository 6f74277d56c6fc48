//! A call that runs on another thread, and the future of its answer.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::worker::Worker;

/// The answer of a call that runs on a thread of a file.
///
/// Dropped before the thread has come to it, the call never runs. Dropped while it runs, the drop waits for its end: what it
/// did is settled afterwards.
#[must_use = "the call is called off if this is dropped"]
pub struct Elsewhere<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

enum State<T> {
    Queued(Option<Waker>),
    Running(Option<Waker>),
    Done(Result<T, Box<dyn Any + Send>>),
    /// The answer was taken, or nobody wants it.
    Over,
}

impl<T> fmt::Debug for Elsewhere<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Elsewhere").finish_non_exhaustive()
    }
}

/// Has `call` run by `worker`, or here if it has no thread and can get none. Before that, `before`, which may take long and
/// ends early once nobody waits for the answer any more, as what it is given says.
pub(crate) fn run<T: Send + 'static, B>(
    worker: &Worker,
    before: impl Fn(&dyn Fn() -> bool) -> B + Send + Sync + 'static,
    call: impl FnOnce(B) -> T + Send + 'static,
) -> Elsewhere<T> {
    let shared = Arc::new(Shared { state: Mutex::new(State::Queued(None)), ended: Condvar::new() });
    let call = Arc::new((before, Mutex::new(Some(call))));
    let (theirs, taken) = (shared.clone(), call.clone());
    let posted = worker.post(Box::new(move || theirs.run(&taken.0, &taken.1)));
    if posted.is_err() {
        shared.run(&call.0, &call.1);
    }
    Elsewhere(shared)
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_wanted(&self) -> bool {
        matches!(*self.lock(), State::Queued(_))
    }

    fn run<B>(&self, before: &impl Fn(&dyn Fn() -> bool) -> B, call: &Mutex<Option<impl FnOnce(B) -> T>>) {
        if !self.is_wanted() {
            return;
        }
        let prepared = before(&|| self.is_wanted());
        {
            let mut state = self.lock();
            match &mut *state {
                State::Queued(waker) => *state = State::Running(waker.take()),
                State::Running(_) | State::Done(_) | State::Over => return,
            }
        }
        let call = call.lock().unwrap_or_else(PoisonError::into_inner).take().expect("a call runs once");
        let answer = catch_unwind(AssertUnwindSafe(|| call(prepared)));
        let waker = match mem::replace(&mut *self.lock(), State::Done(answer)) {
            State::Running(waker) => waker,
            State::Queued(_) | State::Done(_) | State::Over => None,
        };
        self.ended.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Elsewhere<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Queued(waker) | State::Running(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Done(_) => match mem::replace(&mut *state, State::Over) {
                State::Done(Ok(answer)) => Poll::Ready(answer),
                State::Done(Err(panic)) => {
                    drop(state);
                    resume_unwind(panic)
                }
                State::Queued(_) | State::Running(_) | State::Over => unreachable!("it was done a moment ago"),
            },
            State::Over => panic!("a future is not polled after its end"),
        }
    }
}

impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if let State::Queued(_) = *state {
            *state = State::Over;
        }
        while let State::Running(_) = *state {
            state = self.0.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
