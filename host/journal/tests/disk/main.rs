//! The append file on a disk in memory, which fails, dies and loses power where a test wants it to.

mod after_faults;
mod check_agrees;
mod deaths;
mod double;
mod faults;
mod forgotten;
mod groups;
mod lost_pages;
mod outsiders;
mod power;
mod power_after_faults;
mod replaced;
mod script;
mod selftest;
mod shared;
