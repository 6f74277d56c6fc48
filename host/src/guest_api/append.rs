//! `lockkeeper:runtime/append`.

use std::sync::Arc;

use lockkeeper_journal::{
    AppendError, AppendFile, Appended, Durability, Encoded, InvalidRecord, LatchCause, RecordId, SyncError,
};
use lockkeeper_locks::{ClaimError, Fence};
use wasmtime::component::Resource;

use super::Refusal;
use crate::appending::{self, Failed, Later, Wanted, Written, check_claim};
use crate::bindings::lockkeeper::runtime::append::{self, Host, HostAppendFile};
use crate::bindings::lockkeeper::runtime::types;
use crate::grants::GrantedFile;
use crate::name::Name;
use crate::observe::Kind;
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
        let written = self.write(&file, guard, &options, |file| file.encode(&record))?;
        self.answer(written).await
    }

    async fn append_row(
        &mut self,
        file: Resource<FileHandle>,
        fields: Vec<String>,
        guard: Option<types::Fence>,
        options: append::AppendOptions,
    ) -> Result<append::Appended, Refusal> {
        let written = self.write(&file, guard, &options, |file| file.encode_row(&fields))?;
        self.answer(written).await
    }

    async fn append_batch(
        &mut self,
        file: Resource<FileHandle>,
        records: Vec<Vec<u8>>,
        guard: Option<types::Fence>,
        options: append::AppendOptions,
    ) -> Result<append::Appended, Refusal> {
        let written = self.write(&file, guard, &options, |file| file.encode_batch(&records))?;
        self.answer(written).await
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
        if let Some(held_back) = &mut self.held_back {
            let claimed = check_claim(self.actor.scope.table(), owner, file, claim);
            claimed.map_err(|error| Refusal::from_claim(&error, file))?;
            let appended = held_back.push(file, record, durability);
            return Ok(Written::Now(appended.map_err(|error| self.actor.not_held_back(file, error))?));
        }
        let wanted = Wanted { owner, claim, durability, id };
        let written = appending::write(self.actor.scope.table(), file, record, wanted);
        written.map_err(|error| self.actor.not_appended(file, &error))
    }

    /// What the guest is told of an append that may still have to be waited for.
    async fn answer(&mut self, written: Written) -> Result<append::Appended, Refusal> {
        let (appended, synced) = match written {
            Written::Now(appended) => (appended, false),
            Written::Later(later) => Box::pin(self.finish(*later)).await?,
        };
        self.appends.count(&appended);
        Ok(answer(&appended, synced))
    }

    /// Waits for what an append still has to wait for. If the process is stopped meanwhile, this is dropped: what was not
    /// begun is not written, and what was is settled before the process's end is told.
    async fn finish(&mut self, later: Later) -> Result<(Appended, bool), Refusal> {
        let file = later.file.clone();
        later.finish().await.map_err(|failed| match failed {
            Failed::Write(error) => self.actor.not_appended(&file, &error),
            Failed::Sync(error) => self.actor.sync_failed(&file, &error, false),
        })
    }
}

impl Actor {
    fn not_appended(&self, file: &GrantedFile, error: &AppendError<ClaimError>) -> Refusal {
        self.tell_not_appended(file, error);
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
