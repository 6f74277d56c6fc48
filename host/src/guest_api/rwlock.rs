//! `lockkeeper:runtime/rwlock`.

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::Ask;
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::rwlock::{Holding, Host, HostRwlock};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a reader-writer lock stands for.
#[derive(Debug)]
pub struct RwlockHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostRwlock for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<RwlockHandle>, Refusal> {
        self.open_lock(Kind::Rwlock, &name, RwlockHandle)
    }

    fn try_read(&mut self, rwlock: Resource<RwlockHandle>) -> Result<Option<types::Acquired>, Refusal> {
        let lock = &self.table.get(&rwlock)?.0;
        Ok(self.actor.try_acquire(lock, Ask::Shared)?.map(Into::into))
    }

    async fn read(
        &mut self,
        rwlock: Resource<RwlockHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<types::Acquired, Refusal> {
        let lock = &self.table.get(&rwlock)?.0;
        Ok(self.actor.acquire(lock, Ask::Shared, timeout).await?.into())
    }

    fn try_write(&mut self, rwlock: Resource<RwlockHandle>) -> Result<Option<types::Acquired>, Refusal> {
        let lock = &self.table.get(&rwlock)?.0;
        Ok(self.actor.try_acquire(lock, Ask::Exclusive)?.map(Into::into))
    }

    async fn write(
        &mut self,
        rwlock: Resource<RwlockHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<types::Acquired, Refusal> {
        let lock = &self.table.get(&rwlock)?.0;
        Ok(self.actor.acquire(lock, Ask::Exclusive, timeout).await?.into())
    }

    fn try_upgrade(&mut self, rwlock: Resource<RwlockHandle>) -> Result<Option<types::Acquired>, Refusal> {
        let lock = &self.table.get(&rwlock)?.0;
        Ok(self.actor.try_acquire(lock, Ask::Upgrade)?.map(Into::into))
    }

    async fn upgrade(
        &mut self,
        rwlock: Resource<RwlockHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<types::Acquired, Refusal> {
        let lock = &self.table.get(&rwlock)?.0;
        Ok(self.actor.acquire(lock, Ask::Upgrade, timeout).await?.into())
    }

    fn downgrade(&mut self, rwlock: Resource<RwlockHandle>) -> Result<types::Acquired, Refusal> {
        let lock = self.table.get(&rwlock)?.0.id;
        Ok(self.actor.scope.table().downgrade(self.owner(), lock, Instant::now())?.into())
    }

    fn release(&mut self, rwlock: Resource<RwlockHandle>, guard: Option<types::Fence>) -> Result<(), Refusal> {
        self.actor.release(&self.table.get(&rwlock)?.0, guard)
    }

    fn locked(&mut self, rwlock: Resource<RwlockHandle>) -> wasmtime::Result<bool> {
        Ok(self.actor.scope.table().locked(self.table.get(&rwlock)?.0.id))
    }

    fn held(&mut self, rwlock: Resource<RwlockHandle>) -> wasmtime::Result<Option<Holding>> {
        let lock = self.table.get(&rwlock)?.0.id;
        let held = self.actor.scope.table().held(self.owner(), lock);
        Ok(held.map(|hold| Holding { fence: hold.fence.get(), how: hold.mode.into(), depth: hold.count }))
    }

    fn mark_consistent(&mut self, rwlock: Resource<RwlockHandle>) -> Result<(), Refusal> {
        let lock = self.table.get(&rwlock)?.0.id;
        Ok(self.actor.scope.table().mark_consistent(self.owner(), lock)?)
    }

    fn drop(&mut self, rwlock: Resource<RwlockHandle>) -> wasmtime::Result<()> {
        self.close_handle(rwlock)
    }
}
