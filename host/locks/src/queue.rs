//! The one wait queue under every primitive, and the wake-ups that a transition owes.
//!
//! The queue knows who waits and since when; it does not know what a lock is, nor whose turn it is. It calls no waker: a
//! transition collects what it owes in [`Wakes`], and the table runs them after it has let its mutex go.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::ids::{Counters, OwnerId, Place, Waiter, Want};

/// A place in one queue. Later places are greater, and no place is given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticket(u64);

/// A queue gives its places out from the middle of the numbers, as a few stand before all others.
const MIDDLE: u64 = 1 << 60;

/// How far a queue is searched for a waiter of one place. Whoever stands farther back is found later.
const SEARCHED: usize = 64;

impl Ticket {
    /// How many places this one is behind another.
    pub(crate) fn behind(self, other: Self) -> u64 {
        self.0 - other.0
    }
}

/// Somebody who waits.
pub(crate) struct Entry {
    pub(crate) owner: OwnerId,
    pub(crate) since: Instant,
    pub(crate) place: Place,
    pub(crate) want: Want,
    /// | `waker` | meaning | who may leave it |
    /// |---|---|---|
    /// | `Some` | asleep: it polled in vain and must be woken to come again | [`Queue::rouse`], the removal |
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

    pub(crate) fn waiter(&self) -> Waiter {
        Waiter { owner: self.owner, want: self.want, since: self.since }
    }
}

