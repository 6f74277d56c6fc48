//! `lockkeeper:runtime/semaphore`.

use std::sync::Arc;

use lockkeeper_locks::Ask;
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::semaphore::{Host, HostSemaphore};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a semaphore stands for.
#[derive(Debug)]
pub struct SemaphoreHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostSemaphore for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<SemaphoreHandle>, Refusal> {
        self.open_lock(Kind::Semaphore, &name, SemaphoreHandle)
    }

    fn try_acquire(&mut self, semaphore: Resource<SemaphoreHandle>, permits: u32) -> Result<bool, Refusal> {
        let ask = ask(permits)?;
        Ok(self.actor.try_acquire(&self.table.get(&semaphore)?.0, ask)?.is_some())
    }

    async fn acquire(
        &mut self,
        semaphore: Resource<SemaphoreHandle>,
        permits: u32,
        timeout: Option<types::Duration>,
    ) -> Result<(), Refusal> {
        let ask = ask(permits)?;
        self.actor.acquire(&self.table.get(&semaphore)?.0, ask, timeout).await.map(drop)
    }

    fn release(&mut self, semaphore: Resource<SemaphoreHandle>, permits: u32) -> Result<(), Refusal> {
        ask(permits)?;
        self.actor.release_permits(&self.table.get(&semaphore)?.0, permits)
    }

    fn value(&mut self, semaphore: Resource<SemaphoreHandle>) -> wasmtime::Result<u32> {
        Ok(self.actor.scope.table().permits(self.table.get(&semaphore)?.0.id).0)
    }

    fn maximum(&mut self, semaphore: Resource<SemaphoreHandle>) -> wasmtime::Result<Option<u32>> {
        Ok(self.actor.scope.table().permits(self.table.get(&semaphore)?.0.id).1)
    }

    fn held(&mut self, semaphore: Resource<SemaphoreHandle>) -> wasmtime::Result<u32> {
        let lock = self.table.get(&semaphore)?.0.id;
        Ok(self.actor.scope.table().held(self.owner(), lock).map_or(0, |hold| hold.count))
    }

    fn drop(&mut self, semaphore: Resource<SemaphoreHandle>) -> wasmtime::Result<()> {
        self.close_handle(semaphore)
    }
}

fn ask(permits: u32) -> Result<Ask, Refusal> {
    match permits {
        0 => Err(types::Error::InvalidArgument("permits: 0 are none; take or give at least one".to_owned()).into()),
        permits => Ok(Ask::Permits(permits)),
    }
}
