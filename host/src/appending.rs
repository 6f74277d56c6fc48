//! One append, whoever makes it: written under the check of its claim, and waited for up to what it is to survive.

use std::sync::Arc;

use lockkeeper_journal::{
    AppendError, AppendOptions, Appended, Durability, Elsewhere, Encoded, RecordId, SyncError, Syncing,
};
use lockkeeper_locks::{ClaimError, Fence, LockTable, OwnerId};

use crate::grants::GrantedFile;

/// Who appends, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) owner: OwnerId,
    /// The hold under which it is written. None: whatever hold the owner has of the file's lock.
    pub(crate) claim: Option<Fence>,
    pub(crate) durability: Durability,
    pub(crate) id: Option<RecordId>,
}

/// What becomes of a record.
pub(crate) enum Written {
    /// All that was asked for has happened.
    Now(Appended),
    /// Something has to be waited for. Boxed, as is the wait: most appends need none, and the engine moves what it is to
    /// poll.
    Later(Box<Later>),
}

/// An append that has to be waited for.
pub(crate) struct Later {
    pub(crate) file: Arc<GrantedFile>,
    is_synced: bool,
    next: Next,
}

enum Next {
    /// The write itself, on a thread of the file, since the disk has proven slow or it is another host's turn to write.
    Write(Elsewhere<Result<Appended, AppendError<ClaimError>>>),
    /// The sync of what was written.
    Sync(Appended, Syncing),
}

/// Why an append that was waited for has failed.
#[derive(Debug)]
pub(crate) enum Failed {
    Write(AppendError<ClaimError>),
    Sync(SyncError),
}

/// Writes a record, or begins to.
pub(crate) fn write(
    table: &Arc<LockTable>,
    file: &Arc<GrantedFile>,
    record: Encoded,
    wanted: Wanted,
) -> Result<Written, AppendError<ClaimError>> {
    let Wanted { owner, claim, durability, id } = wanted;
    let options = AppendOptions { buffered: durability == Durability::Buffered, id, writer: owner.get() };
    let is_synced = durability == Durability::Synced;
    let Some(appended) = file.file.commit_now(&record, &options, || check_claim(table, owner, file, claim)) else {
        let (table, claimed) = (table.clone(), file.clone());
        let guard = move || check_claim(&table, owner, &claimed, claim);
        let next = Next::Write(file.file.commit_elsewhere(record, options, guard));
        return Ok(Written::Later(Box::new(Later { file: file.clone(), is_synced, next })));
    };
    let appended = appended?;
    if is_synced {
        let next = Next::Sync(appended, file.file.synced(&appended));
        return Ok(Written::Later(Box::new(Later { file: file.clone(), is_synced, next })));
    }
    Ok(Written::Now(appended))
}

impl Later {
    /// Waits for what an append still has to wait for; answers too whether it survives the loss of power. If this is dropped
    /// meanwhile, what was not begun is not written, and what was is settled.
    pub(crate) async fn finish(self) -> Result<(Appended, bool), Failed> {
        let Self { file, is_synced, next } = self;
        let (appended, syncing) = match next {
            Next::Write(writing) => {
                let appended = writing.await.map_err(Failed::Write)?;
                (appended, is_synced.then(|| file.file.synced(&appended)))
            }
            Next::Sync(appended, syncing) => (appended, Some(syncing)),
        };
        let synced = match syncing {
            None => false,
            Some(syncing) => {
                syncing.await.map_err(Failed::Sync)?;
                true
            }
        };
        Ok((appended, synced))
    }
}

/// What the host knows about a claim at the moment at which this is asked: the fence of the live hold, or none for a
/// file that is bound to no lock. Who makes no claim claims the hold that it has.
pub(crate) fn check_claim(
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
    // Whoever ends holds that last too long comes later than this if the whole host was stopped meanwhile.
    if let Some(max) = lock.max_hold
        && table.held(owner, lock.id).is_some_and(|hold| hold.since.elapsed() >= max)
    {
        return Err(ClaimError::Fenced { current: claim });
    }
    Ok(Some(claim.get()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use lockkeeper_journal::{AppendFile, FileSpec, Format};
    use lockkeeper_locks::{Ask, Kind, Limits, LockConfig};

    use super::*;
    use crate::name::Name;
    use crate::observe::Events;
    use crate::scope::{FenceStore, LockScope, OuterConfig, ProcessScope};

    /// The whole host may have been stopped, and then nobody has ended the hold yet.
    #[test]
    fn a_hold_that_has_lasted_too_long_writes_nothing_also_if_nobody_has_ended_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let fences = FenceStore::new(dir.path().join("fences"));
        let scope = ProcessScope::new(Limits::default(), fences, OuterConfig::default(), Events::new(None));
        let spec = FileSpec::new(dir.path().join("out"), Format::Lines, "a test");
        let file = Arc::new(AppendFile::open(&spec).expect("it is made").0);
        let name = |name: &str| Name::new(name).expect("it is one");
        let check = |lock: &str, max_hold: Duration| {
            let kind = Kind::Mutex;
            let lock = scope.create(name(lock), kind, &LockScope::Process, LockConfig::default(), Some(max_hold), 1);
            let lock = lock.expect("it is made");
            let (owner, since) = (OwnerId::new(1), Instant::now());
            // Past the thread that ends holds, which hears of none.
            let taken = scope.table().try_ask(owner, lock.id, Ask::Exclusive, since).expect("it is no error");
            assert!(taken.is_some(), "it is free");
            while since.elapsed() < Duration::from_millis(1) {
                std::thread::yield_now();
            }
            let (file, requires) = (file.clone(), Some(lock));
            let granted =
                GrantedFile { name: name("out"), file, requires, durability: Durability::Written, has_ids: false };
            check_claim(scope.table(), owner, &granted, None)
        };
        assert!(matches!(check("long", Duration::from_secs(3_600)), Ok(Some(_))));
        assert!(matches!(check("short", Duration::from_millis(1)), Err(ClaimError::Fenced { .. })));
    }
}
