//! A deadlock is drawn for people, and is data with `--json`.

use serde_json::Value;

use crate::primitives::{case, manifest};
use crate::support::{Place, guest};

#[test]
fn a_deadlock_of_two_is_drawn_with_names_locks_modes_and_times() {
    let place = Place::new();
    let ended = place.run_manifest(&manifest(case("sync_multi", "test_deadlock@mutex-2")));
    ended.assert_code(0).assert_says(&["1 deadlock refused"]);
    let lines: Vec<&str> = ended.err().lines().collect();
    let start = lines.iter().position(|line| line.starts_with("deadlock: ")).expect("it is drawn");
    let [title, first, refused] = &lines[start..start + 3] else { panic!("three lines: {ended}") };
    let who = if title.starts_with("deadlock: case-0 ") { ["1", "0"] } else { ["0", "1"] };
    assert_eq!(*title, format!("deadlock: case-{} waits for a lock that would never come free", who[1]));
    for (line, [own, next]) in [(first, who), (refused, [who[1], who[0]])] {
        assert!(line.starts_with(&format!("  case-{own}  holds `l{own}` (exclusive, ")), "{ended}");
        assert!(line.contains(&format!("waits for `l{next}` (exclusive)")), "{ended}");
    }
    assert!(refused.ends_with("   <- refused") && !first.contains("<- refused"), "{ended}");
}

#[test]
fn a_deadlock_of_other_locks_is_drawn_with_their_modes() {
    let place = Place::new();
    for (name, held, asked) in [
        ("test_deadlock@read-10", "shared", "exclusive"),
        ("test_deadlock@semaphore-10", "permits", "permits"),
        ("test_deadlock@write-10", "exclusive", "exclusive"),
    ] {
        let ended = place.run_manifest(&manifest(case("sync_multi", name)));
        ended.assert_code(0);
        let drawn: Vec<&str> = ended.err().lines().filter(|line| line.contains("waits for `")).collect();
        assert_eq!(drawn.len(), 10, "{ended}");
        assert!(
            drawn.iter().all(|line| line.contains(&format!("({held}, ")) && line.contains(&format!("({asked})"))),
            "{ended}"
        );
    }
}

#[test]
fn who_asks_again_for_its_own_lock_is_drawn_alone() {
    let place = Place::new();
    let ended = place.run(&["run", "--lock", "x:once", &guest("sync_once"), "--", "asking_twice_is_a_deadlock"]);
    ended.assert_code(0).assert_says(&[
        "deadlock: sync_once waits for a lock that would never come free\n  sync_once  holds `x` (exclusive, ",
        ")  waits for `x` (exclusive)   <- refused\n",
    ]);
}

/// The shape that scripts rely on.
#[test]
fn json_has_the_circle_with_names_locks_modes_and_times() {
    let place = Place::new();
    place.write("job.toml", manifest(case("sync_multi", "test_deadlock@mutex-2")));
    let ended = place.run(&["run", "--json", "job.toml"]);
    ended.assert_code(0);
    assert_eq!(ended.err(), "", "pictures are for people");
    let events = ended.events();
    let deadlocks: Vec<&Value> = events.iter().filter(|event| event["event"] == "deadlock").collect();
    let [deadlock] = deadlocks[..] else { panic!("one deadlock: {ended}") };
    let circle = deadlock["circle"].as_array().expect("a list");
    assert_eq!(circle.len(), 2);
    assert_eq!(circle[0]["process"], deadlock["process"], "the circle begins with who was refused");
    for (index, link) in circle.iter().enumerate() {
        let own = link["name"].as_str().and_then(|name| name.strip_prefix("case-")).expect("a name");
        let next = circle[1 - index]["name"].as_str().and_then(|name| name.strip_prefix("case-")).expect("a name");
        assert_eq!(link["holds"], format!("l{own}"));
        assert_eq!(link["waits_for"], format!("l{next}"));
        assert_eq!((&link["held_as"], &link["asks_as"]), (&Value::from("exclusive"), &Value::from("exclusive")));
        assert!(link["held_for"]["secs"].is_u64() && link["held_for"]["nanos"].is_u64(), "{link}");
        assert!(link["process"].is_u64(), "{link}");
        let keys = ["asks_as", "held_as", "held_for", "holds", "name", "process", "waits_for"];
        assert!(link.as_object().expect("an object").keys().all(|key| keys.contains(&key.as_str())), "{link}");
    }
    assert_eq!(events.last().expect("a summary")["deadlocks"], 1);
}
