//! How much a process has appended, and how much it may.

use lockkeeper_journal::{Appended, Encoded};

use super::Limits;
use crate::byte_size::ByteSize;

/// What was acknowledged to one process, over all files, against its limits.
#[derive(Debug)]
pub(crate) struct Appends {
    bytes: u64,
    bytes_max: u64,
    records: u64,
    records_max: u64,
}

/// The process has appended as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendsExceeded {
    #[error(
        "a process may append {} (`append-bytes`, --max-append-bytes); nothing of the record is in the file",
        ByteSize(*max)
    )]
    Bytes { max: u64 },
    #[error(
        "a process may append {max} records (`append-records`, --max-append-records); nothing of the record is in the file"
    )]
    Records { max: u64 },
}

impl Appends {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes: 0,
            bytes_max: limits.append_bytes_max.unwrap_or(u64::MAX),
            records: 0,
            records_max: limits.append_records_max.unwrap_or(u64::MAX),
        }
    }

    /// Whether these records may be appended.
    pub(crate) fn fits(&self, record: &Encoded) -> Result<(), AppendsExceeded> {
        if self.bytes.saturating_add(record.len() as u64) > self.bytes_max {
            return Err(AppendsExceeded::Bytes { max: self.bytes_max });
        }
        if self.records.saturating_add(record.records()) > self.records_max {
            return Err(AppendsExceeded::Records { max: self.records_max });
        }
        Ok(())
    }

    /// Counts what was acknowledged. What was in the file already costs nothing.
    pub(crate) fn count(&mut self, appended: &Appended) {
        if !appended.repeated {
            self.bytes += appended.len;
            self.records += appended.records;
        }
    }
}
