//! Processes that start processes, from the command line and from a manifest.

use serde_json::Value;

use crate::support::{Place, guest};

#[test]
fn who_was_granted_no_program_starts_none_and_is_told_the_flag() {
    let place = Place::new();
    let cases = guest("process_cases");
    let ended = place.run(&["run", &cases, "--", "test_process"]);
    ended.assert_code(1).assert_says(&[
        "asked for program `self`, which was not granted",
        "grants = { program = [\"self\"] }",
        "--program self",
    ]);
    place.run(&["run", "--program", "self", &cases, "--", "test_process"]).assert_code(0);
    let limited = place.run(&["run", "--program", "self", "--max-children", "0", &cases, "--", "test_process"]);
    limited.assert_code(1).assert_says(&["Limit(Processes)"]);
    let limited = place.run(&["run", "--program", "self", "--max-depth", "0", &cases, "--", "test_process"]);
    limited.assert_code(1).assert_says(&["Limit(Depth)"]);
}

#[test]
fn what_is_wrong_with_a_program_is_said_before_anything_starts() {
    let place = Place::new();
    let (cases, hello) = (guest("process_cases"), guest("cli_hello"));
    for (flag, word) in [
        ("other".to_owned(), "write NAME=FILE.wasm, or `self`"),
        ("other=missing.wasm".to_owned(), "there is no program at missing.wasm"),
        (format!("self={hello}"), "take another name"),
        (format!("no name={hello}"), "a name has only"),
    ] {
        place.run(&["run", "--program", &flag, &cases, "--", "test_process"]).assert_code(2).assert_says(&[word]);
    }
    let manifest = |programs: &str, grants: &str| {
        format!(
            "version = 1\n{programs}\n[[process]]\nname = \"p\"\nprogram = {cases:?}\nargs = [\"test_process\"]\n\
             grants = {{ program = [{grants}] }}\n"
        )
    };
    let other = format!("[program.other]\npath = {hello:?}\n");
    place.run_manifest(&manifest(&other, "\"othr\"")).assert_code(2).assert_says(&["did you mean `other`?"]);
    let own = format!("[program.self]\npath = {hello:?}\n");
    place.run_manifest(&manifest(&own, "\"self\"")).assert_code(2).assert_says(&["each process's own program"]);
    place.run_manifest(&manifest(&other, "\"other\", \"self\"")).assert_code(0);
}

/// Their lines have their names, and the events say whose they are.
#[test]
fn children_are_seen_as_processes_of_their_own() {
    let place = Place::new();
    let cases = guest("process_cases");
    let ended = place.run(&["run", "--json", "--program", "self", &cases, "--", "test_sys_exit"]);
    ended.assert_code(0);
    let events = ended.events();
    let started: Vec<&Value> = events.iter().filter(|event| event["event"] == "started").collect();
    assert_eq!(started.len(), 4, "{ended}");
    assert_eq!(started[0]["parent"], Value::Null);
    assert!(started[1..].iter().all(|event| event["parent"] == started[0]["process"]), "{ended}");
    let of_child = |event: &&Value| event["event"] == "output" && event["name"] != "process_cases";
    assert!(
        events.iter().filter(of_child).any(|event| event["text"].as_str().is_some_and(|text| text.contains("no role")))
    );
    let ends: Vec<&Value> =
        events.iter().filter(|event| event["event"] == "ended").map(|event| &event["name"]).collect();
    assert_eq!((ends.len(), ends[3]), (4, &Value::from("process_cases")), "the parent's end comes last");

    let tagged = place.run(&["run", "-n", "2", "--program", "self", &cases, "--", "test_sys_exit"]);
    tagged.assert_code(0).assert_says(&["[process_cases-0/process_cases-"]);
}

/// It is waited for, and what it waits for may come from nobody: then it is ended as any other.
#[test]
fn child_that_outlives_the_process_that_started_it_is_waited_for() {
    let place = Place::new();
    let cases = guest("process_cases");
    let events = ["--lock", "started:event", "--lock", "go:event", "--lock", "done:event"];
    let run = |policy: &str| {
        place.run(&[&["run", "--program", "self"], &events[..], &[&cases, "--", "leaves_a_child", policy]].concat())
    };
    run("end").assert_code(0);
    run("adopt").assert_code(76).assert_says(&["waits at `go` for the event to be set"]);
}
