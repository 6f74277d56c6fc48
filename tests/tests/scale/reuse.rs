//! What the last process left in a memory or on a stack, the next one does not find.

use lockkeeper::Profile;
use lockkeeper::observe::Outcome;
use lockkeeper_tests::join;

use crate::support::{Quiet, beside_others, quiet};

/// A component whose process looks through all of its memory, and grows and looks on, and fails at the first byte that is not
/// zero; then it fills all of it, and goes as deep as many calls with a canary in each.
const CANARY: &str = r#"(component
  (core module $main
    (memory (export "memory") 2)
    (func $down (param i32 i64) (result i64)
      (if (result i64) (i32.eqz (local.get 0))
        (then (local.get 1))
        (else (i64.add (local.get 1)
          (call $down (i32.sub (local.get 0) (i32.const 1)) (i64.xor (local.get 1) (i64.const 0x5a5a)))))))
    (func $any (result i32) (local $at i32) (local $end i32)
      (local.set $end (i32.mul (memory.size) (i32.const 65536)))
      (loop $next
        (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (i32.const 0))
    (func (export "run") (result i32)
      (if (call $any) (then (return (i32.const 1))))
      (drop (memory.grow (i32.const 1)))
      (if (call $any) (then (return (i32.const 1))))
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size) (i32.const 65536)))
      (drop (memory.grow (i32.const 30)))
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 196608))
      (if (call $any) (then (return (i32.const 1))))
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size) (i32.const 65536)))
      (drop (call $down (i32.const 2000) (i64.const 0xa5a5a5a5a5a5a5a5)))
      (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))"#;

#[test]
fn a_process_finds_nothing_of_the_one_that_had_its_memory_before() {
    let _turn = beside_others();
    for profile in [Profile::Dense, Profile::Image] {
        let host = Quiet::configured(|config| config.profile = Some(profile));
        let program = host.text("canary.wat", CANARY);
        let job = host.job();
        // More at once than keep their memory when they are free, and then fewer.
        for at_once in [1, 200, 1, 7] {
            for _ in 0..5 {
                let batch: Vec<_> =
                    (0..at_once).map(|_| job.spawn(&program, &quiet(&[])).expect("a process")).collect();
                for process in batch {
                    assert_eq!(join(&process).outcome, Outcome::Returned, "{profile}");
                }
            }
        }
    }
}
