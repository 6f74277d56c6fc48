//! A job: locks, values and append files by name, and the processes that share them.

mod clock;
mod dirs;
mod error;
mod household;
mod series;
mod spec;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use lockkeeper_journal::storage::{Disk, LocalDisk};
use lockkeeper_journal::{AppendError, AppendFile, OpenReport, Position, inspect};
use lockkeeper_locks::{AfterDeath, Array, EndCause, Fence, Kind as TableKind, LockConfig, LockView, Value};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::blocking;
use crate::grants::{GrantedFile, GrantedValue, Rights, Shared as SharedValue};
use crate::host::{Host, ShuttingDown};
use crate::host_code::Locks;
use crate::ids::ProcessId;
use crate::name::Name;
use crate::observe::Kind;
use crate::process::control::Control;
use crate::process::family::Berth;
use crate::process::{
    Commit, Data, Entry, Identity, InputDir, Placement, Prepared, Process, ProcessSpec, ProcessState, Serve,
    Surroundings, connect,
};
use crate::program::Program;
use crate::scope::{Bound, LockScope, NotMade, ObjectBudget, ScopedLock};
use crate::stall::{Stall, Watch};
use clock::JobClock;
use dirs::{check_dirs, check_streams, grant_dir};
pub use error::{JobError, SpawnError};
pub(crate) use household::OWN_PROGRAM;
use household::OfProcess;
pub use series::SeriesError;
pub use spec::{
    AppendSpec, DEPTH_MAX, JobLimits, JobSpec, LockKind, LockSpec, MAX_HOLD_MAX, ProgramSpec, VALUE_BYTES_MAX,
    ValueContent, ValueSpec, check_max_hold,
};

/// Whether two paths, whose files are there, name the same.
fn are_one_file(one: &Path, other: &Path) -> bool {
    let id = |path| LocalDisk.look(path).ok().flatten().map(|status| status.id);
    one == other || id(one).is_some_and(|one| Some(one) == id(other))
}

/// A job that is open: its locks exist, its files are this host's alone.
pub struct Job {
    shared: Arc<Shared>,
    reports: Vec<(Name, OpenReport)>,
}

/// What a job and its processes have in common.
struct Shared {
    host: Arc<Host>,
    rights: Rights,
    watch: Arc<Watch>,
    /// The files of locks that are wider than this host.
    lock_files: Vec<(Name, PathBuf)>,
    programs: HashMap<String, Program>,
    limits: JobLimits,
    budget: Arc<ObjectBudget>,
    started_by_processes: Arc<AtomicU32>,
    clock: JobClock,
}

/// Where a process comes from.
struct Origin {
    id: ProcessId,
    parent: Option<ProcessId>,
    /// What others wait at for its end.
    exit: Option<Arc<ScopedLock>>,
    berth: Option<Berth>,
}

