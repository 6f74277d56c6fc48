//! A lock of one machine: a lock file, and in it who has it, how it was left, and how far its fences have gone.
//!
//! Whoever takes part by `flock(2)` alone reads and writes nothing of this, and that is fine. The text is for hosts and for
//! people:
//!
//! ```text
//! lockkeeper-machine-lock 1
//! state held                  (held, shared or free)
//! left clean                  (clean, ruined, or abandoned and a word that says how)
//! pid 4711
//! start 52311                 (of the process, in ticks since the boot)
//! pids pid:[4026531836]       (the namespace of its number)
//! boot 1b4e28ba-...
//! host build-3
//! run lockkeeper run job.toml
//! next 00000000000016777217   (no fence from here on was ever issued)
//! reserved 00000000000033554433
//! check 5f0c...               (of the lines above)
//! end
//! ```
//!
//! # Fences
//!
//! While a host has the lock alone, `next` covers all that it may issue; when it lets go, it is exact. That is written and
//! not synced: the page cache outlives a host, and not a machine. So there is a counter beside it ([`crate::counter`], in a
//! directory `.lockkeeper`), of which blocks are reserved durably and far ahead: after another boot, or when the text is
//! lost or damaged, fences go on above all that was reserved. Readers of several hosts at a time have blocks of their own.
//!
//! # Death
//!
//! The system lets the lock of a dead process go. Whoever then finds `held` knows that its holder had no time to write
//! `free`.
//!
//! # A cleaner
//!
//! Who removes a lock file that is held lets the next one make another and lock that. So a second file, in the directory
//! `.lockkeeper`, is locked along with it, in the same mode: native programs may come in then, but no other host.
//!
//! # Not promised
//!
//! That the text is about this very moment, for who reads it without the lock; that a host which died had somebody in it who
//! held the lock: `held` is said as long as somebody may; that a death is told of when somebody emptied the file after it was
//! written, as filelock before version 4 does each time that it opens it; that fences go on if somebody puts back an older copy
//! of the text in the boot in which it was written.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::{fs, process};

use crate::counter::{COUNTER_START, CounterError, reserve_block_from};
use crate::flocks::{self, Flock};
use crate::lock_file::{LockFile, Remote, Tried};
use crate::os_lock::{HOLDER_CHARS_MAX, Mode, OsLockError, open_to_read, printable};
use crate::storage::make_dirs_durably;

/// Fences that a host has at once: they last for seconds at the highest rate.
const TAKEN_AT_ONCE: u64 = 1 << 24;

/// Fences that are reserved at once, which waits for the disk: for hundreds of hosts that die.
const RESERVED_AT_ONCE: u64 = 1 << 32;

/// The same where there is no text: it may be lost again and again, and what was reserved with it.
const RESERVED_AT_FIRST: u64 = 1 << 26;

/// Fences of the readers of one host, each time that it has the lock beside others.
const FOR_READERS: u64 = 1 << 20;

/// No text of ours is longer.
const TEXT_BYTES_MAX: usize = 4096;

/// Where what is kept durably lies, beside the lock file.
const DIRECTORY: &str = ".lockkeeper";

const VERSION_LINE: &str = "lockkeeper-machine-lock 1";

