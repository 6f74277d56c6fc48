//! Who holds one lock.
//!
//! Most locks have one holder, so the first one needs no allocation; readers and permits go into a tree beside it, of which
//! one step allocates one node.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ids::{Fence, Holder, Mode, OwnerId, Place};

/// One hold of one owner. An owner has at most one of each lock; what it acquires on top is counted.
#[derive(Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) owner: OwnerId,
    pub(crate) place: Place,
    pub(crate) mode: Mode,
    /// How often it is held, one within the other, or how many permits.
    pub(crate) count: u32,
    pub(crate) fence: Fence,
    pub(crate) since: Instant,
    pub(crate) stage: Stage,
}

/// | stage | meaning | who may leave it |
/// |---|---|---|
/// | `Told` | the owner knows of it | its release. A revocation, its end: to revoking |
/// | `Revoking` | it was taken away, and nobody else has it yet | only the second half of the revocation |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Told,
    Revoking,
}

impl Hold {
    pub(crate) fn is_live(&self) -> bool {
        self.stage == Stage::Told
    }

    pub(crate) fn holder(&self) -> Holder {
        let Self { owner, mode, count, fence, since, .. } = *self;
        Holder { owner, mode, count, fence, since }
    }
}

#[derive(Default)]
pub(crate) struct Holds {
    first: Option<Hold>,
    others: BTreeMap<OwnerId, Hold>,
}

impl Holds {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.first.iter().chain(self.others.values())
    }

    pub(crate) fn get(&self, owner: OwnerId) -> Option<&Hold> {
        self.first.as_ref().filter(|hold| hold.owner == owner).or_else(|| self.others.get(&owner))
    }

    pub(crate) fn get_mut(&mut self, owner: OwnerId) -> Option<&mut Hold> {
        match &mut self.first {
            Some(hold) if hold.owner == owner => Some(hold),
            _ => self.others.get_mut(&owner),
        }
    }

    pub(crate) fn remove(&mut self, owner: OwnerId) -> Option<Hold> {
        match self.first {
            Some(hold) if hold.owner == owner => self.first.take(),
            _ => self.others.remove(&owner),
        }
    }

    /// # Panics
    ///
    /// If the owner has a hold already.
    pub(crate) fn insert(&mut self, hold: Hold) {
        assert!(self.get(hold.owner).is_none(), "an owner has one hold of a lock");
        match &mut self.first {
            None => self.first = Some(hold),
            Some(_) => {
                self.others.insert(hold.owner, hold);
            }
        }
    }

    /// The one that holds the lock alone, live or not.
    pub(crate) fn exclusive(&self) -> Option<&Hold> {
        // Whoever has it alone is the only one, in whichever of the two it stands.
        self.iter().next().filter(|hold| hold.mode == Mode::Exclusive)
    }

    pub(crate) fn is_any_revoking(&self) -> bool {
        self.iter().any(|hold| hold.stage == Stage::Revoking)
    }
}
