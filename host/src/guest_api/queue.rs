//! `lockkeeper:runtime/queue`.

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::{self as locks, AcquireError, Passage, TaskDoneError};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::queue::{Host, HostQueue, Item};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a queue stands for.
#[derive(Debug)]
pub struct QueueHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostQueue for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<QueueHandle>, Refusal> {
        self.open_lock(Kind::Queue, &name, QueueHandle)
    }

    fn try_put(&mut self, queue: Resource<QueueHandle>, item: Vec<u8>) -> Result<Option<u64>, Refusal> {
        let queue = self.table.get(&queue)?.0.id;
        let passage = self.actor.scope.table().put(self.owner(), queue, item.into(), Instant::now());
        Ok(tried(passage)?.map(|stored| stored.0))
    }

    fn try_get(&mut self, queue: Resource<QueueHandle>) -> Result<Option<Item>, Refusal> {
        let queue = self.table.get(&queue)?.0.id;
        let passage = self.actor.scope.table().get(self.owner(), queue, Instant::now());
        Ok(tried(passage)?.map(Item::from))
    }

    async fn put(
        &mut self,
        queue: Resource<QueueHandle>,
        item: Vec<u8>,
        timeout: Option<types::Duration>,
    ) -> Result<u64, Refusal> {
        self.actor.proceed()?;
        let queue = &self.table.get(&queue)?.0;
        let asked = Instant::now();
        let passage = self.actor.scope.table().put(self.owner(), queue.id, item.into(), asked)?;
        match self.actor.pass(queue, passage, asked, timeout).await {
            Ok(stored) => Ok(stored.0),
            Err(AcquireError::TimedOut) => Err(types::Error::Full.into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn get(&mut self, queue: Resource<QueueHandle>, timeout: Option<types::Duration>) -> Result<Item, Refusal> {
        self.actor.proceed()?;
        let queue = &self.table.get(&queue)?.0;
        let asked = Instant::now();
        let passage = self.actor.scope.table().get(self.owner(), queue.id, asked)?;
        match self.actor.pass(queue, passage, asked, timeout).await {
            Ok(item) => Ok(item.into()),
            Err(AcquireError::TimedOut) => Err(types::Error::Empty.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn task_done(&mut self, queue: Resource<QueueHandle>, number: u64) -> Result<(), Refusal> {
        let queue = self.table.get(&queue)?.0.id;
        self.actor.scope.table().task_done(self.owner(), queue, number).map_err(|error| {
            Refusal::Guest(match error {
                TaskDoneError::NotHeld { .. } => types::Error::NotHeld,
                TaskDoneError::OverRelease => types::Error::OverRelease,
            })
        })
    }

    async fn join(&mut self, queue: Resource<QueueHandle>, timeout: Option<types::Duration>) -> Result<(), Refusal> {
        self.actor.proceed()?;
        let queue = &self.table.get(&queue)?.0;
        let asked = Instant::now();
        let passage = self.actor.scope.table().join_queue(self.owner(), queue.id, asked)?;
        Ok(self.actor.pass(queue, passage, asked, timeout).await?)
    }

    fn close(&mut self, queue: Resource<QueueHandle>) -> wasmtime::Result<()> {
        self.actor.scope.table().close_queue(self.table.get(&queue)?.0.id);
        Ok(())
    }

    fn length(&mut self, queue: Resource<QueueHandle>) -> wasmtime::Result<u32> {
        Ok(self.actor.scope.table().queue(self.table.get(&queue)?.0.id).0)
    }

    fn unfinished(&mut self, queue: Resource<QueueHandle>) -> wasmtime::Result<u64> {
        Ok(self.actor.scope.table().queue(self.table.get(&queue)?.0.id).1)
    }

    fn is_closed(&mut self, queue: Resource<QueueHandle>) -> wasmtime::Result<bool> {
        Ok(self.actor.scope.table().queue(self.table.get(&queue)?.0.id).2)
    }

    fn drop(&mut self, queue: Resource<QueueHandle>) -> wasmtime::Result<()> {
        self.close_handle(queue)
    }
}

impl From<locks::Item> for Item {
    fn from(item: locks::Item) -> Self {
        Self { number: item.number, returned: item.returned, bytes: item.bytes.to_vec() }
    }
}

/// What a request came to that does not wait: its place in a queue is given up at once.
fn tried<A>(passage: Result<Passage<A>, AcquireError>) -> Result<Option<A>, AcquireError> {
    match passage {
        Ok(Passage::Ready(answer)) => Ok(Some(answer)),
        Ok(Passage::Wait(_)) | Err(AcquireError::WaitersExceeded { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
