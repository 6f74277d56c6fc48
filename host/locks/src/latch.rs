//! A latch: a number that is counted down to zero, once.

use std::task::Waker;

use crate::lock::Progress;
use crate::queue::{Expelled, Queue, Ticket, Wakes};
use crate::wait::Answer;

pub(crate) struct Latch {
    remaining: u32,
    queue: Queue,
}

impl Latch {
    pub(crate) fn new(count: u32) -> Self {
        Self { remaining: count, queue: Queue::new() }
    }

    /// What is left, and whoever has waited long enough. `None` if fewer are left than are to be counted.
    pub(crate) fn count_down(&mut self, count: u32) -> Option<(u32, Expelled)> {
        self.remaining = self.remaining.checked_sub(count)?;
        let expelled = if self.remaining == 0 { self.queue.expel_all() } else { Expelled::default() };
        Some((self.remaining, expelled))
    }

    pub(crate) fn remaining(&self) -> u32 {
        self.remaining
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
        } else if self.remaining == 0 {
            Progress::Answered(Answer::Done)
        } else {
            Progress::Gone
        }
    }
}
