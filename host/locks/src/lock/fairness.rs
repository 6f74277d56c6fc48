//! Who is next: whether somebody may take the lock, how it goes on, and the one place that grants.

use std::time::Instant;

use super::{Asker, Cohort, Flight, Health, Lock, Phase};
use crate::holds::{Hold, Stage};
use crate::ids::{Acquired, Ask, OwnerId, Place, Want};
use crate::queue::{Entry, Ticket, Wakes};

impl Lock {
    /// Whether the owner fits beside those who hold the lock. One whose hold is just being taken away does not.
    pub(super) fn has_room(&self, owner: OwnerId, ask: Ask) -> bool {
        self.holds.get(owner).is_none_or(Hold::is_live)
            && self.rule.fits(&self.holds, owner, ask)
            && self.gate.as_ref().is_none_or(|gate| gate.lets(ask))
    }

    /// Whether a running owner may take the lock: there is room, and whoever is at the front is still within its bound.
    pub(super) fn may_take(&self, asker: Asker, ask: Ask, now: Instant) -> bool {
        if self.flight.is_some() || !self.has_room(asker.owner, ask) {
            return false;
        }
        match (ask, self.queue.front()) {
            (_, None) | (Ask::Upgrade, _) => true,
            // A writer may be among those who wait, and readers never overtake one.
            (Ask::Shared, Some(_)) => false,
            (_, Some(front)) => front.waited(now) < self.config.bound(front.place, asker.place),
        }
    }

    /// Whether a waiter may come that is not at the front: it was woken because the one at the front runs elsewhere, and is
    /// then like an owner that runs already.
    pub(super) fn may_come_early(&self, waiter: &Entry, now: Instant) -> bool {
        let may_overtake = |front: &Entry| {
            front.place != waiter.place && front.waited(now) < self.config.bound(front.place, waiter.place)
        };
        self.rule.is_exclusive_only() && !waiter.is_asleep() && self.queue.front().is_some_and(may_overtake)
    }

    /// Sees to it that somebody comes if somebody can. `from` is where the lock was let go, if it was.
    ///
    /// While the waiter at the front is within its bound it is woken, and may be overtaken until it comes; if it cannot
    /// run before the releaser leaves its core, one waiter elsewhere is woken too. After its bound it is the owner at once,
    /// or a neighbour of the releaser, for a number of times.
    pub(super) fn settle(&mut self, from: Option<Place>, wakes: &mut Wakes) {
        if self.flight.is_some() {
            return;
        }
        if self.gate.is_some() {
            self.look_at_the_gate(wakes);
        }
        let Some(front) = self.queue.front() else { return };
        if self.health == Health::Ruined || self.is_front_turned_away() {
            self.queue.rouse_front(wakes);
            return;
        }
        let Want::Lock(ask) = front.want else { unreachable!("who waits for a lock wants a lock") };
        if !self.has_room(front.owner, ask) {
            return;
        }
        let now = self.latest.expect("who waits has given the time");
        let (place, from) = (front.place, from.unwrap_or(front.place));
        // Without a fence nothing can be handed over. The waiter is woken all the same, to be told so.
        if front.waited(now) < self.config.bound(place, from) || self.fences.is_exhausted() {
            self.queue.rouse_front(wakes);
            if place == from
                && self.rule.is_exclusive_only()
                && !self.queue.is_all_at(from)
                && let Some(elsewhere) = self.queue.first_not_at(from)
            {
                self.queue.rouse(elsewhere, wakes);
            }
            return;
        }
        let ticket = self.successor(from);
        let entry = self.queue.take(ticket, wakes).expect("the successor waits");
        self.counters.longest_wait = self.counters.longest_wait.max(entry.waited(now));
        self.counters.handed_over += 1;
        self.hand_over(ticket, &entry, now);
    }

    /// Whom a lock goes to that is handed over in this place.
    pub(super) fn successor(&mut self, from: Place) -> Ticket {
        let front = self.queue.front_ticket().expect("somebody waits");
        if !self.rule.is_exclusive_only() || self.config.cohort_max == 0 || self.queue.is_all_at(from) {
            self.cohort.length = 0;
            return front;
        }
        if self.cohort.place != from {
            self.cohort = Cohort { place: from, length: 0 };
        }
        if self.cohort.length < self.config.cohort_max
            && let Some(neighbour) = self.queue.first_at(from)
        {
            self.cohort.length += 1;
            return neighbour;
        }
        self.cohort.length = 0;
        let elsewhere = self.queue.first_not_at(from);
        elsewhere.unwrap_or(front)
    }

    // ---- grants ----

    /// A running owner takes the lock. `None` if there is no fence.
    pub(super) fn take(&mut self, asker: Asker, ask: Ask, now: Instant, wakes: &mut Wakes) -> Option<Acquired> {
        let hold = self.grant(asker, ask, now)?;
        if !self.queue.is_empty() {
            self.counters.barged += 1;
        }
        Some(self.tell(hold, ask, wakes))
    }

    /// A waiter has the lock from here on, and does not know it.
    pub(super) fn hand_over(&mut self, ticket: Ticket, entry: &Entry, now: Instant) {
        let Want::Lock(ask) = entry.want else { unreachable!("who waits for a lock wants a lock") };
        let asker = Asker { owner: entry.owner, place: entry.place };
        let hold = self.grant(asker, ask, now).expect("a hand-over has a fence");
        self.flight = Some(Flight { ticket, ask, hold });
    }

    /// The only place where a lock is granted, and the only one that issues a fence.
    pub(super) fn grant(&mut self, asker: Asker, ask: Ask, since: Instant) -> Option<Hold> {
        assert!(self.flight.is_none(), "one grant at a time is on its way");
        assert!(self.has_room(asker.owner, ask), "a lock is granted only if there is room");
        assert_eq!(self.phase, Phase::Open, "nobody is granted after the shut-down");
        let fence = self.fences.issue()?;
        if let Some(gate) = &mut self.gate {
            gate.granted();
        }
        let count = ask.count();
        if let Some(permits) = self.rule.permits() {
            permits.take(count);
        }
        let Asker { owner, place } = asker;
        Some(Hold { owner, place, mode: ask.mode(), count, fence, since, stage: Stage::Told })
    }

    /// The waiter that the lock is in flight to comes.
    pub(super) fn land(&mut self, wakes: &mut Wakes) -> Acquired {
        let Flight { ask, hold, .. } = self.flight.take().expect("who lands is in flight");
        assert!(hold.is_live(), "nobody is told of a hold that was taken away");
        self.tell(hold, ask, wakes)
    }

    /// The owner learns of its hold.
    pub(super) fn tell(&mut self, hold: Hold, ask: Ask, wakes: &mut Wakes) -> Acquired {
        self.counters.acquired += 1;
        let mut fence = hold.fence;
        if !self.rule.is_unowned() {
            match self.holds.get_mut(hold.owner) {
                // More permits of the same: it is still one hold, with the fence that it had.
                Some(held) if ask != Ask::Upgrade => {
                    held.count += hold.count;
                    fence = held.fence;
                }
                Some(held) => *held = hold,
                None => self.holds.insert(hold),
            }
        }
        // Readers, and those who ask for few permits, may fit together.
        self.settle(Some(hold.place), wakes);
        Acquired { fence, previous: self.previous }
    }

    /// What was on its way is not any more.
    pub(super) fn withdraw_flight(&mut self) {
        let flight = self.flight.take().expect("a grant is in flight");
        if let Some(permits) = self.rule.permits() {
            permits.withdraw(flight.hold.count);
        }
    }
}
