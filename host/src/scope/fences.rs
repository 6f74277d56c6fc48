//! Fences that never go back, also across restarts: blocks of them are reserved on disk before one is used.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockkeeper_journal::counter::{CounterError, reserve_block_from};
use lockkeeper_locks::{Fence, FenceBlock, LockTable};

use super::ScopedLock;
use crate::name::Name;

/// Fences reserved at once. Half a block lasts more than a second at the highest rate of acquisitions, long enough for
/// a slow disk to reserve the next; and there are 2^40 blocks.
const FENCE_BLOCK: u64 = 1 << 24;

/// How long after a failed reservation the next one is tried.
const RETRY: Duration = Duration::from_secs(1);

/// How many acquisitions lie between two looks at what is left of a block.
const LOOK_EVERY: u64 = 1 << 12;

/// Whether it is time to look how many fences are left.
pub(super) fn is_time_to_look(fence: Fence) -> bool {
    fence.get().is_multiple_of(LOOK_EVERY)
}

/// The directory that remembers how far each lock name's fences have been reserved.
#[derive(Debug)]
pub(crate) struct FenceStore {
    dir: PathBuf,
    block: u64,
}

/// Whether a reservation for a lock is under way.
#[derive(Debug, Default)]
pub(crate) struct TopUp(AtomicBool);

/// Why no more fences can be given out.
#[derive(Debug, thiserror::Error)]
enum TopUpError {
    #[error(transparent)]
    Counter(#[from] CounterError),
    #[error("they cannot be noted beside a file that is bound to the lock: {0}")]
    File(#[from] io::Error),
}

impl FenceStore {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, block: FENCE_BLOCK }
    }

    /// The next block, with no fence below `at_least`: what is bound to the lock remembers fences too, should this
    /// directory have been lost.
    pub(crate) fn reserve(&self, name: &Name, at_least: u64) -> Result<FenceBlock, CounterError> {
        let range = reserve_block_from(&self.dir, name.as_str(), self.block, at_least)?;
        Ok(FenceBlock { start: range.start, end: range.end })
    }

    /// Reserves a block, and has the files that are bound to the lock remember it too.
    fn reserve_for(&self, lock: &ScopedLock) -> Result<FenceBlock, TopUpError> {
        let block = self.reserve(&lock.name, 0)?;
        lock.reserve_fences(block.end)?;
        Ok(block)
    }

    pub(crate) fn is_low(&self, left: u64) -> bool {
        left < self.block / 2
    }

    /// A sync may take long, so it happens on a thread of its own; there is one per lock at a time. If it fails, the
    /// next acquisition tries again, and once the fences are used up acquiring is `unavailable`.
    pub(crate) fn top_up(self: &Arc<Self>, table: &Arc<LockTable>, lock: &Arc<ScopedLock>) {
        if lock.top_up.0.swap(true, Ordering::AcqRel) {
            return;
        }
        let (store, table, reserved_for) = (self.clone(), table.clone(), lock.clone());
        let started = std::thread::Builder::new().name("lockkeeper-fences".into()).spawn(move || {
            match store.reserve_for(&reserved_for) {
                Ok(block) => table.add_fences(reserved_for.id, block),
                Err(error) => {
                    tracing::warn!(lock = %reserved_for.name, %error, "no fences could be reserved");
                    // On this thread nobody waits, and until it ends nobody starts another.
                    std::thread::sleep(RETRY);
                }
            }
            reserved_for.top_up.0.store(false, Ordering::Release);
        });
        if let Err(error) = started {
            tracing::warn!(lock = %lock.name, %error, "no thread for reserving fences");
            lock.top_up.0.store(false, Ordering::Release);
        }
    }
}
