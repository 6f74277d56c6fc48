//! Programs that know nothing of this host: components and core modules of WASI.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use lockkeeper::observe::Outcome;
use lockkeeper::{Limits, ProcessSpec, Program};
use lockkeeper_tests::{TestHost, guest_p1, join, spec};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Both forms of a program.
fn both(host: &TestHost, name: &str) -> [Program; 2] {
    [host.program(name), Program::from_file(host.runtime(), guest_p1(name)).expect("a core module")]
}

fn run(host: &TestHost, program: &Program, args: &[&str]) -> (Outcome, Vec<String>) {
    let env = vec![("GREETING".to_owned(), "good morning".to_owned())];
    let spec = ProcessSpec { env, ..spec(program, args, &[], &[]) };
    let (process, lines) = host.spawn_spec(&host.job(&[]), program, spec);
    (join(&process).outcome.clone(), lines.all())
}

#[test]
fn arguments_environment_and_output_arrive() {
    let host = TestHost::new();
    for program in both(&host, "cli_hello") {
        let (outcome, lines) = run(&host, &program, &["plain", "w\u{f6}rld", ""]);
        assert_eq!(outcome, Outcome::Returned);
        assert_eq!(lines, ["hello, plain w\u{f6}rld ", "good morning", "to stderr"]);
    }
}

#[test]
fn standard_input_is_empty() {
    let host = TestHost::new();
    for program in both(&host, "cli_stdin") {
        assert_eq!(run(&host, &program, &[]), (Outcome::Returned, Vec::new()));
    }
}

/// A read of a pipe was once a call of the system on the shard: while nobody wrote, nobody else ran there, and neither a kill
/// nor a time limit came through.
#[test]
fn standard_input_that_is_silent_holds_up_nobody_else() {
    let host = TestHost::with_shards(1);
    let pipe = host.path("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe with a name");
    let mut writer = File::options().read(true).write(true).open(&pipe).expect("the pipe is opened");
    let reader = |program: &Program, limits| {
        let spec = ProcessSpec { stdin: Some(pipe.clone()), limits, ..spec(program, &[], &[], &[]) };
        host.spawn_spec(&host.job(&[]), program, spec)
    };
    for program in both(&host, "cli_stdin") {
        let (process, lines) = reader(&program, Limits::default());
        for line in ["first", "second"] {
            writeln!(writer, "{line}").expect("there is room in the pipe");
            lines.wait_for(line);
            // It waits for more now.
            assert_eq!(run(&host, &host.program("cli_hello"), &["a", "b", "c"]).0, Outcome::Returned);
        }
        process.kill();
        assert_eq!(join(&process).outcome, Outcome::Killed);
        let limit = Duration::from_millis(20);
        let (process, _) = reader(&program, Limits { timeout: Some(limit), ..Limits::default() });
        assert_eq!(join(&process).outcome, Outcome::TimedOut { limit });
    }
    // The end of the last writer is the end of the input.
    let program = host.program("cli_stdin");
    let (process, lines) = reader(&program, Limits::default());
    writeln!(writer, "last").expect("there is room in the pipe");
    drop(writer);
    assert_eq!(join(&process).outcome, Outcome::Returned);
    assert_eq!(lines.all(), ["last"]);
}

/// A core module has a status, a component only well and not.
#[test]
fn exit_is_reported_with_the_status_that_the_program_can_give() {
    let host = TestHost::new();
    let [component, module] = both(&host, "cli_exit");
    assert_eq!(run(&host, &component, &[]).0, Outcome::Exited { code: 1 });
    assert_eq!(run(&host, &module, &[]).0, Outcome::Exited { code: 3 });
    assert_eq!(run(&host, &component, &["0"]).0, Outcome::Exited { code: 0 });
    assert_eq!(run(&host, &module, &["0"]).0, Outcome::Exited { code: 0 });
}

#[test]
fn error_of_main_is_a_failure_and_its_message_arrives() {
    let host = TestHost::new();
    let [component, module] = both(&host, "cli_error");
    for (program, outcome) in [(component, Outcome::Failed), (module, Outcome::Exited { code: 1 })] {
        let (ended, lines) = run(&host, &program, &[]);
        assert_eq!(ended, outcome);
        assert_eq!(lines, ["Error: \"this program always fails\""]);
    }
}

#[test]
fn trap_is_reported_and_what_was_printed_before_is_not_lost() {
    let host = TestHost::new();
    for program in both(&host, "cli_trap") {
        let (outcome, lines) = run(&host, &program, &[]);
        assert!(matches!(&outcome, Outcome::Trapped { message } if message.contains("unreachable")), "{outcome}");
        assert_eq!(lines, ["before"]);
    }
}

/// Nothing is granted unless it is said: no file, not even the directory of the host.
#[test]
fn program_without_grants_sees_no_file() {
    let host = TestHost::new();
    for program in both(&host, "cli_read") {
        for path in ["/etc/passwd", "Cargo.toml", ".", "/"] {
            assert!(!run(&host, &program, &[path]).0.is_success(), "{path}");
        }
    }
}
