//! What can go wrong with a sidecar of record ids.

use std::io;
use std::path::{Path, PathBuf};

use super::{IDS_MAX, RecordId};

/// What went wrong with a sidecar of record ids.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdsError {
    /// The sidecar's name belongs to something else.
    #[error("{} is not a regular file; remove it or choose another place for the data", path.display())]
    NotRegular {
        /// The sidecar.
        path: PathBuf,
    },
    /// The sidecar does not begin as one.
    #[error("{} is no list of record ids, or is damaged ({reason}); put back a copy that is not older than the data, \
        or, if records may be appended a second time, remove it", path.display())]
    Header {
        /// The sidecar.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The id is in the sidecar already.
    #[error("the record id {id} is in {} already; ask before noting it", path.display())]
    Known {
        /// The sidecar.
        path: PathBuf,
        /// The id.
        id: RecordId,
    },
    /// There are as many entries as there can be.
    #[error("{} holds {IDS_MAX} record ids and cannot take another; use another file", path.display())]
    Full {
        /// The sidecar.
        path: PathBuf,
    },
    /// Entries that were read or written before are not in the sidecar any more.
    #[error("{missing} record ids are no longer in {}; somebody has changed it, or the disk has lost them; \
        check the file before it is used again", path.display())]
    Lost {
        /// The sidecar.
        path: PathBuf,
        /// How many are missing.
        missing: u64,
    },
    /// It was opened to be read.
    #[error("{} was opened to be read only", path.display())]
    ReadOnly {
        /// The sidecar.
        path: PathBuf,
    },
    /// An earlier operation failed and left the sidecar in a state that is not known.
    #[error("{} takes no more record ids after an earlier failure; start again to have it repaired", path.display())]
    Broken {
        /// The sidecar.
        path: PathBuf,
    },
    /// The system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> IdsError {
    move |source| IdsError::Io { action, path: path.to_owned(), source }
}
