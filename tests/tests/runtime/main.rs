//! The host as a library, with guests as processes: one module a topic.

mod contract;
mod deadlocks;
mod endings;
mod fences;
mod inputs;
mod isolation;
mod plain;
mod records;
mod torn_demo;
mod waits;
