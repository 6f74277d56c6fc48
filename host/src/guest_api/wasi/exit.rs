//! How a core module of WASI 0.1 ends with a status.
//!
//! The adapter would make `proc_exit(3)` a call of `wasi:cli/exit.exit`, which knows only well and not, so
//! `program/proc_exit.rs` lets modules call this instead. WASI 0.2 has `exit-with-code` too, which takes a byte: 256 would
//! be a good end.

use wasmtime::component::Linker;
use wasmtime_wasi::I32Exit;

use crate::process::ProcessState;

/// The interface and its one function, `func(status: u32)`.
pub(crate) const ADAPTER_EXIT: (&str, &str) = ("lockkeeper:adapter/exit@0.1.0", "proc-exit");

/// WASI 0.1 leaves the statuses above to those who run processes.
const STATUS_MAX: u32 = 125;

/// The error with which a module ends that exits with a status that WASI 0.1 does not have.
#[derive(Debug, thiserror::Error)]
#[error("exit with invalid exit status outside of [0..126)")]
pub(crate) struct StatusOutOfRange {
    pub(crate) status: i32,
}

pub(super) fn add_to_linker(linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
    let (interface, function) = ADAPTER_EXIT;
    let mut exit = linker.instance(interface)?;
    exit.func_wrap(function, |_, (status,): (u32,)| -> wasmtime::Result<()> {
        let signed = status.cast_signed();
        Err(if status <= STATUS_MAX { I32Exit(signed).into() } else { StatusOutOfRange { status: signed }.into() })
    })?;
    // For the runner of Python programs, whose statuses are bytes.
    exit.func_wrap("exit-with-code", |_, (status,): (u8,)| -> wasmtime::Result<()> {
        Err(I32Exit(status.into()).into())
    })
}
