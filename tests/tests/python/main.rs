//! Python programs, unchanged, as guests.
//!
//! What is in `same` runs under `python3` of this machine as well, and has the same standard output and the same exit code
//! there. What is in `ours` hangs there, or cannot be: what it prints here stands beside it.
//!
//! The first test that runs a guest builds the runner, in a minute, into `target/guests/python`.

mod cases;
mod crowd;
mod package;
mod rows;
mod support;
