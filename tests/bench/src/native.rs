//! The native peers: `parking_lot` on threads, and tokio's fair semaphore of one permit in tasks.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, oneshot};

use crate::figures::Figure;
use crate::plan::Lengths;
use crate::tally::Tally;

/// Nanoseconds per pair of one thread.
pub(crate) fn parking_lot_pair(lengths: &Lengths) -> f64 {
    let lock = Mutex::new(0_u64);
    let work = || {
        for _ in 0..lengths.pairs {
            *std::hint::black_box(&lock).lock() += 1;
        }
    };
    work();
    let begun = Instant::now();
    work();
    per_pair(begun, lengths)
}

/// Pairs per second of so many threads.
pub(crate) fn parking_lot_contended(threads: u32, lengths: &Lengths) -> f64 {
    let (lock, tally) = (Mutex::new(()), Tally::default());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                tally.begin();
                while !tally.stopped() {
                    let _held = lock.lock();
                    tally.count_one();
                }
            });
        }
        tally.wait_for_start_of(threads);
        tally.rate(lengths)
    })
}

/// Nanoseconds per pair of one task.
pub(crate) fn tokio_pair(lengths: &Lengths) -> anyhow::Result<f64> {
    let runtime = one_worker()?;
    runtime.block_on(async {
        let lock = Semaphore::new(1);
        for _ in 0..lengths.pairs / 10 {
            drop(lock.acquire().await?);
        }
        let begun = Instant::now();
        for _ in 0..lengths.pairs {
            drop(lock.acquire().await?);
        }
        Ok(per_pair(begun, lengths))
    })
}

/// Pairs per second of so many tasks that begin to queue whenever they come.
pub(crate) fn tokio_contended(tasks: u32, workers: usize, lengths: &Lengths) -> anyhow::Result<Figure> {
    rate(vec![many_workers(workers)?], tasks, lengths, Start::Free)
}

/// Hand-overs per second of so many queued tasks on one thread.
pub(crate) fn tokio_hand_overs_on_one(tasks: u32, lengths: &Lengths) -> anyhow::Result<Figure> {
    rate(vec![one_worker()?], tasks, lengths, Start::Queued)
}

/// Hand-overs per second of so many queued tasks over so many threads, among which the runtime moves them.
pub(crate) fn tokio_hand_overs_spread(tasks: u32, workers: usize, lengths: &Lengths) -> anyhow::Result<Figure> {
    rate(vec![many_workers(workers)?], tasks, lengths, Start::Queued)
}

/// Hand-overs per second of so many queued tasks that stay on so many threads, neighbours of the first queue on
/// different ones. The order does not stay so: now and then the runtime makes a task wait that has done much.
pub(crate) fn tokio_hand_overs_apart(tasks: u32, workers: usize, lengths: &Lengths) -> anyhow::Result<Figure> {
    let runtimes: anyhow::Result<Vec<Runtime>> = (0..workers).map(|_| one_worker()).collect();
    rate(runtimes?, tasks, lengths, Start::Queued)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Free,
    /// Nobody gets the permit before all have asked for it, in the order in which they are numbered.
    Queued,
}

/// The main thread measures; each runtime is driven by a thread of its own, as a shard is. Tasks go to the runtimes in
/// turn.
fn rate(runtimes: Vec<Runtime>, tasks: u32, lengths: &Lengths, start: Start) -> anyhow::Result<Figure> {
    let lock = Arc::new(Semaphore::new(1));
    let tally = Arc::new(Tally::default());
    let first = match start {
        Start::Free => None,
        Start::Queued => Some(lock.clone().try_acquire_owned().context("nobody has the permit yet")?),
    };
    let handles: Vec<Handle> = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
    let mut drivers = Vec::new();
    for runtime in runtimes {
        let (end, ended) = oneshot::channel::<()>();
        drivers.push((end, thread::spawn(move || drop(runtime.block_on(ended)))));
    }
    for (number, runtime) in (1..=tasks).zip(handles.iter().cycle()) {
        let (lock, mine) = (lock.clone(), tally.clone());
        let task = runtime.spawn(async move {
            mine.begin();
            while !mine.stopped() {
                let _held = lock.acquire().await.expect("the semaphore is never closed");
                mine.count_one_here();
            }
        });
        // It ends with its runtime.
        drop(task);
        if start == Start::Queued {
            tally.wait_for_start_of(number);
        }
    }
    tally.wait_for_start_of(tasks);
    drop(first);
    let figure = tally.rate_and_crossed(lengths);
    for (end, driver) in drivers {
        drop(end);
        driver.join().ok().context("a thread of the peer panicked")?;
    }
    Ok(figure)
}

fn one_worker() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().build()?)
}

pub(crate) fn many_workers(workers: usize) -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(workers).build()?)
}

fn per_pair(begun: Instant, lengths: &Lengths) -> f64 {
    begun.elapsed().as_nanos() as f64 / lengths.pairs as f64
}
