//! The future that waits for a lock, or for whatever else a primitive gives.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::error::{AcquireError, BrokenCause};
use crate::ids::{Acquired, Item, LockId, OwnerId};
use crate::lock::Progress;
use crate::queue::Ticket;
use crate::table::{LockTable, WaitId};

/// What an acquire came to at once.
pub type Acquisition = Passage<Acquired>;

/// What a request came to at once that may have to wait.
#[derive(Debug)]
#[must_use = "a wait that is dropped leaves the queue"]
pub enum Passage<A> {
    /// It is done; a lock is held from here on. Nothing was allocated.
    Ready(A),
    /// The owner is in the queue.
    Wait(Wait<A>),
}

/// What a wait can end with. Each wait knows which one is its own.
#[derive(Debug)]
pub(crate) enum Answer {
    Acquired(Acquired),
    /// Permits that nobody holds from here on.
    Taken(Acquired),
    /// What was waited for has happened.
    Done,
    /// The place in a round of a barrier.
    Index(u32),
    Broken(BrokenCause),
    Item(Item),
    /// The number of an item that was stored.
    Stored(u64),
    /// The queue is closed.
    Closed,
}

/// What a wait gives its owner.
pub trait Given: private::FromAnswer {}

mod private {
    use super::Answer;

    /// # Panics
    ///
    /// If the wait was for something else.
    pub trait FromAnswer: Sized {
        #[expect(private_interfaces, reason = "the trait is sealed by it")]
        fn from_answer(answer: Answer) -> Self;
    }
}

macro_rules! given {
    ($($type:ty: $pattern:pat => $value:expr,)*) => {$(
        impl Given for $type {}

        impl private::FromAnswer for $type {
            #[expect(private_interfaces, reason = "the trait is sealed by it")]
            fn from_answer(answer: Answer) -> Self {
                match answer {
                    $pattern => $value,
                    other => unreachable!("this wait does not end with {other:?}"),
                }
            }
        }
    )*};
}

/// Whose turn a once is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "whoever has the turn has to complete it or give it up"]
pub enum Turn {
    /// The owner's, to do it.
    Yours(Acquired),
    /// It was done.
    Done,
}

/// The index of an owner in a round of a barrier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Index(pub u32);

/// The number of an item that was stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stored(pub u64);

given! {
    Acquired: Answer::Acquired(acquired) | Answer::Taken(acquired) => acquired,
    (): Answer::Done => (),
    Index: Answer::Index(index) => Self(index),
    Item: Answer::Item(item) => item,
    Stored: Answer::Stored(number) => Self(number),
}

impl Given for Turn {}

impl private::FromAnswer for Turn {
    #[expect(private_interfaces, reason = "the trait is sealed by it")]
    fn from_answer(answer: Answer) -> Self {
        match answer {
            Answer::Acquired(acquired) => Self::Yours(acquired),
            Answer::Done => Self::Done,
            other => unreachable!("this wait does not end with {other:?}"),
        }
    }
}

/// A place in the queue of a lock, or of another primitive.
///
/// It ends with what it waits for, or with one of:
///
/// * [`AcquireError::TimedOut`]: from [`Wait::expire`] only;
/// * [`AcquireError::Cancelled`]: its owner is being ended, or the table was shut down;
/// * [`AcquireError::Lost`]: the lock was granted to it and taken away before it was polled;
/// * [`AcquireError::FencesExhausted`]: it was its turn and no fence was left;
/// * [`AcquireError::Unavailable`]: it comes from outside of the host, and cannot be had there;
/// * [`AcquireError::NotRecoverable`], [`AcquireError::Broken`], [`AcquireError::Closed`], as the primitive says.
///
/// Dropping it leaves the queue. Whatever was on its way to it, a wake-up or a grant, passes on to the next waiter.
///
/// It has to be polled after its waker was called, or dropped. As long as neither happens the lock is kept for it, once
/// it has waited its bound. A wake-up is not a grant: a waiter that was overtaken within its bound keeps its place at
/// the front, and is woken again.
#[must_use = "a wait that is dropped leaves the queue"]
pub struct Wait<A = Acquired> {
    table: Arc<LockTable>,
    owner: OwnerId,
    lock: LockId,
    ticket: Ticket,
    stage: Stage,
    /// The item that a put waits to store.
    offer: Option<Arc<[u8]>>,
    gives: PhantomData<fn() -> A>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    Over,
}

