//! What a process may ask of its job beyond what it names: to start other processes, and to make objects.
//!
//! The job stands above processes, so they know it by this trait.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockkeeper_locks::{Kind, Scalar, ScalarKind, ValueError};

use super::Exit;
use super::control::{Control, Stop};
use super::state::Identity;
use crate::grants::{GrantedValue, Rights};
use crate::ids::ProcessId;
use crate::name::Name;
use crate::scope::{ScopedLock, TooMuch};

/// The job of a process, as far as the process may ask it for something.
pub(crate) trait Household: Send + Sync {
    /// Starts a child of `parent`.
    fn spawn(&self, parent: &Identity, request: Request) -> Result<Child, SpawnRefused>;

    /// Ends a process at the end of this time, if it has not ended by then.
    fn end_within(&self, child: &Child, grace: Duration);

    /// Makes something that is waited at.
    fn make_lock(&self, kind: Kind) -> Result<Arc<ScopedLock>, TooMuch>;

    /// Makes a value or an array; answers its id too.
    fn make_value(&self, content: Content) -> Result<(Name, GrantedValue), MakeRefused>;
}

/// What a value or an array is made of.
#[derive(Debug)]
pub(crate) enum Content {
    Value {
        initial: Scalar,
        bytes_max: u32,
    },
    /// So many zeros.
    Array {
        kind: ScalarKind,
        length: u32,
    },
}

/// Why an object is not made.
#[derive(Debug)]
pub(crate) enum MakeRefused {
    TooMuch(TooMuch),
    Value(ValueError),
}

/// A child as it is wanted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) program: Name,
    pub(crate) args: Vec<String>,
    pub(crate) start_data: Vec<u8>,
    /// None: that of the parent.
    pub(crate) env: Option<Vec<(String, String)>>,
    /// What the child may name.
    pub(crate) rights: Rights,
    /// The directories of the parent that it sees, by what the parent calls them. None: all.
    pub(crate) dirs: Option<Vec<String>>,
    pub(crate) name: Option<Name>,
    pub(crate) orphans: Orphans,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) timeout: Option<Duration>,
}

/// What becomes of a child when its parent ends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphans {
    End,
    Adopt,
}

/// Why a child is not started.
#[derive(Debug)]
pub(crate) enum SpawnRefused {
    /// As many processes are alive as may be.
    Processes,
    /// As many generations are.
    Depth,
    /// The parent does not see such a directory.
    NoSuchDir,
    /// The records of the parent are held back until it ends well, and those of a child would not be.
    HeldBack,
    /// The host cannot.
    Host(String),
}

/// A child of a process.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) id: ProcessId,
    pub(crate) control: Arc<Control>,
    /// What is waited at for its end.
    pub(crate) exit: Arc<ScopedLock>,
    pub(crate) orphans: Orphans,
}

impl Child {
    pub(crate) fn exit(&self) -> Option<Arc<Exit>> {
        self.control.try_join()
    }
}

/// The children of a process. Shared with whoever runs it, as a process that is stopped takes its state along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Children(Arc<Mutex<Vec<Child>>>);

impl Children {
    fn alive(&self) -> MutexGuard<'_, Vec<Child>> {
        let mut children = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.exit().is_none());
        children
    }

    /// How many are alive.
    pub(crate) fn count(&self) -> usize {
        self.alive().len()
    }

    /// Who is alive.
    pub(crate) fn ids(&self) -> Vec<ProcessId> {
        self.alive().iter().map(|child| child.id).collect()
    }

    pub(crate) fn add(&self, child: Child) {
        self.alive().push(child);
    }

    /// Ends those that do not outlive their parent; answers them.
    pub(crate) fn end_orphans(&self) -> Vec<Child> {
        let mut orphans = std::mem::take(&mut *self.alive());
        orphans.retain(|child| child.orphans == Orphans::End);
        orphans.iter().for_each(|child| child.control.stop(Stop::Orphaned));
        orphans
    }
}

/// A process that was started by a process, among those of its job.
#[derive(Debug)]
pub(crate) struct Berth(Arc<AtomicU32>);

impl Berth {
    pub(crate) fn take(alive: &Arc<AtomicU32>, max: u32) -> Option<Self> {
        let one_more = |count: u32| (count < max).then_some(count + 1);
        alive.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self(alive.clone()))
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
