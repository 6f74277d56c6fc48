//! What was not granted does not exist for a process, and who runs it is told what to add.

use crate::support::{Place, guest};

#[test]
fn a_single_process_without_a_grant_fails_and_the_flag_and_the_line_to_add_are_named() {
    let place = Place::new();
    let lock = place.run(&["run", &guest("lock_next"), "--", "results"]);
    lock.assert_code(1).assert_says(&["Denied", "lock_next asked for mutex `results`", "--lock results"]);
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
    ended.assert_says(&["lock_next-0 and 1 more asked for mutex `results`", "--lock results", "2 processes: 2 failed"]);
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
    ended.assert_code(1).assert_says(&["stranger asked for mutex `results`", "[stranger] Error: Denied"]);
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

/// What `declared_as` is for: the name is there, and it is something else.
#[test]
fn a_lock_that_is_something_else_is_told_with_both_kinds_and_what_to_change() {
    let place = Place::new();
    let ended = place.run(&["run", "--lock", "results:rwlock", &guest("lock_next"), "--", "results"]);
    ended.assert_code(1).assert_says(&[
        "Error: Denied",
        "`results` was opened as a mutex and is declared as a rwlock: change the program, or write kind = \"mutex\" in \
         [lock.results] (--lock results)",
    ]);
    assert!(!ended.err().contains("was not granted"), "{ended}");

    let latch = ["run", "--lock", "x:event", &guest("sync_latch"), "--", "counts_down_to_zero_and_no_further"];
    place.run(&latch).assert_code(1).assert_says(&[
        "`x` was opened as a latch and is declared as an event",
        "write kind = \"latch\" in [lock.x] (--lock x:latch:COUNT)",
    ]);
}

#[test]
fn a_value_that_was_not_granted_or_is_an_array_names_its_table_and_flag() {
    let place = Place::new();
    let value = guest("sync_value");
    let missing = place.run(&["run", &value, "--", "test_rawvalue"]);
    missing.assert_code(1).assert_says(&[
        "asked for value `i`, which was not granted",
        "`grants = { value = [\"i\"] }` and declare [value.i], or give --value i",
    ]);
    let array = place.run(&["run", "--value", "i:i64:4", &value, "--", "test_rawvalue"]);
    array.assert_code(1).assert_says(&[
        "`i` was opened as a value and is declared as an array",
        "take `length` out of [value.i] (--value i)",
    ]);
    let single = place.run(&["run", "--value", "u", "--value", "f:f64", &value, "--", "test_rawarray"]);
    single.assert_code(1).assert_says(&[
        "`u` was opened as an array and is declared as a value",
        "add a `length` to [value.u] (--value u:TYPE:LENGTH)",
    ]);
}

#[test]
fn a_primitive_that_was_not_granted_is_told_with_the_kind_to_declare() {
    let place = Place::new();
    let ended = place.run(&["run", &guest("sync_event"), "--", "test_is_set"]);
    ended.assert_code(1).assert_says(&[
        "asked for event `e`, which was not granted",
        "declare [lock.e] with kind = \"event\", or give --lock e:event",
    ]);
}
