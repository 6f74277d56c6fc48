//! What guests do wrong is refused by the words of `wit/`, and costs nobody else anything.

use lockkeeper::observe::{Event, Kind, Outcome};
use lockkeeper::{Format, Limits, LockLimits, LockState, Process, ProcessSpec, Program, SpawnError};
use lockkeeper_tests::{Lines, TestHost, join, log_of, spec};

#[test]
fn misuse_of_a_lock_is_refused_by_its_own_word() {
    let host = TestHost::new();
    let misuse = host.program("lock_misuse");
    let job = host.job(&["a"]);
    let (process, lines) = host.spawn(&job, &misuse, &["a"], &["a"], &[]);
    let exit = join(&process);
    assert_eq!(exit.outcome, Outcome::Returned, "{:?}", lines.all());
    assert_eq!(
        lines.all(),
        [
            "release-not-held=not-held",
            "lock-twice=deadlock",
            "try-twice=none",
            "lock-by-another-handle=deadlock",
            "release-twice=not-held",
            "release-by-a-stale-guard=fenced",
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
    // Of each hold it is said once that it ends: a refused release ends none.
    let events = host.events();
    let granted =
        events.iter().filter_map(|event| if let Event::Granted { fence, .. } = event { Some(*fence) } else { None });
    let released =
        events.iter().filter_map(|event| if let Event::Released { fence, .. } = event { Some(*fence) } else { None });
    assert_eq!(released.collect::<Vec<_>>(), granted.collect::<Vec<_>>());
    let denied: Vec<_> = exit.denials.iter().map(|denial| (denial.kind, denial.name.as_str())).collect();
    assert_eq!(denied, [(Kind::Mutex, "no-such-lock"), (Kind::Mutex, &"x".repeat(64))]);
    assert_eq!(job.inspect_lock("a").expect("a lock of the job").state, LockState::Free);
}

#[test]
fn records_that_no_file_takes_leave_it_as_it_was() {
    let host = TestHost::new();
    let bad = host.program("append_bad");
    let csv = Format::Csv { header: ["word", "count"].map(str::to_owned).into() };
    let job = host.job_with_files(&[], vec![host.lines_file("lines", None), host.file("csv", csv, None)]);
    let (process, lines) = host.spawn(&job, &bad, &["lines", "csv"], &[], &["lines", "csv"]);
    assert_eq!(join(&process).outcome, Outcome::Returned, "{:?}", lines.all());
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
    let exit = join(&process);
    assert_eq!(lines.all(), ["b=denied", "a=ok", "b=denied", "c=denied", "end"]);
    let denied: Vec<_> = exit.denials.iter().map(|denial| (denial.kind, denial.name.as_str())).collect();
    assert_eq!(denied, [(Kind::Mutex, "b"), (Kind::Mutex, "c")]);

    let (process, _) = host.spawn(&job, &many, &["other", "1", "1"], &[], &["mine"]);
    let exit = join(&process);
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
    assert_eq!(join(&process).outcome, Outcome::Returned);
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
    join(&refused);
    assert_eq!(lines.all(), ["a=limit(waiters)", "end"]);
    holder.kill();
    let all = |(process, lines): &(Process, Lines)| {
        join(process);
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
    join(&process);
    assert_eq!(lines.all(), ["a=ok", "b=ok", "c=limit(holds)", "end"]);
    for name in names {
        assert_eq!(job.inspect_lock(name).expect("a lock of the job").state, LockState::Free);
    }
}

/// A program made by hand, for no compiler makes one like it: it uses the handle of this number, which it never
/// opened, of a mutex. The number counts in its own table and nowhere else.
fn forger(call: &str, number: u32) -> String {
    format!(
        r#"(component
            (import "lockkeeper:runtime/mutex@0.1.0" (instance $mutex
                (export "mutex" (type $handle (sub resource)))
                (export "[method]mutex.locked" (func (param "self" (borrow $handle)) (result bool)))))
            (alias export $mutex "mutex" (type $handle))
            (alias export $mutex "[method]mutex.locked" (func $locked))
            (core func $locked (canon lower (func $locked)))
            (core func $drop (canon resource.drop $handle))
            (core module $module
                (import "host" "locked" (func $locked (param i32) (result i32)))
                (import "host" "drop" (func $drop (param i32)))
                (func (export "run") (result i32) {call} (i32.const 0)))
            (core instance $instance (instantiate $module
                (with "host" (instance (export "locked" (func $locked)) (export "drop" (func $drop))))))
            (func $run (result (result)) (canon lift (core func $instance "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $export)))"#,
        call = call.replace("NUMBER", &format!("(i32.const {number})"))
    )
}

#[test]
fn handles_of_one_process_mean_nothing_in_another() {
    let host = TestHost::with_shards(1);
    let end = host.program("lock_end");
    let job = host.job(&["a", "b"]);
    // It has open handles, whose numbers are small, and one of them is held.
    let (owner, lines) = host.spawn(&job, &end, &["a", "-", "sleep", "b"], &["a", "b"], &[]);
    lines.wait_for("holding");
    let run = |name: &str, text: &str| {
        let path = host.path(name);
        std::fs::write(&path, wat::parse_str(text).expect("a component")).expect("a file");
        let program = Program::from_file(host.runtime(), &path).expect("a program");
        join(&host.spawn(&job, &program, &[], &["a", "b"], &[]).0).outcome.clone()
    };
    assert_eq!(run("harmless.wasm", &forger("", 0)), Outcome::Returned);
    for number in [0, 1, 2, 3, u32::MAX] {
        for call in ["(drop (call $locked NUMBER))", "(call $drop NUMBER)"] {
            let outcome = run("forger.wasm", &forger(call, number));
            let unknown = matches!(&outcome, Outcome::Trapped { message } if message.contains("unknown handle index"));
            assert!(unknown, "{call} with {number}: {outcome}");
        }
    }
    let holder = job.inspect_lock("a").expect("a lock of the job").holder();
    assert_eq!(holder.map(|holder| holder.owner.get()), Some(owner.id().get()));
}
