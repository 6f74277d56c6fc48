//! What a standard library hides: modules and components as text, which call the host themselves.

use crate::support::{Ended, Place};

/// Runs a program that is there as text.
fn run(text: &str) -> Ended {
    run_with(&[], text)
}

/// The same with these flags.
fn run_with(flags: &[&str], text: &str) -> Ended {
    let place = Place::new();
    place.write("raw.wat", text);
    place.run(&[&["run"], flags, &["raw.wat"]].concat())
}

/// A core module that exits with what `body` leaves. It has the functions of WASI 0.1 that `imports` names, as they are.
fn module(imports: &[(&str, &str)], body: &str) -> Ended {
    module_with(&[], imports, body)
}

fn module_with(flags: &[&str], imports: &[(&str, &str)], body: &str) -> Ended {
    let imports: String = imports
        .iter()
        .map(|(name, ty)| format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {ty}))\n"))
        .collect();
    run_with(
        flags,
        &format!(
            r#"(module
            {imports}
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "\00\01\00\00\04\00\00\00")
            (func (export "_start") (call $proc_exit {body})))"#
        ),
    )
}

/// A component whose `run` is `body`, with `exit` and `exit-with-code` of `wasi:cli/exit`.
fn component(body: &str) -> Ended {
    run(&format!(
        r#"(component
            (import "wasi:cli/exit@0.2.12" (instance $exit
                (export "exit" (func (param "status" (result))))
                (export "exit-with-code" (func (param "status-code" u8)))))
            (core func $exit (canon lower (func $exit "exit")))
            (core func $exit_with_code (canon lower (func $exit "exit-with-code")))
            (core module $m
                (import "" "exit" (func $exit (param i32)))
                (import "" "exit-with-code" (func $exit_with_code (param i32)))
                (func (export "run") (result i32) {body}))
            (core instance $i (instantiate $m (with "" (instance
                (export "exit" (func $exit))
                (export "exit-with-code" (func $exit_with_code))))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $command)))"#
    ))
}

#[track_caller]
fn assert_ends(ended: &Ended, code: i32) {
    assert_eq!((ended.code, ended.out(), ended.err()), (code, "", ""), "{ended}");
}

/// 8 EBADF, 28 EINVAL.
#[test]
fn errors_of_wasi_0_1_have_their_numbers() {
    let i32s = |count| format!("(param {}) (result i32)", "i32 ".repeat(count));
    let cases = [
        ("fd_write", i32s(4), "(call $fd_write (i32.const 99) (i32.const 64) (i32.const 1) (i32.const 0))", 8),
        ("fd_write", i32s(4), "(call $fd_write (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 0))", 8),
        ("fd_read", i32s(4), "(call $fd_read (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0))", 8),
        ("fd_close", i32s(1), "(call $fd_close (i32.const 99))", 8),
        ("fd_prestat_get", i32s(2), "(call $fd_prestat_get (i32.const 3) (i32.const 0))", 8),
        ("poll_oneoff", i32s(4), "(call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))", 28),
        ("sched_yield", i32s(0).replace("(param )", ""), "(call $sched_yield)", 0),
        ("random_get", i32s(2), "(call $random_get (i32.const 0) (i32.const 64))", 0),
        ("args_sizes_get", i32s(2), "(call $args_sizes_get (i32.const 0) (i32.const 4))", 0),
        ("environ_sizes_get", i32s(2), "(call $environ_sizes_get (i32.const 0) (i32.const 4))", 0),
    ];
    for (name, ty, body, code) in cases {
        let ended = module(&[(name, &ty)], body);
        assert_eq!((ended.code, ended.out(), ended.err()), (code, "", ""), "{name}, {body}:\n{ended}");
    }
}

#[test]
fn random_bytes_of_two_calls_differ() {
    let ty = "(param i32 i32) (result i32)";
    let body = "(i32.add (call $random_get (i32.const 0) (i32.const 8)) (call $random_get (i32.const 8) (i32.const 8)))
                (i64.eq (i64.load (i32.const 0)) (i64.load (i32.const 8))) (i32.add)";
    let body = format!("(block (result i32) {body})");
    assert_ends(&module(&[("random_get", ty)], &body), 0);
}

#[test]
fn status_of_a_core_module_passes_up_to_125() {
    for code in [0, 1, 124, 125] {
        assert_ends(&module(&[], &format!("(i32.const {code})")), code);
    }
}

