//! What can be seen of a lock, by its fences, by those who look, and by the checks of its invariants.

use std::time::Instant;

use super::{Block, Lock, Phase, harder};
use crate::error::ClaimError;
use crate::holds::Hold;
use crate::ids::{Ask, Counters, Fence, FenceBlock, GatePhase, Holder, LockState, Mode, OwnerId, Place, Want};
use crate::queue::{Queue, Ticket};
use crate::rule::Rule;

impl Lock {
    /// Compares a claim with the record of this lock.
    pub(crate) fn check_claim(&self, owner: OwnerId, claim: Fence) -> Result<(), ClaimError> {
        let Some(current) = self.fences.newest().filter(|newest| claim <= *newest) else {
            return Err(ClaimError::NeverIssued { claim });
        };
        if self.held_fence(owner) == Some(claim) {
            return Ok(());
        }
        if claim < current {
            return Err(ClaimError::Fenced { current });
        }
        let live = self.holds.iter().any(Hold::is_live) || self.flight.is_some_and(|flight| flight.hold.is_live());
        // Whoever released it, or never had it, needs the lock; whoever lost it is told so.
        Err(if self.taken_from == Some(owner) && !live {
            ClaimError::Fenced { current }
        } else {
            ClaimError::LockRequired
        })
    }

    pub(crate) fn add_fences(&mut self, block: FenceBlock) {
        self.fences.add(block);
    }

    pub(crate) fn fences_left(&self) -> u64 {
        self.fences.left()
    }

    // ---- looking ----

    /// The fence of the owner's live hold, if it is one that allows to write.
    pub(crate) fn held_fence(&self, owner: OwnerId) -> Option<Fence> {
        self.held(owner).filter(|hold| hold.mode == Mode::Exclusive).map(|hold| hold.fence)
    }

    /// The owner's live hold.
    pub(crate) fn held(&self, owner: OwnerId) -> Option<Holder> {
        self.holds.get(owner).filter(|hold| hold.is_live()).map(Hold::holder)
    }

    /// Whether the owner has anything of this lock. What is being taken away is not its own any more.
    pub(crate) fn is_held_by(&self, owner: OwnerId) -> bool {
        self.holds.get(owner).is_some_and(Hold::is_live)
    }

    /// How many permits are there, and how many there can be.
    pub(crate) fn permits(&self) -> Option<(u32, Option<u32>)> {
        match &self.rule {
            Rule::Semaphore(permits) => Some((permits.free, permits.maximum())),
            _ => None,
        }
    }

