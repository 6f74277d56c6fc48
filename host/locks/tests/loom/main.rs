//! Races between two or three threads, in every order that the model checker finds. Each test is named after its race.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lockkeeper-locks --test loom --release`
#![cfg(loom)]

mod mutex;
mod primitives;
mod support;
