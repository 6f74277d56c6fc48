//! `--joblog`: a line for every process that was started, written when it has ended.
//!
//! The log is an append file like any other: one run writes it at a time, a line is in it whole or not at all, and what a
//! killed host has left of its last line is put aside when the log is opened again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockkeeper::{
    AppendFile, FileSpec, Format, IfExists, OpenError, OpenReport, Outcome, Parents, ProcessSpec, ReadError, Reader,
    RecordId,
};
use lockkeeper_journal::unguarded;
use serde::{Deserialize, Serialize};

use super::command_line::CommandLine;
use super::series::Begin;

/// The columns of GNU parallel, and behind them the id by which `--resume` knows an input again.
const HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\tId";

/// How every line of the other form begins.
const JSON_START: &[u8] = b"{\"seq\":";

/// What GNU parallel calls this machine.
const HOST: &str = ":";

/// A log that is to be written.
#[derive(Debug)]
pub(in crate::cli) struct JoblogSpec {
    path: PathBuf,
    form: Form,
    holder: String,
}

/// What its lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// GNU parallel's, tabs between the columns.
    Tsv,
    /// A JSON object each.
    Jsonl,
}

/// A log that is open.
#[derive(Debug)]
pub(in crate::cli) struct Joblog {
    file: AppendFile,
    form: Form,
}

/// How processes have ended, by what an earlier run has logged last of each.
pub(in crate::cli) type Logged = HashMap<RecordId, LoggedEnd>;

