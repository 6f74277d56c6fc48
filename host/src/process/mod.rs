//! What one guest process is: who it is, what it may use, and how it ended.

pub(crate) mod control;
mod held_back;
mod input;
pub(crate) mod limits;
mod outcome;
mod output;
mod run;
mod stdio;

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockkeeper_locks::OwnerId;
use serde::Serialize;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::grants::{Name, Rights};
use crate::job::JobShared;
use crate::observe::{Denial, Event, Kind};
use control::{Control, Stop};
pub(crate) use held_back::{HeldBack, HeldBackError};
pub use input::InputError;
pub(crate) use input::{INPUT_DIR, InputDir};
pub use limits::{ByteSize, ByteSizeError, Limits};
pub use outcome::Outcome;
pub use output::{LineSink, Stream};
pub(crate) use run::{Prepared, run};
pub use stdio::Stdio;
pub(crate) use stdio::{Output, connect};

/// The number of a process in its host, never used twice: it names the instance and its generation at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct ProcessId(NonZeroU64);

impl ProcessId {
    pub(crate) fn new(number: NonZeroU64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An owner of locks is a process; the lock table knows it by the same number.
impl From<OwnerId> for ProcessId {
    fn from(owner: OwnerId) -> Self {
        Self(NonZeroU64::new(owner.get()).expect("owners are processes, and those count from 1"))
    }
}

/// Who a process is among the others of its group.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: ProcessId,
    pub(crate) rank: u32,
    pub(crate) count: u32,
    pub(crate) name: Arc<str>,
}

/// A directory that a process sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// Where it is.
    pub host: PathBuf,
    /// What the process calls it.
    pub guest: String,
    /// Whether the process may change anything in it.
    pub access: Access,
}

/// What a process may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// When the records of a process go into its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Commit {
    /// Each one at once.
    #[default]
    EachRecord,
    /// All together, next to each other in each file, when the process ends well; none otherwise.
    AtEnd,
}

/// On which shard a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Placement {
    /// On the home shard of the first lock granted to it: hand-overs there need no other thread.
    #[default]
    Home,
    /// Wherever the fewest processes live: for processes that compute much between locks.
    Spread,
}

/// What a process is to be: the program is given apart.
#[derive(Clone, Debug, Default)]
pub struct ProcessSpec {
    /// The name of its group, in messages. The process is called `name-rank` if the group has several.
    pub name: String,
    /// Its place in the group, from 0.
    pub rank: u32,
    /// How many processes the group has; 0 counts as 1.
    pub count: u32,
    /// Its arguments, after the program's name.
    pub args: Vec<String>,
    /// Its environment. Nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Directories that it sees.
    pub dirs: Vec<DirGrant>,
    /// Files that it sees, and nothing beside them, as read-only files `/input/<file name>`.
    pub inputs: Vec<PathBuf>,
    /// Locks of the job that it may name.
    pub locks: Vec<String>,
    /// Append files of the job that it may name.
    pub files: Vec<String>,
    /// What it may use.
    pub limits: Limits,
    /// Its standard streams.
    pub stdio: Stdio,
    /// When its records go into the files.
    pub commit: Commit,
    /// On which shard it lives.
    pub placement: Placement,
}

impl ProcessSpec {
    /// What the process is called in messages: the name of its group, and its rank if the group has several.
    pub fn full_name(&self) -> String {
        if self.count > 1 { format!("{}-{}", self.name, self.rank) } else { self.name.clone() }
    }
}

/// A process that was started.
///
/// Dropping this changes nothing: the process goes on.
#[derive(Clone, Debug)]
pub struct Process {
    pub(crate) id: ProcessId,
    pub(crate) name: Arc<str>,
    pub(crate) control: Arc<Control>,
}

impl Process {
    /// Its number.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends it, wherever it is: running, waiting, or at the instant of a grant, which then passes on. Returns at once;
    /// [`Process::join`] tells when it is done. A process that has ended stays as it ended.
    pub fn kill(&self) {
        self.control.stop(Stop::Killed);
    }