/// Why a lock of the machine is not taken. That somebody has it is none of these.
#[derive(Debug, thiserror::Error)]
pub enum MachineLockError {
    /// The lock file.
    #[error(transparent)]
    Lock(#[from] OsLockError),
    /// The fences.
    #[error(transparent)]
    Fences(#[from] CounterError),
    /// Something else is in the file, which nobody wants overwritten.
    #[error("{} is no lock file: there is something else in it; name a file of its own, or empty this one", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The text could not be read or written: without it fences could be issued twice.
    #[error("cannot {action} {}: {source}", path.display())]
    Text {
        /// What was being done.
        action: &'static str,
        /// The lock file, or a directory beside it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Who has a lock, or had it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// When the process started, in ticks since the boot: a number is given to another process after its end.
    pub start: u64,
    /// The namespace of the number.
    pub pids: String,
    /// The boot in which it ran.
    pub boot: String,
    /// What its machine is called.
    pub host: String,
    /// What it said it is, for example its command line.
    pub run: String,
}

/// What has become of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It runs.
    Running,
    /// It is stopped (SIGSTOP, or a debugger).
    Stopped,
    /// There is no such process.
    Gone,
    /// It is a process that cannot be seen from here.
    Unknown,
}

/// How the last one left what the lock protects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Left {
    /// It was released.
    #[default]
    Clean,
    /// It was taken away from its owner, or its host died: a word that says how.
    Abandoned(String),
    /// Nobody is granted it any more.
    Ruined,
}

/// How a lock is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Nobody of those who write here.
    #[default]
    Free,
    /// By one, alone.
    Held,
    /// By readers, of whom one is named.
    Shared,
}

/// What stands in a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How it is had.
    pub state: State,
    /// How it was left before.
    pub left: Left,
    /// Who has it, or had it last.
    pub holder: Holder,
    /// No fence from this on was ever issued.
    pub next: u64,
    /// So far fences are reserved durably.
    pub reserved: u64,
}

impl Note {
    /// Whether whoever wrote this has the lock, or had it when its host died, as far as the system knows who has the file
    /// locked. Others write nothing: what an earlier one has left there says nothing of them.
    pub fn is_of_holder(&self, flocks: &[Flock]) -> bool {
        let mut locked = flocks.iter().filter(|flock| !flock.waits).peekable();
        let nobody_has_it = locked.peek().is_none();
        match (self.state, self.holder.presence()) {
            (State::Free, _) => false,
            // Readers do not write that they go.
            (State::Shared, _) if nobody_has_it => false,
            (State::Held, _) if nobody_has_it => true,
            // Its number is another one here.
            (state, Presence::Unknown) => locked.any(|flock| (flock.mode == Mode::Exclusive) == (state == State::Held)),
            (_, Presence::Running | Presence::Stopped | Presence::Gone) => {
                locked.any(|flock| flock.pid == self.holder.pid)
            }
        }
    }
}

/// What a lock brings that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The fences that may be issued until it is let go.
    pub fences: Range<u64>,
    /// So far fences are reserved durably, for this holder and those after it.
    pub reserved: u64,
    /// How the last one left what the lock protects: `host-died` if its host had no time to say.
    pub left: Left,
}

/// What is said of a holder that died with its host.
pub const HOST_DIED: &str = "host-died";

/// A lock of the machine, which this process may take.
#[derive(Debug)]
pub struct MachineLock {
    file: LockFile,
    me: Holder,
    directory: PathBuf,
    /// What the counter of this lock is called: it is in a directory with those of its neighbours.
    name: String,
    /// No fence below this is issued, whatever the files say.
    at_least: u64,
    /// What we wrote last while we have it.
    note: Option<Note>,
    /// Locked along with the lock file: nobody removes it who cleans up lock files.
    beside: Option<LockFile>,
    /// Keeps apart readers that each take fences.
    readers: Option<LockFile>,
    /// Locked to read while this process waits.
    waiting: Option<LockFile>,
}

