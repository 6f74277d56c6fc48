//! The monotonic clock of a job's processes.

use std::time::Instant;

use wasmtime_wasi::HostMonotonicClock;

/// One for all of them, as programs of one machine have it: a time that one process has read means the same to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobClock {
    begun: Instant,
}

impl Default for JobClock {
    fn default() -> Self {
        Self { begun: Instant::now() }
    }
}

impl HostMonotonicClock for JobClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
