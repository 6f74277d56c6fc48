//! lockkeeper's append files, through its public library: guest processes on shards.

use anyhow::{Context as _, anyhow};
use lockkeeper::{
    AppendSpec, FileSpec, Format, JobSpec, LockConfig, LockSpec, Placement, ProcessSpec, Program, Runtime,
};
use tempfile::TempDir;

use super::disk::{Disk, Place};
use super::{Durability, alone};
use crate::guests;
use crate::ours::{Group, LOCK, PATIENCE, runtime};
use crate::plan::Lengths;
use crate::tally;

/// The file that all append to.
const FILE: &str = "file";

/// How a row of a locked loop is given to the host.
#[derive(Clone, Copy)]
pub(super) enum Row {
    /// As fields, which the host quotes.
    Fields,
    /// As bytes, which the host checks.
    Bytes,
}

/// A host that is measured.
pub(super) struct Ours {
    runtime: Runtime,
    lengths: Lengths,
    append_rate: Program,
    locked_rows: Program,
    _state: TempDir,
}

impl Ours {
    /// A host with so many shards.
    pub(super) fn new(shards: usize, lengths: Lengths) -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let runtime = runtime(shards, &state)?;
        let (append_rate, locked_rows) = (
            Program::from_file(&runtime, guests::path("append_rate"))?,
            Program::from_file(&runtime, guests::path("locked_rows"))?,
        );
        Ok(Self { runtime, lengths, append_rate, locked_rows, _state: state })
    }

    /// Records per second of one process, counted in it.
    pub(super) fn alone(&self, durability: Durability, count: u64, disk: &Disk) -> anyhow::Result<f64> {
        let place = disk.place()?;
        let mut group = self.group(&place, None)?;
        let count = count.to_string();
        let lines = group.spawn(&self.append_rate, 1, &[FILE, &count, durability.word()], Placement::Home)?;
        let printed = lines.recv_timeout(PATIENCE).context("the rate is not printed")?;
        printed.parse().map_err(|_| anyhow!("{printed}"))
    }

    /// Records per second of so many processes, counted from outside. No lock is granted to them, so they live on all
    /// shards.
    pub(super) fn rate(&self, durability: Durability, processes: u32, disk: &Disk) -> anyhow::Result<f64> {
        let place = disk.place()?;
        let mut group = self.group(&place, None)?;
        // None means until it is killed.
        let args = [FILE, "0", durability.word()];
        let lines = group.spawn(&self.append_rate, processes, &args, Placement::Home)?;
        for _ in 0..processes {
            lines.recv_timeout(PATIENCE).context("a process does not start")?;
        }
        self.count(&group)
    }

    /// Rows per second of so many processes, each row under the lock that the file is bound to.
    pub(super) fn locked_rows(
        &self,
        row: Row,
        processes: u32,
        placement: Placement,
        disk: &Disk,
    ) -> anyhow::Result<f64> {
        let place = disk.place()?;
        let mut group = self.group(&place, Some(LOCK))?;
        let word = match row {
            Row::Fields => "fields",
            Row::Bytes => "bytes",
        };
        let lines = group.spawn(&self.locked_rows, processes, &[LOCK, FILE, word], placement)?;
        for _ in 0..processes {
            lines.recv_timeout(PATIENCE).context("a process does not start")?;
        }
        self.count(&group)
    }

    /// Why an append of this durability fails, if it does.
    pub(super) fn refusal(&self, durability: Durability, disk: &Disk) -> Option<String> {
        self.alone(durability, alone::PROBE, disk).err().map(|error| format!("{error:#}"))
    }

    fn count(&self, group: &Group<'_>) -> anyhow::Result<f64> {
        let rate = tally::rate_of(&self.lengths, || Ok(group.job.position(FILE).context("the file is gone")?.records))?;
        group.ensure_none_ended()?;
        Ok(rate)
    }

    /// Processes with one new file, bound to this lock if there is one.
    fn group(&self, place: &Place, lock: Option<&str>) -> anyhow::Result<Group<'_>> {
        let format = if lock.is_some() { Format::Csv { header: Vec::new() } } else { Format::Lines };
        let lock = lock.map(str::to_owned);
        let locks = lock.iter().map(|name| LockSpec {
            name: name.clone(),
            config: LockConfig::default(),
            ..LockSpec::default()
        });
        let mut file = FileSpec::new(&place.path, format, "lockkeeper-bench");
        file.set_aside_bytes = place.preallocate;
        let file = AppendSpec {
            name: FILE.to_owned(),
            file,
            requires_lock: lock.clone(),
            durability: lockkeeper::Durability::Written,
        };
        let job = self.runtime.job(JobSpec { locks: locks.collect(), files: vec![file], ..JobSpec::default() })?;
        let grants =
            ProcessSpec { locks: lock.into_iter().collect(), files: vec![FILE.to_owned()], ..ProcessSpec::default() };
        Ok(Group::new(job, &self.lengths, grants))
    }
}
