//! What is printed of the processes of a `map`, in which order, and where else it goes; and what would be started.

use std::fs;

use serde_json::Value;

use crate::support::{Ended, Place, guest, with_scripts};

/// `map` of `map_script` without append files.
fn map(place: &Place, more: &[&str]) -> Ended {
    place.run(&[&["map", &guest("map_script")], more].concat())
}

/// Each says its first word before the other says its second.
const INTERLEAVED: [(&str, &str); 2] =
    [("a", "say a1\nset one\nwait two\nsay a2"), ("b", "wait one\nsay b1\nset two\nsay b2")];
const EVENTS: [&str; 4] = ["--lock", "one:event", "--lock", "two:event"];

#[test]
fn lines_come_at_once_and_with_group_those_of_a_process_together() {
    let place = with_scripts(&INTERLEAVED);
    let run = |more: &[&str]| {
        let ended = map(&place, &[&["-j", "2"], &EVENTS[..], more, &["a", "b"]].concat());
        ended.assert_code(0);
        ended.out().to_owned()
    };
    let at = |text: &str, line: &str| text.lines().position(|other| other.ends_with(line)).expect("it was said");
    let by_line = run(&[]);
    assert!(at(&by_line, "a1") < at(&by_line, "b1") && at(&by_line, "b1") < at(&by_line, "a2"), "{by_line}");
    let grouped = run(&["--group"]);
    let (a, b) = ("[a-0] a1\n[a-0] a2\n", "[b-1] b1\n[b-1] b2\n");
    assert!(grouped == [a, b].concat() || grouped == [b, a].concat(), "{grouped}");
}

#[test]
fn with_keep_order_groups_come_in_the_order_of_the_inputs() {
    // The first ends last.
    let place =
        with_scripts(&[("a", "wait go\nsay a"), ("b", "say b"), ("fails", "say f\nneeds KEY"), ("d", "say d\nset go")]);
    let flags = ["-k", "-j", "4", "--no-tag", "--lock", "go:event"];
    let ended = map(&place, &[&flags[..], &["a", "b", "fails", "d"]].concat());
    ended.assert_code(1);
    assert_eq!(ended.out(), "a\nb\nf\nd\n", "without append files it is the output that is kept in order");
    let program = guest("map_script");
    let with_file = [&["map", &program, "--group", "--append", "out=out.csv"], &flags[..]].concat();
    let ended = place.run(&[&with_file[..], &["a", "b", "fails", "d", "--", "out"]].concat());
    assert_eq!(ended.out(), "a\nb\nf\nd\n", "{ended}");
}

#[test]
fn of_a_group_only_the_last_try_is_printed() {
    let place = with_scripts(&[("a", "say tried\ntry 1 work/a\nsay done")]);
    fs::create_dir(place.path("work")).expect("a new directory");
    let ended = map(&place, &["--group", "--retries", "2", "--dir", "work", "a"]);
    ended.assert_code(0);
    assert_eq!(ended.out(), "[a] tried\n[a] done\n");
    fs::remove_file(place.path("work/a")).expect("it was made");
    let by_line = map(&place, &["--retries", "2", "--dir", "work", "a"]);
    assert_eq!(by_line.out(), "[a] tried\n[a] tried\n[a] done\n");
}

#[test]
fn tags_can_be_left_away_and_the_last_word_counts() {
    let place = with_scripts(&[("a", "say x")]);
    for (flags, out) in [(&["--tag"][..], "[a] x\n"), (&["--no-tag"], "x\n"), (&["--no-tag", "--tag"], "[a] x\n")] {
        let ended = map(&place, &[flags, &["a"]].concat());
        assert_eq!(ended.out(), out, "{flags:?}");
    }
    map(&place, &["--no-tag", "--json", "a"]).assert_refused(&["--no-tag", "--json"]);
}

/// The directory of results whose name begins so.
fn results(place: &Place, name: &str) -> std::path::PathBuf {
    let entries = fs::read_dir(place.path("res")).expect("it was made");
    let mut found = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.file_name().is_some_and(|found| found.to_string_lossy().starts_with(name)));
    let first = found.next().unwrap_or_else(|| panic!("there is nothing for {name}"));
    assert_eq!(found.next(), None, "one directory for {name}");
    first
}

