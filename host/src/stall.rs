//! Whether a job can still go on: who of its processes waits at a lock or another primitive, and whether all do.
//!
//! A process takes its seat when it waits there, and leaves it when it goes on. If all are seated, nothing has changed for a
//! tick of the clock, and the table says that nobody was woken, then only something from outside could help. Host code that
//! holds something and does not wait is such a thing that may still come from inside.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use lockkeeper_locks::{LockState, LockTable, WaitId};

use crate::ids::ProcessId;
use crate::observe::{Event, Events, Held, StalledProcess, WaitsFor};
use crate::scope::ScopedLock;

/// The seats of one job.
#[derive(Debug)]
pub(crate) struct Watch {
    table: Arc<LockTable>,
    events: Events,
    locks: Mutex<Vec<Weak<ScopedLock>>>,
    seats: Mutex<HashMap<ProcessId, Arc<Seat>>>,
    /// Those of host code, which may let others go on, and for which nobody waits that waits for the job's end.
    host_code: Mutex<HashMap<ProcessId, Arc<Seat>>>,
    counts: Arc<Counts>,
    /// How often somebody had sat down when it was looked last, and when a stall was reported last.
    looked: AtomicU64,
    /// Woken when the last process ends.
    nobody: Mutex<Vec<Waker>>,
    reported: Mutex<Option<Reported>>,
}

/// A stall that was reported.
#[derive(Clone, Copy, Debug)]
struct Reported {
    sittings: u64,
    ends_by_itself: bool,
    at: Instant,
}

/// How long after a stall that may end by itself it is looked again, whether it still may.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Counts {
    alive: AtomicUsize,
    seated: AtomicUsize,
    /// How often somebody sat down: it changes whenever anything does.
    sittings: AtomicU64,
}

/// The place where one process waits.
#[derive(Debug)]
pub(crate) struct Seat {
    process: ProcessId,
    name: Arc<str>,
    /// Whether a time limit will end the process.
    limited: bool,
    /// Whether the process is being ended.
    stopping: Arc<AtomicBool>,
    waits: Mutex<Option<Waits>>,
    counts: Arc<Counts>,
}

#[derive(Clone, Debug)]
struct Waits {
    lock: Arc<ScopedLock>,
    id: WaitId,
    since: Instant,
    /// Whether it will go on by itself, at a deadline.
    timed: bool,
}

/// Who waits for what in a job that cannot go on.
#[derive(Clone, Debug)]
pub struct Stall {
    /// Who waits for what.
    pub waits: Vec<StalledProcess>,
    /// Whether a time limit, of a process or of a hold, is still to come that may let others go on.
    pub ends_by_itself: bool,
}

/// As long as this lives, the process waits.
#[must_use = "the process stands up when this is dropped"]
pub(crate) struct Seated<'a>(&'a Seat);

impl Seat {
    fn waits(&self) -> MutexGuard<'_, Option<Waits>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process waits from here on.
    pub(crate) fn sit(&self, lock: &Arc<ScopedLock>, id: WaitId, since: Instant, timed: bool) -> Seated<'_> {
        *self.waits() = Some(Waits { lock: lock.clone(), id, since, timed });
        self.counts.sittings.fetch_add(1, Ordering::Relaxed);
        self.counts.seated.fetch_add(1, Ordering::SeqCst);
        Seated(self)
    }
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        self.0.counts.seated.fetch_sub(1, Ordering::SeqCst);
        drop(self.0.waits().take());
    }
}

