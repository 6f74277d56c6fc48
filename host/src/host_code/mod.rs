//! The embedder's own code among the processes of a job: it takes the same locks, and appends to the same files.
//!
//! | file | purpose |
//! |---|---|
//! | `mod` | who it is, [`Locks`] |
//! | `acquire` | a request of a lock that is being made, [`Acquire`] |
//! | `hold` | a lock that it holds, [`Hold`] |
//! | `append` | a record that is being written, [`Append`] |
//! | `alarm` | a deadline that is kept without a runtime of the embedder's |

mod acquire;
pub(crate) mod alarm;
mod append;
mod hold;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use lockkeeper_locks::{EndCause, Kind as TableKind, Place};

use crate::grants::{GrantedFile, Rights};
use crate::host::Host;
use crate::ids::ProcessId;
use crate::observe::{Event, Kind};
use crate::process::{Actor, Placement};
use crate::scope::ScopedLock;
use crate::stall::Watch;
pub use acquire::{Acquire, LockError};
pub use append::{Append, Content, HostAppendError, HostAppended};
pub use hold::Hold;

/// Host code as one owner of the locks of a job, in the same queues as its processes and under the same rules: it waits
/// for its turn, a circle that it would close is refused at once, a hold that lasts too long is taken away from it, and
/// its late record is refused.
///
/// One of these is one owner, as a process is one. What it holds excludes others, and not itself; so each task or thread
/// that is to exclude the others takes one of its own ([`Job::locks`](crate::Job::locks)), which costs little. It waits for
/// one lock at a time, so asking takes it mutably; what it holds it may hold together.
///
/// A future of this that was polled has to be polled again when it is woken, or dropped: a lock may be kept for it meanwhile.
/// If host code is broken off while it holds something (it panics; its future is dropped because the process that called it as
/// a host interface is ended), the next owner is told that what the lock protects may be half-written. A future of your own
/// that you drop is not known to be broken off: there say [`Hold::abandon`].
///
/// A circle of waits is refused if it runs through locks. One that a guest closes by calling a host interface that takes a
/// lock which that same guest holds is not seen: give such waits a limit ([`Acquire::within`]).
///
/// As long as one of these, or a hold, is there, the job's files stay open and this host's alone, even after the
/// [`Runtime`](crate::Runtime) is gone.
///
/// Nothing here needs an async runtime of a particular kind, and every future is `Send`. What blocks refuses to do so on a
/// thread that runs processes, where it would hold them all up.
pub struct Locks {
    party: Arc<Party>,
}

/// Who host code is for the locks, for as long as it has a handle or a hold.
pub(crate) struct Party {
    actor: Actor,
    rights: Rights,
    name: Arc<str>,
    host: Arc<Host>,
    watch: Arc<Watch>,
}

/// Host code runs on no shard.
const NOWHERE: Place = Place(u16::MAX);

impl Locks {
    pub(crate) fn new(host: &Arc<Host>, watch: &Arc<Watch>, rights: &Rights, name: Arc<str>) -> Self {
        let id = host.next_process();
        let seat = watch.begin_host_code(id, name.clone());
        let never: Arc<AtomicBool> = Arc::default();
        let mut actor = Actor::new(id, host.scope.clone(), host.events.clone(), seat, Placement::Home, never);
        actor.settle_at(NOWHERE);
        host.scope.begin_owner(id.owner(), name.clone(), NOWHERE);
        host.events.emit(|| Event::HostCode { process: id, name: name.clone() });
        let (host, watch, rights) = (host.clone(), watch.clone(), rights.inherited());
        Self { party: Arc::new(Party { actor, rights, name, host, watch }) }
    }

    /// Its number, of the same kind as those of processes: whoever is told of a deadlock, or of the end of a hold, is told
    /// this.
    pub fn id(&self) -> ProcessId {
        self.party.actor.id()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.party.name
    }

    /// Asks for a lock of the job: a mutex, an rlock, an rwlock or a semaphore. Nothing happens before this is awaited, or
    /// ended by [`blocking`](Acquire::blocking) or [`now`](Acquire::now).
    pub fn acquire<'a>(&'a mut self, lock: &'a str) -> Acquire<'a> {
        Acquire::new(&self.party, lock)
    }

    /// Appends something to a file of the job: a record (`b"bytes"`), a row ([`Content::row`]) or several records at once.
    /// Nothing happens before this is awaited, or ended by [`blocking`](Append::blocking).
    pub fn append<'a>(&'a self, file: &'a str, content: impl Into<Content<'a>>) -> Append<'a> {
        Append::new(&self.party, file, content.into())
    }

    /// Gives permits of a semaphore back, or adds some to one that nobody holds.
    pub fn release_permits(&self, semaphore: &str, permits: u32) -> Result<(), LockError> {
        let lock = self.party.lock(semaphore)?;
        let actor = &self.party.actor;
        if !matches!(lock.kind, TableKind::Semaphore(_)) || permits == 0 {
            return Err(LockError::Unfit { name: semaphore.to_owned(), kind: Kind::of(lock.kind) });
        }
        actor.releasing(lock, None, permits);
        let released = actor.scope.table().release_permits(actor.owner(), lock.id, permits, Instant::now());
        released.map_err(|source| LockError::NotReleased { lock: lock.name.clone(), source })
    }

    /// Waits until everything that was appended to the file before, by whomever, survives the loss of power.
    pub async fn sync(&self, file: &str) -> Result<(), HostAppendError> {
        self.party.sync(file).await
    }

    /// [`sync`](Locks::sync) for a thread that may block.
    pub fn sync_blocking(&self, file: &str) -> Result<(), HostAppendError> {
        crate::blocking::on(self.party.sync(file)).map_err(|_| HostAppendError::OnShard)?
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Party {
    fn lock(&self, name: &str) -> Result<&Arc<ScopedLock>, LockError> {
        self.rights.locks.get(name).ok_or_else(|| LockError::NoSuchLock { name: name.to_owned() })
    }

    fn file(&self, name: &str) -> Result<&Arc<GrantedFile>, HostAppendError> {
        self.rights.files.get(name).ok_or_else(|| HostAppendError::NoSuchFile { name: name.to_owned() })
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let owner = self.actor.owner();
        self.actor.scope.end_owner(owner, EndCause::Exited);
        self.actor.scope.forget_owner(owner);
        self.watch.end_host_code(self.actor.id());
    }
}
