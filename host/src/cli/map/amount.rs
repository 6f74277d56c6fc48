//! A number, or a share of one, as `-j` and `--halt` take it.

use std::num::NonZeroU32;

/// A number of things, or a percentage of those there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// So many.
    Count(NonZeroU32),
    /// So many of a hundred.
    Percent(NonZeroU32),
}

impl Amount {
    /// Reads `3` or `50%`; none for anything else, and for nothing of anything.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The number parser would take a sign.
        let number = |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()));
        match text.strip_suffix('%') {
            Some(percent) => number(percent).map(Self::Percent),
            None => number(text).map(Self::Count),
        }
    }

    /// Whether so many of `total` are at least this.
    pub(super) fn is_reached(self, count: usize, total: usize) -> bool {
        match self {
            Self::Count(needed) => count as u64 >= u64::from(needed.get()),
            Self::Percent(percent) => count as u128 * 100 >= total as u128 * u128::from(percent.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_percentage_is_read_and_nothing_else() {
        let count = |count| NonZeroU32::new(count).map(Amount::Count);
        let percent = |percent| NonZeroU32::new(percent).map(Amount::Percent);
        assert_eq!([Amount::parse("3"), Amount::parse("007")], [count(3), count(7)]);
        assert_eq!([Amount::parse("50%"), Amount::parse("250%")], [percent(50), percent(250)]);
        for bad in ["", "%", "0", "0%", "-1", "+1", "1.5%", "3 %", "3%%", "x", "99999999999"] {
            assert_eq!(Amount::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_share_is_reached_by_the_first_whole_thing_that_is_as_much() {
        let third = Amount::parse("33%").expect("it is one");
        assert_eq!([0, 1, 2].map(|count| third.is_reached(count, 4)), [false, false, true]);
        assert!(Amount::parse("100%").expect("it is one").is_reached(4, 4));
        assert!(!Amount::parse("5").expect("it is one").is_reached(4, 4));
    }
}
