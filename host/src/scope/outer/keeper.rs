//! The thread that keeps the gates of a host: it fetches locks that are waited for, and lets them go in time.
//!
//! One thread for all locks, and none for a wait: who waits stands in the table's queue, and leaves it as always. If nobody
//! waits any more when an outer lock comes, it goes back at once.
//!
//! Mutexes are taken in this order: a door, then one of the table; what was heard before either. Under a door's mutex there
//! may be a sync, once in billions of fences, or where the text of the lock file is lost.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use lockkeeper_locks::{AcquireError, Departure, GatePhase, Homecoming, LockId, LockTable, Mode};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::time::{ClockId, clock_gettime};

use super::rhythm::{Act, Moment, Rhythm};
use super::{OuterLock, Outside, Taken};
use crate::observe::{Event, Events};
use crate::scope::ScopedLock;

/// How often somebody who asks in passing gives way to whoever is at the door.
const ENTER_TRIES: u32 = 200;

/// The gates of a host, and the thread that keeps them.
#[derive(Debug)]
pub(in crate::scope) struct GateKeeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    table: Arc<LockTable>,
    events: Events,
    doors: Mutex<HashMap<LockId, Arc<Door>>>,
    rung: Mutex<Vec<LockId>>,
    /// Ends the thread's sleep.
    alarm: OwnedFd,
    stopped: AtomicBool,
}

/// One gate, as its keeper has it.
#[derive(Debug)]
struct Door {
    id: LockId,
    lock: Weak<ScopedLock>,
    bell: Arc<Bell>,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    outer: Box<dyn OuterLock>,
    rhythm: Rhythm,
    /// So far the files that are bound to the lock know that fences may come.
    reserved: u64,
    /// Nothing is done here any more.
    closed: bool,
}

/// Rung by the table, on any thread.
#[derive(Debug)]
struct Bell {
    id: LockId,
    shared: Weak<Shared>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.ring(self.id);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clock that all hosts of this machine have in common.
fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

impl GateKeeper {
    pub(in crate::scope) fn start(
        table: &Arc<LockTable>,
        events: &Events,
        outside: Box<dyn Outside>,
    ) -> io::Result<Self> {
        let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared {
            table: table.clone(),
            events: events.clone(),
            doors: Mutex::default(),
            rung: Mutex::default(),
            alarm,
            stopped: AtomicBool::new(false),
        });
        let keeping = shared.clone();
        let thread = thread::Builder::new().name("lockkeeper-gates".into()).spawn(move || keeping.keep(outside))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps the gate of a lock from here on.
    pub(in crate::scope) fn add(&self, lock: &Arc<ScopedLock>, outer: Box<dyn OuterLock>, hears: bool) {
        let id = lock.id;
        let bell = Arc::new(Bell { id, shared: Arc::downgrade(&self.shared) });
        let inside = Inside { outer, rhythm: Rhythm::new(!hears), reserved: 0, closed: false };
        let door = Arc::new(Door { id, lock: Arc::downgrade(lock), bell, inside: Mutex::new(inside) });
        locked(&self.shared.doors).insert(id, door);
        self.shared.ring(id);
    }

    /// Takes the outer lock for somebody who asks in passing, if it is to be had now. An error if it cannot be had at all.
    pub(in crate::scope) fn try_fetch(&self, lock: &Arc<ScopedLock>, mode: Mode) -> Result<(), AcquireError> {
        let Some(door) = self.shared.door(lock.id) else { return Ok(()) };
        let Some(mut inside) = door.try_enter() else { return Ok(()) };
        let now = now();
        let is_away = self.shared.table.gate_phase(lock.id) == Some(GatePhase::Away);
        if inside.closed || !is_away {
            return Ok(());
        }
        if inside.rhythm.may_try(now) {
            match inside.outer.try_take(mode) {
                Ok(Some(taken)) => inside.come_home(&self.shared, lock, mode, taken, now),
                Ok(None) => inside.rhythm.works(),
                Err(error) => inside.failed(&self.shared, lock, &error, now),
            }
            self.shared.ring(lock.id);
        }
        if inside.rhythm.fails(now) { Err(AcquireError::Unavailable { lock: lock.id }) } else { Ok(()) }
    }

