//! What one guest process is: who it is, what it may use, and how it ends.

mod actor;
mod ambient;
mod appends;
mod commit_order;
pub(crate) mod control;
pub(crate) mod family;
mod handle;
mod held_back;
mod input;
pub(crate) mod limits;
mod open_files;
mod output;
mod rate;
mod run;
mod spec;
mod state;
mod stdio;
mod terminal;

pub(crate) use actor::Actor;
pub use ambient::{Clocks, Random, UnknownGrant};
pub(crate) use appends::AppendsExceeded;
pub use commit_order::{CommitOrder, CommitTurn};
pub use handle::{Exit, Process};
pub(crate) use held_back::HeldBackError;
pub(crate) use input::{INPUT_DIR, InputDir};
pub use input::{InputContent, InputError};
pub use limits::Limits;
pub use output::{LineSink, Stream};
pub(crate) use run::{Prepared, run};
pub use spec::{Access, Commit, DirGrant, Placement, ProcessSpec};
pub(crate) use state::{Identity, ProcessState, Surroundings};
pub use stdio::{NamedSink, StandardStream, Stdio, StreamFileError};
pub(crate) use stdio::{Output, connect};
