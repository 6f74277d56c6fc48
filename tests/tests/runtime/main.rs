//! The host as a library, with guests as processes: one module a topic.

mod contract;
mod endings;
mod fences;
mod records;
mod waits;
