//! What is measured of append files, beside whom, and with which budget: records of [`RECORD_BYTES`] for each durability
//! and number of processes, and rows under a lock.

mod disk;
mod native;
mod ours;

use lockkeeper::Placement;

pub(crate) use self::disk::Disk;
use self::ours::{Ours, Row};
use crate::figures::{Budget, Comparison, Unit};
use crate::guests;
use crate::plan::{Lengths, NotMeasured, OURS, Planned, SPREAD};
use crate::python::{FORK, Python};

/// What a record takes in the file, its newline included.
const RECORD_BYTES: usize = 100;

/// How many processes append to one file.
const PROCESSES: [u32; 5] = [1, 4, 16, 64, 256];
/// With how many of them the budget of shared syncs is stated.
const SYNCING: u32 = 64;
/// How many processes append rows under one lock.
const LOCKED: u32 = 4;

const WRITE: &str = "write(2)";
const BUFFER: &str = "BufWriter";
const SYNC_EACH: &str = "write(2), fdatasync each";
const GROUP_THREADS: &str = "group commit, threads";
const GROUP_TASKS: &str = "group commit, tokio tasks";
const BYTES: &str = "ours, as bytes";

/// The ways of `peers/append.py`, and what they are called. The budget holds beside the best, so beside each.
const WAYS: [(&str, &str); 6] = [
    ("flush", "mp.Lock, write+flush"),
    ("flush-bound", "mp.Lock, write+flush, bound"),
    ("raw", "mp.Lock, raw file"),
    ("raw-bound", "mp.Lock, raw file, bound"),
    ("write", "mp.Lock, os.write"),
    ("write-bound", "mp.Lock, os.write, bound"),
];

/// How many records one process appends when it is alone: a fixed number where a window would fill the page cache.
mod alone {
    pub(super) const BUFFERED: u64 = 3_000_000;
    pub(super) const WRITTEN: u64 = 1_000_000;
    /// Enough to see whether it works at all.
    pub(super) const PROBE: u64 = 1;
}

/// What an append waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Buffered,
    Written,
    Synced,
}

impl Durability {
    const ALL: [Self; 3] = [Self::Buffered, Self::Written, Self::Synced];

    fn word(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

/// A record as the native peers write it.
fn record() -> Vec<u8> {
    let mut record = vec![b'x'; RECORD_BYTES];
    record[RECORD_BYTES - 1] = b'\n';
    record
}

/// Everything that takes part.
pub(crate) struct Bench {
    ours: Ours,
    /// What of ours is missing, and why.
    refused: Vec<(Durability, String)>,
    python: Result<Python, String>,
    disk: Disk,
    shards: usize,
    lengths: Lengths,
}

impl Bench {
    pub(crate) fn new(shards: usize, lengths: Lengths, disk: Disk) -> anyhow::Result<Self> {
        guests::build()?;
        let ours = Ours::new(shards, lengths)?;
        let refusal = |durability| Some((durability, ours.refusal(durability, &disk)?));
        let refused = Durability::ALL.into_iter().filter_map(refusal).collect();
        Ok(Self { ours, refused, python: Python::find(), disk, shards, lengths })
    }

    pub(crate) fn plan(&self) -> Vec<Planned<'_>> {
        let mut plan = vec![self.buffered_alone(), self.written_alone()];
        plan.extend(PROCESSES[1..].iter().map(|&processes| self.buffered(processes)));
        plan.extend(PROCESSES[1..].iter().map(|&processes| self.written(processes)));
        plan.extend(PROCESSES.map(|processes| self.synced(processes)));
        plan.push(self.locked_rows());
        plan
    }

    fn buffered_alone(&self) -> Planned<'_> {
        let mut records = self
            .records(Durability::Buffered, 1, || self.ours.alone(Durability::Buffered, alone::BUFFERED, &self.disk));
        records.peer(BUFFER, Some(Budget::AtLeast(0.12)), || native::buffer_alone(alone::BUFFERED, &self.disk));
        records.peer(WRITE, Some(Budget::AtLeast(3.0)), || native::write_alone(alone::WRITTEN, &self.disk));
        records
    }

