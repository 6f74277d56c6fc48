//! `lockkeeper:runtime/rlock`.

use std::sync::Arc;

use lockkeeper_locks::{Ask, Fence};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::rlock::{Host, HostRlock};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of an rlock stands for.
#[derive(Debug)]
pub struct RlockHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostRlock for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<RlockHandle>, Refusal> {
        self.open_lock(Kind::Rlock, &name, RlockHandle)
    }

    fn try_acquire(&mut self, rlock: Resource<RlockHandle>) -> Result<Option<types::Acquired>, Refusal> {
        let lock = &self.table.get(&rlock)?.0;
        Ok(self.actor.try_acquire(lock, Ask::Exclusive)?.map(Into::into))
    }

    async fn acquire(
        &mut self,
        rlock: Resource<RlockHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<types::Acquired, Refusal> {
        let lock = &self.table.get(&rlock)?.0;
        Ok(self.actor.acquire(lock, Ask::Exclusive, timeout).await?.into())
    }

    fn release(&mut self, rlock: Resource<RlockHandle>, guard: Option<types::Fence>) -> Result<(), Refusal> {
        self.actor.release(&self.table.get(&rlock)?.0, guard)
    }

    fn locked(&mut self, rlock: Resource<RlockHandle>) -> wasmtime::Result<bool> {
        Ok(self.actor.scope.table().locked(self.table.get(&rlock)?.0.id))
    }

    fn held(&mut self, rlock: Resource<RlockHandle>) -> wasmtime::Result<Option<types::Fence>> {
        let lock = self.table.get(&rlock)?.0.id;
        Ok(self.actor.scope.table().held_fence(self.owner(), lock).map(Fence::get))
    }

    fn depth(&mut self, rlock: Resource<RlockHandle>) -> wasmtime::Result<u32> {
        let lock = self.table.get(&rlock)?.0.id;
        Ok(self.actor.scope.table().held(self.owner(), lock).map_or(0, |hold| hold.count))
    }

    fn mark_consistent(&mut self, rlock: Resource<RlockHandle>) -> Result<(), Refusal> {
        let lock = self.table.get(&rlock)?.0.id;
        Ok(self.actor.scope.table().mark_consistent(self.owner(), lock)?)
    }

    fn drop(&mut self, rlock: Resource<RlockHandle>) -> wasmtime::Result<()> {
        self.close_handle(rlock)
    }
}
