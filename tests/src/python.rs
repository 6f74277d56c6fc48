//! The Python of this machine, with packages from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a virtual environment in a directory; its interpreter.
pub fn environment(dir: &Path) -> PathBuf {
    well(Command::new("python3").args(["-m", "venv"]).arg(dir.join("environment")));
    dir.join("environment/bin/python")
}

/// Runs pip to install something.
pub fn install(python: &Path, what: &[&str]) {
    well(Command::new(python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(what));
}

/// Runs a command that has to end well; what it prints.
pub fn well(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
