//! The data of the example: one shuffled file made into a common test part and a shard for each client.

use crate::random::SplitMix64;

/// Clients, and so shards.
pub const CLIENTS: usize = 8;
/// One row in so many is held out for the test.
const TEST_ONE_IN: usize = 5;
/// Makes the committed files. Another seed makes other files.
const SEED: u64 = 1998;

/// A file's name and its contents.
pub type Part = (String, String);

/// Splits the rows into `test.csv` and `train-0.csv` to `train-7.csv`: each row is in exactly one of them, unchanged.
///
/// The rows are shuffled first, once: in the source they are ordered by who wrote them, and a client would otherwise
/// know a few hands only.
pub fn split(rows: &str) -> Vec<Part> {
    let mut rows: Vec<&str> = rows.lines().collect();
    SplitMix64::new(SEED).shuffle(&mut rows);
    let (test, train) = rows.split_at(rows.len() / TEST_ONE_IN);
    let shards = (0..CLIENTS).map(|client| {
        // Dealt like cards, so that the sizes differ by one row at most.
        let shard: Vec<&str> = train.iter().skip(client).step_by(CLIENTS).copied().collect();
        (format!("train-{client}.csv"), file_of(&shard))
    });
    std::iter::once(("test.csv".to_owned(), file_of(test))).chain(shards).collect()
}

fn file_of(rows: &[&str]) -> String {
    rows.iter().flat_map(|row| [*row, "\n"]).collect()
}
