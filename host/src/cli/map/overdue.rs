//! `--timeout N%`: a time limit that comes from how long the others took.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

/// Below this, a median is the chance of who came first.
const SAMPLES_MIN: usize = 3;

/// The last so many count: enough for a median, and no more memory or time for a million processes than for these.
const SAMPLES_MAX: usize = 1_001;

/// A limit in percent of the median run time of those that have ended well.
#[derive(Debug)]
pub(in crate::cli) struct MedianLimit {
    percent: NonZeroU32,
    /// How long each of them ran, as they ended.
    recent: VecDeque<Duration>,
    /// The same, the shortest first.
    sorted: Vec<Duration>,
}

impl MedianLimit {
    pub(in crate::cli) fn new(percent: NonZeroU32) -> Self {
        Self { percent, recent: VecDeque::new(), sorted: Vec::new() }
    }

    /// One more has ended well.
    pub(in crate::cli) fn note(&mut self, lived: Duration) {
        if self.recent.len() >= SAMPLES_MAX
            && let Some(oldest) = self.recent.pop_front()
            && let Ok(place) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(place);
        }
        self.recent.push_back(lived);
        let place = self.sorted.partition_point(|other| *other <= lived);
        self.sorted.insert(place, lived);
    }

    /// How long a process may take, by what is known now; none while that is too little. In whole milliseconds: it is
    /// told to people.
    pub(in crate::cli) fn limit(&self) -> Option<Duration> {
        let median = self.sorted.get(self.sorted.len() / 2).filter(|_| self.sorted.len() >= SAMPLES_MIN)?;
        let nanos = median.as_nanos() * u128::from(self.percent.get()) / 100;
        let millis = u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Some(Duration::from_millis(millis.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_have_to_end_before_there_is_a_limit_and_then_it_follows_the_median() {
        let mut limit = MedianLimit::new(NonZeroU32::new(200).expect("not zero"));
        let mut after = |millis| {
            limit.note(Duration::from_millis(millis));
            limit.limit().map(|limit| limit.as_millis())
        };
        assert_eq!([after(900), after(10)], [None, None]);
        assert_eq!([after(30), after(20), after(20)], [Some(60), Some(60), Some(40)]);
    }

    #[test]
    fn the_last_thousand_count_and_not_those_before() {
        let mut limit = MedianLimit::new(NonZeroU32::new(100).expect("not zero"));
        (0..2_000).for_each(|_| limit.note(Duration::from_secs(9)));
        (0..SAMPLES_MAX).for_each(|_| limit.note(Duration::from_millis(5)));
        assert_eq!((limit.limit(), limit.sorted.len()), (Some(Duration::from_millis(5)), SAMPLES_MAX));
    }

    #[test]
    fn a_limit_is_at_least_a_millisecond() {
        let mut limit = MedianLimit::new(NonZeroU32::MIN);
        (0..3).for_each(|_| limit.note(Duration::from_nanos(5)));
        assert_eq!(limit.limit(), Some(Duration::from_millis(1)));
    }
}
