//! Where the inputs of `map` come from, and what a process sees of them.

use crate::support::{Ended, Place, end, guest};

/// `map` of `map_show`, one process at a time, with this on standard input.
fn show(place: &Place, more: &[&str], input: &[u8]) -> Ended {
    end(place.lockkeeper(&[&["map", &guest("map_show"), "-j", "1", "--no-tag"], more].concat()), input)
}

fn with_files(names: &[&str]) -> Place {
    let place = Place::new();
    names.iter().for_each(|name| place.write(name, format!("in {name}")));
    place
}

fn seen(names: &[&str]) -> String {
    let process = |name: &&str| format!("\"/input/{name}\" \"in {name}\"\nsees [\"{name}\"]\n");
    names.iter().map(process).collect()
}

#[test]
fn the_lines_of_lists_are_inputs_behind_those_of_the_command_line() {
    let place = with_files(&["a", "b", "c", "d"]);
    // Gaps are no inputs, and the last line may lack its newline.
    place.write("one", "b\n\nc\n");
    place.write("two", "d");
    let ended = show(&place, &["-a", "one", "a", "--arg-file", "two"], b"");
    ended.assert_code(0).assert_says(&["4 processes: 4 ended well"]);
    assert_eq!(ended.out(), seen(&["a", "b", "c", "d"]));
}

#[test]
fn standard_input_is_a_list_if_it_is_named_or_if_nothing_is() {
    let place = with_files(&["a", "b", "c"]);
    for (flags, names) in
        [(&[][..], &["b", "c"][..]), (&["-a", "-"], &["b", "c"]), (&["-a", "-", "a"], &["a", "b", "c"])]
    {
        let ended = show(&place, flags, b"b\nc\n");
        ended.assert_code(0);
        assert_eq!(ended.out(), seen(names), "{flags:?}");
    }
    // Named, it may be empty, as what `find` finds may be.
    show(&place, &["-a", "-"], b"").assert_code(0).assert_says(&["0 processes"]);
    show(&place, &[], b"").assert_refused(&["there is no INPUT", "standard input"]);
}

