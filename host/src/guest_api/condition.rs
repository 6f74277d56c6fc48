//! `lockkeeper:runtime/condition`.

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::{AcquireError, ConditionError, ConditionWait, Kind as LockKind, LockId};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::condition::{Host, HostCondition, Woken};
use crate::bindings::lockkeeper::runtime::types;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a condition stands for.
#[derive(Debug)]
pub struct ConditionHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostCondition for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<ConditionHandle>, Refusal> {
        self.open_lock(Kind::Condition, &name, ConditionHandle)
    }

    async fn wait(
        &mut self,
        condition: Resource<ConditionHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<Woken, Refusal> {
        self.actor.proceed()?;
        let condition = &self.table.get(&condition)?.0;
        let table = self.actor.scope.table();
        let asked = Instant::now();
        if let LockKind::Condition { lock } = condition.kind
            && self.actor.events.is_observed()
        {
            self.actor.letting_go(&self.actor.scope.lock(lock));
        }
        let ConditionWait { mut wait, lock, depth } = table.wait_condition(self.owner(), condition.id, asked)?;
        let notified = match self.actor.wait(condition, &mut wait, asked, timeout).await {
            // From here to the lock the notification passes on if this process ends.
            Ok(()) => Some(table.notified(condition.id, &wait)),
            Err(AcquireError::TimedOut) => None,
            Err(error) => return Err(error.into()),
        };
        let lock = self.actor.scope.lock(lock);
        let acquired = self.actor.acquire_again(&lock).await?;
        table.restore_depth(self.owner(), lock.id, depth);
        let woken = Woken { notified: notified.is_some(), hold: acquired.into() };
        if let Some(notification) = notified {
            notification.accept();
        }
        Ok(woken)
    }

    fn notify(&mut self, condition: Resource<ConditionHandle>, count: u32) -> Result<u32, Refusal> {
        if count == 0 {
            let why = "count: 0 are none; notify at least one".to_owned();
            return Err(types::Error::InvalidArgument(why).into());
        }
        let condition = self.table.get(&condition)?.0.id;
        self.wake(condition, count)
    }

    fn notify_all(&mut self, condition: Resource<ConditionHandle>) -> Result<u32, Refusal> {
        let condition = self.table.get(&condition)?.0.id;
        self.wake(condition, u32::MAX)
    }

    fn waiting(&mut self, condition: Resource<ConditionHandle>) -> wasmtime::Result<u32> {
        let waiting = self.actor.scope.table().waiter_count(self.table.get(&condition)?.0.id);
        Ok(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    fn lock(&mut self, condition: Resource<ConditionHandle>) -> wasmtime::Result<String> {
        let of = match self.table.get(&condition)?.0.kind {
            LockKind::Condition { lock } => lock,
            kind => unreachable!("a handle of a condition is one of a {kind:?}"),
        };
        Ok(self.actor.scope.lock(of).name.to_string())
    }

    fn drop(&mut self, condition: Resource<ConditionHandle>) -> wasmtime::Result<()> {
        self.close_handle(condition)
    }
}

impl ProcessState {
    fn wake(&self, condition: LockId, count: u32) -> Result<u32, Refusal> {
        Ok(self.actor.scope.table().notify(self.owner(), condition, count).map_err(ConditionError::from)?)
    }
}