/// Who waits, in the order of arrival. A tree and not a list, so that the 100,000th waiter can leave as cheaply as the
/// first, and no place has to be kept for those who left.
pub(crate) struct Queue {
    next: u64,
    /// Where the places of those begin who stand in the order of arrival.
    middle: Ticket,
    /// The place before all that were given.
    ahead: u64,
    entries: BTreeMap<Ticket, Entry>,
    /// How many wait in each place of the host.
    at: Vec<u32>,
    /// Nobody waits here any more.
    closed: bool,
    /// How many ever waited here, and how many of them to their deadline.
    waited: u64,
    timed_out: u64,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self::lane(0)
    }

    /// A queue whose places are not those of another lane, for a primitive with several.
    pub(crate) fn lane(lane: u64) -> Self {
        let middle = MIDDLE * (2 * lane + 1);
        let (entries, at) = (BTreeMap::new(), Vec::new());
        Self {
            next: middle,
            middle: Ticket(middle),
            ahead: middle - 1,
            entries,
            at,
            closed: false,
            waited: 0,
            timed_out: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Queues behind everyone else. The new waiter counts as on its way until it registers.
    pub(crate) fn push(&mut self, owner: OwnerId, place: Place, want: Want, since: Instant) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.insert(ticket, Entry { owner, since, place, want, waker: None });
        ticket
    }

    /// Queues ahead of everyone else.
    pub(crate) fn push_ahead(&mut self, owner: OwnerId, place: Place, want: Want, since: Instant) -> Ticket {
        let ticket = Ticket(self.ahead);
        self.ahead -= 1;
        self.insert(ticket, Entry { owner, since, place, want, waker: None });
        ticket
    }

    fn insert(&mut self, ticket: Ticket, entry: Entry) {
        let place = usize::from(entry.place.0);
        if self.at.len() <= place {
            self.at.resize(place + 1, 0);
        }
        self.at[place] += 1;
        self.waited += 1;
        let replaced = self.entries.insert(ticket, entry);
        assert!(replaced.is_none(), "{ticket:?} was given twice");
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Entry> {
        let entry = self.entries.remove(&ticket)?;
        self.at[usize::from(entry.place.0)] -= 1;
        Some(entry)
    }

    /// A deadline has come: the waiter goes. Says whether it was in the queue.
    pub(crate) fn time_out(&mut self, ticket: Ticket, wakes: &mut Wakes) -> bool {
        let waited = self.leave(ticket, wakes).is_some();
        self.timed_out += u64::from(waited);
        waited
    }

    /// Counts a waiter out whose deadline has come.
    pub(crate) fn count_timeout(&mut self) {
        self.timed_out += 1;
    }

    /// How many waited here, and how many of them to their deadline.
    pub(crate) fn counters(&self) -> Counters {
        Counters { contended: self.waited, timeouts: self.timed_out, ..Counters::default() }
    }

    /// The place that is given next.
    pub(crate) fn end(&self) -> Ticket {
        Ticket(self.next)
    }

    /// Whether everyone who waits does so in this place.
    pub(crate) fn is_all_at(&self, place: Place) -> bool {
        self.at.get(usize::from(place.0)).map_or(0, |at| *at as usize) == self.entries.len()
    }

    /// The first waiter of a place, if it stands near the front.
    pub(crate) fn first_at(&self, place: Place) -> Option<Ticket> {
        self.first(|entry| entry.place == place)
    }

    /// The first waiter of any other place, if it stands near the front.
    pub(crate) fn first_not_at(&self, place: Place) -> Option<Ticket> {
        self.first(|entry| entry.place != place)
    }

    fn first(&self, is: impl Fn(&Entry) -> bool) -> Option<Ticket> {
        self.entries.iter().take(SEARCHED).find(|(_, entry)| is(entry)).map(|(ticket, _)| *ticket)
    }

    pub(crate) fn get(&self, ticket: Ticket) -> Option<&Entry> {
        self.entries.get(&ticket)
    }

    pub(crate) fn front_ticket(&self) -> Option<Ticket> {
        self.entries.first_key_value().map(|(ticket, _)| *ticket)
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

    /// A waiter has looked in vain: notes whom to wake.
    pub(crate) fn wait(&mut self, ticket: Ticket, waker: &mut Option<Waker>, wakes: &mut Wakes) {
        self.register(ticket, waker.take().expect("who polls brings a waker"), wakes);
    }

    /// Wakes a waiter, unless it is on its way anyway. It keeps its place.
    pub(crate) fn rouse(&mut self, ticket: Ticket, wakes: &mut Wakes) {
        if let Some(entry) = self.entries.get_mut(&ticket) {
            wakes.wake(entry.waker.take());
        }
    }

    /// Wakes the waiter at the front, unless it is on its way anyway.
    pub(crate) fn rouse_front(&mut self, wakes: &mut Wakes) {
        if let Some(mut front) = self.entries.first_entry() {
            wakes.wake(front.get_mut().waker.take());
        }
    }

    /// Takes a waiter out, for good, and wakes it.
    pub(crate) fn take(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Option<Entry> {
        let mut entry = self.remove(ticket)?;
        wakes.wake(entry.waker.take());
        Some(entry)
    }

    /// Takes a waiter out that knows it: its waker is not called. Says whether it was in the queue.
    pub(crate) fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Option<Entry> {
        let mut entry = self.remove(ticket)?;
        wakes.retire(entry.waker.take());
        Some(entry)
    }

    /// Takes everyone out. The caller wakes them outside its mutex: they may be a hundred thousand.
    pub(crate) fn expel_all(&mut self) -> Expelled {
        self.at.fill(0);
        Expelled::of(std::mem::take(&mut self.entries))
    }

    /// Takes everyone out, for good: nobody is to come again.
    pub(crate) fn close(&mut self) -> Expelled {
        self.closed = true;
        self.expel_all()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the first ones out. The caller wakes them outside its mutex.
    pub(crate) fn expel_first(&mut self, count: usize) -> Expelled {
        let Some(rest) = self.entries.keys().nth(count).copied() else {
            return self.expel_all();
        };
        let rest = self.entries.split_off(&rest);
        let first = std::mem::replace(&mut self.entries, rest);
        for entry in first.values() {
            self.at[usize::from(entry.place.0)] -= 1;
        }
        Expelled::of(first)
    }

    /// Asserts what takes a walk through everyone: nobody waits since a time that has not come, and those who did not come
    /// ahead of the others stand in the order of arrival.
    pub(crate) fn check(&self, latest: Instant) {
        assert!(
            self.entries.values().all(|entry| entry.since <= latest),
            "nobody waits since a time that has not come"
        );
        let in_order = self.entries.range(self.middle..);
        let mut since: Option<Instant> = None;
        for (_, entry) in in_order {
            assert!(since.is_none_or(|since| since <= entry.since), "waiters stand in the order of arrival");
            since = Some(entry.since);
        }
        let places: usize = self.at.iter().map(|at| *at as usize).sum();
        assert_eq!(places, self.entries.len(), "everyone who waits does so in some place");
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticket, &Entry)> {
        self.entries.iter().map(|(ticket, entry)| (*ticket, entry))
    }
}

/// Everyone who was in a queue, not woken yet.
#[derive(Default)]
#[must_use = "whoever was expelled has to be woken"]
pub(crate) struct Expelled(Option<BTreeMap<Ticket, Entry>>);

impl Expelled {
    /// Nearly every transition expels nobody, and an empty tree is not free to drop.
    fn of(entries: BTreeMap<Ticket, Entry>) -> Self {
        Self((!entries.is_empty()).then_some(entries))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, BTreeMap::len)
    }

    /// Wakes them all. No mutex may be held.
    pub(crate) fn run(self) {
        let entries = self.0.into_iter().flat_map(BTreeMap::into_values);
        entries.filter_map(|entry| entry.waker).for_each(Waker::wake);
    }
}

/// What one transition owes to wakers: calls, and drops of those that were replaced. Both run foreign code, so both
/// wait until the mutex is let go. The size is fixed, for nothing may be allocated for it under the mutex.
#[derive(Default)]
#[must_use = "a wake-up that is not run is lost"]
pub(crate) struct Wakes {
    /// At most three: a waiter that is taken out, and the next ones, here and elsewhere, to whom its wake-up passes.
    call: [Option<Waker>; 3],
    /// At most one: the waker of the waiter that called.
    retired: Option<Waker>,
    /// Whoever keeps the gate of the lock.
    keeper: Option<Waker>,
}

impl Wakes {
    fn wake(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            let place = self.call.iter_mut().find(|place| place.is_none());
            *place.expect("one transition wakes at most three waiters") = waker;
        }
    }

    fn retire(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            assert!(self.retired.is_none(), "one transition retires at most one waker");
            self.retired = waker;
        }
    }

    /// Tells whoever keeps the gate that there is something to do.
    pub(crate) fn ring(&mut self, bell: Option<Waker>) {
        if bell.is_some() {
            self.keeper = bell;
        }
    }

    /// Runs the wake-ups. No mutex may be held.
    pub(crate) fn run(self) {
        self.call.into_iter().flatten().for_each(Waker::wake);
        if let Some(keeper) = self.keeper {
            keeper.wake();
        }
    }
}
