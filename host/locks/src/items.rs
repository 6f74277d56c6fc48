//! A queue of items: first in, first out, with a bound on both.
//!
//! Three kinds of owners wait here, each in a lane of its own: those who put, those who get, and those who wait for all to
//! be finished. Nothing is handed to a sleeper: whoever is woken comes and takes, and wakes the next if there is more. So an
//! item is in the host until somebody has it, and whoever dies on the way has nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::ids::{Counters, Item, OwnerId, Place, Want};
use crate::kinds::{Delivery, QueueConfig};
use crate::lock::Progress;
use crate::queue::{Expelled, Queue, Ticket, Wakes};
use crate::wait::Answer;

pub(crate) struct Items {
    config: QueueConfig,
    items: VecDeque<Item>,
    /// Their bytes, and those of the items that are out and may come back.
    bytes: u64,
    /// Items that somebody got and has not finished, with acknowledgement.
    out: BTreeMap<(OwnerId, u64), Item>,
    /// Items that were put and are not finished.
    unfinished: u64,
    next_number: u64,
    closed: bool,
    putters: Queue,
    getters: Queue,
    joiners: Queue,
    /// Who had a place among those who join before this one has seen everything finished, whatever came next.
    joined_before: Ticket,
    counters: Counters,
}

/// What a request came to that may wait.
pub(crate) enum Passage<T> {
    Through(T),
    Busy,
    Closed,
    /// Larger than the queue can ever hold, or more than an owner may have out.
    TooMuch,
}

/// Why an item is not finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotDone {
    NotHeld,
    OverRelease,
}

impl Items {
    pub(crate) fn new(config: QueueConfig) -> Self {
        assert!(config.items_max > 0, "a queue has room for at least one item");
        let joiners = Queue::lane(2);
        Self {
            config,
            items: VecDeque::new(),
            bytes: 0,
            out: BTreeMap::new(),
            unfinished: 0,
            next_number: 1,
            closed: false,
            putters: Queue::lane(0),
            getters: Queue::lane(1),
            joined_before: joiners.end(),
            joiners,
            counters: Counters::default(),
        }
    }

    // ---- requests of an owner ----

    /// Stores an item, if there is room that nobody waits for.
    pub(crate) fn try_put(&mut self, bytes: &mut Option<Arc<[u8]>>, wakes: &mut Wakes) -> Passage<u64> {
        if self.closed {
            return Passage::Closed;
        }
        let length = bytes.as_ref().expect("who puts brings an item").len() as u64;
        if length > self.config.bytes_max {
            return Passage::TooMuch;
        }
        if !self.putters.is_empty() || !self.has_room(length) {
            return Passage::Busy;
        }
        Passage::Through(self.store(bytes, wakes))
    }

    /// Takes an item, if there is one that nobody waits for.
    pub(crate) fn try_get(&mut self, owner: OwnerId, wakes: &mut Wakes) -> Passage<Item> {
        if self.has_too_many(owner) {
            return Passage::TooMuch;
        }
        if self.items.len() > self.getters.len() {
            self.counters.barged += u64::from(!self.getters.is_empty());
            return Passage::Through(self.fetch(owner, wakes));
        }
        if self.is_over() { Passage::Closed } else { Passage::Busy }
    }

    pub(crate) fn wait(&mut self, owner: OwnerId, place: Place, want: Want, now: Instant) -> Ticket {
        self.lane(want).push(owner, place, want, now)
    }

    pub(crate) fn waiting(&self, want: Want) -> usize {
        match want {
            Want::Put => self.putters.len(),
            Want::Get => self.getters.len(),
            _ => self.joiners.len(),
        }
    }

    /// An item is finished. Whoever waits for the last one is to be woken.
    pub(crate) fn task_done(&mut self, owner: OwnerId, number: u64, wakes: &mut Wakes) -> Result<Expelled, NotDone> {
        if let Delivery::Acknowledged { .. } = self.config.delivery {
            let item = self.out.remove(&(owner, number)).ok_or(NotDone::NotHeld)?;
            self.bytes -= item.bytes.len() as u64;
        }
        self.unfinished = self.unfinished.checked_sub(1).ok_or(NotDone::OverRelease)?;
        self.rouse(wakes);
        if self.unfinished > 0 {
            return Ok(Expelled::default());
        }
        self.joined_before = self.joiners.end();
        Ok(self.joiners.expel_all())
    }

