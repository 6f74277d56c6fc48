//! Several hosts that append to one file take turns.
//!
//! | lock | who has it | for how long |
//! |---|---|---|
//! | `<file>.lock` | those who share the file, together; or the one who has it to itself | as long as it is open |
//! | the file's own | who writes now | a turn: some milliseconds while others wait |
//! | `<file>.turn` | who is next | from standing first in the line to having the file |
//!
//! So whoever writes can see whether somebody waits (the line is taken), and whoever leaves comes behind whoever waits (to
//! have the file again it has to stand in the line first). A host that dies leaves all three: the system sees to that.
//!
//! To begin a turn is to open the file, and to end it is to close it, as far as the file can tell: the end is read again, what
//! a dead host has left is repaired, floor, latch and columns are taken over, all from the checkpoint, in which the host
//! before has said where it stopped. Only where that is all in order nothing is synced and next to nothing read.
//!
//! Only the file's thread for writes begins and ends turns, so between a begin and what it was for there is no end.
//! Who appends within a turn needs no thread. Nobody waits with a mutex locked.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Change, LatchCause, OpenError};
use crate::file::Inner;
use crate::open::{FileSpec, LOCK, TURN, beside, check_regular, io_error};
use crate::os_lock::Holder;
use crate::storage::{Access, Disk, Status, Storage, uninterrupted};
use crate::writer::{TakenUp, Writer};

/// How often the file is tried by who is next, and the line by the others.
const NEXT_POLL: Duration = Duration::from_micros(500);
const LINE_POLL: Duration = Duration::from_millis(1);

/// Whoever writes for as long as this does not take turns, and is asked more seldom.
const LONG_WAIT: Duration = Duration::from_secs(1);
const LONG_POLL: Duration = Duration::from_millis(20);

/// Everybody in the line has tried it once before who has just left comes again.
const GAP: Duration = Duration::from_millis(2);

/// A shorter turn is looked at no more often.
const LOOK_EVERY_MIN: Duration = Duration::from_micros(200);

/// How long whoever opens or checks a file waits for those who share it.
pub(crate) const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// What a host has of a file that it shares.
#[derive(Debug)]
pub(crate) struct Turns {
    line: Arc<dyn Storage>,
    pub(crate) spec: FileSpec,
    /// Whether it is this host's turn, and not about to end: known without the writer's mutex.
    open: AtomicBool,
    /// Whether there were appends since the last look.
    used: AtomicBool,
    state: Mutex<State>,
    /// A use has ended, or the file closes.
    news: Condvar,
}

#[derive(Debug)]
struct State {
    since: Instant,
    /// Not to stand in the line again before that.
    gap_until: Option<Instant>,
    closing: bool,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This host's, and no other one may write.
    Ours {
        /// What has to end before the turn may: syncs.
        uses: usize,
        /// Whether it ends when they have.
        ending: bool,
    },
    /// Not this one's.
    Theirs,
}

impl Turn {
    pub(crate) const BEGUN: Turn = Turn::Ours { uses: 0, ending: false };
}

/// How it ended to have a turn begun.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// It is this host's turn, or the file is latched: the writer says which.
    Ready,
    /// Nobody wants it any more.
    Unwanted,
    /// The file is being closed.
    Closed,
    /// It could not be begun; a later one may.
    Failed(io::Error),
}

