//! The gate of a lock that the host shares with others: other hosts, other programs, other machines.
//!
//! Who is outside is the host's business, which keeps the gate: it fetches the lock for all owners together and takes it
//! home for a while. In here is only what that means for the owners: nobody is granted while the lock is not at home, and a
//! lock that is to leave does so after those who hold it, before those who wait.
//!
//! No threads, clocks or wakers are called in here: the bell is taken out, and rung by the table after it let its mutex go.

use std::task::Waker;

use crate::ids::{Ask, EndCause, FenceBlock, GatePhase, Mode};
use crate::queue::Ticket;

/// | phase | who is granted | who may leave it |
/// |---|---|---|
/// | `Away` | nobody | the keeper, when it comes home |
/// | `Home(Exclusive)` | as without a gate | the keeper, or the grant that was the last one allowed: to leaving |
/// | `Home(Shared)` | readers | the same |
/// | `Leaving` | nobody that does not hold it already | the keeper, once nobody holds it: to away |
pub(crate) struct Gate {
    phase: GatePhase,
    /// How many more grants until it leaves by itself, while it is at home.
    grants_left: u64,
    /// How many grants there were since it came home.
    grants: u64,
    /// Whom to tell that there is something to do at the gate. Taken out when it is rung.
    bell: Option<Waker>,
    /// How it was left by the last owner before it came home.
    found: Left,
    /// Who stands before this place in the queue is told that the lock is not to be had.
    turned_away: Option<Ticket>,
}

/// What the keeper of a gate brings home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Homecoming {
    /// How the host has the lock: alone, or beside others that read.
    pub mode: Mode,
    /// The fences that may be issued until it leaves. What was left of earlier ones is void.
    pub fences: FenceBlock,
    /// After how many grants it leaves by itself.
    pub grants_max: u64,
    /// How the last owner left it, wherever it was.
    pub left: Left,
}

/// How what a lock protects was left, for whoever has it next and elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Left {
    /// Its last exclusive owner released it, or there was none.
    #[default]
    Clean,
    /// It was taken away.
    Abandoned(EndCause),
    /// Nobody is granted it any more ([`crate::AfterDeath::Poison`]).
    Ruined,
}

/// What a lock takes along that has left home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departure {
    /// How the host had it.
    pub mode: Mode,
    /// The first fence that was not issued.
    pub next_fence: u64,
    /// How its last owner left it.
    pub left: Left,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { phase: GatePhase::Away, grants_left: 0, grants: 0, bell: None, found: Left::Clean, turned_away: None }
    }

    pub(crate) fn phase(&self) -> GatePhase {
        self.phase
    }

    pub(crate) fn grants(&self) -> u64 {
        self.grants
    }

    /// Whether the lock may be granted, as far as those outside are concerned.
    pub(crate) fn lets(&self, ask: Ask) -> bool {
        match self.phase {
            GatePhase::Home(Mode::Shared) => ask == Ask::Shared,
            GatePhase::Home(_) => true,
            GatePhase::Away | GatePhase::Leaving(_) => false,
        }
    }

    pub(crate) fn found(&self) -> Left {
        self.found
    }

    /// Whether who stands here has waited in vain: its keeper has said so.
    pub(crate) fn turns_away(&self, ticket: Ticket) -> bool {
        self.turned_away.is_some_and(|end| ticket < end)
    }

    pub(crate) fn turn_away(&mut self, end: Ticket) {
        self.turned_away = Some(end);
    }

    pub(crate) fn come_home(&mut self, mode: Mode, grants_max: u64, found: Left) {
        assert_eq!(self.phase, GatePhase::Away, "a lock comes home that was away");
        assert!(matches!(mode, Mode::Exclusive | Mode::Shared), "a lock is had alone or beside others");
        assert!(grants_max > 0, "a lock that comes home is granted");
        (self.phase, self.grants_left, self.grants) = (GatePhase::Home(mode), grants_max, 0);
        self.found = found;
    }

    /// Somebody was granted the lock.
    pub(crate) fn granted(&mut self) {
        self.grants += 1;
        self.grants_left -= 1;
        if self.grants_left == 0 {
            self.leave();
        }
    }

    /// From here on so many grants, or those that were allowed before if they are fewer.
    pub(crate) fn allow(&mut self, grants: u64) {
        self.grants_left = self.grants_left.min(grants);
        if self.grants_left == 0 {
            self.leave();
        }
    }

    /// Nobody is granted any more who does not hold the lock.
    pub(crate) fn leave(&mut self) {
        if let GatePhase::Home(mode) = self.phase {
            self.phase = GatePhase::Leaving(mode);
        }
    }

    /// It is gone, if it was leaving; how it was had.
    pub(crate) fn depart(&mut self) -> Option<Mode> {
        let GatePhase::Leaving(mode) = self.phase else { return None };
        self.phase = GatePhase::Away;
        Some(mode)
    }

    pub(crate) fn watch(&mut self, bell: Waker) -> Option<Waker> {
        self.bell.replace(bell)
    }

    pub(crate) fn ring(&mut self) -> Option<Waker> {
        self.bell.take()
    }
}
