//! Softmax regression: one linear score for each digit, learnt by mini-batch gradient descent.
//!
//! Everything is done in a fixed order on `f64`, so the same data, settings and seed give the same model bit for bit.

use crate::digits::{CLASSES, Digit, PIXELS};
use crate::random::SplitMix64;

/// Weights of a model.
pub const WEIGHTS: usize = CLASSES * (PIXELS + 1);

/// Weights of one class: one for each pixel, and the bias last.
type Weights = [f64; PIXELS + 1];

/// How to learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The length of a step along the gradient.
    pub rate: f64,
    /// Rows whose mean gradient makes a step; at least 1.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rate: 0.5, batch: 8 }
    }
}

/// How well a model does on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The mean cross-entropy in nats: 0 is perfect, 2.303 (the logarithm of 10) is a guess.
    pub loss: f64,
    /// The share of rows whose likeliest digit is the right one, 0..=1.
    pub accuracy: f64,
}

/// The model. It begins with zeros: the loss is convex, so nothing is gained by beginning elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    weights: [Weights; CLASSES],
}

impl Default for Model {
    fn default() -> Self {
        Self { weights: [[0.0; PIXELS + 1]; CLASSES] }
    }
}

impl Model {
    /// The model of these weights, in the order of [`Model::weights`]. None if they are not [`WEIGHTS`] many.
    pub fn from_weights(weights: &[f64]) -> Option<Self> {
        let mut model = Self::default();
        let all = model.weights.as_flattened_mut();
        (weights.len() == all.len()).then(|| all.copy_from_slice(weights))?;
        Some(model)
    }

    /// Its weights, class by class: one for each pixel, and the bias.
    pub fn weights(&self) -> &[f64] {
        self.weights.as_flattened()
    }

    /// Goes once over all rows, in an order that `random` gives.
    pub fn train_epoch(&mut self, rows: &[Digit], settings: Settings, random: &mut SplitMix64) {
        let mut order: Vec<&Digit> = rows.iter().collect();
        random.shuffle(&mut order);
        for batch in order.chunks(settings.batch.max(1)) {
            let gradient = self.gradient(batch);
            for (weights, slopes) in self.weights.iter_mut().zip(&gradient) {
                for (weight, slope) in weights.iter_mut().zip(slopes) {
                    *weight -= settings.rate * slope;
                }
            }
        }
    }

    /// How well the model does on these rows. Of no rows: a loss and an accuracy of 0.
    pub fn score(&self, rows: &[Digit]) -> Score {
        let count = rows.len().max(1) as f64;
        let right = rows.iter().filter(|row| self.guess(row) == row.label).count();
        Score { loss: self.loss(rows.iter()) / count, accuracy: right as f64 / count }
    }

    /// The likeliest digit; of equally likely ones the lowest.
    fn guess(&self, row: &Digit) -> usize {
        let chances = self.chances(row);
        (1..CLASSES).fold(0, |best, class| if chances[class] > chances[best] { class } else { best })
    }

    /// The sum of the cross-entropies.
    fn loss<'a>(&self, rows: impl Iterator<Item = &'a Digit>) -> f64 {
        // A chance can be rounded to zero, and its logarithm would make one row outweigh all others.
        rows.map(|row| -self.chances(row)[row.label].max(f64::MIN_POSITIVE).ln()).sum()
    }

    /// The slope of the mean cross-entropy along each weight.
    fn gradient(&self, batch: &[&Digit]) -> [Weights; CLASSES] {
        let mut gradient = [[0.0; PIXELS + 1]; CLASSES];
        let share = 1.0 / batch.len() as f64;
        for row in batch {
            let chances = self.chances(row);
            for (class, slopes) in gradient.iter_mut().enumerate() {
                let error = chances[class] - if class == row.label { 1.0 } else { 0.0 };
                for (slope, input) in slopes.iter_mut().zip(inputs(row)) {
                    *slope += share * error * input;
                }
            }
        }
        gradient
    }

    /// The chance of each digit; they add up to 1.
    fn chances(&self, row: &Digit) -> [f64; CLASSES] {
        let scores = self
            .weights
            .each_ref()
            .map(|weights| -> f64 { weights.iter().zip(inputs(row)).map(|(weight, input)| weight * input).sum() });
        // Only differences of scores matter; below the highest, no power can overflow.
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers = scores.map(|score| (score - highest).exp());
        let total: f64 = powers.iter().sum();
        powers.map(|power| power / total)
    }
}

/// The pixels, and the 1 that the bias is multiplied with.
fn inputs(row: &Digit) -> impl Iterator<Item = f64> {
    row.pixels.iter().copied().chain(std::iter::once(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Digit> {
        crate::digits::parse(include_str!("../data/train-0.csv")).expect("the committed shard is good")
    }

    fn trained(seed: u64) -> Model {
        let (rows, mut model, mut random) = (rows(), Model::default(), SplitMix64::new(seed));
        for _ in 0..3 {
            model.train_epoch(&rows, Settings { rate: 0.5, batch: 16 }, &mut random);
        }
        model
    }

    #[test]
    fn gradient_is_the_slope_of_the_loss() {
        let (rows, model) = (rows(), trained(1));
        let batch: Vec<&Digit> = rows.iter().take(5).collect();
        let gradient = model.gradient(&batch);
        let mean_loss = |model: &Model| model.loss(batch.iter().copied()) / batch.len() as f64;
        let step = 1e-5;
        for (class, slopes) in gradient.iter().enumerate() {
            for weight in [10, 27, 36, 61, PIXELS] {
                let (mut above, mut below) = (model.clone(), model.clone());
                above.weights[class][weight] += step;
                below.weights[class][weight] -= step;
                let slope = (mean_loss(&above) - mean_loss(&below)) / (2.0 * step);
                let difference = (slope - slopes[weight]).abs();
                assert!(difference < 1e-8, "class {class}, weight {weight}: {difference}");
            }
        }
    }

    #[test]
    fn same_seed_gives_the_same_bits() {
        let bits = |model: Model| model.weights().iter().map(|weight| weight.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(trained(7)), bits(trained(7)));
        assert_ne!(bits(trained(7)), bits(trained(8)));
    }

    #[test]
    fn model_that_learnt_nothing_guesses() {
        let score = Model::default().score(&rows());
        assert!((score.loss - 10_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn score_of_huge_weights_is_finite() {
        let mut model = trained(7);
        for weight in model.weights.as_flattened_mut() {
            *weight *= 1e300;
        }
        let score = model.score(&rows());
        assert!(score.loss.is_finite() && score.accuracy.is_finite());
    }
}
