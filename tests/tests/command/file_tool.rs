//! `lockkeeper file`: what it says of files, what it makes of them, and the exit codes that a script goes by.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use lockkeeper::{AppendFile, FileSpec, Format};
use serde_json::{Value, json};

use crate::support::{Ended, Place};

fn csv(header: &[&str]) -> Format {
    Format::Csv { header: header.iter().map(|name| (*name).to_owned()).collect() }
}

/// A file that the host's own crate has written.
fn ours(place: &Place, name: &str, format: Format, records: &[&[u8]]) {
    let (file, _) = AppendFile::open(&FileSpec::new(place.path(name), format, "a test")).expect("it can be opened");
    for record in records {
        file.append(record, || Ok::<_, std::convert::Infallible>(Some(7))).expect("the record is written");
    }
}

fn push(place: &Place, name: &str, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(place.path(name)).expect("the file is there");
    file.write_all(bytes).expect("the disk has room");
}

fn objects(ended: &Ended) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in `{line}`"));
    ended.out().lines().map(parse).collect()
}

#[track_caller]
fn assert_prints(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.out().contains(word), "`{word}` is missing in\n{ended}");
    }
}

#[test]
fn a_whole_file_of_every_format_checks_with_exit_code_0() {
    let place = Place::new();
    ours(&place, "a.txt", Format::Lines, &[b"one", b"two"]);
    ours(&place, "a.csv", csv(&["a", "b"]), &[b"1,\"x\ny\""]);
    ours(&place, "a.jsonl", Format::Jsonl, &[b"{\"a\": 1}"]);
    ours(&place, "a.lkf", Format::Framed, &[b"one\n\0two"]);
    place.write("theirs.csv", "a,b\n1,2\n");
    let ended = place.run(&["file", "check", "a.txt", "a.csv", "a.jsonl", "a.lkf", "theirs.csv"]);
    ended.assert_code(0);
    assert_prints(
        &ended,
        &[
            "a.txt: whole\n  lines: 2 lines in 8 bytes\n  written by lockkeeper; checkpoint at byte 8",
            "a.csv: whole\n  csv: 2 rows of 2 columns in ",
            "a.jsonl: whole\n  jsonl: 1 line in ",
            "a.lkf: whole\n  framed: 1 record in 56 bytes\n",
            "fence floor: 7",
            "next sequence number: 2",
            "theirs.csv: whole\n  csv: 2 rows of 2 columns in 8 bytes\n  not known to be written by lockkeeper",
        ],
    );
    assert!(ended.err().is_empty(), "{ended}");
    assert!(!place.exists("theirs.csv.lock"), "a check makes nothing beside a file");
}

#[test]
fn a_torn_end_is_exit_code_1_and_a_repair_says_where_it_went() {
    let place = Place::new();
    ours(&place, "a.csv", csv(&["a", "b"]), &[b"1,2"]);
    push(&place, "a.csv", b"3,\"quoted\n");
    let ended = place.run(&["file", "check", "a.csv"]);
    ended.assert_code(1);
    assert_prints(
        &ended,
        &["a.csv: torn", "8 of 18 bytes", "10 bytes from byte 8 on: a record without its end", "to do: nothing"],
    );
    let checked = &place.run(&["file", "check", "--json", "a.csv"]).events()[0];
    assert_eq!(
        (&checked["event"], &checked["verdict"], &checked["whole_bytes"], &checked["fence_floor"]),
        (&json!("checked"), &json!("torn"), &json!(8), &json!(7))
    );

    let ended = place.run(&["file", "repair", "a.csv"]);
    ended.assert_code(0);
    assert_prints(
        &ended,
        &[
            "a.csv: csv, 2 records in 8 bytes",
            "cut: 10 bytes from byte 8 on, a record without its end; saved to a.csv.torn",
            "fence floor: 7",
        ],
    );
    assert_eq!(place.read("a.csv"), "a,b\n1,2\n");
    assert_eq!(
        place.read("a.csv.torn"),
        "lockkeeper-torn 1 offset 8 length 10 reason a record without its end\n3,\"quoted\n\n"
    );
    let ended = place.run(&["file", "repair", "--json", "a.csv"]);
    ended.assert_code(0);
    assert_eq!(ended.events()[0]["cut"], Value::Null, "there is nothing left to cut");
    place.run(&["file", "check", "a.csv"]).assert_code(0);
}

