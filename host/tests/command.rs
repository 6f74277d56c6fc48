//! The command is there and says what it can do. What it does is tested in the package `lockkeeper-tests`, which finds
//! the command because this test has it built.

use std::process::Command;

#[test]
fn the_help_names_every_subcommand_and_the_exit_codes() {
    let help = Command::new(env!("CARGO_BIN_EXE_lockkeeper")).arg("--help").output().expect("the command starts");
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).expect("text");
    for word in ["run", "map", "file", "inspect", "doctor", "124", "134", "101"] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
}
