//! Waiting for a lock file: as a host does, but for this one lock and on this one thread.

use std::fmt;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use lockkeeper::flocks;
use lockkeeper::lock_file::{LockFile, Remote, Tried};
use lockkeeper::machine_lock::{self, Left, MachineLock, MachineLockError};
use lockkeeper::os_lock::Mode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::Outsiders;

/// How often is looked where nothing is heard of the file: first, and later on.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_AT_LEAST: Duration = Duration::from_millis(20);

/// How long it takes others at most to begin to read: they may have to wait for the disk.
const READERS_BEGIN: Duration = Duration::from_secs(2);

/// How often who waits says again for whom.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A lock file of ours, or one with something else in it.
pub(super) trait Lock {
    fn try_take(&mut self, mode: Mode) -> Result<Option<Took>, MachineLockError>;
    fn let_go(&mut self, left: Left);
    /// What is locked.
    fn file(&self) -> &File;
    fn path(&self) -> &Path;
    fn has_fences(&self) -> bool;
    /// Tells those who have it, and those who look, whether this process waits.
    fn show_waiting(&mut self, waits: bool);
}

/// What a lock brings that was taken.
pub(super) struct Took {
    pub(super) fence: Option<u64>,
    pub(super) left: Left,
}

struct Ours {
    lock: MachineLock,
    fence: u64,
}

/// A file in which nothing is written.
struct Plain(LockFile);

/// Opens the file. Only one that is a lock file already, or is to have fences, is written to: any other may be one
/// that the command itself writes, as one may with flock(1).
pub(super) fn open(
    path: &Path,
    remote: Remote,
    run: &str,
    wants_fence: bool,
) -> Result<Box<dyn Lock>, MachineLockError> {
    let is_ours = match machine_lock::read_note(path) {
        Ok(Some(_)) => true,
        Ok(None) => wants_fence,
        Err(MachineLockError::Foreign { .. }) => false,
        Err(error) => return Err(error),
    };
    if is_ours {
        return Ok(Box::new(Ours { lock: MachineLock::open(path, remote, run, 0)?, fence: 0 }));
    }
    Ok(Box::new(Plain(LockFile::open(path, remote)?)))
}

impl Lock for Ours {
    fn try_take(&mut self, mode: Mode) -> Result<Option<Took>, MachineLockError> {
        let Some(taken) = self.lock.try_take(mode)? else { return Ok(None) };
        self.fence = taken.fences.start;
        Ok(Some(Took { fence: Some(self.fence), left: taken.left }))
    }

    fn let_go(&mut self, left: Left) {
        self.lock.let_go(self.fence.saturating_add(1), left);
    }

    fn file(&self) -> &File {
        self.lock.file().file()
    }

    fn path(&self) -> &Path {
        self.lock.file().path()
    }

    fn has_fences(&self) -> bool {
        true
    }

    fn show_waiting(&mut self, waits: bool) {
        self.lock.show_waiting(waits);
        if waits {
            self.lock.knock();
        }
    }
}

impl Lock for Plain {
    fn try_take(&mut self, mode: Mode) -> Result<Option<Took>, MachineLockError> {
        Ok(match self.0.try_lock(mode)? {
            Tried::Locked => Some(Took { fence: None, left: Left::Clean }),
            Tried::Busy => None,
        })
    }

    fn let_go(&mut self, _: Left) {
        self.0.unlock();
    }

    fn file(&self) -> &File {
        self.0.file()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn has_fences(&self) -> bool {
        false
    }

    fn show_waiting(&mut self, _: bool) {}
}

/// How it goes.
pub(super) enum Taking<'a> {
    /// Somebody has it. Who that is is looked up where it is said.
    Waits { file: &'a Path },
    /// It was taken.
    Took { file: &'a Path, after: Duration, took: &'a Took },
    /// The time was over first.
    GaveUp { file: &'a Path, after: Duration },
}

impl fmt::Display for Taking<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits { file } => {
                let outsiders = Outsiders::of(file).unwrap_or_default();
                write!(out, "{} is held by {outsiders}", file.display())
            }
            Self::GaveUp { file, after } => write!(out, "{} was not had within {after:.1?}", file.display()),
            Self::Took { file, after, took } => {
                write!(out, "{} was taken after {after:.1?}", file.display())?;
                if let Some(fence) = took.fence {
                    write!(out, ", fence {fence}")?;
                }
                match &took.left {
                    Left::Clean => Ok(()),
                    Left::Abandoned(how) => write!(out, "; its last holder did not release it ({how})"),
                    Left::Ruined => out.write_str("; nobody has said that what it protects is consistent"),
                }
            }
        }
    }
}

