//! The end of a hold, or of a wait, by somebody else: revocations, the end of an owner, the shut-down.

use std::time::Instant;

use super::{Flight, Health, Lock, Notice, Phase, Taken};
use crate::holds::Stage;
use crate::ids::{EndCause, Fence, Mode, OwnerId, Previous};
use crate::kinds::AfterDeath;
use crate::queue::{Expelled, Ticket, Wakes};

impl Lock {
    /// Takes the hold away if it is the expected one. It is not live from here on, and nobody is granted before
    /// [`Lock::finish_revoke`]. A wait for more of the same lock (`ticket`) is over.
    pub(crate) fn begin_revoke(
        &mut self,
        owner: OwnerId,
        fence: Fence,
        how: EndCause,
        ticket: Option<Ticket>,
        wakes: &mut Wakes,
    ) -> Option<Taken> {
        if let Some(hold) = self.holds.get_mut(owner) {
            if hold.fence != fence || !hold.is_live() {
                return None;
            }
            hold.stage = Stage::Revoking;
            let exclusive = hold.mode == Mode::Exclusive;
            self.counters.abandoned += 1;
            if exclusive {
                self.taken_from = Some(owner);
            }
            if exclusive && self.config.after_death != AfterDeath::Ignore {
                self.previous = Previous::Abandoned { how, who: owner };
                if self.config.after_death == AfterDeath::Poison {
                    self.health = Health::Inconsistent;
                }
            }
            // More of the same, granted or not, goes with it.
            if self.flight.is_some_and(|flight| flight.hold.owner == owner) {
                self.counters.passed_on += 1;
                self.withdraw_flight();
            }
            if let Some(ticket) = ticket {
                self.queue.take(ticket, wakes);
            }
            self.settle(None, wakes);
            return Some(Taken { fence, notice: Notice::Told });
        }
        let flight = self.flight.as_mut()?;
        if flight.hold.owner != owner || flight.hold.fence != fence || !flight.hold.is_live() {
            return None;
        }
        flight.hold.stage = Stage::Revoking;
        self.counters.passed_on += 1;
        Some(Taken { fence, notice: Notice::NeverTold })
    }

    /// Grants the next owner after a hold was taken away.
    ///
    /// # Panics
    ///
    /// If this is not the hold that was taken away.
    pub(crate) fn finish_revoke(&mut self, owner: OwnerId, fence: Fence, now: Instant, wakes: &mut Wakes) {
        let now = self.note_exactly(now);
        if let Some(hold) = self.holds.get(owner).copied() {
            assert_eq!((hold.stage, hold.fence), (Stage::Revoking, fence), "the hold that ends was taken away before");
            self.holds.remove(owner);
            self.counters.longest_hold = self.counters.longest_hold.max(now.saturating_duration_since(hold.since));
            if let Some(permits) = self.rule.permits() {
                permits.put_back(hold.count);
            }
        } else {
            let flight = self.flight.expect("between the halves of a revocation there is a hold");
            let Flight { hold, .. } = flight;
            assert_eq!((hold.owner, hold.fence), (owner, fence), "the hold that ends is the one that was taken away");
            assert_eq!(hold.stage, Stage::Revoking, "the hold that ends was taken away before");
            self.withdraw_flight();
        }
        self.settle(None, wakes);
    }

    /// The owner ends: its hold is taken away, and its wait (`ticket`, if it queued) is over.
    pub(crate) fn end(
        &mut self,
        owner: OwnerId,
        ticket: Option<Ticket>,
        how: EndCause,
        wakes: &mut Wakes,
    ) -> Option<Taken> {
        let in_flight = self.flight.filter(|flight| flight.hold.owner == owner).map(|flight| flight.hold.fence);
        if in_flight.is_some() && self.rule.is_unowned() {
            self.counters.passed_on += 1;
            self.withdraw_flight();
            self.settle(None, wakes);
            return None;
        }
        let fence = self.holds.get(owner).map(|hold| hold.fence).or(in_flight);
        let waits = ticket.is_some_and(|ticket| self.queue.contains(ticket));
        if let Some(taken) = fence.and_then(|fence| self.begin_revoke(owner, fence, how, ticket, wakes)) {
            self.counters.cancelled += u64::from(waits);
            return Some(taken);
        }
        // Also while an earlier hold of its own is being taken away: it may have been told, and have asked again.
        let ticket = ticket?;
        let was_front = self.queue.is_front(ticket);
        if self.queue.take(ticket, wakes).is_some() {
            self.counters.cancelled += 1;
            if was_front {
                self.settle(None, wakes);
            }
        }
        None
    }

    /// Nobody is granted from here on. A hold stays until its owner releases it; a grant in flight is withdrawn.
    pub(crate) fn close(&mut self) -> Expelled {
        self.phase = Phase::Closed;
        if self.flight.is_some_and(|flight| flight.hold.is_live()) {
            self.counters.passed_on += 1;
            self.counters.cancelled += 1;
            self.withdraw_flight();
        }
        let expelled = self.queue.expel_all();
        self.counters.cancelled += expelled.len() as u64;
        expelled
    }
}
