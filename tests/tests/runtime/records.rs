//! Sixty-four processes append a thousand records each, of 1 byte to 64 KiB, to one file: each record is in it once and
//! whole, and those of one process are in order.

use lockkeeper::observe::Outcome;
use lockkeeper::{LockState, Placement, ProcessSpec};
use lockkeeper_tests::{TestHost, join, log_of, spec};

const PROCESSES: u32 = 64;
const RECORDS: u64 = 1_000;
const SEED: u64 = 11;

fn append(lock: Option<&str>) {
    let host = TestHost::new();
    let program = host.program("lock_append");
    let locks: Vec<&str> = lock.into_iter().collect();
    let job = host.job_with_files(&locks, vec![host.lines_file("file", lock)]);
    let args = [lock.unwrap_or("-"), "file", &RECORDS.to_string(), &SEED.to_string()];
    let processes: Vec<_> = (0..PROCESSES)
        .map(|rank| {
            let spec = spec(&program, &args, &locks, &["file"]);
            let spec = ProcessSpec { rank, count: PROCESSES, placement: Placement::Spread, ..spec };
            host.spawn_spec(&job, &program, spec)
        })
        .collect();
    for (process, lines) in processes {
        assert_eq!(join(&process).outcome, Outcome::Returned, "{:?}", lines.all());
    }
    assert_eq!(job.position("file").expect("the file").records, u64::from(PROCESSES) * RECORDS);
    let contents = log_of(&host.path("file"));
    lockkeeper_guest_programs::check(&contents, SEED, PROCESSES, RECORDS).expect("every record, once and whole");
    println!("{} MB in {PROCESSES} x {RECORDS} records", contents.len() / 1_000_000);
    for lock in locks {
        let view = job.inspect_lock(lock).expect("a lock of the job");
        assert_eq!((view.state, view.queue.len()), (LockState::Free, 0));
        assert_eq!(view.counters.acquired, u64::from(PROCESSES) * RECORDS);
        assert_eq!((view.counters.abandoned, view.counters.timeouts), (0, 0));
    }
}

#[test]
fn every_record_is_whole_and_in_order_under_a_lock() {
    append(Some("a"));
}

#[test]
fn every_record_is_whole_and_in_order_without_a_lock() {
    append(None);
}
