//! The peers in CPython: `peers/mp.py`, `peers/append.py` and `peers/process.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::guests::workspace;
use crate::plan::Lengths;

/// The oldest one that counts.
const MINOR_MIN: u32 = 9;

/// An interpreter that is there and new enough.
pub(crate) struct Python {
    version: String,
}

impl Python {
    /// Looks for one; if there is none, why.
    pub(crate) fn find() -> Result<Self, String> {
        let asked = Command::new("python3").args(["-c", "import sys; print(*sys.version_info[:3], sep='.')"]).output();
        let answer = asked.map_err(|error| format!("there is no python3 ({error})"))?;
        let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next(), numbers.next()) < (Some(3), Some(MINOR_MIN)) {
            return Err(format!("python3 is {version:?}, and has to be at least 3.{MINOR_MIN}"));
        }
        Ok(Self { version })
    }

    /// Which one it is.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Nanoseconds per uncontended pair of `multiprocessing.Lock`.
    pub(crate) fn pair(&self, lengths: &Lengths) -> anyhow::Result<f64> {
        self.run("pair", &[lengths.pairs])
    }

    /// Pairs per second of so many processes with one `multiprocessing.Lock`.
    pub(crate) fn contended(&self, processes: u32, lengths: &Lengths) -> anyhow::Result<f64> {
        self.run("lock", &[processes.into(), ms(lengths.warm_up), ms(lengths.window)])
    }

    /// Additions per second of so many processes to one `multiprocessing.Value` under its lock.
    pub(crate) fn value_add(&self, processes: u32, lengths: &Lengths) -> anyhow::Result<f64> {
        self.run("value", &[processes.into(), ms(lengths.warm_up), ms(lengths.window)])
    }

    /// Rows per second that so many processes append to this file under one `multiprocessing.Lock`, in one of the ways
    /// of `peers/append.py`.
    pub(crate) fn locked_rows(&self, way: &str, path: &Path, processes: u32, lengths: &Lengths) -> anyhow::Result<f64> {
        let mut python = Command::new("python3");
        // Nothing is to be left beside the sources.
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(script("append.py")).arg(way).arg(path);
        self.number(python.args(numbers(&[processes.into(), ms(lengths.warm_up), ms(lengths.window)])))
    }

    /// One number of `peers/process.py`, with processes that begin by this method.
    pub(crate) fn process(&self, what: &str, method: &str, arguments: &[u32]) -> anyhow::Result<f64> {
        let mut python = Command::new("python3");
        python.arg(script("process.py")).args([what, method]);
        self.number(python.args(arguments.iter().map(u32::to_string)))
    }

    fn run(&self, what: &str, arguments: &[u64]) -> anyhow::Result<f64> {
        self.number(Command::new("python3").arg(script("mp.py")).arg(what).args(numbers(arguments)))
    }

    /// The one number that it prints.
    fn number(&self, python: &mut Command) -> anyhow::Result<f64> {
        let answer = python.output().context("python3 cannot be started")?;
        ensure!(answer.status.success(), "python3 {}: {}", self.version, String::from_utf8_lossy(&answer.stderr));
        let text = String::from_utf8_lossy(&answer.stdout);
        text.trim().parse().with_context(|| format!("no number: {text:?}"))
    }
}

fn script(name: &str) -> PathBuf {
    workspace().join("tests/bench/peers").join(name)
}

fn numbers(arguments: &[u64]) -> impl Iterator<Item = String> {
    arguments.iter().map(u64::to_string)
}

fn ms(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
