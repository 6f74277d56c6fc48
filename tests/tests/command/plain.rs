//! Programs that know nothing of this host run as they do under `wasmtime run`: same streams, same exit codes.

use crate::support::{Ended, Place, end, guest, guest_p1};

/// Both kinds of a program, each with a word for messages.
fn both(name: &str) -> [(&'static str, String); 2] {
    [("component", guest(name)), ("core module", guest_p1(name))]
}

#[track_caller]
fn assert_streams(kind: &str, ended: &Ended, code: i32, out: &str, err: &str) {
    assert_eq!((ended.code, ended.out(), ended.err()), (code, out, err), "{kind}:\n{ended}");
}

#[test]
fn streams_of_one_process_pass_unchanged_and_nothing_is_added() {
    let place = Place::new();
    for (kind, hello) in both("cli_hello") {
        let ended = place.run(&["run", &hello, "--", "a", "b c"]);
        assert_streams(kind, &ended, 0, "hello, a b c\n", "to stderr\n");
    }
}

#[test]
fn arguments_after_the_dashes_belong_to_the_program_even_if_they_look_like_flags() {
    let place = Place::new();
    for (kind, hello) in both("cli_hello") {
        let ended = place.run(&["run", &hello, "--", "--json", "-n", "4", "--", "--help"]);
        assert_streams(kind, &ended, 0, "hello, --json -n 4 -- --help\n", "to stderr\n");
    }
}

#[test]
fn a_program_sees_the_environment_that_it_is_given_and_no_other() {
    let place = Place::new();
    for (kind, hello) in both("cli_hello") {
        let ended = place.run(&["run", "--env", "GREETING=good = day", &hello]);
        assert_streams(kind, &ended, 0, "hello, \ngood = day\n", "to stderr\n");

        let with_greeting = |args: &[&str]| {
            let mut command = place.lockkeeper(args);
            command.env("GREETING", "from outside");
            end(command, b"")
        };
        assert_streams(kind, &with_greeting(&["run", &hello]), 0, "hello, \n", "to stderr\n");
        let passed_on = with_greeting(&["run", "--env", "GREETING", &hello]);
        assert_streams(kind, &passed_on, 0, "hello, \nfrom outside\n", "to stderr\n");
    }
}

#[test]
fn a_program_sees_the_directory_that_it_is_given_and_no_other() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).expect("a new directory");
    place.write("data/in.txt", "inside\n");
    place.write("secret.txt", "outside\n");
    for (kind, read) in both("cli_read") {
        let granted = ["run", "--dir", "data::/seen:read-only", &read, "--"];
        let read_one = |path: &str| place.run(&[&granted[..], &[path]].concat());
        assert_streams(kind, &read_one("/seen/in.txt"), 0, "inside\n", "");
        for hidden in ["/seen/../secret.txt", "secret.txt", "data/in.txt", "/etc/hostname"] {
            let ended = read_one(hidden);
            ended.assert_code(1);
            assert!(ended.stdout.is_empty() && ended.err().contains(hidden), "{kind}, {hidden}:\n{ended}");
        }
    }
}

/// Bytes, not text: nothing on the way may look for lines or characters.
#[test]
fn standard_input_passes_to_the_end_byte_for_byte() {
    let place = Place::new();
    let input: Vec<u8> = (0..40_000_u32).map(|number| (number % 251) as u8).collect();
    for (kind, stdin) in both("cli_stdin") {
        let ended = end(place.lockkeeper(&["run", &stdin]), &input);
        assert_eq!((ended.code, ended.err()), (0, ""), "{kind}");
        assert!(ended.stdout == input, "{kind}: {} bytes of {} came back, or others", ended.stdout.len(), input.len());
    }
}

#[test]
fn a_main_that_fails_is_exit_code_1_and_its_own_message() {
    let place = Place::new();
    for (kind, error) in both("cli_error") {
        let ended = place.run(&["run", &error]);
        assert_streams(kind, &ended, 1, "", "Error: \"this program always fails\"\n");
    }
}

#[test]
fn a_trap_is_exit_code_134_and_is_told_after_what_was_printed() {
    let place = Place::new();
    for (kind, trap) in both("cli_trap") {
        let ended = place.run(&["run", &trap]);
        ended.assert_code(134).assert_says(&["error: cli_trap trapped", "wasm `unreachable` instruction executed"]);
        assert_eq!(ended.out(), "before\n", "{kind}");
    }
}

/// Who debugs the host gets its frames from the host's panics. The trap of a guest is about the guest.
#[test]
fn a_trap_shows_no_frames_of_the_host() {
    let place = Place::new();
    let mut command = place.lockkeeper(&["run", &guest("cli_trap")]);
    command.env("RUST_BACKTRACE", "1");
    let ended = end(command, b"");
    ended.assert_code(134).assert_says(&["wasm `unreachable` instruction executed"]);
    assert!(!ended.err().contains("clone3") && !ended.err().contains(".rs:"), "{ended}");
}

#[test]
fn exit_with_0_is_a_good_end() {
    let place = Place::new();
    for (kind, exit) in both("cli_exit") {
        assert_streams(kind, &place.run(&["run", &exit, "--", "0"]), 0, "", "");
    }
}

/// `wasi:cli/exit` of WASI 0.2 carries "well" or "badly" and no number, so a component that exits with 3 arrives as 1,
/// as it does under `wasmtime run`.
#[test]
fn a_component_that_exits_badly_is_exit_code_1() {
    let place = Place::new();
    assert_streams("component", &place.run(&["run", &guest("cli_exit"), "--", "3"]), 1, "", "");
}

/// `proc_exit` of WASI 0.1 carries the number.
#[test]
fn a_core_module_that_exits_with_3_is_exit_code_3() {
    let place = Place::new();
    assert_streams("core module", &place.run(&["run", &guest_p1("cli_exit"), "--", "3"]), 3, "", "");
}
