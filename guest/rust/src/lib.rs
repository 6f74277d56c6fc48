//! The Rust SDK of lockkeeper: locks and append files that many guest processes share.
//!
//! A host runs the processes, keeps the locks and writes the files. A guest asks it through this crate:
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
//! # What holds
//!
//! * A lock ends with the process that holds it, however the process ends, and the next owner is told so
//!   ([`MutexGuard::previous`]).
//! * A process that lost a lock can write no more to a file that is bound to it: the host looks at the [`Fence`] of the
//!   hold when it writes.
//! * A record is in the file whole, or not at all, and never mixed with another.
//! * Waiting that could never end is an error at once ([`Error::Deadlock`]), not a hang.
//!
//! # What does not
//!
//! * That data behind a lock is consistent after [`Previous::Abandoned`]: look, then go on.
//! * That a record survives the loss of power.
//! * That two hosts on one machine exclude each other.
//!
//! # Outside a host
//!
//! The crate also compiles for the machine that builds it, so that a guest's own logic can be tested there. A call that
//! needs the host panics there.

mod append;
// The generator writes the `unsafe` calls and more functions than this crate needs. It marks them so itself.
mod bindings;
mod error;
mod mutex;
pub mod process;

pub use append::{AppendFile, Appended, Hold, Position};
pub use error::{BrokenCause, EndCause, Error, IoCode, LimitKind, Mode, Wait};
pub use mutex::{Abandonment, Fence, Mutex, MutexGuard, Previous};
pub use process::{Identity, ProcessId};

/// The guest in the project's README compiles as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
