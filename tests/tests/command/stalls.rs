//! Processes that all wait for each other are ended, with 76, as soon as nothing else could go on. The cases are such that
//! need somebody outside, who does not come here.

use serde_json::Value;

use crate::primitives::{case, manifest};
use crate::support::{Ended, Place, guest};

const ZERO: &str = "zero_lets_everyone_go";

/// `run` of the latch's case, in which rank 0 waits for `go` and the others for the latch.
fn run_zero(place: &Place, more: &[&str]) -> Ended {
    let latch = guest("sync_latch");
    let things = ["--lock", "x:latch:5", "--lock", "go:event", "--value", "passed"];
    place.run(&[&["run"], more, &things[..], &[&latch, "--", ZERO]].concat())
}

#[test]
fn one_process_that_waits_for_nobody_ends_with_76_and_a_picture() {
    let place = Place::new();
    let ended = run_zero(&place, &[]);
    ended.assert_code(76).assert_says(&[
        "stall: sync_latch waits for what nobody is left to do\n",
        "\n  sync_latch  holds nothing  waits at `go` for the event to be set (",
        "\n  all of them are ended\n",
        "error: sync_latch waited for what nobody was left to do",
    ]);
}

#[test]
fn several_that_wait_for_each_other_end_with_76_and_who_holds_what_is_drawn() {
    let place = Place::new();
    // Rank 0 holds `l` and waits for `go`; the others wait for `l`.
    let ended = place.run_manifest(&manifest(case("sync_lock", "test_acquire_contended")));
    ended.assert_code(76).assert_says(&[
        "stall: all 5 processes wait, and nobody is left to wake one\n",
        "  case-0  holds `l` (exclusive)  waits at `go` for the event to be set (",
        "  case-1  holds nothing          waits at `l` for the lock (",
        "  case-4  holds nothing          waits at `l` for the lock (",
        "case-0 waited for what nobody was left to do",
        "5 processes: 5 stalled",
    ]);
    assert_eq!(ended.err().matches("stall: ").count(), 1, "{ended}");
}

#[test]
fn those_that_ended_before_do_not_hide_a_stall() {
    let place = Place::new();
    let hello = format!("[[process]]\nname = \"hello\"\nprogram = {:?}\ncount = 3\n", guest("cli_hello"));
    let ended = place.run_manifest(&(manifest(case("sync_event", "test_notify")) + &hello));
    ended.assert_code(76).assert_says(&["stall: all 6 processes wait", "9 processes: 3 ended well, 6 stalled"]);
}

/// The first five stand still until the last process, which is started after them, sets the event.
#[test]
fn a_job_that_is_still_being_started_does_not_stand_still() {
    let place = Place::new();
    let all = case("sync_latch", ZERO);
    let setter = |count: u32| {
        format!(
            "[[process]]\nname = \"hello\"\nprogram = {:?}\ncount = {count}\n\
             [[process]]\nname = \"setter\"\nprogram = {:?}\nargs = [\"{}\"]\ngrants = {{ lock = [\"go\"] }}\n",
            guest("cli_hello"),
            guest(all.program),
            all.setter("go")
        )
    };
    for between in [1, 300] {
        let ended = place.run_manifest(&(manifest(all) + &setter(between)));
        ended.assert_code(0);
        assert!(!ended.err().contains("stall: "), "{ended}");
    }
}

#[test]
fn a_stall_that_a_time_limit_ends_is_drawn_once_and_waited_for() {
    let place = Place::new();
    let ended = run_zero(&place, &["--timeout", "1s"]);
    ended.assert_code(124).assert_says(&[
        "stall: sync_latch waits for what nobody is left to do\n",
        "\n  a time limit may still let others go on: waiting for it\n",
        "error: sync_latch took longer than its time limit of 1s",
    ]);
    assert_eq!(ended.err().matches("stall: ").count(), 1, "{ended}");

    let several = run_zero(&place, &["-n", "3", "--timeout", "1s"]);
    several.assert_code(3).assert_says(&["stall: all 3 processes wait", "3 processes: 3 out of time"]);
    assert_eq!(several.err().matches("stall: ").count(), 1, "{several}");
}