impl Watch {
    pub(crate) fn new(table: Arc<LockTable>, events: Events, locks: &[Arc<ScopedLock>]) -> Self {
        Self {
            table,
            events,
            locks: Mutex::new(locks.iter().map(Arc::downgrade).collect()),
            seats: Mutex::default(),
            host_code: Mutex::default(),
            counts: Arc::default(),
            looked: AtomicU64::new(0),
            nobody: Mutex::default(),
            reported: Mutex::default(),
        }
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<ProcessId, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job has one more lock, or something else that is waited at. Answers whether it is the first.
    #[must_use = "a job that has something to wait at is to be watched"]
    pub(crate) fn add_lock(&self, lock: &Arc<ScopedLock>) -> bool {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // There was none: no room was made for any.
        let is_first = locks.capacity() == 0;
        // Before it has to grow, what is gone makes room.
        if locks.len() == locks.capacity() {
            locks.retain(|lock| lock.strong_count() > 0);
        }
        locks.push(Arc::downgrade(lock));
        is_first
    }

    fn locks(&self) -> Vec<Arc<ScopedLock>> {
        let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.iter().filter_map(Weak::upgrade).collect()
    }

    /// A process begins. It is there from here on, whether or not it runs yet.
    pub(crate) fn begin(
        &self,
        process: ProcessId,
        name: Arc<str>,
        limited: bool,
        stopping: Arc<AtomicBool>,
    ) -> Arc<Seat> {
        let seat =
            Arc::new(Seat { process, name, limited, stopping, waits: Mutex::default(), counts: self.counts.clone() });
        self.seats().insert(process, seat.clone());
        self.counts.alive.fetch_add(1, Ordering::SeqCst);
        seat
    }

    /// Host code begins to be an owner of the job's locks.
    pub(crate) fn begin_host_code(&self, id: ProcessId, name: Arc<str>) -> Arc<Seat> {
        // It counts apart: however many of it wait, the processes may not.
        let counts = Arc::default();
        let (waits, stopping) = (Mutex::default(), Arc::default());
        let seat = Arc::new(Seat { process: id, name, limited: false, stopping, waits, counts });
        self.host_code().insert(id, seat.clone());
        seat
    }

    /// Host code ends.
    pub(crate) fn end_host_code(&self, id: ProcessId) {
        self.host_code().remove(&id);
        // What it held may have been all that could let others go on.
        self.counts.sittings.fetch_add(1, Ordering::Relaxed);
    }

    fn host_code(&self) -> MutexGuard<'_, HashMap<ProcessId, Arc<Seat>>> {
        self.host_code.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no host code can let anybody go on: what holds something waits itself, and will not be woken.
    fn host_code_is_stuck(&self) -> bool {
        self.host_code().values().all(|seat| match &*seat.waits() {
            Some(waiting) => !waiting.timed && self.table.sleeps(waiting.id),
            None => !self.table.holds_any(seat.process.owner()),
        })
    }

    /// A process has ended.
    pub(crate) fn end(&self, process: ProcessId) {
        if self.seats().remove(&process).is_some() {
            // It may have been the last one that ran.
            self.counts.sittings.fetch_add(1, Ordering::Relaxed);
            if self.counts.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
                let waiting = std::mem::take(&mut *self.nobody());
                waiting.into_iter().for_each(Waker::wake);
            }
        }
    }

