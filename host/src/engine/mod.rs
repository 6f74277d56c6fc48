//! The engines that run programs: one for very many small processes, one for large ones and the fastest code.
//!
//! | profile | memories and stacks | code | for |
//! |---|---|---|---|
//! | [`Profile::Dense`] | slots of few large mappings of our own ([`slots`]), no mapping per process | checks every access to memory against its length | very many small processes |
//! | [`Profile::Image`] | the engine's own pool; data is mapped copy-on-write | leaves the check to the memory's guard | programs with large data, deep recursion, few processes |
//!
//! Both have one lock table, and every stack has a guard in both. A program is compiled for one of them. An engine is made
//! when the first program for it is loaded.

mod arena;
mod footprint;
mod limits;
mod mapping;
mod memories;
mod room;
mod slots;
mod stacks;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Serialize;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::host_interfaces::HostInterfaces;
use crate::process::ProcessState;
pub use footprint::Footprint;
use limits::SystemLimits;
pub use room::NoRoom;
pub(crate) use room::{Room, Stay};
pub(crate) use stacks::NoStack;

/// How the memories and stacks of a program's processes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// For very many small processes: a hundred thousand take no more of the system than their memory.
    Dense,
    /// For programs with much initial data or deep recursion, and for the fastest start and code.
    Image,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dense => "dense",
            Self::Image => "image",
        })
    }
}

/// How guards are kept under the stacks of [`Profile::Dense`]. Every stack has one in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StackGuards {
    /// As markers within one mapping where the system has them (Linux 6.13), as mappings otherwise.
    #[default]
    Best,
    /// As mappings of their own, of which the system allows a process some 65,000: so there is room for some 31,000
    /// processes.
    Mappings,
}

/// How the engines are to be.
#[derive(Clone, Default)]
pub(crate) struct EngineConfig {
    pub(crate) guards: StackGuards,
    /// The stack of a process in WebAssembly, with [`Profile::Dense`]. None: [`DENSE_STACK_BYTES`].
    pub(crate) dense_stack_bytes: Option<usize>,
    /// The same with [`Profile::Image`]. None: [`IMAGE_STACK_BYTES`].
    pub(crate) image_stack_bytes: Option<usize>,
    /// How many processes [`Profile::Image`] has room for. None: [`IMAGE_PROCESSES`].
    pub(crate) image_processes: Option<usize>,
    /// Whether what a process of [`Profile::Image`] needs is mapped for it alone, and not taken from a pool.
    pub(crate) image_on_demand: bool,
    /// How many processes there will be at once, if that is known.
    pub(crate) expected: Option<usize>,
    /// What programs may import beside WASI and this package.
    pub(crate) host_interfaces: HostInterfaces,
}

/// The stack of a process in WebAssembly with [`Profile::Dense`]: the default of the engine, so that a program recurses here
/// as deep as elsewhere.
pub(crate) const DENSE_STACK_BYTES: usize = 512 << 10;

/// The same with [`Profile::Image`].
const IMAGE_STACK_BYTES: usize = 2 << 20;

/// What the host's own functions may use of a stack, below the deepest frame of a program.
const HOST_STACK_BYTES: usize = 256 << 10;

/// How many processes [`Profile::Image`] has room for unless it is said otherwise. Each takes up to eight of the 65,530
/// mappings that Linux allows, and some 9 GiB of its addresses.
pub const IMAGE_PROCESSES: usize = 1_000;

/// Room beside the processes that are expected at once: the next one may begin while the last one is still being cleared away.
const SPARE_PROCESSES: usize = 32;

/// How many processes [`Profile::Dense`] has room for, where nothing else limits them. It costs addresses only.
pub(crate) const DENSE_PROCESSES_MAX: usize = 1 << 17;

/// Memories that a process of [`Profile::Image`] may have on average. Most have one.
const IMAGE_MEMORIES: usize = 2;

/// Why an engine is not there.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("the WebAssembly engine for the profile `{profile}` does not start: {reason}")]
    Start { profile: Profile, reason: String },
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// An engine with what programs are linked to.
pub(crate) struct Kind {
    pub(crate) profile: Profile,
    pub(crate) linker: Linker<ProcessState>,
    pub(crate) room: Arc<Room>,
}

/// The engines of a host.
pub(crate) struct Engines {
    config: EngineConfig,
    /// Held while one is made, so that it is made once.
    making: Mutex<()>,
    dense: OnceLock<Kind>,
    image: OnceLock<Kind>,
}

impl Engines {
    pub(crate) fn new(config: EngineConfig) -> Self {
        Self { config, making: Mutex::default(), dense: OnceLock::new(), image: OnceLock::new() }
    }

