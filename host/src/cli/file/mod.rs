//! `lockkeeper file`: what is in an append file, and is it whole; mending it; printing its records.
//!
//! None of it starts a runtime. Each file that a subcommand is given has its own outcome, and the command ends with the
//! worst of them.

mod cat;
mod check;
mod repair;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use lockkeeper::OpenError;
use lockkeeper_journal::storage::{Disk, LocalDisk};

use super::output::{complain, is_incomplete, print_line};
use super::{EXIT_IO, EXIT_TRY_LATER, EXIT_USAGE, environment};

/// The last record has no end; opening the file for appending mends that.
const EXIT_TORN: u8 = 1;
/// Something is wrong that opening the file would refuse, or that readers stumble on.
const EXIT_DAMAGED: u8 = 3;
/// There is no such file (EX_NOINPUT).
const EXIT_NO_FILE: u8 = 66;

#[derive(Debug, Args)]
pub(super) struct File {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Says what is in a file, whether it is whole, and what to do if not
    ///
    /// Writes nothing, so it will do with a file that may only be read, but for one thing: after a sync that failed it reads
    /// what the disk holds, past the page cache, and if that is what was written, the file may be opened again.
    Check(check::Check),
    /// Brings a file to a state in which it can be opened; nothing is thrown away
    ///
    /// What is no whole record is moved to FILE.torn, ids without records are dropped, and what was lost is set anew.
    Repair(repair::Repair),
    /// Prints the whole records of a file
    Cat(cat::Cat),
}

impl File {
    pub(super) fn execute(self) -> u8 {
        let code = match self.what {
            What::Check(check) => check.execute(),
            What::Repair(repair) => repair.execute(),
            What::Cat(cat) => cat.execute(),
        };
        // A report that nobody can read is no report that all is well.
        if is_incomplete() { code.max(EXIT_IO) } else { code }
    }
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(LocalDisk)
}

/// The number by which a script can tell why a file could not be looked into.
fn exit_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Busy { .. }
        | OpenError::Shared { .. }
        | OpenError::NotShared { .. }
        | OpenError::AlreadyOpen { .. } => EXIT_TRY_LATER,
        OpenError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => EXIT_NO_FILE,
        OpenError::Io { .. } | OpenError::Lock(_) | OpenError::Repair { .. } => EXIT_IO,
        OpenError::ForeignTail { .. }
        | OpenError::SyncFailed { .. }
        | OpenError::NotOnDisk { .. }
        | OpenError::Damaged { .. }
        | OpenError::FloorLost { .. }
        | OpenError::Ids { .. } => EXIT_DAMAGED,
        OpenError::Exists { .. }
        | OpenError::SymbolicLink { .. }
        | OpenError::NotRegular { .. }
        | OpenError::NoFileName { .. }
        | OpenError::Linked { .. }
        | OpenError::NotToBeShared { .. }
        | OpenError::HeaderMismatch { .. }
        | OpenError::InvalidHeader { .. }
        | OpenError::RecordLimit { .. }
        | OpenError::Remote { .. }
        | OpenError::OtherFormat { .. }
        | OpenError::FloorTooLow { .. } => EXIT_USAGE,
    }
}

/// Says why a file could not be looked into, and answers the exit code.
fn fail(path: &Path, error: &OpenError, json: bool) -> u8 {
    let code = exit_code(error);
    let told = match error {
        OpenError::Io { .. } if code == EXIT_NO_FILE => format!("there is no file at {}", path.display()),
        OpenError::ForeignTail { .. } => {
            format!("{error}; `lockkeeper file repair --cut` moves it to {}.torn", path.display())
        }
        _ => error.to_string(),
    };
    if json {
        let file = path.display().to_string();
        let event = serde_json::json!({ "event": "failed", "file": file, "error": told, "exit": code });
        print_line(format_args!("{event}"));
    } else {
        complain(format_args!("error: {told}"));
    }
    code
}

/// From so many bytes on it is worth saying how far one is.
const PROGRESS_FROM_BYTES: u64 = 64 << 20;

/// How far a file has been read, on a terminal, if it is large.
struct Progress {
    shown: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(json: bool) -> Progress {
        Progress { shown: !json && environment::shows_progress(), bar: None }
    }

    fn at(&mut self, done: u64, of: u64) {
        if !self.shown || of < PROGRESS_FROM_BYTES {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(of);
            let style =
                ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} read, {elapsed} gone, {eta} to go");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_length(of);
        bar.set_position(done);
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `1 record`, `2 records`.
fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}
