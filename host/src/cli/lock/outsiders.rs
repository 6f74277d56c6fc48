//! Who has a lock file, for people: of our programs as it stands in the file, of all others as the system knows.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use lockkeeper::flocks::{self, Flock};
use lockkeeper::machine_lock::{self, MachineLockError, Note, Presence};

/// Who has a lock file.
#[derive(Default)]
pub(in crate::cli) struct Outsiders {
    /// What stands in it.
    pub(in crate::cli) note: Option<Note>,
    /// For how long that has stood there, by the clock of the machine.
    written: Option<Duration>,
    /// Whom the system names.
    pub(in crate::cli) flocks: Vec<Flock>,
}

impl Outsiders {
    /// Whoever has it now; nobody, where that cannot be seen.
    pub(in crate::cli) fn of(path: &Path) -> Result<Self, MachineLockError> {
        let note = match machine_lock::read_note(path) {
            // Something else may be in a file that is locked.
            Err(MachineLockError::Foreign { .. }) => None,
            note => note?,
        };
        let file = File::open(path).ok();
        let flocks = file.as_ref().and_then(|file| flocks::of_file(file).ok()).unwrap_or_default();
        let written = file.and_then(|file| file.metadata().ok()?.modified().ok());
        // People read it: what the clock of the machine says will do.
        let written = written.and_then(|written| SystemTime::now().duration_since(written).ok());
        Ok(Self { note, written, flocks })
    }

    /// Those who have it, as the system knows.
    pub(in crate::cli) fn locked(&self) -> impl Iterator<Item = Flock> {
        self.flocks.iter().filter(|flock| !flock.waits).copied()
    }

    /// What stands in the file of somebody who has it, or had it when its host died.
    pub(in crate::cli) fn holder(&self) -> Option<&Note> {
        self.note.as_ref().filter(|note| note.is_of_holder(&self.flocks))
    }

    /// For how long somebody has had it who wrote so.
    pub(in crate::cli) fn since(&self) -> Option<Duration> {
        self.written.filter(|_| self.holder().is_some())
    }

    /// Those who have it and do not say so in the file.
    pub(in crate::cli) fn strangers(&self) -> impl Iterator<Item = Flock> {
        let known = self.holder().map(|note| note.holder.pid);
        self.locked().filter(move |flock| Some(flock.pid) != known)
    }
}

impl fmt::Display for Outsiders {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        let mut and = |out: &mut fmt::Formatter<'_>| {
            let word = if is_first { "" } else { " and " };
            is_first = false;
            out.write_str(word)
        };
        if let Some(Note { holder, .. }) = self.holder() {
            match holder.presence() {
                // What a holder has left behind that was killed says who has it only if that was started by it.
                Presence::Gone => {
                    if self.locked().any(|flock| flock.pid == holder.pid) {
                        and(out)?;
                        out.write_str(&holder.heirs())?;
                    }
                }
                presence => {
                    and(out)?;
                    write!(out, "{holder}")?;
                    if let Some(since) = self.since() {
                        write!(out, ", for {since:.1?}")?;
                    }
                    if presence == Presence::Stopped {
                        write!(out, ", which is stopped; `kill -CONT {}` lets it go on", holder.pid)?;
                    }
                }
            }
        }
        for stranger in self.strangers() {
            and(out)?;
            write!(out, "process {}", stranger.pid)?;
            if let Some(command) = command_of(stranger.pid) {
                write!(out, " ({command})")?;
            }
        }
        if is_first { out.write_str("a process that cannot be seen from here") } else { Ok(()) }
    }
}

/// The command line of a process, on one line, if it can be seen.
pub(in crate::cli) fn command_of(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&line);
    let words: Vec<_> = text.split('\0').filter(|word| !word.is_empty()).collect();
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let line: String = words.join(" ").chars().take(COMMAND_CHARS_MAX).map(clean).collect();
    (!line.is_empty()).then_some(line)
}

/// The rest of a longer command line is left out.
const COMMAND_CHARS_MAX: usize = 120;
