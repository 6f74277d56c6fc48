//! The log of a `map`: a line for every process that was started, and what a later run makes of it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Ended, Place, guest, with_scripts};

const HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\tId";

/// `map` of `map_script` with the log `log`, one process at a time.
fn map(place: &Place, more: &[&str]) -> Ended {
    place.run(&with_log(&guest("map_script"), more))
}

fn with_log<'a>(program: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["map", program, "--joblog", "log", "-j", "1"], more].concat()
}

/// The columns of every line behind the header.
fn lines(place: &Place) -> Vec<Vec<String>> {
    let text = place.read("log");
    assert!(text.ends_with('\n'), "the last line is whole: {text}");
    let (header, lines) = text.split_once('\n').expect("a header");
    assert_eq!(header, HEADER);
    lines.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Number, exit value, signal and command of every line.
fn ends(place: &Place) -> Vec<String> {
    let short = |line: Vec<String>| format!("{} {} {} {}", line[0], line[6], line[7], line[8]);
    lines(place).into_iter().map(short).collect()
}

#[test]
fn every_process_has_a_line_with_the_columns_of_gnu_parallel_and_its_id() {
    let place = with_scripts(&[("a b", "say four"), ("fails", "needs KEY"), ("traps", "trap")]);
    map(&place, &["a b", "fails", "traps", "a b", "--"]).assert_code(2);
    let expected = ["1 0 0 map_script.wasm '/input/a b'", "2 1 0 map_script.wasm /input/fails"];
    let more = ["3 134 0 map_script.wasm /input/traps", "4 0 0 map_script.wasm '/input/a b'"];
    assert_eq!(ends(&place), [expected, more].concat());
    let lines = lines(&place);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    for line in &lines {
        let [_, host, started, ran, send, received, _, _, command, id] = &line[..] else { panic!("{line:?}") };
        assert_eq!((host.as_str(), send.as_str()), (":", "0"));
        let started: f64 = started.parse().expect("a number");
        assert!((now - started).abs() < 600.0 && ran.parse::<f64>().expect("a number") >= 0.0, "{line:?}");
        assert_eq!(received, if command.contains("a b") { "5" } else { "0" }, "bytes on standard output: {line:?}");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line:?}");
    }
    assert_ne!(lines[0][9], lines[3][9], "two equal inputs are two");
}

#[test]
fn a_log_that_ends_in_jsonl_has_an_object_for_every_process() {
    let place = with_scripts(&[("a", "say x"), ("fails", "needs KEY")]);
    let program = guest("map_script");
    let log = |more: &[&str]| place.run(&[&["map", &program, "--joblog", "log.jsonl", "-j", "1"], more].concat());
    log(&["a", "fails"]).assert_code(1);
    let text = place.read("log.jsonl");
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let ends: Vec<_> = objects.iter().map(|object| (&object["seq"], &object["exitval"], &object["name"])).collect();
    let expected = [(1.into(), 0.into(), "a-0".into()), (2.into(), 1.into(), "fails-1".into())];
    assert_eq!(ends, expected.iter().map(|(a, b, c): &(Value, Value, Value)| (a, b, c)).collect::<Vec<_>>());
    assert_eq!((&objects[0]["receive"], &objects[1]["outcome"]), (&2.into(), &"returned an error".into()));
    log(&["--resume", "a", "fails"]).assert_code(0).assert_says(&["1 skipped as done; 1 skipped as failed before"]);
    log(&["--resume-failed", "a", "fails"]).assert_code(1).assert_says(&["1 process: 1 failed; 1 skipped as done"]);
}

/// GNU parallel goes by number: with an input put in before the others it would run the wrong ones.
#[test]
fn without_append_files_resume_goes_by_the_log_and_by_what_an_input_is() {
    let place = with_scripts(&[("a", "say a"), ("fails", "needs KEY"), ("c", "say c"), ("new", "say new")]);
    map(&place, &["a", "fails"]).assert_code(1);
    let resumed = map(&place, &["--resume", "new", "c", "fails", "a"]);
    resumed.assert_code(0).assert_says(&["2 processes: 2 ended well; 1 skipped as done; 1 skipped as failed before"]);
    resumed.assert_says(&["--resume-failed runs them"]);
    assert_eq!(resumed.out(), "[new-0] new\n[c-1] c\n");
    let again = map(&place, &["--resume-failed", "--env", "KEY=1", "new", "c", "fails", "a"]);
    again.assert_code(0).assert_says(&["1 process: 1 ended well; 3 skipped as done"]);
    let all = map(&place, &["--resume", "new", "c", "fails", "a"]);
    all.assert_code(0).assert_says(&["0 processes; 4 skipped as done"]);
    assert_eq!(lines(&place).len(), 5, "each start has a line");
    // Without it the log begins anew.
    map(&place, &["a"]).assert_code(0);
    assert_eq!(ends(&place), ["1 0 0 map_script.wasm /input/a"]);
}

