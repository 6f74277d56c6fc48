//! WASI, as far as a process was granted it.
//!
//! All of WASI 0.2 is linked for every process, so that one program runs with any set of grants. What was not granted is
//! refused when it is used, with WASI's own error where it has one (`access-denied` of sockets, `no-entry` without a
//! directory) and with a trap that names the grant where it has none. The engine's implementation does the work; here is only
//! what comes before it.

mod clocks;
mod exit;
mod files;
mod random;

use wasmtime::component::Linker;

pub(crate) use exit::{ADAPTER_EXIT, StatusOutOfRange};

use crate::process::ProcessState;

/// The error with which a process ends that uses what WASI cannot refuse.
#[derive(Debug, thiserror::Error)]
#[error("this process is granted no {what}")]
struct NotGranted {
    what: &'static str,
}

pub(super) fn add_to_linker(linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    random::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    files::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    exit::add_to_linker(linker)
}
