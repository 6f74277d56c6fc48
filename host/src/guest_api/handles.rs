//! What the handles of locks and files have in common: the limit on their number, and the answer for a name that was not
//! granted.

use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::types;
use crate::name::Name;
use crate::observe::{Denial, Event, Kind};
use crate::process::ProcessState;

impl ProcessState {
    /// Notes that the process was refused something, for the summary, and says what the guest is told.
    pub(super) fn deny(&mut self, kind: Kind, name: Name) -> Refusal {
        let denial = Denial { kind, name };
        if self.denials.note(&denial) {
            self.events.emit(|| Event::Denied { process: self.id(), denial });
        }
        types::Error::Denied.into()
    }

    pub(super) fn open_handle<H: Send + 'static>(&mut self, handle: H) -> Result<Resource<H>, Refusal> {
        if self.handles >= self.handles_max {
            return Err(types::Error::Limit(types::LimitKind::Handles).into());
        }
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
