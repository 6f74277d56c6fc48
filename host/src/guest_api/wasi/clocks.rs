//! `wasi:clocks`: exact, coarse, or not at all. To sleep needs no grant.

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Duration, Instant};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{self, Datetime};

use super::NotGranted;
use crate::process::{Clocks, ProcessState};

const NONE: NotGranted = NotGranted { what: "clocks (`clocks = \"none\"`, --clocks none)" };

pub(super) fn add_to_linker(linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    monotonic_clock::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wall_clock::Host for ProcessState {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let grain = grain(self.time)?;
        let now = wall_clock::Host::now(&mut self.clocks())?;
        Ok(Datetime { nanoseconds: now.nanoseconds - now.nanoseconds % grain, ..now })
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        let grain = grain(self.time)?;
        let real = wall_clock::Host::resolution(&mut self.clocks())?;
        Ok(Datetime { nanoseconds: real.nanoseconds.max(grain), ..real })
    }
}

impl monotonic_clock::Host for ProcessState {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        let grain = u64::from(grain(self.time)?);
        let now = monotonic_clock::Host::now(&mut self.clocks())?;
        Ok(now - now % grain)
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        let grain = u64::from(grain(self.time)?);
        Ok(monotonic_clock::Host::resolution(&mut self.clocks())?.max(grain))
    }

    /// Whether it is ready would tell what time it is.
    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        grain(self.time)?;
        monotonic_clock::Host::subscribe_instant(&mut self.clocks(), when)
    }

    fn subscribe_duration(&mut self, duration: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        monotonic_clock::Host::subscribe_duration(&mut self.clocks(), duration)
    }
}

/// What a process's clocks count in, in nanoseconds.
fn grain(clocks: Clocks) -> Result<u32, NotGranted> {
    match clocks {
        Clocks::System => Ok(1),
        Clocks::Coarse => Ok(Clocks::COARSE_NS),
        Clocks::None => Err(NONE),
    }
}
