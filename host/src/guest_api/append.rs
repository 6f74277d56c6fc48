//! `lockkeeper:runtime/append`.

use std::sync::Arc;

use lockkeeper_journal::{
    AppendError, AppendFile, AppendOptions, Appended, Durability, Elsewhere, Encoded, InvalidRecord, LatchCause,
    RecordId, SyncError, Syncing,
};
use lockkeeper_locks::{ClaimError, Fence, LockTable, OwnerId};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::append::{self, Host, HostAppendFile};
use crate::bindings::lockkeeper::runtime::types;
use crate::grants::GrantedFile;
use crate::name::Name;
use crate::observe::{Event, Kind};
use crate::process::{Actor, HeldBackError, ProcessState};

/// What a guest's handle of an append file stands for.
#[derive(Debug)]
pub struct FileHandle(Arc<GrantedFile>);

/// The longest id that a guest may give a record: its hash is kept, but it crosses to the host.
const ID_BYTES_MAX: usize = 256;

impl Host for ProcessState {}

impl HostAppendFile for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<FileHandle>, Refusal> {
        let name = Name::new(&name)?;
        let Some(file) = self.rights.files.get(&name).cloned() else {
            return Err(self.deny(Kind::File, name, None));
        };
        self.open_handle(FileHandle(file))
    }

    async fn append(
        &mut self,
        file: Resource<FileHandle>,
        record: Vec<u8>,
        guard: Option<types::Fence>,
        options: append::AppendOptions,
    ) -> Result<append::Appended, Refusal> {
        match self.write(&file, guard, &options, |file| file.encode(&record))? {
            Written::Now(appended) => Ok(appended),
            Written::Later(later) => Box::pin(self.finish(*later)).await,
        }
    }

    async fn append_row(
        &mut self,
        file: Resource<FileHandle>,
        fields: Vec<String>,
        guard: Option<types::Fence>,
        options: append::AppendOptions,
    ) -> Result<append::Appended, Refusal> {
        match self.write(&file, guard, &options, |file| file.encode_row(&fields))? {
            Written::Now(appended) => Ok(appended),
            Written::Later(later) => Box::pin(self.finish(*later)).await,
        }
    }

    async fn append_batch(
        &mut self,
        file: Resource<FileHandle>,
        records: Vec<Vec<u8>>,
        guard: Option<types::Fence>,
        options: append::AppendOptions,
    ) -> Result<append::Appended, Refusal> {
        match self.write(&file, guard, &options, |file| file.encode_batch(&records))? {
            Written::Now(appended) => Ok(appended),
            Written::Later(later) => Box::pin(self.finish(*later)).await,
        }
    }

    async fn sync(&mut self, file: Resource<FileHandle>) -> Result<append::Position, Refusal> {
        let file = self.table.get(&file)?.0.clone();
        if let Some(held_back) = &mut self.held_back {
            held_back.sync(&file);
        }
        // Whoever finds the file latched is not told as if its own sync had failed.
        let before = file.file.latched();
        let synced = file.file.sync().await;
        synced.map_err(|error| self.actor.sync_failed(&file, &error, before.is_some()))?;
        Ok(file.file.position().into())
    }

    fn position(&mut self, file: Resource<FileHandle>) -> wasmtime::Result<append::Position> {
        Ok(self.table.get(&file)?.0.file.position().into())
    }

    fn drop(&mut self, file: Resource<FileHandle>) -> wasmtime::Result<()> {
        self.close_handle(file)
    }
}

/// What becomes of a record.
enum Written {
    /// All that was asked for has happened.
    Now(append::Appended),
    /// Something has to be waited for. Boxed, as is the wait: most appends need none, and the engine moves what it is to
    /// poll.
    Later(Box<Later>),
}

/// An append that has to be waited for.
struct Later {
    file: Arc<GrantedFile>,
    is_synced: bool,
    next: Next,
}

enum Next {
    /// The write itself, on a thread of the file, since the disk has proven slow.
    Write(Elsewhere<Result<Appended, AppendError<ClaimError>>>),
    /// The sync of what was written.
    Sync(Appended, Syncing),
}

impl ProcessState {
    /// The one way of every append: check the record, then write it under the check of the fence, or keep it for the
    /// commit at the process's end.
    fn write(
        &mut self,
        file: &Resource<FileHandle>,
        claim: Option<types::Fence>,
        asked: &append::AppendOptions,
        encode: impl FnOnce(&AppendFile) -> Result<Encoded, InvalidRecord>,
    ) -> Result<Written, Refusal> {
        let file = &self.table.get(file)?.0;
        let durability = asked.durability.map_or(file.durability, Durability::from);
        let id = match &asked.id {
            None => None,
            Some(id) => Some(record_id(id, file, self.held_back.is_some())?),
        };
        let record = encode(&file.file)?;
        let owner = self.actor.owner();
        let claim = claim.map(Fence::new);
        if let Err(full) = self.appends.fits(&record)
            && !id.is_some_and(|id| file.file.has(id))
        {
            self.actor.append_failed(file, || full.to_string());
            return Err(full.into());
        }
        let appended = if let Some(held_back) = &mut self.held_back {
            let claimed = check_claim(self.actor.scope.table(), owner, file, claim);
            claimed.map_err(|error| Refusal::from_claim(&error, file))?;
            held_back.push(file, record, durability).map_err(|error| self.actor.not_held_back(file, error))?
        } else {
            let mut options =
                AppendOptions { buffered: durability == Durability::Buffered, id, writer: self.actor.id().get() };
            let is_synced = durability == Durability::Synced;
            if file.file.is_slow() {
                // Who waits for the write need not wait for the buffer too.
                options.buffered = false;
                let (table, claimed) = (self.actor.scope.table().clone(), file.clone());
                let guard = move || check_claim(&table, owner, &claimed, claim);
                let next = Next::Write(file.file.commit_elsewhere(record, options, guard));
                return Ok(Written::Later(Box::new(Later { file: file.clone(), is_synced, next })));
            }
            let guard = || check_claim(self.actor.scope.table(), owner, file, claim);
            let written = file.file.commit_with(&record, &options, guard);
            let appended = written.map_err(|error| self.actor.not_appended(file, &error))?;
            if is_synced {
                let next = Next::Sync(appended, file.file.synced(&appended));
                return Ok(Written::Later(Box::new(Later { file: file.clone(), is_synced, next })));
            }
            appended
        };
        self.appends.count(&appended);
        Ok(Written::Now(answer(&appended, false)))
    }