    /// Waits for its end. By then its holds are released and its appends settled.
    pub async fn join(&self) -> Arc<Exit> {
        self.control.join().await
    }

    /// [`Process::join`] for a thread that may block.
    pub fn join_blocking(&self) -> Arc<Exit> {
        self.control.join_blocking()
    }

    /// How it ended, if it has.
    pub fn try_join(&self) -> Option<Arc<Exit>> {
        self.control.try_join()
    }
}

/// The end of a process.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Which process.
    pub id: ProcessId,
    /// Its name.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// From its start to its end.
    pub lived: Duration,
    /// What it asked for and was not granted, each thing once, the first few.
    pub denials: Vec<Denial>,
    /// How much of its output was dropped because of its limit, in bytes.
    pub output_dropped_bytes: u64,
}

/// A job that asks for more things than this by wrong names has told enough.
const DENIALS_MAX: usize = 16;

/// What a process was denied so far. Shared with whoever runs it, as a process that is stopped takes its state along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denials(Arc<Mutex<Vec<Denial>>>);

impl Denials {
    /// Whether this one is new.
    fn note(&self, denial: &Denial) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = !known.contains(denial) && known.len() < DENIALS_MAX;
        if new {
            known.push(denial.clone());
        }
        new
    }

    pub(crate) fn take(&self) -> Vec<Denial> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the engine keeps for one process: the state behind every call that it makes.
pub(crate) struct ProcessState {
    pub(crate) identity: Identity,
    pub(crate) job: Arc<JobShared>,
    pub(crate) rights: Rights,
    pub(crate) table: ResourceTable,
    pub(crate) held_back: Option<HeldBack>,
    pub(crate) memory: limits::MemoryLimiter,
    wasi: WasiCtx,
    handles: u32,
    handles_max: u32,
    pub(crate) denials: Denials,
}

/// The process opened more locks and files than its limit.
#[derive(Debug)]
pub(crate) struct HandlesExceeded;

/// WASI's own handles (streams, files, polls) come on top of ours in one table; together no more than this.
const TABLE_ENTRIES_MAX: usize = 100_000;

impl ProcessState {
    pub(crate) fn new(
        identity: Identity,
        job: Arc<JobShared>,
        rights: Rights,
        wasi: WasiCtx,
        limits: &Limits,
        commit: Commit,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(TABLE_ENTRIES_MAX);
        let held_back = match commit {
            Commit::EachRecord => None,
            Commit::AtEnd => Some(HeldBack::new(limits.held_back_bytes_max)),
        };
        Self {
            identity,
            job,
            rights,
            table,
            held_back,
            memory: limits::MemoryLimiter::new(limits.memory_bytes_max),
            wasi,
            handles: 0,
            handles_max: limits.handles_max,
            denials: Denials::default(),
        }
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.identity.id
    }

    /// This process as the lock table knows it.
    pub(crate) fn owner(&self) -> OwnerId {
        OwnerId::new(self.identity.id.get())
    }

    /// Notes that the process was refused something, for the summary, and says what the guest is told.
    pub(crate) fn deny(&mut self, kind: Kind, name: Name) -> crate::guest_api::Refusal {
        let denial = Denial { kind, name };
        if self.denials.note(&denial) {
            self.job.events.emit(|| Event::Denied { process: self.id(), denial });
        }
        crate::bindings::lockkeeper::runtime::types::Error::Denied.into()
    }

    pub(crate) fn open_handle<H: Send + 'static>(
        &mut self,
        handle: H,
    ) -> Result<Resource<H>, crate::guest_api::Refusal> {
        if self.handles >= self.handles_max {
            return Err(HandlesExceeded.into());
        }
        let handle = self.table.push(handle)?;
        self.handles += 1;
        Ok(handle)
    }

    pub(crate) fn close_handle<H: 'static>(&mut self, handle: Resource<H>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        self.handles -= 1;
        Ok(())
    }
}

impl WasiView for ProcessState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
