//! `lockkeeper:runtime/once`.

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::{self as locks, Fence};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::once::{Host, HostOnce, Turn};
use crate::bindings::lockkeeper::runtime::types;
use crate::clock;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;
use crate::turn;

/// What a guest's handle of a once stands for.
#[derive(Debug)]
pub struct OnceHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostOnce for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<OnceHandle>, Refusal> {
        self.open_lock(Kind::Once, &name, OnceHandle)
    }

    async fn begin(&mut self, once: Resource<OnceHandle>, timeout: Option<types::Duration>) -> Result<Turn, Refusal> {
        self.actor.proceed()?;
        turn::lock_request().await;
        let once = &self.table.get(&once)?.0;
        self.actor.asks(once);
        let asked = Instant::now();
        let answer = match self.actor.scope.table().begin_once(self.owner(), once.id, asked) {
            Ok(passage) => self.actor.pass(once, passage, asked, timeout).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(locks::Turn::Yours(acquired)) => {
                Ok(Turn::Yours(self.actor.granted(once, acquired, asked.elapsed()).into()))
            }
            Ok(locks::Turn::Done) => Ok(Turn::Done),
            Err(error) => Err(self.actor.refused(once, error)),
        }
    }

    fn complete(&mut self, once: Resource<OnceHandle>, guard: types::Fence) -> Result<(), Refusal> {
        let once = &self.table.get(&once)?.0;
        let guard = Some(Fence::new(guard));
        self.actor.releasing(once, guard, 1);
        Ok(self.actor.scope.table().complete_once(self.owner(), once.id, guard, clock::now())?)
    }

    fn give_up(&mut self, once: Resource<OnceHandle>, guard: types::Fence) -> Result<(), Refusal> {
        self.actor.release(&self.table.get(&once)?.0, Some(guard))
    }

    fn is_done(&mut self, once: Resource<OnceHandle>) -> wasmtime::Result<bool> {
        Ok(self.actor.scope.table().is_done(self.table.get(&once)?.0.id))
    }

    fn drop(&mut self, once: Resource<OnceHandle>) -> wasmtime::Result<()> {
        self.close_handle(once)
    }
}
