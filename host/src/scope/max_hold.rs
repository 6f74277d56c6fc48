//! Holds that may last only so long: a thread of its own looks at them, as ending one waits for writes in flight.
//!
//! A lock is looked at while somebody holds it. The table knows since when; so the thread needs one entry per lock, however
//! often it changes hands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use lockkeeper_locks::{EndCause, Fence, LockId};

use super::{Keeper, ScopedLock};
use crate::ids::ProcessId;
use crate::observe::Event;

/// Whether a lock is on the list of those looked at.
#[derive(Debug, Default)]
pub(crate) struct Watched(AtomicBool);

#[derive(Debug)]
pub(crate) struct MaxHolds {
    shared: Arc<Shared>,
    keeper: Arc<Keeper>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<List>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct List {
    due: BTreeMap<(Instant, LockId), Look>,
    stopped: bool,
}

#[derive(Debug)]
struct Look {
    lock: Arc<ScopedLock>,
    /// The newest hold that has been warned of: half of its time is over.
    warned: Option<Fence>,
}

impl Shared {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, at: Instant, look: Look) {
        self.list().due.insert((at, look.lock.id), look);
        self.changed.notify_all();
    }
}

impl MaxHolds {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        Self { shared: Arc::default(), keeper, thread: Mutex::default() }
    }

    /// Somebody holds the lock from now on.
    pub(super) fn watch(&self, lock: &Arc<ScopedLock>) {
        // The look that finds nobody takes it off the list again, and then looks once more.
        if lock.watched.0.swap(true, Ordering::SeqCst) {
            return;
        }
        let Some(max) = lock.max_hold else { return };
        self.shared.add(Instant::now() + max / 2, Look { lock: lock.clone(), warned: None });
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (shared, keeper) = (self.shared.clone(), self.keeper.clone());
            let started = std::thread::Builder::new().name("lockkeeper-max-hold".into()).spawn(move || {
                while let Some(look) = shared.next() {
                    if let Some((at, look)) = look_at(&keeper, look) {
                        shared.add(at, look);
                    }
                }
            });
            match started {
                Ok(started) => *thread = Some(started),
                Err(error) => {
                    tracing::warn!(%error, "no thread for max-hold: this hold may last longer");
                    // The next grant tries again.
                    self.shared.list().due.retain(|(_, id), _| *id != lock.id);
                    lock.watched.0.store(false, Ordering::SeqCst);
                }
            }
        }
    }
}

impl Shared {
    /// Waits for the next lock to look at; none if the thread is to end.
    fn next(&self) -> Option<Look> {
        let mut list = self.list();
        loop {
            if list.stopped {
                return None;
            }
            let now = Instant::now();
            list = match list.due.first_key_value() {
                None => self.changed.wait(list).unwrap_or_else(PoisonError::into_inner),
                Some(((at, _), _)) if *at <= now => return list.due.pop_first().map(|(_, look)| look),
                Some(((at, _), _)) => {
                    let left = at.saturating_duration_since(now);
                    self.changed.wait_timeout(list, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Ends what has lasted too long, warns of what has lasted half of its time, and says when to look again.
fn look_at(keeper: &Keeper, mut look: Look) -> Option<(Instant, Look)> {
    let max = look.lock.max_hold?;
    loop {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut warned = None;
        for holder in keeper.table.holders(look.lock.id) {
            let (half, end) = (holder.since + max / 2, holder.since + max);
            if end <= now {
                keeper.revoke(&look.lock, Some(holder.fence), EndCause::Expired);
                continue;
            }
            let mut at = half;
            if half <= now {
                at = end;
                if look.warned.is_none_or(|warned| warned < holder.fence) {
                    keeper.events.emit(|| Event::HoldLong {
                        process: ProcessId::from(holder.owner),
                        lock: look.lock.name.clone(),
                        fence: holder.fence.get(),
                        held_for: now.saturating_duration_since(holder.since),
                        max_hold: max,
                    });
                    warned = warned.max(Some(holder.fence));
                }
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        look.warned = look.warned.max(warned);
        if let Some(at) = next {
            return Some((at, look));
        }
        look.lock.watched.0.store(false, Ordering::SeqCst);
        // Somebody may have come between the look and this, and have found the lock on the list.
        if keeper.table.holders(look.lock.id).is_empty() || look.lock.watched.0.swap(true, Ordering::SeqCst) {
            return None;
        }
    }
}

impl Drop for MaxHolds {
    fn drop(&mut self) {
        self.shared.list().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            drop(thread.join());
        }
    }
}