    fn written_alone(&self) -> Planned<'_> {
        let mut records =
            self.records(Durability::Written, 1, || self.ours.alone(Durability::Written, alone::WRITTEN, &self.disk));
        records.peer(WRITE, Some(Budget::AtLeast(0.7)), || native::write_alone(alone::WRITTEN, &self.disk));
        records
    }

    fn buffered(&self, processes: u32) -> Planned<'_> {
        let mut records = self.records(Durability::Buffered, processes, move || {
            self.ours.rate(Durability::Buffered, processes, &self.disk)
        });
        records.peer(BUFFER, None, move || native::buffer(processes, &self.lengths, &self.disk));
        records
    }

    fn written(&self, processes: u32) -> Planned<'_> {
        let mut records = self.records(Durability::Written, processes, move || {
            self.ours.rate(Durability::Written, processes, &self.disk)
        });
        records.peer(WRITE, None, move || native::write(processes, &self.lengths, &self.disk));
        records
    }

    fn synced(&self, processes: u32) -> Planned<'_> {
        let (lengths, disk) = (&self.lengths, &self.disk);
        let budget = (processes == SYNCING).then_some(Budget::AtLeast(0.8));
        let mut records =
            self.records(Durability::Synced, processes, move || self.ours.rate(Durability::Synced, processes, disk));
        records.peer(SYNC_EACH, None, move || native::sync_each(processes, lengths, disk));
        if processes > 1 {
            records.peer(GROUP_THREADS, budget, move || native::group_commit_threads(processes, lengths, disk));
            let shards = self.shards;
            records.peer(GROUP_TASKS, budget, move || native::group_commit_tasks(processes, shards, lengths, disk));
        }
        records
    }

    /// A cell with ours in it, if this durability is there.
    fn records<'a>(
        &'a self,
        durability: Durability,
        processes: u32,
        ours: impl Fn() -> anyhow::Result<f64> + 'a,
    ) -> Planned<'a> {
        let what = if processes == 1 { "process" } else { "processes" };
        let mut records = Planned::new(format!("{}, {processes} {what}", durability.word()), Unit::PerSecond);
        if self.refused.iter().all(|(refused, _)| *refused != durability) {
            records.subject(OURS, ours);
        }
        records
    }

    fn locked_rows(&self) -> Planned<'_> {
        let rows = |row, placement| move || self.ours.locked_rows(row, LOCKED, placement, &self.disk);
        let mut cell = Planned::new(format!("locked rows, {LOCKED} processes"), Unit::PerSecond);
        cell.subject(OURS, rows(Row::Fields, Placement::Home));
        cell.subject(BYTES, rows(Row::Bytes, Placement::Home));
        cell.subject(SPREAD, rows(Row::Fields, Placement::Spread));
        if let Ok(python) = &self.python {
            for (way, who) in WAYS {
                cell.peer(who, Some(Budget::AtLeast(2.0)), move || {
                    let place = self.disk.place()?;
                    python.locked_rows(FORK, way, &place.path, LOCKED, &self.lengths)
                });
                cell.cell.comparisons.push(Comparison { ours: BYTES, peer: who, budget: None });
            }
        }
        cell
    }

    /// What is missing here.
    pub(crate) fn not_measured(&self) -> Vec<NotMeasured> {
        let refused = self.refused.iter().map(|(durability, why)| NotMeasured {
            what: format!("ours, {}, and the budgets of it", durability.word()),
            why: why.clone(),
        });
        let python = self.python.as_ref().err().map(|why| NotMeasured {
            what: "rows under mp.Lock, and the budget beside them".to_owned(),
            why: why.clone(),
        });
        refused.chain(python).collect()
    }

    /// What belongs to these figures and to no others.
    pub(crate) fn notes(&self) -> Vec<String> {
        let ahead = match self.disk.preallocate() {
            0 => "nobody allocates anything ahead".to_owned(),
            bytes => format!("those that sync, ours and the native peers, allocate {bytes} bytes ahead at a time"),
        };
        vec![
            format!("records of {RECORD_BYTES} bytes, each figure with a new file, on {}", self.disk.file_system()),
            ahead,
            format!(
                "one process appends {} records (buffered) or {} (written); all other figures are counted in windows",
                alone::BUFFERED,
                alone::WRITTEN
            ),
        ]
    }

    /// The interpreter of the Python peers.
    pub(crate) fn python_version(&self) -> Option<&str> {
        self.python.as_ref().ok().map(Python::version)
    }
}
