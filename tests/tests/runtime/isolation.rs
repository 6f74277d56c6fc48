//! Whatever one guest does, the others and the host go on.

use std::time::Duration;

use lockkeeper::observe::Outcome;
use lockkeeper::{Access, DirGrant, JobSpec, Limits, LockState, ProcessSpec, SpawnError};
use lockkeeper_tests::{TestHost, join, log_of, spec};

/// One that computes for ever shares its thread with fifty that append under a lock; it computes before the first of
/// them starts and after the last has ended.
#[test]
fn spinning_guest_does_not_stop_the_others_of_its_shard() {
    let host = TestHost::with_shards(1);
    let (end, append) = (host.program("lock_end"), host.program("lock_append"));
    let job = host.job_with_files(&["a", "b"], vec![host.lines_file("file", Some("a"))]);
    let (spinner, lines) = host.spawn(&job, &end, &["b", "-", "spin"], &["b"], &[]);
    lines.wait_for("holding");
    let others: Vec<_> = (0..50)
        .map(|rank| {
            let spec = spec(&append, &["a", "file", "20", "3"], &["a"], &["file"]);
            job.spawn(&append, &ProcessSpec { rank, count: 50, ..spec }).expect("a process")
        })
        .collect();
    for other in others {
        assert_eq!(join(&other).outcome, Outcome::Returned);
    }
    lockkeeper_guest_programs::check(&log_of(&host.path("file")), 3, 50, 20).expect("every record");
    assert!(spinner.try_join().is_none());
    spinner.kill();
    assert_eq!(join(&spinner).outcome, Outcome::Killed);
}

/// A guest that computes yields each millisecond, and the engine's own way of yielding came back up to 61 times before the
/// shard looked at its clock or at new processes: a start, or a timeout, took that many milliseconds longer. It is the
/// middle of many times that is looked at, so that a busy machine does not matter.
#[test]
fn starts_and_timeouts_beside_a_spinning_guest_are_prompt() {
    let host = TestHost::with_shards(1);
    let (end, next) = (host.program("lock_end"), host.program("lock_next"));
    let job = host.job(&["a"]);
    let (spinner, lines) = host.spawn(&job, &end, &["a", "-", "spin"], &["a"], &[]);
    lines.wait_for("holding");
    let mut lives: Vec<Duration> = (0..51)
        .map(|_| {
            let (waiter, lines) = host.spawn(&job, &next, &["a", "1"], &["a"], &[]);
            let exit = join(&waiter);
            assert_eq!(lines.all(), ["error=timed-out"]);
            exit.lived
        })
        .collect();
    lives.sort_unstable();
    assert!(lives[25] < Duration::from_millis(30), "{lives:?}");
    spinner.kill();
}

#[test]
fn output_beyond_its_limit_is_dropped_and_counted() {
    const PRINTED: u64 = 100_000_000;
    const KEPT: u64 = 10_000_500;
    let host = TestHost::new();
    let flood = host.program("cli_flood");
    let job = host.job(&[]);
    let limits = Limits { output_bytes_max: KEPT, ..Limits::default() };
    let lines = (PRINTED / 1_000).to_string();
    let spec = ProcessSpec { limits, ..spec(&flood, &[&lines], &[], &[]) };
    let (process, lines) = host.spawn_spec(&job, &flood, spec);
    let exit = join(&process);
    assert_eq!(exit.outcome, Outcome::Returned);
    assert_eq!(exit.output_dropped_bytes, PRINTED - KEPT);
    let lines = lines.all();
    assert_eq!(lines.len(), 10_001);
    assert!(lines[..10_000].iter().all(|line| line.len() == 999));
    assert_eq!(lines[10_000].len(), 500);
}

