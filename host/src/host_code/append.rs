//! A record that host code appends.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use lockkeeper_journal::{AppendError, Appended, Durability, InvalidRecord, RecordId, SyncError};
use lockkeeper_locks::ClaimError;

use super::{Hold, Party};
use crate::appending::{self, Failed, Wanted, Written};
use crate::blocking;
use crate::grants::GrantedFile;
use crate::name::Name;

/// What is appended at once.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// One record of bytes.
    Record(&'a [u8]),
    /// One row of a `csv` file: the host quotes the fields.
    Row(Vec<&'a str>),
    /// Several records, next to each other: all of them or none.
    Batch(Vec<&'a [u8]>),
}

impl<'a> Content<'a> {
    /// One row of a `csv` file.
    pub fn row(fields: &[&'a str]) -> Self {
        Self::Row(fields.to_vec())
    }

    /// Several records at once.
    pub fn batch(records: &[&'a [u8]]) -> Self {
        Self::Batch(records.to_vec())
    }
}

impl<'a> From<&'a [u8]> for Content<'a> {
    fn from(record: &'a [u8]) -> Self {
        Self::Record(record)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Content<'a> {
    fn from(record: &'a [u8; N]) -> Self {
        Self::Record(record)
    }
}

impl<'a> From<&'a Vec<u8>> for Content<'a> {
    fn from(record: &'a Vec<u8>) -> Self {
        Self::Record(record)
    }
}

impl<'a> From<&'a String> for Content<'a> {
    fn from(record: &'a String) -> Self {
        Self::Record(record.as_bytes())
    }
}

impl<'a> From<&'a str> for Content<'a> {
    fn from(record: &'a str) -> Self {
        Self::Record(record.as_bytes())
    }
}

/// A record of host code is not appended. What each case means for what is in the file, [`AppendError`] and [`SyncError`]
/// say.
#[derive(Debug, thiserror::Error)]
pub enum HostAppendError {
    /// The job has no such file.
    #[error("the job has no append file `{name}`")]
    NoSuchFile {
        /// What was asked for.
        name: String,
    },
    /// The hold under which it was to be written is somebody else's.
    #[error("the hold of `{lock}` belongs to other host code than that which appends")]
    NotMyHold {
        /// The lock.
        lock: String,
    },
    /// It is no record of this file. Nothing was written.
    #[error("not a record of this file: {0}")]
    Invalid(#[from] InvalidRecord),
    /// The lock of the file is not held, or not any more. Nothing was written.
    #[error("`{file}` needs the lock `{lock}`, and nothing was written: {source}")]
    Unheld {
        /// The file.
        file: Name,
        /// Its lock.
        lock: Name,
        /// Why it does not count.
        source: ClaimError,
    },
    /// It was not written.
    #[error(transparent)]
    Append(#[from] AppendError<ClaimError>),
    /// It was written, and the loss of power may take it.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// This thread runs processes, and must not block.
    #[error("this thread runs processes, and must not block; use the async form")]
    OnShard,
}

/// Where a record of host code went, and what it survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAppended {
    /// Where it went.
    pub place: Appended,
    /// Whether it survives the loss of power.
    pub synced: bool,
}

/// A record that is being appended. Dropping it while it is being written waits until it is, or is not. It survives what the job says for the file, unless it is said otherwise; where the file
/// needs a lock, whatever hold of it counts that this host code has at that moment.
#[must_use = "nothing is written before this is awaited, or ended by `blocking`"]
pub struct Append<'a> {
    party: &'a Arc<Party>,
    file: &'a str,
    content: Content<'a>,
    under: Option<&'a Hold>,
    durability: Option<Durability>,
    id: Option<RecordId>,
}

impl<'a> Append<'a> {
    pub(super) fn new(party: &'a Arc<Party>, file: &'a str, content: Content<'a>) -> Self {
        Self { party, file, content, under: None, durability: None, id: None }
    }

    /// Only under this hold, and not under a later one: if it was taken away, the record is refused.
    pub fn under(mut self, hold: &'a Hold) -> Self {
        self.under = Some(hold);
        self
    }

    /// To survive this before the append is done.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// By this id: if records of that id are in the file already, nothing is written. Only for files with
    /// [`FileSpec::ids`](crate::FileSpec::ids).
    pub fn id(mut self, id: RecordId) -> Self {
        self.id = Some(id);
        self
    }

    /// Appends on a thread that may block.
    pub fn blocking(self) -> Result<HostAppended, HostAppendError> {
        blocking::on(self.write()).map_err(|_| HostAppendError::OnShard)?
    }

    async fn write(self) -> Result<HostAppended, HostAppendError> {
        let Self { party, file, content, under, durability, id } = self;
        let file = party.file(file)?;
        if let Some(hold) = under
            && !hold.is_of(party)
        {
            return Err(HostAppendError::NotMyHold { lock: hold.lock().to_owned() });
        }
        let record = match content {
            Content::Record(record) => file.file.encode(record),
            Content::Row(fields) => file.file.encode_row(&fields),
            Content::Batch(records) => file.file.encode_batch(&records),
        }?;
        let actor = &party.actor;
        let durability = durability.unwrap_or(file.durability);
        let wanted = Wanted { owner: actor.owner(), claim: under.map(Hold::claim), durability, id };
        let written = match appending::write(actor.scope.table(), file, record, wanted) {
            Ok(Written::Now(place)) => Ok((place, false)),
            Ok(Written::Later(later)) => later.finish().await,
            Err(error) => Err(Failed::Write(error)),
        };
        match written {
            Ok((place, synced)) => Ok(HostAppended { place, synced }),
            Err(failed) => Err(party.append_failed(file, failed)),
        }
    }
}

impl<'a> IntoFuture for Append<'a> {
    type Output = Result<HostAppended, HostAppendError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.write())
    }
}

impl Party {
    pub(super) async fn sync(&self, file: &str) -> Result<(), HostAppendError> {
        let file = self.file(file)?;
        let synced = file.file.sync().await;
        synced.map(drop).map_err(|error| self.append_failed(file, Failed::Sync(error)))
    }

    /// What the embedder is told of it, and whoever observes the host.
    fn append_failed(&self, file: &GrantedFile, failed: Failed) -> HostAppendError {
        match failed {
            Failed::Sync(error) => {
                self.actor.append_failed(file, || error.to_string());
                HostAppendError::Sync(error)
            }
            Failed::Write(AppendError::Refused(source)) => {
                let lock = file.requires.as_ref().map_or_else(Name::gone, |lock| lock.name.clone());
                HostAppendError::Unheld { file: file.name.clone(), lock, source }
            }
            Failed::Write(error) => {
                self.actor.tell_not_appended(file, &error);
                HostAppendError::Append(error)
            }
        }
    }
}
