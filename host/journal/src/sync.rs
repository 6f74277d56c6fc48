//! Group commit: whoever waits for a sync waits for the next one that covers it, and all who wait at its end share it.
//!
//! One sync runs at a time; those who come meanwhile are the next group. Unless a window was asked for there is no timer: a
//! group is whoever came while the one before it was being written to the disk.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::{LatchCause, SyncError};
use crate::file::Inner;
use crate::storage::uninterrupted;
use crate::turns::{self, Fetched};
use crate::writer::CheckpointToSync;

/// Who waits for syncs, and how far they have come.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Up to here everything is on the disk.
    synced: u64,
    /// Up to here somebody wants it to be.
    wanted: u64,
    /// The number of the last sync that began, of the last one that has ended well, and of the one that is wanted: for
    /// what has no place in the file, such as an id without records.
    begun: u64,
    done: u64,
    wanted_round: u64,
    /// Whether a group is being written, or about to be.
    running: bool,
    /// Why nothing will be synced any more.
    failed: Option<LatchCause>,
    waiting: Vec<Waiting>,
    next_key: u64,
    /// How often a group could not be begun, and why the last time.
    refusals: u64,
    refusal: String,
}

/// Somebody who waits.
#[derive(Debug)]
struct Waiting {
    key: u64,
    wants: Wants,
    waker: Waker,
}

/// What has to be on the disk.
#[derive(Debug, Clone, Copy)]
struct Wants {
    /// All bytes before this one.
    target: u64,
    /// What a sync of this number, or a later one, puts there.
    round: u64,
}

impl State {
    fn covers(&self, wants: Wants) -> bool {
        wants.target <= self.synced && wants.round <= self.done
    }

    fn take_covered(&mut self) -> Vec<Waiting> {
        let (covered, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| self.covers(waiting.wants));
        self.waiting = waiting;
        covered
    }
}

impl Syncs {
    pub(crate) fn starting_at(synced: u64) -> Syncs {
        Syncs { state: Mutex::new(State { synced, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.lock().synced
    }

    /// Tells everybody who waits now that this group could not be begun.
    fn refuse_all(&self, why: &str) {
        let waiting = {
            let mut state = self.lock();
            state.refusals += 1;
            why.clone_into(&mut state.refusal);
            state.running = false;
            (state.wanted, state.wanted_round) = (state.synced, state.done);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|waiting| waiting.waker.wake());
    }

    /// Another host has put everything up to there on the disk.
    pub(crate) fn synced_by_others(&self, to: u64) {
        let woken = {
            let mut state = self.lock();
            state.synced = state.synced.max(to);
            state.take_covered()
        };
        woken.into_iter().for_each(|waiting| waiting.waker.wake());
    }

    /// Whether there is nothing left to do: then whoever wants more begins anew.
    fn rest(&self) -> bool {
        let mut state = self.lock();
        state.running = !state.covers(Wants { target: state.wanted, round: state.wanted_round });
        !state.running
    }

    /// Tells everybody who waits that no sync will come.
    pub(crate) fn fail(&self, cause: &LatchCause) {
        let waiting = {
            let mut state = self.lock();
            state.failed.get_or_insert_with(|| cause.clone());
            state.running = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(|waiting| waiting.waker.wake());
    }
}

/// A wait for a file's bytes to be on the disk: a future, or with [`wait`](Syncing::wait) a blocked thread. Dropping it
/// ends the wait and changes nothing else.
#[must_use = "nothing is known to be on the disk before this has answered"]
#[derive(Debug)]
pub struct Syncing {
    inner: Arc<Inner>,
    /// Nothing is written before it is first polled.
    wants: Wants,
    /// Its place among those who wait, and how many groups had been refused when it took that.
    place: Option<(u64, u64)>,
}

impl Syncing {
    pub(crate) fn new(inner: Arc<Inner>, target: u64) -> Syncing {
        Syncing { inner, wants: Wants { target, round: 0 }, place: None }
    }

    /// The same, and for what is to be synced now whatever has been synced.
    pub(crate) fn of_all(inner: Arc<Inner>, target: u64) -> Syncing {
        let round = inner.syncs.lock().begun + 1;
        Syncing { inner, wants: Wants { target, round }, place: None }
    }

    /// Blocks the thread until it is known. Answers up to which byte everything is on the disk.
    pub fn wait(self) -> Result<u64, SyncError> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut this = pin!(self);
        loop {
            match this.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(done) => return done,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Syncing {
    type Output = Result<u64, SyncError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let start = {
                let mut state = this.inner.syncs.lock();
                if state.covers(this.wants) {
                    return Poll::Ready(Ok(state.synced));
                }
                if let Some(cause) = &state.failed {
                    let (path, cause) = (this.inner.path.clone(), cause.clone());
                    return Poll::Ready(Err(SyncError::Latched { path, cause }));
                }
                let (key, refusals) = *this.place.get_or_insert_with(|| {
                    state.next_key += 1;
                    (state.next_key, state.refusals)
                });
                if refusals != state.refusals {
                    let path = this.inner.path.clone();
                    return Poll::Ready(Err(SyncError::Refused { path, why: state.refusal.clone() }));
                }
                match state.waiting.iter_mut().find(|waiting| waiting.key == key) {
                    Some(waiting) => waiting.waker.clone_from(context.waker()),
                    None => state.waiting.push(Waiting { key, wants: this.wants, waker: context.waker().clone() }),
                }
                state.wanted = state.wanted.max(this.wants.target);
                state.wanted_round = state.wanted_round.max(this.wants.round);
                !std::mem::replace(&mut state.running, true)
            };
            if !start {
                return Poll::Pending;
            }
            let inner = this.inner.clone();
            match this.inner.syncer.post(Box::new(move || run(&inner))) {
                Ok(()) => return Poll::Pending,
                // No thread to be had: then whoever comes first does it for all.
                Err(_) => run(&this.inner),
            }
        }
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        if let Some((key, _)) = self.place {
            self.inner.syncs.lock().waiting.retain(|waiting| waiting.key != key);
        }
    }
}

/// If a group ends in a panic, nobody waits for it for ever.
struct Unfinished<'a>(&'a Inner);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.syncs.fail(&LatchCause::SyncFailed(Arc::new(io::Error::other("the host panicked"))));
        }
    }
}