impl Turns {
    pub(crate) fn new(line: Arc<dyn Storage>, spec: FileSpec) -> Turns {
        let state = State { since: Instant::now(), gap_until: None, closing: false };
        Turns {
            line,
            spec,
            open: AtomicBool::new(true),
            used: AtomicBool::new(false),
            state: Mutex::new(state),
            news: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an append need not wait, as far as that can be seen from here.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn note_use(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// From here on nobody waits for a turn.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.news.notify_all();
    }

    /// Somebody who had need of the turn has none any more.
    pub(crate) fn tell(&self) {
        // Locked, so that whoever is about to wait hears of it.
        drop(self.state());
        self.news.notify_all();
    }

    fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// Waits a while, less if there is news.
    fn pause(&self, time: Duration) {
        let state = self.state();
        if !state.closing {
            drop(self.news.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// How often a turn is looked at.
    fn look_every(&self) -> Duration {
        (self.spec.cohort / 4).max(LOOK_EVERY_MIN)
    }

    /// Whether some other host waits. If that cannot be seen, one does.
    fn is_wanted(&self) -> bool {
        match self.line.try_lock() {
            Ok(true) => {
                self.line.unlock();
                false
            }
            Ok(false) => true,
            Err(_) => {
                // Should it be locked all the same, nobody else would come.
                self.line.unlock();
                true
            }
        }
    }
}

/// Opens or makes the file whose lock is the line. Nothing is ever in it.
pub(crate) fn line(disk: &dyn Disk, path: &Path, data: &Status) -> Result<Arc<dyn Storage>, OpenError> {
    let line_path = beside(path, TURN);
    let failed = io_error("open", &line_path);
    match disk.look(&line_path).map_err(&failed)? {
        Some(there) => check_regular(&line_path, &there)?,
        None => match uninterrupted(|| disk.open(&line_path, Access::CreateUpdate { mode: data.mode & 0o666 })) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map_err(failed),
        },
    }
    uninterrupted(|| disk.open(&line_path, Access::Update)).map_err(failed)
}

/// Waits for the lock of `data`, in the line: for whoever has no thread for that. False if that has taken too long.
pub(crate) fn wait_for(line: &dyn Storage, data: &dyn Storage, patience: Duration) -> io::Result<bool> {
    let until = Instant::now() + patience;
    let mut place = Place { line, taken: false };
    loop {
        if place.try_data(data)? {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(place.poll());
    }
}

/// A place in the line, or the wish for one. Left when it is dropped.
struct Place<'a> {
    line: &'a dyn Storage,
    taken: bool,
}

impl Place<'_> {
    /// Whether the file is ours now. The line is left then.
    fn try_data(&mut self, data: &dyn Storage) -> io::Result<bool> {
        if !self.taken {
            self.taken = self.line.try_lock().inspect_err(|_| self.line.unlock())?;
        }
        if !self.taken || !data.try_lock().inspect_err(|_| data.unlock())? {
            return Ok(false);
        }
        self.leave();
        Ok(true)
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.line.unlock();
        }
    }

    fn poll(&self) -> Duration {
        if self.taken { NEXT_POLL } else { LINE_POLL }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Has a turn begin, on the file's thread for writes. `is_wanted` is asked again and again.
pub(crate) fn fetch(inner: &Arc<Inner>, is_wanted: impl Fn() -> bool) -> Fetched {
    let Some(turns) = &inner.turns else { return Fetched::Ready };
    let mut place = Place { line: &*turns.line, taken: false };
    let data = inner.writer().storage().clone();
    let began = Instant::now();
    let mut told = false;
    loop {
        {
            let mut writer = inner.writer();
            if writer.latched().is_some() {
                return Fetched::Ready;
            }
            match writer.turn {
                Turn::Ours { ending: false, .. } => return Fetched::Ready,
                Turn::Ours { uses: 0, ending: true } => end(inner, turns, &mut writer),
                Turn::Ours { .. } | Turn::Theirs => {}
            }
        }
        if turns.is_closing() {
            return Fetched::Closed;
        }
        if !is_wanted() {
            return Fetched::Unwanted;
        }
        let gap =
            turns.state().gap_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        let is_theirs = inner.writer().turn == Turn::Theirs;
        if is_theirs && gap.is_zero() {
            match place.try_data(&*data) {
                Ok(true) => return begin(inner, turns),
                Ok(false) => {}
                Err(error) => return Fetched::Failed(error),
            }
        }
        let waited = began.elapsed();
        if waited >= LONG_WAIT && !std::mem::replace(&mut told, true) {
            tell_who_is_in_the_way(inner);
        }
        turns.pause(if waited >= LONG_WAIT { LONG_POLL } else { gap.max(place.poll()) });
    }
}

fn tell_who_is_in_the_way(inner: &Inner) {
    let note = inner.disk.read_note(&beside(&inner.path, LOCK));
    let holder = note.ok().flatten().and_then(|note| note.holder);
    let (path, holder) = (inner.path.display(), Holder::describe(holder.as_ref()));
    tracing::warn!(%path, %holder, "appends wait for another host, which may be stopped, to have its turn end");
}

/// The file's own lock is ours: takes up what the others have left.
fn begin(inner: &Arc<Inner>, turns: &Turns) -> Fetched {
    let mut writer = inner.writer();
    let taken = take_up(inner, turns, &mut writer);
    let failed = match taken {
        Ok(()) if writer.latched().is_none() => {
            writer.turn = Turn::BEGUN;
            inner.appended_at_least(writer.end());
            turns.used.store(true, Ordering::Relaxed);
            turns.state().since = Instant::now();
            turns.open.store(true, Ordering::Release);
            drop(writer);
            look_again(inner, turns);
            return Fetched::Ready;
        }
        Ok(()) => None,
        Err(error) => match error {
            OpenError::Io { .. } | OpenError::Lock(_) | OpenError::Repair { .. } => Some(io::Error::other(error)),
            OpenError::SyncFailed { .. } | OpenError::NotOnDisk { .. } => {
                writer.latch(LatchCause::SyncFailed(Arc::new(io::Error::other(error))));
                None
            }
            error => {
                writer.latch(LatchCause::NotTakenUp(Arc::new(error)));
                None
            }
        },
    };
    writer.storage().unlock();
    let latched = writer.latched().cloned();
    drop(writer);
    if let Some(cause) = latched {
        inner.syncs.fail(&cause);
    }
    failed.map_or(Fetched::Ready, Fetched::Failed)
}

fn take_up(inner: &Inner, turns: &Turns, writer: &mut Writer) -> Result<(), OpenError> {
    let path = &inner.path;
    let storage = writer.storage().clone();
    let found = uninterrupted(|| storage.status()).map_err(io_error("examine", path))?;
    let named = inner.disk.look(path).map_err(io_error("examine", path))?;
    let what = match named {
        _ if found.links == 0 => Some(Change::Unlinked),
        Some(named) if named.id == inner.data.id => None,
        Some(_) | None => Some(Change::Renamed),
    };
    let cut = |writer: &Writer, found| Change::Truncated { expected: writer.end(), found };
    let what = what.or_else(|| (found.len < writer.end()).then(|| cut(writer, found.len)));
    if let Some(what) = what {
        writer.latch(LatchCause::Changed(what));
        return Ok(());
    }
    let mut lock = inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(lock) = &mut *lock else { return Ok(()) };
    match writer.take_up(&*inner.disk, path, &inner.encoder, found.len)? {
        TakenUp::AsWeLeftIt => return Ok(()),
        TakenUp::AsTheyLeftIt => lock.renew()?,
        TakenUp::Not => {
            lock.renew()?;
            let status = Status { len: found.len, ..inner.data };
            let begun =
                crate::open::begin(&*inner.disk, &turns.spec, &storage, &status, &mut **lock, &inner.encoder, false)?;
            if let Some(torn) = &begun.report.torn {
                let (path, saved_to) = (path.display(), torn.saved_to.display());
                let (bytes, reason) = (torn.bytes, &torn.reason);
                tracing::warn!(%path, bytes, %reason, %saved_to, "another host left a torn end, which was put aside");
            }
            if begun.state.latest.at < writer.end() {
                writer.latch(LatchCause::Changed(cut(writer, begun.state.latest.at)));
                return Ok(());
            }
            writer.begin_anew(begun.checkpoint, begun.state);
        }
    }
    inner.syncs.synced_by_others(writer.synced_to());
    Ok(())
}

/// Lets the others write.
fn end(inner: &Inner, turns: &Turns, writer: &mut Writer) {
    turns.open.store(false, Ordering::Release);
    writer.leave(&inner.path);
    writer.storage().unlock();
    writer.turn = Turn::Theirs;
    turns.state().gap_until = turns.is_wanted().then(|| Instant::now() + GAP);
}

/// Ends the turn, as soon as what is under way has ended; on the file's thread for writes.
pub(crate) fn end_now(inner: &Inner) {
    let Some(turns) = &inner.turns else { return };
    turns.open.store(false, Ordering::Release);
    loop {
        {
            let mut writer = inner.writer();
            match &mut writer.turn {
                Turn::Theirs => return,
                Turn::Ours { uses: 0, .. } => return end(inner, turns, &mut writer),
                Turn::Ours { ending, .. } => *ending = true,
            }
        }
        if turns.is_closing() {
            return;
        }
        turns.pause(LINE_POLL);
    }
}

/// Has a turn looked at in a while.
pub(crate) fn look_later(inner: &Arc<Inner>, turns: &Turns) -> io::Result<()> {
    let later = inner.clone();
    inner.writes.post_at(Instant::now() + turns.look_every(), Box::new(move || look(&later)))
}

/// The same on the thread itself: an error says that the file is being closed, and the turn ends with it.
fn look_again(inner: &Arc<Inner>, turns: &Turns) {
    drop(look_later(inner, turns));
}

/// Ends the turn if two of these three hold: somebody else waits, nobody here has made use of it of late, it has lasted as
/// long as a turn does.
fn look(inner: &Arc<Inner>) {
    let Some(turns) = &inner.turns else { return };
    let unused = !turns.used.swap(false, Ordering::Relaxed);
    let over = turns.state().since.elapsed() >= turns.spec.cohort;
    let is_time = match (unused, over) {
        (true, true) => true,
        (false, false) => false,
        (true, false) | (false, true) => turns.is_wanted(),
    };
    if is_time {
        // Before the mutex is asked for: those who append have none of this thread's turn to get it otherwise.
        turns.open.store(false, Ordering::Release);
    }
    {
        let mut writer = inner.writer();
        match &mut writer.turn {
            Turn::Theirs => return,
            Turn::Ours { ending, .. } => *ending |= is_time,
        }
        if let Turn::Ours { uses: 0, ending: true } = writer.turn {
            return end(inner, turns, &mut writer);
        }
    }
    look_again(inner, turns);
}

/// Has a turn begin, for a thread that may block.
pub(crate) fn fetch_blocking(inner: &Arc<Inner>) -> Fetched {
    on_the_thread(inner, |fetched| fetched).unwrap_or(Fetched::Closed)
}

/// A turn that does not end before this is dropped.
#[must_use = "the turn may end when this is dropped"]
pub(crate) struct Use<'a>(&'a Inner);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        let Some(turns) = &self.0.turns else { return };
        if let Turn::Ours { uses, .. } = &mut self.0.writer().turn {
            *uses -= 1;
        }
        turns.tell();
    }
}

/// Has a turn begin that does not end before what this answers is dropped; for a thread that may block. Where it could not
/// begin, what is done next says why.
pub(crate) fn make_use(inner: &Arc<Inner>) -> Result<Use<'_>, Fetched> {
    fn begin_use(inner: &Inner) -> bool {
        match &mut inner.writer().turn {
            Turn::Ours { uses, ending: false } => {
                *uses += 1;
                true
            }
            Turn::Ours { .. } | Turn::Theirs => false,
        }
    }
    if inner.turns.is_none() || begin_use(inner) {
        return Ok(Use(inner));
    }
    let on_thread = inner.clone();
    let fetched = on_the_thread(inner, move |fetched| match fetched {
        // Latched otherwise.
        Fetched::Ready if begin_use(&on_thread) => Ok(()),
        fetched => Err(fetched),
    });
    fetched.unwrap_or(Err(Fetched::Closed)).map(|()| Use(inner))
}

/// Has a turn begin, and then does this, on the file's thread. None if there is no such thread any more.
fn on_the_thread<T: Send + 'static>(inner: &Arc<Inner>, act: impl FnOnce(Fetched) -> T + Send + 'static) -> Option<T> {
    let (done, answer) = mpsc::sync_channel(1);
    let on_thread = inner.clone();
    let posted = inner.writes.post(Box::new(move || {
        let fetched = fetch(&on_thread, || true);
        // Whoever asked waits for it.
        drop(done.send(act(fetched)));
    }));
    posted.ok()?;
    answer.recv().ok()
}
