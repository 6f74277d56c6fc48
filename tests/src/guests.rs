//! The guest programs, built on first use in a target directory of their own, so that building them does not wait for the
//! build that runs the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The root of the project.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace")
}

/// A guest program as a component.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build("wasm32-wasip2", &["lockkeeper-guest-programs", "word-scorer"], &[]));
    built("wasm32-wasip2", name)
}

/// The plugin of the examples.
pub fn plugin() -> PathBuf {
    guest("word_scorer")
}

/// A guest program as a core module of WASI 0.1. Only those of the suite `cli`, and `append_raw`, exist as one.
pub fn guest_p1(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let mut suite: Vec<String> =
        ["hello", "exit", "trap", "error", "read", "stdin", "flood", "wasi"].map(|name| format!("cli_{name}")).into();
    suite.push("append_raw".to_owned());
    BUILT.get_or_init(|| build("wasm32-wasip1", &["lockkeeper-guest-programs"], &suite));
    built("wasm32-wasip1", name)
}

/// The command. It is built beside the tests by `cargo test --workspace`.
pub fn command() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in `deps` of their profile");
    let command = profile.join("lockkeeper");
    assert!(command.exists(), "there is no {}; run the tests with `cargo test --workspace`", command.display());
    command
}

fn target_dir() -> PathBuf {
    workspace().join("target/guests")
}

fn built(target: &str, name: &str) -> PathBuf {
    let path = target_dir().join(target).join("release").join(format!("{name}.wasm"));
    assert!(path.exists(), "there is no guest program {name}: {} is missing", path.display());
    path
}

fn build(target: &str, packages: &[&str], bins: &[String]) {
    // Two tests that need two targets must not change the toolchain at once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _building = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    add_target(target);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--quiet", "--target", target, "--target-dir"]);
    cargo.arg(target_dir()).current_dir(workspace());
    for package in packages {
        cargo.args(["-p", package]);
    }
    for bin in bins {
        cargo.args(["--bin", bin]);
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "the guest programs do not build for {target}");
}

/// Rustup, where there is one, adds a target that is missing.
fn add_target(target: &str) {
    let rustup = |args: &[&str]| Command::new("rustup").args(args).current_dir(workspace()).output();
    let Ok(installed) = rustup(&["target", "list", "--installed"]) else {
        return;
    };
    if !String::from_utf8_lossy(&installed.stdout).lines().any(|line| line.trim() == target) {
        let added = rustup(&["target", "add", target]).expect("rustup answered before");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
}
