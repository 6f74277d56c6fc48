//! What one process may use.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::byte_size::ByteSize;

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
    /// Bytes that the process may append to all its files together, newlines and frames included. Default: no limit.
    pub append_bytes_max: Option<u64>,
    /// Records that it may append to all its files together. Default: no limit.
    pub append_records_max: Option<u64>,
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
            append_bytes_max: None,
            append_records_max: None,
        }
    }
}

/// Tables hold references, not bytes; this many elements cost the host 80 MB at worst.
const TABLE_ELEMENTS_MAX: usize = 10_000_000;

/// Each memory of a process with the profile `image` reserves 4 GiB of the host's addresses, of which there are 128 TiB.
const MEMORIES_MAX: usize = 32;

/// A component of a few modules has a few of each.
const INSTANCES_MAX: usize = 1_000;
const TABLES_MAX: usize = 256;

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

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_over_all_memories_and_its_end_is_an_error() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).is_ok());
        assert!(limiter.memory_growing(0, 60, None).is_err());
        assert!(limiter.memory_growing(60, 100, None).is_ok());
    }
}