impl<A> Wait<A> {
    pub(crate) fn new(table: Arc<LockTable>, owner: OwnerId, lock: LockId, ticket: Ticket) -> Self {
        Self { table, owner, lock, ticket, stage: Stage::Waiting, offer: None, gives: PhantomData }
    }

    /// A wait to store an item.
    pub(crate) fn offering(mut self, item: Option<Arc<[u8]>>) -> Self {
        self.offer = item;
        self
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Who waits.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// What it waits for.
    #[must_use]
    pub fn lock(&self) -> LockId {
        self.lock
    }

    /// This wait, for who looks at it from outside ([`LockTable::sleeps`]).
    #[must_use]
    pub fn id(&self) -> WaitId {
        WaitId::new(self.lock, self.ticket)
    }
}

impl<A: Given> Wait<A> {
    /// Ends the wait at its deadline. Whoever keeps the timer calls it; under the mutex of the lock it is decided
    /// whether the grant was first, so that a grant is neither lost nor made twice.
    ///
    /// A waiter whose turn it is when it expires has the lock, even if it had not polled yet.
    ///
    /// # Errors
    ///
    /// [`AcquireError::TimedOut`] if the grant was not first; else as the wait itself, see [`Wait`].
    ///
    /// # Panics
    ///
    /// If the wait is over.
    pub fn expire(&mut self, now: Instant) -> Result<A, AcquireError> {
        assert_eq!(self.stage, Stage::Waiting, "a wait ends once");
        let progress = self.table.expire_wait(self.owner, self.lock, self.ticket, &mut self.offer, now);
        self.conclude(progress).expect("a wait that expires is not pending")
    }

    fn conclude(&mut self, progress: Progress) -> Option<Result<A, AcquireError>> {
        let lock = self.lock;
        let refused = match progress {
            Progress::Pending => return None,
            Progress::Answered(Answer::Acquired(acquired)) => {
                self.stage = Stage::Over;
                return Some(Ok(A::from_answer(Answer::Acquired(acquired))));
            }
            Progress::Answered(Answer::Broken(cause)) => AcquireError::Broken { cause },
            Progress::Answered(Answer::Closed) => AcquireError::Closed,
            Progress::Answered(answer) => {
                self.stage = Stage::Over;
                // A permit that nobody holds is no reason to be remembered. Of the rest the record knows already.
                if matches!(answer, Answer::Taken(_)) {
                    self.table.withdraw(self.owner, lock, self.ticket);
                }
                return Some(Ok(A::from_answer(answer)));
            }
            Progress::NoFence => AcquireError::FencesExhausted { lock },
            Progress::NotRecoverable => AcquireError::NotRecoverable { lock },
            Progress::Unavailable => AcquireError::Unavailable { lock },
            Progress::TimedOut => AcquireError::TimedOut,
            Progress::Gone => AcquireError::Cancelled,
        };
        self.stage = Stage::Over;
        let lost = self.table.withdraw(self.owner, lock, self.ticket);
        Some(Err(lost.map_or(refused, |how| AcquireError::Lost { how })))
    }
}

impl<A: Given> Future for Wait<A> {
    type Output = Result<A, AcquireError>;

    /// # Panics
    ///
    /// If the wait is over.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert_eq!(this.stage, Stage::Waiting, "a wait ends once");
        // Cloned before the mutex is taken: this runs foreign code.
        let waker = context.waker().clone();
        let progress = this.table.poll_wait(this.owner, this.lock, this.ticket, &mut this.offer, waker);
        this.conclude(progress).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<A> Drop for Wait<A> {
    fn drop(&mut self) {
        if self.stage == Stage::Waiting {
            self.table.leave_wait(self.owner, self.lock, self.ticket);
        }
    }
}

impl<A> std::fmt::Debug for Wait<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("owner", &self.owner).field("lock", &self.lock).finish_non_exhaustive()
    }
}
