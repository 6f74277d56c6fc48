//! One process per input: its rows come together or not at all, and it sees no other input.

use crate::support::{Place, guest};

const HEADER: &str = "input,line,bytes";

/// Inputs `NAME` with so many lines; the line `index` of each has `index` bytes.
fn with_inputs(inputs: &[(&str, usize)]) -> Place {
    let place = Place::new();
    for (name, lines) in inputs {
        place.write(name, (1..=*lines).fold(String::new(), |text, index| text + &"x".repeat(index) + "\n"));
    }
    place
}

fn rows_of(name: &str, lines: usize) -> Vec<String> {
    (1..=lines).map(|index| format!("/input/{name},{index},{index}")).collect()
}

/// `map` of `map_count` into `out.csv`.
fn map<'a>(program: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["map", program, "--append", "results=out.csv", "--header", "results=input,line,bytes"], more].concat()
}

#[test]
fn one_at_a_time_the_rows_come_in_the_order_of_the_inputs() {
    let place = with_inputs(&[("b.txt", 3), ("a.txt", 2), ("c.txt", 4)]);
    let count = guest("map_count");
    let ended = place.run(&map(&count, &["-j", "1", "b.txt", "a.txt", "c.txt"]));
    ended.assert_code(0).assert_says(&["3 processes: 3 ended well; 9 records"]);
    let expected =
        [vec![HEADER.to_owned()], rows_of("b.txt", 3), rows_of("a.txt", 2), rows_of("c.txt", 4)].concat().join("\n")
            + "\n";
    assert_eq!(place.read("out.csv"), expected);
}

#[test]
fn four_at_a_time_the_rows_of_each_input_stand_together() {
    let inputs: Vec<(String, usize)> = (0..12).map(|index| (format!("in-{index}.txt"), 40 + index)).collect();
    let place = with_inputs(&inputs.iter().map(|(name, lines)| (name.as_str(), *lines)).collect::<Vec<_>>());
    let names = inputs.iter().map(|(name, _)| name.as_str());
    let count = guest("map_count");
    place.run(&map(&count, &["-j", "4"].into_iter().chain(names).collect::<Vec<_>>())).assert_code(0);

    let text = place.read("out.csv");
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(rows.len(), inputs.iter().map(|(_, lines)| lines).sum::<usize>());
    for (name, lines) in &inputs {
        let first = rows.iter().position(|row| row.starts_with(&format!("/input/{name},"))).expect("it has rows");
        assert_eq!(rows[first..first + lines], rows_of(name, *lines), "{name}");
    }
}

#[test]
fn an_input_that_fails_or_traps_leaves_nothing_and_is_counted_and_named() {
    for jobs in ["1", "4"] {
        let place = with_inputs(&[("good.txt", 2), ("last.txt", 1)]);
        place.write("fails.txt", "fail\nrow\n");
        place.write("traps.txt", "trap\nrow\n");
        let count = guest("map_count");
        let ended = place.run(&map(&count, &["-j", jobs, "good.txt", "fails.txt", "traps.txt", "last.txt"]));
        ended.assert_code(2).assert_says(&["fails.txt-1 returned an error", "traps.txt-2 trapped", "unreachable"]);
        ended.assert_says(&["4 processes: 2 ended well, 1 failed, 1 trapped; 3 records"]);
        let text = place.read("out.csv");
        let mut rows: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
        rows.sort_unstable();
        assert_eq!(rows, [rows_of("good.txt", 2), rows_of("last.txt", 1)].concat());
    }
}

#[test]
fn an_input_that_runs_out_of_time_leaves_nothing() {
    let place = with_inputs(&[("a.txt", 1)]);
    // The input comes last, where the program wants the name of a lock: so that is its name.
    let locks = ["--lock", "a", "--lock", "/input/a.txt"];
    let args = ["--append", "f=out.txt", "--timeout", "100ms", "a.txt", "--", "a", "f", "spin"];
    let ended = place.run(&[&["map", &guest("lock_end")][..], &locks, &args].concat());
    ended.assert_code(1).assert_says(&["a.txt took longer than its time limit of 100ms", "1 out of time; 0 records"]);
    assert_eq!(place.read("out.txt"), "");
}

#[test]
fn a_process_reads_its_own_input_and_not_that_of_its_sibling() {
    let place = with_inputs(&[("a.txt", 1), ("b.txt", 2)]);
    let read = guest("cli_read");
    let ended = place.run(&["map", &read, "--append", "f=out.txt", "-j", "1", "a.txt", "b.txt", "--", "/input/a.txt"]);
    ended.assert_code(1).assert_says(&["b.txt-1 returned an error", "[b.txt-1] Error: \"/input/a.txt: No such file"]);
    assert_eq!(ended.out(), "[a.txt-0] x\n");
}

#[test]
fn inputs_of_one_name_in_two_directories_are_two_inputs() {
    let place = Place::new();
    for dir in ["one", "two"] {
        std::fs::create_dir(place.path(dir)).expect("a new directory");
        place.write(&format!("{dir}/in.txt"), "x\n");
    }
    let count = guest("map_count");
    let ended = place.run(&map(&count, &["one/in.txt", "two/in.txt"]));
    ended.assert_code(0).assert_says(&["2 processes: 2 ended well; 2 records"]);
}

#[test]
fn a_missing_input_is_refused_before_anything_is_started() {
    let place = with_inputs(&[("a.txt", 1)]);
    let count = guest("map_count");
    for missing in ["nothere.txt", "."] {
        let ended = place.run(&map(&count, &["a.txt", missing]));
        ended.assert_refused(&[&format!("the input {missing} is not a file"), "nothing was started"]);
        assert!(!place.exists("out.csv"), "an output was made in spite of\n{ended}");
    }
}

#[test]
fn map_without_inputs_or_without_a_place_to_run_is_refused() {
    let place = with_inputs(&[("a.txt", 1)]);
    let count = guest("map_count");
    for (jobs, word) in [("0", "'0'"), ("0%", "'0%'"), ("100001", "'100001'"), ("+1", "'+1'")] {
        let words = [word, "--jobs", "give 1 to 100000, or a percentage of the cores"];
        place.run(&map(&count, &["-j", jobs, "a.txt"])).assert_refused(&words);
    }
    // The tests' standard input is empty.
    place.run(&map(&count, &[])).assert_refused(&["there is no INPUT", "standard input", "`-a -`"]);
    assert!(!place.exists("out.csv"));
}

#[test]
fn map_with_json_prints_events_only() {
    let place = with_inputs(&[("a.txt", 1), ("b.txt", 2)]);
    let count = guest("map_count");
    let ended = place.run(&map(&count, &["--json", "a.txt", "b.txt"]));
    ended.assert_code(0);
    let events = ended.events();
    assert_eq!(events.last().expect("a summary")["records"], 3, "{ended}");
}
