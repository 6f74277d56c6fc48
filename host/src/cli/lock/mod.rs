//! `lockkeeper lock`: a command while a lock of the machine is held, with the exit codes of flock(1).

mod outsiders;
mod taking;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;
use lockkeeper::lock_file::Remote;
use lockkeeper::machine_lock::{Left, MachineLockError};
use lockkeeper::os_lock::{Mode, OsLockError};
use rustix::fs::{Access, access};
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::signal::unix::{SignalKind, signal};

use super::output::complain;
use super::{EXIT_CANNOT_CREATE, environment};
pub(super) use outsiders::{Outsiders, command_of};
use taking::{Taking, Took};

/// Wrong usage (EX_USAGE), as flock(1) has it.
pub(super) const EXIT_USAGE: u8 = 64;
/// The lock file holds something else (EX_DATAERR), where something of ours was asked for; or cannot be locked.
const EXIT_DATA: u8 = 65;
/// The lock file cannot be opened (EX_NOINPUT).
const EXIT_NO_INPUT: u8 = 66;
/// The command cannot be started (EX_UNAVAILABLE).
const EXIT_UNAVAILABLE: u8 = 69;
/// The system has no more of something (EX_OSERR).
const EXIT_SYSTEM: u8 = 71;
/// Added to the number of the signal that has ended the command.
const EXIT_SIGNALLED: u8 = 128;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Lock {
    /// Hold it together with others that do too
    #[arg(short = 's', long, overrides_with = "exclusive")]
    shared: bool,
    /// Hold it alone (this is the default)
    #[arg(short = 'x', visible_short_alias = 'e', long, overrides_with = "shared")]
    exclusive: bool,
    /// Do not wait
    #[arg(short = 'n', long, visible_aliases = ["nonblocking", "nb"])]
    nonblock: bool,
    /// Wait so long at most; 0 is not to wait
    #[arg(short = 'w', long, visible_alias = "wait", value_name = "SECS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// The exit code when somebody else has it
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = 1)]
    conflict_exit_code: u8,
    /// The variable of the command's environment in which it finds the fence: a number greater than that of every holder of
    /// this lock before it
    #[arg(long, value_name = "NAME", value_parser = variable)]
    fence_env: Option<String>,
    /// If the command ends with 0, what the lock protects is whole again, though an owner died in it and the next one did not
    /// mend it: processes are granted it again that are refused it by their policy `poison`
    #[arg(long, conflicts_with = "shared")]
    mark_consistent: bool,
    /// Say who has it, for how long if that is known, and how it was left
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Go on where a lock may not keep others out: NFS, CIFS and FUSE are refused otherwise
    #[arg(long)]
    allow_remote: bool,
    /// The lock file; it is made if it is missing, and never removed. Nothing is written into one that is not a lock file of
    /// lockkeeper's already, but with --fence-env into an empty one. No directory, and no link
    file: PathBuf,
    /// The command, and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const AFTER_HELP: &str = "\
Exit codes, as those of flock(1):
  the command's own; 128 and the signal's number if one has ended it
  1 or CODE          somebody else has the lock
  64                 wrong usage
  65                 the file holds something else, where --fence-env needs it; or it cannot be locked
  66, 73             the lock file cannot be opened, or not be made
  69, 71             the command cannot be started; the system has no more of something";

/// Why the command was not run.
struct Refused {
    exit_code: u8,
    why: String,
}

impl Lock {
    pub(super) fn execute(&self) -> u8 {
        match self.run() {
            Ok(code) => code,
            Err(Refused { exit_code, why }) => {
                complain(format_args!("error: {why}"));
                exit_code
            }
        }
    }

    fn run(&self) -> Result<u8, Refused> {
        let mode = if self.shared { Mode::Shared } else { Mode::Exclusive };
        let remote = if self.allow_remote { Remote::Allowed } else { Remote::Refused };
        let mut lock = taking::open(&self.file, remote, &environment::command_line(), self.fence_env.is_some())
            .map_err(|error| refused(&error))?;
        if self.fence_env.is_some() && !lock.has_fences() {
            let file = self.file.display();
            let why =
                format!("--fence-env: {file} has something in it that is no lock, so no fence; name a file of its own");
            return Err(Refused { exit_code: EXIT_DATA, why });
        }
        if self.mark_consistent && !lock.has_fences() {
            let why = format!("--mark-consistent: {} is no lock file of lockkeeper's", self.file.display());
            return Err(Refused { exit_code: EXIT_DATA, why });
        }
        if self.command[0] == "-c" {
            let why = "-c: give the command itself, or a shell: lockkeeper lock FILE -- sh -c 'COMMAND'".to_owned();
            return Err(Refused { exit_code: EXIT_USAGE, why });
        }
        let begun = Instant::now();
        let timeout = if self.nonblock { Some(Duration::ZERO) } else { self.timeout };
        let mut tell = |taking: &Taking<'_>| self.tell(taking);
        let took = match taking::take(lock.as_mut(), mode, timeout, &mut tell).map_err(|error| refused(&error))? {
            Some(took) => took,
            None => {
                self.tell(&Taking::GaveUp { file: &self.file, after: begun.elapsed() });
                return Ok(self.conflict_exit_code);
            }
        };
        self.tell(&Taking::Took { file: &self.file, after: begun.elapsed(), took: &took });
        if took.left == Left::Ruined && !self.mark_consistent {
            complain(format_args!(
                "warning: {}: an owner died in what it protects, and the next one has not mended it: no process that heeds this \
                 gets it any more; run what mends it with --mark-consistent",
                self.file.display()
            ));
        }
        let ended = self.command(lock.as_mut(), &took);
        let left = match &ended {
            // It was never begun.
            Err(_) => took.left.clone(),
            // It was to mend it, and has not.
            Ok(status) if self.mark_consistent && !status.success() => took.left.clone(),
            // Nobody has said that it is mended.
            Ok(_) if took.left == Left::Ruined && !self.mark_consistent => Left::Ruined,
            // What the lock protects may be half-written.
            Ok(status) if status.signal().is_some() => Left::Abandoned("killed".to_owned()),
            Ok(_) => Left::Clean,
        };
        lock.let_go(left);
        match ended {
            Ok(status) => Ok(exit_code(status)),
            Err(error) => {
                let exit_code = match error.raw_os_error() {
                    Some(ENOMEM | EAGAIN | EMFILE | ENFILE) => EXIT_SYSTEM,
                    _ => EXIT_UNAVAILABLE,
                };
                let command = self.command[0].display();
                Err(Refused { exit_code, why: format!("failed to execute {command}: {error}") })
            }
        }
    }

