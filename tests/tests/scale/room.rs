//! What happens at the ceiling.

use lockkeeper::{NoRoom, Profile, Program, SpawnError};
use lockkeeper_tests::{guest, join, until};

use crate::support::{Quiet, beside_others, quiet};

#[test]
fn a_process_beyond_the_room_is_refused_and_the_next_one_starts_when_another_has_ended() {
    let _turn = beside_others();
    let host = Quiet::configured(|config| {
        config.profile = Some(Profile::Image);
        config.image_processes = Some(3);
    });
    let program = Program::from_file(&host.runtime, guest("lock_end")).expect("a program");
    let job = host.job();
    let spawn = || job.spawn(&program, &quiet(&["a", "-", "sleep"]));
    let processes: Vec<_> = (0..3).map(|_| spawn().expect("a process")).collect();
    match spawn() {
        Err(SpawnError::NoRoom {
            source: NoRoom::Processes { wanted: 4, max: 3, profile: Profile::Image }, ..
        }) => {}
        other => panic!("{other:?}"),
    }
    processes[0].kill();
    join(&processes[0]);
    spawn().expect("there is room again");
    assert!(matches!(host.runtime.check_room(&program, 4, 0), Err(NoRoom::Processes { max: 3, .. })));
    host.runtime.check_room(&program, 3, 0).expect("there is room for these");
}

#[test]
fn each_program_has_the_engine_that_fits_it_and_both_are_made_to_yield() {
    let _turn = beside_others();
    let host = Quiet::new();
    let waiting = host.program("scale_wait");
    let text = format!(
        r#"(component
          (core module $main
            (memory 1)
            (data (i32.const 0) "{}")
            (func (export "run") (result i32) (loop $for_ever (br $for_ever)) (i32.const 0)))
          (core instance $main (instantiate $main))
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance $exported (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $exported)))"#,
        "x".repeat(60_000)
    );
    let large = host.text("large.wat", &text.replace("(memory 1)", "(memory 100)"));
    assert_eq!((waiting.profile(), large.profile()), (Profile::Dense, Profile::Image));
    let job = host.job();
    // It computes for ever and must be made to yield, or nobody else would run.
    let spinning = job.spawn(&large, &quiet(&[])).expect("a process");
    for _ in 0..10 {
        let process = job.spawn(&waiting, &quiet(&[])).expect("a process");
        assert!(join(&process).outcome.is_success());
    }
    spinning.kill();
    join(&spinning);
}

#[test]
fn processes_of_both_profiles_wait_in_one_queue_for_one_lock() {
    let _turn = beside_others();
    let host = Quiet::new();
    let path = guest("scale_wait");
    let [dense, image] =
        [Profile::Dense, Profile::Image].map(|profile| Program::from_file_as(&host.runtime, &path, Some(profile)));
    let (dense, image) = (dense.expect("a program"), image.expect("a program"));
    let job = host.job();
    let holder = Program::from_file_as(&host.runtime, guest("lock_end"), Some(Profile::Image)).expect("a program");
    let holder = job.spawn(&holder, &quiet(&["a", "-", "sleep"])).expect("a process");
    until("somebody holds the lock", || job.inspect_lock("a").is_some_and(|view| view.holder().is_some()));
    let programs = [&dense, &image].into_iter().cycle().take(100);
    let waiting: Vec<_> = programs.map(|program| job.spawn(program, &quiet(&[])).expect("a process")).collect();
    until("all wait", || job.inspect_lock("a").is_some_and(|view| view.queue.len() == 100));
    holder.kill();
    for process in waiting {
        assert!(join(&process).outcome.is_success());
    }
    let view = job.inspect_lock("a").expect("it is there");
    assert_eq!((view.counters.acquired, view.holder(), view.queue.len()), (101, None, 0));
}
