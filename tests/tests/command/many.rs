//! Several processes: tagged lines, a summary, and the number of failures as exit code.

use serde_json::Value;

use crate::support::{Place, guest};

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn lines_of_several_processes_are_tagged_and_a_summary_ends_standard_error() {
    let place = Place::new();
    let ended = place.run(&["run", "-n", "4", &guest("cli_hello"), "--", "{rank} of {count}"]);
    ended.assert_code(0).assert_says(&["4 processes: 4 ended well"]);
    let hello = |rank| format!("[cli_hello-{rank}] hello, {rank} of 4");
    assert_eq!(sorted(ended.out()), [0, 1, 2, 3].map(hello));
    let (summary, lines) = ended.err().lines().collect::<Vec<_>>().split_last().map(|(l, r)| (*l, r.to_vec())).unwrap();
    assert!(summary.starts_with("4 processes: "), "the summary comes last:\n{ended}");
    assert_eq!(sorted(&lines.join("\n")), [0, 1, 2, 3].map(|rank| format!("[cli_hello-{rank}] to stderr")));
}

#[test]
fn the_exit_code_of_several_is_how_many_failed_and_each_is_named_in_order() {
    let place = Place::new();
    // Rank 0 exits with 0, the others with another status.
    let ended = place.run(&["run", "-n", "3", &guest("cli_exit"), "--", "{rank}"]);
    ended.assert_code(2).assert_says(&["3 processes: 1 ended well, 2 failed"]);
    let named: Vec<_> = ended.err().lines().filter(|line| line.starts_with("cli_exit-")).collect();
    assert_eq!(named, ["cli_exit-1 exited with 1", "cli_exit-2 exited with 1"], "{ended}");
    assert_eq!(ended.out(), "");
}

#[test]
fn more_than_a_hundred_failures_are_exit_code_101() {
    let place = Place::new();
    let ended = place.run(&["run", "-n", "120", &guest("cli_exit"), "--", "3"]);
    ended.assert_code(101).assert_says(&["120 processes: 120 failed", "and 110 more"]);
}

#[test]
fn json_has_one_event_in_each_line_and_no_tagged_text() {
    let place = Place::new();
    let ended = place.run(&["run", "--json", "-n", "3", &guest("cli_hello"), "--", "{rank}"]);
    ended.assert_code(0);
    let events = ended.events();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    assert_eq!((of("started").len(), of("ended").len(), of("output").len()), (3, 3, 6), "{ended}");
    let summary = of("summary");
    assert_eq!(summary.len(), 1, "{ended}");
    assert_eq!(summary[0]["processes"], 3);
    assert_eq!(events.last().map(|event| &event["event"]), Some(&Value::from("summary")));
    let hello = |event: &&&Value| event["name"] == "cli_hello-2" && event["stream"] == "stdout";
    assert_eq!(of("output").iter().find(hello).expect("it prints")["text"], "hello, 2");
    assert!(!ended.out().contains("[cli_hello"), "{ended}");
    assert_eq!(ended.err(), "", "the summary is an event too");
}

#[test]
fn json_tells_of_grants_and_denials() {
    let place = Place::new();
    let ended = place.run(&["run", "--json", "-n", "2", "--lock", "a", &guest("lock_next"), "--", "a"]);
    ended.assert_code(0);
    let granted = ended.events().iter().filter(|event| event["event"] == "granted" && event["lock"] == "a").count();
    assert_eq!(granted, 2, "{ended}");

    let ended = place.run(&["run", "--json", "-n", "2", &guest("lock_next"), "--", "a"]);
    ended.assert_code(2);
    let denied = |event: &Value| event["event"] == "denied" && event["denial"]["kind"] == "mutex";
    assert_eq!(ended.events().iter().filter(|event| denied(event)).count(), 2, "{ended}");
}

#[test]
fn one_process_with_json_prints_events_and_keeps_its_failure() {
    let place = Place::new();
    let ended = place.run(&["run", "--json", &guest("cli_error")]);
    ended.assert_code(1);
    assert!(ended.events().iter().any(|event| event["stream"] == "stderr"), "{ended}");
}

/// Only who watches a terminal is protected from what a process prints to it; a file gets what was printed.
#[test]
fn terminal_escapes_pass_unchanged_when_no_terminal_watches() {
    let place = Place::new();
    let red = "\u{1b}[31mred\u{1b}[0m\ttab\rreturn";
    let one = place.run(&["run", &guest("cli_hello"), "--", red]);
    assert_eq!(one.out(), format!("hello, {red}\n"));
    let two = place.run(&["run", "-n", "2", &guest("cli_hello"), "--", red]);
    assert_eq!(sorted(two.out()), [0, 1].map(|rank| format!("[cli_hello-{rank}] hello, {red}")));
}