    /// Waits for what an append still has to wait for. If the process is stopped meanwhile, this is dropped: what was not
    /// begun is not written, and what was is settled before the process's end is told.
    async fn finish(&mut self, later: Later) -> Result<append::Appended, Refusal> {
        let Later { file, is_synced, next } = later;
        let (appended, syncing) = match next {
            Next::Write(writing) => {
                let written = writing.await;
                let appended = written.map_err(|error| self.actor.not_appended(&file, &error))?;
                (appended, is_synced.then(|| file.file.synced(&appended)))
            }
            Next::Sync(appended, syncing) => (appended, Some(syncing)),
        };
        let synced = match syncing {
            None => false,
            Some(syncing) => {
                syncing.await.map_err(|error| self.actor.sync_failed(&file, &error, false))?;
                true
            }
        };
        self.appends.count(&appended);
        Ok(answer(&appended, synced))
    }
}

impl Actor {
    fn not_appended(&self, file: &GrantedFile, error: &AppendError<ClaimError>) -> Refusal {
        match error {
            AppendError::Io { .. }
            | AppendError::Changed { .. }
            | AppendError::Latched { .. }
            | AppendError::Limit { .. } => self.append_failed(file, || error.to_string()),
            AppendError::Refused(_) | AppendError::Fenced { .. } | AppendError::Invalid(_) => {}
        }
        Refusal::from_append(error, file)
    }

    fn not_held_back(&self, file: &GrantedFile, error: HeldBackError) -> Refusal {
        if let HeldBackError::Full { .. } = error {
            self.append_failed(file, || error.to_string());
        }
        error.into()
    }

    fn sync_failed(&self, file: &GrantedFile, error: &SyncError, was_latched: bool) -> Refusal {
        self.append_failed(file, || error.to_string());
        let code = match error {
            SyncError::Latched { .. } if was_latched => types::IoCode::Latched,
            SyncError::Latched { cause: LatchCause::SyncFailed(_), .. } => types::IoCode::Device,
            SyncError::Latched { cause: LatchCause::Changed(_), .. } => types::IoCode::Changed,
            SyncError::Latched { .. } => types::IoCode::Latched,
            SyncError::Refused { .. } => types::IoCode::Other,
        };
        types::Error::Io(code).into()
    }

    /// The guest is told a word; whoever looks at the host is told the path and the cause.
    fn append_failed(&self, file: &GrantedFile, error: impl FnOnce() -> String) {
        self.events.emit(|| Event::AppendFailed { process: self.id(), file: file.name.clone(), error: error() });
    }
}

/// The id of a record, if there may be one.
fn record_id(id: &str, file: &GrantedFile, is_held_back: bool) -> Result<RecordId, Refusal> {
    let wrong = if id.is_empty() || id.len() > ID_BYTES_MAX {
        format!("id: it has {} bytes; give it 1 to {ID_BYTES_MAX}", id.len())
    } else if !file.has_ids {
        format!("id: the records of `{name}` have none; write ids = true in [file.{name}]", name = file.name)
    } else if is_held_back {
        "id: what is held back until the process ends well is not known by ids of its own; append without one"
            .to_owned()
    } else {
        // No guest can take an id of the host's own, such as the word that a series is being begun.
        return Ok(RecordId::of(format!("guest: {id}").as_bytes()));
    };
    Err(types::Error::InvalidArgument(wrong).into())
}

/// What the host knows about a claim at the moment at which this is asked: the fence of the live hold, or none for a
/// file that is bound to no lock. Who makes no claim claims the hold that it has.
fn check_claim(
    table: &LockTable,
    owner: OwnerId,
    file: &GrantedFile,
    claim: Option<Fence>,
) -> Result<Option<u64>, ClaimError> {
    let Some(lock) = &file.requires else {
        return Ok(None);
    };
    let claim = claim.or_else(|| table.held_fence(owner, lock.id)).ok_or(ClaimError::LockRequired)?;
    table.check_claim(owner, lock.id, claim)?;
    Ok(Some(claim.get()))
}

fn answer(appended: &Appended, synced: bool) -> append::Appended {
    let durability = match (synced, appended.buffered) {
        (true, _) => append::Durability::Synced,
        (false, true) => append::Durability::Buffered,
        (false, false) => append::Durability::Written,
    };
    append::Appended {
        offset: appended.offset,
        length: appended.len,
        sequence: appended.sequence,
        durability,
        repeated: appended.repeated,
    }
}

impl From<append::Durability> for Durability {
    fn from(durability: append::Durability) -> Self {
        match durability {
            append::Durability::Buffered => Self::Buffered,
            append::Durability::Written => Self::Written,
            append::Durability::Synced => Self::Synced,
        }
    }
}

impl From<lockkeeper_journal::Position> for append::Position {
    fn from(position: lockkeeper_journal::Position) -> Self {
        Self { bytes: position.bytes, synced_bytes: position.synced_bytes, records: position.records }
    }
}