#[test]
fn damage_is_exit_code_3_and_is_cut_only_with_the_flag_that_the_hint_names() {
    let place = Place::new();
    ours(&place, "a.lkf", Format::Framed, &[b"one", b"two"]);
    let mut bytes = fs::read(place.path("a.lkf")).expect("the file is there");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(place.path("a.lkf"), &bytes).expect("the disk has room");
    let ended = place.run(&["file", "check", "a.lkf"]);
    ended.assert_code(3);
    assert_prints(&ended, &["a.lkf: damaged", "1 record in 51 of 102 bytes", "checksum", "file repair --cut a.lkf"]);
    let checked = &place.run(&["file", "check", "--json", "a.lkf"]).events()[0];
    assert_eq!((&checked["verdict"], &checked["fault"]["offset"]), (&json!("damaged"), &json!(51)));
    assert!(checked["hint"].is_string() && checked["refused"].is_string(), "{checked}");

    let ended = place.run(&["file", "repair", "a.lkf"]);
    ended.assert_code(3).assert_says(&["error: a.lkf is damaged at byte 51 of 102", "file repair --cut"]);
    ended.assert_readable();
    assert_eq!(fs::read(place.path("a.lkf")).expect("it is there"), bytes, "nothing was changed");
    place.run(&["file", "repair", "--cut", "a.lkf"]).assert_code(0);
    let torn = fs::read(place.path("a.lkf.torn")).expect("it is there");
    assert!(torn.starts_with(b"lockkeeper-torn 1 offset 51 length 51 reason "));
    assert!(torn.ends_with(&[b"\n", &bytes[51..], b"\n"].concat()));
    place.run(&["file", "check", "a.lkf"]).assert_code(0);
}

#[test]
fn the_end_of_a_file_that_was_never_ours_is_not_cut_unasked() {
    let place = Place::new();
    place.write("notes", "whole\nhalf");
    let ended = place.run(&["file", "check", "notes"]);
    ended.assert_code(3);
    assert_prints(&ended, &["notes: damaged", "end it with a newline if it is whole", "repair --cut notes"]);
    place.run(&["file", "repair", "notes"]).assert_code(3).assert_says(&["was not written by lockkeeper", "--cut"]);
    assert_eq!(place.read("notes"), "whole\nhalf");
    place.run(&["file", "repair", "--cut", "notes"]).assert_code(0);
    assert_eq!(place.read("notes"), "whole\n");
    assert_eq!(place.read("notes.torn"), "lockkeeper-torn 1 offset 6 length 4 reason a record without its end\nhalf\n");
}

#[test]
fn a_lost_fence_floor_is_exit_code_3_until_it_is_set() {
    let place = Place::new();
    let (file, _) = AppendFile::open(&FileSpec::new(place.path("a.txt"), Format::Lines, "a test")).expect("it opens");
    file.reserve_fences(100).expect("the disk has room");
    drop(file);
    fs::remove_file(place.path("a.txt.checkpoint")).expect("it is there");
    let ended = place.run(&["file", "check", "a.txt"]);
    ended.assert_code(3);
    assert_prints(&ended, &["the highest fence is not known", "file repair --fence-floor N a.txt"]);
    place.run(&["file", "repair", "a.txt"]).assert_code(3).assert_says(&["--fence-floor N"]);
    let ended = place.run(&["file", "repair", "--fence-floor", "200", "a.txt"]);
    ended.assert_code(0);
    assert_prints(&ended, &["fence floor: 200"]);
    place.run(&["file", "check", "a.txt"]).assert_code(0);
    place.run(&["file", "repair", "--fence-floor", "1", "a.txt"]).assert_code(2).assert_says(&["200"]);
}

#[test]
fn of_several_files_the_worst_decides_and_each_has_its_say() {
    let place = Place::new();
    ours(&place, "a.txt", Format::Lines, &[b"one"]);
    ours(&place, "b.txt", Format::Lines, &[b"one"]);
    push(&place, "b.txt", b"tw");
    place.run(&["file", "check", "b.txt", "a.txt"]).assert_code(1);
    let ended = place.run(&["file", "check", "missing.txt", "a.txt", "b.txt"]);
    ended.assert_code(66).assert_says(&["error: there is no file at missing.txt"]).assert_readable();
    assert_prints(&ended, &["a.txt: whole", "b.txt: torn"]);
    let ended = place.run(&["file", "check", "--json", "missing.txt", "a.txt"]);
    ended.assert_code(66);
    let events = ended.events();
    assert_eq!((&events[0]["event"], &events[0]["exit"]), (&json!("failed"), &json!(66)));
    assert_eq!(events[1]["verdict"], "whole");
}

