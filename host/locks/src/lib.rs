//! Who holds each lock of a host, and who is next.
//!
//! A [`LockTable`] keeps many locks for many owners. An owner is one process instance; the host names it, it never names
//! itself. The crate has no timers, threads, clocks or files: time comes in as `now`, and a wait is a future that
//! somebody else polls. It therefore runs the same under a test, a model checker and the host.
//!
//! # What is promised
//!
//! * A lock has at most one holder, and every hold has a new [`Fence`], greater than all before it.
//! * Waiters are served in the order of arrival, within the barging bound of the lock ([`MutexConfig::barge_bound`]).
//! * A waiter that is dropped, expires or dies leaves no trace, and a grant or a wake-up on its way to it passes on.
//! * A hold ends with its owner ([`LockTable::begin_end`]); the next owner is told how ([`Previous`]).
//! * Between the two halves of taking a hold away nobody is granted, so that the host can raise the floor of every file
//!   that is bound to the lock ([`LockTable::begin_revoke`], [`LockTable::finish_revoke`]).
//! * A request that would close a circle of owners that wait for each other fails at once, with the whole circle
//!   ([`AcquireError::Deadlock`]). What stood in no circle is never refused for one.
//! * After [`LockTable::shut_down`] nobody is granted.
//! * No waker runs, and no waker is cloned or dropped, while the table holds a mutex.
//!
//! # What is not promised
//!
//! * Nothing is durable. Fences stay unique over a restart only because the host reserves them before
//!   ([`FenceBlock`]).
//! * A [`Wait`] that is neither polled after its wake-up nor dropped keeps its lock from those behind it.
//! * A broken invariant of this crate panics, and everyone who meets the same lock afterwards panics too: a table that
//!   contradicts itself must not hand out holds.
//!
//! # The rooms
//!
//! | module | purpose |
//! |---|---|
//! | `ids` | names and plain values |
//! | `deadlock` | whether a wait could ever end |
//! | `error` | why a request was refused |
//! | `fences` | the numbers one lock may still issue |
//! | `queue` | the one wait queue under every primitive, and the wake-ups it owes |
//! | `mutex` | the state transitions of a mutex; no threads in it |
//! | `owners` | which locks an owner holds or asked for |
//! | `slots` | locks by id, found without a mutex |
//! | `table` | the mutexes around all this, and their order |
//! | `wait` | the future |
//! | `sync` | the mutex of the standard library, or the model checker's |

mod deadlock;
mod error;
mod fences;
mod ids;
mod mutex;
mod owners;
mod queue;
mod slots;
mod sync;
mod table;
mod wait;

pub use error::{AcquireError, ClaimError, ReleaseError};
pub use ids::{
    Acquired, Counters, EndCause, Fence, FenceBlock, Holder, Limits, Link, LockId, LockState, LockView, MutexConfig,
    OwnerId, Previous, Waiter,
};
pub use table::{EndedOwner, LockTable, Revoked};
pub use wait::{Acquisition, Wait};