#[test]
fn a_thousand_panics_among_a_thousand_handles_leave_nothing() {
    const LIVES: usize = 1_000;
    let host = TestHost::new();
    let panic = host.program("lock_panic");
    let job = host.job_with_files(&["a"], vec![host.lines_file("file", Some("a"))]);
    for _ in 0..LIVES / 20 {
        let batch: Vec<_> =
            (0..20).map(|_| host.spawn(&job, &panic, &["a", "file", "500"], &["a"], &["file"])).collect();
        for (process, lines) in batch {
            let outcome = &join(&process).outcome;
            assert!(matches!(outcome, Outcome::Trapped { .. }), "{outcome}");
            assert!(lines.all().iter().any(|line| line.contains("as it was told to")), "{:?}", lines.all());
        }
    }
    let view = job.inspect_lock("a").expect("a lock of the job");
    assert_eq!((view.state, view.holder(), view.queue.len()), (LockState::Free, None, 0));
    assert_eq!((view.counters.acquired, view.counters.abandoned), (LIVES as u64, LIVES as u64));
    assert_eq!(log_of(&host.path("file")), "before the panic\n".repeat(LIVES).as_bytes());
}

#[test]
fn host_call_beyond_its_limit_ends_its_process_and_no_other() {
    let host = TestHost::with_shards(1);
    let many = host.program("append_many");
    let mut file = host.lines_file("file", None);
    file.file.record_bytes_max = 8 << 20;
    let job = host.job_with_files(&[], vec![file]);
    let run = |bytes: u64| host.spawn(&job, &many, &["file", "1", &bytes.to_string()], &[], &["file"]);
    let (fits, too_much, also_fits) = (run(1 << 20), run(3 << 20), run(1 << 20));
    assert_eq!(join(&fits.0).outcome, Outcome::Returned);
    let outcome = &join(&too_much.0).outcome;
    assert!(matches!(outcome, Outcome::Trapped { message } if message.contains("its limit of 2 MiB")), "{outcome}");
    assert_eq!(join(&also_fits.0).outcome, Outcome::Returned);
    assert_eq!(log_of(&host.path("file")).len(), 2 * ((1 << 20) + 1));
}

/// Two hosts of one system process. That two system processes exclude each other is a matter of the append file, and
/// tested there.
#[test]
fn second_host_on_an_append_file_is_refused_and_told_who_has_it() {
    let (first, second) = (TestHost::new(), TestHost::new());
    let file = first.lines_file("file", None);
    let job = first.job_with_files(&[], vec![file.clone()]);
    let open = || second.runtime().job(JobSpec { files: vec![file.clone()], ..JobSpec::default() });
    let refused = open().expect_err("it opens").to_string();
    assert!(refused.contains("already open in this process"), "{refused}");
    assert!(refused.contains(file.file.path.to_str().expect("text")), "{refused}");
    drop(job);
    open().expect("nobody has it any more");
}

/// Who could write past the host could tear records, lose locks or make itself another program.
#[test]
fn writable_directory_with_something_of_the_host_in_it_is_refused() {
    let host = TestHost::new();
    let program = host.program("cli_read");
    let dir = host.path("dir");
    let below = dir.join("below");
    std::fs::create_dir_all(&below).expect("a directory");
    let mut file = host.lines_file("file", None);
    file.file.path = below.join("file");
    let job = host.job_with_files(&["a"], vec![file]);
    let spawn = |dir: &std::path::Path, access| {
        let dirs = vec![DirGrant { host: dir.to_owned(), guest: "/dir".to_owned(), access }];
        job.spawn(&program, &ProcessSpec { dirs, ..spec(&program, &["/dir/x"], &[], &[]) })
    };
    let link = host.path("link");
    std::os::unix::fs::symlink(&below, &link).expect("a link");
    for refused in [&dir, &below, &link] {
        let error = spawn(refused, Access::ReadWrite).expect_err("it starts");
        assert!(matches!(error, SpawnError::FileInDir { .. }), "{error}");
    }
    assert!(spawn(&host.path("state"), Access::ReadWrite).is_err(), "the host's memory of fences");
    assert!(spawn(&host.path("missing"), Access::ReadOnly).is_err());
    let reader = spawn(&dir, Access::ReadOnly).expect("reading harms nobody");
    join(&reader);
}
