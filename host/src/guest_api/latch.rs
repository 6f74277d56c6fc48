//! `lockkeeper:runtime/latch`.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::latch::{Host, HostLatch};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a latch stands for.
#[derive(Debug)]
pub struct LatchHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostLatch for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<LatchHandle>, Refusal> {
        self.open_lock(Kind::Latch, &name, LatchHandle)
    }

    fn count_down(&mut self, latch: Resource<LatchHandle>, count: u32) -> Result<u32, Refusal> {
        if count == 0 {
            let why = "count: 0 is none; count down by at least one".to_owned();
            return Err(types::Error::InvalidArgument(why).into());
        }
        let latch = self.table.get(&latch)?.0.id;
        self.actor.scope.table().count_down(latch, count).map_err(|_| types::Error::OverRelease.into())
    }

    async fn wait(&mut self, latch: Resource<LatchHandle>, timeout: Option<types::Duration>) -> Result<(), Refusal> {
        self.actor.proceed()?;
        let latch = &self.table.get(&latch)?.0;
        let asked = Instant::now();
        let passage = self.actor.scope.table().wait_latch(self.owner(), latch.id, asked)?;
        Ok(self.actor.pass(latch, passage, asked, timeout).await?)
    }

    fn remaining(&mut self, latch: Resource<LatchHandle>) -> wasmtime::Result<u32> {
        Ok(self.actor.scope.table().latch_remaining(self.table.get(&latch)?.0.id))
    }

    fn drop(&mut self, latch: Resource<LatchHandle>) -> wasmtime::Result<()> {
        self.close_handle(latch)
    }
}
