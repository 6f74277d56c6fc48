//! What a run came to, in a few lines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockkeeper::observe::{Denial, Event, Kind};
use lockkeeper::{ByteSize, Exit, Job, Name, Outcome, Profile};
use serde::Serialize;

use super::output::Output;

/// More failures than this are counted, not listed.
const LISTED_MAX: usize = 10;

/// What the events of a run add up to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How long processes waited for locks.
    nanos: AtomicU64,
    /// Requests that were refused because they would have closed a circle.
    deadlocks: AtomicU64,
    /// Appends that failed, by file: how many, and what was said of the first.
    failed_appends: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Tally {
    pub(super) fn note(&self, event: &Event) {
        match event {
            Event::Granted { waited, .. } => {
                self.nanos.fetch_add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            Event::Deadlock { .. } => {
                self.deadlocks.fetch_add(1, Ordering::Relaxed);
            }
            Event::AppendFailed { file, error, .. } => {
                let mut failed = self.failed_appends.lock().unwrap_or_else(PoisonError::into_inner);
                failed.entry(file.to_string()).or_insert_with(|| (0, error.clone())).0 += 1;
            }
            _ => {}
        }
    }
}

/// What there is to sum up.
#[derive(Clone, Copy)]
pub(super) struct Ran<'a> {
    /// How many processes were to run.
    pub(super) planned: usize,
    /// How many of them were not to run again: an earlier run had done them.
    pub(super) done: usize,
    /// How many were not to run again though they had failed.
    pub(super) failed_before: usize,
    /// Those that ran.
    pub(super) exits: &'a [Arc<Exit>],
    /// Why others could not be started.
    pub(super) unstartable: &'a [String],
    /// How often one was started once more.
    pub(super) retries: usize,
}

/// The closing summary.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub(super) struct Summary {
    processes: usize,
    outcomes: BTreeMap<&'static str, usize>,
    records: u64,
    bytes: u64,
    acquired: u64,
    waited: u64,
    waited_for: Duration,
    /// Requests that were refused because they would have closed a circle.
    deadlocks: u64,
    took: Duration,
    /// Processes that were to run and were done already, by the run that this one goes on with.
    skipped_as_done: usize,
    /// Processes that were to run and had failed in that run.
    skipped_as_failed: usize,
    /// How often a process that had failed was started once more.
    retries: usize,
    /// Processes that were to run and were not started: the run was interrupted, or the host could not.
    not_started: usize,
    /// Why not, of the first few that the host could not start.
    unstartable: Vec<String>,
    failed_appends: BTreeMap<String, (u64, String)>,
    /// How many processes were planned of each way to keep them.
    profiles: BTreeMap<Profile, usize>,
    #[serde(skip)]
    has_files: bool,
    #[serde(skip)]
    has_locks: bool,
    #[serde(skip)]
    exits: Vec<Arc<Exit>>,
}

impl Summary {
    pub(super) fn new(
        job: &Job,
        ran: Ran<'_>,
        profiles: BTreeMap<Profile, usize>,
        tally: &Tally,
        took: Duration,
    ) -> Self {
        let Ran { planned, done, failed_before, exits, unstartable, retries } = ran;
        let mut outcomes = BTreeMap::new();
        for exit in exits {
            *outcomes.entry(group(&exit.outcome)).or_default() += 1;
        }
        let (mut records, mut bytes) = (0, 0);
        for position in job.file_names().filter_map(|name| job.position(name.as_str())) {
            records += position.records;
            bytes += position.run_bytes;
        }
        let (mut acquired, mut waited) = (0, 0);
        for lock in job.lock_names().filter_map(|name| job.inspect_lock(name.as_str())) {
            acquired += lock.counters.acquired;
            waited += lock.counters.contended;
        }
        Self {
            processes: exits.len(),
            outcomes,
            records,
            bytes,
            acquired,
            waited,
            waited_for: Duration::from_nanos(tally.nanos.load(Ordering::Relaxed)),
            deadlocks: tally.deadlocks.load(Ordering::Relaxed),
            took,
            not_started: planned - done - failed_before - exits.len(),
            skipped_as_done: done,
            skipped_as_failed: failed_before,
            retries,
            unstartable: unstartable.iter().take(LISTED_MAX).cloned().collect(),
            failed_appends: tally.failed_appends.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            profiles,
            has_files: job.file_names().next().is_some(),
            has_locks: job.lock_names().next().is_some(),
            exits: exits.to_vec(),
        }
    }

