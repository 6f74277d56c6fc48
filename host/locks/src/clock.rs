//! The time of a call, as exact as it has to be.

use std::time::Instant;

/// When a call is made.
///
/// Reading the clock costs about as much as the rest of a lock that nobody else wants. So a caller may give a coarse time
/// that it has at hand; the clock is read only where somebody waits, and fairness and deadlines depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    coarse: Instant,
    exact: Option<fn() -> Instant>,
}

impl Now {
    /// A time that may be a little in the past, and how to read the clock if that is too coarse.
    #[must_use]
    pub const fn coarse(coarse: Instant, exact: fn() -> Instant) -> Self {
        Self { coarse, exact: Some(exact) }
    }

    pub(crate) fn exact(self) -> Instant {
        self.exact.map_or(self.coarse, |exact| exact())
    }

    pub(crate) fn about(self) -> Instant {
        self.coarse
    }
}

/// A time that is exact already.
impl From<Instant> for Now {
    fn from(now: Instant) -> Self {
        Self { coarse: now, exact: None }
    }
}
