//! What an embedder does step by step: set a host up, load programs into it, start a process, call a plugin. All of it stands
//! on the data that [`Runtime`](crate::Runtime) and [`Job`](crate::Job) take.

mod builder;
mod load;
mod plugin;
mod spawn;

pub use builder::RuntimeBuilder;
pub use plugin::{CallError, Plugin, PluginError};
pub use spawn::{Grant, Spawn};
