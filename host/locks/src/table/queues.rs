//! Queues of items.

use std::sync::Arc;
use std::time::Instant;

use super::signals::{Met, no_such};
use super::{Counts, LockTable};
use crate::error::{AcquireError, TaskDoneError};
use crate::ids::{Item, LockId, OwnerId, Want};
use crate::items::{Items, NotDone, Passage as Entry};
use crate::object::{Crowd, Object, crowd};
use crate::queue::{Expelled, Wakes};
use crate::wait::{Passage, Stored};

impl LockTable {
    /// Stores an item, or waits for room.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`]; [`AcquireError::QueueExceeded`] for an item that never fits; [`AcquireError::Cancelled`],
    /// [`AcquireError::WaitersExceeded`], [`AcquireError::HoldsExceeded`].
    pub fn put(
        self: &Arc<Self>,
        owner: OwnerId,
        queue: LockId,
        bytes: Arc<[u8]>,
        now: Instant,
    ) -> Result<Passage<Stored>, AcquireError> {
        let mut offer = Some(bytes);
        let passage = self.come(owner, queue, Counts::Limited, |object, place, max, wakes| {
            let items = items_of(object);
            match items.try_put(&mut offer, wakes) {
                Entry::Through(number) => (Met::Ready(Stored(number)), Crowd::default()),
                Entry::Closed => (Met::Refused(AcquireError::Closed), Crowd::default()),
                Entry::TooMuch => (Met::Refused(AcquireError::QueueExceeded { queue }), Crowd::default()),
                Entry::Busy if items.waiting(Want::Put) >= max => self.queue_full(queue),
                Entry::Busy => (Met::Queued(items.wait(owner, place, Want::Put, now)), Crowd::default()),
            }
        })?;
        Ok(match passage {
            Passage::Wait(wait) => Passage::Wait(wait.offering(offer)),
            ready @ Passage::Ready(_) => ready,
        })
    }

    /// Takes the first item, or waits for one.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`] when nothing is left in a closed queue; [`AcquireError::QueueExceeded`] when the owner has too
    /// many items unfinished; as [`LockTable::put`].
    pub fn get(self: &Arc<Self>, owner: OwnerId, queue: LockId, now: Instant) -> Result<Passage<Item>, AcquireError> {
        self.come(owner, queue, Counts::Limited, |object, place, max, wakes| {
            let items = items_of(object);
            match items.try_get(owner, wakes) {
                Entry::Through(item) => {
                    let swept = items.sweep();
                    (Met::Ready(item), crowd(swept))
                }
                Entry::Closed => (Met::Refused(AcquireError::Closed), Crowd::default()),
                Entry::TooMuch => (Met::Refused(AcquireError::QueueExceeded { queue }), Crowd::default()),
                Entry::Busy if items.waiting(Want::Get) >= max => self.queue_full(queue),
                Entry::Busy => (Met::Queued(items.wait(owner, place, Want::Get, now)), Crowd::default()),
            }
        })
    }

    /// An item that the owner got is finished.
    ///
    /// # Errors
    ///
    /// [`TaskDoneError`].
    pub fn task_done(&self, owner: OwnerId, queue: LockId, number: u64) -> Result<(), TaskDoneError> {
        self.with_owner(owner, queue, |record, object, wakes| {
            let items = items_of(object);
            let done = items.task_done(owner, number, wakes);
            let swept = items.sweep();
            if !items.is_out_with(owner) && record.mark(queue).is_some_and(|mark| mark.lost.is_none()) {
                record.unmark(queue);
            }
            match done {
                Ok(joiners) => (Ok(()), [joiners, swept, Expelled::default()]),
                Err(NotDone::NotHeld) => (Err(TaskDoneError::NotHeld { number }), Crowd::default()),
                Err(NotDone::OverRelease) => (Err(TaskDoneError::OverRelease), Crowd::default()),
            }
        })
    }

    /// Waits until every item that was put is finished.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Cancelled`], [`AcquireError::WaitersExceeded`], [`AcquireError::HoldsExceeded`].
    pub fn join_queue(
        self: &Arc<Self>,
        owner: OwnerId,
        queue: LockId,
        now: Instant,
    ) -> Result<Passage<()>, AcquireError> {
        self.come(owner, queue, Counts::Limited, |object, place, max, _| {
            let items = items_of(object);
            if items.is_finished() {
                return (Met::Ready(()), Crowd::default());
            }
            if items.waiting(Want::Join) >= max {
                return self.queue_full(queue);
            }
            (Met::Queued(items.wait(owner, place, Want::Join, now)), Crowd::default())
        })
    }

    /// Closes a queue: nothing more can be put.
    pub fn close_queue(&self, queue: LockId) {
        self.with_items(queue, |items, _| {
            let [putters, getters] = items.close_put();
            ((), [putters, getters, Expelled::default()])
        });
    }

    /// How many items are in a queue, how many were put and are not finished, and whether it is closed.
    #[must_use]
    pub fn queue(&self, queue: LockId) -> (u32, u64, bool) {
        self.with_items(queue, |items, _| {
            let length = u32::try_from(items.len()).unwrap_or(u32::MAX);
            ((length, items.unfinished(), items.is_closed()), Crowd::default())
        })
    }

    fn with_items<T>(&self, queue: LockId, work: impl FnOnce(&mut Items, &mut Wakes) -> (T, Crowd)) -> T {
        self.transition(queue, |object, wakes| work(items_of(object), wakes))
    }
}

fn items_of(object: &mut Object) -> &mut Items {
    let Object::Items(items) = object else { no_such("queue") };
    items
}