#[test]
fn a_report_that_cannot_be_printed_is_not_taken_for_a_good_one() {
    let place = Place::new();
    ours(&place, "a.csv", csv(&["a"]), &[b"1"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
    let ended = place.lockkeeper(&["file", "check", "a.csv"]).stdout(full).status().expect("the command runs");
    assert_eq!(ended.code(), Some(74));
}

#[test]
fn what_is_missing_no_file_or_of_another_format_has_its_exit_code() {
    let place = Place::new();
    for what in ["check", "repair", "cat"] {
        place.run(&["file", what, "missing"]).assert_code(66).assert_says(&["there is no file at missing"]);
        place.run(&["file", what, "."]).assert_code(2).assert_says(&["is a directory"]);
        place.run(&["file", what]).assert_code(2);
    }
    assert!(!place.exists("missing") && !place.exists("missing.lock"), "nothing was made");
    ours(&place, "a.csv", csv(&["a"]), &[b"1"]);
    for what in ["check", "repair"] {
        let ended = place.run(&["file", what, "--format", "framed", "a.csv"]);
        ended.assert_code(2).assert_says(&["a.csv was written as csv, not as framed"]).assert_readable();
    }
    place.run(&["file", "check", "--format", "xml", "a.csv"]).assert_refused(&["xml", "lines, csv, jsonl, framed"]);
    assert_eq!(place.read("a.csv"), "a\n1\n");
}

#[test]
fn a_file_that_another_host_writes_is_exit_code_75_and_says_which_and_can_be_printed() {
    let place = Place::new();
    let spec = FileSpec::new(place.path("a.txt"), Format::Lines, "the run of a test");
    let (file, _) = AppendFile::open(&spec).expect("it opens");
    file.append(b"one", || Ok::<_, std::convert::Infallible>(None)).expect("it is written");
    for what in ["check", "repair"] {
        let ended = place.run(&["file", what, "a.txt"]);
        let process = format!("process {}", std::process::id());
        ended.assert_code(75).assert_says(&["a.txt is being written by", &process, "the run of a test"]);
    }
    let ended = place.run(&["file", "cat", "a.txt"]);
    ended.assert_code(0);
    assert_eq!(ended.out(), "one\n");
    drop(file);
    place.run(&["file", "check", "a.txt"]).assert_code(0);
}

#[test]
fn cat_prints_the_records_of_every_format_as_they_are() {
    let place = Place::new();
    ours(&place, "a.txt", Format::Lines, &[b"one", b"", b"\x1b[2Jtwo\xff"]);
    ours(&place, "a.csv", csv(&["a", "b"]), &[b"1,\"x\n\"\"y\"\"\""]);
    ours(&place, "a.jsonl", Format::Jsonl, &[b"{\"a\": 1}", b"[ 2 ]"]);
    ours(&place, "a.lkf", Format::Framed, &[b"one", b"", b"LKF1\0"]);
    for (file, printed) in [
        ("a.txt", &b"one\n\n\x1b[2Jtwo\xff\n"[..]),
        ("a.csv", b"a,b\n1,\"x\n\"\"y\"\"\"\n"),
        ("a.jsonl", b"{\"a\": 1}\n[ 2 ]\n"),
        ("a.lkf", b"one\n\nLKF1\0\n"),
    ] {
        let ended = place.run(&["file", "cat", file]);
        ended.assert_code(0);
        assert_eq!(ended.stdout, printed, "{file}");
    }
}

#[test]
fn cat_with_json_prints_one_object_per_record_with_its_place() {
    let place = Place::new();
    ours(&place, "a.txt", Format::Lines, &[b"one", b"\xff\xfe"]);
    ours(&place, "a.csv", csv(&["a", "b"]), &[b"1,\"x\n\"\"y\"\"\""]);
    ours(&place, "a.jsonl", Format::Jsonl, &[b"{\"a\": 1.50}"]);
    ours(&place, "a.lkf", Format::Framed, &[b"one"]);
    let cat = |file: &str| {
        let ended = place.run(&["file", "cat", "--json", file]);
        ended.assert_code(0);
        objects(&ended)
    };
    assert_eq!(
        cat("a.txt"),
        [json!({ "offset": 0, "len": 4, "text": "one" }), json!({ "offset": 4, "len": 3, "base64": "//4=" })]
    );
    assert_eq!(cat("a.csv")[1], json!({ "offset": 4, "len": 12, "fields": ["1", "x\n\"y\""] }));
    assert_eq!(cat("a.jsonl"), [json!({ "offset": 0, "len": 12, "value": { "a": 1.5 } })]);
    let frame = &cat("a.lkf")[0];
    assert_eq!(*frame, json!({ "offset": 0, "len": 51, "sequence": 1, "fence": 7, "writer": 0, "text": "one" }));
    let raw = place.run(&["file", "cat", "--json", "a.jsonl"]);
    assert_prints(&raw, &["\"value\":{\"a\": 1.50}}"]);
    let several = objects(&place.run(&["file", "cat", "--json", "a.txt", "a.lkf"]));
    let files: Vec<_> = several.iter().map(|record| &record["file"]).collect();
    assert_eq!(files, ["a.txt", "a.txt", "a.lkf"]);
}

/// What a process of `map --max-held-back 128MiB` appended is one batch.
#[test]
fn cat_prints_a_batch_of_frames_that_is_longer_than_any_reader_takes_unasked() {
    let place = Place::new();
    let mut spec = FileSpec::new(place.path("a.lkf"), Format::Framed, "a test");
    spec.batch_bytes_max = 128 << 20;
    let (file, _) = AppendFile::open(&spec).expect("it opens");
    let record = vec![b'x'; 1 << 20];
    let appended = file.append_batch(&vec![&record[..]; 65], || Ok::<_, std::convert::Infallible>(None));
    assert_eq!(appended.expect("the disk has room").records, 65);
    drop(file);
    let ended = place.run(&["file", "cat", "a.lkf"]);
    ended.assert_code(0);
    assert_eq!(ended.stdout.len(), 65 * (record.len() + 1));
}

#[test]
fn cat_leaves_out_what_is_no_whole_record_and_says_so() {
    let place = Place::new();
    ours(&place, "a.csv", csv(&["a"]), &[b"1"]);
    push(&place, "a.csv", b"\"2\n");
    let ended = place.run(&["file", "cat", "a.csv"]);
    ended.assert_code(1).assert_says(&["a.csv: 3 bytes from byte 4 on are no whole record"]);
    assert_eq!(ended.out(), "a\n1\n");
    place.run(&["file", "cat", "--json", "a.csv"]).assert_code(1);

    ours(&place, "a.lkf", Format::Framed, &[b"one"]);
    push(&place, "a.lkf", b"no frame");
    let ended = place.run(&["file", "cat", "a.lkf", "a.csv"]);
    ended.assert_code(3).assert_says(&["a.lkf: bytes that are no frame at byte 51; 8 bytes from byte 51 on"]);
    assert_eq!(ended.out(), "one\na\n1\n", "the next file is printed all the same");
    // Asked for as lines it is lines: a guess is not forced on anybody.
    place.write("b.lkf", "one\ntwo\n");
    place.run(&["file", "cat", "b.lkf"]).assert_code(3);
    place.run(&["file", "cat", "--format", "lines", "b.lkf"]).assert_code(0);
}

/// As in `lockkeeper file cat FILE | head -n 1`: much more than a pipe holds, and nobody who reads it.
#[test]
fn cat_ends_quietly_when_nobody_reads_any_more() {
    let place = Place::new();
    place.write("big.txt", "0123456789\n".repeat(200_000));
    for json in [&[][..], &["--json"]] {
        let mut command = place.lockkeeper(&[&["file", "cat"], json, &["big.txt", "big.txt"]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut first).expect("it prints");
        assert!(first.contains("0123456789"), "{first}");
        drop(out);
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
    }
}

#[test]
fn the_help_tells_every_exit_code() {
    let place = Place::new();
    let ended = place.run(&["file", "check", "--help"]);
    ended.assert_code(0);
    assert_prints(&ended, &["\n  0 ", "\n  1 ", "\n  3 ", "\n  2 ", "\n  66 ", "\n  74 ", "\n  75 "]);
}
