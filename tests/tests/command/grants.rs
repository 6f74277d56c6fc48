//! What was not granted does not exist for a process, and who runs it is told what to add.

use crate::support::{Place, guest};

#[test]
fn a_single_process_without_a_grant_fails_and_the_flag_and_the_line_to_add_are_named() {
    let place = Place::new();
    let lock = place.run(&["run", &guest("lock_next"), "--", "results"]);
    lock.assert_code(1).assert_says(&["Denied", "lock_next asked for lock `results`", "--lock results"]);
    lock.assert_says(&["grants = { lock = [\"results\"] }", "[lock.results]"]);

    let file = place.run(&["run", &guest("append_many"), "--", "log", "1", "1"]);
    file.assert_code(1).assert_says(&["Denied", "append_many asked for file `log`", "--append log=FILE"]);
    file.assert_says(&["grants = { file = [\"log\"] }", "[file.log]"]);
}

#[test]
fn several_processes_without_a_grant_are_told_of_once() {
    let place = Place::new();
    let ended = place.run(&["run", "-n", "2", &guest("lock_next"), "--", "results"]);
    ended.assert_code(2).assert_says(&["[lock_next-0] Error: Denied", "[lock_next-1] Error: Denied"]);
    ended.assert_says(&["lock_next-0 and 1 more asked for lock `results`", "--lock results", "2 processes: 2 failed"]);
    assert_eq!(ended.err().matches("--lock results").count(), 1, "{ended}");
}

/// The lock exists, and another group has it.
#[test]
fn a_lock_of_the_job_is_denied_to_a_group_that_was_not_granted_it() {
    let place = Place::new();
    let manifest = format!(
        "version = 1\n[lock.results]\n\
         [[process]]\nname = \"member\"\nprogram = {program:?}\nargs = [\"results\"]\ngrants = {{ lock = [\"results\"] }}\n\
         [[process]]\nname = \"stranger\"\nprogram = {program:?}\nargs = [\"results\"]\n",
        program = guest("lock_next"),
    );
    let ended = place.run_manifest(&manifest);
    ended.assert_code(1).assert_says(&["stranger asked for lock `results`", "[stranger] Error: Denied"]);
    assert!(ended.out().contains("[member] granted fence="), "{ended}");
    assert!(!ended.err().contains("[member] Error"), "{ended}");
}

#[test]
fn a_program_that_gets_along_without_what_it_was_denied_is_no_failure() {
    let place = Place::new();
    let ended = place.run(&["run", "--lock", "a", &guest("lock_misuse"), "--", "a"]);
    ended.assert_code(0);
    assert!(ended.out().contains("open-ungranted=denied\n"), "{ended}");
}
