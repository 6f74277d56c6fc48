//! The host's answers to guests: one file per WIT interface, each method thin: find the handle, check the right, call
//! the domain, convert once.

#![expect(unreachable_pub, reason = "the generated code exports the handles by these names")]

mod append;
mod error;
mod handles;
mod mutex;
mod process;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::Imports;
use crate::process::ProcessState;
pub use append::FileHandle;
pub use error::Refusal;
pub use mutex::MutexHandle;

/// Gives a linker everything a guest may import: WASI 0.2 and this package.
pub(crate) fn add_to_linker(linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    Imports::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}