    pub(crate) fn is_once(&self) -> bool {
        matches!(self.rule, Rule::Once { .. })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.rule, Rule::Once { done: true })
    }

    /// What a wait waits for, while it waits and its end depends on others' holds: never with permits that nobody holds.
    pub(crate) fn block(&self, ticket: Ticket) -> Option<Block> {
        let entry = self.queue.get(ticket)?;
        let Want::Lock(own) = entry.want else { return None };
        if self.rule.is_unowned() {
            return None;
        }
        let ask = if self.rule.is_exclusive_only() {
            own
        } else {
            let ahead = self.queue.iter().take_while(|(other, _)| *other < ticket);
            ahead
                .filter_map(|(_, entry)| if let Want::Lock(ask) = entry.want { Some(ask) } else { None })
                .fold(own, harder)
        };
        let permits = match &self.rule {
            Rule::Semaphore(permits) => permits.maximum().unwrap_or(u32::MAX),
            _ => 0,
        };
        Some(Block { ask, own: own.mode(), permits })
    }

    /// Whether a waiter is in the queue, or the lock is in flight to it.
    pub(crate) fn is_pending(&self, ticket: Ticket) -> bool {
        self.queue.contains(ticket) || self.flight.is_some_and(|flight| flight.ticket == ticket)
    }

    /// Who holds the lock and has been told.
    pub(crate) fn live_holders(&self) -> impl Iterator<Item = Holder> {
        self.holds.iter().filter(|hold| hold.is_live()).map(Hold::holder)
    }

    pub(crate) fn holder_count(&self) -> usize {
        self.holds.len() + 1
    }

    /// A request was refused because it would have closed a circle.
    pub(crate) fn count_deadlock(&mut self) {
        self.counters.deadlocks += 1;
    }

    /// Since when the owner has the lock, or waits for it.
    pub(crate) fn since(&self, owner: OwnerId) -> Option<Instant> {
        let held = self.holds.get(owner).map(|hold| hold.since);
        let in_flight = || self.flight.filter(|flight| flight.hold.owner == owner).map(|flight| flight.hold.since);
        let waits = || self.queue.iter().find(|(_, entry)| entry.owner == owner).map(|(_, entry)| entry.since);
        held.or_else(in_flight).or_else(waits)
    }

    /// Whose hold could be taken away: a live one, or one in flight. With a fence, only that one. More of what somebody
    /// holds goes with the hold, and is none by itself.
    pub(crate) fn revocable(&self, expect: Option<Fence>) -> Option<(OwnerId, Fence)> {
        let flight = self.flight.iter().filter(|_| !self.rule.is_unowned()).map(|flight| &flight.hold);
        let flight = flight.filter(|hold| self.holds.get(hold.owner).is_none());
        let mut live = self.holds.iter().chain(flight).filter(|hold| hold.is_live());
        live.find(|hold| expect.is_none_or(|expect| hold.fence == expect)).map(|hold| (hold.owner, hold.fence))
    }

    pub(crate) fn is_locked(&self) -> bool {
        !self.holds.is_empty() || self.flight.is_some()
    }

    /// Where the owner runs that has the lock alone, if one has.
    pub(crate) fn held_at(&self) -> Option<Place> {
        self.holds.exclusive().map(|hold| hold.place)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Who holds it, for people: those whose hold is being taken away and the one that it is in flight to, too.
    pub(crate) fn holders(&self) -> impl Iterator<Item = Holder> {
        self.holds.iter().chain(self.flight.iter().map(|flight| &flight.hold)).map(Hold::holder)
    }

    pub(crate) fn counters(&self) -> Counters {
        let Counters { contended, timeouts, .. } = self.queue.counters();
        Counters { contended, timeouts, ..self.counters }
    }

    pub(crate) fn state(&self) -> LockState {
        if self.holds.is_any_revoking() || self.flight.is_some_and(|flight| !flight.hold.is_live()) {
            return LockState::Revoking;
        }
        if self.flight.is_some() {
            return LockState::InFlight;
        }
        if self.is_front_fit() {
            return LockState::HeadWoken;
        }
        match self.gate.as_ref().map(|gate| gate.phase()) {
            _ if !self.holds.is_empty() => LockState::Held,
            Some(GatePhase::Away | GatePhase::Leaving(_)) => LockState::Away,
            Some(GatePhase::Home(_)) | None => LockState::Free,
        }
    }

    pub(super) fn is_front_fit(&self) -> bool {
        self.queue.front().is_some_and(|front| match front.want {
            Want::Lock(ask) => self.has_room(front.owner, ask),
            _ => false,
        })
    }

    /// Asserts the invariants that can be seen in constant time. The table calls it after every transition.
    pub(crate) fn check(&self) {
        if let Some(hold) = self.holds.exclusive() {
            assert_eq!(self.holds.len(), 1, "whoever has a lock alone is alone");
            let newest = self.fences.newest();
            assert_eq!(Some(hold.fence), newest, "the fence of an exclusive hold is the newest of its lock");
        }
        match &self.flight {
            Some(flight) => {
                assert!(!self.queue.is_front(flight.ticket), "who was granted the lock waits no longer");
                let alone =
                    flight.hold.mode != Mode::Exclusive || self.holds.len() <= usize::from(flight.ask == Ask::Upgrade);
                assert!(alone, "whoever has a lock alone is alone");
            }
            None => assert!(
                !self.is_front_fit() || self.queue.front().is_none_or(|front| !front.is_asleep()),
                "if the waiter at the front could have the lock, it has been woken"
            ),
        }
        if self.gate.as_ref().is_some_and(|gate| gate.phase() == GatePhase::Away) {
            assert!(!self.is_locked(), "nobody has a lock that is not at home");
        }
        if self.phase == Phase::Closed {
            assert!(self.queue.is_empty(), "nobody waits after the shut-down");
            assert_ne!(self.state(), LockState::InFlight, "nobody is granted after the shut-down");
        }
    }

    /// Asserts the invariants that take a walk through the queue.
    pub(crate) fn check_all(&self) {
        self.check();
        if let Some(flight) = &self.flight {
            assert!(!self.queue.contains(flight.ticket), "who was granted the lock waits no longer");
        }
        if let Rule::Semaphore(permits) = &self.rule
            && permits.is_owned()
        {
            let held: u32 = self.holds.iter().map(|hold| hold.count).sum();
            let in_flight = self.flight.map_or(0, |flight| flight.hold.count);
            assert_eq!(Some(permits.free + held + in_flight), permits.maximum(), "permits are free, held or in flight");
        }
        if let Some(latest) = self.latest {
            self.queue.check(latest);
        }
    }
}