#[test]
fn results_have_every_byte_of_each_process_whatever_it_is_called() {
    let place = with_scripts(&[("a", "say one\nraw no newline"), ("b c", "needs KEY"), (".hidden", "say h")]);
    fs::create_dir(place.path("dir")).expect("a new directory");
    let ended = map(&place, &["--results", "res", "-j", "1", "a", "b c", ".hidden"]);
    ended.assert_code(1);
    assert_eq!(ended.out(), "[a-0] one\n[a-0] no newline\n[.hidden-2] h\n", "it is printed too");
    let read = |name: &str, file: &str| fs::read_to_string(results(&place, name).join(file)).expect("it is there");
    assert_eq!((read("a-", "stdout"), read("a-", "stderr")), ("one\nno newline".to_owned(), "no newline".to_owned()));
    assert_eq!((read("b_c-", "stdout"), read("b_c-", "seq")), (String::new(), "2\n".to_owned()));
    assert_eq!(read("_hidden-", "stdout"), "h\n");

    // The same input has the same directory, wherever it stands; another one has another.
    let text = map(&place, &["--results", "res", "--as-args", "../../etc/passwd", "a\nb"]);
    text.assert_code(2);
    assert_eq!(read("_._.._etc_passwd-", "seq"), "1\n");
    map(&place, &["--results", "res", "b c", "a"]).assert_code(1);
    assert_eq!((read("b_c-", "seq"), read("a-", "seq")), ("1\n".to_owned(), "2\n".to_owned()));
}

#[test]
fn results_of_a_second_try_take_the_place_of_the_first() {
    let place = with_scripts(&[("a", "say tried\ntry 1 work/a\nraw done")]);
    fs::create_dir(place.path("work")).expect("a new directory");
    map(&place, &["--results", "res", "--retries", "2", "--dir", "work", "a"]).assert_code(0);
    assert_eq!(fs::read_to_string(results(&place, "a-").join("stdout")).expect("it is there"), "tried\ndone");
}

#[test]
fn results_that_cannot_be_made_start_nothing() {
    let place = with_scripts(&[("a", "say x")]);
    place.write("res", "a file");
    map(&place, &["--results", "res", "a"]).assert_refused(&["--results res", "nothing was started"]);
}

#[test]
fn a_dry_run_prints_every_process_with_its_grants_and_limits_and_starts_and_writes_nothing() {
    let place = with_scripts(&[("a b", "say a"), ("c", "say c")]);
    place.write("t.csv", "x\n1\n");
    fs::create_dir(place.path("data")).expect("a new directory");
    place.write("out.csv", "old\n");
    let flags = [
        "--dry-run",
        "-j",
        "3",
        "--append",
        "out=out.csv",
        "--if-exists",
        "replace",
        "--lock",
        "m",
        "--value",
        "v=1",
        "--dir",
        "data:read-only",
        "--env",
        "TOKEN=secret",
        "--timeout",
        "200%",
        "--max-memory",
        "8MiB",
        "--joblog",
        "log",
        "--results",
        "res",
        "--csv",
        "t.csv",
        "a b",
        "c",
        "--",
        "out",
    ];
    let ended = map(&place, &flags);
    ended.assert_code(0).assert_says(&["3 processes, 3 at a time; nothing was started"]);
    let blocks: Vec<_> = ended.out().lines().collect();
    assert_eq!(blocks[0], "1 [a b-0] map_script.wasm out '/input/a b'");
    assert_eq!(blocks[1], "    inputs: a b");
    assert_eq!(blocks[2], "    grants: lock m, value v, append out=out.csv:csv, dir data::data:read-only, env TOKEN");
    assert!(blocks[3].starts_with("    limits: timeout 200% of the median, memory 8 MiB, handles 1000, "), "{ended}");
    assert_eq!(blocks[8..10], ["3 [t.csv:1-2] map_script.wasm out /input/t.csv", "    inputs: /input/t.csv of 4 B"]);
    assert!(!ended.out().contains("secret"), "{ended}");
    assert_eq!(place.read("out.csv"), "old\n");
    for file in ["log", "res", "state", "out.csv.lock"] {
        assert!(!place.exists(file), "{file} was made in spite of --dry-run");
    }
    let json = map(&place, &["--dry-run", "--json", "c"]);
    let event: Value = json.events().remove(0);
    assert_eq!((&event["event"], &event["name"], &event["seq"]), (&"planned".into(), &"c".into(), &1.into()));

    map(&place, &["--dry-run", "c", "missing"]).assert_refused(&["the input missing is not a file"]);
    place.run(&["map", "missing.wasm", "--dry-run", "c"]).assert_refused(&["there is no program at missing.wasm"]);
    let resumed = map(&place, &["--dry-run", "--resume", "--joblog", "log", "c"]);
    resumed.assert_code(0).assert_says(&["these are all inputs, also those that are done"]);
}

#[test]
fn without_append_files_what_would_be_said_of_them_is_refused() {
    let place = with_scripts(&[("a", "say x")]);
    map(&place, &["a"]).assert_code(0).assert_says(&["1 process: 1 ended well; took"]);
    map(&place, &["--max-held-back", "1MiB", "a"]).assert_refused(&["--max-held-back", "--append NAME=FILE"]);
    map(&place, &["--durability", "synced", "a"]).assert_refused(&["--durability", "--append NAME=FILE"]);
}
