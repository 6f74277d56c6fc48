//! Items that processes put at one end and get at the other.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::queue as host;
use crate::error::Error;
use crate::hold::{in_time, nanoseconds};

/// A handle of one queue of the job.
///
/// First in, first out. An item whose put returned is stored in the host. The queue never holds more items or bytes
/// than the job allows.
///
/// With acknowledgement (the job's choice), an item belongs to the process that got it until [`Item::done`]. If that
/// process ends first, however it ends, the item goes back to the head of the queue and comes again: it is worked on at
/// least once. Without, it is gone with the process that got it.
///
/// ```no_run
/// use lockkeeper_guest::{Error, Queue, process};
///
/// # fn main() -> Result<(), Error> {
/// let work = Queue::open("work")?;
/// if process::current().rank == 0 {
///     for part in 0..100 {
///         work.put(format!("part {part}"))?;
///     }
///     work.close();
/// }
/// loop {
///     let item = match work.get() {
///         Ok(item) => item,
///         Err(Error::Closed) => break,
///         Err(error) => return Err(error),
///     };
///     println!("{}", String::from_utf8_lossy(&item.bytes));
///     item.done()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queue {
    handle: host::Queue,
}

impl Queue {
    /// Opens the queue that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such queue for this process; [`Error::Limit`] when
    /// too many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Queue::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Stores an item, and waits while the queue is full, for ever if need be. Answers the item's number.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]; [`Error::Limit`] at once for an item larger than the queue may hold, of waiters, or of holds;
    /// [`Error::Cancelled`].
    pub fn put(&self, bytes: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.handle.put(bytes.as_ref(), None).map_err(Error::from_wit)
    }

    /// Stores an item if that needs no waiting. Answers whether it did: a full queue is no error.
    ///
    /// # Errors
    ///
    /// As [`Queue::put`], except for what only waiting can meet.
    pub fn try_put(&self, bytes: impl AsRef<[u8]>) -> Result<bool, Error> {
        let stored = self.handle.try_put(bytes.as_ref()).map_err(Error::from_wit)?;
        Ok(stored.is_some())
    }

    /// Stores an item, and waits while the queue is full, but no longer than `timeout`. Answers the item's number.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] when the time ran out, and as [`Queue::put`].
    pub fn put_timeout(&self, bytes: impl AsRef<[u8]>, timeout: Duration) -> Result<u64, Error> {
        self.handle.put(bytes.as_ref(), nanoseconds(timeout)).map_err(Error::from_wit)
    }

    /// Takes the first item, and waits while there is none, for ever if need be.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the queue is closed and nothing is left in it; [`Error::Limit`] of waiters, of holds, or,
    /// with acknowledgement, when this process has too many items unfinished; [`Error::Cancelled`].
    pub fn get(&self) -> Result<Item<'_>, Error> {
        self.get_ns(None)
    }

    /// Takes the first item if there is one; `None` if not. An empty queue is no error.
    ///
    /// # Errors
    ///
    /// As [`Queue::get`], except for what only waiting can meet.
    pub fn try_get(&self) -> Result<Option<Item<'_>>, Error> {
        let item = self.handle.try_get().map_err(Error::from_wit)?;
        Ok(item.map(|item| self.item(item)))
    }

    /// Takes the first item, and waits while there is none, but no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] when the time ran out, and as [`Queue::get`].
    pub fn get_timeout(&self, timeout: Duration) -> Result<Item<'_>, Error> {
        self.get_ns(nanoseconds(timeout))
    }

    /// The item of this number, which this process got, is finished: for an [`Item`] that is not at hand any more.
    ///
    /// # Errors
    ///
    /// As [`Item::done`].
    pub fn task_done(&self, number: u64) -> Result<(), Error> {
        self.handle.task_done(number).map_err(Error::from_wit)
    }

    /// Waits until every item that was put is finished, for ever if need be.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`]; [`Error::Limit`] of waiters or of holds.
    pub fn join(&self) -> Result<(), Error> {
        self.handle.join(None).map_err(Error::from_wit)
    }

    /// Waits until every item that was put is finished, but no longer than `timeout`. Answers whether that came in
    /// time.
    ///
    /// # Errors
    ///
    /// As [`Queue::join`]; that the time ran out is none.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        in_time(self.handle.join(nanoseconds(timeout)))
    }

    /// Nothing more can be put. What is in the queue can still be got. Closing twice is the same as once.
    pub fn close(&self) {
        self.handle.close();
    }

    /// How many items are in the queue at this moment; those that were got are not.
    pub fn len(&self) -> u32 {
        self.handle.length()
    }

    /// Whether there is no item in the queue at this moment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items were put and are not finished.
    pub fn unfinished(&self) -> u64 {
        self.handle.unfinished()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    fn get_ns(&self, timeout_ns: Option<u64>) -> Result<Item<'_>, Error> {
        let item = self.handle.get(timeout_ns).map_err(Error::from_wit)?;
        Ok(self.item(item))
    }

    fn item(&self, item: host::Item) -> Item<'_> {
        Item { queue: self, number: item.number, returned: item.returned, bytes: item.bytes }
    }
}

/// An item that this process got.
///
/// Dropping it says nothing: with acknowledgement it stays with this process, unfinished, until [`Queue::task_done`] or
/// the end of the process.
#[derive(Debug)]
#[must_use = "an item that is dropped stays unfinished: call `done`"]
pub struct Item<'a> {
    queue: &'a Queue,
    /// Its number, in the order of put.
    pub number: u64,
    /// How often it was given to a process that did not finish it.
    pub returned: u32,
    /// What was put.
    pub bytes: Vec<u8>,
}

impl Item<'_> {
    /// It is finished.
    ///
    /// # Errors
    ///
    /// With acknowledgement [`Error::NotHeld`] when this process does not have it any more; without,
    /// [`Error::OverRelease`] when more items would be finished than were put.
    pub fn done(self) -> Result<(), Error> {
        self.queue.task_done(self.number)
    }
}
