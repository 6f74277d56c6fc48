//! The time as of the last tick: for what does not depend on a millisecond, at a fraction of the cost of reading the clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockkeeper_locks::Now;

static START: OnceLock<Instant> = OnceLock::new();
static SINCE_START_NS: AtomicU64 = AtomicU64::new(0);

/// Notes what time it is. The ticker does, as long as any process lives.
pub(crate) fn tick() {
    let start = *START.get_or_init(Instant::now);
    let since = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    SINCE_START_NS.fetch_max(since, Ordering::Relaxed);
}

/// The time of a call of a guest: as of the last tick, or exact where somebody waits.
pub(crate) fn now() -> Now {
    match START.get() {
        Some(start) => Now::coarse(*start + Duration::from_nanos(SINCE_START_NS.load(Ordering::Relaxed)), Instant::now),
        None => Instant::now().into(),
    }
}
