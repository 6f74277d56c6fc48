//! `lockkeeper locks`: who holds which lock of the machine, and who waits.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;
use clap::Args;
use lockkeeper::machine_lock::{self, Left, Presence, State};
use lockkeeper::os_lock::Mode;
use serde::Serialize;

use super::environment;
use super::lock::{Outsiders, command_of};
use super::output::{complain, print_line};

#[derive(Debug, Args)]
pub(super) struct Locks {
    /// The directory of the lock files [default: that of locks of the scope `machine`, in the state directory]
    dir: Option<PathBuf>,
    /// Where fences are remembered, and lock files unless another directory is said [default: the user's state directory]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// One JSON object per lock on standard output
    #[arg(long)]
    json: bool,
}

/// One lock file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Seen {
    lock: String,
    state: &'static str,
    /// Who has it, or had it when its host died.
    holder: Option<Process>,
    /// For how long, in seconds, by the clock of the machine.
    held_seconds: Option<f64>,
    /// Others who have it: programs that write nothing into the file, and further readers.
    others: Vec<Process>,
    waiting: Vec<Process>,
    /// How it was left by the last one who let it go.
    left: Option<String>,
    /// No fence from this one on was ever issued.
    next_fence: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Process {
    pid: u32,
    host: Option<String>,
    run: Option<String>,
    stopped: bool,
    /// It has ended. A lock that is held all the same is held by what it has started.
    gone: bool,
}

impl Locks {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let dir = match (&self.dir, &self.state_dir) {
            (Some(dir), _) => dir.clone(),
            (None, Some(state)) => state.join("locks"),
            (None, None) => environment::state_dir()
                .context("there is no home directory that could have lock files; name a directory")?
                .join("locks"),
        };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
            // Nobody has made one yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.dir.is_none() => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let entries = entries.with_context(|| format!("the directory {} cannot be read", dir.display()))?;
        // A link is no lock file.
        let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(is_file).collect();
        paths.sort();
        let (mut seen, mut unseen) = (Vec::new(), 0_u8);
        for path in paths {
            match look(&path) {
                Ok(found) => seen.extend(found),
                Err(error) => {
                    complain(format_args!("{} cannot be looked at: {error:#}", path.display()));
                    unseen = 1;
                }
            }
        }
        if self.json {
            for one in &seen {
                print_line(format_args!("{}", serde_json::to_string(one)?));
            }
        } else if !seen.is_empty() {
            print_line(format_args!("{}", table(&seen).trim_end()));
        }
        Ok(unseen)
    }
}

/// What is to be said of a file; nothing if it is no lock of ours, and nobody has it locked.
fn look(path: &Path) -> anyhow::Result<Option<Seen>> {
    let outsiders = Outsiders::of(path)?;
    if outsiders.note.is_none() && outsiders.flocks.is_empty() {
        return Ok(None);
    }
    let stranger =
        |pid| Process { pid, host: None, run: command_of(pid), stopped: machine_lock::is_stopped(pid), gone: false };
    let others: Vec<_> = outsiders.strangers().map(|flock| stranger(flock.pid)).collect();
    let blocked = outsiders.flocks.iter().filter(|flock| flock.waits).map(|flock| flock.pid);
    let waiting = blocked.chain(machine_lock::waiting(path)?).map(stranger).collect();
    let holder = outsiders.holder().map(|note| (note, note.holder.presence()));
    let mode = outsiders.locked().next().map(|flock| flock.mode);
    let state = match (holder, mode) {
        (Some((note, Presence::Gone)), None) if note.state == State::Held => "left by a host that died",
        (Some((note, _)), _) if note.state == State::Held => "held",
        (_, Some(Mode::Shared)) => "shared",
        (_, Some(Mode::Exclusive)) => "held",
        (_, None) => "free",
    };
    let left = outsiders.note.as_ref().and_then(|note| match &note.left {
        Left::Clean => None,
        Left::Abandoned(how) => Some(how.clone()),
        Left::Ruined => Some("not-recoverable".to_owned()),
    });
    Ok(Some(Seen {
        lock: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        state,
        held_seconds: outsiders.since().filter(|_| matches!(state, "held" | "shared")).map(|since| since.as_secs_f64()),
        holder: holder.map(|(note, presence)| Process {
            pid: note.holder.pid,
            host: Some(note.holder.host.clone()),
            run: Some(note.holder.run.clone()),
            stopped: presence == Presence::Stopped,
            gone: presence == Presence::Gone,
        }),
        others,
        waiting,
        left,
        next_fence: outsiders.note.as_ref().map(|note| note.next),
    }))
}

fn table(seen: &[Seen]) -> String {
    let mut rows = vec![["LOCK", "STATE", "FOR", "WHO"].map(str::to_owned)];
    for one in seen {
        let Seen { lock, state, holder, held_seconds, others, waiting, left, .. } = one;
        let state = match left {
            Some(how) => format!("{state}, {how}"),
            None => (*state).to_owned(),
        };
        let held = held_seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default();
        let mut who = holder.iter().chain(others).map(|process| ("", process)).collect::<Vec<_>>();
        who.extend(waiting.iter().map(|process| ("waits: ", process)));
        let mut who = who.into_iter().map(|(role, process)| format!("{role}{}", words(process)));
        rows.push([lock.clone(), state, held, who.next().unwrap_or_default()]);
        rows.extend(who.map(|more| [String::new(), String::new(), String::new(), more]));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (lock, state, held) = (width(0), width(1), width(2));
    rows.iter().fold(String::new(), |mut text, row| {
        let line = format!("{:lock$}  {:state$}  {:>held$}  {}", row[0], row[1], row[2], row[3]);
        // Writing to a string does not fail.
        _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

fn words(process: &Process) -> String {
    let Process { pid, host, run, stopped, gone } = process;
    let mut words = format!("{pid}");
    if let Some(host) = host {
        words.push_str(&format!(" on {host}"));
    }
    if let Some(run) = run {
        words.push_str(&format!(" ({run})"));
    }
    if *stopped {
        words.push_str(", stopped");
    }
    if *gone {
        words.push_str(", which has ended");
    }
    words
}
