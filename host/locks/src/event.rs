//! An event: a flag to wait for. Everyone who waits when it is set has seen it, whatever comes next.

use std::task::Waker;

use crate::lock::Progress;
use crate::queue::{Expelled, Queue, Ticket, Wakes};
use crate::wait::Answer;

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

    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &mut Option<Waker>, wakes: &mut Wakes) -> Progress {
        if self.queue.contains(ticket) {
            self.queue.wait(ticket, waker, wakes);
            Progress::Pending
        } else if ticket < self.seen_before {
            Progress::Answered(Answer::Done)
        } else {
            Progress::Gone
        }
    }
}
