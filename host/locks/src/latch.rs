//! A latch: a number that is counted down to zero, once.

use crate::queue::{Expelled, Queue};

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
}
