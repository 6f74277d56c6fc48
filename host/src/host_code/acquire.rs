//! A request of a lock by host code.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lockkeeper_locks::{AcquireError, Acquired, Ask, EndCause, Kind as TableKind, Passage, ReleaseError, Wait};

use super::alarm::Alarm;
use super::{Hold, Party};
use crate::blocking;
use crate::name::Name;
use crate::observe::{Event, Kind, Waiting};
use crate::scope::ScopedLock;

/// A lock is not acquired.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LockError {
    /// The job has no such lock.
    #[error("the job has no lock `{name}`")]
    NoSuchLock {
        /// What was asked for.
        name: String,
    },
    /// It cannot be held, or not in this way.
    #[error("the {kind} `{name}` cannot be acquired in this way")]
    Unfit {
        /// What was asked for.
        name: String,
        /// What it is.
        kind: Kind,
    },
    /// Waiting could never end: each of these holds what the one before it waits for, from the one that asked.
    #[error("waiting would close a circle of {} owners, each of which waits for the next one", circle.len())]
    Deadlock {
        /// The circle.
        circle: Vec<Waiting>,
    },
    /// The time was over first.
    #[error("`{lock}` was not free within {within:?}")]
    TimedOut {
        /// The lock.
        lock: Name,
        /// How long it was waited for.
        within: Duration,
    },
    /// The host shuts down: nobody is granted a lock any more.
    #[error("the host is shutting down; no lock is granted any more")]
    ShuttingDown,
    /// A hold of it was taken away before, which is told once: asking again is as asking for the first time.
    #[error("the last hold of `{lock}` was taken away: {how}; ask again")]
    Lost {
        /// The lock.
        lock: Name,
        /// Why it was taken away.
        how: EndCause,
    },
    /// Any other reason: too many wait, or an owner died in what the lock protects and nobody has mended that.
    #[error("`{lock}` is not granted: {source}")]
    Refused {
        /// The lock.
        lock: Name,
        /// Why.
        source: AcquireError,
    },
    /// Permits are not given back.
    #[error("permits of `{lock}` are not given back: {source}")]
    NotReleased {
        /// The semaphore.
        lock: Name,
        /// Why.
        source: ReleaseError,
    },
    /// This thread runs processes, and must not block.
    #[error("this thread runs processes, and must not block; use the async form")]
    OnShard,
}

/// A request of a lock that is being made: for having it alone, unless it is said otherwise.
#[must_use = "nothing is asked for before this is awaited, or ended by `blocking` or `now`"]
pub struct Acquire<'a> {
    party: &'a Arc<Party>,
    lock: &'a str,
    how: How,
    within: Option<Duration>,
}

#[derive(Clone, Copy)]
enum How {
    Alone,
    Shared,
    Permits(u32),
}

impl<'a> Acquire<'a> {
    pub(super) fn new(party: &'a Arc<Party>, lock: &'a str) -> Self {
        Self { party, lock, how: How::Alone, within: None }
    }

    /// To have an rwlock together with other readers.
    pub fn shared(mut self) -> Self {
        self.how = How::Shared;
        self
    }

    /// To have so many permits of a semaphore; without this it is one.
    pub fn permits(mut self, permits: u32) -> Self {
        self.how = How::Permits(permits);
        self
    }

