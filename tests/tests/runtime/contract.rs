//! What guests do wrong is refused by the words of `wit/`, and costs nobody else anything.

use lockkeeper::observe::{Kind, Outcome};
use lockkeeper::{Format, Limits, LockLimits, LockState, Process, ProcessSpec, SpawnError};
use lockkeeper_tests::{Lines, TestHost, log_of, spec};

#[test]
fn misuse_of_a_lock_is_refused_by_its_own_word() {
    let host = TestHost::new();
    let misuse = host.program("lock_misuse");
    let job = host.job(&["a"]);
    let (process, lines) = host.spawn(&job, &misuse, &["a"], &["a"], &[]);
    let exit = process.join_blocking();
    assert_eq!(exit.outcome, Outcome::Returned, "{:?}", lines.all());
    assert_eq!(
        lines.all(),
        [
            "release-not-held=not-held",
            "lock-twice=deadlock",
            "try-twice=none",
            "lock-by-another-handle=deadlock",
            "release-twice=not-held",
            "open-ungranted=denied",
            "open-bad-characters=invalid-name",
            "open-newline=invalid-name",
            "open-not-ascii=invalid-name",
            "open-empty=invalid-name",
            "open-64-bytes=denied",
            "open-65-bytes=invalid-name",
            "open-too-many=limit(handles)",
            "open-after-too-many=ok",
        ]
    );
    let denied: Vec<_> = exit.denials.iter().map(|denial| (denial.kind, denial.name.as_str())).collect();
    assert_eq!(denied, [(Kind::Lock, "no-such-lock"), (Kind::Lock, &"x".repeat(64))]);
    assert_eq!(job.inspect_lock("a").expect("a lock of the job").state, LockState::Free);
}

#[test]
fn records_that_no_file_takes_leave_it_as_it_was() {
    let host = TestHost::new();
    let bad = host.program("append_bad");
    let csv = Format::Csv { header: ["word", "count"].map(str::to_owned).into() };
    let job = host.job_with_files(&[], vec![host.lines_file("lines", None), host.file("csv", csv, None)]);
    let (process, lines) = host.spawn(&job, &bad, &["lines", "csv"], &[], &["lines", "csv"]);
    assert_eq!(process.join_blocking().outcome, Outcome::Returned, "{:?}", lines.all());
    assert_eq!(
        lines.all(),
        [
            "newline=invalid-argument",
            "newline-at-end=invalid-argument",
            "too-long=limit(record-bytes)",
            "row-in-lines=invalid-argument",
            "newline-in-batch=invalid-argument",
            "column-missing=invalid-argument",
            "column-too-many=invalid-argument",
            "raw-column-missing=invalid-argument",
            "raw-two-rows=invalid-argument",
            "raw-quote-open=invalid-argument",
            "ok",
        ]
    );
    assert_eq!(log_of(&host.path("lines")), b"good\n");
    assert_eq!(log_of(&host.path("csv")), b"word,count\ngood,1\n");
}

/// What the job has and did not grant looks the same as what it does not have, and the end of the process names it.
#[test]
fn what_was_not_granted_is_denied_and_named() {
    let host = TestHost::new();
    let (several, many) = (host.program("lock_several"), host.program("append_many"));
    let job = host.job_with_files(&["a", "b"], vec![host.lines_file("mine", None), host.lines_file("other", None)]);
    let (process, lines) = host.spawn(&job, &several, &["b", "a", "b", "c"], &["a"], &[]);
    let exit = process.join_blocking();
    assert_eq!(lines.all(), ["b=denied", "a=ok", "b=denied", "c=denied", "end"]);
    let denied: Vec<_> = exit.denials.iter().map(|denial| (denial.kind, denial.name.as_str())).collect();
    assert_eq!(denied, [(Kind::Lock, "b"), (Kind::Lock, "c")]);

    let (process, _) = host.spawn(&job, &many, &["other", "1", "1"], &[], &["mine"]);
    let exit = process.join_blocking();
    assert_eq!(exit.outcome, Outcome::Failed);
    let denied: Vec<_> = exit.denials.iter().map(|denial| (denial.kind, denial.name.as_str())).collect();
    assert_eq!(denied, [(Kind::File, "other")]);
    assert_eq!(log_of(&host.path("other")), b"");

    let ungranted = ProcessSpec { locks: vec!["c".to_owned()], ..ProcessSpec::default() };
    assert!(matches!(job.spawn(&several, &ungranted), Err(SpawnError::NoSuchGrant { .. })));
}

#[test]
fn handles_beyond_the_limit_are_refused() {
    let host = TestHost::new();
    let several = host.program("lock_several");
    let job = host.job(&["a", "b", "c"]);
    let limits = Limits { handles_max: 2, ..Limits::default() };
    let spec = ProcessSpec { limits, ..spec(&several, &["a", "b", "c"], &["a", "b", "c"], &[]) };
    let (process, lines) = host.spawn_spec(&job, &several, spec);
    assert_eq!(process.join_blocking().outcome, Outcome::Returned);
    assert_eq!(lines.all(), ["a=ok", "b=ok", "c=limit(handles)", "end"]);
}

#[test]
fn waiters_beyond_the_limit_are_refused() {
    let limits = LockLimits { waiters_per_lock_max: 2, ..LockLimits::default() };
    let host = TestHost::configured(|config| config.lock_limits = limits);
    let (end, several) = (host.program("lock_end"), host.program("lock_several"));
    let job = host.job(&["a"]);
    let (holder, lines) = host.spawn(&job, &end, &["a", "-", "sleep"], &["a"], &[]);
    lines.wait_for("holding");
    let waiters: Vec<_> = (1..=2)
        .map(|count| {
            let waiter = host.spawn(&job, &several, &["a"], &["a"], &[]);
            host.until_lock(&job, "a", "it waits", |view| view.queue.len() == count);
            waiter
        })
        .collect();
    let (refused, lines) = host.spawn(&job, &several, &["a"], &["a"], &[]);
    refused.join_blocking();
    assert_eq!(lines.all(), ["a=limit(waiters)", "end"]);
    holder.kill();
    let all = |(process, lines): &(Process, Lines)| {
        process.join_blocking();
        lines.all()
    };
    assert_eq!(waiters.iter().map(all).collect::<Vec<_>>(), [["a=ok", "end"], ["a=ok", "end"]]);
    assert_eq!(job.inspect_lock("a").expect("a lock of the job").state, LockState::Free);
}

#[test]
fn holds_beyond_the_limit_are_refused() {
    let limits = LockLimits { holds_per_owner_max: 2, ..LockLimits::default() };
    let host = TestHost::configured(|config| config.lock_limits = limits);
    let several = host.program("lock_several");
    let names = ["a", "b", "c"];
    let job = host.job(&names);
    let (process, lines) = host.spawn(&job, &several, &names, &names, &[]);
    process.join_blocking();
    assert_eq!(lines.all(), ["a=ok", "b=ok", "c=limit(holds)", "end"]);
    for name in names {
        assert_eq!(job.inspect_lock(name).expect("a lock of the job").state, LockState::Free);
    }
}
