//! The native peers: the same loops in threads and tasks of Rust, each writing to a file opened to append.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use super::disk::{Ahead, Disk};
use super::{RECORD_BYTES, record};
use crate::figures::Figure;
use crate::native::many_workers;
use crate::plan::Lengths;
use crate::tally::Tally;

/// Why a thread of a peer may panic: the figure would mean nothing.
const DISK: &str = "the disk takes what is measured";

/// Records per second of one thread, a write(2) each.
pub(super) fn write_alone(count: u64, disk: &Disk) -> anyhow::Result<f64> {
    let place = disk.place()?;
    let mut file = place.create()?;
    Ok(alone(count, |record| file.write_all(record))?)
}

/// Records per second of one thread through std's buffer.
pub(super) fn buffer_alone(count: u64, disk: &Disk) -> anyhow::Result<f64> {
    let place = disk.place()?;
    let mut file = BufWriter::new(place.create()?);
    Ok(alone(count, |record| file.write_all(record))?)
}

/// After a tenth as many that do not count, as with ours.
fn alone(count: u64, mut append: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<f64> {
    let record = record();
    for _ in 0..count / 10 {
        append(&record)?;
    }
    let begun = Instant::now();
    for _ in 0..count {
        append(std::hint::black_box(&record))?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Records per second of so many threads, a write(2) each, which the kernel puts one after the other.
pub(super) fn write(threads: u32, lengths: &Lengths, disk: &Disk) -> anyhow::Result<f64> {
    let place = disk.place()?;
    let file = place.create()?;
    reached_file(threads, lengths, &file, |record| (&file).write_all(record))
}

/// Records per second of so many threads through one of std's buffers, under a lock.
pub(super) fn buffer(threads: u32, lengths: &Lengths, disk: &Disk) -> anyhow::Result<f64> {
    let place = disk.place()?;
    let file = place.create()?;
    let buffer = Mutex::new(BufWriter::new(file.try_clone()?));
    reached_file(threads, lengths, &file, |record| buffer.lock().write_all(record))
}

/// Records per second of so many threads, a write and a sync of its own each.
pub(super) fn sync_each(threads: u32, lengths: &Lengths, disk: &Disk) -> anyhow::Result<f64> {
    let place = disk.place()?;
    let file = place.create()?;
    let ahead = Mutex::new(disk.ahead());
    reached_file(threads, lengths, &file, |record| {
        let mut ahead = ahead.lock();
        ahead.of_next(&file)?;
        (&file).write_all(record)?;
        drop(ahead);
        file.sync_data()
    })
}

/// Counts by the length of the file, so that the count costs those who are measured nothing.
fn reached_file(
    threads: u32,
    lengths: &Lengths,
    file: &File,
    append: impl Fn(&[u8]) -> io::Result<()> + Sync,
) -> anyhow::Result<f64> {
    let (tally, record) = (Tally::default(), record());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                tally.begin();
                while !tally.stopped() {
                    append(&record).expect(DISK);
                }
            });
        }
        tally.wait_for_start_of(threads);
        tally.rate_of(lengths, || Ok(file.metadata()?.len() / RECORD_BYTES as u64))
    })
}

/// What has been written, and how much of it synced.
struct Written {
    ahead: Ahead,
    records: u64,
    synced: u64,
    syncing: bool,
    syncs: u64,
}

impl Written {
    fn new(disk: &Disk) -> Mutex<Self> {
        Mutex::new(Self { ahead: disk.ahead(), records: 0, synced: 0, syncing: false, syncs: 0 })
    }

    /// Writes a record; its number, from 1.
    fn append(&mut self, file: &File, record: &[u8]) -> u64 {
        self.ahead.of_next(file).expect(DISK);
        { file }.write_all(record).expect(DISK);
        self.records += 1;
        self.records
    }

    /// The next sync, if none runs: up to which record.
    fn lead(&mut self) -> Option<u64> {
        (!std::mem::replace(&mut self.syncing, true)).then_some(self.records)
    }

