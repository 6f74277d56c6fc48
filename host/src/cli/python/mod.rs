//! `lockkeeper run PROGRAM.py`: a Python program as it is, in the runner that is built once.

mod runner;
mod sources;

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use lockkeeper::manifest::expand;
use lockkeeper::{Access, DirGrant, ProcessSpec};
use tempfile::TempDir;

pub(super) use runner::{component, runner};

/// What a process of Python may start at once, itself included below it: programs for `multiprocessing` start many.
const CHILDREN_MAX: u32 = 1_000;

/// What one call of a Python program may carry: an item of a queue, what a process is started with.
const CALL_BYTES_MAX: usize = 80 << 20;

/// What all objects of a Python program may have. A queue is counted with all that it could hold.
pub(super) const OBJECT_BYTES_MAX: u64 = 64 << 30;

/// What was said of limits that Python programs have otherwise than others.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) children_max: Option<u32>,
    pub(super) call_bytes_max: Option<usize>,
}

/// A program that is run, and what it sees beside what it is granted.
pub(super) struct Script {
    /// As it was typed.
    typed: PathBuf,
    /// Where it is.
    absolute: PathBuf,
    args: Vec<String>,
    /// Its own directory, read-only; what it calls it is what the host calls it, so messages show paths as they are.
    dir: PathBuf,
    python_path: Vec<PathBuf>,
    cwd: PathBuf,
    /// A place for temporary files, which goes with the run.
    temporary: TempDir,
}

impl Script {
    pub(super) fn new(script: &Path, args: Vec<String>, python_path: &[PathBuf]) -> anyhow::Result<Self> {
        let absolute = fs::canonicalize(script).with_context(|| format!("there is no program {}", script.display()))?;
        if !absolute.is_file() {
            bail!("{} is no file; name the .py file of the program", script.display());
        }
        let dir = absolute.parent().context("a file lies in a directory")?.to_owned();
        let python_path = python_path.iter().map(|path| {
            fs::canonicalize(path).with_context(|| format!("--python-path {} cannot be found", path.display()))
        });
        Ok(Self {
            typed: script.to_owned(),
            absolute,
            args,
            dir,
            python_path: python_path.collect::<anyhow::Result<_>>()?,
            cwd: fs::canonicalize(".").context("the current directory cannot be found")?,
            temporary: tempfile::tempdir().context("there is no place for temporary files")?,
        })
    }

    /// Makes a process of the runner into one of the program.
    pub(super) fn prepare(&self, spec: &mut ProcessSpec, asked: Asked) -> anyhow::Result<()> {
        for dir in &mut spec.dirs {
            // A directory without a name of its own is called as the host calls it.
            if Path::new(&dir.guest) == dir.host {
                let absolute = fs::canonicalize(&dir.host);
                let absolute = absolute.with_context(|| format!("--dir {} cannot be found", dir.host.display()))?;
                dir.guest = text(&absolute)?;
                dir.host = absolute;
            }
        }
        let is_granted = |spec: &ProcessSpec, path: &Path| spec.dirs.iter().any(|dir| path.starts_with(&dir.guest));
        for dir in [&self.dir].into_iter().chain(&self.python_path) {
            if !is_granted(spec, dir) {
                spec.dirs.push(DirGrant { host: dir.clone(), guest: text(dir)?, access: Access::ReadOnly });
            }
        }
        // Where it would be without the sandbox, if it sees that; where it lies otherwise.
        let cwd = if is_granted(spec, &self.cwd) { &self.cwd } else { &self.dir };
        // A program that lies in `/tmp` itself has its temporary files elsewhere.
        let temporary = if is_granted(spec, Path::new("/tmp")) { "/var/tmp" } else { "/tmp" };
        if !is_granted(spec, Path::new(temporary)) {
            let host = self.temporary.path().to_owned();
            spec.dirs.push(DirGrant { host, guest: temporary.to_owned(), access: Access::ReadWrite });
            spec.env.push(("TMPDIR".to_owned(), temporary.to_owned()));
        }
        // Messages show it as it was typed, if that leads there in the sandbox too: through no link, and not upwards.
        let goes_up = self.typed.components().any(|part| part == Component::ParentDir);
        let leads_there = *cwd == self.cwd && !goes_up && self.cwd.join(&self.typed) == self.absolute;
        let path = if leads_there { &self.typed } else { &self.absolute };
        spec.env.push(("LOCKKEEPER_PYTHON_CWD".to_owned(), text(cwd)?));
        let python_path = self.python_path.iter().map(|path| text(path)).collect::<anyhow::Result<Vec<_>>>()?;
        spec.env.push(("LOCKKEEPER_PYTHON_PATH".to_owned(), python_path.join(":")));
        let args = self.args.iter().map(|arg| expand(arg, spec.rank, spec.count));
        spec.args = [text(path)?].into_iter().chain(args).collect();
        if !spec.programs.iter().any(|program| program == "self") {
            spec.programs.push("self".to_owned());
        }
        spec.limits.children_max = asked.children_max.unwrap_or(CHILDREN_MAX);
        spec.limits.call_bytes_max = asked.call_bytes_max.unwrap_or(CALL_BYTES_MAX);
        Ok(())
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path
        .to_str()
        .with_context(|| format!("{} is no text, and the program could not name it", path.display()))?
        .to_owned())
}