/// How a process begins.
#[derive(Default)]
pub(crate) struct Start {
    /// Who calls its exports. None: its `run` is called.
    pub(crate) service: Option<Box<dyn Serve>>,
    /// What the embedder keeps with it.
    pub(crate) data: Data,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Job {
    pub(crate) fn open(host: &Arc<Host>, spec: JobSpec) -> Result<Self, JobError> {
        let mut rights = Rights::default();
        let mut lock_files: Vec<(Name, PathBuf)> = Vec::new();
        for AppendSpec { name, requires_lock, .. } in spec.files.iter().filter(|file| file.file.shared) {
            let lock = spec.locks.iter().find(|lock| Some(&lock.name) == requires_lock.as_ref());
            if let Some(lock) = lock.filter(|lock| lock.scope == LockScope::Process) {
                return Err(JobError::LockNotShared { file: name.clone(), lock: lock.name.clone() });
            }
        }
        // A condition is declared in any order with its lock, so what others name comes first.
        let (conditions, others): (Vec<_>, Vec<_>) =
            spec.locks.into_iter().partition(|lock| matches!(lock.kind, LockKind::Condition { .. }));
        for LockSpec { name, kind, scope, config, max_hold } in others.into_iter().chain(conditions) {
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
            let is_owned = matches!(kind, TableKind::Mutex | TableKind::RLock { .. } | TableKind::RwLock { .. });
            if scope != LockScope::Process && !is_owned {
                return Err(JobError::NotWider { kind: Kind::of(kind), name });
            }
            let fences_from = fences_from(host, &name, &spec.files)?;
            let lock = host.scope.create(name.clone(), kind, &scope, config, max_hold, fences_from);
            let lock = lock.map_err(|why| match why {
                NotMade::Fences(source) => JobError::Fences { lock: name.clone(), source },
                NotMade::Outer(source) => JobError::Outer { lock: name.clone(), source },
                NotMade::Keeper(source) => JobError::Keeper { lock: name.clone(), source },
            })?;
            if let Some(path) = host.scope.lock_file(&name, &scope) {
                if let Some((other, _)) = lock_files.iter().find(|(_, other)| are_one_file(other, &path)) {
                    return Err(JobError::SameLockFile { lock: name, other: other.clone(), path });
                }
                lock_files.push((name.clone(), path));
            }
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
                    SharedValue::Value(Arc::new(value))
                }
                ValueContent::Array(elements) => SharedValue::Array(Arc::new(Array::from_scalars(elements))),
            };
            if let Some(lock) = &requires {
                lock.bind(match &shared {
                    SharedValue::Value(value) => Bound::Value(Arc::downgrade(value)),
                    SharedValue::Array(array) => Bound::Array(Arc::downgrade(array)),
                });
            }
            rights.values.insert(name, GrantedValue { shared, requires, _charge: None });
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
        let programs = programs(spec.programs, &mut rights)?;
        let locks: Vec<_> = rights.locks.values().cloned().collect();
        let watch = Arc::new(Watch::new(host.scope.table().clone(), host.events.clone(), &locks));
        // Where nobody can wait nobody stands still.
        if !locks.is_empty() {
            host.ticker.watch(&watch);
        }
        let JobLimits { objects_max, object_bytes_max, .. } = spec.limits;
        let shared = Shared {
            host: host.clone(),
            rights,
            watch,
            lock_files,
            programs,
            limits: spec.limits,
            budget: ObjectBudget::new(objects_max, object_bytes_max),
            started_by_processes: Arc::default(),
            clock: JobClock::default(),
        };
        Ok(Self { shared: Arc::new(shared), reports })
    }

    /// What was found when the files were opened, torn tails above all.
    pub fn reports(&self) -> impl Iterator<Item = (&Name, &OpenReport)> {
        self.reports.iter().map(|(name, report)| (name, report))
    }

    /// Starts a process. Returns at once; the process runs on its shard.
    pub fn spawn(&self, program: &Program, spec: &ProcessSpec) -> Result<Process, SpawnError> {
        self.start(program, spec, Start::default())
    }

    pub(crate) fn start(&self, program: &Program, spec: &ProcessSpec, start: Start) -> Result<Process, SpawnError> {
        let name: Arc<str> = spec.full_name().into();
        let rights = self.shared.rights_of(&name, spec)?;
        let origin = Origin { id: self.shared.host.next_process(), parent: None, exit: None, berth: None };
        Shared::start(&self.shared, program, spec, rights, origin, start)
    }

    /// Makes host code an owner of the job's locks, with this name in messages: it takes the locks and appends to the files
    /// that the job has, as its processes do.
    pub fn locks(&self, name: &str) -> Locks {
        Locks::new(&self.shared.host, &self.shared.watch, &self.shared.rights, name.into())
    }

    /// Waits until every process of the job has ended, those included that its processes have started.
    pub async fn ended(&self) {
        self.shared.watch.everyone_ended().await;
    }

    /// [`ended`](Job::ended) for a thread that may block.
    ///
    /// # Panics
    ///
    /// On a thread that runs processes, which a host interface is called on.
    pub fn ended_blocking(&self) {
        blocking::on(self.ended()).expect("this thread runs processes, and must not wait for them; use the async form");
    }

