//! The job of the README: eight clients learn from their own shards, average, and report into one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lockkeeper_tests::workspace;

use crate::support::{Place, guest};

const CLIENTS: usize = 8;
const ROUNDS: usize = 30;
const HEADER: &str = "client,epoch,loss,accuracy,rows_seen";

/// The job runs where it is, as a reader of the README runs it, since its paths and its build command start there. So
/// it writes the results that the reader may have, which are put back at the end.
struct Restored {
    results: PathBuf,
    were: Option<Vec<u8>>,
}

impl Restored {
    fn new(results: &Path) -> Self {
        Self { results: results.to_owned(), were: fs::read(results).ok() }
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        match &self.were {
            Some(were) => drop(fs::write(&self.results, were)),
            None => drop(fs::remove_dir_all(self.results.parent().expect("it has a directory"))),
        }
    }
}

#[test]
fn rounds_are_whole_and_in_order_the_average_learns_and_a_second_run_agrees() {
    // The dependencies of the client are built by then, and the job's own build is short.
    guest("cli_hello");
    let place = Place::new();
    let example = workspace().join("guest/examples/clients");
    let (manifest, results) = (example.join("lockkeeper.toml"), example.join("out/results.csv"));
    let manifest = manifest.to_str().expect("a path in UTF-8");
    let _restored = Restored::new(&results);

    let ended = place.run(&["run", "--build", manifest]);
    ended.assert_code(0).assert_says(&["building: cargo build", "8 processes: 8 ended well; 270 records"]);
    let first = rows(&results);
    check(&first);

    place.run(&["run", manifest]).assert_code(0);
    let second = rows(&results);
    let sorted = |rows: &[String]| rows.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&first), sorted(&second), "the same seed gives the same rows");
}

/// The rows after the header, each line ended.
fn rows(results: &Path) -> Vec<String> {
    let text = fs::read_to_string(results).expect("there are results");
    assert!(text.ends_with('\n'), "the last row ends");
    let (header, rows) = text.split_once('\n').expect("there is a header");
    assert_eq!(header, HEADER);
    rows.lines().map(str::to_owned).collect()
}

fn check(rows: &[String]) {
    assert_eq!(rows.len(), (CLIENTS + 1) * ROUNDS);
    let mut reports: BTreeMap<String, Vec<(usize, f64)>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let fields: Vec<&str> = row.split(',').collect();
        let [who, epoch, _loss, accuracy, _rows_seen] = fields[..] else { panic!("not five columns: {row}") };
        let epoch: usize = epoch.parse().unwrap_or_else(|error| panic!("{error} in {row}"));
        let accuracy: f64 = accuracy.parse().unwrap_or_else(|error| panic!("{error} in {row}"));
        // A round is the rows of all clients in any order, and then that of the server.
        assert_eq!(epoch, index / (CLIENTS + 1) + 1, "row {index} is in another round: {row}");
        assert_eq!(who == "server", index % (CLIENTS + 1) == CLIENTS, "row {index} is in another place: {row}");
        reports.entry(who.to_owned()).or_default().push((epoch, accuracy));
    }
    let names = (0..CLIENTS).map(|rank| rank.to_string()).chain(["server".to_owned()]);
    assert!(reports.keys().cloned().eq(names), "who reports: {:?}", reports.keys());
    for (who, reports) in reports {
        assert!(reports.iter().map(|(epoch, _)| *epoch).eq(1..=ROUNDS), "{who}: {reports:?}");
        let (_, accuracy) = reports[ROUNDS - 1];
        let least = if who == "server" { 0.94 } else { 0.85 };
        assert!(accuracy > least, "{who} reads {accuracy} right");
    }
}
