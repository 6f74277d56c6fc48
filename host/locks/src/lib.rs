//! Who holds each lock of a host, and who is next.
//!
//! A [`LockTable`] keeps many locks for many owners. An owner is one process instance; the host names it, it never names
//! itself. The crate has no timers, threads, clocks or files: time comes in as `now`, and a wait is a future that
//! somebody else polls. It therefore runs the same under a test, a model checker and the host.
//!
//! # What is promised
//!
//! * A lock has at most one holder, and every hold has a new [`Fence`], greater than all before it.
//! * Waiters are served in the order of arrival, within the barging bound of the lock ([`LockConfig`]).
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
//! | `ids`, `kinds` | names and plain values; which primitives there are and how each behaves |
//! | `queue` | the one wait queue under every primitive, and the wake-ups it owes |
//! | `lock` | everything that is held: waiting, fairness, grants, ends; no threads in it |
//! | `rule`, `mutex`, `rlock`, `rwlock`, `semaphore` | what makes one kind of lock differ from another |
//! | `holds`, `fences` | who holds one lock; the numbers it may still issue |
//! | `gate` | whether a lock that others outside of the host use too is at home |
//! | `condition`, `event`, `barrier`, `latch`, `items`, `exit` | what is waited at and not held |
//! | `object` | whatever stands behind one id of the table |
//! | `clock` | the time of a call, as exact as it has to be |
//! | `owners` | which locks an owner holds or asked for |
//! | `deadlock` | whether a wait could ever end |
//! | `slots` | locks by id, found without a mutex |
//! | `table` | the mutexes around all this, and their order |
//! | `wait` | the future |
//! | `value`, `array` | numbers and bytes that owners share; nobody waits there |
//! | `error` | why a request was refused |
//! | `sync` | the mutex of the standard library, or the model checker's |

mod array;
mod barrier;
mod clock;
mod condition;
mod deadlock;
mod error;
mod event;
mod exit;
mod fences;
mod gate;
mod holds;
mod ids;
mod items;
mod kinds;
mod latch;
mod lock;
mod mutex;
mod object;
mod owners;
mod queue;
mod rlock;
mod rule;
mod rwlock;
mod semaphore;
mod slots;
mod sync;
mod table;
mod value;
mod wait;

pub use array::{Array, Scalars};
pub use clock::Now;
pub use error::{AcquireError, BrokenCause, ClaimError, ConditionError, LatchError, ReleaseError, TaskDoneError};
pub use gate::{Departure, Homecoming, Left};
pub use ids::{
    Acquired, Ask, Counters, EndCause, Fence, FenceBlock, GatePhase, GateView, Holder, Item, Limits, Link, LockId,
    LockState, LockView, Mode, OwnerId, Place, Previous, Waiter, Want,
};
pub use kinds::{AfterDeath, Delivery, Kind, LockConfig, Parties, QueueConfig, SemaphoreKind};
pub use table::{ConditionWait, EndedOwner, LockTable, Notification, Revoked, WaitId};
pub use value::{Scalar, ScalarKind, Value, ValueError};
pub use wait::{Acquisition, Given, Index, Passage, Stored, Turn, Wait};
