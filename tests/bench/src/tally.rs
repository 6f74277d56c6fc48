//! What peers count under their lock, and when they stop.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::Figure;
use crate::plan::Lengths;

/// One per measurement.
#[derive(Default)]
pub(crate) struct Tally {
    count: AtomicU64,
    /// Of those, how many came from another thread than the one before.
    crossed: AtomicU64,
    last: AtomicU64,
    started: AtomicU32,
    stop: AtomicBool,
}

/// The number of this thread, from 1.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static THIS: Cell<u64> = const { Cell::new(0) };
    }
    THIS.with(|this| {
        if this.get() == 0 {
            this.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        this.get()
    })
}

impl Tally {
    /// Counts one. The caller holds the lock, so this needs no atomic step.
    pub(crate) fn count_one(&self) {
        add_one(&self.count);
    }

    /// Counts one, and whether it came from another thread.
    pub(crate) fn count_one_here(&self) {
        self.count_one();
        let here = this_thread();
        if self.last.load(Ordering::Relaxed) != here {
            self.last.store(here, Ordering::Relaxed);
            add_one(&self.crossed);
        }
    }

    /// Whether all are to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One has begun.
    pub(crate) fn begin(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether so many have begun.
    pub(crate) fn have_started(&self, count: u32) -> bool {
        self.started.load(Ordering::Relaxed) >= count
    }

    /// Waits until so many have begun.
    pub(crate) fn wait_for_start_of(&self, count: u32) {
        while !self.have_started(count) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Counts per second after a warm-up; then all are to stop.
    pub(crate) fn rate(&self, lengths: &Lengths) -> f64 {
        self.rate_and_crossed(lengths).value
    }

    /// As [`Tally::rate`], of what is counted elsewhere.
    pub(crate) fn rate_of(&self, lengths: &Lengths, count: impl Fn() -> anyhow::Result<u64>) -> anyhow::Result<f64> {
        let rate = rate_of(lengths, count);
        self.stop.store(true, Ordering::Relaxed);
        rate
    }

    /// [`Tally::rate`], and the part that came from another thread than the one before.
    pub(crate) fn rate_and_crossed(&self, lengths: &Lengths) -> Figure {
        let look = || (self.count.load(Ordering::Relaxed), self.crossed.load(Ordering::Relaxed));
        thread::sleep(lengths.warm_up);
        let (begun, (count_before, crossed_before)) = (Instant::now(), look());
        thread::sleep(lengths.window);
        let (took, (count, crossed)) = (begun.elapsed(), look());
        self.stop.store(true, Ordering::Relaxed);
        let counted = (count - count_before) as f64;
        Figure {
            value: counted / took.as_secs_f64(),
            share: Some(("went to another thread", (crossed - crossed_before) as f64 / counted)),
        }
    }
}

/// Counts per second between two looks after a warm-up.
pub(crate) fn rate_of(lengths: &Lengths, count: impl Fn() -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    thread::sleep(lengths.warm_up);
    let (before, begun) = (count()?, Instant::now());
    thread::sleep(lengths.window);
    let (after, took) = (count()?, begun.elapsed());
    Ok((after - before) as f64 / took.as_secs_f64())
}

fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
