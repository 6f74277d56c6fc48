//! Every case of `lockkeeper_guest_programs::sync` with real guests: on one shard, and with its processes spread over two.
//!
//! What a case is, and how it is run, is said there. Most do what a test of CPython's does, under its name; the table in
//! `tests/README.md` says which.

mod run;
mod table;

/// One test for each program, so that two programs run at a time; a failure names the cases, and what went wrong in each.
macro_rules! programs {
    ($($test:ident: $program:literal,)+) => {
        /// The programs that have a test here.
        const PROGRAMS: &[&str] = &[$($program),+];

        $(
            #[test]
            fn $test() {
                run::all_of($program);
            }
        )+
    };
}

programs! {
    locks_pass_all_of_their_cases: "sync_lock",
    reader_writer_locks_pass_all_of_their_cases: "sync_rwlock",
    semaphores_pass_all_of_their_cases: "sync_semaphore",
    conditions_pass_all_of_their_cases: "sync_condition",
    events_pass_all_of_their_cases: "sync_event",
    barriers_pass_all_of_their_cases: "sync_barrier",
    values_pass_all_of_their_cases: "sync_value",
    queues_pass_all_of_their_cases: "sync_queue",
    multi_locks_pass_all_of_their_cases: "sync_multi",
    latches_pass_all_of_their_cases: "sync_latch",
    onces_pass_all_of_their_cases: "sync_once",
}
