//! Exactly once: what `map --resume` runs again and what not, and the order that `--keep-order` keeps, also through the
//! death of the host at any moment.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use lockkeeper_tests::figure;

use crate::support::{Ended, Place, guest, with_scripts};

/// `map` of `map_script` into `out.csv`.
fn map(place: &Place, more: &[&str]) -> Ended {
    place.run(&into_one(&guest("map_script"), more))
}

fn into_one<'a>(program: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    // What comes last of `more` belongs to the inputs, so the program's own arguments follow it.
    [&["map", program, "--append", "out=out.csv"], more, &["--", "out"]].concat()
}

/// The rows `INPUT,NUMBER` of these inputs, one after another.
fn rows(of: &[(&str, usize)]) -> String {
    let rows_of = |(name, count): &(&str, usize)| (1..=*count).map(|row| format!("/input/{name},{row}\n")).collect();
    of.iter().map(rows_of).collect::<Vec<String>>().concat()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[track_caller]
fn assert_same_records(found: &str, expected: &str) {
    assert_eq!(sorted(found), sorted(expected));
}

#[test]
fn an_input_that_is_named_twice_gives_its_rows_twice_and_is_done_twice() {
    let place = with_scripts(&[("a.txt", "rows 2"), ("b.txt", "rows 1")]);
    map(&place, &["a.txt", "b.txt", "a.txt"]).assert_code(0).assert_says(&["3 processes: 3 ended well; 5 records"]);
    let twice = rows(&[("a.txt", 2), ("b.txt", 1), ("a.txt", 2)]);
    assert_same_records(&place.read("out.csv"), &twice);

    let resumed = map(&place, &["--resume", "a.txt", "b.txt", "a.txt"]);
    resumed.assert_code(0).assert_says(&["0 processes; 3 skipped as done; 0 records"]);
    assert_same_records(&place.read("out.csv"), &twice);

    let third = map(&place, &["--resume", "a.txt", "a.txt", "a.txt"]);
    third.assert_code(0).assert_says(&["1 process: 1 ended well; 2 skipped as done; 2 records"]);
}

#[test]
fn after_a_failure_resume_runs_only_what_failed() {
    let place = with_scripts(&[("a.txt", "rows 3"), ("b.txt", "rows 2\nneeds KEY\nrows 2"), ("c.txt", "rows 1")]);
    let inputs = ["a.txt", "b.txt", "c.txt"];
    map(&place, &inputs).assert_code(1).assert_says(&["2 ended well, 1 failed; 4 records"]);
    let again = map(&place, &[&["--resume"], &inputs[..]].concat());
    again.assert_code(1).assert_says(&["1 process: 1 failed; 2 skipped as done; 0 records"]);
    let mended = map(&place, &[&["--resume", "--env", "KEY=1", "--json"], &inputs[..]].concat());
    mended.assert_code(0);
    let events = mended.events();
    let skipped: Vec<_> = events.iter().filter(|event| event["event"] == "skipped").collect();
    assert_eq!(skipped.iter().map(|event| &event["name"]).collect::<Vec<_>>(), ["a.txt-0", "c.txt-2"], "{mended}");
    assert!(skipped.iter().all(|event| event["why"] == "done"), "{mended}");
    assert_eq!(events.iter().filter(|event| event["event"] == "started").count(), 1, "{mended}");
    let summary = events.last().expect("a summary");
    assert_eq!((&summary["processes"], &summary["skipped_as_done"]), (&Value::from(1), &Value::from(2)), "{mended}");
    assert_same_records(&place.read("out.csv"), &rows(&[("a.txt", 3), ("b.txt", 4), ("c.txt", 1)]));
}

#[test]
fn the_same_map_without_resume_appends_once_more() {
    let place = with_scripts(&[("a.txt", "rows 2")]);
    for runs in 1..=3 {
        map(&place, &["a.txt"]).assert_code(0).assert_says(&["1 process: 1 ended well; 2 records"]);
        assert_eq!(place.read("out.csv"), rows(&vec![("a.txt", 2); runs]));
    }
    map(&place, &["--resume", "a.txt"]).assert_code(0).assert_says(&["1 skipped as done"]);
    map(&place, &["--if-exists", "replace", "a.txt"]).assert_code(0);
    assert_eq!(place.read("out.csv"), rows(&[("a.txt", 2)]));
    map(&place, &["--resume", "a.txt"]).assert_code(0).assert_says(&["1 skipped as done"]);
}

#[test]
fn resume_of_what_never_began_runs_everything() {
    let place = with_scripts(&[("a.txt", "rows 2"), ("b.txt", "")]);
    map(&place, &["--resume", "a.txt", "b.txt"]).assert_code(0).assert_says(&["2 processes: 2 ended well; 2 records"]);
    // One that appends nothing is done all the same.
    map(&place, &["--resume", "a.txt", "b.txt"]).assert_code(0).assert_says(&["0 processes; 2 skipped as done"]);
}

#[test]
fn an_input_with_another_content_other_arguments_or_another_program_runs_again() {
    let place = with_scripts(&[("a.txt", "rows 1"), ("b.txt", "rows 1")]);
    let program = std::fs::read(guest("map_script")).expect("it was built");
    place.write("program.wasm", &program);
    let run = |more: &[&str], args: &[&str]| {
        let start = ["map", "program.wasm", "--append", "out=out.csv"];
        place.run(&[&start, more, &["a.txt", "b.txt", "--"], args].concat())
    };
    let done = |count: usize| format!("; {count} skipped as done");
    run(&[], &["out"]).assert_code(0);
    run(&["--resume"], &["out"]).assert_code(0).assert_says(&["0 processes", &done(2)]);
    place.write("a.txt", "rows 1\n");
    run(&["--resume"], &["out"]).assert_code(0).assert_says(&["1 process: 1 ended well", &done(1)]);
    run(&["--resume"], &["out", "out"]).assert_code(0).assert_says(&["2 processes: 2 ended well", "4 records"]);
    run(&["--resume"], &["out"]).assert_code(0).assert_says(&["0 processes", &done(2)]);
    // A custom section at its end: the same program in other bytes.
    place.write("program.wasm", [&program[..], b"\0\x02\x01x"].concat());
    run(&["--resume"], &["out"]).assert_code(0).assert_says(&["2 processes: 2 ended well"]);
    // The same content under another name is another input.
    place.write("c.txt", "rows 1");
    let named = place.run(&["map", "program.wasm", "--append", "out=out.csv", "--resume", "c.txt", "--", "out"]);
    named.assert_code(0).assert_says(&["1 process: 1 ended well"]);
}

#[test]
fn of_two_files_only_the_one_that_lacks_the_records_gets_them() {
    let place = with_scripts(&[("a.txt", "rows 2"), ("b.txt", "rows 1")]);
    let map_script = guest("map_script");
    let files = ["--append", "one=one.csv", "--append", "two=two.csv"];
    let run = |more: &[&str]| {
        place.run(&[&["map", &map_script][..], &files, more, &["a.txt", "b.txt", "--", "one", "two"]].concat())
    };
    run(&[]).assert_code(0).assert_says(&["2 ended well; 6 records"]);
    let both = rows(&[("a.txt", 2), ("b.txt", 1)]);
    std::fs::remove_file(place.path("two.csv")).expect("it is there");
    run(&["--resume"]).assert_code(0).assert_says(&["2 processes: 2 ended well; 3 records"]);
    for file in ["one.csv", "two.csv"] {
        assert_same_records(&place.read(file), &both);
    }
    run(&["--resume"]).assert_code(0).assert_says(&["0 processes; 2 skipped as done"]);
    // A new series in both.
    run(&[]).assert_code(0).assert_says(&["2 ended well; 6 records"]);
    run(&["--resume"]).assert_code(0).assert_says(&["0 processes; 2 skipped as done"]);
    for file in ["one.csv", "two.csv"] {
        assert_same_records(&place.read(file), &[&both[..], &both].concat());
    }
}

#[test]
fn a_file_to_which_an_input_appends_nothing_knows_that_it_is_done() {
    let place = with_scripts(&[("a.txt", "rows 2")]);
    let run = |more: &[&str]| {
        let files = ["--append", "out=out.csv", "--append", "none=none.csv", "--header", "none=a,b"];
        place.run(&[&["map", &guest("map_script")][..], &files, more, &["a.txt", "--", "out"]].concat())
    };
    run(&[]).assert_code(0).assert_says(&["1 ended well; 2 records"]);
    run(&["--resume"]).assert_code(0).assert_says(&["0 processes; 1 skipped as done"]);
    assert_eq!(place.read("none.csv"), "a,b\n");
}

#[test]
fn resume_contradicts_files_that_are_to_be_emptied_or_not_to_be_there() {
    let place = with_scripts(&[("a.txt", "rows 1")]);
    map(&place, &["a.txt"]).assert_code(0);
    for (what, why) in [("replace", "which empties them"), ("refuse", "which wants none")] {
        let words =
            ["--resume goes on with what is in the files", &format!("--if-exists {what}, {why}"), "one of the two"];
        map(&place, &["--resume", "--if-exists", what, "a.txt"]).assert_refused(&words);
    }
    assert_eq!(place.read("out.csv"), rows(&[("a.txt", 1)]));
}

#[test]
fn with_keep_order_the_records_stand_in_the_order_of_the_inputs_however_long_each_takes() {
    // The earlier an input the longer it takes, and the first ends only after the last of its window has.
    let mut scripts = vec![("in-0".to_owned(), "wait go\nrows 3".to_owned(), 3)];
    for index in 1..30 {
        let set = if index == 5 { "set go\n" } else { "" };
        let script = format!("{set}spin {}\nrows {}", (30 - index) * 20_000, index % 4);
        scripts.push((format!("in-{index}"), script, index % 4));
    }
    let expected: Vec<_> = scripts.iter().map(|(name, _, count)| (name.as_str(), *count)).collect();
    for jobs in ["2", "3", "8"] {
        let place = Place::new();
        scripts.iter().for_each(|(name, script, _)| place.write(name, script));
        let inputs: Vec<_> = scripts.iter().map(|(name, ..)| name.as_str()).collect();
        let ended = map(&place, &[&["-k", "-j", jobs, "--lock", "go:event"], &inputs[..]].concat());
        ended.assert_code(0).assert_says(&["30 processes: 30 ended well"]);
        assert_eq!(place.read("out.csv"), rows(&expected), "-j {jobs}");
    }
}

#[test]
fn with_keep_order_inputs_that_fail_hold_up_nobody_and_leave_nothing() {
    let scripts = [
        ("a", "wait go\nrows 1"),
        ("traps", "rows 1\ntrap"),
        ("b", "rows 2"),
        ("fails", "spin 100000\nrows 1\nneeds KEY"),
        ("late", "rows 1\nforever"),
        ("c", "rows 1\nset go"),
        ("d", "rows 1"),
    ];
    let place = with_scripts(&scripts);
    let flags = ["--keep-order", "-j", "3", "--lock", "go:event", "--timeout", "2s"];
    let ended = map(&place, &[&flags[..], &scripts.map(|(name, _)| name)].concat());
    ended.assert_code(3).assert_says(&["4 ended well, 1 failed, 1 out of time, 1 trapped; 5 records"]);
    assert_eq!(place.read("out.csv"), rows(&[("a", 1), ("b", 2), ("c", 1), ("d", 1)]));

    // What failed comes last if it is done after all, and that is said.
    let flags = ["--resume", "-k", "--env", "KEY=1", "--timeout", "2s"];
    let resumed = map(&place, &[&flags[..], &scripts.map(|(name, _)| name)].concat());
    resumed
        .assert_code(2)
        .assert_says(&["stand behind 3 of those that are still to run", "4 skipped as done; 1 record"]);
    assert_eq!(place.read("out.csv"), rows(&[("a", 1), ("b", 2), ("c", 1), ("d", 1), ("fails", 1)]));
}

/// One that waits for its turn has ended: what it held is free, or the one whose turn it is would never come to an end.
#[test]
fn with_keep_order_who_waits_for_its_turn_holds_no_lock() {
    let place = with_scripts(&[("first", "wait go\ntake m\nrows 1"), ("second", "take m\nrows 1\nset go")]);
    let locks = ["--lock", "m", "--lock", "go:event"];
    let ended = map(&place, &[&["-k", "-j", "2"], &locks[..], &["first", "second"]].concat());
    ended.assert_code(0).assert_says(&["2 ended well; 2 records"]);
    assert_eq!(place.read("out.csv"), rows(&[("first", 1), ("second", 1)]));
}

/// One that waits for its turn keeps nobody from seeing that the others stand still.
#[test]
fn with_keep_order_a_stall_before_others_that_have_ended_is_found_and_ended() {
    let place = with_scripts(&[("stands", "wait never\nrows 1"), ("a", "rows 1"), ("b", "rows 1"), ("c", "rows 2")]);
    for jobs in ["1", "2", "4"] {
        let flags = ["-k", "-j", jobs, "--lock", "never:event", "--if-exists", "replace"];
        let ended = map(&place, &[&flags[..], &["stands", "a", "b", "c"]].concat());
        ended.assert_code(76).assert_says(&["stands-0", "waits at `never`", "3 ended well, 1 stalled; 4 records"]);
        assert_eq!(place.read("out.csv"), rows(&[("a", 1), ("b", 1), ("c", 2)]), "-j {jobs}");
    }
}

/// What an interrupt ends may still be done by `--resume`, so nothing that comes after it may be in the file before that.
#[test]
fn with_keep_order_an_interrupt_leaves_what_resume_can_go_on_with_in_order() {
    let scripts =
        [("a", "rows 1"), ("b", "say here\nwait go\nrows 1"), ("c", "rows 1\nsay there"), ("d", "rows 1\nset go")];
    let place = with_scripts(&scripts);
    let program = guest("map_script");
    let names = scripts.map(|(name, _)| name);
    let flags = ["-k", "-j", "2", "--lock", "go:event"];
    // Without the last one nobody sets `go`, and the time limit keeps that from being a stall that ends.
    let waiting = [&flags[..], &["--timeout", "1h"], &names[..3]].concat();
    let mut run = place.start(&into_one(&program, &waiting));
    run.out.wait_for("[b-1] here");
    run.out.wait_for("[c-2] there");
    run.signal(Signal::INT);
    assert_eq!(run.wait(), 130, "{:?}", run.err.all());
    assert_eq!(place.read("out.csv"), rows(&[("a", 1)]));
    let resumed = map(&place, &[&["--resume"], &flags[..], &names].concat());
    resumed.assert_code(0).assert_says(&["3 ended well; 1 skipped as done; 3 records"]);
    assert_eq!(place.read("out.csv"), rows(&names.map(|name| (name, 1))));
}

/// What could not be written may be written later, so nothing that comes after it may be in the file before that.
#[test]
fn with_keep_order_nothing_is_committed_behind_what_could_not_be() {
    let scripts: Vec<_> = (0..60).map(|index| (format!("in-{index}"), if index == 2 { 5 } else { 1 })).collect();
    let place = Place::new();
    scripts.iter().for_each(|(name, count)| place.write(name, format!("rows {count}")));
    let names: Vec<_> = scripts.iter().map(|(name, _)| name.as_str()).collect();
    let ended = map(&place, &[&["-k", "-j", "2", "--max-file-records", "6"], &names[..]].concat());
    let fault =
        ["in-2-2 host fault: what the process appended could not be committed", "those of in-2-2 come before them"];
    ended.assert_says(&fault).assert_says(&["2 ended well", "more were not started", "; 2 records"]);
    assert!((1..=9).contains(&ended.code), "no more than the window of 8 was started:\n{ended}");
    assert_eq!(place.read("out.csv"), rows(&[("in-0", 1), ("in-1", 1)]));

    let resumed = map(&place, &[&["--resume", "-k", "-j", "2"], &names[..]].concat());
    resumed.assert_code(0).assert_says(&["58 processes: 58 ended well; 2 skipped as done"]);
    let expected: Vec<_> = scripts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(place.read("out.csv"), rows(&expected));
}

/// Random numbers that come out the same with every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Where a run was killed, by what was in its file then.
#[derive(Debug, Default)]
struct Kills {
    before_the_file: usize,
    before_the_first_row: usize,
    between: usize,
    after_the_last_row: usize,
    run_was_over: usize,
}

/// The host is killed at random moments, and again while it resumes. `ROUNDS` sets how many times that is done.
#[test]
fn after_kill_9_at_any_moment_resume_ends_with_the_records_of_a_run_without() {
    let rounds: u64 = std::env::var("ROUNDS").map_or(100, |rounds| rounds.parse().expect("ROUNDS is a number"));
    let mut random = Random(7);
    let scripts: Vec<_> = (0..40)
        .map(|index| {
            let (spin, rows) = (random.below(400_000), random.below(40) * random.below(10));
            // Some contents are equal, and some inputs append nothing.
            (format!("in-{index}"), format!("spin {spin}\nrows {rows}"))
        })
        .collect();
    let mut names: Vec<_> = scripts.iter().map(|(name, _)| name.as_str()).collect();
    // One is named twice.
    names[31] = names[4];
    let program = guest("map_script");
    let at = |round: u64| {
        let place = Place::new();
        scripts.iter().for_each(|(name, script)| place.write(name, script));
        // What a killed host leaves there goes with the place.
        std::fs::create_dir(place.path("tmp")).expect("a new directory");
        let order: &[&str] = if round.is_multiple_of(2) { &["-k", "-j", "4"] } else { &["-j", "4"] };
        let durability: &[&str] = if round % 4 < 2 { &[] } else { &["--durability", "synced"] };
        (place, [order, durability, &names[..]].concat())
    };
    let command = |place: &Place, args: &[&str]| {
        let mut command = place.lockkeeper(args);
        command.env("TMPDIR", place.path("tmp")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };

    let (place, args) = at(0);
    let begun = Instant::now();
    let status = command(&place, &into_one(&program, &args)).status().expect("it can be started");
    let took = begun.elapsed();
    assert!(status.success());
    let expected = place.read("out.csv");

    let (mut kills, mut resumes) = (Kills::default(), 0);
    for round in 0..rounds {
        let (place, args) = at(round);
        let resume = [&["--resume"], &args[..]].concat();
        let mut next = &args;
        for attempt in 0.. {
            let mut child = command(&place, &into_one(&program, next)).spawn().expect("it can be started");
            // Sooner each time, so that there is an end.
            let micros = u64::try_from(took.as_micros()).expect("a run is short") * 11 / 10;
            if attempt < 3 {
                std::thread::sleep(Duration::from_micros(random.below(micros)));
                // It may have ended by itself.
                drop(child.kill());
            }
            let status = child.wait().expect("it can be waited for");
            resumes += usize::from(attempt > 0);
            if status.success() {
                kills.run_was_over += usize::from(attempt == 0);
                break;
            }
            assert_eq!(status.code(), None, "round {round}, attempt {attempt}: it failed by itself");
            let written = std::fs::read_to_string(place.path("out.csv")).map(|text| text.len());
            *match written {
                Err(_) => &mut kills.before_the_file,
                Ok(0) => &mut kills.before_the_first_row,
                Ok(written) if written >= expected.len() => &mut kills.after_the_last_row,
                Ok(_) => &mut kills.between,
            } += 1;
            next = &resume;
        }
        let found = place.read("out.csv");
        if round % 2 == 0 {
            assert!(found == expected, "round {round}: the file is not that of a run without a crash");
        } else {
            assert!(sorted(&found) == sorted(&expected), "round {round}: other records than of a run without a crash");
        }
    }
    let records = expected.lines().count();
    figure(format_args!(
        "{rounds} rounds of {} inputs, {records} records, run of {took:.1?}: {resumes} resumes, {kills:?}",
        names.len()
    ));
    assert!(kills.between as u64 * 4 >= rounds, "most kills have missed: {kills:?}");
}

/// A second series in two files is killed at random moments, also while it begins: it is in both or in none.
#[test]
fn a_new_series_that_is_killed_while_it_begins_is_begun_in_all_files_or_in_none() {
    let rounds: u64 = std::env::var("ROUNDS").map_or(12, |rounds| rounds.parse().expect("ROUNDS is a number"));
    let mut random = Random(11);
    let program = guest("map_script");
    let files = ["--append", "one=one.csv", "--append", "two=two.csv"];
    let args = [&["map", &program][..], &files, &["a", "b", "c", "--", "one", "two"]].concat();
    let resume = [&["map", "--resume"], &args[1..]].concat();
    let once = rows(&[("a", 2), ("b", 1), ("c", 3)]);
    let (mut begun, mut took) = (0, Duration::ZERO);
    for _ in 0..rounds {
        let place = with_scripts(&[("a", "rows 2"), ("b", "rows 1"), ("c", "rows 3")]);
        std::fs::create_dir(place.path("tmp")).expect("a new directory");
        let start = || {
            let mut command = place.lockkeeper(&args);
            command.env("TMPDIR", place.path("tmp")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("it can be started")
        };
        let first = Instant::now();
        assert!(start().wait().expect("it can be waited for").success());
        took = took.max(first.elapsed());
        let mut second = start();
        let micros = u64::try_from(took.as_micros()).expect("a run is short");
        std::thread::sleep(Duration::from_micros(random.below(micros)));
        // It may have ended by itself.
        drop(second.kill());
        second.wait().expect("it can be waited for");
        place.run(&resume).assert_code(0);
        let [one, two] = ["one.csv", "two.csv"].map(|file| place.read(file));
        assert_same_records(&one, &two);
        let twice = one.len() > once.len();
        assert_same_records(&one, &once.repeat(if twice { 2 } else { 1 }));
        begun += u64::from(twice);
    }
    figure(format_args!("{rounds} rounds: in {begun} the second series had begun"));
}
