//! What is ready to run on a shard, and which of it comes next.
//!
//! Two queues, first in, first out. Who used up a slice and holds no lock goes to the low one, and who starts; everybody else to
//! the high one: who was granted a lock or woken, and for its first slices who holds a lock that others may wait for. So a process that only
//! computes does not hold up those that hand a lock on to each other. With one queue each hand-over waits for a whole slice
//! of it, which made it thousands of times slower.
//!
//! Neither starves. After a slice of the low queue the high one gets at least as much time, and then the low one its next
//! slice; and whenever one is empty the other one runs. If more are ready in the high queue than in the low one, it gets as
//! many times more: one that computes for ever has no more of the core than each of those beside it.

use std::collections::VecDeque;
use std::time::Duration;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    High,
    Low,
}

/// The two queues of a shard.
#[derive(Debug)]
pub(super) struct Ready<T> {
    high: VecDeque<T>,
    low: VecDeque<T>,
    /// For how long the high queue still comes first.
    high_first: Duration,
}

/// What the high queue gets at least after a slice of the low one, however short that was: one turn.
const ONE_TURN: Duration = Duration::from_nanos(1);

impl<T> Ready<T> {
    pub(super) fn new() -> Self {
        Self { high: VecDeque::new(), low: VecDeque::new(), high_first: Duration::ZERO }
    }

    /// To the back of a queue.
    pub(super) fn push(&mut self, level: Level, item: T) {
        match level {
            Level::High => self.high.push_back(item),
            Level::Low => self.low.push_back(item),
        }
    }

    /// Takes the next one, and says from which queue.
    pub(super) fn pop(&mut self) -> Option<(Level, T)> {
        let low_first = self.high_first.is_zero() && !self.low.is_empty();
        if !low_first && let Some(item) = self.high.pop_front() {
            return Some((Level::High, item));
        }
        Some((Level::Low, self.low.pop_front()?))
    }

    /// One of these queues has had the core for so long. Of the low queue it is told after each slice, when who had it is back
    /// in a queue; of the high queue now and then.
    pub(super) fn ran(&mut self, level: Level, time: Duration) {
        self.high_first = match level {
            Level::High => self.high_first.saturating_sub(time),
            Level::Low => {
                let count = |queue: &VecDeque<T>| u32::try_from(queue.len()).unwrap_or(u32::MAX);
                let in_proportion = time.saturating_mul(count(&self.high)) / count(&self.low).max(1);
                in_proportion.max(time).max(ONE_TURN)
            }
        };
    }

    /// How many are in the high queue.
    pub(super) fn high_len(&self) -> usize {
        self.high.len()
    }

    /// Whether nobody is ready.
    pub(super) fn is_empty(&self) -> bool {
        self.high.is_empty() && self.low.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Level::{High, Low};
    use super::*;

    const SLICE: Duration = Duration::from_millis(1);

    fn ready(high: &[char], low: &[char]) -> Ready<char> {
        let mut ready = Ready::new();
        high.iter().for_each(|item| ready.push(High, *item));
        low.iter().for_each(|item| ready.push(Low, *item));
        ready
    }

    #[test]
    fn high_comes_first_while_it_has_time_left_and_both_are_in_order() {
        let mut ready = ready(&['a', 'b'], &['x', 'y']);
        ready.ran(Low, SLICE);
        let order: Vec<_> = std::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(order, [(High, 'a'), (High, 'b'), (Low, 'x'), (Low, 'y')]);
    }

    #[test]
    fn low_comes_after_as_much_time_of_the_high_one_as_its_last_slice_took() {
        let mut ready = ready(&['a', 'b', 'c'], &['x', 'y', 'z']);
        ready.ran(Low, SLICE);
        assert_eq!(ready.pop(), Some((High, 'a')));
        ready.ran(High, SLICE / 2);
        assert_eq!(ready.pop(), Some((High, 'b')));
        ready.ran(High, SLICE / 2);
        assert_eq!(ready.pop(), Some((Low, 'x')));
    }

    #[test]
    fn high_has_as_many_slices_as_it_has_more_ready() {
        let mut ready = ready(&['a', 'b', 'c', 'd'], &['x', 'y']);
        ready.ran(Low, SLICE);
        for next in ['a', 'b'] {
            assert_eq!(ready.pop(), Some((High, next)));
            ready.ran(High, SLICE);
        }
        assert_eq!(ready.pop(), Some((Low, 'x')));
    }

    #[test]
    fn high_has_a_turn_between_two_slices_that_took_no_time() {
        let mut ready = ready(&['a', 'b'], &['x', 'y']);
        assert_eq!(ready.pop(), Some((Low, 'x')));
        ready.ran(Low, Duration::ZERO);
        assert_eq!(ready.pop(), Some((High, 'a')));
    }

    #[test]
    fn low_runs_at_once_when_nothing_else_is_ready() {
        let mut ready = ready(&[], &['x']);
        ready.ran(Low, SLICE);
        assert_eq!(ready.pop(), Some((Low, 'x')));
        assert_eq!(ready.pop(), None);
        assert!(ready.is_empty());
    }
}
