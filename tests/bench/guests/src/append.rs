//! The one place that knows how an append says what it waits for.

use lockkeeper_guest::{AppendFile, Error, MutexGuard};

/// What an append waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the record may be lost if the host dies.
    Buffered,
    /// That the record survives the host's death.
    Written,
    /// That the record survives the loss of power.
    Synced,
}

impl Durability {
    /// By its word.
    ///
    /// # Errors
    ///
    /// That there is none of this name.
    pub fn from_word(word: &str) -> Result<Self, String> {
        match word {
            "buffered" => Ok(Self::Buffered),
            "written" => Ok(Self::Written),
            "synced" => Ok(Self::Synced),
            _ => Err(format!("{word} is no durability: write buffered, written or synced")),
        }
    }
}

/// Appends one record to a file that is bound to no lock.
///
/// # Errors
///
/// What the host says.
pub fn append(file: &AppendFile, record: &[u8], durability: Durability) -> Result<(), Error> {
    let durability = match durability {
        Durability::Buffered => lockkeeper_guest::Durability::Buffered,
        Durability::Written => lockkeeper_guest::Durability::Written,
        Durability::Synced => lockkeeper_guest::Durability::Synced,
    };
    file.append_unlocked_with(record, durability).map(drop)
}

/// Appends one row under the hold given, as its fields.
///
/// # Errors
///
/// What the host says.
pub fn append_row(file: &AppendFile, guard: &MutexGuard<'_>, fields: &[&str]) -> Result<(), Error> {
    file.append_row(guard, fields).map(drop)
}

/// The same as the bytes of the row, without a newline.
///
/// # Errors
///
/// What the host says.
pub fn append_row_bytes(file: &AppendFile, guard: &MutexGuard<'_>, row: &[u8]) -> Result<(), Error> {
    file.append(guard, row).map(drop)
}
