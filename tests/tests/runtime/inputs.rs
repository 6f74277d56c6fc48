//! A process sees its inputs and nothing beside them, and what it appends for one commit goes in together or not at all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{Commit, Format, Limits, Placement, ProcessSpec, SpawnError};
use lockkeeper_tests::{TestHost, join, log_of, spec};

/// Makes files in the host's directory.
fn files(host: &TestHost, contents: &[(&str, &str)]) -> Vec<PathBuf> {
    let made = contents.iter().map(|(name, text)| {
        let path = host.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    });
    made.collect()
}

#[test]
fn process_reads_its_inputs_and_nothing_beside_them() {
    let host = TestHost::new();
    let read = host.program("cli_read");
    let job = host.job(&[]);
    let made = files(&host, &[("mine", "what is mine"), ("sibling", "what is not")]);
    let run = |path: &str| {
        let spec = ProcessSpec { inputs: vec![made[0].clone()], ..spec(&read, &[path], &[], &[]) };
        let (process, lines) = host.spawn_spec(&job, &read, spec);
        (join(&process).outcome.clone(), lines.all())
    };
    assert_eq!(run("/input/mine"), (Outcome::Returned, vec!["what is mine".to_owned()]));
    let outside = made[1].to_str().expect("text").to_owned();
    for path in ["/input/sibling", "/input/../sibling", "/sibling", "sibling", "/input", "/", &outside, "/etc/passwd"] {
        let (outcome, lines) = run(path);
        assert_eq!(outcome, Outcome::Failed, "{path}");
        assert!(!lines.concat().contains("what is"), "{path}: {lines:?}");
    }
}

#[test]
fn process_cannot_write_to_its_inputs_or_beside_them() {
    let host = TestHost::new();
    let raw = host.program("append_raw");
    let job = host.job(&[]);
    let made = files(&host, &[("mine", "what is mine")]);
    for path in ["/input/mine", "/input/new", "/input/../new", "/new", "new"] {
        let spec = ProcessSpec { inputs: made.clone(), ..spec(&raw, &[path, "1", "10", "x"], &[], &[]) };
        let (process, lines) = host.spawn_spec(&job, &raw, spec);
        assert_eq!(join(&process).outcome, Outcome::Failed, "{path}: {:?}", lines.all());
    }
    assert_eq!(log_of(&made[0]), b"what is mine");
    assert!(!host.path("new").exists());
}

#[test]
fn inputs_that_cannot_be_given_are_refused() {
    let host = TestHost::new();
    let read = host.program("cli_read");
    let job = host.job(&[]);
    let made = files(&host, &[("mine", "")]);
    let inner = host.path("inner");
    std::fs::create_dir(&inner).expect("a directory");
    std::fs::write(inner.join("mine"), "").expect("a file");
    for (inputs, word) in [
        (vec![host.path("missing")], "cannot be used"),
        (vec![inner.clone()], "not a regular file"),
        (vec![made[0].clone(), inner.join("mine")], "two inputs are called mine"),
    ] {
        let spec = ProcessSpec { inputs, ..spec(&read, &[], &[], &[]) };
        let refused = job.spawn(&read, &spec).expect_err("it starts").to_string();
        assert!(refused.contains(word), "{refused}");
    }
}