    /// Lets a lock go that nobody in here knows any more.
    pub(in crate::scope) fn remove(&self, id: LockId) {
        let door = locked(&self.shared.doors).remove(&id);
        if let Some(door) = door {
            door.close(&self.shared);
        }
    }
}

impl Drop for GateKeeper {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.wake();
        // It may be the thread itself that had the last lock of a host that is gone.
        if let Some(thread) = self.thread.take().filter(|of| of.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn ring(&self, id: LockId) {
        locked(&self.rung).push(id);
        self.wake();
    }

    fn wake(&self) {
        // Only a counter that is full takes no more, and then the thread is awake.
        _ = rustix::io::write(&self.alarm, &1_u64.to_ne_bytes());
    }

    fn door(&self, id: LockId) -> Option<Arc<Door>> {
        locked(&self.doors).get(&id).cloned()
    }

    /// What the thread does.
    fn keep(&self, mut outside: Box<dyn Outside>) {
        let mut due = Due::default();
        loop {
            let mut look: BTreeSet<LockId> = locked(&self.rung).drain(..).collect();
            let now = now();
            outside.read_news(&mut |id, news| {
                if let Some(door) = self.door(id) {
                    locked(&door.inside).rhythm.hear(news, now);
                    look.insert(id);
                }
            });
            if self.stopped.load(Ordering::SeqCst) {
                break;
            }
            look.extend(due.until(now));
            for id in look {
                let next = self.door(id).and_then(|door| door.look(self));
                due.set(id, next);
            }
            self.sleep(&*outside, due.first());
        }
        let doors: Vec<_> = locked(&self.doors).drain().map(|(_, door)| door).collect();
        doors.iter().for_each(|door| door.close(self));
    }

    /// Sleeps until it is rung, there is news, or it is time.
    fn sleep(&self, outside: &dyn Outside, until: Option<Moment>) {
        let timeout = until.map(|until| {
            let left = Duration::from_nanos(until.0.saturating_sub(now().0));
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let alarm = PollFd::new(&self.alarm, PollFlags::IN);
        let slept = match outside.news_fd() {
            Some(news) => poll(&mut [alarm, PollFd::from_borrowed_fd(news, PollFlags::IN)], timeout.as_ref()),
            None => poll(&mut [alarm], timeout.as_ref()),
        };
        if let Err(error) = slept
            && error != rustix::io::Errno::INTR
        {
            tracing::error!(%error, "the keeper of the gates cannot sleep");
            thread::sleep(Duration::from_millis(1));
        }
        let mut count = [0; 8];
        _ = rustix::io::read(&self.alarm, &mut count);
    }
}

/// When to look at which door, if nothing happens before.
#[derive(Default)]
struct Due {
    by_time: BTreeSet<(Moment, LockId)>,
    of: HashMap<LockId, Moment>,
}

impl Due {
    fn set(&mut self, id: LockId, at: Option<Moment>) {
        let before = match at {
            Some(at) => self.of.insert(id, at),
            None => self.of.remove(&id),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, id));
        }
        if let Some(at) = at {
            self.by_time.insert((at, id));
        }
    }

    fn until(&mut self, now: Moment) -> Vec<LockId> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    fn first(&self) -> Option<Moment> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

impl Door {
    /// For who asks in passing: the keeper is at a door for moments, unless it waits for a disk, and then nobody waits for it.
    fn try_enter(&self) -> Option<MutexGuard<'_, Inside>> {
        for _ in 0..ENTER_TRIES {
            match self.inside.try_lock() {
                Ok(inside) => return Some(inside),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => thread::yield_now(),
            }
        }
        None
    }

    /// Does what there is to do, and says when to look again.
    fn look(&self, shared: &Shared) -> Option<Moment> {
        // Let go after the door: its end comes here again.
        let lock = self.lock.upgrade()?;
        let mut inside = locked(&self.inside);
        loop {
            if inside.closed {
                return None;
            }
            let view = shared.table.watch_gate(self.id, Some(Waker::from(self.bell.clone())));
            let now = now();
            if view.wanted.is_none() {
                inside.outer.show_waiting(false);
            }
            match inside.rhythm.decide(&view, now) {
                Act::Wait(until) => return until,
                Act::Try(mode) => match inside.outer.try_take(mode) {
                    Ok(None) => {
                        inside.rhythm.busy(now);
                        inside.outer.show_waiting(true);
                    }
                    Ok(Some(taken)) => {
                        inside.outer.show_waiting(false);
                        // Whoever it was for may have given up.
                        if shared.table.watch_gate(self.id, None).wanted.is_some() {
                            inside.come_home(shared, &lock, mode, taken, now);
                        } else {
                            inside.rhythm.works();
                            inside.put_back(mode, taken, now);
                        }
                    }
                    Err(error) => inside.failed(shared, &lock, &error, now),
                },
                Act::Allow(grants) => shared.table.allow_grants(self.id, grants),
                Act::Depart => inside.depart(shared, self.id, now),
                Act::Reserve => inside.reserve(shared, &lock, now),
                Act::Tell(waited) => {
                    let holder = inside.outer.holder();
                    shared.events.emit(|| Event::WaitsOutside {
                        lock: lock.name.clone(),
                        waited,
                        stopped: holder.as_ref().is_some_and(|holder| holder.stopped),
                        holder: holder.map(|holder| holder.who),
                    });
                }
            }
        }
    }

    /// Lets the lock go for good.
    fn close(&self, shared: &Shared) {
        let mut inside = locked(&self.inside);
        inside.closed = true;
        if matches!(shared.table.gate_phase(self.id), Some(GatePhase::Home(_))) {
            shared.table.allow_grants(self.id, 0);
        }
        inside.depart(shared, self.id, now());
    }
}

impl Inside {
    fn come_home(&mut self, shared: &Shared, lock: &ScopedLock, mode: Mode, taken: Taken, now: Moment) {
        if let Err(error) = self.tell_files(lock, taken.reserved) {
            self.put_back(mode, taken, now);
            self.failed(shared, lock, &error, now);
            return;
        }
        let grants_max = self.rhythm.came_home(now);
        let home = Homecoming { mode, fences: taken.fences, grants_max, left: taken.left };
        shared.table.come_home(lock.id, &home, Instant::now());
    }

