//! A job: locks and append files by name, and the processes that share them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockkeeper_journal::counter::CounterError;
use lockkeeper_journal::{AppendFile, FileSpec, OpenError, OpenReport, Position};
use lockkeeper_locks::{EndCause, Fence, LockView, MutexConfig};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::grants::{GrantedFile, Rights};
use crate::host::{Host, ShuttingDown};
use crate::name::{Name, NameError};
use crate::observe::Kind;
use crate::process::control::Control;
use crate::process::{
    Access, Commit, DirGrant, Identity, InputDir, InputError, Placement, Prepared, Process, ProcessSpec, ProcessState,
    connect,
};
use crate::program::Program;
use crate::scope::ScopedLock;

/// What a job has.
#[derive(Clone, Debug, Default)]
pub struct JobSpec {
    /// Its locks.
    pub locks: Vec<LockSpec>,
    /// Its append files.
    pub files: Vec<AppendSpec>,
}

/// A lock of a job.
#[derive(Clone, Debug, Default)]
pub struct LockSpec {
    /// What processes call it.
    pub name: String,
    /// How it behaves.
    pub config: MutexConfig,
}

/// An append file of a job.
#[derive(Clone, Debug)]
pub struct AppendSpec {
    /// What processes call it.
    pub name: String,
    /// Where it is and how it is written.
    pub file: FileSpec,
    /// The lock without which nobody may write to it.
    pub requires_lock: Option<String>,
}

/// Why a job cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A name breaks the grammar.
    #[error("{kind} {name:?}: {source}")]
    Name {
        /// What it names.
        kind: Kind,
        /// The text.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Two things have one name.
    #[error("{kind} `{name}` is declared twice; give one of them another name")]
    Twice {
        /// What it names.
        kind: Kind,
        /// The name.
        name: Name,
    },
    /// A file requires a lock that the job does not have.
    #[error("file `{file}` requires lock `{lock}`, which the job does not declare")]
    NoSuchLock {
        /// The file.
        file: Name,
        /// The lock.
        lock: String,
    },
    /// No fences can be reserved for a lock.
    #[error("lock `{lock}`: {source}")]
    Fences {
        /// The lock.
        lock: Name,
        /// Why.
        source: CounterError,
    },
    /// A file cannot be opened.
    #[error("file `{file}`: {source}")]
    Open {
        /// The file.
        file: Name,
        /// Why.
        source: OpenError,
    },
}

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It is to have a lock or a file that the job does not have.
    #[error("`{process}` is granted {kind} `{name}`, which the job does not declare")]
    NoSuchGrant {
        /// The process.
        process: Arc<str>,
        /// What kind.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// Its records are to wait for its end, and the file takes them only under a lock, which it need not have by then.
    #[error("`{process}` commits at its end, and its append file `{file}` requires a lock; bind the file to none")]
    HeldBackUnderLock {
        /// The process.
        process: Arc<str>,
        /// The file.
        file: Name,
    },
    /// A directory cannot be opened.
    #[error("`{process}` is granted the directory {}, which cannot be opened: {source}", dir.display())]
    Dir {
        /// The process.
        process: Arc<str>,
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// An append file could be reached past the host, through a directory of the process.
    #[error(
        "`{process}` may write in {}, where the append file `{file}` is; grant another directory, or grant it read-only",
        dir.display()
    )]
    FileInDir {
        /// The process.
        process: Arc<str>,
        /// The directory.
        dir: PathBuf,
        /// The file.
        file: String,
    },
    /// The host's own files could be changed through a directory of the process.
    #[error(
        "`{process}` may write in {}, which has to do with the host's own directory {}; grant another directory, grant it \
         read-only, or move the host's (--cache-dir, --state-dir)",
        dir.display(), own.display()
    )]
    OwnDir {
        /// The process.
        process: Arc<str>,
        /// The directory.
        dir: PathBuf,
        /// The host's directory.
        own: PathBuf,
    },
    /// Its inputs cannot be given to it.
    #[error("`{process}`: {source}")]
    Input {
        /// The process.
        process: Arc<str>,
        /// Why.
        source: InputError,
    },
    /// The host shuts down.
    #[error("the host is shutting down; no process is started any more")]
    ShuttingDown,
}

/// A job that is open: its locks exist, its files are this host's alone.
pub struct Job {
    host: Arc<Host>,
    rights: Rights,
    reports: Vec<(Name, OpenReport)>,
}

