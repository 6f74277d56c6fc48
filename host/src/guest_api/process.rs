//! `lockkeeper:runtime/process`.

use crate::bindings::lockkeeper::runtime::process::{Host, Identity};
use crate::process::ProcessState;

impl Host for ProcessState {
    fn current(&mut self) -> wasmtime::Result<Identity> {
        Ok(Identity {
            id: self.identity.id.get(),
            rank: self.identity.rank,
            count: self.identity.count,
            name: self.identity.name.to_string(),
        })
    }
}
