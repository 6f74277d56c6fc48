//! `lockkeeper:runtime/mutex`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_locks::{AcquireError, Acquired, Acquisition, Fence, Link};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::mutex::{Host, HostMutex};
use crate::bindings::lockkeeper::runtime::types;
use crate::name::Name;
use crate::observe::{Event, Kind};
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a mutex stands for.
#[derive(Debug)]
pub struct MutexHandle(Arc<ScopedLock>);

impl Host for ProcessState {}

impl HostMutex for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<MutexHandle>, Refusal> {
        let name = Name::new(&name)?;
        let Some(lock) = self.rights.locks.get(&name).cloned() else {
            return Err(self.deny(Kind::Lock, name));
        };
        self.open_handle(MutexHandle(lock))
    }

    fn try_acquire(&mut self, mutex: Resource<MutexHandle>) -> Result<Option<types::Acquired>, Refusal> {
        let lock = self.table.get(&mutex)?.0.clone();
        let taken = self.scope.table().try_acquire(self.owner(), lock.id, Instant::now())?;
        Ok(taken.map(|acquired| self.granted(&lock, acquired, Duration::ZERO)))
    }

    async fn acquire(
        &mut self,
        mutex: Resource<MutexHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<types::Acquired, Refusal> {
        let lock = self.table.get(&mutex)?.0.clone();
        let asked = Instant::now();
        let acquired = match self.scope.table().acquire(self.owner(), lock.id, asked) {
            Err(AcquireError::Deadlock { circle }) => return Err(self.deadlock(&circle, asked)),
            Err(error) => return Err(error.into()),
            Ok(Acquisition::Ready(acquired)) => acquired,
            Ok(Acquisition::Wait(wait)) => {
                let waited = wait_until(wait, deadline(asked, timeout)).await;
                if matches!(waited, Err(AcquireError::Cancelled)) {
                    self.events.emit(|| Event::WaitCancelled { process: self.id(), lock: lock.name.clone() });
                }
                waited?
            }
        };
        Ok(self.granted(&lock, acquired, asked.elapsed()))
    }

    fn release(&mut self, mutex: Resource<MutexHandle>, guard: Option<types::Fence>) -> Result<(), Refusal> {
        let lock = self.table.get(&mutex)?.0.id;
        // Between this look and the release nothing is granted to this process: it is here.
        let held = self.scope.table().held_fence(self.owner(), lock);
        if let (Some(guard), Some(held)) = (guard.map(Fence::new), held)
            && guard != held
        {
            return Err(types::Error::Fenced(held.get()).into());
        }
        Ok(self.scope.table().release(self.owner(), lock, Instant::now())?)
    }

    fn locked(&mut self, mutex: Resource<MutexHandle>) -> wasmtime::Result<bool> {
        Ok(self.scope.table().locked(self.table.get(&mutex)?.0.id))
    }

    fn held(&mut self, mutex: Resource<MutexHandle>) -> wasmtime::Result<Option<types::Fence>> {
        let lock = self.table.get(&mutex)?.0.id;
        Ok(self.scope.table().held_fence(self.owner(), lock).map(Fence::get))
    }

    fn drop(&mut self, mutex: Resource<MutexHandle>) -> wasmtime::Result<()> {
        self.close_handle(mutex)
    }
}

impl ProcessState {
    fn deadlock(&self, circle: &[Link], now: Instant) -> Refusal {
        let circle = self.scope.named(circle, now);
        let told = circle.iter().cloned().map(types::Wait::from).collect();
        self.events.emit(|| Event::Deadlock { process: self.id(), circle });
        types::Error::Deadlock(told).into()
    }

    fn granted(&self, lock: &Arc<ScopedLock>, acquired: Acquired, waited: Duration) -> types::Acquired {
        self.scope.keep_fences(lock);
        self.events.emit(|| Event::Granted {
            process: self.id(),
            lock: lock.name.clone(),
            fence: acquired.fence.get(),
            previous: acquired.previous,
            waited,
        });
        acquired.into()
    }
}

/// The moment at which a wait of `timeout` nanoseconds ends; one too far away to be written down never comes.
fn deadline(from: Instant, timeout: Option<types::Duration>) -> Option<Instant> {
    from.checked_add(Duration::from_nanos(timeout?))
}

/// Waits for the grant or the deadline. The lock table decides which of the two came first.
async fn wait_until(mut wait: lockkeeper_locks::Wait, deadline: Option<Instant>) -> Result<Acquired, AcquireError> {
    let Some(deadline) = deadline else {
        return wait.await;
    };
    if deadline > Instant::now()
        && let Ok(ended) = tokio::time::timeout_at(deadline.into(), &mut wait).await
    {
        return ended;
    }
    wait.expire(Instant::now())
}
