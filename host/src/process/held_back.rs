//! Records that a process appended and that are committed together when it ends well, or not at all.

use std::convert::Infallible;
use std::sync::Arc;

use lockkeeper_journal::{
    AppendError, AppendOptions, Appended, Durability, Encoded, InvalidRecord, RecordId, SyncError, Syncing, unguarded,
};

use super::commit_order::CommitTurn;
use super::spec::ProcessSpec;
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
    files: Vec<(Arc<GrantedFile>, Encoded)>,
}

/// Why a record is not held back.
#[derive(Debug)]
pub(crate) enum HeldBackError {
    /// The process appended more than may be held back.
    Full,
    /// The record does not fit to those before it.
    Invalid(InvalidRecord),
}

impl HeldBack {
    pub(crate) fn new(spec: &ProcessSpec) -> Self {
        let ProcessSpec { commit_id, commit_turn, limits, .. } = spec;
        let (id, turn) = (*commit_id, commit_turn.clone());
        Self { id, turn, bytes_max: limits.held_back_bytes_max, bytes: 0, files: Vec::new() }
    }

    /// When it is to be committed, if not at once.
    pub(crate) fn turn(&self) -> Option<CommitTurn> {
        self.turn.clone()
    }

    /// Keeps a record. Offset and sequence count from the start of what is held back for that file.
    pub(crate) fn push(&mut self, file: &Arc<GrantedFile>, record: Encoded) -> Result<Appended, HeldBackError> {
        let (len, records) = (record.len() as u64, record.records());
        let grown = self.bytes.saturating_add(len);
        if grown > self.bytes_max {
            return Err(HeldBackError::Full);
        }
        match self.files.iter_mut().find(|(known, _)| Arc::ptr_eq(known, file)) {
            Some((_, batch)) => {
                let appended = held_back(batch.len() as u64, len, batch.records() + 1, records);
                batch.extend(&record).map_err(HeldBackError::Invalid)?;
                self.bytes = grown;
                Ok(appended)
            }
            None => {
                self.files.push((file.clone(), record));
                self.bytes = grown;
                Ok(held_back(0, len, 1, records))
            }
        }
    }

    /// All that is left to do for this process, which may append to these files and has ended well.
    pub(crate) fn close(self, writer: ProcessId, rights: &Rights) -> Pending {
        let Self { id, files, .. } = self;
        // A file that it appended nothing to is to know that this is all.
        let untouched = rights.files.values().filter(|file| {
            let touched = files.iter().any(|(known, _)| Arc::ptr_eq(known, file));
            id.is_some() && file.has_ids && !touched
        });
        let untouched = untouched.cloned().collect();
        Pending { id, writer, files, untouched }
    }
}

/// What a process that has ended well leaves to be committed: one batch a file.
#[derive(Debug)]
pub(crate) struct Pending {
    id: Option<RecordId>,
    writer: ProcessId,
    files: Vec<(Arc<GrantedFile>, Encoded)>,
    untouched: Vec<Arc<GrantedFile>>,
}

impl Pending {
    /// Writes everything. Where this has failed for one file, those before it have their batch.
    pub(crate) async fn commit(self) -> Result<Unsynced, AppendError<Infallible>> {
        let Self { id, writer, files, untouched } = self;
        let mut unsynced = Vec::new();
        for (file, batch) in files {
            let options = AppendOptions { buffered: false, id: id.filter(|_| file.has_ids), writer: writer.get() };
            let appended = match file.file.is_slow() {
                true => file.file.commit_elsewhere(batch, options, unguarded).await?,
                false => file.file.commit_with(&batch, &options, unguarded)?,
            };
            if file.durability == Durability::Synced {
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
