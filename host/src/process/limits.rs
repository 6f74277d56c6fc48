//! What one process may use.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use wasmtime::ResourceLimiter;

/// The limits of one process. Each has a default that stops an accident, and each can be set in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory over all memories of the process. Going over ends it. Default 256 MiB.
    pub memory_bytes_max: u64,
    /// How long the process may run and wait, from its start. Default: for ever.
    pub timeout: Option<Duration>,
    /// Handles of locks and files open at once. Default 1,000.
    pub handles_max: u32,
    /// Bytes that one host call may bring in. Default 2 MiB; a record has to fit.
    pub call_bytes_max: usize,
    /// Bytes on the process's standard streams, where the host collects them; the rest is dropped and reported.
    /// Default 64 MiB.
    pub output_bytes_max: u64,
    /// Bytes that the process may append while they are held back for one commit at its end. Default 64 MiB.
    pub held_back_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
            timeout: None,
            handles_max: 1_000,
            call_bytes_max: 2 << 20,
            output_bytes_max: 64 << 20,
            held_back_bytes_max: 64 << 20,
        }
    }
}

/// Tables hold references, not bytes; this many elements cost the host 80 MB at worst.
const TABLE_ELEMENTS_MAX: usize = 10_000_000;

/// The engine asks this before a process's memories and tables grow.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    bytes_max: u64,
    bytes: u64,
    table_elements: usize,
}

/// The error with which a growth beyond the limit ends the process.
#[derive(Debug, thiserror::Error)]
#[error("memory limit of {} reached", ByteSize(*limit_bytes))]
pub(crate) struct MemoryExceeded {
    pub(crate) limit_bytes: u64,
}

impl MemoryLimiter {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, table_elements: 0 }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.bytes.saturating_add((desired - current) as u64);
        if grown > self.bytes_max {
            // An error and not a refusal: few programs survive a refused growth, and this way it is told for what it is.
            return Err(MemoryExceeded { limit_bytes: self.bytes_max }.into());
        }
        self.bytes = grown;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.table_elements.saturating_add(desired - current);
        if grown > TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        self.table_elements = grown;
        Ok(true)
    }
}

/// A number of bytes, read and written as people do: `64MiB`, `1.5GiB`, `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number, or the largest one that this machine can count to.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A text that is no [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no size; write a number and a unit, such as 64MiB, 512KiB, 1GiB or 4096B")]
pub struct ByteSizeError {
    text: String,
}

const UNITS: [(&str, u64); 9] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ByteSizeError { text: text.to_owned() };
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(error)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(*factor).map(Self).ok_or_else(error);
        }
        let fraction: f64 = number.parse().map_err(|_| error())?;
        let bytes = fraction * *factor as f64;
        if bytes.is_finite() && bytes < 9e18 { Ok(Self(bytes as u64)) } else { Err(error()) }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..3].iter().find(|(_, factor)| self.0 >= *factor) {
            Some((unit, factor)) if self.0.is_multiple_of(*factor) => write!(f, "{} {unit}", self.0 / factor),
            Some((unit, factor)) => write!(f, "{:.1} {unit}", self.0 as f64 / *factor as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!("64MiB".parse(), Ok(ByteSize(64 << 20)));
        assert_eq!("1.5GiB".parse(), Ok(ByteSize(3 << 29)));
        assert_eq!("4096".parse(), Ok(ByteSize(4096)));
        assert_eq!("10 MB".parse(), Ok(ByteSize(10_000_000)));
        for bad in ["", "MiB", "64 miles", "-1", "1.2.3MiB", "99999999999GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64 MiB");
        assert_eq!(ByteSize(1_500).to_string(), "1.5 KiB");
    }

    #[test]
    fn memory_counts_over_all_memories_and_its_end_is_an_error() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).is_ok());
        assert!(limiter.memory_growing(0, 60, None).is_err());
        assert!(limiter.memory_growing(60, 100, None).is_ok());
    }
}