    fn nobody(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.nobody.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no process of the job is alive.
    pub(crate) async fn everyone_ended(&self) {
        poll_fn(|cx| {
            if self.counts.alive.load(Ordering::SeqCst) > 0 {
                let mut nobody = self.nobody();
                if !nobody.iter().any(|waker| waker.will_wake(cx.waker())) {
                    nobody.push(cx.waker().clone());
                }
                drop(nobody);
                // The last one may have ended since.
                if self.counts.alive.load(Ordering::SeqCst) > 0 {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// With every tick of the clock: reports a stall, once for each time that everybody sits, and once more if what could
    /// have ended it by itself is over.
    pub(crate) fn tick(&self) {
        let sittings = self.counts.sittings.load(Ordering::Relaxed);
        let alive = self.counts.alive.load(Ordering::SeqCst);
        if alive == 0 || self.counts.seated.load(Ordering::SeqCst) < alive {
            return;
        }
        if self.looked.swap(sittings, Ordering::Relaxed) != sittings {
            return;
        }
        let before = self.reported().filter(|reported| reported.sittings == sittings);
        if before.is_some_and(|before| !before.ends_by_itself || before.at.elapsed() < LOOK_AGAIN) {
            return;
        }
        drop(self.report());
    }

    fn reported(&self) -> MutexGuard<'_, Option<Reported>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the job stands still, and reports it unless that was done, so that nobody ends a stall that was not told of.
    pub(crate) fn report(&self) -> Option<Stall> {
        // Held until the event is sent: who comes second must not go on before it is.
        let mut reported = self.reported();
        let (stall, sittings) = self.look()?;
        let before = reported.filter(|reported| reported.sittings == sittings);
        let Stall { ends_by_itself, .. } = stall;
        *reported = Some(Reported { sittings, ends_by_itself, at: Instant::now() });
        if before.is_none_or(|before| before.ends_by_itself != ends_by_itself) {
            self.events.emit(|| Event::Stalled { waits: stall.waits.clone(), ends_by_itself });
        }
        drop(reported);
        Some(stall)
    }

    /// Looks whether the job stands still.
    pub(crate) fn stall(&self) -> Option<Stall> {
        self.look().map(|(stall, _)| stall)
    }

    /// The stall, and how often somebody had sat down when it was seen.
    fn look(&self) -> Option<(Stall, u64)> {
        // First, as it costs least, and may be so for long.
        if !self.host_code_is_stuck() {
            return None;
        }
        let sittings = self.counts.sittings.load(Ordering::SeqCst);
        let seats: Vec<_> = self.seats().values().cloned().collect();
        let mut waits = Vec::with_capacity(seats.len());
        let mut limited = false;
        for seat in &seats {
            let waiting = seat.waits().clone()?;
            let want = self.table.want(waiting.id)?;
            // Who has a deadline, is being ended, or was woken and has not come yet, will go on.
            if waiting.timed || seat.stopping.load(Ordering::SeqCst) || !self.table.sleeps(waiting.id) {
                return None;
            }
            // So will, as far as can be seen from here, who waits for somebody outside of this host.
            if self.table.is_kept_out(waiting.id) {
                return None;
            }
            limited |= seat.limited;
            waits.push((seat, waiting, want));
        }
        // Everyone sat while it was looked, so nobody was there to wake the first after the last was seen.
        if waits.is_empty() || self.counts.sittings.load(Ordering::SeqCst) != sittings {
            return None;
        }
        let mut holds: HashMap<ProcessId, Vec<Held>> = HashMap::new();
        for lock in self.locks().iter().filter(|lock| lock.is_held()) {
            // A hold that is being taken away is not given on yet, and one on its way has not come: whoever is next will go on.
            if matches!(self.table.state(lock.id), LockState::Revoking | LockState::InFlight) {
                return None;
            }
            for holder in self.table.holders(lock.id) {
                limited |= lock.max_hold.is_some();
                let held = Held { lock: lock.name.clone(), how: holder.mode };
                holds.entry(ProcessId::from(holder.owner)).or_default().push(held);
            }
        }
        if !self.host_code_is_stuck() {
            return None;
        }
        // Who sat down while it was looked may have woken somebody before, and does not count as sitting yet; a hold may have
        // been taken away and given on. Either way one of them sleeps no more.
        if waits.iter().any(|(_, waiting, _)| !self.table.sleeps(waiting.id)) {
            return None;
        }
        let now = Instant::now();
        let mut waits: Vec<_> = waits
            .into_iter()
            .map(|(seat, waiting, want)| StalledProcess {
                process: seat.process,
                name: seat.name.clone(),
                waits_at: waiting.lock.name.clone(),
                waits_for: WaitsFor(want),
                waited: now.saturating_duration_since(waiting.since),
                holds: holds.remove(&seat.process).unwrap_or_default(),
            })
            .collect();
        waits.sort_by_key(|wait| wait.process);
        Some((Stall { waits, ends_by_itself: limited }, sittings))
    }
}
