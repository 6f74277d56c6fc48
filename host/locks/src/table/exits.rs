//! Waiting for the end of an owner.

use std::sync::Arc;
use std::time::Instant;

use super::signals::{Met, no_such};
use super::{Counts, LockTable};
use crate::error::AcquireError;
use crate::ids::{Link, LockId, Mode, OwnerId, Want};
use crate::object::{Crowd, Object, crowd};
use crate::wait::{Passage, Wait};

impl LockTable {
    /// The owner whose exit this is has ended, and whoever looks may see it.
    pub fn end_exit(&self, exit: LockId) {
        self.transition(exit, |object, _| {
            let Object::Exit(exit) = object else { no_such("exit") };
            ((), crowd(exit.end()))
        });
    }

    /// Waits for the end of another owner. A wait that would close a circle is refused, as for a lock.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Deadlock`]; as [`LockTable::wait_event`].
    pub fn wait_exit(self: &Arc<Self>, owner: OwnerId, id: LockId, now: Instant) -> Result<Passage<()>, AcquireError> {
        let mut of = owner;
        let mut since = now;
        let met = self.come(owner, id, Counts::Limited, |object, place, max, _| {
            let Object::Exit(exit) = object else { no_such("exit") };
            of = exit.of();
            since = exit.blocker().map_or(now, |blocker| blocker.since);
            if exit.is_over() {
                return (Met::Ready(()), Crowd::default());
            }
            if of == owner {
                let circle = vec![itself(owner, id, since)];
                return (Met::Refused(AcquireError::Deadlock { circle }), Crowd::default());
            }
            if exit.queue().len() >= max {
                return self.queue_full(id);
            }
            (Met::Queued(exit.queue_mut().push(owner, place, Want::Exit, now)), Crowd::default())
        })?;
        let Passage::Wait(wait) = met else { return Ok(met) };
        // After it has queued, and before it looks: whoever is waited for and queues later looks too.
        if let Some(record) = self.owners.lock(of).get_mut(&of) {
            record.join();
        }
        self.unless_circle(owner, id, wait)
    }

    fn unless_circle(&self, owner: OwnerId, id: LockId, wait: Wait<()>) -> Result<Passage<()>, AcquireError> {
        match self.refuse_circle(owner, id, wait.ticket()) {
            None => Ok(Passage::Wait(wait)),
            Some(circle) => Err(AcquireError::Deadlock { circle }),
        }
    }
}

/// The smallest circle: an owner that waits for its own end.
fn itself(owner: OwnerId, exit: LockId, since: Instant) -> Link {
    Link { owner, holds: exit, held_as: Mode::Join, since, waits_for: exit, asks_as: Mode::Join }
}
