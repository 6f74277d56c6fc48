//! `lockkeeper:runtime/append`.

use std::sync::Arc;

use lockkeeper_journal::{AppendError, AppendFile, Appended, Encoded, InvalidRecord};
use lockkeeper_locks::{ClaimError, Fence, LockTable, OwnerId};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::append::{self, Host, HostAppendFile};
use crate::bindings::lockkeeper::runtime::types;
use crate::grants::GrantedFile;
use crate::name::Name;
use crate::observe::{Event, Kind};
use crate::process::ProcessState;

/// What a guest's handle of an append file stands for.
#[derive(Debug)]
pub struct FileHandle(Arc<GrantedFile>);

impl Host for ProcessState {}

impl HostAppendFile for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<FileHandle>, Refusal> {
        let name = Name::new(&name)?;
        let Some(file) = self.rights.files.get(&name).cloned() else {
            return Err(self.deny(Kind::File, name, None));
        };
        self.open_handle(FileHandle(file))
    }

    fn append(
        &mut self,
        file: Resource<FileHandle>,
        record: Vec<u8>,
        guard: Option<types::Fence>,
    ) -> Result<append::Appended, Refusal> {
        self.write(&file, guard, |file| file.encode(&record))
    }

    fn append_row(
        &mut self,
        file: Resource<FileHandle>,
        fields: Vec<String>,
        guard: Option<types::Fence>,
    ) -> Result<append::Appended, Refusal> {
        self.write(&file, guard, |file| file.encode_row(&fields))
    }

    fn append_batch(
        &mut self,
        file: Resource<FileHandle>,
        records: Vec<Vec<u8>>,
        guard: Option<types::Fence>,
    ) -> Result<append::Appended, Refusal> {
        self.write(&file, guard, |file| file.encode_batch(&records))
    }

    fn position(&mut self, file: Resource<FileHandle>) -> wasmtime::Result<append::Position> {
        let position = self.table.get(&file)?.0.file.position();
        Ok(append::Position { bytes: position.bytes, records: position.records })
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
        encode: impl FnOnce(&AppendFile) -> Result<Encoded, InvalidRecord>,
    ) -> Result<append::Appended, Refusal> {
        let file = self.table.get(file)?.0.clone();
        let record = encode(&file.file)?;
        let (table, owner) = (self.actor.scope.table(), self.owner());
        let check = || check_claim(table, owner, &file, claim.map(Fence::new));
        let appended = match &mut self.held_back {
            None => {
                let written = file.file.commit(&record, check);
                written.map_err(|error| {
                    self.tell(&file, &error);
                    Refusal::from_append(&error, &file)
                })?
            }
            Some(held_back) => {
                check().map_err(|error| Refusal::from_claim(&error, &file))?;
                held_back.push(&file, record)?
            }
        };
        Ok(appended.into())
    }

    /// The guest is told a word; whoever looks at the host is told the path and the cause.
    fn tell(&self, file: &GrantedFile, error: &AppendError<ClaimError>) {
        if matches!(error, AppendError::Io { .. } | AppendError::Changed { .. } | AppendError::Latched { .. }) {
            self.actor.events.emit(|| Event::AppendFailed {
                process: self.id(),
                file: file.name.clone(),
                error: error.to_string(),
            });
        }
    }
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

impl From<Appended> for append::Appended {
    fn from(appended: Appended) -> Self {
        Self { offset: appended.offset, length: appended.len, sequence: appended.sequence }
    }
}
