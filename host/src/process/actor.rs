//! A process as locks see it: who asks, where it runs, and where others see that it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockkeeper_locks::{OwnerId, Place};

use super::Placement;
use crate::ids::ProcessId;
use crate::observe::Events;
use crate::scope::ProcessScope;
use crate::stall::Seat;

/// The part of a process's state that its waits need.
#[derive(Debug)]
pub(crate) struct Actor {
    id: ProcessId,
    pub(crate) scope: Arc<ProcessScope>,
    pub(crate) events: Events,
    pub(crate) seat: Arc<Seat>,
    place: Place,
    placement: Placement,
    /// Whether it was asked to end by itself.
    terminating: Arc<AtomicBool>,
}

impl Actor {
    pub(crate) fn new(
        id: ProcessId,
        scope: Arc<ProcessScope>,
        events: Events,
        seat: Arc<Seat>,
        placement: Placement,
        terminating: Arc<AtomicBool>,
    ) -> Self {
        Self { id, scope, events, seat, place: Place::default(), placement, terminating }
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.id
    }

    /// This process as the lock table knows it.
    pub(crate) fn owner(&self) -> OwnerId {
        self.id.owner()
    }

    /// Whether it was asked to end by itself: then it waits for nothing any more.
    pub(crate) fn is_terminating(&self) -> bool {
        self.terminating.load(Ordering::SeqCst)
    }

    /// It begins to run here.
    pub(crate) fn settle_at(&mut self, place: Place) {
        self.place = place;
    }

    /// Where it runs, as the lock table knows it.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether those who share its locks may run on other cores.
    pub(crate) fn is_spread(&self) -> bool {
        self.placement == Placement::Spread
    }
}
