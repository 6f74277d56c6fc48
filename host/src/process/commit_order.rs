//! Processes that commit one after the other, though they run side by side.
//!
//! A turn is given out with each start. Who has ended well waits for its turn, commits, and lets it go; who has nothing to
//! commit lets it go as well, so nobody waits for who has failed. A turn also ends when all who know it are gone, so none is
//! lost with a process that never started.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// An order in which processes commit what they have appended: that of their turns.
///
/// Not promised: that it goes on if a turn was given out and is kept without a process being started with it.
#[derive(Debug)]
pub struct CommitOrder {
    line: Arc<Line>,
}

/// A place in a [`CommitOrder`]. It is over when its process has ended, or when the last clone of it is dropped.
#[derive(Clone, Debug)]
pub struct CommitTurn(Arc<Turn>);

struct Turn {
    rank: u64,
    line: Arc<Line>,
}

/// Why a turn does not come: one before it was neither committed nor in vain, so whatever follows would stand in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutOfOrder {
    /// The host shut down before it was its turn.
    ShutDown,
    /// What this process had appended could not be written.
    Unwritten(Arc<str>),
}

struct Line {
    state: Mutex<State>,
    /// Told whenever somebody begins to wait, or a turn is over.
    changed: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    /// How many turns were given out.
    given: u64,
    /// The one whose turn it is: all before it are over.
    first: u64,
    /// Those that are over out of turn.
    over: BTreeSet<u64>,
    waiting: BTreeMap<u64, Waker>,
    /// The turn that will never be over for those behind it, and why.
    broken: Option<(u64, OutOfOrder)>,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("rank", &self.rank).finish_non_exhaustive()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("state", &self.state).finish_non_exhaustive()
    }
}

impl CommitOrder {
    /// An order in which nobody stands yet. `changed` is called, on any thread, whenever what this answers may have changed;
    /// it must not block.
    pub fn new(changed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { line: Arc::new(Line { state: Mutex::default(), changed: Box::new(changed) }) }
    }

    /// The next turn: for the process that is started next.
    pub fn next_turn(&mut self) -> CommitTurn {
        let rank = {
            let mut state = self.line.state();
            state.given += 1;
            state.given - 1
        };
        CommitTurn(Arc::new(Turn { rank, line: self.line.clone() }))
    }

    /// How many processes have ended well and wait for their turn.
    pub fn waiting(&self) -> usize {
        self.line.state().waiting.len()
    }

    /// How many turns were given out and are not over, counted from the first that is not: so many processes may have to
    /// wait for that one.
    pub fn ahead(&self) -> u64 {
        let state = self.line.state();
        state.given - state.first
    }

    /// Whether no later process can commit any more: the host shuts down, or what one of them had appended could not be
    /// written.
    pub fn is_broken(&self) -> bool {
        self.line.state().broken.is_some()
    }
}

impl CommitTurn {
    /// Waits for the turn. Dropping this leaves the line unchanged but for the one who waited.
    pub(crate) async fn come(&self) -> Result<(), OutOfOrder> {
        let Turn { rank, line } = &*self.0;
        poll_fn(|cx| {
            let new = {
                let mut state = line.state();
                if state.first == *rank {
                    state.waiting.remove(rank);
                    return Poll::Ready(Ok(()));
                }
                if let Some((at, why)) = &state.broken
                    && at < rank
                {
                    let why = why.clone();
                    state.waiting.remove(rank);
                    return Poll::Ready(Err(why));
                }
                state.waiting.insert(*rank, cx.waker().clone()).is_none()
            };
            if new {
                (line.changed)();
            }
            Poll::Pending
        })
        .await
    }

    /// Lets nobody behind this one commit.
    pub(crate) fn break_off(&self, why: OutOfOrder) {
        let Turn { rank, line } = &*self.0;
        line.break_at(*rank, why);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.line.end(self.rank);
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this mutex can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, rank: u64) {
        let next = {
            let mut state = self.state();
            state.waiting.remove(&rank);
            state.over.insert(rank);
            let broken_at = state.broken.as_ref().map(|(at, _)| *at);
            while broken_at != Some(state.first) {
                let first = state.first;
                if !state.over.remove(&first) {
                    break;
                }
                state.first += 1;
            }
            state.waiting.get(&state.first).cloned()
        };
        if let Some(next) = next {
            next.wake();
        }
        (self.changed)();
    }

    fn break_at(&self, rank: u64, why: OutOfOrder) {
        let behind: Vec<Waker> = {
            let mut state = self.state();
            // The earliest counts: those between it and a later one must not commit either.
            if state.broken.as_ref().is_none_or(|(at, _)| rank < *at) {
                state.broken = Some((rank, why));
            }
            state.waiting.range(rank + 1..).map(|(_, waker)| waker.clone()).collect()
        };
        behind.into_iter().for_each(Waker::wake);
        (self.changed)();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Context;

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn three(order: &mut CommitOrder) -> [CommitTurn; 3] {
        [order.next_turn(), order.next_turn(), order.next_turn()]
    }

    #[test]
    fn a_turn_comes_when_all_before_it_are_over_in_whichever_order() {
        let mut order = CommitOrder::new(|| {});
        let [first, second, third] = three(&mut order);
        let third_waits = third.clone();
        let mut comes = pin!(third_waits.come());
        assert_eq!((poll(comes.as_mut()), order.waiting(), order.ahead()), (Poll::Pending, 1, 3));
        drop(second);
        assert_eq!((poll(comes.as_mut()), order.ahead()), (Poll::Pending, 3));
        drop(first);
        assert_eq!((poll(comes.as_mut()), order.waiting(), order.ahead()), (Poll::Ready(Ok(())), 0, 1));
        drop(third);
        assert_eq!(order.ahead(), 1, "a turn is over when the last clone of it is gone");
    }

    #[test]
    fn a_turn_that_is_broken_off_lets_nobody_behind_it_commit_and_holds_up_nobody_before_it() {
        let mut order = CommitOrder::new(|| {});
        let [first, second, third] = three(&mut order);
        let mut third_comes = pin!(third.come());
        assert_eq!(poll(third_comes.as_mut()), Poll::Pending);
        second.break_off(OutOfOrder::ShutDown);
        assert_eq!(poll(third_comes.as_mut()), Poll::Ready(Err(OutOfOrder::ShutDown)));
        assert_eq!(poll(pin!(first.come())), Poll::Ready(Ok(())));
        drop(first);
        let fourth = order.next_turn();
        assert_eq!(poll(pin!(fourth.come())), Poll::Ready(Err(OutOfOrder::ShutDown)));
        assert!(order.is_broken());
    }

    #[test]
    fn who_watches_is_told_of_every_wait_and_of_every_end() {
        let told = Arc::<AtomicUsize>::default();
        let counted = told.clone();
        let mut order = CommitOrder::new(move || _ = counted.fetch_add(1, Ordering::Relaxed));
        let [first, second, third] = three(&mut order);
        let mut comes = pin!(second.come());
        assert_eq!((poll(comes.as_mut()), poll(comes.as_mut())), (Poll::Pending, Poll::Pending));
        assert_eq!(told.load(Ordering::Relaxed), 1, "once for one wait");
        drop((first, third));
        assert_eq!(told.load(Ordering::Relaxed), 3);
    }
}