    /// Whether the job stands still: every process of it waits at a lock or another primitive, without a deadline, and none
    /// has been woken. Only somebody outside could help then. The same is reported as [`crate::observe::Event::Stalled`], and
    /// again when a time limit that could have ended it has passed in vain.
    pub fn stall(&self) -> Option<Stall> {
        self.shared.watch.stall()
    }

    /// Ends every process of a job that stands still; answers who waited for what. None, and nothing is done, if it does not
    /// stand still. Whoever observes the host has been told of it before.
    pub fn end_stall(&self) -> Option<Stall> {
        let stall = self.shared.watch.report()?;
        self.shared.host.stop_stalled(stall.waits.iter().map(|wait| wait.process));
        Some(stall)
    }

    /// A look at a lock: who holds it and who waits, at one instant. None if the job has no such lock.
    pub fn inspect_lock(&self, name: &str) -> Option<LockView> {
        Some(self.shared.host.scope.table().inspect(self.lock(name)?.id))
    }

    /// Takes a lock away from whoever holds it, with `expect` only if the hold has that fence. When this returns, the old
    /// owner's last record is in the files bound to the lock, it can write no more to them, and the next waiter is
    /// granted. Answers the fence of the hold that was ended; none if there was none.
    pub fn revoke(&self, name: &str, expect: Option<u64>) -> Option<u64> {
        let lock = self.lock(name)?;
        self.shared.host.scope.revoke(lock, expect.map(Fence::new), EndCause::Expired).map(Fence::get)
    }

    /// How far an append file goes. None if the job has no such file.
    pub fn position(&self, name: &str) -> Option<Position> {
        Some(self.shared.rights.files.get(name)?.file.position())
    }

    /// Writes what is buffered for the job's files, which is done by itself within a tenth of a second. Answers the files for
    /// which it failed, and why: what was buffered for them is lost when the job is dropped, unless a later call succeeds.
    pub fn flush(&self) -> Vec<(Name, AppendError<Infallible>)> {
        let failed = |(name, file): (&Name, &Arc<GrantedFile>)| Some((name.clone(), file.file.flush().err()?));
        self.shared.rights.files.iter().filter_map(failed).collect()
    }

    /// The names of the job's append files.
    pub fn file_names(&self) -> impl Iterator<Item = &Name> {
        self.shared.rights.files.keys()
    }

    /// The names of the job's locks.
    pub fn lock_names(&self) -> impl Iterator<Item = &Name> {
        self.shared.rights.locks.keys()
    }

    fn lock(&self, name: &str) -> Option<&Arc<ScopedLock>> {
        self.shared.rights.locks.get(name)
    }
}

