//! What a process makes at run time, and hands on to its children.

use std::fmt;

use crate::array::Element;
use crate::bindings::lockkeeper::runtime::objects as host;
use crate::error::Error;
use crate::value::Scalar;

/// Something that this process has made: a lock, a value, a queue or another of what a job can have, without a name.
///
/// Its [id](Object::id) is taken wherever a name is, by this process and by those that were given the object when they were
/// started ([`Command::give`](crate::process::Command::give)); for all others it is [`Error::Denied`]. So an id can be sent and
/// stored by whoever likes.
///
/// Dropping this gives the object up: this process can open it no more. What is open stays so, and a child keeps what it was
/// given. The object is there until nobody has it any more.
///
/// ```no_run
/// use lockkeeper_guest::object::{self, Room};
/// use lockkeeper_guest::process::Command;
/// use lockkeeper_guest::{Error, Queue};
///
/// # fn main() -> Result<(), Error> {
/// let results = object::queue(Room { items: 100, ..Room::default() })?;
/// let mut child = Command::own().arg(results.id()).give(&results).spawn()?;
/// println!("{:?}", Queue::open(results.id())?.get()?.bytes);
/// child.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "an object that is dropped is given up"]
pub struct Object {
    id: String,
}

impl Object {
    /// Its id: `#` and a number.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn make(kind: host::Kind<'_>) -> Result<Self, Error> {
        Ok(Self { id: host::make(kind).map_err(Error::from_wit)? })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // The host may have ended this process's rights before.
        drop(host::forget(&self.id));
    }
}

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Items at most; 1,000 by default.
    pub items: u32,
    /// Bytes at most, of all of them together; 1 MiB by default. They count at once for what the objects of the job may have.
    pub bytes: u64,
    /// How many items one process may have unfinished, if what it has not finished comes again when it dies. None by
    /// default: whoever got an item has it.
    pub unfinished: Option<u32>,
}

impl Default for Room {
    fn default() -> Self {
        Self { items: 1_000, bytes: 1 << 20, unfinished: None }
    }
}

macro_rules! makes {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) => $kind:expr;)+) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// [`Error::Limit`] when the objects of the job are as many, or as large, as they may be;
            /// [`Error::InvalidArgument`] for numbers that make no sense; [`Error::Cancelled`].
            pub fn $name($($argument: $type),*) -> Result<Object, Error> {
                Object::make($kind)
            }
        )+
    };
}

makes! {
    /// Makes a [`Mutex`](crate::Mutex).
    mutex() => host::Kind::Mutex;
    /// Makes an [`RLock`](crate::RLock).
    rlock() => host::Kind::Rlock;
    /// Makes a [`RwLock`](crate::RwLock).
    rwlock() => host::Kind::Rwlock;
    /// Makes a [`Semaphore`](crate::Semaphore) of so many permits, which come back when their owner ends.
    owned_semaphore(permits: u32) => host::Kind::OwnedSemaphore(permits);
    /// Makes a [`Semaphore`](crate::Semaphore) whose permits anyone may add, up to the maximum if there is one.
    signal_semaphore(permits: u32, maximum: Option<u32>) => host::Kind::SignalSemaphore(host::Signal { permits, maximum });
    /// Makes a [`Once`](crate::Once).
    once() => host::Kind::Once;
    /// Makes a [`Condition`](crate::Condition) of the mutex or rlock of this name or id; [`Error::Denied`] if there is none.
    condition(lock: &str) => host::Kind::Condition(lock);
    /// Makes an [`Event`](crate::Event).
    event() => host::Kind::Event;
    /// Makes a [`Barrier`](crate::Barrier) of so many parties.
    barrier(parties: u32) => host::Kind::Barrier(parties);
    /// Makes a [`Latch`](crate::Latch) at this number.
    latch(count: u32) => host::Kind::Latch(count);
    /// Makes a [`Queue`](crate::Queue).
    queue(room: Room) => host::Kind::Queue(host::Room { items: room.items, bytes: room.bytes, unfinished: room.unfinished });
    /// Makes a [`Value`](crate::Value) of bytes, of which there may be so many.
    bytes(initial: &[u8], max: u32) => host::Kind::Bytes(host::SomeBytes { initial, max });
}

/// A type of number that a [`Value`](crate::Value) made at run time can have.
pub trait Counted: Scalar + Element {}

impl Counted for i64 {}
impl Counted for u64 {}
impl Counted for f64 {}

/// Makes a [`Value`](crate::Value) that is a number. ([`bytes`] makes one of bytes.)
///
/// # Errors
///
/// [`Error::Limit`] when the objects of the job are as many as they may be; [`Error::Cancelled`].
pub fn value<T: Counted>(initial: T) -> Result<Object, Error> {
    Object::make(host::Kind::Value(&crate::value::sealed::Scalar::to_wit(initial)))
}

/// Makes an [`Array`](crate::Array) of so many zeros.
///
/// # Errors
///
/// [`Error::Limit`] when the objects of the job are as many, or as large, as they may be; [`Error::Cancelled`].
pub fn array<T: Element>(length: u32) -> Result<Object, Error> {
    Object::make(host::Kind::Array(host::Zeros { element: T::ELEMENT, length }))
}
