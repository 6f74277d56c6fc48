//! A series of commits that a later run goes on with: which of them are in the files already.

use std::convert::Infallible;
use std::sync::Arc;

use lockkeeper_journal::{AppendError, RecordId};

use super::Job;
use crate::grants::GrantedFile;
use crate::name::Name;

/// Why a series cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// A file keeps no ids.
    #[error("file `{file}` keeps no ids, so no series of commits can be told from another; open it with ids")]
    NoIds {
        /// The file.
        file: Name,
    },
    /// The ids of a file cannot be changed.
    #[error("file `{file}`: {source}")]
    Ids {
        /// The file.
        file: Name,
        /// Why.
        source: AppendError<Infallible>,
    },
}

impl Job {
    /// Begins a new series: the files forget every id, and keep their records.
    ///
    /// Each file forgets at once or not at all; of several, one keeps a word until the others have forgotten, so that a
    /// series whose beginning was cut short is begun anew by [`resume_series`](Job::resume_series). Not promised: that this
    /// word survives the loss of power.
    pub fn begin_series(&self) -> Result<(), SeriesError> {
        let begun = begun();
        let (mut last, mut others): (Vec<_>, Vec<_>) =
            self.files_with_ids()?.into_iter().partition(|file| file.file.has(begun));
        // Who has none has nothing to forget, and is not rewritten.
        others.retain(|file| self.had_ids(&file.name));
        if last.is_empty() {
            last.extend(others.pop());
        }
        if let (Some(last), true) = (last.first(), !others.is_empty()) {
            last.file.note_done(begun).map_err(|source| SeriesError::Ids { file: last.name.clone(), source })?;
        }
        for file in others.into_iter().chain(last) {
            file.file.forget_ids().map_err(|source| SeriesError::Ids { file: file.name.clone(), source })?;
        }
        Ok(())
    }

    /// Goes on with the series that was begun last.
    pub fn resume_series(&self) -> Result<(), SeriesError> {
        let begun = begun();
        if self.files_with_ids()?.iter().any(|file| file.file.has(begun)) {
            return self.begin_series();
        }
        Ok(())
    }

    /// Whether what was committed under this id is in all files of the job.
    pub fn has_committed(&self, id: RecordId) -> bool {
        self.shared.rights.files.values().all(|file| file.file.has(id))
    }

    fn files_with_ids(&self) -> Result<Vec<Arc<GrantedFile>>, SeriesError> {
        let mut files: Vec<_> = self.shared.rights.files.values().cloned().collect();
        files.sort_by(|one, other| one.name.cmp(&other.name));
        match files.iter().find(|file| !file.has_ids) {
            Some(file) => Err(SeriesError::NoIds { file: file.name.clone() }),
            None => Ok(files),
        }
    }

    fn had_ids(&self, name: &Name) -> bool {
        let report = self.reports.iter().find(|(of, _)| of == name).and_then(|(_, report)| report.ids);
        report.is_some_and(|ids| ids.known > 0)
    }
}

/// The id under which a file notes that a new series is being begun, and that the others may have forgotten theirs. Those
/// of guests begin with another word.
fn begun() -> RecordId {
    RecordId::of(b"lockkeeper: a new series is being begun")
}