    /// Whether nothing is left to wait for, for who joins.
    pub(crate) fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Nothing more can be put. Those who wait to put, and those who wait for what cannot come, are to be woken.
    pub(crate) fn close_put(&mut self) -> [Expelled; 2] {
        self.closed = true;
        [self.putters.expel_all(), self.expel_if_over()]
    }

    /// What an owner had and did not finish goes back to the head, in the order in which it was put. Its wait is over.
    pub(crate) fn end(&mut self, owner: OwnerId, ticket: Option<Ticket>, wakes: &mut Wakes) {
        let first = self.out.range((owner, 0)..).next().map(|(key, _)| *key).filter(|(who, _)| *who == owner);
        if first.is_some() {
            // From the latest to the first, each ahead of the one before.
            while let Some(key) = self.out.range((owner, 0)..=(owner, u64::MAX)).next_back().map(|(key, _)| *key) {
                let mut item = self.out.remove(&key).expect("it was just found");
                item.returned += 1;
                self.items.push_front(item);
            }
        }
        if let Some(ticket) = ticket {
            let waited = [&mut self.putters, &mut self.getters, &mut self.joiners]
                .into_iter()
                .any(|queue| queue.take(ticket, wakes).is_some());
            self.counters.cancelled += u64::from(waited);
        }
        self.rouse(wakes);
    }

    /// Nobody waits any more.
    pub(crate) fn shut_down(&mut self) -> [Expelled; 3] {
        self.closed = true;
        let everyone = [self.putters.close(), self.getters.close(), self.joiners.close()];
        self.counters.cancelled += everyone.iter().map(|expelled| expelled.len() as u64).sum::<u64>();
        everyone
    }

    // ---- a wait ----

    pub(crate) fn poll(
        &mut self,
        ticket: Ticket,
        offer: &mut Option<Arc<[u8]>>,
        waker: &mut Option<Waker>,
        wakes: &mut Wakes,
    ) -> Progress {
        let progress = self.advance(ticket, offer, wakes);
        if matches!(progress, Progress::Pending) {
            for queue in [&mut self.putters, &mut self.getters, &mut self.joiners] {
                if queue.contains(ticket) {
                    queue.wait(ticket, waker, wakes);
                }
            }
        }
        progress
    }

    pub(crate) fn advance(&mut self, ticket: Ticket, offer: &mut Option<Arc<[u8]>>, wakes: &mut Wakes) -> Progress {
        if self.putters.contains(ticket) {
            let length = offer.as_ref().expect("who waits to put has an item").len() as u64;
            if !self.putters.is_front(ticket) || !self.has_room(length) {
                return Progress::Pending;
            }
            self.putters.leave(ticket, wakes);
            return Progress::Answered(Answer::Stored(self.store(offer, wakes)));
        }
        if let Some(entry) = self.getters.get(ticket) {
            let owner = entry.owner;
            // As many may come as there are items, in whichever order they do.
            if self.items.is_empty() || !self.getters.is_front(ticket) {
                return Progress::Pending;
            }
            self.getters.leave(ticket, wakes);
            return Progress::Answered(Answer::Item(self.fetch(owner, wakes)));
        }
        if self.joiners.contains(ticket) {
            return Progress::Pending;
        }
        match Lane::of(ticket, [&self.putters, &self.getters, &self.joiners]) {
            Lane::Join if ticket < self.joined_before => Progress::Answered(Answer::Done),
            Lane::Put | Lane::Get if self.closed => Progress::Answered(Answer::Closed),
            _ => Progress::Gone,
        }
    }

