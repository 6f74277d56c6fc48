//! A host that runs many WebAssembly processes, and keeps the locks and the shared files for them.
//!
//! A process never touches a lock word that another one can reach, and never holds the descriptor of a shared file: it
//! asks the host through the contract in `wit/`. So a lock ends with its owner however the owner ends, whoever lost a
//! lock cannot write any more, and a record is in its file whole or not at all.
//!
//! ```no_run
//! use lockkeeper::{AppendSpec, Durability, FileSpec, Format, JobSpec, LockSpec, ProcessSpec, Runtime, RuntimeConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::new(RuntimeConfig { state_dir: "state".into(), ..RuntimeConfig::default() })?;
//! let program = runtime.load("client.wasm".as_ref())?;
//! let job = runtime.job(JobSpec {
//!     locks: vec![LockSpec { name: "results".into(), ..LockSpec::default() }],
//!     files: vec![AppendSpec {
//!         name: "results".into(),
//!         file: FileSpec::new("results.txt", Format::Lines, "my host"),
//!         requires_lock: Some("results".into()),
//!         durability: Durability::Written,
//!     }],
//!     ..JobSpec::default()
//! })?;
//! let process = job.spawn(
//!     &program,
//!     &ProcessSpec {
//!         name: "client".into(),
//!         locks: vec!["results".into()],
//!         files: vec!["results".into()],
//!         ..ProcessSpec::default()
//!     },
//! )?;
//! println!("{}", process.join_blocking().outcome);
//! # Ok(())
//! # }
//! ```
//!
//! The library does not print, exit or read the environment, but for where the system keeps temporary files: the inputs of
//! a process are linked there. It installs a handler for `SIGXFSZ`, so that a limit on the
//! size of files is an error and not the end of the host.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

mod bindings;
mod byte_size;
mod clock;
mod engine;
mod grants;
mod guest_api;
mod host;
mod ids;
mod job;
pub mod manifest;
mod name;
pub mod observe;
mod process;
mod program;
mod runtime;
mod scope;
mod shard;
mod stall;
mod turn;

pub use byte_size::{ByteSize, ByteSizeError};
pub use engine::{Footprint, IMAGE_PROCESSES, NoRoom, Profile, StackGuards};
pub use ids::ProcessId;
pub use job::{
    AppendSpec, DEPTH_MAX, Job, JobError, JobLimits, JobSpec, LockKind, LockSpec, ProgramSpec, SeriesError, SpawnError,
    VALUE_BYTES_MAX, ValueContent, ValueSpec,
};
pub use lockkeeper_journal::{
    AppendError, AppendFile, Appended, CheckpointUse, Durability, FileSpec, Format, FormatKind, FrameInfo, IdsReport,
    IfExists, OpenError, OpenReport, Parents, Position, Quota, RECORD_BYTES_MAX, ReadError, Reader, Record, RecordId,
    SyncError, Tail, Torn,
};
pub use lockkeeper_journal::{os_lock, storage};
pub use lockkeeper_locks::{
    AfterDeath, Ask, Counters, Delivery, EndCause, Holder, Limits as LockLimits, LockConfig, LockState, LockView, Mode,
    Parties, Previous, QueueConfig, Scalar, ScalarKind, Scalars, SemaphoreKind, Waiter, Want,
};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use observe::Outcome;
pub use process::{
    Access, Clocks, Commit, CommitOrder, CommitTurn, DirGrant, Exit, InputContent, InputError, Limits, LineSink,
    NamedSink, Placement, Process, ProcessSpec, Random, StandardStream, Stdio, Stream, StreamFileError, UnknownGrant,
};
pub use program::{Import, Inspection, Program, ProgramError};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use stall::Stall;
