//! The end of an owner, for those who wait for it. Whoever does is blocked by that owner as by the holder of a lock.

use std::time::Instant;

use crate::ids::{Fence, Holder, Mode, OwnerId};
use crate::queue::{Expelled, Queue};

pub(crate) struct Exit {
    of: OwnerId,
    since: Instant,
    is_over: bool,
    queue: Queue,
}

impl Exit {
    pub(crate) fn new(of: OwnerId, since: Instant) -> Self {
        Self { of, since, is_over: false, queue: Queue::new() }
    }

    /// The owner has ended, and so has every wait for that.
    pub(crate) fn end(&mut self) -> Expelled {
        self.is_over = true;
        self.queue.expel_all()
    }

    pub(crate) fn of(&self) -> OwnerId {
        self.of
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// What keeps those who wait here, in the words of locks: the owner has its own life in its hands.
    pub(crate) fn blocker(&self) -> Option<Holder> {
        let Self { of, since, .. } = *self;
        (!self.is_over).then_some(Holder { owner: of, mode: Mode::Join, count: 1, fence: Fence::new(0), since })
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }
}
