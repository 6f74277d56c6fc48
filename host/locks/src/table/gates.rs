//! Locks that others outside of the host use too, for whoever keeps their gates.

use std::task::Waker;
use std::time::Instant;

use super::{LockTable, WaitId};
use crate::gate::{Departure, Homecoming};
use crate::ids::{FenceBlock, GatePhase, GateView, LockId};
use crate::kinds::{Kind, LockConfig};
use crate::object::{Crowd, Object};

impl LockTable {
    /// Makes a lock with a gate: nobody is granted it before its keeper brings it home ([`LockTable::come_home`]). No fence
    /// below this one was or will be issued by this table.
    ///
    /// # Panics
    ///
    /// If it is not a mutex, an rlock or a rwlock.
    pub fn create_gated(&self, kind: Kind, config: LockConfig, fences_from: u64) -> LockId {
        assert!(
            matches!(kind, Kind::Mutex | Kind::RLock { .. } | Kind::RwLock { .. }),
            "only what is held by one owner or by readers has a gate"
        );
        let none_yet = FenceBlock { start: fences_from, end: fences_from };
        let mut object = Object::new(kind, config, none_yet);
        if let Object::Lock(lock) = &mut object {
            lock.add_gate();
        }
        self.slots.add(object)
    }

    /// What there is to see at the gate of a lock. The bell is rung, once, when there is something to do for its keeper: the
    /// lock is away, or at home for readers only, and somebody waits who would have it otherwise; or it is leaving, and
    /// nobody holds it any more. If that is so already, the bell is not rung.
    pub fn watch_gate(&self, lock: LockId, bell: Option<Waker>) -> GateView {
        // The one that was there before is dropped here, after the mutex was let go.
        let mut bell = bell;
        self.with_lock(lock, |lock, _| lock.watch_gate(&mut bell))
    }

    /// Where a lock with a gate is; none if it has no gate.
    #[must_use]
    pub fn gate_phase(&self, lock: LockId) -> Option<GatePhase> {
        self.transition(lock, |object, _| {
            let phase = if let Object::Lock(lock) = object { lock.gate_phase() } else { None };
            (phase, Crowd::default())
        })
    }

    /// The host has the lock from here on: owners are granted it, readers only if it has it in that mode.
    ///
    /// # Panics
    ///
    /// If the lock is not away, or a fence of the block was issued before.
    pub fn come_home(&self, lock: LockId, home: &Homecoming, now: Instant) {
        self.with_lock(lock, |lock, wakes| lock.come_home(home, now, wakes));
    }

    /// The lock cannot be had where it comes from: who waits for it by now is refused with [`AcquireError::Unavailable`]. Who
    /// asks later waits for the next try.
    ///
    /// [`AcquireError::Unavailable`]: crate::AcquireError::Unavailable
    pub fn turn_away(&self, lock: LockId, now: Instant) {
        self.with_lock(lock, |lock, wakes| lock.turn_away(now, wakes));
    }

    /// After so many more grants at most the lock leaves, with 0 from now on: it is given to nobody who does not hold it.
    pub fn allow_grants(&self, lock: LockId, grants: u64) {
        self.with_lock(lock, |lock, wakes| lock.allow_grants(grants, wakes));
    }

    /// The lock is away from here on, if it was leaving and nobody holds it any more. Only then may the host let it go.
    pub fn depart(&self, lock: LockId) -> Option<Departure> {
        self.with_lock(lock, |lock, _| lock.depart())
    }

    /// Whether this wait goes on by what happens outside of the host: it is for a lock that is not here, and that nobody in
    /// here holds.
    #[must_use]
    pub fn is_kept_out(&self, wait: WaitId) -> bool {
        self.transition(wait.lock, |object, _| {
            let kept_out = matches!(object, Object::Lock(lock) if lock.is_kept_out(wait.ticket));
            (kept_out, Crowd::default())
        })
    }
}