    /// The engine of a profile, made if it is not there yet.
    pub(crate) fn get(&self, profile: Profile) -> Result<&Kind, EngineError> {
        let cell = self.cell(profile);
        if let Some(kind) = cell.get() {
            return Ok(kind);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = cell.get() {
            return Ok(kind);
        }
        let limits = SystemLimits::read();
        let kind = match profile {
            Profile::Dense => self.dense(limits)?,
            Profile::Image => self.image(limits)?,
        };
        Ok(cell.get_or_init(|| kind))
    }

    /// The engine for a program that begins with this. Few processes have the fastest code whatever the program; where
    /// there may be many, the program decides.
    pub(crate) fn fitting(&self, footprint: &Footprint) -> Result<&Kind, EngineError> {
        if let Some(few) = self.few()
            && let Ok(kind) = self.get(Profile::Image)
            && kind.room.processes_max() >= few
        {
            return Ok(kind);
        }
        self.get(footprint.profile())
    }

    /// How many processes are expected, if it is known that they fit the pool.
    fn few(&self) -> Option<usize> {
        self.config.expected.filter(|expected| (1..=IMAGE_PROCESSES).contains(expected))
    }

    fn cell(&self, profile: Profile) -> &OnceLock<Kind> {
        match profile {
            Profile::Dense => &self.dense,
            Profile::Image => &self.image,
        }
    }

    /// Makes running processes yield.
    pub(crate) fn increment_epochs(&self) {
        for kind in [self.dense.get(), self.image.get()].into_iter().flatten() {
            kind.linker.engine().increment_epoch();
        }
    }

    fn dense(&self, limits: SystemLimits) -> Result<Kind, EngineError> {
        let stack = self.config.dense_stack_bytes.unwrap_or(DENSE_STACK_BYTES);
        let start = |reason: String| EngineError::Start { profile: Profile::Dense, reason };
        let arena = arena::Arena::reserve(stack_bytes(stack), self.config.guards, &limits)
            .map_err(|error| start(format!("its addresses cannot be reserved: {error}")))?;
        let mut config = common(stack);
        config
            .memory_reservation(0)
            .memory_guard_size(0)
            .memory_reservation_for_growth(0)
            .gc_heap_reservation(0)
            .gc_heap_guard_size(0)
            .gc_heap_reservation_for_growth(0)
            .memory_init_cow(false)
            .with_host_memory(Arc::new(arena.memories))
            .with_host_stack(Arc::new(arena.stacks));
        let room = Room::new(Profile::Dense, arena.processes_max, limits);
        self.kind(&config, room).map_err(|error| start(format!("{error:#}")))
    }

    fn image(&self, limits: SystemLimits) -> Result<Kind, EngineError> {
        let wanted =
            self.config.image_processes.or(self.few().map(|few| few + SPARE_PROCESSES)).unwrap_or(IMAGE_PROCESSES);
        let processes = limits.image_processes(wanted)?;
        let start = |reason: String| EngineError::Start { profile: Profile::Image, reason };
        let stack = self.config.image_stack_bytes.unwrap_or(IMAGE_STACK_BYTES);
        let mut config = common(stack);
        if self.config.image_on_demand {
            let stacks = arena::stacks(processes, stack_bytes(stack), self.config.guards)
                .map_err(|error| start(format!("its addresses cannot be reserved: {error}")))?;
            config.with_host_stack(Arc::new(stacks));
        } else {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(processes)));
        }
        let room = Room::new(Profile::Image, processes, limits);
        self.kind(&config, room).map_err(|error| start(format!("{error:#}")))
    }

    fn kind(&self, config: &Config, room: Room) -> wasmtime::Result<Kind> {
        let linker = self.linker(&Engine::new(config)?)?;
        Ok(Kind { profile: room.profile(), linker, room: Arc::new(room) })
    }

    fn linker(&self, engine: &Engine) -> wasmtime::Result<Linker<ProcessState>> {
        let mut linker = Linker::new(engine);
        crate::guest_api::add_to_linker(&mut linker)?;
        self.host_interfaces().add_to_linker(&mut linker)?;
        Ok(linker)
    }

    /// Whether the embedder's host interfaces fit beside what is there, told before there is a program for an engine.
    pub(crate) fn check_host_interfaces(&self) -> wasmtime::Result<()> {
        if self.host_interfaces().are_some() {
            self.linker(&Engine::new(&common(DENSE_STACK_BYTES))?)?;
        }
        Ok(())
    }

    /// What the embedder has for programs.
    pub(crate) fn host_interfaces(&self) -> &HostInterfaces {
        &self.config.host_interfaces
    }
}

/// The pool of [`Profile::Image`]. It has all that so many processes could need, guards of their stacks among it, before the
/// first of them begins.
fn pool(processes: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let memories = count(processes * IMAGE_MEMORIES);
    let any = u32::MAX;
    pool.total_component_instances(count(processes))
        .total_stacks(count(processes))
        .total_memories(memories)
        .total_tables(count(processes * IMAGE_TABLES))
        // What follows is counted and not reserved.
        .total_core_instances(any)
        .max_core_instances_per_component(any)
        .max_memories_per_component(memories)
        .max_tables_per_component(any)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_tables_per_module(IMAGE_TABLES_PER_MODULE)
        .table_elements(TABLE_ELEMENTS)
        .total_gc_heaps(count(processes))
        // What nearly every process needs again stays in memory and is zeroed by hand.
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(STACK_KEPT_BYTES)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Tables of a process of [`Profile::Image`], on average.
const IMAGE_TABLES: usize = 4;
const IMAGE_TABLES_PER_MODULE: u32 = 16;

/// Elements of one such table: functions that are called by address, of which CPython has 10,000. They cost addresses.
const TABLE_ELEMENTS: usize = 1 << 20;

/// The tables of functions, globals and types of one instance in the engine.
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// Of a memory that is free, how much keeps its pages.
const MEMORY_KEPT_BYTES: usize = 256 << 10;

/// The same of a stack.
const STACK_KEPT_BYTES: usize = 16 << 10;

/// A stack for so many bytes of WebAssembly. Twice that, as a host function at the deepest place may call the program's
/// allocator, which the engine gives the whole depth once more; and what the host's functions need beneath.
const fn stack_bytes(wasm_bytes: usize) -> usize {
    2 * wasm_bytes + HOST_STACK_BYTES
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn common(wasm_stack_bytes: usize) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(wasm_stack_bytes)
        .async_stack_size(stack_bytes(wasm_stack_bytes));
    config
}
