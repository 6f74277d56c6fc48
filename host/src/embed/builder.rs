//! How an embedder sets a host up, step by step.

use std::path::PathBuf;
use std::sync::Arc;

use lockkeeper_journal::storage::Disk;
use wasmtime::component::Linker;

use crate::engine::Profile;
use crate::ids::ProcessId;
use crate::observe::Event;
use crate::process::ProcessState;
use crate::runtime::{Runtime, RuntimeConfig, RuntimeError};

impl Runtime {
    /// A host that is set up step by step.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }
}

/// A host that is being set up. What is not said is as in [`RuntimeConfig::default`].
#[derive(Clone, Default)]
#[must_use = "nothing is started before `build`"]
pub struct RuntimeBuilder {
    config: RuntimeConfig,
}

impl RuntimeBuilder {
    /// Begins with this.
    pub fn from_config(config: RuntimeConfig) -> Self {
        Self { config }
    }

    /// Runs processes on so many threads. Otherwise there is one for each core.
    pub fn shards(mut self, count: usize) -> Self {
        self.config.shards = count;
        self
    }

    /// Keeps compiled programs in this directory, so that they are compiled once.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.cache_dir = Some(dir.into());
        self
    }

    /// Remembers in this directory how far the fences of each lock name have gone: a host that has locks needs it.
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.state_dir = dir.into();
        self
    }

    /// Limits the lock table.
    pub fn lock_limits(mut self, limits: lockkeeper_locks::Limits) -> Self {
        self.config.lock_limits = limits;
        self
    }

    /// Keeps the processes of programs in this way, whatever fits them.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.config.profile = Some(profile);
        self
    }

    /// Says how many processes there will be at once, at most: for few, the fastest engine is chosen.
    pub fn expected_processes(mut self, count: usize) -> Self {
        self.config.expected = Some(count);
        self
    }

    /// Tells of everything that happens. Called wherever it happens, often in the turn of a process: it must be quick, and must not
    /// call back into the host.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.config.observer = Some(Arc::new(observer));
        self
    }

    /// Keeps append files on this disk.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.config.disk = Some(disk);
        self
    }

    /// Gives programs host interfaces of your own: see [`HostInterfaces`](crate::HostInterfaces).
    pub fn host_interfaces(
        mut self,
        add: impl Fn(&mut Linker<ProcessState>) -> wasmtime::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.config.host_interfaces = self.config.host_interfaces.link(add);
        self
    }

    /// Keeps with each process, for those interfaces, what this makes of its number and name.
    pub fn data<D: Send + 'static>(mut self, make: impl Fn(ProcessId, &str) -> D + Send + Sync + 'static) -> Self {
        self.config.host_interfaces = self.config.host_interfaces.data(make);
        self
    }

    /// Starts the host.
    pub fn build(self) -> Result<Runtime, RuntimeError> {
        Runtime::new(self.config)
    }
}
