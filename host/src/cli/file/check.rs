//! `lockkeeper file check`.

use std::path::{Path, PathBuf};

use clap::Args;
use lockkeeper::{FormatKind, OpenError};
use lockkeeper_journal::inspect::{self, CheckReport, CheckSpec, CheckpointFound, IdsFound, LockFileFound, Verdict};
use serde_json::{Value, json};

use super::{EXIT_DAMAGED, EXIT_TORN, Progress, count, disk, fail};
use crate::cli::output::print_line;

const EXIT_CODES: &str = "\
Exit codes (of several files, the highest):
  0    whole
  1    the last record has no end; opening the file for appending moves it to FILE.torn
  3    damaged, or in doubt: opening the file would be refused, or readers stumble on it
  2    wrong usage, not a regular file, not of this format, or on a file system that needs --allow-remote
  66   there is no such file
  74   the system refused something
  75   another host is writing the file";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Check {
    /// What the records look like: lines, csv, jsonl or framed [default: as it was written, or by its ending or first bytes]
    #[arg(long)]
    format: Option<FormatKind>,
    /// Also believe NFS, CIFS and FUSE, where nothing is promised, about what is on the disk after a sync that failed
    #[arg(long)]
    allow_remote: bool,
    /// One JSON object per file on standard output
    #[arg(long)]
    json: bool,
    /// An append file, or any file of lines, csv rows or JSON lines
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Check {
    pub(super) fn execute(self) -> u8 {
        self.files.iter().map(|path| self.check(path)).max().unwrap_or(0)
    }

    fn check(&self, path: &Path) -> u8 {
        let mut progress = Progress::new(self.json);
        let spec = CheckSpec { format: self.format, allow_remote: self.allow_remote };
        let checked = inspect::check_with(&disk(), path, &spec, |done, of| progress.at(done, of));
        progress.finish();
        match checked {
            Ok(report) => {
                if self.json {
                    print_line(format_args!("{}", event(path, &report)));
                } else {
                    tell(path, &report);
                }
                match report.verdict() {
                    Verdict::Whole => 0,
                    Verdict::Torn => EXIT_TORN,
                    Verdict::Damaged => EXIT_DAMAGED,
                }
            }
            Err(error) => fail(path, &error, self.json),
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Whole => "whole",
        Verdict::Torn => "torn",
        Verdict::Damaged => "damaged",
    }
}

/// What the records of a format are called.
fn record_word(format: FormatKind) -> &'static str {
    match format {
        FormatKind::Lines | FormatKind::Jsonl => "line",
        FormatKind::Csv => "row",
        FormatKind::Framed => "record",
    }
}

fn tell(path: &Path, report: &CheckReport) {
    let CheckReport { format, bytes, whole_bytes, records, .. } = report;
    let file = path.display();
    let verdict = report.verdict();
    print_line(format_args!("{file}: {}", word(verdict)));
    let columns = match (format, report.columns) {
        (FormatKind::Csv, Some(columns)) => format!(" of {}", count(columns as u64, "column")),
        _ => String::new(),
    };
    let whole = if whole_bytes < bytes { format!("{whole_bytes} of {bytes} bytes") } else { count(*bytes, "byte") };
    print_line(format_args!("  {format}: {}{columns} in {whole}", count(*records, record_word(*format))));
    let whose = if report.ours { "written by lockkeeper" } else { "not known to be written by lockkeeper" };
    print_line(format_args!("  {whose}; {}", checkpoint(&report.checkpoint)));
    if report.lock_file == LockFileFound::Forbidden {
        print_line(format_args!("  {file}.lock may not be read, so what it says of that and of fences is not known"));
    }
    match report.floor {
        None => {}
        Some(0) => print_line(format_args!("  fence floor: none was ever given out")),
        Some(floor) => print_line(format_args!("  fence floor: {floor}")),
    }
    if let Some(next) = report.next_sequence {
        print_line(format_args!("  next sequence number: {next}"));
    }
    if let Some(IdsFound { fitting, without_records, damaged, missing }) = &report.ids {
        let mut ids = format!("  ids: {fitting} with their records");
        for (number, what) in [(without_records, "without"), (damaged, "damaged"), (missing, "missing")] {
            if *number > 0 {
                ids.push_str(&format!(", {number} {what}"));
            }
        }
        print_line(format_args!("{ids}"));
    }
    if report.was_in_doubt && report.refused.is_none() {
        print_line(format_args!(
            "  a sync had failed or was cut off; the disk holds what was written, so that is settled now"
        ));
    }
    for wrong in wrongs(report) {
        print_line(format_args!("  wrong: {wrong}"));
    }
    if let Some(hint) = hint(path, report) {
        print_line(format_args!("  to do: {hint}"));
    }
}

fn checkpoint(found: &CheckpointFound) -> String {
    match found {
        CheckpointFound::Missing => "no checkpoint".to_owned(),
        CheckpointFound::Unreadable => "its checkpoint cannot be read".to_owned(),
        CheckpointFound::OfAnotherFile => "its checkpoint is that of another file".to_owned(),
        CheckpointFound::Stale => "its checkpoint does not fit: others have changed the file".to_owned(),
        CheckpointFound::Fits { at, synced } => format!("checkpoint at byte {at}, on the disk up to byte {synced}"),
    }
}

