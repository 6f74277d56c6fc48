//! The runner itself: a component with CPython in it, built the first time that it is needed, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use lockkeeper::make_private_dir;
use lockkeeper::os_lock::OsLock;

use super::super::output::complain;
use super::pip::{self, Environment};
use super::sources::SOURCES;

/// What builds it, which has CPython 3.14 in it.
const BUILDER: &str = "componentize-py==0.25.1";

/// What it is called where programs are: a log has `python app.py`.
const NAME: &str = "python";

/// The world of `guest/python/wit`.
const WORLD: &str = "lockkeeper:python/runner@0.1.0";

/// The runner, built if it is not in the cache yet.
pub(super) fn runner(cache: &Path) -> anyhow::Result<PathBuf> {
    let home = private_home(cache)?;
    let kept = home.join(directory());
    let component = kept.join(NAME);
    if component.exists() {
        return Ok(component);
    }
    // Two commands at a time build one: the second one waits, and finds it.
    let lock = home.join("building.lock");
    let _alone =
        OsLock::exclusive(&lock, "building the Python runner").context("nobody can build the Python runner")?;
    if !component.exists() {
        build(&home, &kept)?;
    }
    Ok(component)
}

/// The directory of what Python programs run on, which is this user's alone: what lies there is run with what they are granted.
pub(super) fn private_home(cache: &Path) -> anyhow::Result<PathBuf> {
    let home = home(cache)?;
    make_private_dir(&home).with_context(|| format!("the cache directory {} cannot be used", cache.display()))?;
    Ok(home)
}

/// Where the runner is once it is built.
pub(in super::super) fn component(cache: &Path) -> anyhow::Result<PathBuf> {
    Ok(home(cache)?.join(directory()).join(NAME))
}

fn home(cache: &Path) -> anyhow::Result<PathBuf> {
    // What builds there runs elsewhere.
    Ok(std::path::absolute(cache).context("the current directory cannot be found")?.join("python"))
}

fn directory() -> String {
    format!("runner-{}", key())
}

/// Another command has other sources, and another runner.
fn key() -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(BUILDER.as_bytes());
    for (path, text) in SOURCES {
        hasher.update(path.as_bytes()).update(&[0]).update(text.as_bytes()).update(&[0]);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn build(home: &Path, kept: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    complain(format_args!(
        "python: building the runner, once for this version of the command: a minute, and some 100 MB from PyPI"
    ));
    let work = tempfile::tempdir_in(home).context("there is no place to build the Python runner in")?;
    let environment = Environment::new(&work.path().join("environment"))?;
    complain(format_args!("python: installing {BUILDER}"));
    environment.pip(work.path(), &["install", "--quiet", BUILDER])?;
    for (path, text) in SOURCES {
        let path = work.path().join(path);
        fs::create_dir_all(path.parent().context("a source lies in a directory")?)?;
        fs::write(path, text)?;
    }
    let made = work.path().join("made");
    fs::create_dir(&made)?;
    let mut command = environment.command("componentize-py");
    // It builds in what is importable: what is installed here, and nothing of whoever runs it.
    command.current_dir(work.path());
    command.args([
        "-d",
        "wit",
        "-d",
        "guest/python/wit",
        "-w",
        WORLD,
        "componentize",
        "lk_app",
        "-p",
        "guest/python/runner",
        "-p",
        "guest/python/package",
    ]);
    let made = made.join(NAME);
    command.arg("-o").arg(&made);
    pip::run(&mut command, "building the Python runner")?;
    // Nobody writes to it: so it is known by its stamp, and not read at every start.
    let mut permissions = fs::metadata(&made)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&made, permissions)?;
    fs::rename(work.path().join("made"), kept).context("the Python runner cannot be put into the cache")?;
    complain(format_args!("python: the runner is built ({:.0} s), and kept", begun.elapsed().as_secs_f64()));
    Ok(())
}
