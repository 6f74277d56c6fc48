//! A host that runs many WebAssembly processes, and keeps the locks and the shared files for them.
//!
//! A process never touches a lock word that another one can reach, and never holds the descriptor of a shared file: it
//! asks the host through the contract in `wit/`. So a lock ends with its owner however the owner ends, whoever lost a
//! lock cannot write any more, and a record is in its file whole or not at all.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use lockkeeper::{AppendSpec, FileSpec, Format, Grant, JobSpec, LockSpec, Program, Runtime};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().state_dir("state").build()?;
//! let program = Program::from_file(&runtime, "client.wasm")?;
//! let results = FileSpec::new("results.txt", Format::Lines, "my host");
//! let job = runtime.job(JobSpec {
//!     locks: vec![LockSpec::new("results")],
//!     files: vec![AppendSpec::new("results", results).requires_lock("results")],
//!     ..JobSpec::default()
//! })?;
//! let process = runtime
//!     .spawn(&program)
//!     .job(&job)
//!     .grant(Grant::lock("results"))
//!     .grant(Grant::file("results"))
//!     .limit(|limits| limits.timeout = Some(Duration::from_secs(60)))
//!     .start()?;
//!
//! // Host code takes the same lock, and writes the same file.
//! let mut mine = job.locks("my host");
//! let hold = mine.acquire("results").await?;
//! mine.append("results", "from the host").under(&hold).await?;
//! drop(hold);
//!
//! println!("{}", process.outcome().await);
//! # Ok(())
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | start programs | [`Runtime::spawn`], [`Job::spawn`] |
//! | call what a program exports | [`Spawn::plugin`], [`Plugin`] |
//! | give programs functions of your own | [`HostInterfaces`] |
//! | take the locks and append to the files of a job yourself | [`Job::locks`], [`Locks`] |
//! | be told of everything | [`observe`] |
//!
//! Every future that is given out is `Send`, and none needs an async runtime of a particular kind; what has a form for
//! threads that may block ends in `_blocking`, or in `.blocking()`. The package's `examples` show each of these at work.
//!
//! The library does not print, exit or read the environment, but for where the system keeps temporary files: the inputs of
//! a process are linked there. It installs a handler for `SIGXFSZ`, so that a limit on the
//! size of files is an error and not the end of the host.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

mod appending;
mod bindings;
mod blocking;
mod byte_size;
mod clock;
mod embed;
mod engine;
mod grants;
mod guest_api;
mod host;
mod host_code;
mod host_interfaces;
mod ids;
mod job;
pub mod manifest;
mod name;
pub mod observe;
mod private_dir;
mod process;
mod program;
mod runtime;
mod scope;
mod shard;
mod stall;
mod turn;

pub use byte_size::{ByteSize, ByteSizeError};
pub use embed::{CallError, Grant, Plugin, PluginError, RuntimeBuilder, Spawn};
pub use engine::{Footprint, IMAGE_PROCESSES, NoRoom, Profile, StackGuards};
pub use host_code::{Acquire, Append, Content, Hold, HostAppendError, HostAppended, LockError, Locks};
pub use host_interfaces::HostInterfaces;
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
pub use lockkeeper_journal::{flocks, lock_file, machine_lock, os_lock, storage};
pub use lockkeeper_locks::{
    AcquireError, AfterDeath, Ask, ClaimError, Counters, Delivery, EndCause, Holder, Limits as LockLimits, LockConfig,
    LockState, LockView, Mode, OwnerId, Parties, Previous, QueueConfig, ReleaseError, Scalar, ScalarKind, Scalars,
    SemaphoreKind, Waiter, Want,
};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use observe::Outcome;
pub use private_dir::make_private_dir;
pub use process::{
    Access, Clocks, Commit, CommitOrder, CommitTurn, DirGrant, Exit, InputContent, InputError, Limits, LineSink,
    NamedSink, Placement, Process, ProcessSpec, ProcessState, Random, StandardStream, Stdio, Stream, StreamFileError,
    UnknownGrant,
};
pub use program::{Import, Inspection, Program, ProgramError};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use scope::LockScope;
pub use stall::Stall;
/// The engine, whose types stand in what is said of [`HostInterfaces`] and [`Plugin`].
pub use wasmtime;
