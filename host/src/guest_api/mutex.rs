//! `lockkeeper:runtime/mutex`.

use std::sync::Arc;

use lockkeeper_locks::{Ask, Fence};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::mutex::{Host, HostMutex};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a mutex stands for.
#[derive(Debug)]
pub struct MutexHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostMutex for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<MutexHandle>, Refusal> {
        self.open_lock(Kind::Mutex, &name, MutexHandle)
    }

    fn try_acquire(&mut self, mutex: Resource<MutexHandle>) -> Result<Option<types::Acquired>, Refusal> {
        let lock = &self.table.get(&mutex)?.0;
        Ok(self.actor.try_acquire(lock, Ask::Exclusive)?.map(Into::into))
    }

    async fn acquire(
        &mut self,
        mutex: Resource<MutexHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<types::Acquired, Refusal> {
        let lock = &self.table.get(&mutex)?.0;
        Ok(self.actor.acquire(lock, Ask::Exclusive, timeout).await?.into())
    }

    fn release(&mut self, mutex: Resource<MutexHandle>, guard: Option<types::Fence>) -> Result<(), Refusal> {
        self.actor.release(&self.table.get(&mutex)?.0, guard)
    }

    fn locked(&mut self, mutex: Resource<MutexHandle>) -> wasmtime::Result<bool> {
        Ok(self.actor.scope.table().locked(self.table.get(&mutex)?.0.id))
    }

    fn held(&mut self, mutex: Resource<MutexHandle>) -> wasmtime::Result<Option<types::Fence>> {
        let lock = self.table.get(&mutex)?.0.id;
        Ok(self.actor.scope.table().held_fence(self.owner(), lock).map(Fence::get))
    }

    fn mark_consistent(&mut self, mutex: Resource<MutexHandle>) -> Result<(), Refusal> {
        let lock = self.table.get(&mutex)?.0.id;
        Ok(self.actor.scope.table().mark_consistent(self.owner(), lock)?)
    }

    fn drop(&mut self, mutex: Resource<MutexHandle>) -> wasmtime::Result<()> {
        self.close_handle(mutex)
    }
}
