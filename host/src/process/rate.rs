//! How many bytes a process may print in a second.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A process that has printed all it may is let go on once there is room for so much, and not for each byte.
const WAKE_BYTES: u64 = 4 << 10;

/// What a process may print now, filled up as time passes to what it may print in a second. Both its streams share it.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: u64,
    filled: Instant,
}

impl Rate {
    pub(crate) fn new(per_second: NonZeroU64, now: Instant) -> Arc<Self> {
        let per_second = per_second.get();
        Arc::new(Self { per_second, state: Mutex::new(State { left: per_second, filled: now }) })
    }

    /// How many bytes may be printed at `now`; 0 if it has to be waited first.
    pub(crate) fn left(&self, now: Instant) -> u64 {
        self.fill(now, |state| if state.left < self.worth_waking() { 0 } else { state.left })
    }

    /// So many bytes are printed: as many as there were left, or fewer.
    pub(crate) fn take(&self, bytes: u64, now: Instant) {
        self.fill(now, |state| state.left = state.left.saturating_sub(bytes));
    }

    /// How long it takes from `now` on until something may be printed.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let missing = self.fill(now, |state| self.worth_waking().saturating_sub(state.left));
        Duration::from_secs_f64(missing as f64 / self.per_second as f64)
    }

    fn worth_waking(&self) -> u64 {
        WAKE_BYTES.min(self.per_second)
    }

    fn fill<T>(&self, now: Instant, then: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = now.saturating_duration_since(state.filled);
        let more = (gone.as_secs_f64() * self.per_second as f64) as u64;
        // A time in which not a whole byte came is not lost: it is counted from the same moment the next time.
        if more > 0 {
            state.left = state.left.saturating_add(more).min(self.per_second);
            state.filled = now;
        }
        then(&mut state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_a_second_of_bytes_and_no_more() {
        let now = Instant::now();
        let rate = Rate::new(NonZeroU64::new(10_000).expect("not zero"), now);
        assert_eq!((rate.left(now), rate.wait(now)), (10_000, Duration::ZERO));
        rate.take(10_000, now);
        assert_eq!(rate.left(now), 0);
        let wait = rate.wait(now);
        assert_eq!(wait, Duration::from_secs_f64(0.4096));
        assert_eq!(rate.left(now + wait / 2), 0, "too little to wake anybody for");
        assert!(rate.left(now + wait + Duration::from_micros(200)) >= WAKE_BYTES);
        assert_eq!(rate.left(now + Duration::from_secs(60)), 10_000);
    }

    #[test]
    fn a_small_rate_is_waited_for_as_a_whole() {
        let now = Instant::now();
        let rate = Rate::new(NonZeroU64::new(10).expect("not zero"), now);
        rate.take(10, now);
        assert_eq!(rate.wait(now), Duration::from_secs(1));
    }
}