    /// A waiter goes that knows it.
    pub(crate) fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) {
        for queue in [&mut self.putters, &mut self.getters, &mut self.joiners] {
            if queue.leave(ticket, wakes).is_some() {
                break;
            }
        }
        self.rouse(wakes);
    }

    /// The deadline of a waiter has come.
    pub(crate) fn time_out(&mut self, ticket: Ticket, wakes: &mut Wakes) {
        for queue in [&mut self.putters, &mut self.getters, &mut self.joiners] {
            if queue.time_out(ticket, wakes) {
                break;
            }
        }
        self.rouse(wakes);
    }

    // ---- the items ----

    fn has_room(&self, length: u64) -> bool {
        self.items.len() < self.config.items_max as usize && self.bytes + length <= self.config.bytes_max
    }

    fn has_too_many(&self, owner: OwnerId) -> bool {
        match self.config.delivery {
            Delivery::AtMostOnce => false,
            Delivery::Acknowledged { unfinished_max } => {
                self.out.range((owner, 0)..=(owner, u64::MAX)).take(unfinished_max as usize).count()
                    >= unfinished_max as usize
            }
        }
    }

    /// Whether nothing can come any more: closed, nothing in it, and nothing out that could come back.
    fn is_over(&self) -> bool {
        self.closed && self.items.is_empty() && self.out.is_empty()
    }

    fn store(&mut self, bytes: &mut Option<Arc<[u8]>>, wakes: &mut Wakes) -> u64 {
        let bytes = bytes.take().expect("who puts brings an item");
        let number = self.next_number;
        self.next_number += 1;
        self.bytes += bytes.len() as u64;
        self.unfinished += 1;
        self.items.push_back(Item { number, returned: 0, bytes });
        self.rouse(wakes);
        number
    }

    fn fetch(&mut self, owner: OwnerId, wakes: &mut Wakes) -> Item {
        let item = self.items.pop_front().expect("there is an item");
        self.counters.acquired += 1;
        match self.config.delivery {
            Delivery::AtMostOnce => self.bytes -= item.bytes.len() as u64,
            Delivery::Acknowledged { .. } => {
                self.out.insert((owner, item.number), item.clone());
            }
        }
        self.rouse(wakes);
        item
    }

    /// Wakes whoever is first and could go on.
    fn rouse(&mut self, wakes: &mut Wakes) {
        if !self.items.is_empty() {
            self.getters.rouse_front(wakes);
        }
        // Whether its bytes fit only the putter knows, and one without bytes always does.
        if self.items.len() < self.config.items_max as usize {
            self.putters.rouse_front(wakes);
        }
    }

    fn expel_if_over(&mut self) -> Expelled {
        if self.is_over() { self.getters.expel_all() } else { Expelled::default() }
    }

    /// Whoever waits for what cannot come any more.
    pub(crate) fn sweep(&mut self) -> Expelled {
        self.expel_if_over()
    }

    fn lane(&mut self, want: Want) -> &mut Queue {
        match want {
            Want::Put => &mut self.putters,
            Want::Get => &mut self.getters,
            _ => &mut self.joiners,
        }
    }

    // ---- looking ----

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn unfinished(&self) -> u64 {
        self.unfinished
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the owner has items that it did not finish.
    pub(crate) fn is_out_with(&self, owner: OwnerId) -> bool {
        self.out.range((owner, 0)..=(owner, u64::MAX)).next().is_some()
    }

    pub(crate) fn counters(&self) -> Counters {
        let lanes = self.queues().map(Queue::counters);
        Counters {
            contended: lanes.iter().map(|lane| lane.contended).sum(),
            timeouts: lanes.iter().map(|lane| lane.timeouts).sum(),
            ..self.counters
        }
    }

    pub(crate) fn queues(&self) -> [&Queue; 3] {
        [&self.putters, &self.getters, &self.joiners]
    }

    pub(crate) fn check(&self) {
        assert!(self.bytes <= self.config.bytes_max, "a queue holds no more bytes than it may");
        let asleep = |queue: &Queue| queue.front().is_some_and(crate::queue::Entry::is_asleep);
        assert!(
            self.items.is_empty() || !asleep(&self.getters),
            "if there is an item, whoever is first to get is awake"
        );
        assert!(self.unfinished > 0 || self.joiners.is_empty(), "nobody waits for what is finished");
        assert!(!self.closed || self.putters.is_empty(), "nobody waits to put into a closed queue");
    }
}

enum Lane {
    Put,
    Get,
    Join,
}

impl Lane {
    /// In which lane somebody waited that waits no more.
    fn of(ticket: Ticket, [putters, getters, _]: [&Queue; 3]) -> Self {
        if ticket < putters.end() {
            Self::Put
        } else if ticket < getters.end() {
            Self::Get
        } else {
            Self::Join
        }
    }
}
