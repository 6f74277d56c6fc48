//! The Rust SDK of lockkeeper: locks, values, queues and append files that many guest processes share.
//!
//! A host runs the processes, keeps the locks and what is shared, and writes the files. A guest asks it through this
//! crate:
//!
//! ```no_run
//! use lockkeeper_guest::{AppendFile, Error, Mutex, process, row};
//!
//! fn main() -> Result<(), Error> {
//!     let me = process::current();
//!     let lock = Mutex::open("results")?;
//!     let file = AppendFile::open("results")?;
//!     for round in 0..20 {
//!         let guard = lock.lock()?;
//!         file.append_row(&guard, row![me.name, round, me.rank * round])?;
//!         guard.unlock()?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2`, grant it the lock and the file, and run it.
//!
//! # What there is
//!
//! The job makes each of them and gives it a name; a guest opens it by that name. A guest can make some itself, without a
//! name, for the processes that it starts: [`object`], [`process::Command`].
//!
//! | type | what it is |
//! |---|---|
//! | [`Mutex`] | a lock with one owner at a time |
//! | [`RLock`] | the same, and its owner may acquire it again |
//! | [`RwLock`] | a lock that many hold to read, or one to write |
//! | [`Semaphore`] | permits that processes take and give back |
//! | [`MultiLock`] | several locks, acquired all or none |
//! | [`Condition`] | waiting, with a lock let go, for what another process changes under it |
//! | [`Event`] | a flag to set, clear, and wait for |
//! | [`Barrier`] | a place where processes wait for each other, again and again |
//! | [`Latch`] | a number that is counted down to zero, once, and waited for |
//! | [`Once`] | something that one process does for all |
//! | [`Value`], [`Array`] | numbers and bytes that are changed in one step |
//! | [`Queue`] | items, first in, first out, that come again if their process dies |
//! | [`AppendFile`] | a file of whole records |
//!
//! What waits does so as long as it must. What waits for something to get has a form that does not wait (`try_`), where
//! contention is no error but `None`. Every wait has a form that gives up (`_timeout`): with [`Error::TimedOut`] (a
//! queue with [`Error::Full`] or [`Error::Empty`]) where it would have given something, with `false` where its end is
//! all that it gives.
//!
//! # What holds
//!
//! * A lock ends with the process that holds it, however the process ends, and the next owner is told so
//!   ([`MutexGuard::previous`]).
//! * A process that lost a lock can write no more to a file that is bound to it: the host looks at the [`Fence`] of the
//!   hold when it writes. Nor can it change a value or an array that is bound to it.
//! * A record is in the file whole, or not at all, and never mixed with another.
//! * Waiting for a lock that could never be granted is an error at once ([`Error::Deadlock`]), not a hang.
//! * A process that dies while it waits, for whatever it waits, keeps nobody else waiting.
//!
//! # What does not
//!
//! * That data behind a lock is consistent after [`Previous::Abandoned`]: look, then go on.
//! * That somebody sets the event, counts down the latch or releases the `signal` semaphore that a process waits for:
//!   nobody owns these.
//! * That a record survives the loss of power, unless it was appended as [`Durability::Synced`] or [`AppendFile::sync`]
//!   came after it. That a value or an item of a queue survives the job.
//! * That two hosts on one machine exclude each other.
//!
//! # Outside a host
//!
//! The crate also compiles for the machine that builds it, so that a guest's own logic can be tested there. A call that
//! needs the host panics there.

mod append;
mod array;
mod barrier;
// The generator writes the `unsafe` calls and more functions than this crate needs. It marks them so itself.
mod bindings;
mod condition;
mod error;
mod event;
mod hold;
mod latch;
mod multi_lock;
mod mutex;
pub mod object;
mod once;
pub mod process;
mod queue;
mod rlock;
mod rwlock;
mod semaphore;
mod value;

pub use append::{AppendFile, AppendOptions, Appended, Durability, Position};
pub use array::{Array, Element};
pub use barrier::Barrier;
pub use condition::{Condition, ConditionGuard};
pub use error::{BrokenCause, EndCause, Error, IoCode, LimitKind, Mode, Wait};
pub use event::Event;
pub use hold::{Abandonment, Acquired, Fence, Hold, Previous};
pub use latch::Latch;
pub use multi_lock::{MultiLock, MultiLockGuard, Part};
pub use mutex::{Mutex, MutexGuard};
pub use object::Object;
pub use once::{Once, Turn};
pub use process::{Identity, ProcessId};
pub use queue::{Item, Queue};
pub use rlock::{RLock, RLockGuard};
pub use rwlock::{Holding, RwLock, RwLockReadGuard, RwLockWriteGuard, Upgrade};
pub use semaphore::{Permits, Semaphore};
pub use value::{Exchanged, Number, Scalar, Value};

/// The guest in the project's README compiles as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
