//! Very many processes, very short ones, very deep ones and large ones: what they take, and what they leave.
//!
//! `SCALE=1` makes the numbers those of the promises: a hundred thousand processes at one lock, a million short ones.
//! Figures go to standard error.

mod depth;
mod memory;
mod parked;
mod reuse;
mod room;
mod support;
