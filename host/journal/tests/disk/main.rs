//! The append file on a disk in memory, which fails, dies and loses power where a test wants it to.

mod double;
mod script;
mod selftest;
