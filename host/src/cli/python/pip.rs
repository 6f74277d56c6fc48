//! A virtual environment of the machine's own Python, and what is installed with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// A virtual environment, which is there as long as its directory.
pub(super) struct Environment {
    dir: PathBuf,
}

impl Environment {
    pub(super) fn new(dir: &Path) -> anyhow::Result<Self> {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(dir);
        run(&mut venv, "making a virtual environment").context(
            "Python programs need python3 with its module venv once, to build what runs them (on Debian: python3-venv)",
        )?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// A command that is installed here.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.dir.join("bin").join(name));
        command.env("VIRTUAL_ENV", &self.dir);
        command
    }

    /// Calls pip in a directory, to which relative paths are relative.
    pub(super) fn pip(&self, dir: &Path, args: &[&str]) -> anyhow::Result<()> {
        let mut pip = self.command("python");
        pip.current_dir(dir).args(["-m", "pip", "--disable-pip-version-check", "--no-input"]).args(args);
        run(&mut pip, "installing from PyPI")
    }
}

/// What it prints is shown if it fails.
pub(super) fn run(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{what}: {program} cannot be started"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{what} failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}