    fn led(&mut self, up_to: u64) {
        self.syncing = false;
        self.synced = up_to;
        self.syncs += 1;
    }

    /// Whether a sync served many.
    fn figure(&self, value: f64) -> Figure {
        Figure { value, share: Some(("as many syncs as records", self.syncs as f64 / self.records as f64)) }
    }
}

/// Records per second of so many threads that share syncs: one that waits and finds none running makes the next, for
/// all that is written by then; those who come while it runs wait for the one after it.
pub(super) fn group_commit_threads(threads: u32, lengths: &Lengths, disk: &Disk) -> anyhow::Result<Figure> {
    let place = disk.place()?;
    let (file, record) = (place.create()?, record());
    let (written, covered, tally) = (Written::new(disk), Condvar::new(), Tally::default());
    let append = || {
        let mut written = written.lock();
        let mine = written.append(&file, &record);
        while written.synced < mine {
            match written.lead() {
                None => covered.wait(&mut written),
                Some(up_to) => {
                    MutexGuard::unlocked(&mut written, || file.sync_data()).expect(DISK);
                    written.led(up_to);
                    covered.notify_all();
                }
            }
        }
        tally.count_one();
    };
    let rate = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                tally.begin();
                while !tally.stopped() {
                    append();
                }
            });
        }
        tally.wait_for_start_of(threads);
        tally.rate(lengths)
    });
    Ok(written.lock().figure(rate))
}

/// What the tasks of a peer share.
struct Shared {
    file: Arc<File>,
    record: Vec<u8>,
    written: Mutex<Written>,
    covered: Notify,
    tally: Tally,
}

/// The same of so many tasks of one tokio runtime, which syncs on a thread for what blocks.
pub(super) fn group_commit_tasks(tasks: u32, workers: usize, lengths: &Lengths, disk: &Disk) -> anyhow::Result<Figure> {
    let place = disk.place()?;
    let shared = Arc::new(Shared {
        file: Arc::new(place.create()?),
        record: record(),
        written: Written::new(disk),
        covered: Notify::new(),
        tally: Tally::default(),
    });
    let runtime = many_workers(workers)?;
    let started: Vec<_> = (0..tasks)
        .map(|_| {
            let shared = shared.clone();
            runtime.spawn(async move {
                shared.tally.begin();
                while !shared.tally.stopped() {
                    shared.append().await;
                }
            })
        })
        .collect();
    shared.tally.wait_for_start_of(tasks);
    let rate = shared.tally.rate(lengths);
    runtime.block_on(async {
        for task in started {
            task.await?;
        }
        anyhow::Ok(())
    })?;
    Ok(shared.written.lock().figure(rate))
}

impl Shared {
    async fn append(&self) {
        let mine = self.written.lock().append(&self.file, &self.record);
        loop {
            // Made before the look, so that no end of a sync after the look is missed.
            let covered = pin!(self.covered.notified());
            let lead = {
                let mut written = self.written.lock();
                if written.synced >= mine {
                    self.tally.count_one();
                    return;
                }
                written.lead()
            };
            let Some(up_to) = lead else {
                covered.await;
                continue;
            };
            let file = self.file.clone();
            let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
            synced.expect("a sync does not panic").expect(DISK);
            self.written.lock().led(up_to);
            self.covered.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_leads_while_a_sync_runs_and_the_next_one_covers_what_came_meanwhile() {
        let disk = Disk::new(None, 0).expect("the build directory takes files");
        let place = disk.place().expect("the build directory takes files");
        let file = place.create().expect("the build directory takes files");
        let mut written = Written::new(&disk).into_inner();
        assert_eq!(written.append(&file, &record()), 1);
        assert_eq!(written.lead(), Some(1));
        assert_eq!(written.append(&file, &record()), 2);
        assert_eq!(written.lead(), None);
        written.led(1);
        assert_eq!((written.synced, written.lead()), (1, Some(2)));
    }
}