#[test]
fn with_zero_bytes_between_them_names_may_have_newlines() {
    let place = with_files(&["a", "two\nlines"]);
    let ended = show(&place, &["-0"], b"two\nlines\0a\0");
    ended.assert_code(0);
    assert!(ended.out().contains(r#""/input/two\nlines" "in two\nlines""#), "{ended}");
    show(&place, &[], b"a\0").assert_refused(&["standard input, line 1", "a zero byte", "-0"]);
    show(&place, &["-0", "a"], b"").assert_refused(&["-0 is said of the lists", "neither is read"]);
}

#[test]
fn several_inputs_go_to_one_process_and_the_last_has_the_rest() {
    let place = with_files(&["a", "b", "c"]);
    let ended = show(&place, &["-n", "2", "a", "b", "c", "--", "first"], b"");
    ended.assert_code(0).assert_says(&["2 processes: 2 ended well"]);
    let first = "\"first\"\n\"/input/a\" \"in a\"\n\"/input/b\" \"in b\"\nsees [\"a\", \"b\"]\n";
    let second = "\"first\"\n\"/input/c\" \"in c\"\nsees [\"c\"]\n";
    assert_eq!(ended.out(), [first, second].concat());
    show(&place, &["-n", "0", "a"], b"").assert_refused(&["'0'", "--max-args"]);
}

#[test]
fn two_inputs_of_one_name_are_refused_in_one_process_before_anything_is_started() {
    let place = with_files(&["a"]);
    std::fs::create_dir(place.path("dir")).expect("a new directory");
    place.write("dir/a", "another");
    show(&place, &["-n", "2", "a", "dir/a"], b"").assert_refused(&["two inputs of one process are called a", "-n"]);
    show(&place, &["a", "dir/a"], b"").assert_code(0);
}

#[test]
fn a_row_of_a_table_is_a_file_of_its_own_under_the_header() {
    let place = Place::new();
    place.write("t.csv", "name,text\n1,\"two\nlines\"\n2,\"a \"\"b\"\"\"\n3,last");
    let file = |row: &str| format!("\"/input/t.csv\" {:?}\nsees [\"t.csv\"]\n", format!("name,text\n{row}\n"));
    let rows = ["1,\"two\nlines\"", "2,\"a \"\"b\"\"\"", "3,last"];
    let ended = show(&place, &["--csv", "t.csv"], b"");
    ended.assert_code(0).assert_says(&["3 processes: 3 ended well"]);
    assert_eq!(ended.out(), rows.map(file).concat());

    let by_two = show(&place, &["--csv", "t.csv", "-n", "2"], b"");
    assert_eq!(by_two.out(), [file(&rows[..2].join("\n")), file(rows[2])].concat(), "two rows stand in one file");
    let tagged = place.run(&["map", &guest("map_show"), "-j", "1", "--csv", "t.csv"]);
    assert!(tagged.out().contains("[t.csv:2-1] \"/input/t.csv\""), "a process is named by its row:\n{tagged}");
}

#[test]
fn a_line_of_json_is_a_file_of_its_own_and_anything_else_is_refused_with_its_place() {
    let place = Place::new();
    place.write("t.jsonl", "{\"a\":1}\n\n[2]\n");
    let ended = show(&place, &["--jsonl", "t.jsonl"], b"");
    ended.assert_code(0);
    let file = |row: &str| format!("\"/input/t.jsonl\" {:?}\nsees [\"t.jsonl\"]\n", format!("{row}\n"));
    assert_eq!(ended.out(), ["{\"a\":1}", "[2]"].map(file).concat());
    let from_stdin = show(&place, &["--jsonl", "-"], b"7\n");
    assert!(from_stdin.out().starts_with("\"/input/stdin.jsonl\" \"7\\n\""), "{from_stdin}");

    place.write("bad.jsonl", "{}\nnot json\n");
    show(&place, &["--jsonl", "bad.jsonl"], b"").assert_refused(&["--jsonl bad.jsonl", "the line at byte 3"]);
    place.write("bad.csv", "a\n\"open\n");
    show(&place, &["--csv", "bad.csv"], b"").assert_refused(&["--csv bad.csv", "the row at byte 2"]);
    show(&place, &["--csv", "missing.csv"], b"").assert_refused(&["--csv missing.csv", "No such file"]);
}

#[test]
fn as_arguments_inputs_are_texts_and_nothing_is_opened_for_them() {
    let place = with_files(&["a"]);
    let ended = show(&place, &["--as-args", "a", "no such file", "--", "first"], b"");
    ended.assert_code(0);
    assert_eq!(ended.out(), "\"first\"\n\"a\"\nsees []\n\"first\"\n\"no such file\"\nsees []\n");
    let lines = show(&place, &["--as-args", "-n", "2"], b"x y\n\nz");
    assert_eq!(lines.out(), "\"x y\"\n\"\"\nsees []\n\"z\"\nsees []\n", "an empty line is a text like any other");
    // Who meant texts is told how to say so.
    show(&place, &["a", "b"], b"").assert_refused(&["the input b is not a file", "--as-args"]);
    show(&place, &["--as-args"], b"\xff\n").assert_refused(&["standard input, line 1", "UTF-8"]);
    place.write("t.csv", "a\n1\n");
    show(&place, &["--as-args", "--csv", "t.csv"], b"").assert_refused(&["--as-args", "--csv t.csv is a file"]);
    show(&place, &["-a", "-", "--csv", "-"], b"").assert_refused(&["standard input can be read once only"]);
}

/// A row is known by what is in it: GNU parallel would skip by number, and leave a row out.
#[test]
fn a_row_that_moves_down_is_the_same_input_and_only_the_new_one_runs() {
    let place = Place::new();
    place.write("t.csv", "a\n1\n2\n2\n");
    let map = |more: &[&str]| {
        place
            .run(&[&["map", &guest("map_show"), "--append", "out=out.csv", "--csv", "t.csv", "-j", "1"], more].concat())
    };
    map(&[]).assert_code(0).assert_says(&["3 processes"]);
    place.write("t.csv", "a\n0\n1\n2\n2\n");
    let resumed = map(&["--resume"]);
    resumed.assert_code(0).assert_says(&["1 process: 1 ended well; 3 skipped as done"]);
    assert!(resumed.out().contains(r#"[t.csv:1-0] "/input/t.csv" "a\n0\n""#), "{resumed}");
    // The same rows under another header say something else.
    place.write("t.csv", "b\n0\n1\n");
    map(&["--resume"]).assert_code(0).assert_says(&["2 processes: 2 ended well; 0 records"]);
}

#[test]
fn a_text_is_known_by_itself_when_a_run_is_resumed() {
    let place = Place::new();
    let map = |more: &[&str]| {
        place.run(&[&["map", &guest("map_show"), "--append", "out=out.csv", "--as-args"], more].concat())
    };
    map(&["a", "b"]).assert_code(0);
    let resumed = map(&["--resume", "c", "b", "a"]);
    resumed.assert_code(0).assert_says(&["1 process: 1 ended well; 2 skipped as done"]);
    assert!(resumed.out().contains("\"c\""), "{resumed}");
}