    /// For several processes.
    pub(super) fn print(&self, output: &Output) {
        let failed: Vec<_> = self.exits.iter().filter(|exit| !exit.outcome.is_success()).collect();
        for exit in failed.iter().take(LISTED_MAX) {
            output.say(&format!("{} {}", exit.name, exit.outcome));
        }
        if failed.len() > LISTED_MAX {
            output.say(&format!("... and {} more that did not end well", failed.len() - LISTED_MAX));
        }
        for why in &self.unstartable {
            output.say(&format!("not started: {why}"));
        }
        self.explain(output);
        let outcomes: Vec<_> = self.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let plural = if self.processes == 1 { "" } else { "es" };
        let mut line = format!("{} process{plural}", self.processes);
        if !outcomes.is_empty() {
            line.push_str(&format!(": {}", outcomes.join(", ")));
        }
        if self.skipped_as_done > 0 {
            line.push_str(&format!("; {} skipped as done", self.skipped_as_done));
        }
        if self.skipped_as_failed > 0 {
            line.push_str(&format!(
                "; {} skipped as failed before (--resume-failed runs them)",
                self.skipped_as_failed
            ));
        }
        match self.retries {
            0 => {}
            1 => line.push_str("; 1 retry"),
            count => line.push_str(&format!("; {count} retries")),
        }
        if self.not_started > 0 {
            line.push_str(&format!("; {} more were not started", self.not_started));
        }
        if self.has_files {
            line.push_str(&format!("; {} records, {}", self.records, ByteSize(self.bytes)));
        }
        if self.has_locks {
            let (acquired, waited, waited_for) = (self.acquired, self.waited, self.waited_for);
            line.push_str(&format!("; {acquired} acquisitions, {waited} waited ({waited_for:.1?} in all)"));
        }
        match self.deadlocks {
            0 => {}
            1 => line.push_str("; 1 deadlock refused"),
            count => line.push_str(&format!("; {count} deadlocks refused")),
        }
        output.say(&format!("{line}; took {:.1?}", self.took));
    }

    /// For one process, whose streams are its own: a word only if it did not end by itself.
    pub(super) fn explain_single(&self, output: &Output) {
        let Some(exit) = self.exits.first() else {
            return;
        };
        match &exit.outcome {
            Outcome::Returned | Outcome::Failed | Outcome::Exited { .. } => {}
            outcome => output.say(&format!("error: {} {outcome}", exit.name)),
        }
        if exit.outcome.is_success() {
            self.explain_disk(output);
        } else {
            self.explain(output);
        }
    }

    /// What the disk did to appends: also a process that ended well may have shrugged it off.
    fn explain_disk(&self, output: &Output) {
        for (file, (count, error)) in &self.failed_appends {
            output.say(&format!("file {file}: {count} appends failed; the first because: {error}"));
        }
    }

    /// What was missing, and what to add where.
    fn explain(&self, output: &Output) {
        self.explain_disk(output);
        let mut denials: BTreeMap<_, Vec<&Exit>> = BTreeMap::new();
        for exit in &self.exits {
            for denial in &exit.denials {
                denials.entry((denial.name.as_str(), remedy(denial))).or_default().push(exit);
            }
        }
        for ((_, remedy), exits) in denials {
            let who = match &exits[..] {
                [exit] => exit.name.to_string(),
                exits => format!("{} and {} more", exits[0].name, exits.len() - 1),
            };
            output.say(&format!("{who} {remedy}"));
        }
        for exit in self.exits.iter().filter(|exit| exit.output_dropped_bytes > 0) {
            let dropped = ByteSize(exit.output_dropped_bytes);
            output.say(&format!("{} printed more than its limit; {dropped} were dropped (--max-output)", exit.name));
        }
    }
}

