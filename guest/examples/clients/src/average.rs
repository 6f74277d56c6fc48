//! Federated averaging: what the clients add up in the shared array, and what is made of it.
//!
//! The array holds three things, one after the other: the sum of the clients' models, the rows behind that sum, and the
//! average of the last round.
//!
//! Who adds first differs from run to run, and so would a sum of floating-point numbers, in its last bits. These sums do
//! not: what is added is a multiple of 2^-32, and of such numbers `f64` holds every sum below 2^21 exactly. With the
//! 1,438 rows here that is enough for weights of up to 1,000; the largest is about 2.

use crate::softmax::{Model, WEIGHTS};

/// Where a client adds its [`share`], and how long that is.
pub const SUM: u32 = 0;
/// Numbers of a share: the weights, and the rows.
pub const SUM_LENGTH: u32 = WEIGHTS as u32 + 1;
/// Where the average is.
pub const AVERAGE: u32 = SUM + SUM_LENGTH;
/// Numbers of an average: the weights.
pub const AVERAGE_LENGTH: u32 = WEIGHTS as u32;
/// Numbers of the whole array.
pub const LENGTH: u32 = AVERAGE + AVERAGE_LENGTH;

/// What a weight is rounded to a multiple of, before it is added.
const UNIT: f64 = 1.0 / (1_u64 << 32) as f64;

/// What a client adds to the sum: its weights, each as often as it has rows, and its rows.
pub fn share(model: &Model, rows: usize) -> Vec<f64> {
    let rows = rows as f64;
    let weights = model.weights().iter().map(|weight| (weight / UNIT).round() * UNIT * rows);
    weights.chain([rows]).collect()
}

/// The average model of the shares in a sum, and the rows behind it. None if nobody has added any.
pub fn average(sum: &[f64]) -> Option<(Model, u64)> {
    let (&rows, weights) = sum.split_last().filter(|(rows, _)| **rows > 0.0)?;
    let weights: Vec<f64> = weights.iter().map(|weight| weight / rows).collect();
    Some((Model::from_weights(&weights)?, rows as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model whose weights are all `weight`.
    fn model(weight: f64) -> Model {
        Model::from_weights(&[weight; WEIGHTS]).expect("as many as there are")
    }

    fn sum<'a>(shares: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
        let mut sum = vec![0.0; SUM_LENGTH as usize];
        for share in shares {
            assert_eq!(share.len(), sum.len());
            for (sum, number) in sum.iter_mut().zip(share) {
                *sum += number;
            }
        }
        sum
    }

    #[test]
    fn average_counts_each_row_alike() {
        let shares = [share(&model(0.5), 100), share(&model(-1.0), 300)];
        assert_eq!(average(&sum(shares.iter())), Some((model(-0.625), 400)));
    }

    #[test]
    fn sum_is_the_same_to_the_bit_in_any_order() {
        let weights = [0.1, 0.2, 0.3, 1e-9, 1000.0 / 3.0, -999.7];
        let plain = |order: &[f64]| order.iter().sum::<f64>().to_bits();
        let reversed: Vec<f64> = weights.iter().rev().copied().collect();
        assert_ne!(plain(&weights), plain(&reversed), "these show the difference");

        let shares = weights.map(|weight| share(&model(weight), 179));
        let bits = |sum: Vec<f64>| sum.into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(sum(shares.iter())), bits(sum(shares.iter().rev())));
    }

    #[test]
    fn no_shares_have_no_average() {
        assert_eq!(average(&sum([].iter())), None);
        assert_eq!(average(&[]), None);
        assert_eq!(average(&[1.0, 2.0]), None);
    }
}