/// 256 is 0 to who looks at the last byte alone.
#[test]
fn status_beyond_125_is_refused_and_never_a_good_end() {
    for code in ["126", "127", "255", "256", "1024", "-1", "-256"] {
        let ended = module(&[], &format!("(i32.const {code})"));
        let told = format!("error: raw exited with status {code}, which WASI 0.1 does not have: it has 0 to 125");
        ended.assert_code(1).assert_says(&[&told]);
    }
}

/// Who calls it names a status of WASI 0.2, which goes up to 255.
#[test]
fn status_of_a_component_passes_up_to_255() {
    for code in [0, 1, 3, 125, 126, 255] {
        assert_ends(&component(&format!("(call $exit_with_code (i32.const {code})) (i32.const 0)")), code);
    }
}

#[test]
fn component_without_a_number_exits_well_or_badly() {
    assert_ends(&component("(call $exit (i32.const 0)) (i32.const 1)"), 0);
    assert_ends(&component("(call $exit (i32.const 1)) (i32.const 0)"), 1);
    assert_ends(&component("(i32.const 0)"), 0);
    assert_ends(&component("(i32.const 1)"), 1);
}

/// Both clocks count in milliseconds, and say so.
#[test]
fn coarse_clocks_are_coarse() {
    let (res, time) = ("(param i32 i32) (result i32)", "(param i32 i64 i32) (result i32)");
    for clock in [0, 1] {
        let body = format!(
            "(call $clock_res_get (i32.const {clock}) (i32.const 0)) (i64.ne (i64.load (i32.const 0)) (i64.const 1000000)) (i32.add)"
        );
        let body = format!("(block (result i32) {body})");
        assert_ends(&module_with(&["--clocks", "coarse"], &[("clock_res_get", res)], &body), 0);
        let body = format!(
            "(call $clock_time_get (i32.const {clock}) (i64.const 0) (i32.const 0)) (i64.ne (i64.rem_u (i64.load (i32.const 0)) (i64.const 1000000)) (i64.const 0)) (i32.add)"
        );
        let body = format!("(block (result i32) {body})");
        assert_ends(&module_with(&["--clocks", "coarse"], &[("clock_time_get", time)], &body), 0);
    }
}

/// A relative wait needs no clock; an absolute one would tell what time it is.
#[test]
fn without_clocks_a_program_can_sleep_and_read_no_time() {
    let ty = "(param i32 i32 i32 i32) (result i32)";
    let wait = |flags: u8| {
        let body = format!(
            "(block (result i32)
                (i32.store (i32.const 144) (i32.const 1))
                (i64.store (i32.const 152) (i64.const 1000000))
                (i32.store16 (i32.const 168) (i32.const {flags}))
                (call $poll_oneoff (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 512)))"
        );
        module_with(&["--clocks", "none"], &[("poll_oneoff", ty)], &body)
    };
    assert_ends(&wait(0), 0);
    for ended in [
        wait(1),
        module_with(
            &["--clocks", "none"],
            &[("clock_time_get", "(param i32 i64 i32) (result i32)")],
            "(call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 0))",
        ),
    ] {
        ended.assert_code(134).assert_says(&["granted no clocks", "--clocks none"]);
    }
}

/// A table that cannot grow says so to the program; one too many is no start.
#[test]
fn tables_and_memories_have_limits() {
    let grow = r#"(module (table $t 1 funcref) (memory (export "memory") 1)
        (func (export "_start") (if (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)) (then unreachable))))"#;
    run(grow).assert_code(134);
    assert_ends(&run_with(&["--max-table-elements", "900"], grow), 0);
    run_with(&["--max-tables", "0"], grow).assert_code(134).assert_says(&["table"]);
    run_with(&["--max-memories", "0"], grow).assert_code(134).assert_says(&["memor"]);
}

#[test]
fn module_without_imports_ends_well() {
    assert_ends(&run(r#"(module (memory (export "memory") 1) (func (export "_start")))"#), 0);
}

/// WASI 0.1 wants a command to export its memory. Here it must; `wasmtime run` asks for it only when it is used.
#[test]
fn module_that_does_not_export_its_memory_is_refused() {
    run(r#"(module (func (export "_start")))"#).assert_refused(&["raw.wat", "export", "`memory`"]);
}

#[test]
fn traps_say_which_one() {
    let body = |body: &str| run(&format!(r#"(module (memory (export "memory") 1) (func (export "_start") {body}))"#));
    for (trap, told) in [
        ("unreachable", "wasm `unreachable` instruction executed"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer divide by zero"),
        ("(drop (i32.load (i32.const 0x7fff0000)))", "out of bounds memory access"),
        ("(drop (i32.trunc_f32_u (f32.const -1)))", "integer overflow"),
    ] {
        body(trap).assert_code(134).assert_says(&["error: raw trapped", told]);
    }
}
