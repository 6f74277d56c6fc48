//! A process that takes too much ends, and is told of with its limit.

use crate::support::{Place, guest};

#[test]
fn a_process_beyond_its_time_ends_with_124_and_its_limit_is_told() {
    let place = Place::new();
    let ended = place.run(&["run", "--lock", "a", "--timeout", "100ms", &guest("lock_end"), "--", "a", "-", "spin"]);
    ended.assert_code(124).assert_says(&["error: lock_end took longer than its time limit of 100ms"]);
    assert_eq!(ended.out(), "holding\n");
}

#[test]
fn a_process_beyond_its_memory_ends_with_134_and_its_limit_is_told() {
    let place = Place::new();
    let args = ["run", "--lock", "a", "--max-memory", "8MiB", &guest("lock_end"), "--", "a", "-", "memory"];
    place.run(&args).assert_code(134).assert_says(&["error: lock_end asked for more than its 8 MiB of memory"]);
}

#[test]
fn a_process_beyond_its_stack_ends_with_134() {
    let place = Place::new();
    let ended = place.run(&["run", "--lock", "a", &guest("lock_end"), "--", "a", "-", "stack"]);
    ended.assert_code(134).assert_says(&["error: lock_end ran out of stack"]);
}

#[test]
fn a_record_beyond_its_limit_is_refused_and_the_largest_one_is_not() {
    let place = Place::new();
    let many = guest("append_many");
    let append =
        |bytes| place.run(&["run", "--append", "f=f.txt", "--max-record", "1KiB", &many, "--", "f", "1", bytes]);
    let ended = append("1025");
    ended.assert_code(1);
    assert_eq!(ended.out(), "error=limit\n");
    assert_eq!(place.read("f.txt"), "");
    append("1024").assert_code(0);
    assert_eq!(place.read("f.txt"), "a".repeat(1024) + "\n");
}

#[test]
fn output_beyond_its_limit_is_dropped_and_told() {
    let place = Place::new();
    let ended = place.run(&["run", "-n", "2", "--max-output", "20B", &guest("cli_hello"), "--", "0123456789abcdef"]);
    ended.assert_code(0).assert_says(&["cli_hello-0 printed more than its limit", "--max-output"]);
    assert!(ended.out().lines().all(|line| line.len() <= "[cli_hello-0] ".len() + 20), "{ended}");
}

#[test]
fn handles_beyond_their_limit_are_refused() {
    let place = Place::new();
    let ended = place.run(&["run", "--lock", "a", "--max-handles", "2", &guest("lock_misuse"), "--", "a"]);
    ended.assert_code(0);
    assert!(ended.out().contains("open-too-many=limit"), "{ended}");
    let zero = place.run(&["run", "--lock", "a", "--max-handles", "0", &guest("lock_next"), "--", "a"]);
    zero.assert_code(1);
}

/// More at once than there is room for is told before anything begins, with what to do about it.
#[test]
fn a_run_that_cannot_fit_is_refused_before_a_file_is_opened() {
    let place = Place::new();
    let hello = guest("cli_hello");
    let many = place.run(&["run", "-n", "50000", "--profile", "image", "--append", "f=f.txt", &hello]);
    many.assert_refused(&["50000 processes at once", "profile `image`", "--profile dense"]);
    assert!(!place.path("f.txt").exists(), "nothing was opened");
}

#[test]
fn the_profile_is_picked_by_the_program_or_said_and_the_summary_tells() {
    let place = Place::new();
    let hello = guest("cli_hello");
    for (count, flags, profile) in [
        ("3", &[][..], "image"),
        ("3", &["--profile", "auto"][..], "image"),
        ("3", &["--profile", "dense"][..], "dense"),
        ("3", &["--profile", "image"][..], "image"),
        ("1001", &[][..], "dense"),
    ] {
        let ended = place.run(&[&["run", "--json", "-n", count][..], flags, &[&hello]].concat());
        ended.assert_code(0);
        let summary = format!(r#""profiles":{{"{profile}":{count}}}"#);
        assert!(ended.out().contains(&summary), "`{summary}` is missing in\n{ended}");
    }
    let inspected = |flags: &[&str]| place.run(&[&["inspect"][..], flags, &[&hello]].concat()).out().to_owned();
    assert!(inspected(&[]).contains("profile: image up to 1000 processes at once, dense beyond that ("));
    assert!(inspected(&["--profile", "dense"]).contains("profile: dense ("));
    place.write("large.wat", "(module (memory (export \"memory\") 100) (func (export \"_start\")))");
    let inspected = place.run(&["inspect", "large.wat"]);
    assert!(inspected.out().contains("profile: image (its memory begins with 6.2 MiB"), "{inspected}");
    place.run(&["run", "large.wat"]).assert_code(0);
}
