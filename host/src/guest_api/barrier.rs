//! `lockkeeper:runtime/barrier`.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::barrier::{Host, HostBarrier};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a barrier stands for.
#[derive(Debug)]
pub struct BarrierHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostBarrier for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<BarrierHandle>, Refusal> {
        self.open_lock(Kind::Barrier, &name, BarrierHandle)
    }

    async fn wait(
        &mut self,
        barrier: Resource<BarrierHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<u32, Refusal> {
        self.actor.proceed()?;
        let barrier = &self.table.get(&barrier)?.0;
        let asked = Instant::now();
        let passage = self.actor.scope.table().wait_barrier(self.owner(), barrier.id, asked)?;
        Ok(self.actor.pass(barrier, passage, asked, timeout).await?.0)
    }

    fn parties(&mut self, barrier: Resource<BarrierHandle>) -> wasmtime::Result<u32> {
        Ok(self.actor.scope.table().barrier(self.table.get(&barrier)?.0.id).0)
    }

    fn waiting(&mut self, barrier: Resource<BarrierHandle>) -> wasmtime::Result<u32> {
        Ok(self.actor.scope.table().barrier(self.table.get(&barrier)?.0.id).1)
    }

    fn reset(&mut self, barrier: Resource<BarrierHandle>) -> wasmtime::Result<()> {
        self.actor.scope.table().reset_barrier(self.table.get(&barrier)?.0.id);
        Ok(())
    }

    fn abort(&mut self, barrier: Resource<BarrierHandle>) -> wasmtime::Result<()> {
        self.actor.scope.table().abort_barrier(self.table.get(&barrier)?.0.id);
        Ok(())
    }

    fn broken(&mut self, barrier: Resource<BarrierHandle>) -> wasmtime::Result<Option<types::BrokenCause>> {
        Ok(self.actor.scope.table().barrier(self.table.get(&barrier)?.0.id).2.map(Into::into))
    }

    fn drop(&mut self, barrier: Resource<BarrierHandle>) -> wasmtime::Result<()> {
        self.close_handle(barrier)
    }
}
