//! The examples of the library, run as they are.

use std::fs;

use futures::executor::block_on;
use lockkeeper_tests::{guest, plugin};

#[path = "../../../host/examples/batch.rs"]
#[expect(dead_code, reason = "an example has a main function")]
mod batch;
#[path = "../../../host/examples/locks.rs"]
#[expect(dead_code, reason = "an example has a main function")]
mod locks;
#[path = "../../../host/examples/plugin.rs"]
#[expect(dead_code, reason = "an example has a main function")]
mod scorer;

#[test]
fn batch_leaves_every_record_of_every_process() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(batch::run(&guest("lock_append"), dir.path()).expect("it runs"), 4 * 250);
}

#[test]
fn plugin_is_called_and_has_what_the_host_has_for_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let printed = block_on(scorer::run(&plugin(), dir.path())).expect("it runs");
    assert_eq!(printed, [" 39  The keeper of the locks", " 46  A file of perspicacity", "2 lines, 9 words looked up"]);
    let scores = fs::read_to_string(dir.path().join("scores.csv")).expect("a file");
    assert_eq!(scores, "score,line\n39,The keeper of the locks\n46,A file of perspicacity\n");
}

#[test]
fn host_code_and_guests_share_a_lock_and_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(locks::run(&guest("lock_append"), dir.path()).expect("it runs"), 1 + 2 * 100 + 2 * 100);
}
