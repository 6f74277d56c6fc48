//! What the handles of locks, values and files have in common: how they are opened, the limit on their number, and the answer
//! for a name that was not granted.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::types;
use crate::name::Name;
use crate::observe::{Denial, Event, Kind};
use crate::process::ProcessState;
use crate::scope::ScopedLock;

impl ProcessState {
    /// Opens what the job calls `name` among its locks, if it is of this kind.
    pub(super) fn open_lock<H: Send + 'static>(
        &mut self,
        kind: Kind,
        name: &str,
        handle: impl FnOnce(Arc<ScopedLock>) -> H,
    ) -> Result<Resource<H>, Refusal> {
        let name = Name::asked(name)?;
        match self.rights.locks.get(&name).cloned() {
            Some(lock) if Kind::of(lock.kind) == kind => self.open_handle(handle(lock)),
            Some(lock) => Err(self.deny(kind, name, Some(Kind::of(lock.kind)))),
            None => Err(self.deny(kind, name, None)),
        }
    }

    /// Notes that the process was refused something, for the summary, and says what the guest is told.
    pub(super) fn deny(&mut self, kind: Kind, name: Name, declared_as: Option<Kind>) -> Refusal {
        let denial = Denial { kind, name, declared_as };
        if self.denials.note(&denial) {
            self.actor.events.emit(|| Event::Denied { process: self.id(), denial });
        }
        types::Error::Denied.into()
    }

    /// Whether one more handle may be opened, for who does something before that cannot be taken back.
    pub(super) fn room_for_handle(&self) -> Result<(), Refusal> {
        if self.handles >= self.handles_max {
            return Err(types::Error::Limit(types::LimitKind::Handles).into());
        }
        Ok(())
    }

    pub(super) fn open_handle<H: Send + 'static>(&mut self, handle: H) -> Result<Resource<H>, Refusal> {
        self.room_for_handle()?;
        let handle = self.table.push(handle)?;
        self.handles += 1;
        Ok(handle)
    }

    pub(super) fn close_handle<H: 'static>(&mut self, handle: Resource<H>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        self.handles -= 1;
        Ok(())
    }
}
