//! What the owners of mutexes see, one promise per test. Time is passed in, so nothing here sleeps.
#![cfg(not(loom))]

mod acquire;
mod deadlocks;
mod ends;
mod fairness;
mod fences;
mod shutdown;
mod support;
mod threads;
mod waits;
