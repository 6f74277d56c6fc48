//! Who has a lock file, for people: of our programs as it stands in the file, of all others as the system knows.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use lockkeeper::flocks::{self, Flock};
use lockkeeper::machine_lock::{self, Note, Presence, State};

/// Who has a lock file.
pub(in crate::cli) struct Outsiders {
    /// What stands in it, if it is about somebody who has it.
    pub(in crate::cli) note: Option<Note>,
    /// For how long that has stood there, by the clock of the machine.
    pub(in crate::cli) since: Option<Duration>,
    /// Whom the system names.
    pub(in crate::cli) flocks: Vec<Flock>,
}

impl Outsiders {
    /// Whoever has it now; nobody, where that cannot be seen.
    pub(in crate::cli) fn of(path: &Path) -> Self {
        let file = File::open(path).ok();
        let flocks = file.as_ref().and_then(|file| flocks::of_file(file).ok()).unwrap_or_default();
        let note = machine_lock::read_note(path).ok().flatten().filter(|note| match note.state {
            State::Free => false,
            State::Held => true,
            // Readers do not write that they go: others may still be there.
            State::Shared => flocks.iter().any(|flock: &Flock| !flock.waits),
        });
        let written = file.and_then(|file| file.metadata().ok()?.modified().ok());
        // People read it: what the clock of the machine says will do.
        let since = written.and_then(|written| SystemTime::now().duration_since(written).ok());
        Self { since: since.filter(|_| note.is_some()), note, flocks }
    }

    /// Whether the system knows of anybody who has it.
    pub(in crate::cli) fn is_locked(&self) -> bool {
        self.flocks.iter().any(|flock| !flock.waits)
    }

    /// Whether the holder is gone, and somebody whom it has started has the lock from it.
    fn is_left_to_a_child(&self, note: &Note) -> bool {
        let pid = note.holder.pid;
        note.holder.presence() == Presence::Gone && self.flocks.iter().any(|flock| !flock.waits && flock.pid == pid)
    }

    /// Those who have it and do not say so in the file.
    pub(in crate::cli) fn strangers(&self) -> impl Iterator<Item = Flock> {
        let known = self.note.as_ref().map(|note| note.holder.pid);
        self.flocks.iter().filter(move |flock| !flock.waits && Some(flock.pid) != known).copied()
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
        // What a holder has left behind that was killed says nothing about who has it now.
        if let Some(note) = self.note.as_ref().filter(|note| note.holder.presence() != Presence::Gone) {
            and(out)?;
            write!(out, "{}", note.holder)?;
            if let Some(since) = self.since {
                write!(out, ", for {since:.1?}")?;
            }
            if note.holder.presence() == Presence::Stopped {
                write!(out, ", which is stopped; `kill -CONT {}` lets it go on", note.holder.pid)?;
            }
        }
        if let Some(note) = self.note.as_ref().filter(|note| self.is_left_to_a_child(note)) {
            and(out)?;
            write!(out, "what {} has started, which has ended itself", note.holder)?;
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