#[test]
fn with_append_files_their_records_count_whatever_the_log_says() {
    let place = with_scripts(&[("a", "rows 1"), ("fails", "needs KEY")]);
    let run = |flag: &str| {
        let flags = [flag, "--append", "out=out.csv", "a", "fails", "--", "out"];
        map(&place, if flag.is_empty() { &flags[1..] } else { &flags })
    };
    run("").assert_code(1);
    run("--resume").assert_code(1).assert_says(&["1 process: 1 failed; 1 skipped as done"]);
    run("--resume-failed").assert_code(1).assert_says(&["1 process: 1 failed; 1 skipped as done"]);
    std::fs::remove_file(place.path("out.csv")).expect("it is there");
    run("--resume").assert_code(1).assert_says(&["2 processes: 1 ended well, 1 failed; 1 record"]);
}

#[test]
fn every_try_has_a_line_and_the_last_one_counts() {
    let place = with_scripts(&[("a", "try 1 work/a")]);
    std::fs::create_dir(place.path("work")).expect("a new directory");
    map(&place, &["--retries", "2", "--dir", "work", "a"]).assert_code(0);
    assert_eq!(ends(&place), ["1 1 0 map_script.wasm /input/a", "1 0 0 map_script.wasm /input/a"]);
    map(&place, &["--resume-failed", "--dir", "work", "a"]).assert_code(0).assert_says(&["1 skipped as done"]);
}

#[test]
fn an_interrupt_leaves_a_line_for_each_that_was_started_and_resume_runs_those_it_ended() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = with_scripts(&[
            ("a", "say a"),
            ("stays", "say here\nforever"),
            ("waits", "say there\nwait go"),
            ("d", "say d"),
        ]);
        let program = guest("map_script");
        let inputs = ["--lock", "go:event", "--joblog", "log", "a", "stays", "waits", "d"];
        let mut run = place.start(&[&["map", &program, "-j", "2"], &inputs[..]].concat());
        run.out.wait_for("[stays-1] here");
        run.out.wait_for("[waits-2] there");
        run.signal(signal);
        assert_eq!(run.wait(), code, "{:?}", run.err.all());
        let mut ends = ends(&place);
        ends.sort_unstable();
        assert_eq!(ends[0], "1 0 0 map_script.wasm /input/a");
        assert!(ends[1].starts_with("2 130 15 "), "who computes is ended: {ends:?}");
        assert!(ends[2].starts_with("3 "), "who waits is told, and ends as it likes: {ends:?}");
        assert_eq!(ends.len(), 3, "nothing was started after the signal: {ends:?}");

        place.write("stays", "say here\nforever");
        place.write("waits", "set go");
        let resumed = map(&place, &["--resume", "--timeout", "1s", "--lock", "go:event", "a", "stays", "d"]);
        resumed.assert_code(1).assert_says(&["2 processes: 1 ended well, 1 out of time; 1 skipped as done"]);
    }
}

#[test]
fn an_early_end_leaves_a_line_for_each_that_was_started_and_resume_runs_those_it_ended() {
    let place = with_scripts(&[("stays", "say here\nforever"), ("fails", "needs KEY"), ("c", "say c")]);
    let program = guest("map_script");
    let run = |more: &[&str]| {
        place.run(&[&["map", &program, "--joblog", "log", "-j", "2"], more, &["stays", "fails", "c"]].concat())
    };
    run(&["--halt", "now,fail=1"]).assert_code(1).assert_says(&["1 more were not started"]);
    let mut ends = ends(&place);
    ends.sort_unstable();
    assert_eq!(ends, ["1 130 15 map_script.wasm /input/stays", "2 1 0 map_script.wasm /input/fails"]);
    let resumed = run(&["--resume", "--timeout", "1s"]);
    resumed.assert_code(1).assert_says(&["1 ended well, 1 out of time; 1 skipped as failed before"]);
}

/// A guest that may write where the log is can spoil it, and that is no success.
#[test]
fn a_log_that_somebody_else_has_changed_is_said_to_be_incomplete_and_is_exit_code_74() {
    let place = with_scripts(&[("a", "say a"), ("spoils", "try 0 work/log")]);
    std::fs::create_dir(place.path("work")).expect("a new directory");
    let flags = ["--joblog", "work/log", "--dir", "work", "-j", "1"];
    let ended = place.run(&[&["map", &guest("map_script")], &flags[..], &["a", "spoils"]].concat());
    ended.assert_code(74).assert_says(&["--joblog: not every process is in it", "changed by somebody else"]);
    ended.assert_says(&["2 processes: 2 ended well"]);
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let place = with_scripts(&[("stays", "say here\nforever")]);
    let program = guest("map_script");
    let mut run = place.start(&with_log(&program, &["stays"]));
    run.out.wait_for("[stays] here");
    run.signal(Signal::INT);
    run.err.wait_for("interrupted: ending all processes");
    run.signal(Signal::INT);
    assert_eq!(run.wait(), 130, "{:?}", run.err.all());
}