    /// To wait no longer than this, from when it is asked. Exact to a few milliseconds.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.within = Some(timeout);
        self
    }

    /// Waits for it on a thread that may block.
    pub fn blocking(self) -> Result<Hold, LockError> {
        blocking::on(self.wait()).map_err(|_| LockError::OnShard)?
    }

    /// Takes it if that needs no waiting.
    pub fn now(self) -> Result<Option<Hold>, LockError> {
        let (lock, ask) = self.resolve()?;
        let actor = &self.party.actor;
        match actor.scope.try_ask(actor.owner(), lock, ask, Instant::now) {
            Ok(None) => Ok(None),
            Ok(Some(acquired)) => Ok(Some(self.hold(lock, ask, acquired, Duration::ZERO))),
            Err(error) => Err(self.refused(lock, error)),
        }
    }

    async fn wait(self) -> Result<Hold, LockError> {
        let (lock, ask) = self.resolve()?;
        let actor = &self.party.actor;
        let asked = Instant::now();
        actor.asks(lock);
        // Who does not wait would never see a lock come that has to be fetched.
        if self.within == Some(Duration::ZERO) {
            actor.scope.try_fetch(lock, ask.mode()).map_err(|error| self.refused(lock, error))?;
        }
        let answer = match actor.scope.table().ask(actor.owner(), lock.id, ask, asked) {
            Ok(Passage::Ready(acquired)) => Ok(acquired),
            Ok(Passage::Wait(wait)) => {
                let waited = self.wait_for(lock, wait, asked).await;
                if matches!(waited, Err(AcquireError::Cancelled)) {
                    actor.events.emit(|| Event::WaitCancelled { process: actor.id(), lock: lock.name.clone() });
                }
                waited
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(acquired) => Ok(self.hold(lock, ask, acquired, asked.elapsed())),
            Err(error) => Err(self.refused(lock, error)),
        }
    }

    async fn wait_for(&self, lock: &Arc<ScopedLock>, mut wait: Wait, asked: Instant) -> Result<Acquired, AcquireError> {
        // One too far away to be written down never comes.
        let deadline = self.within.and_then(|timeout| asked.checked_add(timeout));
        let _seated = self.party.actor.seat.sit(lock, wait.id(), asked, deadline.is_some());
        let Some(deadline) = deadline else {
            return wait.await;
        };
        let mut alarm = pin!(Alarm::at(&self.party.host.ticker, deadline));
        poll_fn(|cx| match Pin::new(&mut wait).poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            // The lock table decides which of the two came first.
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| wait.expire(Instant::now())),
        })
        .await
    }

    /// The lock, and what the request is for a lock of its kind.
    fn resolve(&self) -> Result<(&'a Arc<ScopedLock>, Ask), LockError> {
        let lock = self.party.lock(self.lock)?;
        let ask = match (lock.kind, self.how) {
            (TableKind::Mutex | TableKind::RLock { .. } | TableKind::RwLock { .. }, How::Alone) => Ask::Exclusive,
            (TableKind::RwLock { .. }, How::Shared) => Ask::Shared,
            (TableKind::Semaphore(_), How::Alone) => Ask::Permits(1),
            (TableKind::Semaphore(_), How::Permits(permits)) if permits > 0 => Ask::Permits(permits),
            (kind, _) => return Err(LockError::Unfit { name: self.lock.to_owned(), kind: Kind::of(kind) }),
        };
        Ok((lock, ask))
    }

    fn hold(&self, lock: &Arc<ScopedLock>, ask: Ask, acquired: Acquired, waited: Duration) -> Hold {
        let acquired = self.party.actor.granted(lock, acquired, waited);
        Hold::new(self.party.clone(), lock.clone(), ask, acquired)
    }

    fn refused(&self, lock: &ScopedLock, error: AcquireError) -> LockError {
        let actor = &self.party.actor;
        match (actor.tell_refused(lock, &error), error) {
            (Some(circle), _) => LockError::Deadlock { circle },
            (None, AcquireError::TimedOut) => {
                LockError::TimedOut { lock: lock.name.clone(), within: self.within.unwrap_or_default() }
            }
            (None, AcquireError::Lost { how }) => LockError::Lost { lock: lock.name.clone(), how },
            // Host code is never ended by others, so this is why.
            (None, AcquireError::Cancelled) => LockError::ShuttingDown,
            (None, source) => LockError::Refused { lock: lock.name.clone(), source },
        }
    }
}

impl<'a> IntoFuture for Acquire<'a> {
    type Output = Result<Hold, LockError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}
