//! What the engine keeps for one process.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper_locks::OwnerId;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::actor::Actor;
use super::ambient::{Clocks, Random, SeededBytes};
use super::appends::Appends;
use super::control::Control;
use super::data::Data;
use super::family::{Children, Household};
use super::held_back::HeldBack;
use super::limits::MemoryLimiter;
use super::open_files::OpenFiles;
use super::spec::{Commit, ProcessSpec};
use crate::grants::Rights;
use crate::ids::ProcessId;
use crate::observe::{Denial, Events};
use crate::scope::ProcessScope;
use crate::stall::Seat;
use crate::turn::{CpuShare, Hands};

/// Who a process is among the others of its group.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: ProcessId,
    pub(crate) rank: u32,
    pub(crate) count: u32,
    pub(crate) name: Arc<str>,
    pub(crate) parent: Option<ProcessId>,
}

/// A job that asks for more things than this by wrong names has told enough.
const DENIALS_MAX: usize = 16;

/// What a process was denied so far. Shared with whoever runs it, as a process that is stopped takes its state along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denials(Arc<Mutex<Vec<Denial>>>);

impl Denials {
    /// Whether this one is new.
    pub(crate) fn note(&self, denial: &Denial) -> bool {
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

/// What a process is put into.
pub(crate) struct Surroundings<'a> {
    pub(crate) scope: Arc<ProcessScope>,
    pub(crate) events: Events,
    pub(crate) seat: Arc<Seat>,
    pub(crate) control: &'a Control,
    pub(crate) household: Box<dyn Household>,
    pub(crate) data: Data,
}

/// What the engine keeps for one process: the state behind every call that it makes.
///
/// An embedder meets it where he gives programs host interfaces of his own ([`crate::HostInterfaces`]) and
/// where he calls their exports ([`crate::Plugin::call`]): it has what he keeps with the process.
pub struct ProcessState {
    pub(crate) identity: Identity,
    pub(crate) actor: Actor,
    pub(crate) rights: Rights,
    pub(crate) table: ResourceTable,
    pub(crate) held_back: Option<HeldBack>,
    pub(crate) household: Box<dyn Household>,
    pub(crate) children: Children,
    pub(crate) children_max: u32,
    /// The bytes for its start.
    pub(crate) start_data: Vec<u8>,
    pub(crate) appends: Appends,
    pub(crate) memory: MemoryLimiter,
    wasi: WasiCtx,
    pub(crate) random: Random,
    pub(crate) seeded: SeededBytes,
    pub(crate) random_bytes_max: u64,
    pub(crate) time: Clocks,
    pub(crate) open_files: OpenFiles,
    pub(crate) cpu_share: CpuShare,
    /// Locks and files open now, and how many may be.
    pub(crate) handles: u32,
    pub(crate) handles_max: u32,
    pub(crate) denials: Denials,
    /// Whether the host shuts down.
    host_ends: Arc<AtomicBool>,
    /// What the embedder keeps with it.
    pub(super) data: Data,
}

/// WASI's own handles (streams, polls, directories that are granted) come on top of ours and of the open files in one table,
/// up to this many.
const WASI_ENTRIES_MAX: usize = 512;

impl ProcessState {
    pub(crate) fn new(
        identity: Identity,
        rights: Rights,
        wasi: WasiCtx,
        spec: &ProcessSpec,
        around: Surroundings<'_>,
    ) -> Self {
        let Surroundings { scope, events, seat, control, household, data } = around;
        let (limits, commit) = (&spec.limits, spec.commit);
        let mut table = ResourceTable::new();
        table.set_max_capacity(
            WASI_ENTRIES_MAX + (limits.handles_max as usize).saturating_add(limits.open_files_max as usize),
        );
        let held_back = match commit {
            Commit::EachRecord => None,
            Commit::AtEnd => Some(HeldBack::new(spec)),
        };
        let seed = if let Random::Seed(seed) = spec.random { seed } else { 0 };
        Self {
            random: spec.random,
            seeded: SeededBytes::new(seed, &spec.name, spec.rank),
            random_bytes_max: limits.call_bytes_max as u64,
            time: spec.clocks,
            open_files: OpenFiles::new(limits.open_files_max),
            cpu_share: CpuShare::percent(limits.cpu_share_percent),
            actor: Actor::new(identity.id, scope, events, seat, spec.placement, control.terminating()),
            identity,
            rights,
            table,
            held_back,
            household,
            children: Children::default(),
            children_max: limits.children_max,
            start_data: spec.start_data.clone(),
            appends: Appends::new(limits),
            memory: MemoryLimiter::new(limits),
            wasi,
            handles: 0,
            handles_max: limits.handles_max,
            denials: Denials::default(),
            host_ends: control.ending_of_host(),
            data,
        }
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.identity.id
    }

    /// Becomes true once the host shuts down; the process is woken then.
    pub(crate) fn host_ends(&self) -> &AtomicBool {
        &self.host_ends
    }

    /// This process as the lock table knows it.
    pub(crate) fn owner(&self) -> OwnerId {
        self.actor.owner()
    }

    /// Whether others may be waiting for what this process holds.
    pub(crate) fn hands(&self) -> Hands {
        if self.actor.scope.table().holds_any(self.owner()) { Hands::Holding } else { Hands::Empty }
    }
}

impl WasiView for ProcessState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// There is nothing in it that could be printed in a line.
impl fmt::Debug for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessState").field("identity", &self.identity).finish_non_exhaustive()
    }
}
