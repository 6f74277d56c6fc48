//! What all waits of a guest have in common: the request, the deadline, and what the others are told.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lockkeeper_locks::{AcquireError, Acquired, Acquisition, Ask, Fence, Given, Passage, Wait};

use super::Refusal;
use crate::bindings::lockkeeper::runtime::types;
use crate::clock;
use crate::observe::Event;
use crate::process::Actor;
use crate::scope::ScopedLock;
use crate::turn::{self, RemoteWait};

/// How often a lock that is held on another core is looked at before its queue is joined, and how long the core pauses in
/// between: about a microsecond in all, which is less than a hand-over between cores costs.
const LOOKS: usize = 8;
const PAUSES_PER_LOOK: usize = 16;

impl Actor {
    /// Acquires a lock, and waits for it.
    pub(super) async fn acquire(
        &self,
        lock: &Arc<ScopedLock>,
        ask: Ask,
        timeout: Option<types::Duration>,
    ) -> Result<Acquired, Refusal> {
        turn::lock_request().await;
        self.proceed()?;
        self.asks(lock);
        // Who does not wait would never see a lock come that has to be fetched.
        if timeout == Some(0) {
            self.scope.try_fetch(lock, ask.mode()).map_err(|error| self.refused(lock, error))?;
        }
        let answer = match self.spin(lock, ask) {
            Some(acquired) => return Ok(self.granted(lock, acquired, Duration::ZERO)),
            None => self.scope.table().ask(self.owner(), lock.id, ask, clock::now()),
        };
        self.settle(lock, answer, timeout).await
    }

    /// Acquires the lock again that a condition let go.
    pub(super) async fn acquire_again(&self, lock: &Arc<ScopedLock>) -> Result<Acquired, Refusal> {
        self.asks(lock);
        let answer = self.scope.table().ask_again(self.owner(), lock.id, clock::now());
        self.settle(lock, answer, None).await
    }

    async fn settle(
        &self,
        lock: &Arc<ScopedLock>,
        answer: Result<Acquisition, AcquireError>,
        timeout: Option<types::Duration>,
    ) -> Result<Acquired, Refusal> {
        match answer {
            Ok(Passage::Ready(acquired)) => Ok(self.granted(lock, acquired, Duration::ZERO)),
            // Boxed, as most requests need not wait and the engine moves what it is to poll.
            Ok(Passage::Wait(wait)) => Box::pin(self.wait_for_lock(lock, wait, timeout)).await,
            Err(error) => Err(self.refused(lock, error)),
        }
    }

    async fn wait_for_lock(
        &self,
        lock: &Arc<ScopedLock>,
        mut wait: Wait,
        timeout: Option<types::Duration>,
    ) -> Result<Acquired, Refusal> {
        let asked = Instant::now();
        match self.wait(lock, &mut wait, asked, timeout).await {
            Ok(acquired) => Ok(self.granted(lock, acquired, asked.elapsed())),
            Err(error) => Err(self.refused(lock, error)),
        }
    }

    /// Acquires a lock if that needs no waiting.
    pub(super) fn try_acquire(&self, lock: &Arc<ScopedLock>, ask: Ask) -> Result<Option<Acquired>, Refusal> {
        let taken = self.scope.try_ask(self.owner(), lock, ask, clock::now)?;
        Ok(taken.map(|acquired| self.granted(lock, acquired, Duration::ZERO)))
    }

    /// Looks for a moment at a lock that somebody holds on another core, who may be just about to release it.
    fn spin(&self, lock: &Arc<ScopedLock>, ask: Ask) -> Option<Acquired> {
        if !self.is_spread() || !self.scope.table().is_held_elsewhere(lock.id, self.place()) {
            return None;
        }
        for _ in 0..LOOKS {
            (0..PAUSES_PER_LOOK).for_each(|_| std::hint::spin_loop());
            // Whatever is wrong with the request is said when it is made in earnest.
            if !self.scope.table().is_held_elsewhere(lock.id, self.place()) {
                return self.scope.table().try_ask(self.owner(), lock.id, ask, clock::now()).ok().flatten();
            }
        }
        None
    }