    /// The command has the lock file open too, as that of flock(1) has: if this process is killed, the lock lasts until the
    /// command ends. Its own children cannot keep the lock, as it is let go by a call.
    fn command(&self, lock: &mut dyn taking::Lock, took: &Took) -> io::Result<ExitStatus> {
        let spawn = |mut command: Command| {
            if let (Some(name), Some(fence)) = (&self.fence_env, took.fence) {
                command.env(name, fence.to_string());
            }
            command.spawn()
        };
        wait_for_children()?;
        fcntl_setfd(lock.file(), FdFlags::empty())?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        let child = match spawn(command) {
            // A script that does not say what runs it is one of the shell.
            Err(error) if error.raw_os_error() == Some(ENOEXEC) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg(found(&self.command[0])).args(&self.command[1..]);
                spawn(shell)
            }
            spawned => spawned,
        };
        fcntl_setfd(lock.file(), FdFlags::CLOEXEC)?;
        child?.wait()
    }

    fn tell(&self, taking: &Taking<'_>) {
        if self.verbose {
            complain(format_args!("lock: {taking}"));
        }
    }
}

/// The program of this name, as the system looks for one.
fn found(name: &OsStr) -> PathBuf {
    let path = Path::new(name);
    if name.as_encoded_bytes().contains(&b'/') {
        return path.to_owned();
    }
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&dirs).map(|dir| dir.join(path));
    candidates.find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok()).unwrap_or_else(|| path.to_owned())
}

/// Whoever was started with SIGCHLD ignored, as by a shell with `trap '' CHLD`, would not learn how its command has ended.
fn wait_for_children() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // The signal is handled from here on, though nobody listens.
    signal(SignalKind::child()).map(drop)
}

fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => u8::try_from(signal).unwrap_or_default().saturating_add(EXIT_SIGNALLED),
        (None, None) => u8::MAX,
    }
}

fn refused(error: &MachineLockError) -> Refused {
    let of_system = |source: &io::Error| match source.kind() {
        io::ErrorKind::OutOfMemory => Some(EXIT_SYSTEM),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(EXIT_CANNOT_CREATE)
        }
        _ if [EMFILE, ENFILE].contains(&source.raw_os_error().unwrap_or_default()) => Some(EXIT_SYSTEM),
        _ => None,
    };
    let exit_code = match error {
        MachineLockError::Lock(OsLockError::Open { source, .. }) => of_system(source).unwrap_or(EXIT_NO_INPUT),
        MachineLockError::Lock(OsLockError::Lock { source, .. }) => match source.raw_os_error() {
            Some(ENOMEM | ENOLCK) => EXIT_SYSTEM,
            _ => EXIT_DATA,
        },
        MachineLockError::Lock(_) => EXIT_NO_INPUT,
        MachineLockError::Text { source, .. } => of_system(source).unwrap_or(EXIT_CANNOT_CREATE),
        MachineLockError::Fences(_) => EXIT_CANNOT_CREATE,
        MachineLockError::Foreign { .. } => EXIT_DATA,
    };
    Refused { exit_code, why: error.to_string() }
}

const ENOMEM: i32 = rustix::io::Errno::NOMEM.raw_os_error();
const EAGAIN: i32 = rustix::io::Errno::AGAIN.raw_os_error();
const ENOEXEC: i32 = rustix::io::Errno::NOEXEC.raw_os_error();
const ENOLCK: i32 = rustix::io::Errno::NOLCK.raw_os_error();
const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();

/// Seconds as flock(1) takes them: a number that may have a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "give a number of seconds, 0 or more, such as 2.5".to_owned())
}

fn variable(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err("give the name of a variable".to_owned());
    }
    Ok(text.to_owned())
}
