//! The host's answers to guests: one file per WIT interface, each method thin: find the handle, check the right, call
//! the domain, convert once.

#![expect(unreachable_pub, reason = "the generated code exports the handles by these names")]

mod append;
mod barrier;
mod condition;
mod error;
mod event;
mod handles;
mod latch;
mod multi_lock;
mod mutex;
mod objects;
mod once;
mod process;
mod queue;
mod rlock;
mod rwlock;
mod semaphore;
mod value;
mod waiting;
mod wasi;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::Imports;
use crate::process::ProcessState;
pub use append::FileHandle;
pub use barrier::BarrierHandle;
pub use condition::ConditionHandle;
pub use error::Refusal;
pub use event::EventHandle;
pub use latch::LatchHandle;
pub use multi_lock::MultiLockHandle;
pub use mutex::MutexHandle;
pub use once::OnceHandle;
pub use process::ChildHandle;
pub use queue::QueueHandle;
pub use rlock::RlockHandle;
pub use rwlock::RwlockHandle;
pub use semaphore::SemaphoreHandle;
pub use value::{ArrayHandle, ValueHandle};
pub(crate) use wasi::{ADAPTER_EXIT, StatusOutOfRange};

/// Gives a linker everything a guest may import: WASI 0.2, whatever of it is granted, and this package.
pub(crate) fn add_to_linker(linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
    wasi::add_to_linker(linker)?;
    Imports::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}
