//! A program is compiled once, and only what this host has compiled is ever run.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use crate::support::{Ended, Place, guest};

/// The code of each program that is kept; its seal lies beside it.
fn entries(place: &Place) -> Vec<PathBuf> {
    let dir = fs::read_dir(place.path("cache/compiled")).expect("there is a cache");
    let mut entries: Vec<_> = dir.map(|entry| entry.expect("an entry").path()).collect();
    entries.retain(|entry| entry.extension().is_some_and(|ending| ending == "cwasm"));
    entries.sort_unstable();
    entries
}

fn hello(place: &Place) -> Ended {
    place.run(&["run", "--cache-dir", "cache", &guest("cli_hello"), "--", "cache"])
}

#[track_caller]
fn assert_hello(ended: &Ended) {
    assert_eq!((ended.code, ended.out(), ended.err()), (0, "hello, cache\n", "to stderr\n"), "{ended}");
}

/// To see that the entry is used, it is exchanged for that of another program.
#[test]
fn a_second_start_runs_what_the_first_has_compiled() {
    let place = Place::new();
    assert_hello(&hello(&place));
    let first = entries(&place);
    assert_eq!(first.len(), 1, "{first:?}");
    place.run(&["run", "--cache-dir", "cache", &guest("cli_exit"), "--", "3"]).assert_code(1);
    let both = entries(&place);
    assert_eq!(both.len(), 2, "{both:?}");
    let other = both.iter().find(|entry| **entry != first[0]).expect("there are two");

    let seal = first[0].with_extension("seal");
    let (kept, kept_seal) = (fs::read(&first[0]).expect("an entry"), fs::read(&seal).expect("its seal"));
    fs::copy(other, &first[0]).expect("an entry is exchanged");
    fs::copy(other.with_extension("seal"), &seal).expect("its seal is, too");
    let exchanged = hello(&place);
    assert_ne!(exchanged.out(), "hello, cache\n", "it was compiled again");
    fs::write(&first[0], kept).expect("an entry is put back");
    fs::write(&seal, kept_seal).expect("its seal is, too");
    assert_hello(&hello(&place));
}

#[test]
fn without_a_cache_nothing_is_kept() {
    let place = Place::new();
    let ended = place.run(&["run", "--no-cache", "--cache-dir", "cache", &guest("cli_exit"), "--", "0"]);
    ended.assert_code(0);
    assert!(!place.exists("cache"));
}

#[test]
fn the_cache_belongs_to_its_user_alone() {
    let mode =
        |place: &Place, name: &str| fs::metadata(place.path(name)).expect("it is there").permissions().mode() & 0o777;
    let new = Place::new();
    assert_hello(&hello(&new));
    assert_eq!(mode(&new, "cache/compiled"), 0o700);

    let open = Place::new();
    fs::DirBuilder::new().mode(0o755).create(open.path("cache")).expect("a new directory");
    assert_hello(&hello(&open));
    assert_eq!(mode(&open, "cache"), 0o755, "a directory that was there is left as it was");
    assert_eq!(mode(&open, "cache/compiled"), 0o700);
}

#[test]
fn a_cache_that_others_could_write_to_is_refused() {
    let place = Place::new();
    fs::create_dir_all(place.path("cache/compiled")).expect("a new directory");
    fs::set_permissions(place.path("cache/compiled"), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let ended = hello(&place);
    ended.assert_code(73);
    assert!(ended.err().contains("open to other users"), "{ended}");
}

#[test]
fn a_damaged_entry_is_compiled_anew_with_a_warning_and_the_run_is_right() {
    let place = Place::new();
    assert_hello(&hello(&place));
    let entry = entries(&place).remove(0);
    let whole = fs::read(&entry).expect("an entry");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() / 2], &whole[..10], b""] {
        fs::write(&entry, damaged).expect("an entry is damaged");
        let ended = hello(&place);
        ended.assert_code(0).assert_says(&["damaged cache entry", "compiled anew"]);
        assert_eq!(ended.out(), "hello, cache\n");
        assert!(fs::read(&entry).expect("an entry").len() == whole.len(), "it is kept again");
        assert_hello(&hello(&place));
    }
}

#[test]
fn a_cache_that_cannot_be_used_is_told_of() {
    let place = Place::new();
    place.write("cache", "");
    let ended = hello(&place);
    ended.assert_code(73).assert_says(&["the cache directory cache cannot be used", "another one"]).assert_readable();
}
