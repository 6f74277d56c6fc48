//! When a `map` ends early, who is started once more, and what a time limit in percent is.

use serde_json::Value;

use crate::support::{Ended, Place, guest, with_scripts};

/// `map` of `map_script` without append files.
fn map(place: &Place, more: &[&str]) -> Ended {
    place.run(&[&["map", &guest("map_script")], more].concat())
}

#[test]
fn soon_nothing_more_is_started_and_those_that_run_end_by_themselves() {
    let place = with_scripts(&[("a", "wait go\nsay end"), ("fails", "trap"), ("c", "say never")]);
    let ended = map(&place, &["-j", "1", "--halt", "soon,fail=1", "fails", "c"]);
    ended.assert_code(134).assert_says(&["--halt soon,fail=1: 1 failed, 0 ended well; nothing more is started"]);
    ended.assert_says(&["1 process: 1 trapped; 1 more were not started"]);
    assert_eq!(ended.out(), "");

    // The other one runs when this one fails.
    place.write("fails", "set go\nneeds KEY");
    let ended = map(&place, &["-j", "2", "--lock", "go:event", "--halt", "soon,fail=1", "a", "fails"]);
    ended.assert_code(1).assert_says(&["2 processes: 1 ended well, 1 failed"]);
    assert_eq!(ended.out(), "[a-0] end\n");
}

#[test]
fn now_those_that_run_are_ended_and_the_exit_code_is_that_of_the_failure() {
    let place = with_scripts(&[("stays", "forever"), ("fails", "trap"), ("c", "say never")]);
    let ended = map(&place, &["-j", "2", "--halt", "now,fail=1", "stays", "fails", "c"]);
    ended.assert_code(134).assert_says(&["ending those that run", "1 shut down, 1 trapped; 1 more were not started"]);
    assert_eq!(ended.out(), "");
}

#[test]
fn enough_successes_end_a_run_with_0_whatever_has_failed() {
    let place = with_scripts(&[("fails", "needs KEY"), ("a", ""), ("stays", "forever")]);
    let ended = map(&place, &["-j", "2", "--halt", "now,success=1", "fails", "a", "stays"]);
    ended.assert_code(0).assert_says(&["--halt now,success=1: "]);
    // Not reached, it changes nothing.
    map(&place, &["--halt", "now,success=2", "fails", "a"]).assert_code(1);
}

#[test]
fn of_a_share_the_exit_code_is_the_share_that_failed_and_of_a_count_the_number() {
    let place = with_scripts(&[("f", "needs KEY"), ("a", "")]);
    let ended = map(&place, &["-j", "1", "--halt", "soon,fail=50%", "f", "a", "f", "a"]);
    ended.assert_code(50).assert_says(&["3 processes: 1 ended well, 2 failed; 1 more were not started"]);
    map(&place, &["-j", "1", "--halt", "soon,fail=2", "f", "f", "f"]).assert_code(2).assert_says(&["2 failed; 1 more"]);
    map(&place, &["-j", "1", "--halt", "soon,done=2", "a", "f", "a"]).assert_code(1).assert_says(&["1 more were not"]);
    map(&place, &["-j", "1", "--halt", "never", "f", "a"]).assert_code(1).assert_says(&["2 processes"]);
    // The numbers of old scripts.
    map(&place, &["-j", "1", "--halt", "1", "f", "a"]).assert_code(1).assert_says(&["1 more were not started"]);
    map(&place, &["-j", "1", "--halt", "-1", "a", "f"]).assert_code(0).assert_says(&["1 more were not started"]);
}

#[test]
fn a_halt_that_is_none_is_refused_with_what_to_write() {
    let place = with_scripts(&[("a", "")]);
    for (halt, words) in [
        ("now", "such as now,fail=1"),
        ("nwo,fail=1", "did you mean `now`?"),
        ("now,fail", "write fail=1"),
        ("soon,fails=2", "did you mean `fail`?"),
        ("now,fail=0", "a number from 1"),
        ("now,fail=101%", "from 1% to 100%"),
    ] {
        map(&place, &["--halt", halt, "a"]).assert_refused(&["--halt", words]);
    }
}

#[test]
fn with_keep_order_an_early_end_leaves_what_resume_can_go_on_with_in_order() {
    let scripts = [("a", "rows 1"), ("stays", "wait go\nrows 1"), ("fails", "needs KEY"), ("d", "rows 1")];
    let place = with_scripts(&scripts);
    let program = guest("map_script");
    let run = |more: &[&str]| {
        let flags = ["map", &program, "-k", "-j", "3", "--append", "out=out.csv", "--lock", "go:event"];
        place.run(&[&flags, more, &["a", "stays", "fails", "d", "--", "out"]].concat())
    };
    // The time limit keeps the wait from being a stall that is ended. The one that waits may notice that it is being ended, and
    // fail of it, or not.
    run(&["--halt", "now,fail=1", "--timeout", "1h"])
        .assert_code(1)
        .assert_says(&["processes: 1 ended well", "1 record"]);
    assert_eq!(place.read("out.csv"), "/input/a,1\n");
    place.write("fails", "set go\nrows 1");
    run(&["--resume"]).assert_code(0).assert_says(&["3 processes: 3 ended well; 1 skipped as done"]);
    assert_eq!(place.read("out.csv"), "/input/a,1\n/input/stays,1\n/input/fails,1\n/input/d,1\n");
}