/// Nobody waits for the lock, so that its end wakes nobody: what ended by itself does not any more.
#[test]
fn a_stall_that_goes_on_after_the_last_hold_was_taken_away_ends_with_76() {
    let place = Place::new();
    let locks =
        ["--lock", "l", "--lock", "held:event", "--lock", "go:event", "--lock", "ended:latch:4", "--value", "got"];
    let lock = guest("sync_lock");
    let args = ["--json", "--max-hold", "300ms", &lock, "--", "test_acquire_contended"];
    let ended = place.run(&[&["run"], &locks[..], &args].concat());
    ended.assert_code(76);
    let events = ended.events();
    let place_of = |what: &str| {
        events.iter().position(|event| event["event"] == what).unwrap_or_else(|| panic!("no {what}:\n{ended}"))
    };
    let stalled = &events[place_of("stalled")];
    assert_eq!(stalled["ends_by_itself"], true, "{ended}");
    assert_eq!(stalled["waits"][0]["holds"], serde_json::json!([{ "lock": "l", "how": "exclusive" }]), "{ended}");
    assert!(place_of("hold-long") < place_of("hold-ended") && place_of("hold-ended") < place_of("ended"), "{ended}");
    assert_eq!(events[place_of("hold-ended")]["how"], "expired", "{ended}");
}

/// The shape that scripts rely on.
#[test]
fn json_has_who_waits_at_what_for_what_and_holds_what() {
    let place = Place::new();
    place.write("job.toml", manifest(case("sync_lock", "test_acquire_contended")));
    let ended = place.run(&["run", "--json", "job.toml"]);
    ended.assert_code(76);
    assert_eq!(ended.err(), "", "pictures are for people");
    let events = ended.events();
    let stalls: Vec<&Value> = events.iter().filter(|event| event["event"] == "stalled").collect();
    let stalled = stalls.last().expect("it is reported");
    assert_eq!(stalled["ends_by_itself"], false);
    let waits = stalled["waits"].as_array().expect("a list");
    assert_eq!(waits.len(), 5);
    for (rank, wait) in waits.iter().enumerate() {
        let (at, what, holds) = match rank {
            0 => ("go", "the event to be set", serde_json::json!([{ "lock": "l", "how": "exclusive" }])),
            _ => ("l", "the lock", serde_json::json!([])),
        };
        assert_eq!(wait["name"], format!("case-{rank}"));
        assert_eq!((&wait["waits_at"], &wait["waits_for"]), (&Value::from(at), &Value::from(what)));
        assert_eq!(wait["holds"], holds);
        assert!(
            wait["process"].is_u64() && wait["waited"]["secs"].is_u64() && wait["waited"]["nanos"].is_u64(),
            "{wait}"
        );
    }
    let ends = events.iter().filter(|event| event["event"] == "ended" && event["outcome"]["how"] == "stalled").count();
    assert_eq!(ends, 5, "{ended}");
    assert_eq!(events.last().expect("a summary")["outcomes"], serde_json::json!({ "stalled": 5 }));
}

#[test]
fn map_ends_a_stall_of_those_at_work_goes_on_with_the_others_and_ends_with_76() {
    let place = Place::new();
    let inputs = ["a.txt", "b.txt", "c.txt", "d.txt"];
    inputs.iter().for_each(|input| place.write(input, "x\n"));
    let latch = guest("sync_latch");
    let map = |jobs: &str| {
        let things = ["--append", "f=out.txt", "--lock", "x:latch:5", "--lock", "go:event", "--value", "passed"];
        place.run(&[&["map", &latch, "-j", jobs], &things[..], &inputs, &["--", ZERO]].concat())
    };
    let two = map("2");
    two.assert_code(76).assert_says(&["a.txt-0  holds nothing  waits at `go`", "4 processes: 4 stalled; 0 records"]);
    assert!(two.err().matches("stall: ").count() >= 2, "each two stood still:\n{two}");
    let four = map("4");
    four.assert_code(76).assert_says(&["stall: all 4 processes wait", "4 processes: 4 stalled"]);
    assert_eq!(four.err().matches("stall: ").count(), 1, "{four}");
}
