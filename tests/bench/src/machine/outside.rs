//! A process of the system that takes part in what is measured: a host, or a native program. It counts its own pairs, and
//! says how many there are whenever it is asked.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use fs2::FileExt as _;
use lockkeeper::Placement;

use crate::ours::Ours;
use crate::plan::Lengths;

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// A host, with a lock of the machine.
    Host,
    /// A host, with a lock of its own.
    ProcessScope,
    /// A host whose process holds the lock until it is killed.
    Holder,
    /// A program with an open file.
    Fs2,
    /// A program that has it locked until it is killed.
    Fs2Holder,
    /// `flock FILE true`, again and again.
    Flock,
}

/// The lock file in a directory, as a host calls it too.
pub(super) fn lock_file(dir: &Path) -> PathBuf {
    dir.join(format!("{}.lock", crate::ours::LOCK))
}

/// The child's side: what it is started for, until nobody asks any more.
pub(crate) fn take_part(who: Who, dir: &Path, processes: u32, shards: usize) -> anyhow::Result<()> {
    let lock_dir = (who != Who::ProcessScope).then_some(dir);
    match who {
        Who::Host | Who::ProcessScope => {
            let ours = Ours::at(shards, no_lengths(), lock_dir)?;
            let group = ours.contending(processes, Placement::Home)?;
            answer(|| group.acquired())
        }
        Who::Holder => {
            let ours = Ours::at(shards, no_lengths(), lock_dir)?;
            let _group = ours.holding()?;
            answer(|| bail!("it is held all the time"))
        }
        Who::Fs2Holder => {
            let file = open(dir)?;
            file.lock_exclusive()?;
            answer(|| bail!("it is held all the time"))
        }
        Who::Fs2 => {
            let file = open(dir)?;
            counting(move || {
                file.lock_exclusive()?;
                Ok(fs2::FileExt::unlock(&file)?)
            })
        }
        Who::Flock => {
            let path = lock_file(dir);
            counting(move || {
                // The last one may outlive the directory.
                let status = Command::new("flock").arg(&path).arg("true").stderr(Stdio::null()).status();
                ensure!(status.context("there is no flock(1)")?.success(), "flock(1) fails");
                Ok(())
            })
        }
    }
}

/// Of this side nothing is measured by time.
fn no_lengths() -> Lengths {
    Lengths { pairs: 0, warm_up: Duration::ZERO, window: Duration::ZERO }
}

pub(super) fn open(dir: &Path) -> anyhow::Result<File> {
    Ok(File::options().read(true).write(true).create(true).truncate(false).open(lock_file(dir))?)
}

/// Makes pairs, and says how many there are.
fn counting(pair: impl Fn() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let made = Arc::new(AtomicU64::new(0));
    let counted = made.clone();
    let failed = thread::spawn(move || {
        loop {
            if let Err(error) = pair() {
                return error;
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    answer(|| {
        ensure!(!failed.is_finished(), "no more pairs are made");
        Ok((Instant::now(), made.load(Ordering::Relaxed)))
    })
}

/// Answers each line with how many pairs there are, and when.
fn answer(count: impl Fn() -> anyhow::Result<(Instant, u64)>) -> anyhow::Result<()> {
    let begun = Instant::now();
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        let (at, count) = count()?;
        println!("{} {count}", at.saturating_duration_since(begun).as_nanos());
    }
    Ok(())
}

/// The parent's side. It ends with this.
pub(super) struct Outsider {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// How many pairs there were, and when, in nanoseconds of the one that counted them.
pub(super) struct Look {
    at: u64,
    pairs: u64,
}

impl Look {
    /// Pairs per second.
    pub(super) fn rate_until(&self, later: &Self) -> f64 {
        (later.pairs - self.pairs) as f64 * 1e9 / (later.at - self.at) as f64
    }
}

impl Outsider {
    pub(super) fn start(who: Who, dir: &Path, processes: u32, shards: usize) -> anyhow::Result<Self> {
        let who = who.to_possible_value().context("each has a name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["outsider", who.get_name()]).arg(dir).args([processes.to_string(), shards.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).context("it has both")?;
        Ok(Self { child, input, lines: BufReader::new(output).lines() })
    }

    pub(super) fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let line = self.line()?;
        ensure!(line == "ready", "it says {line:?}");
        Ok(())
    }

    pub(super) fn look(&mut self) -> anyhow::Result<Look> {
        writeln!(self.input)?;
        let line = self.line()?;
        let (at, pairs) = line.split_once(' ').with_context(|| format!("no count: {line:?}"))?;
        Ok(Look { at: at.parse()?, pairs: pairs.parse()? })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        Ok(self.lines.next().context("it has ended")??)
    }

    /// By SIGKILL.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill()?)
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        // One that has ended needs neither.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
