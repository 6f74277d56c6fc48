//! Figures, their spread, and what a budget says about a ratio of two.

use serde::Serialize;

/// One thing that is measured, for us and for each peer.
#[derive(Serialize)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) series: Vec<Series>,
    pub(crate) comparisons: Vec<Comparison>,
}

/// The figures of one subject, one per round.
#[derive(Serialize)]
pub(crate) struct Series {
    pub(crate) who: &'static str,
    pub(crate) samples: Vec<f64>,
    /// Parts of what was counted that say whether the figure means what it should, one per round.
    pub(crate) shares: Vec<(&'static str, f64)>,
}

/// What one measurement came to.
pub(crate) struct Figure {
    pub(crate) value: f64,
    /// A part of what was counted, and what is special about it.
    pub(crate) share: Option<(&'static str, f64)>,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, share: None }
    }
}

impl Series {
    pub(crate) fn new(who: &'static str) -> Self {
        Self { who, samples: Vec::new(), shares: Vec::new() }
    }

    pub(crate) fn push(&mut self, figure: &Figure) {
        self.samples.push(figure.value);
        self.shares.extend(figure.share);
    }
}

/// What the figures are.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    NanosecondsPerPair,
    PerSecond,
    MicrosecondsEach,
    KibibytesEach,
}

/// One of ours beside one peer: ours divided by the peer's.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Comparison {
    pub(crate) ours: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) budget: Option<Budget>,
}

/// What a ratio must be.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

impl Budget {
    pub(crate) fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(bound) => ratio <= bound,
            Self::AtLeast(bound) => ratio >= bound,
        }
    }
}

/// The middle of some figures, and how far they reach.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of nothing.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, min, max })
    }
}

impl Cell {
    /// A ratio per round.
    pub(crate) fn ratios(&self, comparison: Comparison) -> Vec<f64> {
        let samples =
            |who| self.series.iter().find(|series| series.who == who).map_or(&[][..], |series| &series.samples);
        samples(comparison.ours).iter().zip(samples(comparison.peer)).map(|(ours, peer)| ours / peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_count_lies_between_the_middle_two() {
        let spread = Spread::of(&[4.0, 1.0, 2.0, 8.0]).expect("there are figures");
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 8.0));
        let spread = Spread::of(&[2.0, 9.0, 1.0]).expect("there are figures");
        assert_eq!(spread.median, 2.0);
        assert!(Spread::of(&[]).is_none());
    }

    #[test]
    fn ratio_is_taken_within_a_round() {
        let comparison = Comparison { ours: "ours", peer: "peer", budget: Some(Budget::AtLeast(1.0)) };
        let series = |who, samples: &[f64]| Series { samples: samples.to_vec(), ..Series::new(who) };
        let cell = Cell {
            name: "pairs".to_owned(),
            unit: Unit::PerSecond,
            series: vec![series("ours", &[1.0, 6.0]), series("peer", &[2.0, 3.0])],
            comparisons: vec![comparison],
        };
        assert_eq!(cell.ratios(comparison), [0.5, 2.0]);
        assert!(Budget::AtLeast(1.0).is_met(1.0) && !Budget::AtLeast(1.0).is_met(0.99));
        assert!(Budget::AtMost(1.5).is_met(1.5) && !Budget::AtMost(1.5).is_met(1.51));
    }
}
