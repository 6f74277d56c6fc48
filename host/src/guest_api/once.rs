//! `lockkeeper:runtime/once`.

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::{self as locks, AcquireError};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::once::{Host, HostOnce, Turn};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a once stands for.
#[derive(Debug)]
pub struct OnceHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostOnce for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<OnceHandle>, Refusal> {
        self.open_lock(Kind::Once, &name, OnceHandle)
    }

    async fn begin(&mut self, once: Resource<OnceHandle>, timeout: Option<types::Duration>) -> Result<Turn, Refusal> {
        let once = &self.table.get(&once)?.0;
        let asked = Instant::now();
        let passage = match self.actor.scope.table().begin_once(self.owner(), once.id, asked) {
            Err(AcquireError::Deadlock { circle }) => return Err(self.actor.deadlock(&circle, asked)),
            answer => answer?,
        };
        Ok(match self.actor.pass(once, passage, asked, timeout).await? {
            locks::Turn::Yours(acquired) => Turn::Yours(self.actor.granted(once, acquired, asked).into()),
            locks::Turn::Done => Turn::Done,
        })
    }

    fn complete(&mut self, once: Resource<OnceHandle>, guard: types::Fence) -> Result<(), Refusal> {
        let once = &self.table.get(&once)?.0;
        self.check_guard(once, Some(guard))?;
        Ok(self.actor.scope.table().complete_once(self.owner(), once.id, Instant::now())?)
    }

    fn give_up(&mut self, once: Resource<OnceHandle>, guard: types::Fence) -> Result<(), Refusal> {
        let once = &self.table.get(&once)?.0;
        self.check_guard(once, Some(guard))?;
        Ok(self.actor.scope.table().release(self.owner(), once.id, Instant::now())?)
    }

    fn is_done(&mut self, once: Resource<OnceHandle>) -> wasmtime::Result<bool> {
        Ok(self.actor.scope.table().is_done(self.table.get(&once)?.0.id))
    }

    fn drop(&mut self, once: Resource<OnceHandle>) -> wasmtime::Result<()> {
        self.close_handle(once)
    }
}
