//! What is told of requests of locks and of appends that fail, whoever makes them: a guest, or the embedder's own code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_journal::AppendError;
use lockkeeper_locks::{AcquireError, Acquired, ClaimError, Fence, Holder};

use super::Actor;
use crate::grants::GrantedFile;
use crate::observe::{Event, Waiting};
use crate::scope::ScopedLock;

impl Actor {
    /// Says that the process asks for a lock and will wait for it.
    pub(crate) fn asks(&self, lock: &ScopedLock) {
        self.events.emit(|| Event::Asked { process: self.id(), lock: lock.name.clone() });
    }

    /// What follows from every refusal of a lock. Answers the circle that waiting would have closed, if that is why.
    pub(crate) fn tell_refused(&self, lock: &ScopedLock, error: &AcquireError) -> Option<Vec<Waiting>> {
        self.events.emit(|| Event::Refused { process: self.id(), lock: lock.name.clone(), why: error.to_string() });
        let AcquireError::Deadlock { circle } = error else { return None };
        let circle = self.scope.named(circle, Instant::now());
        self.events.emit(|| Event::Deadlock { process: self.id(), circle: circle.clone() });
        Some(circle)
    }

    /// Says that a hold ends, before it does: the one with this fence if one is named, and if no more of it is left than
    /// is given back.
    pub(crate) fn releasing(&self, lock: &ScopedLock, guard: Option<Fence>, count: u32) {
        let ends = |hold: &Holder| hold.count == count && guard.is_none_or(|guard| guard == hold.fence);
        self.announce_release(lock, ends);
    }

    /// Says that the whole hold ends, however often the lock is held, before it does.
    pub(crate) fn letting_go(&self, lock: &ScopedLock) {
        self.announce_release(lock, |_| true);
    }

    fn announce_release(&self, lock: &ScopedLock, ends: impl FnOnce(&Holder) -> bool) {
        if !self.events.is_observed() {
            return;
        }
        if let Some(hold) = self.scope.table().held(self.owner(), lock.id).filter(ends) {
            let fence = hold.fence.get();
            self.events.emit(|| Event::Released { process: self.id(), lock: lock.name.clone(), fence });
        }
    }

    /// What follows from every grant.
    pub(crate) fn granted(&self, lock: &Arc<ScopedLock>, acquired: Acquired, waited: Duration) -> Acquired {
        self.scope.granted(lock, acquired.fence);
        self.events.emit(|| Event::Granted {
            process: self.id(),
            lock: lock.name.clone(),
            fence: acquired.fence.get(),
            previous: acquired.previous,
            waited,
        });
        acquired
    }

    /// What follows from an append that was not made, if that is because of the file and not of who appends.
    pub(crate) fn tell_not_appended(&self, file: &GrantedFile, error: &AppendError<ClaimError>) {
        match error {
            AppendError::Io { .. }
            | AppendError::Changed { .. }
            | AppendError::Latched { .. }
            | AppendError::Limit { .. } => self.append_failed(file, || error.to_string()),
            AppendError::Refused(_) | AppendError::Fenced { .. } | AppendError::Invalid(_) => {}
        }
    }

    /// A guest is told a word; whoever looks at the host is told the path and the cause.
    pub(crate) fn append_failed(&self, file: &GrantedFile, error: impl FnOnce() -> String) {
        self.events.emit(|| Event::AppendFailed { process: self.id(), file: file.name.clone(), error: error() });
    }
}
