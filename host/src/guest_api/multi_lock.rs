//! `lockkeeper:runtime/multi-lock`: several locks as one.
//!
//! They are acquired one after the other in the order of their names, which is the same for every process. What was acquired
//! is put back if the rest is not to be had, as if it had never been: nobody loses the news of a dead owner by it.

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::{Acquired, Ask, Kind as LockKind, SemaphoreKind};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::multi_lock::{Host, HostMultiLock, Part};
use crate::bindings::lockkeeper::runtime::types;
use crate::name::Name;
use crate::observe::Kind;
use crate::process::{Actor, ProcessState};
use crate::scope::ScopedLock;

/// What a guest's handle of several locks stands for.
#[derive(Debug)]
pub struct MultiLockHandle {
    /// In the order in which they are acquired, each with its place in the guest's list.
    parts: Arc<[(usize, Arc<ScopedLock>, Ask)]>,
}

impl Host for ProcessState {}

impl HostMultiLock for ProcessState {
    fn open(&mut self, parts: Vec<Part>) -> Result<Resource<MultiLockHandle>, Refusal> {
        if parts.is_empty() {
            return Err(invalid("parts: at least one lock".to_owned()));
        }
        if parts.len() > self.actor.scope.table().limits().holds_per_owner_max as usize {
            return Err(types::Error::Limit(types::LimitKind::Holds).into());
        }
        let mut checked = Vec::new();
        for (place, part) in parts.into_iter().enumerate() {
            let name = Name::asked(&part.name)?;
            let Some(lock) = self.rights.locks.get(&name).cloned() else {
                return Err(self.deny(Kind::Lock, name, None));
            };
            let ask = ask(&lock, part.how, part.permits)?;
            checked.push((place, lock, ask));
        }
        checked.sort_by(|(_, one, _), (_, other, _)| one.name.cmp(&other.name));
        if let Some(twice) = checked.windows(2).find(|pair| pair[0].1.name == pair[1].1.name) {
            return Err(invalid(format!("parts: `{}` is named twice; name each lock once", twice[0].1.name)));
        }
        self.open_handle(MultiLockHandle { parts: checked.into() })
    }

    fn try_acquire(&mut self, locks: Resource<MultiLockHandle>) -> Result<Option<Vec<types::Acquired>>, Refusal> {
        let parts = self.table.get(&locks)?.parts.clone();
        let mut got = Got::new(&self.actor, &parts);
        for (_, lock, ask) in parts.iter() {
            match self.actor.try_acquire(lock, *ask)? {
                Some(acquired) => got.push(acquired),
                None => return Ok(None),
            }
        }
        Ok(Some(got.keep()))
    }

    async fn acquire(
        &mut self,
        locks: Resource<MultiLockHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<Vec<types::Acquired>, Refusal> {
        let parts = self.table.get(&locks)?.parts.clone();
        let asked = Instant::now();
        let mut got = Got::new(&self.actor, &parts);
        for (_, lock, ask) in parts.iter() {
            let spent = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let left = timeout.map(|timeout| timeout.saturating_sub(spent));
            got.push(self.actor.acquire(lock, *ask, left).await?);
        }
        Ok(got.keep())
    }

    fn release(&mut self, locks: Resource<MultiLockHandle>, guards: Vec<types::Fence>) -> Result<(), Refusal> {
        let parts = self.table.get(&locks)?.parts.clone();
        if !guards.is_empty() && guards.len() != parts.len() {
            return Err(invalid(format!(
                "guards: {} for {} locks; give one for each, or none",
                guards.len(),
                parts.len()
            )));
        }
        let mut first = Ok(());
        // The last one acquired goes first.
        for (place, lock, ask) in parts.iter().rev() {
            // What a semaphore grants on top of what is held has no fence of its own.
            let guard = guards.get(*place).copied().filter(|_| !matches!(ask, Ask::Permits(_)));
            let released = match ask {
                Ask::Permits(permits) => self.actor.release_permits(lock, *permits),
                Ask::Exclusive | Ask::Shared | Ask::Upgrade => self.actor.release(lock, guard),
            };
            first = first.and(released);
        }
        first
    }

    fn drop(&mut self, locks: Resource<MultiLockHandle>) -> wasmtime::Result<()> {
        self.close_handle(locks)
    }
}

/// What has been acquired so far. Dropping it puts everything back.
struct Got<'a> {
    actor: &'a Actor,
    parts: &'a [(usize, Arc<ScopedLock>, Ask)],
    acquired: Vec<Acquired>,
}

impl<'a> Got<'a> {
    fn new(actor: &'a Actor, parts: &'a [(usize, Arc<ScopedLock>, Ask)]) -> Self {
        Self { actor, parts, acquired: Vec::with_capacity(parts.len()) }
    }

    fn push(&mut self, acquired: Acquired) {
        self.acquired.push(acquired);
    }

    /// Everything is there: in the order of the guest's list.
    fn keep(mut self) -> Vec<types::Acquired> {
        let acquired = std::mem::take(&mut self.acquired);
        let mut listed: Vec<_> = self.parts.iter().map(|(place, ..)| *place).zip(acquired).collect();
        listed.sort_by_key(|(place, _)| *place);
        listed.into_iter().map(|(_, acquired)| acquired.into()).collect()
    }
}

impl Drop for Got<'_> {
    fn drop(&mut self) {
        let table = self.actor.scope.table();
        let owner = self.actor.owner();
        for ((_, lock, ask), _) in self.parts.iter().zip(&self.acquired).rev() {
            let now = Instant::now();
            self.actor.releasing(lock, None, ask.count());
            // One that was taken away meanwhile is told at the next call about it.
            let _gone = match ask {
                Ask::Permits(permits) => table.release_permits(owner, lock.id, *permits, now).is_err(),
                Ask::Exclusive | Ask::Shared | Ask::Upgrade => table.put_back(owner, lock.id, now).is_err(),
            };
        }
    }
}

fn ask(lock: &ScopedLock, how: types::Mode, permits: u32) -> Result<Ask, Refusal> {
    let ask = match (lock.kind, how) {
        (LockKind::Mutex | LockKind::RLock { .. } | LockKind::RwLock { .. }, types::Mode::Exclusive) => Ask::Exclusive,
        (LockKind::RwLock { .. }, types::Mode::Shared) => Ask::Shared,
        (LockKind::Semaphore(SemaphoreKind::Owned { permits: maximum }), types::Mode::Permits) => {
            if permits > maximum {
                return Err(types::Error::Limit(types::LimitKind::Permits).into());
            }
            Ask::Permits(permits)
        }
        (kind, _) => {
            let (name, kind) = (&lock.name, Kind::of(kind));
            return Err(invalid(format!("parts: the {kind} `{name}` cannot be acquired in this way among others")));
        }
    };
    match permits {
        0 => Err(invalid(format!("parts: 0 permits of `{}` are none; write at least 1", lock.name))),
        _ => Ok(ask),
    }
}

fn invalid(why: String) -> Refusal {
    types::Error::InvalidArgument(why).into()
}
