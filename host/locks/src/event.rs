//! An event: a flag to wait for. Everyone who waits when it is set has seen it, whatever comes next.

use crate::queue::{Expelled, Queue, Ticket};

pub(crate) struct Event {
    set: bool,
    queue: Queue,
    /// Who had a place before this one when the flag was set last has seen it.
    seen_before: Ticket,
}

impl Event {
    pub(crate) fn new() -> Self {
        let queue = Queue::new();
        Self { set: false, seen_before: queue.end(), queue }
    }

    pub(crate) fn set(&mut self) -> Expelled {
        self.set = true;
        self.seen_before = self.queue.end();
        self.queue.expel_all()
    }

    pub(crate) fn clear(&mut self) {
        self.set = false;
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Whether a waiter that had this place has seen the flag set.
    pub(crate) fn was_seen_by(&self, ticket: Ticket) -> bool {
        ticket < self.seen_before
    }
}
