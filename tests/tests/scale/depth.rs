//! Stacks that end: in the program, in a host function that it calls at its deepest place, and in its own allocator that
//! the host calls from there.

use lockkeeper::observe::Outcome;
use lockkeeper::{Job, JobSpec, LockSpec, Process, Profile, Program, StackGuards};
use lockkeeper_tests::{TestHost, figure, guest, join, spec};

use crate::support::beside_others;

/// What the program asks of the host at its deepest place.
const CALLS: [&str; 10] =
    ["nothing", "arguments", "random", "clock", "sleep", "print", "lock", "append", "open", "refused"];

struct Deep<'a> {
    host: &'a TestHost,
    job: Job,
    program: Program,
}

impl Deep<'_> {
    fn outcome(&self, calls: u64, what: &str) -> Outcome {
        join(&self.start(calls, what)).outcome.clone()
    }

    fn start(&self, calls: u64, what: &str) -> Process {
        let args = [&calls.to_string(), what];
        self.host.spawn_spec(&self.job, &self.program, spec(&self.program, &args, &["a"], &["file"])).0
    }

    /// How many calls deep it can go.
    fn deepest(&self) -> u64 {
        let (mut fits, mut overflows) = (0, 1 << 20);
        assert_eq!(self.outcome(overflows, "nothing"), Outcome::StackOverflow);
        while overflows - fits > 1 {
            let middle = u64::midpoint(fits, overflows);
            match self.outcome(middle, "nothing") {
                Outcome::Returned => fits = middle,
                Outcome::StackOverflow => overflows = middle,
                other => panic!("{middle} calls deep: {other}"),
            }
        }
        fits
    }
}

/// At every depth around the deepest a process returns or overflows, and nothing else happens to it or to the host.
fn every_call_at_every_depth(host: &TestHost, name: &str) {
    let locks = vec![LockSpec { name: "a".to_owned(), ..LockSpec::default() }];
    let files = vec![host.lines_file("file", None)];
    let job = host.runtime().job(JobSpec { locks, files, ..JobSpec::default() }).expect("a job");
    let deep = Deep { host, job, program: Program::from_file(host.runtime(), guest("scale_deep")).expect("a program") };
    let deepest = deep.deepest();
    figure(format_args!("{name}: {deepest} calls deep"));
    for what in CALLS {
        let (mut returned, mut overflown) = (0, 0);
        // From where a host function is called with nothing left to where there is plenty.
        for less in [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 200, 400] {
            match deep.outcome(deepest.saturating_sub(less), what) {
                Outcome::Returned => returned += 1,
                Outcome::StackOverflow => overflown += 1,
                other => panic!("{what}, {less} calls above the deepest place, {name}: {other}"),
            }
        }
        assert!(returned > 0, "{what}: {overflown} overflows, {name}");
        assert_eq!(deep.outcome(1 << 20, what), Outcome::StackOverflow);
    }
}

#[test]
fn a_stack_overflow_ends_its_process_alone_at_every_stack_size_also_around_host_calls() {
    let _turn = beside_others();
    for bytes in [64 << 10, 128 << 10, 512 << 10, 2 << 20] {
        let host = TestHost::configured(|config| {
            config.profile = Some(Profile::Dense);
            config.dense_stack_bytes = Some(bytes);
        });
        every_call_at_every_depth(&host, &format!("dense, {} KiB", bytes >> 10));
    }
}

#[test]
fn a_stack_overflow_ends_its_process_alone_with_guards_that_are_mappings() {
    let _turn = beside_others();
    let host = TestHost::configured(|config| {
        config.profile = Some(Profile::Dense);
        config.stack_guards = StackGuards::Mappings;
    });
    every_call_at_every_depth(&host, "dense, guards are mappings");
}

#[test]
fn a_stack_overflow_ends_its_process_alone_in_the_profile_for_images() {
    let _turn = beside_others();
    let host = TestHost::configured(|config| config.profile = Some(Profile::Image));
    every_call_at_every_depth(&host, "image");
}

/// A component that goes so many calls deep and asks for its arguments there. The host puts them into memory that the
/// program's own allocator gives it, and that calls itself for ever.
fn allocator_that_overflows(calls: u64) -> String {
    format!(
        r#"(component
  (import "wasi:cli/environment@0.2.0" (instance $env (export "get-arguments" (func (result (list string))))))
  (core module $memory
    (memory (export "memory") 1)
    (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32)
      (i32.add (i32.const 1)
        (call $realloc (local.get 0) (local.get 1) (local.get 2) (i32.add (local.get 3) (i32.const 1))))))
  (core module $main
    (import "" "get-arguments" (func $get (param i32)))
    (func $down (param i32) (result i32)
      (if (result i32) (i32.eqz (local.get 0))
        (then (call $get (i32.const 16)) (i32.const 0))
        (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))))
    (func (export "run") (result i32) (drop (call $down (i32.const {calls}))) (i32.const 0)))
  (core instance $memory (instantiate $memory))
  (core func $get (canon lower (func $env "get-arguments")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core instance $main (instantiate $main (with "" (instance (export "get-arguments" (func $get))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    )
}

/// The engine measures the stack of the program's allocator from where the host called it, which may be the deepest place
/// there is: so a stack has room for that twice.
#[test]
fn an_allocator_that_overflows_below_the_deepest_host_call_ends_its_process_alone() {
    let _turn = beside_others();
    for (profile, bytes) in
        [(Profile::Dense, 64 << 10), (Profile::Dense, 512 << 10), (Profile::Dense, 2 << 20), (Profile::Image, 0)]
    {
        let host = TestHost::configured(|config| {
            config.profile = Some(profile);
            config.dense_stack_bytes = (bytes > 0).then_some(bytes);
        });
        let job = host.job(&[]);
        let mut overflows = 0;
        // However long a frame is, one of these depths is a few frames above the deepest.
        for calls in (0..24).flat_map(|power| [(1 << power), (3 << power) / 2, (5 << power) / 4, (7 << power) / 4]) {
            let path = host.path("program.wat");
            std::fs::write(&path, allocator_that_overflows(calls)).expect("written");
            let program = Program::from_file(host.runtime(), &path).unwrap_or_else(|error| panic!("{error}"));
            let (process, _) = host.spawn(&job, &program, &["an argument"], &[], &[]);
            let outcome = join(&process).outcome.clone();
            assert_eq!(outcome, Outcome::StackOverflow, "{calls} calls deep, {profile}");
            overflows += 1;
        }
        assert_eq!(overflows, 96);
    }
}
