//! One task of a shard as its wakers see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Wake;

use super::inbox::{Inbox, Place, Work};
use super::ready::Level;

/// What can be woken, from any thread. The future itself stays with the shard.
///
/// | `state` | meaning | a wake makes it | the shard makes it |
/// |---|---|---|---|
/// | 0 | waits | `WOKEN`, and queues it | |
/// | `WOKEN` | is in a queue, once | the same | `POLLED`, when its turn has come |
/// | `POLLED` | is being polled | `POLLED` and `WOKEN` | 0 if it is pending, `ENDED` if it is not |
/// | `POLLED` and `WOKEN` | is being polled, and was woken meanwhile | the same | `WOKEN` and queued if it is pending, `ENDED` if it is not |
/// | `ENDED`, with `WOKEN` or without | has ended; its place may be another's | `ENDED` and `WOKEN` | |
///
/// A wake always writes, also where it changes nothing: so whoever polls sees what was done before the wake.
pub(super) struct Task {
    state: AtomicU8,
    place: Place,
    inbox: Arc<Inbox>,
}

const WOKEN: u8 = 1;
const POLLED: u8 = 2;
const ENDED: u8 = 4;

/// Whether a task that is pending has to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Waits,
    Woken,
}

impl Task {
    /// A task that is about to be polled for the first time.
    pub(super) fn starting(place: Place, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WOKEN), place, inbox })
    }

    pub(super) fn begin_poll(&self) {
        let before = self.state.swap(POLLED, Ordering::AcqRel);
        assert_eq!(before, WOKEN, "a task is polled when it was woken, and by one shard");
    }

    pub(super) fn pending(&self) -> Pending {
        let before = self.state.fetch_and(!POLLED, Ordering::AcqRel);
        assert_eq!(before & !WOKEN, POLLED, "a task is pending after a poll");
        if before & WOKEN == 0 { Pending::Waits } else { Pending::Woken }
    }

    pub(super) fn ended(&self) {
        self.state.store(ENDED, Ordering::Release);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.inbox.push(Level::High, Work::Poll(self.place));
        }
    }
}
