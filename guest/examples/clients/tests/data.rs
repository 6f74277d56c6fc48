//! The committed data is what the committed code makes of the source.

use std::fs;
use std::path::{Path, PathBuf};

use federated_client::digits::{self, Digit};
use federated_client::split::{CLIENTS, split};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(data(name)).expect("the data is committed")
}

fn rows(name: &str) -> Vec<Digit> {
    digits::parse(&text(name)).expect("the committed rows are good")
}

#[test]
fn splitting_again_gives_the_committed_files() {
    let parts = split(&text("digits.csv"));
    assert_eq!(parts.len(), CLIENTS + 1);
    for (name, contents) in parts {
        assert_eq!(contents, text(&name), "{name} is not what the split makes");
    }
}

#[test]
fn no_row_is_lost_or_doubled_by_the_split() {
    let source = text("digits.csv");
    let parts = split(&source);
    let mut before: Vec<&str> = source.lines().collect();
    let mut after: Vec<&str> = parts.iter().flat_map(|(_, contents)| contents.lines()).collect();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before.len(), 1797);
    assert_eq!(before, after);
}

#[test]
fn shards_differ_by_one_row_at_most() {
    let sizes: Vec<usize> = (0..CLIENTS).map(|client| rows(&format!("train-{client}.csv")).len()).collect();
    let (least, most) = (sizes.iter().min().expect("eight"), sizes.iter().max().expect("eight"));
    assert!(most - least <= 1, "{sizes:?}");
}
