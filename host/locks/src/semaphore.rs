//! A semaphore: permits that are there, and permits that are not.
//!
//! The count of the permits that are there is the truth for both kinds. With owned permits the holds say who has the
//! others; with signal permits nobody does.

use crate::kinds::SemaphoreKind;

#[derive(Clone, Copy)]
pub(crate) struct Permits {
    pub(crate) free: u32,
    pub(crate) kind: SemaphoreKind,
}

impl Permits {
    pub(crate) fn new(kind: SemaphoreKind) -> Self {
        let (SemaphoreKind::Owned { permits } | SemaphoreKind::Signal { permits, .. }) = kind;
        Self { free: permits, kind }
    }

    pub(crate) fn is_owned(&self) -> bool {
        matches!(self.kind, SemaphoreKind::Owned { .. })
    }

    /// How many there can ever be at once.
    pub(crate) fn maximum(&self) -> Option<u32> {
        match self.kind {
            SemaphoreKind::Owned { permits } => Some(permits),
            SemaphoreKind::Signal { maximum, .. } => maximum,
        }
    }

    /// # Panics
    ///
    /// If there are fewer.
    pub(crate) fn take(&mut self, count: u32) {
        self.free = self.free.checked_sub(count).expect("permits are granted only if they are there");
    }

    /// Gives permits back that were taken.
    ///
    /// # Panics
    ///
    /// If there would be more than there are.
    pub(crate) fn put_back(&mut self, count: u32) {
        assert!(self.release(count), "no more permits come back than were taken");
    }

    /// Gives permits back that never reached whom they were granted to. Meanwhile anyone may have filled a signal up to its
    /// maximum: what does not fit any more is gone, as if it had been taken.
    pub(crate) fn withdraw(&mut self, count: u32) {
        match self.kind {
            SemaphoreKind::Owned { .. } => self.put_back(count),
            SemaphoreKind::Signal { maximum, .. } => {
                self.free = self.free.saturating_add(count).min(maximum.unwrap_or(u32::MAX));
            }
        }
    }

    /// Adds permits; says whether there was room for all, and adds none otherwise.
    pub(crate) fn release(&mut self, count: u32) -> bool {
        let Some(free) = self.free.checked_add(count).filter(|free| *free <= self.maximum().unwrap_or(u32::MAX)) else {
            return false;
        };
        self.free = free;
        true
    }
}
