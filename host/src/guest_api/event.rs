//! `lockkeeper:runtime/event`.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::event::{Host, HostEvent};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of an event stands for.
#[derive(Debug)]
pub struct EventHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostEvent for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<EventHandle>, Refusal> {
        self.open_lock(Kind::Event, &name, EventHandle)
    }

    fn set(&mut self, event: Resource<EventHandle>) -> wasmtime::Result<()> {
        self.actor.scope.table().set_event(self.table.get(&event)?.0.id);
        Ok(())
    }

    fn clear(&mut self, event: Resource<EventHandle>) -> wasmtime::Result<()> {
        self.actor.scope.table().clear_event(self.table.get(&event)?.0.id);
        Ok(())
    }

    fn is_set(&mut self, event: Resource<EventHandle>) -> wasmtime::Result<bool> {
        Ok(self.actor.scope.table().is_event_set(self.table.get(&event)?.0.id))
    }

    async fn wait(&mut self, event: Resource<EventHandle>, timeout: Option<types::Duration>) -> Result<(), Refusal> {
        self.actor.proceed()?;
        let event = &self.table.get(&event)?.0;
        let asked = Instant::now();
        let passage = self.actor.scope.table().wait_event(self.owner(), event.id, asked)?;
        Ok(self.actor.pass(event, passage, asked, timeout).await?)
    }

    fn drop(&mut self, event: Resource<EventHandle>) -> wasmtime::Result<()> {
        self.close_handle(event)
    }
}