#[test]
fn what_a_killed_host_has_left_of_a_line_is_put_aside_and_its_input_runs_again() {
    let place = with_scripts(&[("a", "say a"), ("b", "say b")]);
    map(&place, &["a", "b"]).assert_code(0);
    let text = place.read("log");
    for cut in [1, 20, text.lines().last().expect("a line").len()] {
        place.write("log", &text[..text.len() - cut]);
        // A checkpoint is of the file as the last run has left it; a kill leaves none.
        drop(std::fs::remove_file(place.path("log.checkpoint")));
        let resumed = map(&place, &["--resume", "a", "b"]);
        resumed.assert_code(0).assert_says(&["--joblog: ", "torn bytes", "1 process: 1 ended well; 1 skipped as done"]);
        assert_eq!(resumed.out(), "[b-1] b\n");
        assert_eq!(lines(&place).len(), 2);
    }
}

/// The host is killed at random moments: what the log says has ended well has, and resume does the rest.
#[test]
fn after_kill_9_at_any_moment_the_log_can_be_resumed_from() {
    let rounds: u64 = std::env::var("ROUNDS").map_or(12, |rounds| rounds.parse().expect("ROUNDS is a number"));
    let names: Vec<String> = (0..30).map(|index| format!("in-{index}")).collect();
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let program = guest("map_script");
    let args = [&["map", &program, "--joblog", "log", "-j", "3"], &inputs[..]].concat();
    let mut random = 5_u64;
    let mut took = Duration::ZERO;
    for round in 0..=rounds {
        let place = Place::new();
        names.iter().for_each(|name| place.write(name, format!("spin 200000\nsay {name}")));
        std::fs::create_dir(place.path("tmp")).expect("a new directory");
        let mut command = place.lockkeeper(&args);
        command.env("TMPDIR", place.path("tmp")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let mut child = command.spawn().expect("it can be started");
        if round == 0 {
            assert!(child.wait().expect("it can be waited for").success());
            took = begun.elapsed();
            continue;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let micros = u64::try_from(took.as_micros()).expect("a run is short");
        std::thread::sleep(Duration::from_micros((random >> 33) % micros));
        // It may have ended by itself.
        drop(child.kill());
        child.wait().expect("it can be waited for");
        place.run(&[&["map", "--resume"], &args[1..]].concat()).assert_code(0);
        let mut seen: Vec<u64> = lines(&place).iter().map(|line| line[0].parse().expect("a number")).collect();
        seen.sort_unstable();
        assert_eq!(seen, (1..=30).collect::<Vec<_>>(), "round {round}: each input has one line");
    }
}

#[test]
fn a_file_that_is_no_log_is_not_overwritten_and_nothing_is_started() {
    let place = with_scripts(&[("a", "say a")]);
    let of_parallel = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
    for (text, words) in [("a,b\n1,2\n", "is no log"), (of_parallel, "of GNU parallel")] {
        place.write("log", text);
        map(&place, &["a"]).assert_refused(&["--joblog log", words, "give another file"]);
        assert_eq!(place.read("log"), text);
    }
    std::fs::remove_file(place.path("log")).expect("it is there");
    map(&place, &["--append", "out=log", "a", "--", "out"]).assert_refused(&["--joblog log", "append file of `out`"]);
    map(&place, &["a"]).assert_code(0);
    place.write("log", place.read("log") + "not a line of a log\n");
    drop(std::fs::remove_file(place.path("log.checkpoint")));
    map(&place, &["--resume", "a"]).assert_refused(&["--joblog log: the line at byte", "without --resume"]);
}

#[test]
fn resume_without_anything_to_resume_from_is_refused() {
    let place = with_scripts(&[("a", "")]);
    for flag in ["--resume", "--resume-failed"] {
        let ended = place.run(&["map", &guest("map_script"), flag, "a"]);
        ended.assert_refused(&[flag, "--append NAME=FILE", "--joblog FILE"]);
    }
    let both = place.run(&["map", &guest("map_script"), "--joblog", "log", "--resume", "--resume-failed", "a"]);
    both.assert_code(2).assert_says(&["--resume-failed", "cannot be used with"]);
}

#[test]
fn two_runs_do_not_write_one_log() {
    let place = with_scripts(&[("stays", "say here\nforever"), ("a", "")]);
    let program = guest("map_script");
    let first = place.start(&with_log(&program, &["stays"]));
    first.out.wait_for("[stays] here");
    map(&place, &["a"]).assert_code(75).assert_says(&["--joblog: ", "log"]);
    drop(first);
}
