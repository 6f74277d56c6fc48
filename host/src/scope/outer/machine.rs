//! Machine scope: the outer lock is a lock file, and news of it is what the system tells of that file.
//!
//! | what is seen of the file (inotify) | what it means |
//! |---|---|
//! | opened | a program that may wait for it: `flock(1)` opens once, filelock each time that it tries |
//! | closed | a program has gone, by itself or by a signal, and with it its lock |
//! | time of change, contents | a host has let it go, or has just taken it |
//! | time of access | a host waits for it |
//! | removed, renamed | others may soon lock another file under its name |
//!
//! Not everything is told: a program may keep its descriptor and unlock, and some file systems tell nothing. So whoever waits
//! looks by itself too ([`super::rhythm`]).

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockkeeper_journal::flocks;
use lockkeeper_journal::lock_file::Remote;
use lockkeeper_journal::machine_lock::{self, MachineLock, MachineLockError, Presence};
use lockkeeper_journal::os_lock;
use lockkeeper_locks::{Departure, EndCause, FenceBlock, Left, LockId, Mode};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::{News, OuterError, OuterLock, Outside, Outsider, Taken};
use crate::name::Name;

/// Where the lock file of a name lies.
pub(crate) fn lock_path(dir: &Path, name: &Name) -> PathBuf {
    // A name may have slashes, and is never a path. No name has a percent sign.
    dir.join(format!("{}.lock", name.as_str().replace('/', "%2F")))
}

/// The lock files of one host, as far as they are watched together.
#[derive(Clone, Debug)]
pub(in crate::scope) struct Machine {
    watches: Arc<Watches>,
}

#[derive(Debug)]
struct Watches {
    /// None where the system has no more of them: then nothing is heard.
    inotify: Option<OwnedFd>,
    /// Several locks may have one file.
    locks: Mutex<HashMap<i32, Vec<LockId>>>,
}

/// A lock file of one lock.
#[derive(Debug)]
struct FileLock {
    lock: MachineLock,
    id: LockId,
    watches: Arc<Watches>,
    /// The watch, and of which opening of the file it is.
    watch: Option<i32>,
    opened: u64,
}

impl Machine {
    pub(in crate::scope) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        if let Err(error) = &inotify {
            tracing::warn!(%error, "lock files cannot be watched, and are only polled");
        }
        Self { watches: Arc::new(Watches { inotify: inotify.ok(), locks: Mutex::default() }) }
    }

    /// The outer lock of a lock of the table. Says too whether anything is heard of it.
    pub(in crate::scope) fn outer_lock(&self, lock: MachineLock, id: LockId) -> (Box<dyn OuterLock>, bool) {
        let mut lock = FileLock { lock, id, watches: self.watches.clone(), watch: None, opened: 0 };
        lock.watch();
        let hears = lock.watch.is_some();
        (Box::new(lock), hears)
    }
}

/// Opens the lock file of a lock.
pub(in crate::scope) fn open(
    path: &Path,
    allow_remote: bool,
    run: &str,
    fences_from: u64,
) -> Result<MachineLock, MachineLockError> {
    let remote = if allow_remote { Remote::Allowed } else { Remote::Refused };
    let mut lock = MachineLock::open(path, remote, run, fences_from)?;
    lock.prepare()?;
    Ok(lock)
}

impl Outside for Machine {
    fn news_fd(&self) -> Option<BorrowedFd<'_>> {
        self.watches.inotify.as_ref().map(AsFd::as_fd)
    }

    fn read_news(&mut self, tell: &mut dyn FnMut(LockId, News)) {
        let Some(inotify) = &self.watches.inotify else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        // It ends when there is nothing more, which is an error too.
        while let Ok(event) = events.next() {
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                let locks: Vec<_> = self.watches.locks().values().flatten().copied().collect();
                locks.into_iter().for_each(|lock| tell(lock, News::Changed));
                continue;
            }
            let locks = self.watches.locks().get(&event.wd()).cloned().unwrap_or_default();
            for lock in locks {
                heard(flags).for_each(|news| tell(lock, news));
            }
        }
    }
}

fn heard(flags: ReadFlags) -> impl Iterator<Item = News> {
    let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::ATTRIB | ReadFlags::UNMOUNT;
    [
        (ReadFlags::OPEN, News::Comes),
        (ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE, News::Goes),
        (ReadFlags::MODIFY, News::Changed),
        (ReadFlags::ACCESS, News::Knocks),
        (gone, News::Replaced),
    ]
    .into_iter()
    .filter(move |(any, _)| flags.intersects(*any))
    .map(|(_, news)| news)
}

impl Watches {
    fn locks(&self) -> MutexGuard<'_, HashMap<i32, Vec<LockId>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileLock {
    /// Watches the file that is open now.
    fn watch(&mut self) {
        self.opened = self.lock.file().opened();
        self.unwatch();
        let Some(inotify) = &self.watches.inotify else { return };
        let path = self.lock.file().path();
        let what = WatchFlags::ALL_EVENTS | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(inotify, path, what) {
            Ok(watch) => {
                self.watch = Some(watch);
                self.watches.locks().entry(watch).or_default().push(self.id);
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "a lock file is only polled"),
        }
    }

