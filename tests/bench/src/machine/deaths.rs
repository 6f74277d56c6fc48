//! A holder is killed, and the next one in the queue lives in another process of the system.

use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs2::FileExt as _;
use tempfile::TempDir;

use super::outside::{Outsider, Who, open};
use crate::figures::Figure;
use crate::ours::{Ours, PATIENCE};
use crate::plan::Lengths;

/// How many deaths a figure is of.
pub(super) const COUNT: usize = 100;

/// Nobody should wait longer.
const AIM: Duration = Duration::from_millis(5);

/// The host in which the next one waits.
pub(super) struct Deaths {
    next: Ours,
    shards: usize,
    dir: TempDir,
}

impl Deaths {
    pub(super) fn new(shards: usize, lengths: Lengths) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let next = Ours::at(shards, lengths, Some(dir.path()))?;
        Ok(Self { next, shards, dir })
    }

    pub(super) fn of_hosts(&self, percent: usize) -> anyhow::Result<Figure> {
        percentile(percent, |number| {
            let mut holder = holder(Who::Holder, self.dir.path(), self.shards)?;
            let next = self.next.queueing()?;
            thread::sleep(waited(number));
            let died = Instant::now();
            holder.kill()?;
            let came = next.came()?;
            Ok(came.saturating_duration_since(died))
        })
    }
}

/// The same of native programs.
pub(super) fn of_programs(percent: usize) -> anyhow::Result<Figure> {
    let dir = tempfile::tempdir()?;
    percentile(percent, |number| {
        let mut holder = holder(Who::Fs2Holder, dir.path(), 0)?;
        let file = open(dir.path())?;
        let (came, comes) = channel();
        thread::spawn(move || {
            let locked = file.lock_exclusive().map(|()| Instant::now());
            // Nobody may be listening any more.
            drop(came.send(locked));
        });
        thread::sleep(Duration::from_millis(1) + waited(number));
        let died = Instant::now();
        holder.kill()?;
        let came = comes.recv_timeout(PATIENCE).context("nobody comes")??;
        Ok(came.saturating_duration_since(died))
    })
}

fn holder(who: Who, dir: &Path, shards: usize) -> anyhow::Result<Outsider> {
    let mut holder = Outsider::start(who, dir, 1, shards)?;
    holder.wait_until_ready()?;
    Ok(holder)
}

/// For how long the next one has waited when the holder dies: who polls does so more and more rarely.
fn waited(number: usize) -> Duration {
    Duration::from_millis((number * 37 % 100) as u64)
}

/// Microseconds within which so many of a hundred came.
fn percentile(percent: usize, mut one: impl FnMut(usize) -> anyhow::Result<Duration>) -> anyhow::Result<Figure> {
    let mut took = (0..COUNT).map(&mut one).collect::<anyhow::Result<Vec<_>>>()?;
    took.sort_unstable();
    let within_aim = took.iter().filter(|took| **took <= AIM).count() as f64 / COUNT as f64;
    let value = took[(COUNT * percent).div_ceil(100) - 1].as_secs_f64() * 1e6;
    Ok(Figure { value, share: Some(("came within 5 ms", within_aim)) })
}
