//! What processes leave behind: nothing. And how large one may become.

use std::time::Instant;

use lockkeeper::observe::Outcome;
use lockkeeper::{Limits, LockState, Process, ProcessSpec, Profile, Program};
use lockkeeper_tests::{at_full_scale, figure, guest, join};

use crate::parked::{park, run_through};
use crate::support::{Quiet, alone, quiet, taken};

/// How much more memory there may be after very many processes than before.
const LEFT_BYTES_MAX: u64 = 2 << 20;

/// Processes that do not count.
const WARM_UP: usize = 5_000;

/// Processes alive at a time.
const AT_ONCE: usize = 50;

fn many(profile: Profile) {
    let count = if at_full_scale() { 1_000_000 } else { 20_000 };
    let host = Quiet::configured(|config| config.profile = Some(profile));
    let program = Program::from_file(&host.runtime, guest("scale_wait")).expect("a program");
    let job = host.job();
    let spec = quiet(&[]);
    let run = |count: usize| {
        for _ in 0..count / AT_ONCE {
            let batch: Vec<Process> = (0..AT_ONCE).map(|_| job.spawn(&program, &spec).expect("a process")).collect();
            for process in batch {
                assert_eq!(process.join_blocking().outcome, Outcome::Returned);
            }
        }
    };
    // As many as can ever be alive at one moment below, at one moment: the slots that keep memory have it then. Otherwise the
    // figure is how many were ever late together.
    let (crowd, holder, waiting) = park(&host, AT_ONCE);
    run_through(&crowd, &holder, &waiting);
    join(&holder);
    // Until the allocator and the queues have the size that they keep.
    run(WARM_UP);
    let before = taken();
    let begun = Instant::now();
    run(count);
    let took = begun.elapsed();
    let after = taken();
    let more = after.resident.saturating_sub(before.resident);
    figure(format_args!(
        "{count} short processes, {profile}: {} KiB before, {} KiB after; {:.1} us each",
        before.resident >> 10,
        after.resident >> 10,
        took.as_secs_f64() * 1e6 / count as f64,
    ));
    let view = job.inspect_lock("a").expect("it is there");
    assert_eq!((view.state, view.holder(), view.queue.len()), (LockState::Free, None, 0));
    assert_eq!(view.counters.acquired, (WARM_UP + count) as u64);
    assert!(more <= LEFT_BYTES_MAX, "{more} bytes are left of {count} processes");
    assert!(after.mappings <= before.mappings + 16, "{} mappings, {} before", after.mappings, before.mappings);
}

#[test]
fn very_many_short_processes_leave_nothing_dense() {
    let _turn = alone();
    many(Profile::Dense);
}

#[test]
fn very_many_short_processes_leave_nothing_image() {
    let _turn = alone();
    many(Profile::Image);
}

#[test]
fn a_process_grows_as_far_as_its_limit_in_either_profile() {
    let _turn = alone();
    for profile in [Profile::Dense, Profile::Image] {
        let host = Quiet::configured(|config| config.profile = Some(profile));
        let program = Program::from_file(&host.runtime, guest("scale_grow")).expect("a program");
        let job = host.job();
        let run = |mib: u64, memory_bytes_max: u64| {
            let limits = Limits { memory_bytes_max, ..Limits::default() };
            let spec = ProcessSpec { limits, ..quiet(&[&mib.to_string()]) };
            join(&job.spawn(&program, &spec).expect("a process")).outcome.clone()
        };
        let before = taken();
        for mib in [1, 3, 64, 256] {
            assert_eq!(run(mib, 600 << 20), Outcome::Returned, "{mib} MiB, {profile}");
        }
        assert!(matches!(run(256, 64 << 20), Outcome::OutOfMemory { limit_bytes: 67_108_864 }), "{profile}");
        let left = taken().resident.saturating_sub(before.resident);
        assert!(left < 16 << 20, "{left} bytes are left, {profile}");
    }
}
