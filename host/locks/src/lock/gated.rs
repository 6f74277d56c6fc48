//! A lock with a gate, as its keeper sees it: coming home, leaving, and what there is to do.

use std::task::Waker;
use std::time::Instant;

use super::{Health, Lock};
use crate::gate::{Departure, Gate, Homecoming, Left};
use crate::ids::{EndCause, GatePhase, GateView, Mode, OwnerId, Previous, Want};
use crate::kinds::AfterDeath;
use crate::queue::{Ticket, Wakes};

impl Lock {
    /// From here on the lock has a gate, and is away.
    pub(crate) fn add_gate(&mut self) {
        assert!(!self.is_locked() && self.queue.is_empty(), "a gate is there before anybody comes");
        self.gate = Some(Box::new(Gate::new()));
    }

    fn gate(&mut self) -> &mut Gate {
        self.gate.as_mut().expect("only a lock with a gate has a keeper")
    }

    /// Rings if there is something to do for the keeper: the lock is wanted and does not come by itself, or can leave.
    pub(super) fn look_at_the_gate(&mut self, wakes: &mut Wakes) {
        let held = self.is_locked();
        let wanted = self.queue.front().map(|front| front.want);
        let Some(gate) = &mut self.gate else { return };
        let rings = match gate.phase() {
            GatePhase::Away => wanted.is_some(),
            GatePhase::Leaving(_) => !held,
            GatePhase::Home(_) => matches!(wanted, Some(Want::Lock(ask)) if !gate.lets(ask)),
        };
        if rings {
            wakes.ring(gate.ring());
        }
    }

    /// What there is to see, and whom to wake when it has changed so that there is something to do. The bell that was there
    /// before goes out in its place.
    pub(crate) fn watch_gate(&mut self, bell: &mut Option<Waker>) -> GateView {
        if let Some(new) = bell.take() {
            *bell = self.gate().watch(new);
        }
        let phase = self.gate().phase();
        let grants = self.gate().grants();
        let wanted = self.queue.front().map(|front| match front.want {
            Want::Lock(ask) => ask.mode(),
            _ => unreachable!("who waits for a lock wants a lock"),
        });
        GateView { phase, wanted, held: self.is_locked(), grants, fences_left: self.fences.left() }
    }

    /// The host has the lock.
    pub(crate) fn come_home(&mut self, home: &Homecoming, now: Instant, wakes: &mut Wakes) {
        assert!(!self.is_locked(), "nobody has a lock that is not at home");
        self.note_exactly(now);
        self.gate().come_home(home.mode, home.grants_max, home.left);
        self.fences.replace(home.fences);
        self.taken_from = None;
        self.inherit(home.left);
        self.settle(None, wakes);
    }

    /// What the last owner left, wherever it was.
    fn inherit(&mut self, left: Left) {
        (self.health, self.previous) = match (left, self.config.after_death) {
            (Left::Clean, _) | (_, AfterDeath::Ignore) => (Health::Sound, Previous::Clean),
            (Left::Abandoned(how), AfterDeath::Flag) => (Health::Sound, Self::abandoned_outside(how)),
            (Left::Abandoned(how), AfterDeath::Poison) => (Health::Inconsistent, Self::abandoned_outside(how)),
            (Left::Ruined, AfterDeath::Poison) => (Health::Ruined, Self::abandoned_outside(EndCause::Other)),
            (Left::Ruined, AfterDeath::Flag) => (Health::Sound, Self::abandoned_outside(EndCause::Other)),
        };
    }

    fn abandoned_outside(how: EndCause) -> Previous {
        Previous::Abandoned { how, who: OwnerId::OUTSIDE }
    }

    /// After so many more grants, or none, the lock leaves: after those who hold it, before those who wait.
    pub(crate) fn allow_grants(&mut self, grants: u64, wakes: &mut Wakes) {
        self.gate().allow(grants);
        self.look_at_the_gate(wakes);
    }

    /// The lock is away from here on, if it was to leave and nobody has it.
    pub(crate) fn depart(&mut self) -> Option<Departure> {
        if self.is_locked() {
            return None;
        }
        let mode = self.gate().depart()?;
        let left = match (self.health, self.previous) {
            // Nobody in here can have mended it, whatever the policy is.
            _ if self.gate().grants() == 0 => self.gate().found(),
            (Health::Ruined, _) => Left::Ruined,
            (_, Previous::Abandoned { how, .. }) => Left::Abandoned(how),
            (_, Previous::Clean) => Left::Clean,
        };
        // What becomes of it outside is heard when it comes home again: until then it may be mended.
        (self.health, self.previous) = (Health::Sound, Previous::Clean);
        Some(Departure { mode, next_fence: self.fences.next(), left })
    }

    /// The lock cannot be had, and those who wait by now are told so.
    pub(crate) fn turn_away(&mut self, now: Instant, wakes: &mut Wakes) {
        self.note_exactly(now);
        let end = self.queue.end();
        self.gate().turn_away(end);
        self.settle(None, wakes);
    }

    /// Whether a waiter is kept out by those outside of the host, and by nobody in here.
    pub(crate) fn is_kept_out(&self, ticket: Ticket) -> bool {
        let Some(gate) = &self.gate else { return false };
        // What the gate lets in is behind somebody who may be kept out. A lock that is held in here leaves only afterwards.
        self.queue.contains(ticket) && !matches!(gate.phase(), GatePhase::Home(Mode::Exclusive)) && !self.is_locked()
    }

    /// Whether a waiter is to be told that the lock is not to be had.
    pub(super) fn is_turned_away(&self, ticket: Ticket) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.turns_away(ticket))
    }

    /// The same of the one at the front.
    pub(super) fn is_front_turned_away(&self) -> bool {
        self.gate.is_some() && self.queue.front_ticket().is_some_and(|front| self.is_turned_away(front))
    }

    pub(crate) fn gate_phase(&self) -> Option<GatePhase> {
        self.gate.as_ref().map(|gate| gate.phase())
    }
}