impl Job {
    pub(crate) fn open(host: &Arc<Host>, spec: JobSpec) -> Result<Self, JobError> {
        let mut rights = Rights::default();
        for LockSpec { name, config } in spec.locks {
            let name = checked(Kind::Lock, &name)?;
            if rights.locks.contains_key(&name) {
                return Err(JobError::Twice { kind: Kind::Lock, name });
            }
            let lock = host.scope.create_mutex(name.clone(), config);
            let lock = lock.map_err(|source| JobError::Fences { lock: name.clone(), source })?;
            rights.locks.insert(name, lock);
        }
        let mut reports = Vec::new();
        // A file that is replaced is emptied as it is opened: what another one is refused for must cost no old results.
        for AppendSpec { name, file, .. } in &spec.files {
            let checked_name = checked(Kind::File, name)?;
            AppendFile::check(file).map_err(|source| JobError::Open { file: checked_name, source })?;
        }
        for AppendSpec { name, file, requires_lock } in spec.files {
            let name = checked(Kind::File, &name)?;
            if rights.files.contains_key(&name) {
                return Err(JobError::Twice { kind: Kind::File, name });
            }
            let requires = match requires_lock {
                None => None,
                Some(lock) => match rights.locks.get(lock.as_str()) {
                    Some(lock) => Some(lock.clone()),
                    None => return Err(JobError::NoSuchLock { file: name, lock }),
                },
            };
            let opened = AppendFile::open(&file);
            let (file, report) = opened.map_err(|source| JobError::Open { file: name.clone(), source })?;
            let file = Arc::new(file);
            if let Some(lock) = &requires {
                lock.bind(&file);
            }
            reports.push((name.clone(), report));
            rights.files.insert(name.clone(), Arc::new(GrantedFile { name, file, requires }));
        }
        Ok(Self { host: host.clone(), rights, reports })
    }

    /// What was found when the files were opened, torn tails above all.
    pub fn reports(&self) -> impl Iterator<Item = (&Name, &OpenReport)> {
        self.reports.iter().map(|(name, report)| (name, report))
    }

    /// Starts a process. Returns at once; the process runs on its shard.
    pub fn spawn(&self, program: &Program, spec: &ProcessSpec) -> Result<Process, SpawnError> {
        let id = self.host.next_process();
        let name: Arc<str> = spec.full_name().into();
        let rights = self.rights_of(&name, spec)?;
        if spec.commit == Commit::AtEnd
            && let Some(bound) = rights.files.values().find(|file| file.requires.is_some())
        {
            return Err(SpawnError::HeldBackUnderLock { process: name, file: bound.name.clone() });
        }
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg(program.name()).args(&spec.args).envs(&spec.env);
        let files: Vec<_> = self.rights.files.values().map(|file| (file.name.as_str(), file.file.path())).collect();
        check_dirs(&name, &spec.dirs, &files, &self.host.own_dirs)?;
        for dir in &spec.dirs {
            grant_dir(&mut wasi, &name, dir)?;
        }
        let input = |source| SpawnError::Input { process: name.clone(), source };
        let inputs = match &spec.inputs[..] {
            [] => None,
            inputs => Some(InputDir::new(inputs).map_err(input)?),
        };
        if let Some(inputs) = &inputs {
            let source = |source: wasmtime::Error| SpawnError::Dir {
                process: name.clone(),
                dir: inputs.path().to_owned(),
                source: std::io::Error::other(format!("{source:#}")),
            };
            wasi.preopened_dir(inputs.path(), crate::process::INPUT_DIR, FsPerms::ReadOnly).map_err(source)?;
        }
        let output = connect(&spec.stdio, &mut wasi, spec.limits.output_bytes_max);
        let identity = Identity { id, rank: spec.rank, count: spec.count.max(1), name: name.clone() };
        let home = spec.locks.first().and_then(|lock| rights.locks.get(lock.as_str())).map(|lock| lock.id);
        let state = ProcessState::new(
            identity,
            self.host.scope.clone(),
            self.host.events.clone(),
            rights,
            wasi.build(),
            &spec.limits,
            spec.commit,
        );
        let control = Arc::<Control>::default();
        let prepared = Prepared {
            program: program.command.clone(),
            state,
            control: control.clone(),
            call_bytes_max: spec.limits.call_bytes_max,
            timeout: spec.limits.timeout,
            output,
            inputs,
        };
        let placement = spec.placement;
        let started = self.host.start(
            |shards| match (placement, home) {
                (Placement::Home, Some(lock)) => shards.home(lock.index() as usize),
                (Placement::Home, None) | (Placement::Spread, _) => shards.least_loaded(),
            },
            prepared,
        );
        started.map_err(|ShuttingDown| SpawnError::ShuttingDown)?;
        Ok(Process { id, name, control })
    }

    /// A look at a lock: who holds it and who waits, at one instant. None if the job has no such lock.
    pub fn inspect_lock(&self, name: &str) -> Option<LockView> {
        Some(self.host.scope.table().inspect(self.lock(name)?.id))
    }

