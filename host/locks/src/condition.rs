//! A condition: a queue of those who let a lock go until they are notified.
//!
//! A notification belongs to its waiter until that one has the lock again ([`crate::Notification`]). Until then it passes on
//! to the next in the queue if the waiter ends.

use crate::ids::LockId;
use crate::queue::{Expelled, Queue, Ticket};

pub(crate) struct Condition {
    lock: LockId,
    queue: Queue,
    /// Who had a place before this one was notified, or has left by itself.
    notified_before: Ticket,
}

impl Condition {
    pub(crate) fn new(lock: LockId) -> Self {
        let queue = Queue::new();
        Self { lock, notified_before: queue.end(), queue }
    }

    pub(crate) fn lock(&self) -> LockId {
        self.lock
    }

    /// Notifies the first ones.
    pub(crate) fn notify(&mut self, count: usize) -> Expelled {
        let expelled = self.queue.expel_first(count);
        if expelled.len() > 0 {
            self.notified_before = self.queue.front_ticket().unwrap_or_else(|| self.queue.end());
        }
        expelled
    }

    /// A waiter that was notified ends before it had the lock again: the next one is notified instead.
    pub(crate) fn pass_on(&mut self, ticket: Ticket) -> Expelled {
        if self.has_notified(ticket) { self.notify(1) } else { Expelled::default() }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Whether a waiter that had this place was notified, or left by itself.
    pub(crate) fn has_notified(&self, ticket: Ticket) -> bool {
        !self.queue.contains(ticket) && ticket < self.notified_before
    }
}
