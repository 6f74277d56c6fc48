//! The command as its users meet it: the real binary, in a directory of each test's own.
//!
//! One module per topic. What is checked is what a user sees: exit codes, both streams, and what stands in the files.

mod bad_input;
mod build;
mod cache;
mod deadlocks;
mod file_tool;
mod files;
mod grants;
mod help;
mod limits;
mod lock;
mod main_job;
mod many;
mod map;
mod map_batch;
mod map_inputs;
mod map_joblog;
mod map_output;
mod map_resume;
mod plain;
mod primitives;
mod processes;
mod signals;
mod stalls;
mod support;