/// How a process has ended, as far as resuming asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum LoggedEnd {
    Well,
    Failed,
    /// Its run was ended, and it with it.
    Unfinished,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum JoblogError {
    /// It cannot be opened.
    #[error("--joblog: {0}")]
    Open(#[from] OpenError),
    /// It is something else, and writing it would cost that.
    #[error("--joblog {}: {what}; give another file", path.display())]
    NotALog { path: PathBuf, what: &'static str },
    /// It cannot be read.
    #[error("--joblog {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It cannot be read to its end.
    #[error("--joblog {}: {source}", path.display())]
    ReadOn { path: PathBuf, source: ReadError },
    /// A line of it says nothing that can be resumed from.
    #[error("--joblog {}: the line at byte {offset} is not one of a log; mend it, or start without --resume", path.display())]
    Line { path: PathBuf, offset: u64 },
}

/// One process that was started.
#[derive(Debug)]
pub(in crate::cli) struct Entry<'a> {
    pub(in crate::cli) spec: &'a ProcessSpec,
    pub(in crate::cli) program: &'a str,
    /// Which try it was, from 1.
    pub(in crate::cli) attempt: u32,
    pub(in crate::cli) started: SystemTime,
    pub(in crate::cli) lived: Duration,
    /// What it has printed on standard output.
    pub(in crate::cli) printed_bytes: u64,
    pub(in crate::cli) outcome: &'a Outcome,
}

/// A line as JSON has it.
#[derive(Debug, Serialize, Deserialize)]
struct JsonLine {
    seq: u64,
    host: String,
    starttime: f64,
    jobruntime: f64,
    send: u64,
    receive: u64,
    exitval: u8,
    signal: u8,
    command: String,
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    outcome: String,
}

/// What `run` would end with; a failure is never 0.
fn exitval(outcome: &Outcome) -> u8 {
    outcome.exit_code().max(u8::from(!outcome.is_success()))
}

/// The signal column: processes know no signals, but scripts that read the log do.
fn signal(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Killed | Outcome::Orphaned => 9,
        Outcome::ShutDown => 15,
        Outcome::Returned
        | Outcome::Failed
        | Outcome::Exited { .. }
        | Outcome::StatusOutOfRange { .. }
        | Outcome::Trapped { .. }
        | Outcome::StackOverflow
        | Outcome::OutOfMemory { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Stalled
        | Outcome::HostFault { .. } => 0,
    }
}

impl LoggedEnd {
    fn of(exitval: u8, signal: u8) -> Self {
        match (exitval, signal) {
            (0, 0) => Self::Well,
            (_, 15) => Self::Unfinished,
            _ => Self::Failed,
        }
    }
}

impl JoblogSpec {
    pub(super) fn new(path: &Path, holder: String) -> Self {
        let is_json = path.extension().is_some_and(|ending| ending == "jsonl" || ending == "ndjson");
        Self { path: path.to_owned(), form: if is_json { Form::Jsonl } else { Form::Tsv }, holder }
    }

    fn file_spec(&self, begin: Begin) -> FileSpec {
        let format = match self.form {
            Form::Tsv => Format::Lines,
            Form::Jsonl => Format::Jsonl,
        };
        let mut spec = FileSpec::new(&self.path, format, &self.holder);
        spec.parents = Parents::Create;
        // Lines are few, and none may go into a file that somebody else has changed.
        spec.look_every = Duration::ZERO;
        spec.if_exists = match begin {
            Begin::Anew => IfExists::Replace,
            Begin::Resumed | Begin::FailedAgain => IfExists::Append,
        };
        spec
    }

    /// Whether it could be opened, without doing so: before other files are opened, and maybe emptied.
    pub(in crate::cli) fn check(&self, begin: Begin) -> Result<(), JoblogError> {
        let first = match File::open(&self.path) {
            Ok(file) => {
                let mut first = Vec::new();
                let read = BufReader::new(io::Read::take(file, 64 << 10)).read_until(b'\n', &mut first);
                read.map_err(|source| JoblogError::Read { path: self.path.clone(), source })?;
                first
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(JoblogError::Read { path: self.path.clone(), source }),
        };
        let is_log = match (self.form, first.strip_suffix(b"\n")) {
            (Form::Tsv, Some(line)) => line == HEADER.as_bytes(),
            (Form::Jsonl, Some(line)) => line.starts_with(JSON_START),
            // Empty, or what a killed host has left of its first line.
            (Form::Tsv, None) => HEADER.as_bytes().starts_with(&first),
            (Form::Jsonl, None) => first.starts_with(JSON_START) || JSON_START.starts_with(&first),
        };
        if !is_log {
            let what = if first.starts_with(b"Seq\tHost\t") {
                "it is a log of GNU parallel, without the ids of the inputs"
            } else {
                "it is there already, and is no log"
            };
            return Err(JoblogError::NotALog { path: self.path.clone(), what });
        }
        Ok(AppendFile::check(&self.file_spec(begin))?)
    }

    /// Opens it; also answers what stood in it that this run goes on with.
    pub(in crate::cli) fn open(&self, begin: Begin) -> Result<(Joblog, OpenReport, Logged), JoblogError> {
        let (file, report) = AppendFile::open(&self.file_spec(begin))?;
        let log = Joblog { file, form: self.form };
        let logged = self.read()?;
        if self.form == Form::Tsv && log.file.position().bytes == 0 {
            log.append(HEADER)
                .map_err(|error| JoblogError::Read { path: self.path.clone(), source: io::Error::other(error) })?;
        }
        Ok((log, report, logged))
    }

    fn read(&self) -> Result<Logged, JoblogError> {
        let file = File::open(&self.path).map_err(|source| JoblogError::Read { path: self.path.clone(), source })?;
        let file_spec = self.file_spec(Begin::Resumed);
        let mut reader = Reader::new(file_spec.format.kind(), BufReader::new(file));
        let mut logged = Logged::new();
        let read_on = |source| JoblogError::ReadOn { path: self.path.clone(), source };
        while let Some(record) = reader.next_record().map_err(read_on)? {
            let end = match self.form {
                Form::Tsv if record.bytes == HEADER.as_bytes() => continue,
                Form::Tsv => from_tsv(record.bytes),
                Form::Jsonl => from_json(record.bytes),
            };
            let Some((id, end)) = end else {
                return Err(JoblogError::Line { path: self.path.clone(), offset: record.offset });
            };
            logged.insert(id, end);
        }
        Ok(logged)
    }
}

fn from_tsv(line: &[u8]) -> Option<(RecordId, LoggedEnd)> {
    let mut columns = std::str::from_utf8(line).ok()?.split('\t').skip(6);
    let (exitval, signal) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
    Some((columns.nth(1)?.parse().ok()?, LoggedEnd::of(exitval, signal)))
}

fn from_json(line: &[u8]) -> Option<(RecordId, LoggedEnd)> {
    let line: JsonLine = serde_json::from_slice(line).ok()?;
    Some((line.id.parse().ok()?, LoggedEnd::of(line.exitval, line.signal)))
}

impl Joblog {
    /// Writes the line of a process that has ended.
    pub(in crate::cli) fn write(&self, entry: &Entry<'_>) -> Result<(), String> {
        self.append(&self.line(entry))
    }

    fn append(&self, line: &str) -> Result<(), String> {
        match self.file.append(line.as_bytes(), unguarded) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn line(&self, entry: &Entry<'_>) -> String {
        let Entry { spec, program, attempt, started, lived, printed_bytes, outcome } = entry;
        let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = JsonLine {
            seq: u64::from(spec.rank) + 1,
            host: HOST.to_owned(),
            starttime: in_millis(since),
            jobruntime: in_millis(*lived),
            send: 0,
            receive: *printed_bytes,
            exitval: exitval(outcome),
            signal: signal(outcome),
            command: CommandLine { program, args: &spec.args }.to_string(),
            id: spec.commit_id.map(|id| id.to_string()).unwrap_or_default(),
            name: spec.full_name(),
            attempt: *attempt,
            outcome: outcome.to_string(),
        };
        match self.form {
            Form::Jsonl => serde_json::to_string(&line).unwrap_or_default(),
            Form::Tsv => {
                let JsonLine { seq, host, starttime, jobruntime, send, receive, exitval, signal, command, id, .. } =
                    line;
                format!(
                    "{seq}\t{host}\t{starttime:.3}\t{jobruntime:.3}\t{send}\t{receive}\t{exitval}\t{signal}\t{command}\t{id}"
                )
            }
        }
    }
}

/// Seconds, as precise as the log is.
fn in_millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ProcessSpec {
        ProcessSpec {
            name: "a.txt".into(),
            rank: 4,
            count: 9,
            args: vec!["--x".into(), "two words".into()],
            commit_id: Some(RecordId::of(b"a")),
            ..ProcessSpec::default()
        }
    }

    fn entry<'a>(spec: &'a ProcessSpec, outcome: &'a Outcome) -> Entry<'a> {
        Entry {
            spec,
            program: "p.wasm",
            attempt: 2,
            started: UNIX_EPOCH + Duration::from_millis(1_234_567),
            lived: Duration::from_micros(1_499_600),
            printed_bytes: 7,
            outcome,
        }
    }

    fn written(name: &str, begin: Begin, outcomes: &[Outcome]) -> (String, Logged) {
        let dir = tempfile::tempdir().expect("a directory");
        let log = JoblogSpec::new(&dir.path().join(name), "a test".into());
        log.check(begin).expect("nothing is there");
        let (open, _, before) = log.open(begin).expect("it can be made");
        assert!(before.is_empty());
        for outcome in outcomes {
            open.write(&entry(&spec(), outcome)).expect("there is room");
        }
        drop(open);
        log.check(begin).expect("it is a log");
        (std::fs::read_to_string(&log.path).expect("it is there"), log.read().expect("it is whole"))
    }

    #[test]
    fn a_line_has_the_columns_of_gnu_parallel_and_an_id() {
        let (text, logged) = written("log", Begin::Anew, &[Outcome::Exited { code: 3 }]);
        let id = RecordId::of(b"a");
        let line = format!("5\t:\t1234.567\t1.500\t0\t7\t3\t0\tp.wasm --x 'two words'\t{id}");
        assert_eq!(text, format!("{HEADER}\n{line}\n"));
        assert_eq!(logged, Logged::from([(id, LoggedEnd::Failed)]));
    }

    #[test]
    fn the_last_line_of_an_id_counts_and_one_that_was_ended_with_its_run_is_unfinished() {
        for name in ["log", "log.jsonl"] {
            let last = |outcomes| written(name, Begin::Resumed, outcomes).1[&RecordId::of(b"a")];
            assert_eq!(last(&[Outcome::Failed, Outcome::Returned]), LoggedEnd::Well);
            assert_eq!(last(&[Outcome::Failed, Outcome::ShutDown]), LoggedEnd::Unfinished);
            assert_eq!(last(&[Outcome::Returned, Outcome::Killed]), LoggedEnd::Failed);
        }
    }

    #[test]
    fn a_log_with_another_first_line_is_not_touched() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("results.csv");
        let log = JoblogSpec::new(&path, "a test".into());
        std::fs::write(&path, "Seq\tHo").expect("it can be written");
        log.check(Begin::Resumed).expect("it is what a killed host has left");
        for (text, words) in [
            ("a,b\n1,2\n", "is no log"),
            ("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n", "of GNU parallel"),
        ] {
            std::fs::write(&path, text).expect("it can be written");
            let told = log.check(Begin::Anew).expect_err("it is something else").to_string();
            assert!(told.contains(words), "{told}");
        }
    }
}