#[test]
fn one_that_fails_is_started_again_until_its_tries_are_over() {
    let place = with_scripts(&[("a", "rows 1\ntry 2 work/a\nrows 1"), ("b", "rows 1")]);
    std::fs::create_dir(place.path("work")).expect("a new directory");
    let run = |more: &[&str]| {
        let flags = ["map", &guest("map_script"), "--append", "out=out.csv", "--dir", "work", "-j", "1"];
        place.run(&[&flags[..], more, &["a", "b", "--", "out"]].concat())
    };
    run(&["--retries", "2"]).assert_code(1).assert_says(&["2 processes: 1 ended well, 1 failed; 1 retry; 1 record"]);
    std::fs::remove_file(place.path("work/a")).expect("it was made");
    let ended = run(&["--retries", "3", "--if-exists", "replace", "--json"]);
    ended.assert_code(0);
    assert_eq!(place.read("out.csv").lines().count(), 3, "a try that failed leaves no rows:\n{ended}");
    let events = ended.events();
    let tries: Vec<_> =
        events.iter().filter(|event| event["event"] == "retried").map(|event| &event["attempt"]).collect();
    assert_eq!(tries, [&Value::from(2), &Value::from(3)], "{ended}");
    let summary = events.last().expect("a summary");
    assert_eq!((&summary["processes"], &summary["retries"]), (&Value::from(2), &Value::from(2)), "{ended}");
}

#[test]
fn with_keep_order_one_that_is_started_again_keeps_its_place() {
    let place = with_scripts(&[("a", "try 1 work/a\nrows 1"), ("b", "rows 1"), ("c", "rows 1")]);
    std::fs::create_dir(place.path("work")).expect("a new directory");
    let flags = ["-k", "-j", "2", "--retries", "2", "--append", "out=out.csv", "--dir", "work"];
    let ended = map(&place, &[&flags[..], &["a", "b", "c", "--", "out"]].concat());
    ended.assert_code(0).assert_says(&["3 ended well; 1 retry; 3 records"]);
    assert_eq!(place.read("out.csv"), "/input/a,1\n/input/b,1\n/input/c,1\n");
}

#[test]
fn a_failure_that_is_tried_again_does_not_count_before_its_last_try() {
    let place = with_scripts(&[("a", "try 1 work/a"), ("b", "say b")]);
    std::fs::create_dir(place.path("work")).expect("a new directory");
    let flags = ["-j", "1", "--retries", "2", "--halt", "now,fail=1", "--dir", "work"];
    map(&place, &[&flags[..], &["a", "b"]].concat()).assert_code(0).assert_says(&["2 ended well; 1 retry"]);
}

#[test]
fn one_that_takes_longer_than_a_share_of_the_median_is_out_of_time() {
    let place = with_scripts(&[("stays", "forever"), ("a", ""), ("b", ""), ("c", ""), ("d", "")]);
    // It runs while the others end, so the limit comes when it has long been started.
    let inputs = ["stays", "a", "b", "c", "d"];
    let ended = map(&place, &[&["-j", "2", "--timeout", "100000%", "--json"], &inputs[..]].concat());
    ended.assert_code(1);
    let events = ended.events();
    let outcome = events.iter().find(|event| event["event"] == "ended" && event["name"] == "stays-0");
    assert_eq!(outcome.expect("it has ended")["outcome"]["how"], "timed-out", "{ended}");

    for (limit, words) in
        [("0%", "a whole number"), ("x%", "a whole number"), ("1.5%", "a whole number"), ("x", "is no time")]
    {
        map(&place, &["--timeout", limit, "a"]).assert_refused(&["--timeout", words]);
    }
    place.run(&["run", "--timeout", "200%", &guest("cli_hello")]).assert_refused(&["--timeout", "goes with map"]);
}

/// One that waits for its turn to commit has ended, and takes the time of those before it.
#[test]
fn with_keep_order_a_share_of_the_median_does_not_end_those_that_wait_for_their_turn() {
    // Three end well at once, so there is a limit; then the first of the next two computes for long.
    let place = with_scripts(&[("a", ""), ("b", ""), ("c", ""), ("slow", "spin 30000000\nrows 1"), ("fast", "rows 1")]);
    let inputs = ["a", "b", "c", "slow", "fast", "--", "out"];
    let ended =
        map(&place, &[&["-k", "-j", "2", "--timeout", "1000000%", "--append", "out=out.csv"], &inputs[..]].concat());
    ended.assert_code(0).assert_says(&["5 ended well; 2 records"]);
    assert_eq!(place.read("out.csv"), "/input/slow,1\n/input/fast,1\n");
}