/// Thirty processes at the same time, of which every third fails and every third traps.
#[test]
fn rows_of_one_process_are_adjacent_and_those_of_a_failed_one_absent() {
    const INPUTS: usize = 30;
    const LINES: usize = 200;
    let host = TestHost::with_shards(2);
    let count = host.program("map_count");
    let header = ["input", "line", "bytes"].map(str::to_owned).into();
    let job = host.job_with_files(&[], vec![host.file("results", Format::Csv { header }, None)]);
    let processes: Vec<_> = (0..INPUTS)
        .map(|number| {
            let first = ["well", "fail", "trap"][number % 3];
            let rest: String = (1..LINES).map(|line| format!("{}\n", "x".repeat(line))).collect();
            let name = format!("input-{number}");
            let inputs = files(&host, &[(&name, &format!("{first}\n{rest}"))]);
            let spec = ProcessSpec {
                inputs,
                commit: Commit::AtEnd,
                placement: Placement::Spread,
                ..spec(&count, &[&format!("/input/{name}")], &[], &["results"])
            };
            host.spawn_spec(&job, &count, spec)
        })
        .collect();
    for (number, (process, lines)) in processes.iter().enumerate() {
        let outcome = &join(process).outcome;
        let as_expected = match number % 3 {
            0 => *outcome == Outcome::Returned,
            1 => *outcome == Outcome::Failed,
            _ => matches!(outcome, Outcome::Trapped { .. }),
        };
        assert!(as_expected, "input {number}: {outcome}, {:?}", lines.all());
    }

    let mut reader = csv::Reader::from_path(host.path("results")).expect("a file");
    assert_eq!(reader.headers().expect("a header"), ["input", "line", "bytes"].as_slice());
    let rows: Vec<(String, usize, usize)> = reader.deserialize().map(|row| row.expect("a row")).collect();
    let mut seen = BTreeMap::new();
    for rows in rows.chunks(LINES) {
        let (input, ..) = &rows[0];
        let expected = (0..LINES).map(|line| (input.clone(), line + 1, if line == 0 { 4 } else { line }));
        assert!(rows.iter().cloned().eq(expected), "the rows of {input} are not together, or not in order");
        assert!(seen.insert(input.clone(), ()).is_none(), "{input} is there twice");
    }
    let well: BTreeMap<_, _> = (0..INPUTS).step_by(3).map(|number| (format!("/input/input-{number}"), ())).collect();
    assert_eq!(seen, well);
}

#[test]
fn rows_of_a_process_that_was_stopped_are_absent() {
    let host = TestHost::new();
    let end = host.program("lock_end");
    let job = host.job_with_files(&["a"], vec![host.lines_file("file", None)]);
    let run = |how: &str, limits: Limits, kill: bool| {
        let spec = spec(&end, &["a", "file", how], &["a"], &["file"]);
        let (process, lines) = host.spawn_spec(&job, &end, ProcessSpec { commit: Commit::AtEnd, limits, ..spec });
        if kill {
            lines.wait_for("holding");
            process.kill();
        }
        join(&process).outcome.clone()
    };
    let limits = Limits::default();
    let timeout = Some(std::time::Duration::from_millis(20));
    assert_eq!(run("spin", limits.clone(), true), Outcome::Killed);
    assert_eq!(run("sleep", limits.clone(), true), Outcome::Killed);
    assert!(matches!(run("spin", Limits { timeout, ..limits.clone() }, false), Outcome::TimedOut { .. }));
    assert_eq!(run("stack", limits.clone(), false), Outcome::StackOverflow);
    assert_eq!(log_of(&host.path("file")), b"");
    assert_eq!(run("return", limits, false), Outcome::Returned);
    assert_eq!(log_of(&host.path("file")), b"held\n");
}

/// What waits for the end of its process would be written without the lock: it may be somebody else's by then.
#[test]
fn process_that_commits_at_its_end_gets_no_file_that_requires_a_lock() {
    let host = TestHost::new();
    let end = host.program("lock_end");
    let job = host.job_with_files(&["a"], vec![host.lines_file("file", Some("a"))]);
    let spec = ProcessSpec { commit: Commit::AtEnd, ..spec(&end, &["a", "file", "return"], &["a"], &["file"]) };
    let refused = job.spawn(&end, &spec).expect_err("it starts");
    assert!(matches!(refused, SpawnError::HeldBackUnderLock { .. }), "{refused}");
}

#[test]
fn held_back_records_have_a_limit() {
    let host = TestHost::new();
    let many = host.program("append_many");
    let job = host.job_with_files(&[], vec![host.lines_file("file", None)]);
    let limits = Limits { held_back_bytes_max: 1_000, ..Limits::default() };
    let run = |records: &str| {
        let spec = spec(&many, &["file", records, "99"], &[], &["file"]);
        let limits = limits.clone();
        let (process, lines) = host.spawn_spec(&job, &many, ProcessSpec { commit: Commit::AtEnd, limits, ..spec });
        (join(&process).outcome.clone(), lines.all())
    };
    assert_eq!(run("11"), (Outcome::Failed, vec!["error=limit".to_owned()]));
    let told = |event: &Event| matches!(event, Event::AppendFailed { error, .. } if error.contains("--max-held-back"));
    assert_eq!(host.events().iter().filter(|event| told(event)).count(), 1, "who looks on is told how to raise it");
    assert_eq!(log_of(&host.path("file")), b"");
    assert_eq!(run("10"), (Outcome::Returned, Vec::new()));
    assert_eq!(log_of(&host.path("file")).len(), 1_000);
}