/// Syncs until nobody wants more.
fn run(inner: &Arc<Inner>) {
    let _unfinished = Unfinished(inner);
    loop {
        // Of a shared file a sync belongs to the turn of its host: should it fail, that is noted before anybody else writes.
        let _turn = match turns::make_use(inner) {
            Ok(turn) => Some(turn),
            Err(Fetched::Ready) => None,
            Err(Fetched::Failed(error)) => return inner.syncs.refuse_all(&error.to_string()),
            Err(Fetched::Closed | Fetched::Unwanted) => return inner.syncs.fail(&LatchCause::Closed),
        };
        if inner.syncs.rest() {
            return;
        }
        if !inner.group_window.is_zero() {
            thread::sleep(inner.group_window);
        }
        inner.check_name();
        let round = {
            let mut state = inner.syncs.lock();
            state.begun += 1;
            state.begun
        };
        // Apart, since a scrutinee keeps the mutex locked through all arms.
        let target = inner.writer().sync_target::<std::convert::Infallible>(&inner.path);
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                let cause = inner.writer().latched().cloned();
                match cause {
                    Some(cause) => inner.syncs.fail(&cause),
                    // What is buffered could not be written: those who wait are told, later ones may have more luck.
                    None => inner.syncs.refuse_all(&error.to_string()),
                }
                return;
            }
        };
        // What a record is called goes first: a record on the disk without its id would be appended a second time.
        let ids = target.ids.as_ref().map_or(Ok(()), |(ids, _)| uninterrupted(|| ids.sync()));
        match ids.and_then(|()| uninterrupted(|| target.storage.sync())) {
            Ok(()) => {}
            Err(error) => {
                let error = Arc::new(error);
                inner.writer().sync_failed(&error);
                inner.syncs.fail(&LatchCause::SyncFailed(error));
                return;
            }
        }
        let checkpoint = inner.writer().synced(&target);
        let checkpoint = match checkpoint {
            Ok(checkpoint) => checkpoint,
            Err(error) => return inner.syncs.refuse_all(&error.to_string()),
        };
        let (first, later) = match checkpoint {
            Some(checkpoint) if checkpoint.is_awaited => (Some(checkpoint), None),
            checkpoint => (None, checkpoint),
        };
        if !sync_checkpoint(inner, first) {
            return;
        }
        let (woken, more) = {
            let mut state = inner.syncs.lock();
            state.synced = state.synced.max(target.end);
            state.done = state.done.max(round);
            let woken = state.take_covered();
            let more = !state.covers(Wants { target: state.wanted, round: state.wanted_round });
            state.running = more;
            (woken, more)
        };
        woken.into_iter().for_each(|waiting| waiting.waker.wake());
        if !sync_checkpoint(inner, later) {
            return;
        }
        if !more {
            return;
        }
    }
}

/// Whether that has worked, if there is something to do.
fn sync_checkpoint(inner: &Inner, checkpoint: Option<CheckpointToSync>) -> bool {
    let Some(CheckpointToSync { sync, is_awaited }) = checkpoint else { return true };
    let mut synced = sync.run();
    if synced.is_ok() {
        let is_durable = inner.writer().checkpoint_synced(sync.generation);
        if !is_durable && is_awaited {
            synced = inner.sync_checkpoint();
        }
    }
    let Err(error) = synced else { return true };
    let error = Arc::new(error);
    inner.writer().sync_failed(&error);
    inner.syncs.fail(&LatchCause::SyncFailed(error));
    false
}
