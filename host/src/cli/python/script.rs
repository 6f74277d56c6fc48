//! A script as a process of the runner: what it sees of the machine, and where.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use lockkeeper::{Access, DirGrant, ProcessSpec};
use tempfile::TempDir;

use super::super::environment;
use super::super::output::complain;

/// A program that is run, and what it sees beside what it is granted.
pub(super) struct Script {
    /// As it was typed.
    typed: PathBuf,
    /// Where it is.
    absolute: PathBuf,
    /// Its own directory, read-only; what it calls it is what the host calls it, so messages show paths as they are.
    dir: PathBuf,
    python_path: Vec<PathBuf>,
    cores: usize,
    cwd: PathBuf,
    /// A place for temporary files, which goes with the run.
    temporary: TempDir,
}

impl Script {
    pub(super) fn new(script: &Path, python_path: &[PathBuf], cores: usize) -> anyhow::Result<Self> {
        let absolute = fs::canonicalize(script).with_context(|| format!("there is no program {}", script.display()))?;
        if !absolute.is_file() {
            bail!("{} is no file; name the .py file of the program", script.display());
        }
        let dir = absolute.parent().context("a file lies in a directory")?.to_owned();
        if environment::home().is_some_and(|home| home.starts_with(&dir)) || dir == std::env::temp_dir() {
            complain(format_args!(
                "python: {} can read all of {}, where it lies; put it into a directory of its own",
                script.display(),
                dir.display()
            ));
        }
        let python_path = python_path.iter().map(|path| {
            // The interpreter is given all of them as one text.
            if path.as_os_str().as_encoded_bytes().contains(&b':') {
                bail!(
                    "--python-path {}: a directory with `:` in its name cannot be named there; rename it",
                    path.display()
                );
            }
            fs::canonicalize(path).with_context(|| format!("--python-path {} cannot be found", path.display()))
        });
        Ok(Self {
            typed: script.to_owned(),
            absolute,
            dir,
            python_path: python_path.collect::<anyhow::Result<_>>()?,
            cores,
            cwd: fs::canonicalize(".").context("the current directory cannot be found")?,
            temporary: tempfile::tempdir().context("there is no place for temporary files")?,
        })
    }

    /// What it is, for who compares: its text, whatever it imports.
    pub(super) fn digest(&self) -> anyhow::Result<blake3::Hash> {
        let source = fs::read(&self.absolute);
        let source = source.with_context(|| format!("{} cannot be read", self.typed.display()))?;
        Ok(blake3::hash(&source))
    }

    /// Makes a process of the runner into one of the program.
    pub(super) fn prepare(&self, spec: &mut ProcessSpec) -> anyhow::Result<()> {
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
        for own in [&self.dir].into_iter().chain(&self.python_path) {
            // What stands there under that name is to be what the program means by it.
            let hides = |dir: &&DirGrant| {
                own.strip_prefix(&dir.guest)
                    .is_ok_and(|rest| fs::canonicalize(dir.host.join(rest)).ok().as_ref() != Some(own))
            };
            if let Some(dir) = spec.dirs.iter().find(hides) {
                bail!(
                    "--dir {}::{}: a Python program sees its own directory by the path that it has here, {}, which this grant would \
                     hide; give the grant another name",
                    dir.host.display(),
                    dir.guest,
                    own.display()
                );
            }
        }
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
        spec.env.push(("LOCKKEEPER_PYTHON_CORES".to_owned(), self.cores.to_string()));
        let python_path = self.python_path.iter().map(|path| text(path)).collect::<anyhow::Result<Vec<_>>>()?;
        spec.env.push(("LOCKKEEPER_PYTHON_PATH".to_owned(), python_path.join(":")));
        spec.args.insert(0, text(path)?);
        if !spec.programs.iter().any(|program| program == "self") {
            spec.programs.push("self".to_owned());
        }
        Ok(())
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path
        .to_str()
        .with_context(|| format!("{} is no text, and the program could not name it", path.display()))?
        .to_owned())
}