/// What a process did that asked for something in vain, and what to change.
fn remedy(denial: &Denial) -> String {
    let Denial { kind, name, declared_as } = denial;
    let (table, flag, article) = (table(*kind), flag(*kind, name), article(*kind));
    let Some(is) = declared_as else {
        let how = match kind {
            Kind::Mutex | Kind::Lock | Kind::Value | Kind::File | Kind::Program | Kind::Dir | Kind::Process => {
                String::new()
            }
            Kind::Array => " with a `length`".to_owned(),
            kind => format!(" with kind = \"{kind}\""),
        };
        return format!(
            "asked for {kind} `{name}`, which was not granted: add it to `grants = {{ {table} = [\"{name}\"] }}` and \
             declare [{table}.{name}]{how}, or give {flag}"
        );
    };
    let change = match (kind, is) {
        (Kind::Value, Kind::Array) => format!("take `length` out of [value.{name}]"),
        (Kind::Array, Kind::Value) => format!("add a `length` to [value.{name}]"),
        (kind, _) => format!("write kind = \"{kind}\" in [{table}.{name}]"),
    };
    format!(
        "asked in vain: `{name}` was opened as {article} {kind} and is declared as {} {is}: change the program, or {change} \
         ({flag})",
        self::article(*is)
    )
}

/// The table of the manifest in which it is declared, and the key under which it is granted.
fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Program => "program",
        Kind::Dir => "dir",
        Kind::Value | Kind::Array => "value",
        Kind::Lock
        | Kind::Mutex
        | Kind::Rlock
        | Kind::Rwlock
        | Kind::Semaphore
        | Kind::Condition
        | Kind::Event
        | Kind::Barrier
        | Kind::Latch
        | Kind::Process
        | Kind::Once
        | Kind::Queue => "lock",
    }
}

/// The flag that declares and grants it.
fn flag(kind: Kind, name: &Name) -> String {
    match kind {
        Kind::File => format!("--append {name}=FILE"),
        Kind::Program if name.as_str() == "self" => "--program self".to_owned(),
        Kind::Program => format!("--program {name}=FILE.wasm"),
        Kind::Dir => format!("--dir HOST::{name}"),
        Kind::Process => "--program".to_owned(),
        Kind::Value => format!("--value {name}"),
        Kind::Array => format!("--value {name}:TYPE:LENGTH"),
        Kind::Lock | Kind::Mutex => format!("--lock {name}"),
        Kind::Rlock | Kind::Rwlock | Kind::Event | Kind::Once | Kind::Queue => format!("--lock {name}:{kind}"),
        Kind::Semaphore => format!("--lock {name}:semaphore:PERMITS"),
        Kind::Condition => format!("--lock {name}:condition:LOCK"),
        Kind::Barrier => format!("--lock {name}:barrier:PARTIES"),
        Kind::Latch => format!("--lock {name}:latch:COUNT"),
    }
}

fn article(kind: Kind) -> &'static str {
    if matches!(kind, Kind::Rlock | Kind::Event | Kind::Array) { "an" } else { "a" }
}

fn group(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Returned | Outcome::Exited { code: 0 } => "ended well",
        Outcome::Failed | Outcome::Exited { .. } | Outcome::StatusOutOfRange { .. } => "failed",
        Outcome::Trapped { .. } => "trapped",
        Outcome::StackOverflow => "out of stack",
        Outcome::OutOfMemory { .. } => "out of memory",
        Outcome::TimedOut { .. } => "out of time",
        Outcome::Killed | Outcome::Orphaned => "killed",
        Outcome::Stalled => "stalled",
        Outcome::ShutDown => "shut down",
        Outcome::HostFault { .. } => "hit by a host fault",
    }
}