    /// Takes a lock away from whoever holds it, with `expect` only if the hold has that fence. When this returns, the old
    /// owner's last record is in the files bound to the lock, it can write no more to them, and the next waiter is
    /// granted. Answers the fence of the hold that was ended; none if there was none.
    pub fn revoke(&self, name: &str, expect: Option<u64>) -> Option<u64> {
        let lock = self.lock(name)?;
        self.host.scope.revoke(lock, expect.map(Fence::new), EndCause::Expired).map(Fence::get)
    }

    /// How far an append file goes. None if the job has no such file.
    pub fn position(&self, name: &str) -> Option<Position> {
        Some(self.rights.files.get(name)?.file.position())
    }

    /// The names of the job's append files.
    pub fn file_names(&self) -> impl Iterator<Item = &Name> {
        self.rights.files.keys()
    }

    /// The names of the job's locks.
    pub fn lock_names(&self) -> impl Iterator<Item = &Name> {
        self.rights.locks.keys()
    }

    fn lock(&self, name: &str) -> Option<&Arc<ScopedLock>> {
        self.rights.locks.get(name)
    }

    fn rights_of(&self, process: &Arc<str>, spec: &ProcessSpec) -> Result<Rights, SpawnError> {
        let missing =
            |kind, name: &str| SpawnError::NoSuchGrant { process: process.clone(), kind, name: name.to_owned() };
        let mut rights = Rights::default();
        for name in &spec.locks {
            let (name, lock) =
                self.rights.locks.get_key_value(name.as_str()).ok_or_else(|| missing(Kind::Lock, name))?;
            rights.locks.insert(name.clone(), lock.clone());
        }
        for name in &spec.files {
            let (name, file) =
                self.rights.files.get_key_value(name.as_str()).ok_or_else(|| missing(Kind::File, name))?;
            rights.files.insert(name.clone(), file.clone());
        }
        Ok(rights)
    }
}

/// Refuses directories through which a process could write to an append file past its lock, or to what the host keeps for
/// itself.
fn check_dirs(
    process: &Arc<str>,
    dirs: &[DirGrant],
    files: &[(&str, &Path)],
    own_dirs: &[PathBuf],
) -> Result<(), SpawnError> {
    for dir in dirs.iter().filter(|dir| dir.access == Access::ReadWrite) {
        let real = real_path(&dir.host);
        if let Some((file, _)) = files.iter().find(|(_, path)| real_path(path).starts_with(&real)) {
            let (dir, file) = (dir.host.clone(), (*file).to_owned());
            return Err(SpawnError::FileInDir { process: process.clone(), dir, file });
        }
        let overlaps = |own: &&PathBuf| {
            let own = real_path(own);
            own.starts_with(&real) || real.starts_with(own)
        };
        if let Some(own) = own_dirs.iter().filter(|own| !own.as_os_str().is_empty()).find(overlaps) {
            let (dir, own) = (dir.host.clone(), own.clone());
            return Err(SpawnError::OwnDir { process: process.clone(), dir, own });
        }
    }
    Ok(())
}

/// Where a path leads, also if the end of it is still to be made.
fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path
}

fn grant_dir(wasi: &mut WasiCtxBuilder, process: &Arc<str>, dir: &DirGrant) -> Result<(), SpawnError> {
    let perms = match dir.access {
        Access::ReadOnly => FsPerms::ReadOnly,
        Access::ReadWrite => FsPerms::ReadWrite,
    };
    let opened = wasi.preopened_dir(&dir.host, &dir.guest, perms);
    opened.map(drop).map_err(|error| SpawnError::Dir {
        process: process.clone(),
        dir: dir.host.clone(),
        source: std::io::Error::other(format!("{error:#}")),
    })
}

/// Whether a process could be started in a job, as far as that can be said before the job is opened: it is granted what
/// the job has, and no directory that leads past the host.
pub(crate) fn check(job: &JobSpec, process: &ProcessSpec, own_dirs: &[PathBuf]) -> Result<(), SpawnError> {
    let name: Arc<str> = process.full_name().into();
    let missing = |kind, thing: &String| SpawnError::NoSuchGrant { process: name.clone(), kind, name: thing.clone() };
    if let Some(lock) = process.locks.iter().find(|lock| !job.locks.iter().any(|known| known.name == **lock)) {
        return Err(missing(Kind::Lock, lock));
    }
    if let Some(file) = process.files.iter().find(|file| !job.files.iter().any(|known| known.name == **file)) {
        return Err(missing(Kind::File, file));
    }
    let files: Vec<_> = job.files.iter().map(|file| (file.name.as_str(), file.file.path.as_path())).collect();
    check_dirs(&name, &process.dirs, &files, own_dirs)
}

fn checked(kind: Kind, name: &str) -> Result<Name, JobError> {
    Name::new(name).map_err(|source| JobError::Name { kind, name: name.to_owned(), source })
}
