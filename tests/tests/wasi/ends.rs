//! Arguments, environment, and exit codes.

use crate::case::{Kind, case};

#[test]
pub(crate) fn arguments_arrive_in_order() {
    case("arguments_arrive_in_order")
        .args(["a", "b c", "", "ü\n", "--x=1"])
        .prints("\"a\"\n\"b c\"\n\"\"\n\"ü\\n\"\n\"--x=1\"\n");
}

#[test]
pub(crate) fn first_argument_is_the_name_of_the_program() {
    case("first_argument_is_the_name_of_the_program").prints("cli_wasi.wasm\n");
}

#[test]
pub(crate) fn thousand_arguments_arrive() {
    let args = (0..1_000).map(|number| format!("{number:0100}"));
    case("thousand_arguments_arrive").args(args).prints("1000 arguments, 100000 bytes\n");
}

#[test]
pub(crate) fn environment_is_what_was_given() {
    let name = "environment_is_what_was_given";
    case(name).prints("");
    case(name).flags(&["--env", "B=1=2", "--env", "A="]).prints("A=\"\"\nB=\"1=2\"\n");
}

#[test]
pub(crate) fn main_that_returns_is_a_good_end() {
    case("main_that_returns_is_a_good_end").prints("");
}

#[test]
pub(crate) fn main_that_fails_is_status_1() {
    case("main_that_fails_is_status_1").each(|kind, ended| {
        assert_eq!((ended.code, ended.out(), ended.err()), (1, "", "Error: \"it failed\"\n"), "{kind:?}");
    });
}

/// `wasi:cli/run` of WASI 0.2 returns well or badly, and no number.
#[test]
pub(crate) fn exit_code_of_main_is_the_status() {
    let name = "exit_code_of_main_is_the_status";
    case(name).args(["0"]).prints("");
    case(name).args(["7"]).differ((1, ""), (7, ""));
}

/// The C library of a component calls `wasi:cli/exit.exit`, which says well or badly and no number: 1 is what `wasmtime run`
/// makes of badly. A core module's `proc_exit` has the number, up to 125. Beyond that it is refused, which is status 1, and
/// is told: never an end that looks good.
#[test]
pub(crate) fn exit_is_the_status() {
    let name = "exit_is_the_status";
    case(name).args(["0"]).prints("");
    case(name).args(["3"]).differ((1, ""), (3, ""));
    case(name).args(["125"]).differ((1, ""), (125, ""));
    for status in ["126", "255", "256", "512", "-1"] {
        case(name).args([status]).each(|kind, ended| {
            assert_eq!((ended.code, ended.out()), (1, ""), "{kind:?}, {status}:\n{ended}");
            match kind {
                Kind::Component => assert_eq!(ended.err(), ""),
                Kind::Module => {
                    _ = ended.assert_says(&["error: cli_wasi exited with status", "which WASI 0.1 does not have"]);
                }
            }
        });
    }
}

#[test]
pub(crate) fn exit_ends_at_once() {
    case("exit_ends_at_once").prints("before\n");
}

#[test]
pub(crate) fn panic_is_told_and_traps() {
    case("panic_is_told_and_traps").each(|_, ended| {
        ended.assert_code(134).assert_says(&[
            "panicked at",
            "as it was told to",
            "wasm `unreachable` instruction executed",
        ]);
    });
}

#[test]
pub(crate) fn abort_traps() {
    case("abort_traps").each(|kind, ended| {
        ended.assert_code(134).assert_says(&["cli_wasi trapped", "wasm `unreachable` instruction executed"]);
        assert_eq!(ended.out(), "before\n", "{kind:?}");
    });
}

#[test]
pub(crate) fn stack_overflow_traps() {
    case("stack_overflow_traps").each(|_, ended| {
        ended.assert_code(134).assert_says(&["cli_wasi ran out of stack"]);
    });
}

#[test]
pub(crate) fn output_before_an_exit_arrives() {
    case("output_before_an_exit_arrives").prints("no line end");
}
