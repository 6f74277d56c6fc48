//! A directory of a test's own, and the command in it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use lockkeeper_tests::{Lines, PATIENCE, workspace};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A directory in which the command runs, with a state directory of its own.
pub(crate) struct Place {
    dir: TempDir,
}

/// A run of the command that is over.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    stderr: String,
}

/// A run of the command that goes on. Dropping it ends it.
pub(crate) struct Running {
    child: Child,
    /// Its lines on standard output.
    pub(crate) out: Lines,
    /// Its lines on standard error.
    pub(crate) err: Lines,
    readers: Vec<JoinHandle<()>>,
    watchdog: Watchdog,
}

/// The path of a guest program, as an argument.
pub(crate) fn guest(name: &str) -> String {
    lockkeeper_tests::guest(name).to_str().expect("a path in UTF-8").to_owned()
}

/// The same program as a core module of WASI 0.1.
pub(crate) fn guest_p1(name: &str) -> String {
    lockkeeper_tests::guest_p1(name).to_str().expect("a path in UTF-8").to_owned()
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).expect("a file of the test is written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// A command that starts here, and that nothing reaches of what this machine has set for `lockkeeper`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("LOCKKEEPER_STATE_DIR", self.path("state"))
            // Shared by all tests: compiling the guests once is enough.
            .env("LOCKKEEPER_CACHE_DIR", workspace().join("target/guests/compiled"));
        for variable in ["LOCKKEEPER_LOG", "NO_COLOR", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
            command.env_remove(variable);
        }
        command
    }

    /// `lockkeeper` with these arguments.
    pub(crate) fn lockkeeper(&self, args: &[&str]) -> Command {
        let binary = lockkeeper_tests::command();
        let mut command = self.command(binary.to_str().expect("a path in UTF-8"));
        command.args(args);
        command
    }

    /// Runs `lockkeeper` to its end, without input.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        end(self.lockkeeper(args), b"")
    }

    /// Runs `lockkeeper run` on a manifest with this text.
    pub(crate) fn run_manifest(&self, manifest: &str) -> Ended {
        self.write("job.toml", manifest);
        self.run(&["run", "job.toml"])
    }

    /// Starts `lockkeeper` and lets it run.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.lockkeeper(args);
        let mut child = spawn(&mut command);
        let (out, err) = (Lines::new(), Lines::new());
        drop(child.stdin.take());
        let readers = vec![
            out.follow(child.stdout.take().expect("it is piped")),
            err.follow(child.stderr.take().expect("it is piped")),
        ];
        let watchdog = Watchdog::over(&child);
        Running { child, out, err, readers, watchdog }
    }
}

/// Runs a command to its end with this input.
pub(crate) fn end(mut command: Command, input: &[u8]) -> Ended {
    let mut child = spawn(&mut command);
    let mut watchdog = Watchdog::over(&child);
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that reads no input may be gone by now.
    drop(stdin.write_all(input));
    drop(stdin);
    let output = child.wait_with_output().expect("the command can be waited for");
    watchdog.assert_asleep();
    Ended {
        code: code(output.status),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("what people read is text"),
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("the command was ended by a signal: {status}"))
}

impl Ended {
    /// Standard output as text.
    pub(crate) fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("standard output is text")
    }

    /// Standard error.
    pub(crate) fn err(&self) -> &str {
        &self.stderr
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code, with\n{self}");
        self
    }

    /// Standard error says all of this.
    #[track_caller]
    pub(crate) fn assert_says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing in\n{self}");
        }
        self
    }

    /// It was refused before anything was started, with one error in one line that says all of this.
    #[track_caller]
    pub(crate) fn assert_refused(&self, words: &[&str]) -> &Self {
        self.assert_code(2).assert_says(words);
        assert!(self.stdout.is_empty(), "nothing is printed before it is refused:\n{self}");
        // Errors of the flags have a second line of the parser's own, after an empty one.
        let told =
            self.stderr.strip_suffix("\n\nFor more information, try '--help'.\n").unwrap_or(self.stderr.trim_end());
        assert!(told.starts_with("error: ") && told.lines().count() == 1, "one sentence, not\n{self}");
        self.assert_readable()
    }

    /// What people read is not the inside of a program.
    #[track_caller]
    pub(crate) fn assert_readable(&self) -> &Self {
        for inside in ["Some(", "None", "Os {", "::Error", "panicked", "Caused by", "stack backtrace", "kind:"] {
            assert!(!self.stderr.contains(inside), "`{inside}` is not for people:\n{self}");
        }
        let mut seen: Vec<&str> = Vec::new();
        for part in self.stderr.split(": ").filter(|part| part.len() > 20) {
            assert!(!seen.contains(&part), "`{part}` is said twice:\n{self}");
            seen.push(part);
        }
        self
    }

    /// The objects of `--json`, each of which is an event.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |line: &str| {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in `{line}`"));
            assert!(object["event"].is_string(), "no event: {line}");
            object
        };
        self.out().lines().map(event).collect()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        write!(f, "exit code {}\n--- stdout\n{stdout}\n--- stderr\n{}", self.code, self.stderr)
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("it is there as long as it was not waited for");
    }

    /// Waits for its end and answers the exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        let status = self.child.wait().expect("the command can be waited for");
        self.watchdog.assert_asleep();
        for reader in self.readers.drain(..) {
            reader.join().expect("a stream is read to its end");
        }
        code(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` there is nothing left to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Ends a command that does not end, so that the test fails and says so.
struct Watchdog {
    asleep: Option<Sender<()>>,
    thread: Option<JoinHandle<bool>>,
}

impl Watchdog {
    fn over(child: &Child) -> Self {
        let (asleep, woken) = channel();
        let pid = pid(child);
        let thread = std::thread::spawn(move || {
            let bites = woken.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            if bites {
                let _ = kill_process(pid, Signal::KILL);
            }
            bites
        });
        Self { asleep: Some(asleep), thread: Some(thread) }
    }

    #[track_caller]
    fn assert_asleep(&mut self) {
        drop(self.asleep.take());
        let bitten = self.thread.take().is_some_and(|thread| thread.join().expect("a watchdog does not panic"));
        assert!(!bitten, "the command did not end");
    }
}

/// A place with inputs `NAME` that are these scripts for `map_script`.
pub(crate) fn with_scripts(scripts: &[(&str, &str)]) -> Place {
    let place = Place::new();
    scripts.iter().for_each(|(name, script)| place.write(name, script));
    place
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).expect("a child has a number")
}
