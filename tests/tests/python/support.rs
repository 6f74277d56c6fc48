//! How a program is run, here and there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lockkeeper_tests::{command, workspace};

/// No arguments.
pub(crate) const NOTHING: &[&str] = &[];

/// A program of the suite.
pub(crate) fn program(folder: &str, name: &str) -> PathBuf {
    workspace().join("tests/tests/python").join(folder).join(format!("{name}.py"))
}

/// The command, with what it keeps in `target`.
pub(crate) fn lockkeeper() -> Command {
    let mut lockkeeper = Command::new(command());
    lockkeeper.env("LOCKKEEPER_CACHE_DIR", workspace().join("target/guests/python"));
    lockkeeper.env("LOCKKEEPER_STATE_DIR", workspace().join("target/guests/python/state"));
    lockkeeper.stdin(Stdio::null());
    lockkeeper
}

/// A program as a guest, with a directory that it may write in.
pub(crate) fn as_guest(program: &Path, dir: &Path, args: &[impl AsRef<OsStr>]) -> Output {
    let mut run = lockkeeper();
    run.arg("run").arg("--dir").arg(dir).arg("--timeout").arg("300s").arg(program).arg("--").args(args);
    run.output().expect("the command starts")
}

pub(crate) fn under_cpython(program: &Path, args: &[impl AsRef<OsStr>]) -> Output {
    let mut run = Command::new("python3");
    // It would leave what it compiled among the programs.
    run.env("PYTHONDONTWRITEBYTECODE", "1");
    run.arg(program).args(args).stdin(Stdio::null());
    run.output().expect("there is a python3 to compare with; install one (on Debian: python3 and python3-venv)")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program prints the same, and ends the same, under CPython and as a guest. `{dir}` in an argument is a directory, for
/// each of the two its own.
pub(crate) fn same(name: &str, args: &[&str]) {
    let program = program("same", name);
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let with =
        |dir: &Path| args.iter().map(|arg| arg.replace("{dir}", dir.to_str().expect("text"))).collect::<Vec<_>>();
    let guest = as_guest(&program, here.path(), &with(here.path()));
    let native = under_cpython(&program, &with(there.path()));
    let said = format!("as a guest it said:\n{}", text(&guest.stderr));
    assert_eq!(text(&guest.stdout), text(&native.stdout), "{said}");
    assert_eq!(guest.status.code(), native.status.code(), "{said}");
}

/// The program prints what stands beside it.
pub(crate) fn ours(name: &str) {
    let program = program("ours", name);
    let dir = tempfile::tempdir().expect("a directory");
    let guest = as_guest(&program, dir.path(), NOTHING);
    let wanted = fs::read_to_string(program.with_extension("out")).expect("what it prints stands beside it");
    assert_eq!(text(&guest.stdout), wanted, "as a guest it said:\n{}", text(&guest.stderr));
}
