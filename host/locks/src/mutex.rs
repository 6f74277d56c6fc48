//! A mutex: one owner at a time, once.

use crate::holds::Hold;
use crate::rule::Again;

/// An owner that has it and asks for it again would wait for itself.
pub(crate) fn again(_: &Hold) -> Again {
    Again::Deadlock
}
