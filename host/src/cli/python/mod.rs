//! `lockkeeper run PROGRAM.py`: a Python program as it is, in the runner that is built once.

mod runner;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lockkeeper::{Access, DirGrant, ProcessSpec};
use tempfile::TempDir;

pub(super) use runner::runner;

/// What a process of Python may start at once, itself included below it: programs for `multiprocessing` start many.
const CHILDREN_MAX: u32 = 1_000;

/// A program that is run, and what it sees beside what it is granted.
pub(super) struct Script {
    /// As the program is to see it.
    path: String,
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
        let path = script.to_str().context("the path of the program is no text")?.to_owned();
        Ok(Self {
            path,
            args,
            dir,
            python_path: python_path.collect::<anyhow::Result<_>>()?,
            cwd: std::env::current_dir().context("the current directory cannot be found")?,
            temporary: tempfile::tempdir().context("there is no place for temporary files")?,
        })
    }

    /// Makes a process of the runner into one of the program.
    pub(super) fn prepare(&self, spec: &mut ProcessSpec, children_max: Option<u32>) -> anyhow::Result<()> {
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
        let sees_cwd = is_granted(spec, &self.cwd);
        if !is_granted(spec, Path::new("/tmp")) {
            let host = self.temporary.path().to_owned();
            spec.dirs.push(DirGrant { host, guest: "/tmp".to_owned(), access: Access::ReadWrite });
        }
        let (cwd, path) = match sees_cwd {
            true => (&self.cwd, self.path.clone()),
            false => (&self.dir, text(&self.dir.join(Path::new(&self.path).file_name().unwrap_or_default()))?),
        };
        spec.env.push(("LOCKKEEPER_PYTHON_CWD".to_owned(), text(cwd)?));
        let python_path = self.python_path.iter().map(|path| text(path)).collect::<anyhow::Result<Vec<_>>>()?;
        spec.env.push(("LOCKKEEPER_PYTHON_PATH".to_owned(), python_path.join(":")));
        spec.args = [path].into_iter().chain(self.args.iter().cloned()).collect();
        if !spec.programs.iter().any(|program| program == "self") {
            spec.programs.push("self".to_owned());
        }
        spec.limits.children_max = children_max.unwrap_or(CHILDREN_MAX);
        Ok(())
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path
        .to_str()
        .with_context(|| format!("{} is no text, and the program could not name it", path.display()))?
        .to_owned())
}
