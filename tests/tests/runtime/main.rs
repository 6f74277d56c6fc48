//! The host as a library, with guests as processes: one module a topic.

mod appends;
mod contract;
mod cpu_share;
mod deadlocks;
mod deaths;
mod endings;
mod every_call;
mod fairness;
mod fences;
mod hostile;
mod inputs;
mod isolation;
mod max_hold;
mod plain;
mod processes;
mod records;
mod stalls;
mod torn_demo;
mod waits;
