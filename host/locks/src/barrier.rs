//! A barrier: a number of owners that wait for each other, round after round.
//!
//! The parties of one round have places that follow each other, since whoever leaves breaks the barrier: the index of a party
//! is its distance from the first.

use std::collections::VecDeque;
use std::task::Waker;

use crate::error::BrokenCause;
use crate::ids::{OwnerId, Place, Want};
use crate::kinds::Parties;
use crate::lock::Progress;
use crate::queue::{Expelled, Queue, Ticket, Wakes};
use crate::wait::Answer;

pub(crate) struct Barrier {
    parties: u32,
    parties_are: Parties,
    broken: Option<BrokenCause>,
    queue: Queue,
    /// What those were told who waited, and have not all come for it yet. In the order of their places.
    told: VecDeque<Told>,
}

/// What everyone who waited before a place was told, from the place of the one before on.
struct Told {
    before: Ticket,
    what: Verdict,
    /// How many have not come for it.
    left: usize,
}

#[derive(Clone, Copy)]
enum Verdict {
    /// The round was full; its first party had this place.
    Met {
        first: Ticket,
    },
    Broken(BrokenCause),
}

/// What a party that comes gets.
pub(crate) enum Arrival {
    /// It was the last one: the others are to be woken.
    Last {
        index: u32,
        others: Expelled,
    },
    Queued(Ticket),
    Broken(BrokenCause),
}

impl Barrier {
    pub(crate) fn new(parties: u32, parties_are: Parties) -> Self {
        assert!(parties > 0, "a barrier has at least one party");
        Self { parties, parties_are, broken: None, queue: Queue::new(), told: VecDeque::new() }
    }

    pub(crate) fn arrive(&mut self, owner: OwnerId, place: Place, now: std::time::Instant) -> Arrival {
        if let Some(cause) = self.broken {
            return Arrival::Broken(cause);
        }
        if !self.is_last() {
            return Arrival::Queued(self.queue.push(owner, place, Want::Barrier, now));
        }
        let others = match self.queue.front_ticket() {
            Some(first) => self.tell_all(Verdict::Met { first }),
            None => Expelled::default(),
        };
        Arrival::Last { index: self.parties - 1, others }
    }

    /// Whether only one party is missing, so that whoever comes next does not wait.
    pub(crate) fn is_last(&self) -> bool {
        self.queue.len() + 1 >= self.parties as usize
    }

    /// Breaks the barrier for those who wait, and those who come.
    pub(crate) fn break_up(&mut self, cause: BrokenCause) -> Expelled {
        self.broken.get_or_insert(cause);
        self.tell_all(Verdict::Broken(cause))
    }

    /// Begins anew. Whoever waits is told that the round is over.
    pub(crate) fn reset(&mut self) -> Expelled {
        self.broken = None;
        self.tell_all(Verdict::Broken(BrokenCause::Reset))
    }

    fn tell_all(&mut self, what: Verdict) -> Expelled {
        let expelled = self.queue.expel_all();
        if expelled.len() > 0 {
            self.told.push_back(Told { before: self.queue.end(), what, left: expelled.len() });
        }
        expelled
    }

    /// What was told to the waiter that had this place, which does not come for it again.
    fn collect(&mut self, ticket: Ticket) -> Option<Verdict> {
        let position = self.told.partition_point(|told| told.before <= ticket);
        let told = self.told.get_mut(position)?;
        let what = told.what;
        told.left -= 1;
        if told.left == 0 {
            self.told.remove(position);
        }
        Some(what)
    }

    /// A wait is dropped. Whoever was let go before is a party still, and only does not come for its index.
    pub(crate) fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Expelled {
        if self.queue.leave(ticket, wakes).is_some() {
            return self.break_up(BrokenCause::PartyEnded);
        }
        self.collect(ticket);
        Expelled::default()
    }

    /// A party is gone that had waited here, or waits: it had this place, or it was let go before. It breaks the barrier
    /// if it counts.
    pub(crate) fn party_gone(&mut self, ticket: Option<Ticket>, cause: BrokenCause, wakes: &mut Wakes) -> Expelled {
        let waited = ticket.is_some_and(|ticket| self.queue.take(ticket, wakes).is_some());
        if !waited && let Some(ticket) = ticket {
            // It was told something and will not come for it.
            self.collect(ticket);
        }
        if waited || self.parties_are == Parties::Registered { self.break_up(cause) } else { Expelled::default() }
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.parties_are == Parties::Registered
    }

    pub(crate) fn parties(&self) -> u32 {
        self.parties
    }

    pub(crate) fn broken(&self) -> Option<BrokenCause> {
        self.broken
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &mut Option<Waker>, wakes: &mut Wakes) -> Progress {
        if self.queue.contains(ticket) {
            self.queue.wait(ticket, waker, wakes);
            return Progress::Pending;
        }
        match self.collect(ticket) {
            Some(Verdict::Met { first }) => {
                let index =
                    u32::try_from(ticket.behind(first)).expect("a round has as many parties as a u32 can count");
                Progress::Answered(Answer::Index(index))
            }
            Some(Verdict::Broken(cause)) => Progress::Answered(Answer::Broken(cause)),
            None => Progress::Gone,
        }
    }

    pub(crate) fn check(&self) {
        assert!(self.queue.len() < self.parties as usize, "a full round goes on");
        assert!(self.broken.is_none() || self.queue.is_empty(), "nobody waits at a broken barrier");
        assert!(self.told.iter().all(|told| told.left > 0), "what everyone came for is forgotten");
    }
}
