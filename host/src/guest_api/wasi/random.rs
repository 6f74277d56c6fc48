//! `wasi:random`: from the system, from a seed, or not at all.

use blake3::OutputReader;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::random::WasiRandomCtx;

use super::NotGranted;
use crate::process::{ProcessState, Random};

const NONE: NotGranted = NotGranted { what: "random bytes (`random = \"none\"`, --random none)" };

pub(super) fn add_to_linker(linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
    random::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    insecure::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    insecure_seed::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

/// The system's.
fn system(state: &mut ProcessState) -> &mut WasiRandomCtx {
    state.ctx().ctx.random()
}

/// So many bytes; the program has to have room for them, and a call carries no more into it than out of it.
fn bytes(from: &mut OutputReader, len: u64, max: u64) -> wasmtime::Result<Vec<u8>> {
    if len > max {
        return Err(wasmtime::format_err!("requested len {len} exceeds limit {max}"));
    }
    let mut bytes = vec![0; usize::try_from(len)?];
    from.fill(&mut bytes);
    Ok(bytes)
}

fn number(from: &mut OutputReader) -> u64 {
    let mut bytes = [0; 8];
    from.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

impl random::Host for ProcessState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        match self.random {
            Random::System => random::Host::get_random_bytes(system(self), len),
            Random::Seed(_) => bytes(&mut self.seeded.secure, len, self.random_bytes_max),
            Random::None => Err(NONE.into()),
        }
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        match self.random {
            Random::System => random::Host::get_random_u64(system(self)),
            Random::Seed(_) => Ok(number(&mut self.seeded.secure)),
            Random::None => Err(NONE.into()),
        }
    }
}

impl insecure::Host for ProcessState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        match self.random {
            Random::System => insecure::Host::get_insecure_random_bytes(system(self), len),
            Random::Seed(_) | Random::None => bytes(&mut self.seeded.insecure, len, self.random_bytes_max),
        }
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        match self.random {
            Random::System => insecure::Host::get_insecure_random_u64(system(self)),
            Random::Seed(_) | Random::None => Ok(number(&mut self.seeded.insecure)),
        }
    }
}

impl insecure_seed::Host for ProcessState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        match self.random {
            Random::System => insecure_seed::Host::insecure_seed(system(self)),
            Random::Seed(_) | Random::None => {
                Ok((number(&mut self.seeded.insecure), number(&mut self.seeded.insecure)))
            }
        }
    }
}
