//! The job of the README: eight clients learn from their own shards and report into one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lockkeeper_tests::workspace;

use crate::support::{Place, guest};

const CLIENTS: usize = 8;
const EPOCHS: usize = 20;
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
fn every_client_reports_every_epoch_in_order_and_learns_and_a_second_run_agrees() {
    // The dependencies of the client are built by then, and the job's own build is short.
    guest("cli_hello");
    let place = Place::new();
    let example = workspace().join("guest/examples/clients");
    let (manifest, results) = (example.join("lockkeeper.toml"), example.join("out/results.csv"));
    let manifest = manifest.to_str().expect("a path in UTF-8");
    let _restored = Restored::new(&results);

    let ended = place.run(&["run", "--build", manifest]);
    ended.assert_code(0).assert_says(&["building: cargo build", "8 processes: 8 ended well; 160 records"]);
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
    assert_eq!(rows.len(), CLIENTS * EPOCHS);
    let mut clients: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        let [client, epoch, _loss, accuracy, _rows_seen] = fields[..] else { panic!("not five columns: {row}") };
        let number = |text: &str| text.parse::<usize>().unwrap_or_else(|error| panic!("{error} in {row}"));
        let accuracy = accuracy.parse().unwrap_or_else(|error| panic!("{error} in {row}"));
        clients.entry(number(client)).or_default().push((number(epoch), accuracy));
    }
    assert!(clients.keys().copied().eq(0..CLIENTS), "clients {:?}", clients.keys());
    for (client, reports) in clients {
        assert!(reports.iter().map(|(epoch, _)| *epoch).eq(1..=EPOCHS), "client {client}: {reports:?}");
        let (_, accuracy) = reports[EPOCHS - 1];
        assert!(accuracy > 0.85, "client {client} reads {accuracy} right");
    }
}