/// Each thing that is wrong, as a piece of a sentence.
fn wrongs(report: &CheckReport) -> Vec<String> {
    let mut wrongs = Vec::new();
    let left = report.bytes - report.whole_bytes;
    if let Some(torn) = &report.torn {
        let from = report.whole_bytes;
        wrongs.push(format!("{} from byte {from} on: {torn}", count(left, "byte")));
    } else if let Some(fault) = &report.fault {
        wrongs.push(format!("{fault}; nothing behind it could be read"));
    }
    if let Some(first) = &report.oddities.first {
        wrongs.push(format!("{}, the first of {}", first, count(report.oddities.count, "such place")));
    }
    match &report.refused {
        Some(OpenError::Damaged { at, what, .. }) if report.fault.is_none() => {
            wrongs.push(format!("{what} (byte {at})"));
        }
        Some(OpenError::ForeignTail { .. }) => {
            wrongs.push("it was not written by lockkeeper, so opening it does not cut that".to_owned());
        }
        Some(OpenError::FloorLost { checkpoint, .. }) => {
            wrongs.push(format!(
                "it was written under a lock, and {} is missing or damaged, so the highest fence is not known",
                checkpoint.display()
            ));
        }
        Some(OpenError::Ids { reason, .. }) => wrongs.push(format!("its ids cannot be relied on: {reason}")),
        Some(OpenError::NotOnDisk { at, .. }) => {
            wrongs.push(format!("the disk does not hold what was written from byte {at} on"));
        }
        Some(_) | None => {}
    }
    wrongs
}

/// What to do about the first thing that has to be done.
fn hint(path: &Path, report: &CheckReport) -> Option<String> {
    let file = path.display();
    let keeps = || {
        format!(
            "keeps the {} before and moves the rest to {file}.torn",
            count(report.records, record_word(report.format))
        )
    };
    Some(match (&report.refused, report.verdict()) {
        (Some(OpenError::Damaged { .. }), _) => {
            format!("put back a copy, or run `lockkeeper file repair --cut {file}`, which {}", keeps())
        }
        (Some(OpenError::ForeignTail { .. }), _) => {
            format!(
                "end it with a newline if it is whole, or run `lockkeeper file repair --cut {file}`, which {}",
                keeps()
            )
        }
        (Some(OpenError::NotOnDisk { .. }), _) => {
            format!(
                "see to the disk, then run `lockkeeper file repair {file}`, which keeps the records before that byte"
            )
        }
        (Some(OpenError::FloorLost { .. }), _) => format!(
            "put it back, or run `lockkeeper file repair --fence-floor N {file}` with an N above every fence that was given out"
        ),
        (Some(OpenError::Ids { .. }), _) => {
            format!(
                "put back a copy of {file}.ids, or run `lockkeeper file repair {file}`, which keeps those that fit the file: \
                 what the lost ones stood for may then be appended once more"
            )
        }
        (Some(error), _) => error.to_string(),
        (None, Verdict::Torn) => format!(
            "nothing: opening it for appending moves that to {file}.torn, as does `lockkeeper file repair {file}`"
        ),
        (None, Verdict::Damaged) => {
            "correct it by hand: it can be opened for appending, but readers will stumble on that".to_owned()
        }
        (None, Verdict::Whole) => return None,
    })
}

fn event(path: &Path, report: &CheckReport) -> Value {
    let checkpoint = match &report.checkpoint {
        CheckpointFound::Missing => json!({ "found": "missing" }),
        CheckpointFound::Unreadable => json!({ "found": "unreadable" }),
        CheckpointFound::OfAnotherFile => json!({ "found": "of-another-file" }),
        CheckpointFound::Stale => json!({ "found": "stale" }),
        CheckpointFound::Fits { at, synced } => json!({ "found": "fits", "at": at, "synced": synced }),
    };
    let place = |fault: &lockkeeper_journal::Fault| json!({ "offset": fault.offset, "what": fault.what.to_string() });
    json!({
        "event": "checked",
        "file": path.display().to_string(),
        "verdict": word(report.verdict()),
        "format": report.format.as_str(),
        "bytes": report.bytes,
        "whole_bytes": report.whole_bytes,
        "records": report.records,
        "columns": report.columns,
        "next_sequence": report.next_sequence,
        "torn": report.torn,
        "fault": report.fault.as_ref().map(place),
        "oddities": { "count": report.oddities.count, "first": report.oddities.first.as_ref().map(place) },
        "ours": report.ours,
        "lock_file": match report.lock_file {
            LockFileFound::Missing => "missing",
            LockFileFound::Read => "read",
            LockFileFound::Forbidden => "forbidden",
        },
        "checkpoint": checkpoint,
        "fence_floor": report.floor,
        "was_in_doubt": report.was_in_doubt,
        "not_on_disk": report.not_on_disk,
        "ids": report.ids.map(|ids| json!({
            "with_records": ids.fitting,
            "without_records": ids.without_records,
            "damaged": ids.damaged,
            "missing": ids.missing,
        })),
        "refused": report.refused.as_ref().map(ToString::to_string),
        "hint": hint(path, report),
    })
}
