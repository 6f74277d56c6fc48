//! Locks that other hosts of this machine and native programs have too.

mod deaths;
mod natives;
mod outside;
mod support;
mod together;