impl Shared {
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
        for name in &spec.programs {
            let program = self.rights.programs.get(name.as_str()).ok_or_else(|| missing(Kind::Program, name))?;
            rights.programs.insert(program.clone());
        }
        Ok(rights)
    }

    /// Starts a process with these rights.
    fn start(
        self: &Arc<Self>,
        program: &Program,
        spec: &ProcessSpec,
        rights: Rights,
        origin: Origin,
        start: Start,
    ) -> Result<Process, SpawnError> {
        if !program.is_for(&self.host.engines) {
            let (process, program) = (spec.full_name().into(), program.name.clone());
            return Err(SpawnError::ForeignProgram { process, program });
        }
        let stay =
            program.room.enter().map_err(|source| SpawnError::NoRoom { process: spec.full_name().into(), source })?;
        let Origin { id, parent, exit, berth } = origin;
        let Start { service, data } = start;
        let name: Arc<str> = spec.full_name().into();
        let entry = match (service, &program.command) {
            (Some(service), _) => Entry::Serve(program.instance.clone(), service),
            (None, Some(command)) => Entry::Run(command.clone()),
            (None, None) => return Err(SpawnError::NotACommand { process: name, program: program.name.clone() }),
        };
        if spec.commit == Commit::AtEnd
            && let Some(bound) = rights.files.values().find(|file| file.requires.is_some())
        {
            return Err(SpawnError::HeldBackUnderLock { process: name, file: bound.name.clone() });
        }
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg(program.name()).args(&spec.args).envs(&spec.env).monotonic_clock(self.clock);
        let append_files = self.rights.files.values().map(|file| (file.name.as_str(), file.file.path()));
        let lock_files = self.lock_files.iter().map(|(name, path)| (name.as_str(), path.as_path()));
        let files: Vec<_> = append_files.chain(lock_files).collect();
        check_dirs(&name, &spec.dirs, &files, &self.host.own_dirs)?;
        for dir in &spec.dirs {
            grant_dir(&mut wasi, &name, dir)?;
        }
        let input = |source| SpawnError::Input { process: name.clone(), source };
        let inputs = match (&spec.inputs[..], &spec.input_contents[..]) {
            ([], []) => None,
            (files, contents) => Some(InputDir::new(files, contents).map_err(input)?),
        };
        if let Some(inputs) = &inputs {
            let source = |source: wasmtime::Error| SpawnError::Dir {
                process: name.clone(),
                dir: inputs.path().to_owned(),
                source: std::io::Error::other(format!("{source:#}")),
            };
            wasi.preopened_dir(inputs.path(), crate::process::INPUT_DIR, FsPerms::ReadOnly).map_err(source)?;
        }
        check_streams(&name, spec, &files)?;
        // A call brings in no more than it may bring out.
        wasi.max_random_size(spec.limits.call_bytes_max as u64);
        let output = connect(spec, &name, &mut wasi)
            .map_err(|source| SpawnError::StreamFile { process: name.clone(), source })?;
        let identity = Identity { id, rank: spec.rank, count: spec.count.max(1), name: name.clone(), parent };
        let home = spec.locks.first().and_then(|lock| rights.locks.get(lock.as_str())).map(|lock| lock.id);
        let control = Arc::<Control>::default();
        // What a child is made like is kept only for those that may have some.
        let may_spawn = !rights.programs.is_empty();
        let household =
            OfProcess { job: self.clone(), parent: may_spawn.then(|| Box::new((program.clone(), spec.clone()))) };
        // Before it counts as alive, as this is the embedder's and may panic.
        let data = self.host.engines.host_interfaces().data_of(id, &name, data);
        let around = Surroundings {
            scope: self.host.scope.clone(),
            events: self.host.events.clone(),
            seat: self.watch.begin(id, name.clone(), spec.limits.timeout.is_some(), control.stopping()),
            control: &control,
            household: Box::new(household),
            data,
        };
        let state = ProcessState::new(identity, rights, wasi.build(), spec, around);
        let prepared = Box::new(Prepared {
            entry,
            stay,
            state,
            control: control.clone(),
            call_bytes_max: spec.limits.call_bytes_max,
            timeout: spec.limits.timeout,
            output,
            inputs,
            watch: self.watch.clone(),
            exit,
            berth,
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
}

/// The programs of a job by name, and the right to each; that to one's own needs no program.
fn programs(specs: Vec<ProgramSpec>, rights: &mut Rights) -> Result<HashMap<String, Program>, JobError> {
    let own = checked(Kind::Program, OWN_PROGRAM)?;
    rights.programs.insert(own);
    let mut programs = HashMap::new();
    for ProgramSpec { name, program } in specs {
        let name = checked(Kind::Program, &name)?;
        programs.insert(name.to_string(), program);
        if !rights.programs.insert(name.clone()) {
            return Err(JobError::Twice { kind: Kind::Program, name });
        }
    }
    Ok(programs)
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
    let is_program = |name: &String| name == OWN_PROGRAM || job.programs.iter().any(|known| known.name == *name);
    if let Some(program) = process.programs.iter().find(|program| !is_program(program)) {
        return Err(missing(Kind::Program, program));
    }
    let files: Vec<_> = job.files.iter().map(|file| (file.name.as_str(), file.file.path.as_path())).collect();
    check_streams(&name, process, &files)?;
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