    /// Waits if there is something to wait for, to the deadline at most. The lock table decides which of the two came
    /// first.
    pub(super) async fn pass<A: Given>(
        &self,
        lock: &Arc<ScopedLock>,
        passage: Passage<A>,
        asked: Instant,
        timeout: Option<types::Duration>,
    ) -> Result<A, AcquireError> {
        match passage {
            Passage::Ready(answer) => Ok(answer),
            Passage::Wait(mut wait) => self.wait(lock, &mut wait, asked, timeout).await,
        }
    }

    pub(super) async fn wait<A: Given>(
        &self,
        lock: &Arc<ScopedLock>,
        wait: &mut Wait<A>,
        asked: Instant,
        timeout: Option<types::Duration>,
    ) -> Result<A, AcquireError> {
        let deadline = deadline(asked, timeout);
        let _seated = self.seat.sit(lock, wait.id(), asked, deadline.is_some());
        let _remote = self.scope.table().is_held_elsewhere(lock.id, self.place()).then(RemoteWait::begin);
        let waited = self.unless_terminated(wait_until(wait, deadline)).await;
        if matches!(waited, Err(AcquireError::Cancelled)) {
            self.events.emit(|| Event::WaitCancelled { process: self.id(), lock: lock.name.clone() });
        }
        waited
    }

    /// Before a request that may have to wait: whoever was asked to end by itself is to do that.
    pub(super) fn proceed(&self) -> Result<(), Refusal> {
        if self.is_terminating() { Err(types::Error::Cancelled.into()) } else { Ok(()) }
    }

    /// Waits, but no longer than until the process is asked to end by itself. Whatever comes at the same time passes on, as the
    /// wait is dropped then.
    async fn unless_terminated<T>(
        &self,
        wait: impl Future<Output = Result<T, AcquireError>>,
    ) -> Result<T, AcquireError> {
        let mut wait = pin!(wait);
        poll_fn(|cx| match self.is_terminating() {
            true => Poll::Ready(Err(AcquireError::Cancelled)),
            false => wait.as_mut().poll(cx),
        })
        .await
    }

    /// What a guest is told of every refusal of a lock.
    pub(super) fn refused(&self, lock: &ScopedLock, error: AcquireError) -> Refusal {
        match self.tell_refused(lock, &error) {
            Some(circle) => types::Error::Deadlock(circle.into_iter().map(types::Wait::from).collect()).into(),
            None => error.into(),
        }
    }

    /// Releases a lock, or one level of it. A guest that names its hold by its fence means no later one.
    pub(super) fn release(&self, lock: &ScopedLock, guard: Option<types::Fence>) -> Result<(), Refusal> {
        let guard = guard.map(Fence::new);
        self.releasing(lock, guard, 1);
        let table = self.scope.table();
        let released = match guard {
            Some(guard) => table.release_hold(self.owner(), lock.id, guard, clock::now()),
            None => table.release(self.owner(), lock.id, clock::now()),
        };
        Ok(released?)
    }

    /// Gives permits of a semaphore back, or adds some.
    pub(super) fn release_permits(&self, lock: &ScopedLock, permits: u32) -> Result<(), Refusal> {
        self.releasing(lock, None, permits);
        Ok(self.scope.table().release_permits(self.owner(), lock.id, permits, clock::now())?)
    }
}

/// The moment at which a wait of `timeout` nanoseconds ends; one too far away to be written down never comes.
fn deadline(from: Instant, timeout: Option<types::Duration>) -> Option<Instant> {
    from.checked_add(Duration::from_nanos(timeout?))
}

async fn wait_until<A: Given>(wait: &mut Wait<A>, deadline: Option<Instant>) -> Result<A, AcquireError> {
    let Some(deadline) = deadline else {
        return wait.await;
    };
    if deadline > Instant::now()
        && let Ok(ended) = tokio::time::timeout_at(deadline.into(), &mut *wait).await
    {
        return ended;
    }
    wait.expire(Instant::now())
}