impl MachineLock {
    /// Opens the lock file, and makes it if it is missing. `run` says who takes it, for people; no fence below `at_least`
    /// is issued, for who knows from elsewhere how far they have gone.
    pub fn open(path: &Path, remote: Remote, run: &str, at_least: u64) -> Result<Self, MachineLockError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let file = LockFile::open(&path, remote)?;
        let directory = path.parent().unwrap_or(Path::new("/")).join(DIRECTORY);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let me = Holder::this_process(run);
        let lock = Self { file, me, directory, name, at_least, note: None, beside: None, readers: None, waiting: None };
        // Said now, and not when somebody waits for it.
        lock.read()?;
        Ok(lock)
    }

    /// Takes the lock and lets it go, if nobody has it: what is wrong with its fences is said now, and the disk is waited for
    /// now, and not by whoever takes it first.
    pub fn prepare(&mut self) -> Result<(), MachineLockError> {
        if let Some(taken) = self.try_take(Mode::Exclusive)? {
            self.let_go(taken.fences.start, taken.left);
        }
        Ok(())
    }

    /// The lock file.
    pub fn file(&self) -> &LockFile {
        &self.file
    }

    /// Takes the lock if nobody has it in a way that does not fit.
    ///
    /// # Panics
    ///
    /// If we have it already.
    pub fn try_take(&mut self, mode: Mode) -> Result<Option<Taken>, MachineLockError> {
        if self.file.try_lock(mode)? == Tried::Busy {
            return Ok(None);
        }
        let taken = match self.lock_beside(mode) {
            Ok(true) if mode == Mode::Shared => self.begin_among_readers(),
            Ok(true) => self.begin(mode).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        if !matches!(taken, Ok(Some(_))) {
            self.note = None;
            self.unlock();
        }
        taken
    }

    /// More fences, once those of [`MachineLock::try_take`] come to an end. This may sync.
    ///
    /// # Panics
    ///
    /// If we do not have the lock alone.
    pub fn more_fences(&mut self) -> Result<Taken, MachineLockError> {
        assert_eq!(self.file.held(), Some(Mode::Exclusive), "fences are added by who has the lock alone");
        let mut note = self.note.clone().expect("who has the lock has written so");
        let fences = self.take_fences(&mut note, TAKEN_AT_ONCE)?;
        self.write(&note)?;
        let left = note.left.clone();
        let reserved = note.reserved;
        self.note = Some(note);
        Ok(Taken { fences, reserved, left })
    }

    /// Lets the lock go, and wakes those who watch its file. `next` is the first fence that was not issued.
    pub fn let_go(&mut self, next: u64, left: Left) {
        let Some(mut note) = self.note.take() else { return };
        self.at_least = self.at_least.max(next);
        if self.file.held() == Some(Mode::Exclusive) {
            let is_as_we_left_it = self.has_nothing_but(&note);
            (note.state, note.left, note.next) = (State::Free, left, next);
            // What stands there otherwise says more than is true: that it is held, and that more fences were issued.
            match is_as_we_left_it {
                Ok(true) => {
                    if let Err(error) = self.write(&note) {
                        tracing::warn!(%error, "a lock is let go, and its file does not say so");
                    }
                }
                Ok(false) => tracing::warn!(
                    path = %self.file.path().display(),
                    "somebody has written something else into a lock file, and it is left as it is; give the lock a file of its own"
                ),
                Err(error) => tracing::warn!(%error, "a lock is let go, and its file does not say so"),
            }
        }
        self.unlock();
        if let Err(error) = self.file.say_changed() {
            tracing::warn!(%error, "who waits for a lock was not woken");
        }
    }

    /// Tells those who watch the file that somebody waits.
    pub fn knock(&self) {
        if let Err(error) = self.file.say_wanted() {
            tracing::debug!(%error, "nobody was told that a lock is waited for");
        }
    }

    /// Shows whoever looks ([`waiting`]) that this process waits for the lock, or that it does not any more. The system
    /// forgets it with the process.
    pub fn show_waiting(&mut self, waits: bool) {
        if let Err(error) = self.try_show_waiting(waits) {
            tracing::debug!(%error, "nobody sees that a lock is waited for");
        }
    }

    fn try_show_waiting(&mut self, waits: bool) -> Result<(), MachineLockError> {
        match (waits, &mut self.waiting) {
            (true, None) => self.waiting = Some(self.open_beside("waiting")?),
            (true, Some(_)) | (false, None) => {}
            (false, Some(waiting)) => waiting.unlock(),
        }
        // All who wait have it to read; nobody ever has it alone.
        match &mut self.waiting {
            Some(waiting) if waits && waiting.held().is_none() => drop(waiting.try_lock(Mode::Shared)?),
            Some(_) | None => {}
        }
        Ok(())
    }

    /// What stands in the file now; nothing if it is empty or damaged.
    pub fn read(&self) -> Result<Option<Note>, MachineLockError> {
        read(self.file.file(), self.file.path())
    }

    /// Whether nobody has the other file, which is so unless somebody removed the lock file while it was held.
    fn lock_beside(&mut self, mode: Mode) -> Result<bool, MachineLockError> {
        let mut beside = match self.beside.take() {
            Some(beside) => beside,
            None => self.open_beside("held")?,
        };
        let tried = beside.try_lock(mode);
        self.beside = Some(beside);
        Ok(tried? == Tried::Locked)
    }

    fn unlock(&mut self) {
        if let Some(beside) = &mut self.beside {
            beside.unlock();
        }
        self.file.unlock();
    }

    fn open_beside(&self, ending: &str) -> Result<LockFile, MachineLockError> {
        self.make_directory()?;
        Ok(LockFile::open(&path_beside(&self.directory, &self.name, ending), Remote::Allowed)?)
    }

    fn begin_among_readers(&mut self) -> Result<Option<Taken>, MachineLockError> {
        let mut readers = match self.readers.take() {
            Some(readers) => readers,
            None => self.open_beside("readers")?,
        };
        let taken = match readers.try_lock(Mode::Exclusive)? {
            Tried::Locked => self.begin(Mode::Shared).map(Some),
            // Another host is just beginning to read: as if it were busy, for a moment.
            Tried::Busy => Ok(None),
        };
        readers.unlock();
        self.readers = Some(readers);
        taken
    }

    /// We have the lock: what was left, and which fences are ours.
    fn begin(&mut self, mode: Mode) -> Result<Taken, MachineLockError> {
        let found = self.read()?;
        let left = match &found {
            None => Left::Clean,
            // Whoever died with what nobody has mended did not mend it either.
            Some(note) if note.state == State::Held && note.left != Left::Ruined => {
                Left::Abandoned(HOST_DIED.to_owned())
            }
            Some(note) => note.left.clone(),
        };
        // What was not synced is believed in the boot in which it was written.
        let found = found.filter(|note| !self.me.boot.is_empty() && note.holder.boot == self.me.boot);
        let (next, reserved) = found.map_or((0, 0), |note| (note.next, note.reserved));
        let next = next.max(self.at_least).max(COUNTER_START);
        let me = self.me.clone();
        let mut note = Note { state: State::Free, left, holder: me, next, reserved };
        let count = match mode {
            Mode::Exclusive => TAKEN_AT_ONCE,
            Mode::Shared => FOR_READERS,
        };
        let fences = self.take_fences(&mut note, count)?;
        note.state = match mode {
            Mode::Exclusive => State::Held,
            Mode::Shared => State::Shared,
        };
        self.write(&note)?;
        let taken = Taken { fences, reserved: note.reserved, left: note.left.clone() };
        self.note = Some(note);
        Ok(taken)
    }

    /// So many fences for this host, which whoever has the lock after it will not issue, even if it dies. More are reserved if
    /// there are fewer.
    fn take_fences(&self, note: &mut Note, count: u64) -> Result<Range<u64>, MachineLockError> {
        if note.reserved < note.next.saturating_add(count) {
            (note.next, note.reserved) = self.reserve(note)?;
        }
        let fences = note.next..note.reserved.min(note.next.saturating_add(count));
        note.next = fences.end;
        Ok(fences)
    }

    /// Reserves the next block; answers the first fence that may be issued, and the end.
    fn reserve(&self, note: &Note) -> Result<(u64, u64), MachineLockError> {
        self.make_directory()?;
        let count = if note.reserved > 0 { RESERVED_AT_ONCE } else { RESERVED_AT_FIRST };
        let block = reserve_block_from(&self.directory, &self.name, count, note.next)?;
        // What follows on what was reserved before is one piece with it.
        let start = if block.start == note.reserved { note.next } else { block.start };
        Ok((start, block.end))
    }

    fn make_directory(&self) -> Result<(), MachineLockError> {
        if self.directory.exists() {
            return Ok(());
        }
        let made = make_dirs_durably(&self.directory, 0o700);
        made.map_err(|source| MachineLockError::Text { action: "make", path: self.directory.clone(), source })
    }

    /// Whether there is just this in the file, or nothing: some programs empty a lock file when they open it.
    fn has_nothing_but(&self, note: &Note) -> Result<bool, MachineLockError> {
        let file = self.file.file();
        let failed = |source| MachineLockError::Text { action: "read", path: self.file.path().to_owned(), source };
        let text = note.text();
        let len = file.metadata().map_err(failed)?.len();
        if len != text.len() as u64 {
            return Ok(len == 0);
        }
        let mut found = vec![0; text.len()];
        crate::storage::uninterrupted(|| file.read_exact_at(&mut found, 0)).map_err(failed)?;
        Ok(found == text.as_bytes() || found.iter().all(|byte| *byte == 0))
    }

    /// In one write, and shortened only afterwards: at no moment is the file without an `end`.
    fn write(&self, note: &Note) -> Result<(), MachineLockError> {
        let text = note.text();
        let failed = |source| MachineLockError::Text { action: "write to", path: self.file.path().to_owned(), source };
        let file = self.file.file();
        crate::storage::uninterrupted(|| file.write_all_at(text.as_bytes(), 0)).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > text.len() as u64 {
            file.set_len(text.len() as u64).map_err(failed)?;
        }
        Ok(())
    }
}

