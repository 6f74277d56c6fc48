//! The benchmark's guest programs, built in release mode in a target directory of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

const TARGET: &str = "wasm32-wasip2";

/// The root of the project.
pub(crate) fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the benchmark lies two levels deep in the workspace")
}

/// Builds all of them.
pub(crate) fn build() -> anyhow::Result<()> {
    add_target()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--quiet", "-p", "lockkeeper-bench-guests", "--target", TARGET, "--target-dir"]);
    let status = cargo.arg(target_dir()).current_dir(workspace()).status().context("cargo cannot be started")?;
    ensure!(status.success(), "the guest programs do not build for {TARGET}");
    Ok(())
}

/// Builds the command, as optimised as this is.
pub(crate) fn build_command() -> anyhow::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "lockkeeper"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(workspace()).status().context("cargo cannot be started")?;
    ensure!(status.success(), "the command does not build");
    Ok(())
}

/// The command, with what it keeps where the tests have it.
pub(crate) fn command() -> Command {
    let kept = target_dir().join("python");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let mut command = Command::new(workspace().join("target").join(profile).join("lockkeeper"));
    command.env("LOCKKEEPER_CACHE_DIR", &kept).env("LOCKKEEPER_STATE_DIR", kept.join("state"));
    command
}

/// Where a program is once it is built.
pub(crate) fn path(name: &str) -> PathBuf {
    target_dir().join(TARGET).join("release").join(format!("{name}.wasm"))
}

/// Where compiled guests are kept.
pub(crate) fn cache_dir() -> PathBuf {
    target_dir().join("compiled")
}

fn target_dir() -> PathBuf {
    workspace().join("target/guests")
}

/// Rustup, where there is one, adds the target if it is missing.
fn add_target() -> anyhow::Result<()> {
    let rustup = |args: &[&str]| Command::new("rustup").args(args).current_dir(workspace()).output();
    let Ok(installed) = rustup(&["target", "list", "--installed"]) else { return Ok(()) };
    if String::from_utf8_lossy(&installed.stdout).lines().any(|line| line.trim() == TARGET) {
        return Ok(());
    }
    let added = rustup(&["target", "add", TARGET])?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    Ok(())
}
