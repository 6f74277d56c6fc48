//! Host interfaces of the embedder's own: what programs may import beside WASI and this package.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::Linker;

use crate::ids::ProcessId;
use crate::process::{Data, ProcessState};

type Add = Arc<dyn Fn(&mut Linker<ProcessState>) -> wasmtime::Result<()> + Send + Sync>;
type MakeData = Arc<dyn Fn(ProcessId, &str, &mut Data) + Send + Sync>;

/// Host interfaces of your own, and what they keep with each process.
///
/// ```
/// use lockkeeper::wasmtime::component::HasSelf;
/// use lockkeeper::{HostInterfaces, ProcessState};
///
/// mod bindings {
///     lockkeeper::wasmtime::component::bindgen!({
///         wasmtime_crate: lockkeeper::wasmtime,
///         inline: "
///             package acme:things;
///             interface counter { count: func() -> u64; }
///             world imports { import counter; }
///         ",
///     });
/// }
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl bindings::acme::things::counter::Host for Counter {
///     fn count(&mut self) -> u64 {
///         self.0 += 1;
///         self.0
///     }
/// }
///
/// let interfaces = HostInterfaces::default()
///     .link(|linker| bindings::Imports::add_to_linker::<_, HasSelf<_>>(linker, ProcessState::data_mut::<Counter>))
///     .data(|_process, _name| Counter::default());
/// ```
///
/// A call of a guest runs on the shard of its process, where other processes wait for their turn: what takes long belongs
/// into an async function that waits for another thread. The future of such a function is dropped if its process is ended
/// meanwhile. A panic ends the process that called, and no other.
///
/// It runs on the guest's own stack, as deep as the guest happens to be: there are 256 KiB for it at least. What recurses, or
/// has large frames, belongs on another thread too.
///
/// What is kept with a process is made on the thread that starts it (for a process that a process starts, that is a shard), and
/// dropped on its shard after its locks were released. A process that another one starts gets only what is made for each;
/// what [`Spawn::data`](crate::Spawn::data) gave the one is not the other's.
#[derive(Clone, Default)]
pub struct HostInterfaces {
    add: Vec<Add>,
    data: Vec<MakeData>,
}

impl HostInterfaces {
    /// With what this adds to the linker of each engine, of which there are two at most.
    #[must_use]
    pub fn link(
        mut self,
        add: impl Fn(&mut Linker<ProcessState>) -> wasmtime::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.add.push(Arc::new(add));
        self
    }

    /// With what this makes for each process as it starts, those included that a process starts. It is given the process's
    /// number and name; of two that make the same type the first counts. A process that is given data of the same type ([`Spawn::data`](crate::Spawn::data)) has that.
    #[must_use]
    pub fn data<D: Send + 'static>(mut self, make: impl Fn(ProcessId, &str) -> D + Send + Sync + 'static) -> Self {
        self.data.push(Arc::new(move |process, name, data| data.insert_missing(|| make(process, name))));
        self
    }

    /// Whether programs may import what is not known by its name.
    pub(crate) fn are_some(&self) -> bool {
        !self.add.is_empty()
    }

    pub(crate) fn add_to_linker(&self, linker: &mut Linker<ProcessState>) -> wasmtime::Result<()> {
        self.add.iter().try_for_each(|add| add(linker))
    }

    /// What is kept with a process, what it was given included.
    pub(crate) fn data_of(&self, process: ProcessId, name: &str, mut given: Data) -> Data {
        self.data.iter().for_each(|make| make(process, name, &mut given));
        given
    }
}

impl fmt::Debug for HostInterfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostInterfaces").field("add", &self.add.len()).field("data", &self.data.len()).finish()
    }
}
