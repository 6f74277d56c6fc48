//! How far a run has come, for the bar on the terminal.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What has ended so far. What was skipped took no time, so it says nothing of how long the rest will take.
#[derive(Debug, Default)]
pub(super) struct Progress {
    total: u64,
    skipped: AtomicU64,
    well: AtomicU64,
    failed: AtomicU64,
    begun: OnceLock<Instant>,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// The first process is about to be started; so many need not be.
    pub(super) fn begin(&self, skipped: u64) {
        self.skipped.store(skipped, Ordering::Relaxed);
        // Only the first time counts.
        let _ = self.begun.set(Instant::now());
    }

    /// One is over for good.
    pub(super) fn ended(&self, well: bool) {
        if well { &self.well } else { &self.failed }.fetch_add(1, Ordering::Relaxed);
    }

    /// The line beside the bar.
    pub(super) fn text(&self) -> String {
        let elapsed = self.begun.get().map(Instant::elapsed).unwrap_or_default();
        self.text_after(elapsed)
    }

    fn text_after(&self, elapsed: Duration) -> String {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (skipped, well, failed) = (load(&self.skipped), load(&self.well), load(&self.failed));
        let ended = well + failed;
        let left = self.total.saturating_sub(skipped + ended);
        let mut text = format!("{}/{} processes", skipped + ended, self.total);
        for (count, what) in [(failed, "failed"), (skipped, "skipped")] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text.push_str(&format!(", {} gone", seconds(elapsed)));
        match eta(elapsed, ended, left) {
            Some(eta) => text.push_str(&format!(", about {} to go", seconds(eta))),
            None => text.push_str(", time to go not known yet"),
        }
        text
    }
}

/// How long so many more take at the rate of those that have ended; none before the first has.
fn eta(elapsed: Duration, ended: u64, left: u64) -> Option<Duration> {
    let nanos = elapsed.as_nanos().checked_mul(u128::from(left))?.checked_div(u128::from(ended))?;
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

fn seconds(time: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(time.as_secs_f64().round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_says_nothing_of_how_long_the_rest_takes() {
        let progress = Progress::new(100);
        progress.begin(50);
        assert_eq!(
            progress.text_after(Duration::from_secs(3)),
            "50/100 processes, 50 skipped, 3s gone, time to go not known yet"
        );
        (0..9).for_each(|_| progress.ended(true));
        progress.ended(false);
        assert_eq!(
            progress.text_after(Duration::from_secs(20)),
            "60/100 processes, 1 failed, 50 skipped, 20s gone, about 1m 20s to go"
        );
    }

    #[test]
    fn at_the_end_nothing_is_to_go() {
        let progress = Progress::new(2);
        progress.begin(0);
        (0..2).for_each(|_| progress.ended(true));
        assert_eq!(progress.text_after(Duration::from_secs(5)), "2/2 processes, 5s gone, about 0s to go");
    }
}
