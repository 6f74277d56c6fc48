//! A job: locks, values and append files by name, and the processes that share them.

mod dirs;
mod error;
mod series;
mod spec;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use lockkeeper_journal::{AppendError, AppendFile, OpenReport, Position, inspect};
use lockkeeper_locks::{AfterDeath, Array, EndCause, Fence, Kind as TableKind, LockConfig, LockView, Value};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::grants::{GrantedFile, GrantedValue, Rights, Shared};
use crate::host::{Host, ShuttingDown};
use crate::name::Name;
use crate::observe::Kind;
use crate::process::control::Control;
use crate::process::{Commit, Identity, InputDir, Placement, Prepared, Process, ProcessSpec, ProcessState, connect};
use crate::program::Program;
use crate::scope::{Bound, ScopedLock};
use crate::stall::{Stall, Watch};
use dirs::{check_dirs, grant_dir};
pub use error::{JobError, SpawnError};
pub use series::SeriesError;
pub use spec::{
    AppendSpec, DEPTH_MAX, JobSpec, LockKind, LockSpec, MAX_HOLD_MAX, VALUE_BYTES_MAX, ValueContent, ValueSpec,
    check_max_hold,
};

/// A job that is open: its locks exist, its files are this host's alone.
pub struct Job {
    host: Arc<Host>,
    rights: Rights,
    reports: Vec<(Name, OpenReport)>,
    watch: Arc<Watch>,
}

impl Job {
    pub(crate) fn open(host: &Arc<Host>, spec: JobSpec) -> Result<Self, JobError> {
        let mut rights = Rights::default();
        // A condition is declared in any order with its lock, so what others name comes first.
        let (conditions, others): (Vec<_>, Vec<_>) =
            spec.locks.into_iter().partition(|lock| matches!(lock.kind, LockKind::Condition { .. }));
        for LockSpec { name, kind, config, max_hold } in others.into_iter().chain(conditions) {
            let name = checked(Kind::Lock, &name)?;
            if rights.locks.contains_key(&name) {
                return Err(JobError::Twice { kind: Kind::Lock, name });
            }
            let kind = table_kind(&name, kind, &rights)?;
            // The next one has the turn again, and does it all anew: there is nothing to mark.
            let config = match kind {
                TableKind::Once => LockConfig { after_death: AfterDeath::Flag, ..config },
                _ => config,
            };
            if max_hold.is_some() && !spec::can_expire(kind) {
                return Err(JobError::NoMaxHold { kind: Kind::of(kind), name });
            }
            if let Some(time) = max_hold {
                let checked = check_max_hold(time);
                checked.map_err(|why| JobError::MaxHold { name: name.clone(), why })?;
            }
            let fences_from = fences_from(host, &name, &spec.files)?;
            let lock = host.scope.create(name.clone(), kind, config, max_hold, fences_from);
            let lock = lock.map_err(|source| JobError::Fences { lock: name.clone(), source })?;
            rights.locks.insert(name, lock);
        }
        for ValueSpec { name, content, requires_lock } in spec.values {
            let name = checked(Kind::Value, &name)?;
            if rights.values.contains_key(&name) {
                return Err(JobError::Twice { kind: Kind::Value, name });
            }
            let requires = required(Kind::Value, &name, requires_lock, &rights)?;
            let shared = match content {
                ValueContent::Value { initial, bytes_max } => {
                    let value = Value::new(initial, bytes_max);
                    let value = value.map_err(|source| JobError::Value { name: name.clone(), source })?;
                    Shared::Value(Arc::new(value))
                }
                ValueContent::Array(elements) => Shared::Array(Arc::new(Array::from_scalars(elements))),
            };
            if let Some(lock) = &requires {
                lock.bind(match &shared {
                    Shared::Value(value) => Bound::Value(Arc::downgrade(value)),
                    Shared::Array(array) => Bound::Array(Arc::downgrade(array)),
                });
            }
            rights.values.insert(name, GrantedValue { shared, requires });
        }
        let mut reports = Vec::new();
        // A file that is replaced is emptied as it is opened: what another one is refused for must cost no old results.
        for AppendSpec { name, file, .. } in &spec.files {
            let checked_name = checked(Kind::File, name)?;
            AppendFile::check_on(&*host.disk, file).map_err(|source| JobError::Open { file: checked_name, source })?;
        }
        for AppendSpec { name, file: file_spec, requires_lock, durability } in spec.files {
            let name = checked(Kind::File, &name)?;
            if rights.files.contains_key(&name) {
                return Err(JobError::Twice { kind: Kind::File, name });
            }
            let requires = required(Kind::File, &name, requires_lock, &rights)?;
            let opened = AppendFile::open_on(&host.disk, &file_spec);
            let (file, report) = opened.map_err(|source| JobError::Open { file: name.clone(), source })?;
            let file = Arc::new(file);
            if let Some(lock) = &requires {
                let bound = lock.bind_file(&file);
                bound.map_err(|source| JobError::FileFences { file: name.clone(), lock: lock.name.clone(), source })?;
            }
            reports.push((name.clone(), report));
            let granted = GrantedFile { name: name.clone(), file, requires, durability, has_ids: file_spec.ids };
            rights.files.insert(name, Arc::new(granted));
        }
        let locks = rights.locks.values().cloned().collect();
        let watch = Arc::new(Watch::new(host.scope.table().clone(), host.events.clone(), locks));
        host.ticker.watch(&watch);
        Ok(Self { host: host.clone(), rights, reports, watch })
    }

