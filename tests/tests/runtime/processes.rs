//! Processes that start others, and what they make for each other. Most of it is checked by the guest, case by case.

use std::time::Duration;

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{
    Access, DirGrant, Job, JobLimits, JobSpec, Limits, LockKind, ProcessSpec, ProgramSpec, Scalar, ValueContent,
    ValueSpec,
};
use lockkeeper_tests::{TestHost, join, spec, thing, until};

/// A job with what the cases name.
fn job(host: &TestHost, limits: JobLimits) -> Job {
    let locks = ["a", "b"].map(|name| thing(name, LockKind::Mutex));
    let events = ["started", "go", "done"].map(|name| thing(name, LockKind::Event));
    let value = ValueSpec {
        name: "v".to_owned(),
        content: ValueContent::Value { initial: Scalar::Signed(0), bytes_max: 0 },
        requires_lock: None,
    };
    let other = ProgramSpec { name: "other".to_owned(), program: host.program("cli_hello") };
    let job = JobSpec {
        locks: locks.into_iter().chain(events).collect(),
        values: vec![value],
        programs: vec![other],
        limits,
        ..JobSpec::default()
    };
    host.runtime().job(job).expect("a job")
}

/// A process of the cases that may name everything but the other program.
fn case(host: &TestHost, args: &[&str]) -> ProcessSpec {
    let data = host.path("data");
    std::fs::create_dir_all(&data).expect("a directory");
    let program = host.program("process_cases");
    ProcessSpec {
        values: vec!["v".to_owned()],
        programs: vec!["self".to_owned()],
        dirs: vec![DirGrant { host: data, guest: "/data".to_owned(), access: Access::ReadOnly }],
        limits: Limits { memory_bytes_max: 64 << 20, children_max: 16, ..Limits::default() },
        ..spec(&program, args, &["a", "b", "started", "go", "done"], &[])
    }
}

fn run_with(shards: usize, case_name: &str, limits: JobLimits, change: impl FnOnce(&mut ProcessSpec)) {
    let host = TestHost::with_shards(shards);
    let job = job(&host, limits);
    let mut spec = case(&host, &[case_name]);
    change(&mut spec);
    let (process, lines) = host.spawn_spec(&job, &host.program("process_cases"), spec);
    assert_eq!(join(&process).outcome, Outcome::Returned, "{:#?}", lines.all());
    until("nobody is left", || job.stall().is_none());
    let started = host.events().iter().filter(|event| matches!(event, Event::Started { .. })).count();
    let ended = host.events().iter().filter(|event| matches!(event, Event::Ended { .. })).count();
    assert_eq!(started, ended, "no end is seen before those of the children");
}

fn run(case_name: &str) {
    for shards in [1, 2] {
        run_with(shards, case_name, JobLimits::default(), |_| {});
    }
}

macro_rules! cases {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            run(stringify!($name));
        }
    )+};
}

cases! {
    test_current, test_args_argument, test_parent_process_attributes, test_process, test_terminate,
    terminate_ends_whoever_does_not_listen, test_kill, test_active_children, test_recursion, test_sentinel, test_close,
    test_many_processes, test_sys_exit, limits_are_narrowed, grants_are_narrowed, objects_of_every_kind, objects_are_rights,
    what_is_held_may_be_given_up, joining_who_waits_for_us, holds_end_before_the_end_is_seen, wrong_requests,
}

#[test]
fn objects_have_a_budget() {
    let limits = JobLimits { objects_max: 20, object_bytes_max: 1 << 20, ..JobLimits::default() };
    run_with(1, "objects_have_a_budget", limits, |_| {});
}

#[test]
fn children_have_a_quota() {
    run_with(1, "children_have_a_quota", JobLimits::default(), |spec| spec.limits.children_max = 4);
}

#[test]
fn generations_have_a_quota() {
    run_with(1, "generations_have_a_quota", JobLimits::default(), |spec| spec.limits.depth_max = 3);
}

/// Its children, and theirs, take up what the job may have, and everything ends.
#[test]
fn fork_bomb_comes_to_its_limits_and_to_an_end() {
    let limits = JobLimits { processes_max: 40, ..JobLimits::default() };
    run_with(2, "bombs", limits, |spec| (spec.limits.children_max, spec.limits.depth_max) = (4, 3));
}

/// `end`: it is gone before its parent's end is seen. `adopt`: it goes on, and the job ends with it.
#[test]
fn child_ends_with_its_parent_unless_it_is_to_be_adopted() {
    for policy in ["end", "adopt"] {
        let host = TestHost::new();
        let job = job(&host, JobLimits::default());
        let mut spec = case(&host, &["leaves_a_child", policy]);
        spec.limits.timeout = Some(Duration::from_secs(600));
        let (parent, lines) = host.spawn_spec(&job, &host.program("process_cases"), spec);
        assert_eq!(join(&parent).outcome, Outcome::Returned, "{:#?}", lines.all());
        let child_ended = || {
            host.events().into_iter().find_map(|event| match event {
                Event::Ended { process, outcome, .. } if process != parent.id() => Some(outcome),
                _ => None,
            })
        };
        if policy == "end" {
            assert_eq!(child_ended(), Some(Outcome::Orphaned));
            continue;
        }
        assert_eq!(child_ended(), None);
        // Somebody of the job sets what it waits for.
        let setter =
            ProcessSpec { locks: vec!["go".to_owned()], args: vec!["set:go".to_owned()], ..ProcessSpec::default() };
        let (setter, _) = host.spawn_spec(&job, &host.program("die_steps"), setter);
        join(&setter);
        until("the end of the child", || child_ended().is_some());
        assert_eq!(child_ended(), Some(Outcome::Returned));
    }
}