    /// The lock cannot be tried. It may be that it can in a while; who waits for it is told if it cannot then.
    fn failed(&mut self, shared: &Shared, lock: &ScopedLock, error: &dyn std::fmt::Display, now: Moment) {
        self.tell_failed(shared, lock, error);
        if self.rhythm.failed(now) {
            shared.table.turn_away(lock.id, Instant::now());
        }
    }

    /// Lets it go as it came.
    fn put_back(&mut self, mode: Mode, taken: Taken, now: Moment) {
        self.outer.let_go(&Departure { mode, next_fence: taken.fences.start, left: taken.left });
        self.rhythm.put_back(now);
    }

    fn depart(&mut self, shared: &Shared, id: LockId, now: Moment) {
        if let Some(departure) = shared.table.depart(id) {
            self.outer.let_go(&departure);
            self.rhythm.departed(departure.mode, now);
        }
    }

    fn reserve(&mut self, shared: &Shared, lock: &ScopedLock, now: Moment) {
        let reserved = self.outer.more_fences().map_err(|error| error.to_string());
        let told = reserved.and_then(|more| {
            self.tell_files(lock, more.reserved).map_err(|error| error.to_string())?;
            shared.table.add_fences(lock.id, more.fences);
            Ok(())
        });
        if let Err(error) = told {
            self.rhythm.not_reserved(now);
            self.tell_failed(shared, lock, &error);
        }
    }

    /// The files that are bound to the lock are told first which fences may come: this syncs, as rarely as more are reserved.
    fn tell_files(&mut self, lock: &ScopedLock, reserved: u64) -> io::Result<()> {
        if reserved > self.reserved {
            lock.reserve_fences(reserved)?;
            self.reserved = reserved;
        }
        Ok(())
    }

    fn tell_failed(&self, shared: &Shared, lock: &ScopedLock, error: &dyn std::fmt::Display) {
        tracing::warn!(lock = %lock.name, %error, "a lock is not to be had");
        shared.events.emit(|| Event::LockUnavailable { lock: lock.name.clone(), error: error.to_string() });
    }
}