/// Takes the lock, and waits for it so long at most; for ever without a limit. None if it was not to be had.
pub(super) fn take(
    lock: &mut dyn Lock,
    mode: Mode,
    timeout: Option<Duration>,
    tell: &mut dyn FnMut(&Taking<'_>),
) -> Result<Option<Took>, MachineLockError> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    if let Some(took) = lock.try_take(mode)? {
        return Ok(Some(took));
    }
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        if mode == Mode::Shared
            && lock.has_fences()
            && let Some(took) = take_among_readers(lock)?
        {
            return Ok(Some(took));
        }
        tell(&Taking::Waits { file: lock.path() });
        return Ok(None);
    }
    let watch = Watch::new(lock.path());
    let took = wait(lock, mode, deadline, &watch, tell);
    lock.show_waiting(false);
    took
}

/// Of several that begin to read at one moment, one after the other reserves its fences. That is no reason to refuse any.
fn take_among_readers(lock: &mut dyn Lock) -> Result<Option<Took>, MachineLockError> {
    let until = Instant::now() + READERS_BEGIN;
    let is_only_read = |lock: &dyn Lock| -> bool {
        let flocks = flocks::of_file(lock.file()).unwrap_or_default();
        !flocks.is_empty() && flocks.iter().all(|flock| flock.mode == Mode::Shared)
    };
    while is_only_read(lock) && Instant::now() < until {
        if let Some(took) = lock.try_take(Mode::Shared)? {
            return Ok(Some(took));
        }
        std::thread::sleep(LOOK_FIRST);
    }
    Ok(None)
}

fn wait(
    lock: &mut dyn Lock,
    mode: Mode,
    deadline: Option<Instant>,
    watch: &Watch,
    tell: &mut dyn FnMut(&Taking<'_>),
) -> Result<Option<Took>, MachineLockError> {
    let (mut look, mut told) = (LOOK_FIRST, None::<Instant>);
    loop {
        // Before each look: what changes after it is heard of.
        watch.forget();
        if let Some(took) = lock.try_take(mode)? {
            return Ok(Some(took));
        }
        // Also those who came after the last look are to know.
        lock.show_waiting(true);
        let now = Instant::now();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        if told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
            told = Some(now);
            tell(&Taking::Waits { file: lock.path() });
        }
        let heard = watch.hear(left.map_or(look, |left| left.min(look)));
        // Who hears something looks at once, and often again: it may be about to change hands.
        look = if heard { LOOK_FIRST } else { LOOK_AT_LEAST.min(look * 2) };
    }
}

/// What the system tells of the file; nothing where it cannot.
struct Watch(Option<OwnedFd>);

impl Watch {
    fn new(path: &Path) -> Self {
        let watch = || {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            // Closed: a program has gone, and its lock with it. Changed: a host has let it go.
            let what = WatchFlags::CLOSE | WatchFlags::ATTRIB | WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW;
            inotify::add_watch(&inotify, path, what)?;
            Ok::<_, rustix::io::Errno>(inotify)
        };
        let watch = watch();
        if let Err(error) = &watch {
            tracing::debug!(%error, "a lock file cannot be watched, and is only polled");
        }
        Self(watch.ok())
    }

    fn forget(&self) {
        let Some(inotify) = &self.0 else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        while events.next().is_ok() {}
    }

    /// Waits until something is told, or so long at most; whether something was.
    fn hear(&self, longest: Duration) -> bool {
        let Some(inotify) = &self.0 else {
            std::thread::sleep(longest);
            return false;
        };
        let timeout = Timespec::try_from(longest).ok();
        let mut fds = [PollFd::new(inotify, PollFlags::IN)];
        // A signal is a reason to look, too.
        poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }
}