    /// What was found when the files were opened, torn tails above all.
    pub fn reports(&self) -> impl Iterator<Item = (&Name, &OpenReport)> {
        self.reports.iter().map(|(name, report)| (name, report))
    }

    /// Starts a process. Returns at once; the process runs on its shard.
    pub fn spawn(&self, program: &Program, spec: &ProcessSpec) -> Result<Process, SpawnError> {
        let stay =
            program.room.enter().map_err(|source| SpawnError::NoRoom { process: spec.full_name().into(), source })?;
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
        let control = Arc::<Control>::default();
        let state = ProcessState::new(
            identity,
            self.host.scope.clone(),
            self.host.events.clone(),
            rights,
            wasi.build(),
            spec,
            self.watch.begin(id, name.clone(), spec.limits.timeout.is_some(), control.stopping()),
        );
        let prepared = Box::new(Prepared {
            program: program.command.clone(),
            stay,
            state,
            control: control.clone(),
            call_bytes_max: spec.limits.call_bytes_max,
            timeout: spec.limits.timeout,
            output,
            inputs,
            watch: self.watch.clone(),
        });
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

    /// Whether the job stands still: every process of it waits at a lock or another primitive, without a deadline, and none
    /// has been woken. Only somebody outside could help then. The same is reported as [`crate::observe::Event::Stalled`], and
    /// again when a time limit that could have ended it has passed in vain.
    pub fn stall(&self) -> Option<Stall> {
        self.watch.stall()
    }

    /// Ends every process of a job that stands still; answers who waited for what. None, and nothing is done, if it does not
    /// stand still. Whoever observes the host has been told of it before.
    pub fn end_stall(&self) -> Option<Stall> {
        let stall = self.watch.report()?;
        self.host.stop_stalled(stall.waits.iter().map(|wait| wait.process));
        Some(stall)
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

    /// Writes what is buffered for the job's files, which is done by itself within a tenth of a second. Answers the files for
    /// which it failed, and why: what was buffered for them is lost when the job is dropped, unless a later call succeeds.
    pub fn flush(&self) -> Vec<(Name, AppendError<Infallible>)> {
        let failed = |(name, file): (&Name, &Arc<GrantedFile>)| Some((name.clone(), file.file.flush().err()?));
        self.rights.files.iter().filter_map(failed).collect()
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
        for name in &spec.values {
            let (name, value) =
                self.rights.values.get_key_value(name.as_str()).ok_or_else(|| missing(Kind::Value, name))?;
            rights.values.insert(name.clone(), value.clone());
        }
        for name in &spec.files {
            let (name, file) =
                self.rights.files.get_key_value(name.as_str()).ok_or_else(|| missing(Kind::File, name))?;
            rights.files.insert(name.clone(), file.clone());
        }
        Ok(rights)
    }
}

/// Whether a process could be started in a job, as far as that can be said before the job is opened: it is granted what
/// the job has, and no directory that leads past the host.
pub(crate) fn check(job: &JobSpec, process: &ProcessSpec, own_dirs: &[PathBuf]) -> Result<(), SpawnError> {
    let name: Arc<str> = process.full_name().into();
    let missing = |kind, thing: &String| SpawnError::NoSuchGrant { process: name.clone(), kind, name: thing.clone() };
    if let Some(lock) = process.locks.iter().find(|lock| !job.locks.iter().any(|known| known.name == **lock)) {
        return Err(missing(Kind::Lock, lock));
    }
    if let Some(value) = process.values.iter().find(|value| !job.values.iter().any(|known| known.name == **value)) {
        return Err(missing(Kind::Value, value));
    }
    if let Some(file) = process.files.iter().find(|file| !job.files.iter().any(|known| known.name == **file)) {
        return Err(missing(Kind::File, file));
    }
    let files: Vec<_> = job.files.iter().map(|file| (file.name.as_str(), file.file.path.as_path())).collect();
    check_dirs(&name, &process.dirs, &files, own_dirs)
}

/// The lowest fence with which the files that are bound to the lock will take records.
fn fences_from(host: &Host, lock: &Name, files: &[AppendSpec]) -> Result<u64, JobError> {
    let mut from = 0;
    for file in files.iter().filter(|file| file.requires_lock.as_deref() == Some(lock.as_str())) {
        let name = checked(Kind::File, &file.name)?;
        let floor = inspect::known_floor(&*host.disk, &file.file.path);
        from = from.max(floor.map_err(|source| JobError::Open { file: name, source })?);
    }
    Ok(from)
}

fn checked(kind: Kind, name: &str) -> Result<Name, JobError> {
    Name::new(name).map_err(|source| JobError::Name { kind, name: name.to_owned(), source })
}

/// What a lock is to the table, which knows others by their ids.
fn table_kind(name: &Name, kind: LockKind, rights: &Rights) -> Result<TableKind, JobError> {
    Ok(match kind {
        LockKind::Mutex => TableKind::Mutex,
        LockKind::RLock => TableKind::RLock { depth_max: DEPTH_MAX },
        LockKind::RwLock => TableKind::RwLock { depth_max: DEPTH_MAX },
        LockKind::Semaphore(kind) => TableKind::Semaphore(kind),
        LockKind::Once => TableKind::Once,
        LockKind::Condition { lock } => {
            let of = rights.locks.get(lock.as_str());
            match of.filter(|of| matches!(of.kind, TableKind::Mutex | TableKind::RLock { .. })) {
                Some(lock) => TableKind::Condition { lock: lock.id },
                None => return Err(JobError::NoConditionLock { condition: name.clone(), lock }),
            }
        }
        LockKind::Event => TableKind::Event,
        LockKind::Barrier { parties: 0, .. } => return Err(JobError::NoParties { barrier: name.clone() }),
        LockKind::Barrier { parties, parties_are } => TableKind::Barrier { parties, parties_are },
        LockKind::Latch { count } => TableKind::Latch { count },
        LockKind::Queue(config) if config.items_max == 0 || config.bytes_max == 0 => {
            return Err(JobError::NoRoom { queue: name.clone() });
        }
        LockKind::Queue(config) => TableKind::Queue(config),
    })
}

/// The lock that a file or a value is bound to: one that somebody can hold alone.
fn required(
    kind: Kind,
    name: &Name,
    lock: Option<String>,
    rights: &Rights,
) -> Result<Option<Arc<ScopedLock>>, JobError> {
    let Some(lock) = lock else { return Ok(None) };
    let Some(found) = rights.locks.get(lock.as_str()) else {
        return Err(JobError::NoSuchLock { kind, name: name.clone(), lock });
    };
    match found.kind {
        TableKind::Mutex | TableKind::RLock { .. } | TableKind::RwLock { .. } => Ok(Some(found.clone())),
        other => Err(JobError::NotExclusive { kind, name: name.clone(), lock, is: Kind::of(other) }),
    }
}
