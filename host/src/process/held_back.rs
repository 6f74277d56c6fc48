//! Records that a process appended and that are committed together when it ends well, or not at all.

use std::convert::Infallible;
use std::sync::Arc;

use lockkeeper_journal::{
    AppendError, AppendOptions, Appended, Durability, Encoded, InvalidRecord, RecordId, SyncError, Syncing, unguarded,
};

use super::commit_order::CommitTurn;
use super::spec::ProcessSpec;
use crate::byte_size::ByteSize;
use crate::grants::{GrantedFile, Rights};
use crate::ids::ProcessId;
use crate::name::Name;

/// The records of one process, by file.
#[derive(Debug)]
pub(crate) struct HeldBack {
    id: Option<RecordId>,
    turn: Option<CommitTurn>,
    bytes_max: u64,
    bytes: u64,
    batches: Vec<Batch>,
}

/// What is held back for one file.
#[derive(Debug)]
struct Batch {
    file: Arc<GrantedFile>,
    records: Encoded,
    /// Whether the commit is to survive the loss of power, whatever the job says for the file.
    is_synced: bool,
}

/// Why a record is not held back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeldBackError {
    /// The process appended more than may be held back.
    #[error(
        "a process may append {} that is held back until it ends well (--max-held-back); nothing of the record is kept",
        ByteSize(*max)
    )]
    Full { max: u64 },
    /// The record does not fit to those before it.
    #[error(transparent)]
    Invalid(InvalidRecord),
}

impl HeldBack {
    pub(crate) fn new(spec: &ProcessSpec) -> Self {
        let ProcessSpec { commit_id, commit_turn, limits, .. } = spec;
        let (id, turn) = (*commit_id, commit_turn.clone());
        Self { id, turn, bytes_max: limits.held_back_bytes_max, bytes: 0, batches: Vec::new() }
    }

    /// When it is to be committed, if not at once.
    pub(crate) fn turn(&self) -> Option<CommitTurn> {
        self.turn.clone()
    }

    /// Keeps a record. Offset and sequence count from the start of what is held back for that file.
    /// With [`Durability::Synced`] all that is held back for the file survives the loss of power once it is committed.
    pub(crate) fn push(
        &mut self,
        file: &Arc<GrantedFile>,
        record: Encoded,
        durability: Durability,
    ) -> Result<Appended, HeldBackError> {
        let (len, records) = (record.len() as u64, record.records());
        let grown = self.bytes.saturating_add(len);
        if grown > self.bytes_max {
            return Err(HeldBackError::Full { max: self.bytes_max });
        }
        let is_synced = durability == Durability::Synced;
        let appended = match self.batch_of(file) {
            Some(batch) => {
                let held = &mut batch.records;
                let appended = held_back(held.len() as u64, len, held.records() + 1, records);
                held.extend(&record).map_err(HeldBackError::Invalid)?;
                batch.is_synced |= is_synced;
                appended
            }
            None => {
                self.batches.push(Batch { file: file.clone(), records: record, is_synced });
                held_back(0, len, 1, records)
            }
        };
        self.bytes = grown;
        Ok(appended)
    }

    /// What is held back for the file up to now is to survive the loss of power once it is committed.
    pub(crate) fn sync(&mut self, file: &Arc<GrantedFile>) {
        if let Some(batch) = self.batch_of(file) {
            batch.is_synced = true;
        }
    }

    fn batch_of(&mut self, file: &Arc<GrantedFile>) -> Option<&mut Batch> {
        self.batches.iter_mut().find(|batch| Arc::ptr_eq(&batch.file, file))
    }

    /// All that is left to do for this process, which may append to these files and has ended well.
    pub(crate) fn close(self, writer: ProcessId, rights: &Rights) -> Pending {
        let Self { id, batches, .. } = self;
        // A file that it appended nothing to is to know that this is all.
        let untouched = rights.files.values().filter(|file| {
            let touched = batches.iter().any(|batch| Arc::ptr_eq(&batch.file, file));
            id.is_some() && file.has_ids && !touched
        });
        let untouched = untouched.cloned().collect();
        Pending { id, writer, batches, untouched }
    }
}

/// What a process that has ended well leaves to be committed: one batch a file.
#[derive(Debug)]
pub(crate) struct Pending {
    id: Option<RecordId>,
    writer: ProcessId,
    batches: Vec<Batch>,
    untouched: Vec<Arc<GrantedFile>>,
}

impl Pending {
    /// Writes everything. Where this has failed for one file, those before it have their batch.
    pub(crate) async fn commit(self) -> Result<Unsynced, AppendError<Infallible>> {
        let Self { id, writer, batches, untouched } = self;
        let mut unsynced = Vec::new();
        for Batch { file, records, is_synced } in batches {
            let options = AppendOptions { buffered: false, id: id.filter(|_| file.has_ids), writer: writer.get() };
            let appended = match file.file.commit_now(&records, &options, unguarded) {
                Some(appended) => appended?,
                None => file.file.commit_elsewhere(records, options, unguarded).await?,
            };
            if is_synced || file.durability == Durability::Synced {
                unsynced.push((file.name.clone(), file.file.synced(&appended)));
            }
        }
        if let Some(id) = id {
            untouched.iter().try_for_each(|file| file.file.note_done(id))?;
        }
        Ok(Unsynced(unsynced))
    }
}

/// What was committed to files whose records are to survive the loss of power.
#[derive(Debug)]
#[must_use = "nothing is known to survive the loss of power before this was waited for"]
pub(crate) struct Unsynced(Vec<(Name, Syncing)>);

impl Unsynced {
    /// Waits until all of it does. Answers the file for which it failed.
    pub(crate) async fn synced(self) -> Result<(), (Name, SyncError)> {
        for (name, syncing) in self.0 {
            if let Err(error) = syncing.await {
                return Err((name, error));
            }
        }
        Ok(())
    }
}

/// Where a record is among those held back: in memory.
fn held_back(offset: u64, len: u64, sequence: u64, records: u64) -> Appended {
    Appended { offset, len, sequence, records, buffered: true, repeated: false }
}