    fn unwatch(&mut self) {
        let Some(watch) = self.watch.take() else { return };
        let mut locks = self.watches.locks();
        let Some(of_file) = locks.get_mut(&watch) else { return };
        of_file.retain(|lock| *lock != self.id);
        if of_file.is_empty() {
            locks.remove(&watch);
            if let Some(inotify) = &self.watches.inotify {
                // The system has done it itself if the file is gone.
                _ = inotify::remove_watch(inotify, watch);
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        self.unwatch();
    }
}

fn taken(taken: &machine_lock::Taken) -> Taken {
    let fences = FenceBlock { start: taken.fences.start, end: taken.fences.end };
    Taken { fences, reserved: taken.reserved, left: left_of(&taken.left) }
}

fn failed(error: MachineLockError) -> OuterError {
    OuterError(Box::new(error))
}

/// The words for how a hold ended, which other versions may have more of.
const CAUSES: [EndCause; 7] = [
    EndCause::Exited,
    EndCause::Trapped,
    EndCause::Killed,
    EndCause::Limit,
    EndCause::Expired,
    EndCause::HostDied,
    EndCause::Other,
];

fn left_of(left: &machine_lock::Left) -> Left {
    match left {
        machine_lock::Left::Clean => Left::Clean,
        machine_lock::Left::Ruined => Left::Ruined,
        machine_lock::Left::Abandoned(how) => {
            let cause = CAUSES.into_iter().find(|cause| cause.to_string() == *how);
            Left::Abandoned(cause.unwrap_or(EndCause::Other))
        }
    }
}

fn words_of(left: Left) -> machine_lock::Left {
    match left {
        Left::Clean => machine_lock::Left::Clean,
        Left::Ruined => machine_lock::Left::Ruined,
        Left::Abandoned(how) => machine_lock::Left::Abandoned(how.to_string()),
    }
}

impl OuterLock for FileLock {
    fn try_take(&mut self, mode: Mode) -> Result<Option<Taken>, OuterError> {
        let mode = match mode {
            Mode::Shared => os_lock::Mode::Shared,
            Mode::Exclusive | Mode::Permits | Mode::Join => os_lock::Mode::Exclusive,
        };
        let tried = self.lock.try_take(mode);
        if self.lock.file().opened() != self.opened {
            self.watch();
        }
        Ok(tried.map_err(failed)?.as_ref().map(taken))
    }

    fn more_fences(&mut self) -> Result<Taken, OuterError> {
        self.lock.more_fences().map(|more| taken(&more)).map_err(failed)
    }

    fn let_go(&mut self, departure: &Departure) {
        self.lock.let_go(departure.next_fence, words_of(departure.left));
    }

    fn show_waiting(&mut self, waits: bool) {
        self.lock.show_waiting(waits);
        if waits {
            self.lock.knock();
        }
    }

    fn holder(&self) -> Option<Outsider> {
        let flocks = flocks::of_file(self.lock.file().file()).unwrap_or_default();
        let note = self.lock.read().ok().flatten().filter(|note| note.is_of_holder(&flocks));
        match note.map(|note| (note.holder.presence(), note.holder)) {
            Some((Presence::Running | Presence::Unknown, holder)) => {
                Some(Outsider { who: holder.to_string(), stopped: false })
            }
            Some((Presence::Stopped, holder)) => Some(Outsider { who: holder.to_string(), stopped: true }),
            Some((Presence::Gone, holder)) if flocks.iter().any(|flock| flock.pid == holder.pid) => {
                Some(Outsider { who: holder.heirs(), stopped: false })
            }
            // Whoever has it now has said nothing.
            Some((Presence::Gone, _)) | None => {
                let pid = flocks.iter().find(|flock| !flock.waits)?.pid;
                Some(Outsider { who: format!("process {pid}"), stopped: machine_lock::is_stopped(pid) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_file_whatever_is_in_it() {
        let dir = Path::new("/state/locks");
        let path = |name| lock_path(dir, &Name::new(name).expect("it is a name"));
        assert_eq!(path("results"), dir.join("results.lock"));
        assert_eq!(path("jobs/../results"), dir.join("jobs%2F..%2Fresults.lock"));
        assert_eq!(path(".."), dir.join("...lock"));
    }

    #[test]
    fn how_a_hold_ended_survives_the_way_through_the_file() {
        for left in CAUSES.map(Left::Abandoned).into_iter().chain([Left::Clean, Left::Ruined]) {
            assert_eq!(left_of(&words_of(left)), left);
        }
        let unknown = machine_lock::Left::Abandoned("a later word".to_owned());
        assert_eq!(left_of(&unknown), Left::Abandoned(EndCause::Other));
    }
}
