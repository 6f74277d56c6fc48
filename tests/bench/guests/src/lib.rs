//! What the benchmark's guest programs share. Each program in `src/bin` says in its header what it measures.
//!
//! Time is measured in here, inside the guest, or by the host between two looks at a counter: what it costs to start a
//! process is in no figure.

pub mod append;
mod bindings;

use std::error;
use std::time::{Duration, Instant};

use bindings::lockkeeper::bench::empty;

/// What a program's `main` returns.
pub type Outcome = Result<(), Box<dyn error::Error>>;

/// The argument at this place, from 1.
///
/// # Errors
///
/// That it is missing, by the name given.
pub fn argument(place: usize, name: &str) -> Result<String, String> {
    std::env::args().nth(place).ok_or_else(|| format!("argument {place}, {name}, is missing"))
}

/// The argument at this place, from 1, as a number.
///
/// # Errors
///
/// That it is missing or no number, by the name given.
pub fn number(place: usize, name: &str) -> Result<u64, String> {
    let text = argument(place, name)?;
    text.parse().map_err(|_| format!("argument {place}, {name}, is not a number: {text}"))
}

/// How long so many calls of `work` take, after a tenth as many that do not count.
///
/// # Errors
///
/// The first one of `work`.
pub fn timed<E>(count: u64, mut work: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    for _ in 0..count / 10 {
        work()?;
    }
    let begun = Instant::now();
    for _ in 0..count {
        work()?;
    }
    Ok(begun.elapsed())
}

/// Two host calls of the shape of acquire and release that do nothing.
pub struct EmptyPair(empty::Mutex);

impl EmptyPair {
    /// Opens the handle of nothing.
    ///
    /// # Errors
    ///
    /// What the host says, which is never.
    pub fn open() -> Result<Self, String> {
        empty::Mutex::open("empty").map(Self).map_err(|error| format!("{error:?}"))
    }

    /// Makes the two calls.
    ///
    /// # Errors
    ///
    /// What the host says, which is never.
    pub fn call(&self) -> Result<(), String> {
        let acquired = self.0.acquire(None).map_err(|error| format!("{error:?}"))?;
        self.0.release(Some(acquired.fence)).map_err(|error| format!("{error:?}"))
    }
}
