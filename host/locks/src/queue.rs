//! The one wait queue under every primitive, and the wake-ups that a transition owes.
//!
//! The queue knows who waits and since when; it does not know what a lock is, nor whose turn it is. It calls no waker: a
//! transition collects what it owes in [`Wakes`], and the table runs them after it has let its mutex go.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::ids::OwnerId;

/// A place in one queue. Later places are greater, and no place is given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticket(u64);

/// Somebody who waits.
pub(crate) struct Entry {
    pub(crate) owner: OwnerId,
    pub(crate) since: Instant,
    /// | `waker` | meaning | who may leave it |
    /// |---|---|---|
    /// | `Some` | asleep: it polled in vain and must be woken to come again | [`Queue::rouse_front`], the removal |
    /// | `None` | on its way: woken since it last polled, or never polled yet | [`Queue::register`], the removal |
    waker: Option<Waker>,
}

impl Entry {
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.waker.is_some()
    }
}

/// Who waits, in the order of arrival. A tree and not a list, so that the 100,000th waiter can leave as cheaply as the
/// first, and no place has to be kept for those who left.
pub(crate) struct Queue {
    next: u64,
    entries: BTreeMap<Ticket, Entry>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { next: 0, entries: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Queues behind everyone else. The new waiter counts as on its way until it registers.
    pub(crate) fn push(&mut self, owner: OwnerId, since: Instant) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let replaced = self.entries.insert(ticket, Entry { owner, since, waker: None });
        assert!(replaced.is_none(), "{ticket:?} was given twice");
        ticket
    }

    pub(crate) fn front(&self) -> Option<&Entry> {
        self.entries.first_key_value().map(|(_, entry)| entry)
    }

    pub(crate) fn is_front(&self, ticket: Ticket) -> bool {
        self.entries.first_key_value().is_some_and(|(front, _)| *front == ticket)
    }

    pub(crate) fn contains(&self, ticket: Ticket) -> bool {
        self.entries.contains_key(&ticket)
    }

    /// Notes whom to wake for this waiter from now on.
    ///
    /// # Panics
    ///
    /// If the waiter is not in the queue.
    pub(crate) fn register(&mut self, ticket: Ticket, waker: Waker, wakes: &mut Wakes) {
        let entry = self.entries.get_mut(&ticket).expect("who registers is in the queue");
        wakes.retire(entry.waker.replace(waker));
    }

    /// Wakes the waiter at the front, unless it is on its way anyway. It keeps its place.
    pub(crate) fn rouse_front(&mut self, wakes: &mut Wakes) {
        if let Some(mut front) = self.entries.first_entry() {
            wakes.wake(front.get_mut().waker.take());
        }
    }

    /// Takes the waiter at the front out of the queue and wakes it.
    pub(crate) fn pop_front(&mut self, wakes: &mut Wakes) -> Option<(Ticket, Entry)> {
        let (ticket, mut entry) = self.entries.pop_first()?;
        wakes.wake(entry.waker.take());
        Some((ticket, entry))
    }

    /// Takes a waiter out that knows it: its waker is not called. Says whether it was in the queue.
    pub(crate) fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) -> bool {
        self.entries.remove(&ticket).is_some_and(|entry| {
            wakes.retire(entry.waker);
            true
        })
    }

    /// Takes a waiter out that does not know it, and wakes it. Says whether it was in the queue.
    pub(crate) fn expel(&mut self, ticket: Ticket, wakes: &mut Wakes) -> bool {
        self.entries.remove(&ticket).is_some_and(|entry| {
            wakes.wake(entry.waker);
            true
        })
    }

    /// Takes everyone out. The caller wakes them outside its mutex: they may be a hundred thousand.
    pub(crate) fn expel_all(&mut self) -> Expelled {
        Expelled(std::mem::take(&mut self.entries))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticket, &Entry)> {
        self.entries.iter().map(|(ticket, entry)| (*ticket, entry))
    }
}

/// Everyone who was in a queue, not woken yet.
#[must_use = "whoever was expelled has to be woken"]
pub(crate) struct Expelled(BTreeMap<Ticket, Entry>);

impl Expelled {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Wakes them all. No mutex may be held.
    pub(crate) fn run(self) {
        self.0.into_values().filter_map(|entry| entry.waker).for_each(Waker::wake);
    }
}

/// What one transition owes to wakers: calls, and drops of those that were replaced. Both run foreign code, so both
/// wait until the mutex is let go. The size is fixed, for nothing may be allocated for it under the mutex.
#[derive(Default)]
#[must_use = "a wake-up that is not run is lost"]
pub(crate) struct Wakes {
    /// At most two: a waiter that is expelled, and the next one, to whom its wake-up passes.
    call: [Option<Waker>; 2],
    /// At most one: the waker of the waiter that called.
    retired: Option<Waker>,
}

impl Wakes {
    fn wake(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            let place = self.call.iter_mut().find(|place| place.is_none());
            *place.expect("one transition wakes at most two waiters") = waker;
        }
    }

    fn retire(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            assert!(self.retired.is_none(), "one transition retires at most one waker");
            self.retired = waker;
        }
    }

    /// Runs the wake-ups. No mutex may be held.
    pub(crate) fn run(self) {
        self.call.into_iter().flatten().for_each(Waker::wake);
    }
}
