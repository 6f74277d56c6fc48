//! Very many processes that wait at one lock.

use std::time::{Duration, Instant};

use lockkeeper::observe::Outcome;
use lockkeeper::{Job, Process, Profile, Program, StackGuards};
use lockkeeper_tests::{at_full_scale, figure, guest, join};

use crate::support::{Quiet, alone, quiet, taken};

/// What a process that waits may take of memory, page tables apart.
const RESIDENT_BYTES_MAX: f64 = 36.0 * 1024.0;

/// What all of them together may take, however many they are: growth of the allocator and of tables.
const RESIDENT_BYTES_TOGETHER: u64 = 8 << 20;

/// How long a queue of very many may take to form, or to run empty.
const PATIENCE: Duration = Duration::from_secs(900);

/// Waits with looks that are rare enough for a queue of a hundred thousand, which each of them copies.
fn until_queued(job: &Job, length: usize) {
    let begun = Instant::now();
    while job.inspect_lock("a").expect("it is there").queue.len() < length {
        assert!(begun.elapsed() < PATIENCE, "{length} processes do not all wait");
        std::thread::sleep(Duration::from_millis(if length > 10_000 { 200 } else { 5 }));
    }
}

/// So many processes that wait for a lock, and who holds it.
pub(crate) fn park(host: &Quiet, count: usize) -> (Job, Process, Vec<Process>) {
    let job = host.job();
    let holder = host.program("lock_end");
    let holder = job.spawn(&holder, &quiet(&["a", "-", "sleep"])).expect("a process");
    let begun = Instant::now();
    while job.inspect_lock("a").expect("it is there").holder().is_none() {
        assert!(begun.elapsed() < PATIENCE, "nobody holds the lock");
        std::thread::sleep(Duration::from_millis(1));
    }
    let program = host.program("scale_wait");
    let spec = quiet(&[]);
    let waiting = (0..count).map(|_| job.spawn(&program, &spec).expect("a process")).collect();
    until_queued(&job, count);
    (job, holder, waiting)
}

/// Ends the holder, and so the first of the queue has the lock, and lets it go, and so on.
pub(crate) fn run_through(job: &Job, holder: &Process, waiting: &[Process]) -> Duration {
    let begun = Instant::now();
    holder.kill();
    for process in waiting {
        assert_eq!(process.join_blocking().outcome, Outcome::Returned);
    }
    let took = begun.elapsed();
    let view = job.inspect_lock("a").expect("it is there");
    assert_eq!((view.holder(), view.queue.len()), (None, 0));
    assert_eq!(view.counters.acquired, waiting.len() as u64 + 1);
    took
}

#[test]
fn very_many_processes_wait_at_one_lock_and_one_release_runs_through_all() {
    let _turn = alone();
    let count = if at_full_scale() { 100_000 } else { 2_000 };
    let host = Quiet::new();
    assert_eq!(host.program("scale_wait").profile(), Profile::Dense);
    // What is there once, whatever the number: code, the first slots, the shards' stacks.
    let (job, holder, few) = park(&host, 64);
    run_through(&job, &holder, &few);
    drop((job, few));
    join(&holder);

    let before = taken();
    let begun = Instant::now();
    let (job, holder, waiting) = park(&host, count);
    let parked = begun.elapsed();
    let with = taken();
    let each = |bytes: u64, before: u64| bytes.saturating_sub(before) as f64 / count as f64;
    let (resident, tables) = (each(with.resident, before.resident), each(with.page_tables, before.page_tables));
    let mappings = with.mappings.saturating_sub(before.mappings);
    let took = run_through(&job, &holder, &waiting);
    figure(format_args!(
        "{count} processes at one lock: {:.1} KiB resident and {:.1} KiB of page tables each, {mappings} mappings more in all; \
         started in {:.1} us each, handed over and ended in {:.1} us each",
        resident / 1024.0,
        tables / 1024.0,
        parked.as_secs_f64() * 1e6 / count as f64,
        took.as_secs_f64() * 1e6 / count as f64,
    ));
    let of_each = each(with.resident, before.resident + RESIDENT_BYTES_TOGETHER);
    assert!(of_each <= RESIDENT_BYTES_MAX, "{of_each} bytes resident for each");
    // Those of the allocator's growth; not one of them is a process's.
    assert!(mappings < count / 20, "{mappings} mappings for {count} processes");
}

/// Older systems cannot mark a guard within a mapping: there each stack takes two, and there is room for fewer.
#[test]
fn with_guards_that_are_mappings_there_is_room_for_fewer_processes() {
    let _turn = alone();
    let host = Quiet::configured(|config| config.stack_guards = StackGuards::Mappings);
    let program = Program::from_file(&host.runtime, guest("scale_wait")).expect("a program");
    let refused = host.runtime.check_room(&program, 100_000, 0).expect_err("there is no room");
    assert!(refused.to_string().contains("vm.max_map_count"), "{refused}");
    host.runtime.check_room(&program, 1_000, 0).expect("there is room for these");
    let before = taken();
    let (job, holder, waiting) = park(&host, 200);
    let more = taken().mappings - before.mappings;
    assert!((200..600).contains(&more), "{more} mappings for 200 stacks and their guards");
    run_through(&job, &holder, &waiting);
}
