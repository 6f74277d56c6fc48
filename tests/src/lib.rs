//! What the tests stand on: guests that are built when they are needed, and a host that can be watched.
//!
//! No test sleeps. A test waits for what the host knows ("three processes wait for `a`"), and gives up loudly after
//! [`PATIENCE`].

mod guests;
mod host;
mod play;
mod python;

pub use guests::{command, guest, guest_p1, plugin, workspace};
pub use host::{Lines, TestHost, comes_true, join, log_of, spec, until};
pub use play::{Actor, Play, configured, thing};
pub use python::{environment, install, well};

use std::fmt;
use std::io::{Write, stderr};
use std::time::Duration;

/// How long a test waits for something that must come. Long, because it is only ever waited for in full when something
/// is broken, and the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the numbers are to be those of the promises, and the tests as long as that takes.
pub fn at_full_scale() -> bool {
    std::env::var_os("SCALE").is_some_and(|value| value != "0")
}

/// Says what a long test came to. `cargo test` keeps what a test that passes prints with `println!`, and this is what the
/// test was run for.
pub fn figure(line: fmt::Arguments<'_>) {
    // A figure that nobody reads fails no test.
    drop(stderr().lock().write_all(format!("{line}\n").as_bytes()));
}
