//! Records that a process appended and that are committed together when it ends well, or not at all.

use std::convert::Infallible;
use std::sync::Arc;

use lockkeeper_journal::{AppendError, Appended, Encoded, InvalidRecord, unguarded};

use crate::grants::GrantedFile;

/// The records of one process, by file.
#[derive(Debug)]
pub(crate) struct HeldBack {
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
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, files: Vec::new() }
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
                let appended = Appended { offset: batch.len() as u64, len, sequence: batch.records() + 1, records };
                batch.extend(&record).map_err(HeldBackError::Invalid)?;
                self.bytes = grown;
                Ok(appended)
            }
            None => {
                self.files.push((file.clone(), record));
                self.bytes = grown;
                Ok(Appended { offset: 0, len, sequence: 1, records })
            }
        }
    }

    /// Writes everything: one batch a file.
    pub(crate) fn commit(self) -> Result<(), AppendError<Infallible>> {
        for (file, batch) in self.files {
            file.file.commit(&batch, unguarded)?;
        }
        Ok(())
    }
}
