//! The command: the only place that prints, exits or reads the environment. One file per subcommand.

mod build;
mod doctor;
mod environment;
mod file;
mod inspect;
mod lock;
mod locks;
mod map;
mod options;
mod output;
mod picture;
mod primitives;
mod progress;
mod python;
mod run;
mod running;
mod session;
mod summary;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lockkeeper::manifest::ManifestError;
use lockkeeper::{JobError, OpenError, RuntimeError, SeriesError};
use map::JoblogError;
use output::complain;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Wrong usage, a wrong manifest, a program that cannot be run: found before anything was started.
const EXIT_USAGE: u8 = 2;
/// A file cannot be made (EX_CANTCREAT).
const EXIT_CANNOT_CREATE: u8 = 73;
/// An append file is in doubt, or could not be written (EX_IOERR): something in it may be lost.
const EXIT_IO: u8 = 74;
/// Another host has a file now; later it may work (EX_TEMPFAIL).
const EXIT_TRY_LATER: u8 = 75;
/// Every process waited for what nobody was left to do, and was ended. A process that is ended so has the same number.
const EXIT_STALLED: u8 = 76;
/// The command itself fails to see a run through.
const EXIT_OWN_FAILURE: u8 = 125;

/// Runs WebAssembly programs as many processes that share locks and append files.
#[derive(Debug, Parser)]
#[command(name = "lockkeeper", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  one process        its own; 124 time limit, 134 trap, 137 killed
  several            how many failed; 101 for more than 100; `map --halt` has the numbers of GNU parallel
  2                  wrong usage, manifest or program: nothing was started
  73, 75             a file cannot be made; another host has it
  74                 a file is damaged or in doubt (see `lockkeeper file check`), or could not be written to its end
  76                 a stall: every process waited for another one, and all were ended
  125                the host itself failed
  130, 143           interrupted, terminated";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one program, n processes of it, or the processes that a manifest describes
    Run(run::Run),
    /// Runs one process per input, a file, a row or a text; the records of each are committed when it ends well
    Map(map::Map),
    /// Runs a command while it holds a lock of the machine, as flock(1) does
    Lock(lock::Lock),
    /// Lists who holds which lock of the machine, since when, and who waits for it
    Locks(locks::Locks),
    /// Says what is in an append file and whether it is whole, mends it, prints it
    File(file::File),
    /// Lists what a program imports, so what it would need
    Inspect(inspect::Inspect),
    /// Checks whether everything is here to build and run guests
    Doctor(doctor::Doctor),
}

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // It takes the place of flock(1) in scripts, which has another number for this.
        Err(error) if error.use_stderr() && std::env::args_os().nth(1).is_some_and(|word| word == "lock") => {
            drop(error.print());
            return ExitCode::from(lock::EXIT_USAGE);
        }
        Err(error) => error.exit(),
    };
    environment::start_logging();
    // What `lock` runs has the limits of whoever has started it.
    if !matches!(cli.command, Command::Lock(_)) {
        raise_open_files_limit();
    }
    let ended = match cli.command {
        Command::Lock(lock) => Ok(lock.execute()),
        Command::Locks(locks) => locks.execute(),
        Command::Run(run) => run.execute(),
        Command::Map(map) => map.execute(),
        Command::File(file) => Ok(file.execute()),
        Command::Inspect(inspect) => inspect.execute(),
        Command::Doctor(doctor) => doctor.execute(),
    };
    ended.map_or_else(
        |error| {
            complain(format_args!("error: {}", sentence(&error)));
            ExitCode::from(exit_code(&error))
        },
        ExitCode::from,
    )
}

/// Many processes have many files open; the system's first limit is meant for one.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// An error with its causes, each said once: most of our errors have told theirs already.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Whether what is in a file, or what is known of it, is not what it should be: `file check` and `file repair` help.
fn is_in_doubt(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::SyncFailed { .. }
            | OpenError::NotOnDisk { .. }
            | OpenError::Damaged { .. }
            | OpenError::FloorLost { .. }
            | OpenError::Ids { .. }
    )
}

/// The number by which a script can tell what kind of error it was.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ManifestError>() {
        return EXIT_USAGE;
    }
    match error.downcast_ref::<RuntimeError>() {
        Some(RuntimeError::Cache { .. }) => return EXIT_CANNOT_CREATE,
        Some(RuntimeError::Engine(_) | RuntimeError::HostInterface(_) | RuntimeError::Thread(_)) => {
            return EXIT_OWN_FAILURE;
        }
        None => {}
    }
    match error.downcast_ref::<JoblogError>() {
        Some(JoblogError::Open(OpenError::Busy { .. })) => return EXIT_TRY_LATER,
        Some(JoblogError::Open(source)) if is_in_doubt(source) => return EXIT_IO,
        Some(JoblogError::Open(_)) => return EXIT_CANNOT_CREATE,
        Some(JoblogError::NotALog { .. } | JoblogError::Line { .. }) => return EXIT_USAGE,
        Some(JoblogError::Read { .. } | JoblogError::ReadOn { .. }) => return EXIT_IO,
        None => {}
    }
    match error.downcast_ref::<SeriesError>() {
        Some(SeriesError::Ids { .. }) => return EXIT_IO,
        Some(SeriesError::NoIds { .. }) | None => {}
    }
    match error.downcast_ref::<JobError>() {
        Some(JobError::Open {
            source: OpenError::Busy { .. } | OpenError::Shared { .. } | OpenError::NotShared { .. },
            ..
        }) => EXIT_TRY_LATER,
        Some(JobError::Open { source, .. }) if is_in_doubt(source) => EXIT_IO,
        Some(JobError::Open { .. } | JobError::Fences { .. } | JobError::FileFences { .. }) => EXIT_CANNOT_CREATE,
        // What is wrong with the job's description itself.
        Some(_) | None => EXIT_USAGE,
    }
}