/// What stands in the lock file `path`, without taking its lock, or writing to it; nothing if there is none, or it is empty
/// or just being written.
pub fn read_note(path: &Path) -> Result<Option<Note>, MachineLockError> {
    match open_to_read(path) {
        Ok(file) => read(&file, path),
        Err(OsLockError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The processes that wait for the lock of the lock file `path` and show it ([`MachineLock::show_waiting`]); each once, in no order.
pub fn waiting(path: &Path) -> Result<Vec<u32>, MachineLockError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path = path_beside(&path.parent().unwrap_or(Path::new("/")).join(DIRECTORY), &name, "waiting");
    let file = match open_to_read(&path) {
        Ok(file) => file,
        Err(OsLockError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let flocks = flocks::of_file(&file).map_err(|source| MachineLockError::Text { action: "look at", path, source })?;
    let pids: BTreeSet<u32> = flocks.into_iter().map(|flock| flock.pid).collect();
    Ok(pids.into_iter().collect())
}

/// A file of a lock in the directory that it has with its neighbours.
fn path_beside(directory: &Path, name: &str, ending: &str) -> PathBuf {
    directory.join(format!("{}.{ending}", blake3::hash(name.as_bytes()).to_hex()))
}

fn read(file: &fs::File, path: &Path) -> Result<Option<Note>, MachineLockError> {
    let mut bytes = [0; TEXT_BYTES_MAX];
    let mut filled = 0;
    loop {
        let read = crate::storage::uninterrupted(|| file.read_at(&mut bytes[filled..], filled as u64));
        match read.map_err(|source| MachineLockError::Text { action: "read", path: path.to_owned(), source })? {
            0 => break,
            read => filled += read,
        }
        if filled == TEXT_BYTES_MAX {
            break;
        }
    }
    let bytes = &bytes[..filled];
    // Zeros are what a loss of power leaves of what was not synced.
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if !bytes.starts_with(VERSION_LINE.as_bytes()) {
        return Err(MachineLockError::Foreign { path: path.to_owned() });
    }
    let note = str::from_utf8(bytes).ok().and_then(Note::parse);
    if note.is_none() {
        tracing::debug!(path = %path.display(), "what stands in a lock file is damaged, or just being written");
    }
    Ok(note)
}

impl Note {
    fn text(&self) -> String {
        let Self { state, left, holder, next, reserved } = self;
        let Holder { pid, start, pids, boot, host, run } = holder;
        let state = match state {
            State::Free => "free",
            State::Held => "held",
            State::Shared => "shared",
        };
        let left = match left {
            Left::Clean => "clean".to_owned(),
            Left::Abandoned(how) => format!("abandoned {how}"),
            Left::Ruined => "ruined".to_owned(),
        };
        let mut text = format!(
            "{VERSION_LINE}\nstate {state}\nleft {left}\npid {pid}\nstart {start}\npids {pids}\nboot {boot}\n\
             host {host}\nrun {run}\nnext {next:020}\nreserved {reserved:020}\n"
        );
        let check = blake3::hash(text.as_bytes()).to_hex();
        // Writing to a string does not fail.
        _ = writeln!(text, "check {check}\nend");
        text
    }

    fn parse(text: &str) -> Option<Note> {
        let mut lines = text.split('\n');
        let mut line = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned);
        // The version line, of which the last word is the number.
        line("lockkeeper-machine-lock")?;
        let state = match &*line("state")? {
            "free" => State::Free,
            "held" => State::Held,
            "shared" => State::Shared,
            _ => return None,
        };
        let left = match &*line("left")? {
            "clean" => Left::Clean,
            "ruined" => Left::Ruined,
            other => Left::Abandoned(other.strip_prefix("abandoned ")?.to_owned()),
        };
        let holder = Holder {
            pid: line("pid")?.parse().ok()?,
            start: line("start")?.parse().ok()?,
            pids: line("pids")?,
            boot: line("boot")?,
            host: line("host")?,
            run: line("run")?,
        };
        let note =
            Note { state, left, holder, next: line("next")?.parse().ok()?, reserved: line("reserved")?.parse().ok()? };
        // Writing it anew and comparing checks every byte; what follows is of a longer text before it.
        text.starts_with(&note.text()).then_some(note)
    }
}

impl Holder {
    /// This process, which says what it is.
    pub fn this_process(run: &str) -> Self {
        Self::of_process(process::id(), run)
    }

    /// A process of this machine that can be seen from here.
    pub(crate) fn of_process(pid: u32, run: &str) -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim_end().to_owned();
        Self {
            pid,
            start: start_and_state(pid).map_or(0, |(start, _)| start),
            pids: pid_namespace(),
            boot: line("/proc/sys/kernel/random/boot_id"),
            host: printable(&line("/proc/sys/kernel/hostname")),
            run: printable(run),
        }
    }

    /// Whether the process is still there, as far as that can be seen from here.
    pub fn presence(&self) -> Presence {
        let here = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        if here.is_ok_and(|boot| boot.trim_end() != self.boot) {
            return Presence::Gone;
        }
        if self.pids != pid_namespace() {
            return Presence::Unknown;
        }
        match start_and_state(self.pid) {
            Some((start, 'T' | 't')) if start == self.start => Presence::Stopped,
            Some((start, state)) if start == self.start && !matches!(state, 'Z' | 'X') => Presence::Running,
            _ => Presence::Gone,
        }
    }
}

impl Holder {
    /// Who has what it had taken, when it has ended itself: the system leaves a lock to whoever has the file open still.
    pub fn heirs(&self) -> String {
        format!("what {self} has started, which has ended itself")
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "process {} on {} ({})", self.pid, self.host, self.run)
    }
}

const _: () = assert!(HOLDER_CHARS_MAX * 4 < TEXT_BYTES_MAX / 3, "a text has room for all its lines");

fn pid_namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    printable(&link.to_string_lossy())
}

/// Whether a process is stopped (SIGSTOP, or a debugger); no if it cannot be seen from here.
pub fn is_stopped(pid: u32) -> bool {
    matches!(start_and_state(pid), Some((_, 'T' | 't')))
}

/// When a process started, and in which state it is.
fn start_and_state(pid: u32) -> Option<(u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    // The 22nd field is the start; the state was the third.
    Some((fields.nth(18)?.parse().ok()?, state))
}
