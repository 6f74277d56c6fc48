//! The scripts of `peers`, in CPython: the peers of what is ours. And the same ones as guests.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::guests::{self, workspace};
use crate::plan::Lengths;

/// The oldest one that counts.
const MINOR_MIN: u32 = 9;

/// How processes begin where it does not matter.
pub(crate) const FORK: &str = "fork";
pub(crate) const SPAWN: &str = "spawn";

/// Who runs the scripts of `peers`: an interpreter that is there and new enough, or the command.
pub(crate) struct Python {
    version: String,
    /// None: the command, with CPython in a guest.
    interpreter: Option<PathBuf>,
}

impl Python {
    /// The command, built, and what runs Python programs in it.
    pub(crate) fn guest() -> anyhow::Result<Self> {
        guests::build_command()?;
        let python = Self { version: "that of the runner".to_owned(), interpreter: None };
        python.empty()?;
        Ok(python)
    }

    /// What runs Python programs in the command.
    pub(crate) fn runner() -> anyhow::Result<PathBuf> {
        let answer = guests::command().args(["doctor", "--json"]).output().context("the command cannot be started")?;
        let checks = serde_json::Deserializer::from_slice(&answer.stdout).into_iter::<serde_json::Value>();
        let found = checks.filter_map(Result::ok).find(|check| check["check"] == "Python runner");
        let found = found.context("the command tells nothing of its runner")?;
        Ok(found["text"].as_str().context("it is a path")?.into())
    }

    /// Looks for one; if there is none, why.
    pub(crate) fn find() -> Result<Self, String> {
        // The interpreter itself: what is called so may be a script that looks for one, at every start.
        let asked = "import sys; print(*sys.version_info[:3], sep='.'); print(sys.executable)";
        let answer = Command::new("python3").args(["-c", asked]).output();
        let answer = answer.map_err(|error| format!("there is no python3 ({error})"))?;
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        let (version, interpreter) = answer.trim().split_once('\n').unwrap_or_default();
        let (version, interpreter) = (version.to_owned(), PathBuf::from(interpreter));
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next(), numbers.next()) < (Some(3), Some(MINOR_MIN)) {
            return Err(format!("python3 is {version:?}, and has to be at least 3.{MINOR_MIN}"));
        }
        Ok(Self { version, interpreter: Some(interpreter) })
    }

    /// Which one it is.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Nanoseconds per uncontended pair of `multiprocessing.Lock`.
    pub(crate) fn pair(&self, lengths: &Lengths) -> anyhow::Result<f64> {
        self.number(self.script("mp.py", None).args(["pair", FORK, &lengths.pairs.to_string()]))
    }

    /// Pairs per second of so many processes with one `multiprocessing.Lock`, which begin by this method.
    pub(crate) fn contended(&self, method: &str, processes: u32, lengths: &Lengths) -> anyhow::Result<f64> {
        self.number(self.script("mp.py", None).args(["lock", method]).args(window(processes, lengths)))
    }

    /// Additions per second of so many processes to one `multiprocessing.Value` under its lock.
    pub(crate) fn value_add(&self, method: &str, processes: u32, lengths: &Lengths) -> anyhow::Result<f64> {
        self.number(self.script("mp.py", None).args(["value", method]).args(window(processes, lengths)))
    }

    /// Rows per second that so many processes append to this file under one `multiprocessing.Lock`, in one of the ways
    /// of `peers/append.py`.
    pub(crate) fn locked_rows(
        &self,
        method: &str,
        way: &str,
        path: &Path,
        processes: u32,
        lengths: &Lengths,
    ) -> anyhow::Result<f64> {
        let mut script = self.script("append.py", path.parent());
        self.number(script.args([method, way]).arg(path).args(window(processes, lengths)))
    }

    /// One number of `peers/process.py`, with processes that begin by this method.
    pub(crate) fn process(&self, what: &str, method: &str, arguments: &[u32]) -> anyhow::Result<f64> {
        let mut script = self.script("process.py", None);
        self.number(script.args([what, method]).args(arguments.iter().map(u32::to_string)))
    }

    /// Microseconds that a script takes which does nothing.
    pub(crate) fn empty(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let answer = self.script("empty.py", None).output().context("it cannot be started")?;
        let took = begun.elapsed().as_secs_f64() * 1e6;
        ensure!(answer.status.success(), "an empty script: {}", String::from_utf8_lossy(&answer.stderr));
        Ok(took)
    }

    /// KiB that are private to the command for each of so many processes that wait.
    pub(crate) fn parked(&self, count: u32) -> anyhow::Result<f64> {
        let mut script = self.script("process.py", None);
        script.args(["park", FORK, &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = script.spawn().context("the command cannot be started")?;
        let (input, output) = running.stdin.take().zip(running.stdout.take()).context("it has both")?;
        let (mut input, mut lines) = (input, BufReader::new(output).lines());
        let mut taken = [0; 2];
        for private in &mut taken {
            lines.next().context("it ends early")??;
            *private = private_kib(running.id())?;
            writeln!(input)?;
        }
        ensure!(running.wait()?.success(), "the processes that wait do not end well");
        Ok(taken[1].saturating_sub(taken[0]) as f64 / f64::from(count))
    }

    /// A script of `peers`, which writes nowhere but in this directory.
    fn script(&self, name: &str, dir: Option<&Path>) -> Command {
        let path = workspace().join("tests/bench/peers").join(name);
        if let Some(interpreter) = &self.interpreter {
            let mut python = Command::new(interpreter);
            // Nothing is to be left beside the sources.
            python.env("PYTHONDONTWRITEBYTECODE", "1").arg(path);
            return python;
        }
        let mut run = guests::command();
        run.arg("run");
        if let Some(dir) = dir {
            run.arg("--dir").arg(dir);
        }
        run.arg(path).arg("--");
        run
    }

    /// The one number that it prints.
    fn number(&self, python: &mut Command) -> anyhow::Result<f64> {
        let answer = python.output().context("it cannot be started")?;
        ensure!(answer.status.success(), "Python {}: {}", self.version, String::from_utf8_lossy(&answer.stderr));
        let text = String::from_utf8_lossy(&answer.stdout);
        text.trim().parse().with_context(|| format!("no number: {text:?}"))
    }
}

/// How many, and for how long, as the scripts take it.
fn window(processes: u32, lengths: &Lengths) -> [String; 3] {
    [processes.into(), lengths.warm_up.as_millis(), lengths.window.as_millis()].map(|number: u128| number.to_string())
}

/// What a process of the system has for itself.
fn private_kib(pid: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kib = lines.filter_map(|line| line.split_whitespace().nth(1)).map(str::parse::<u64>);
    kib.sum::<Result<u64, _>>().context("Linux tells numbers")
}
