//! What one process may use.

use std::num::NonZeroU64;
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
    /// Elements of all tables of the process together: references of 8 bytes or so each. Default 10,000,000.
    pub table_elements_max: u64,
    /// Tables. A component of a few modules has a few of each. Default 256.
    pub tables_max: u32,
    /// Memories. Each, however small, reserves 4 GiB of the host's addresses, of which there are 128 TiB for all processes.
    /// Default 32.
    pub memories_max: u32,
    /// Its share of its core while others compute there, in percent of a full one, 1 to 100. With 50 it gets half as many
    /// slices as one with 100. Alone it has the whole core, and it has a full share while it holds a lock, as others may wait
    /// for that. Default 100.
    pub cpu_share_percent: u8,
    /// Handles of locks and files open at once. Default 1,000.
    pub handles_max: u32,
    /// Files and directories of WASI that it has opened and not closed. A stream of a file that is closed counts no more; those
    /// are limited together with all else that WASI has handles for. Default 256.
    pub open_files_max: u32,
    /// Bytes that one host call may bring in. Default 2 MiB; a record has to fit.
    pub call_bytes_max: usize,
    /// Bytes on the process's standard streams, where the host collects them; the rest is dropped and reported.
    /// Default 64 MiB.
    pub output_bytes_max: u64,
    /// Bytes that it may write to its standard streams in a second, where the host collects them or they are files; who writes
    /// more waits. Default: no limit.
    pub output_rate_max: Option<NonZeroU64>,
    /// Bytes that the process may append while they are held back for one commit at its end. Default 64 MiB.
    pub held_back_bytes_max: u64,
    /// Bytes that the process may append to all its files together, newlines and frames included. Default: no limit.
    pub append_bytes_max: Option<u64>,
    /// Records that it may append to all its files together. Default: no limit.
    pub append_records_max: Option<u64>,
    /// Processes that it has started and that are alive. Default 64.
    pub children_max: u32,
    /// Generations of processes below it. Default 8.
    pub depth_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
            timeout: None,
            table_elements_max: 10_000_000,
            tables_max: 256,
            memories_max: 32,
            cpu_share_percent: 100,
            handles_max: 1_000,
            open_files_max: 256,
            call_bytes_max: 2 << 20,
            output_bytes_max: 64 << 20,
            output_rate_max: None,
            held_back_bytes_max: 64 << 20,
            append_bytes_max: None,
            append_records_max: None,
            children_max: 64,
            depth_max: 8,
        }
    }
}

/// A component of a few modules has a few of them.
const INSTANCES_MAX: usize = 1_000;

/// The engine asks this before a process's memories and tables grow.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    bytes_max: u64,
    bytes: u64,
    table_elements_max: u64,
    table_elements: u64,
    tables_max: u32,
    memories_max: u32,
}

/// The error with which a growth beyond the limit ends the process.
#[derive(Debug, thiserror::Error)]
#[error("memory limit of {} reached", ByteSize(*limit_bytes))]
pub(crate) struct MemoryExceeded {
    pub(crate) limit_bytes: u64,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes_max: limits.memory_bytes_max,
            bytes: 0,
            table_elements_max: limits.table_elements_max,
            table_elements: 0,
            tables_max: limits.tables_max,
            memories_max: limits.memories_max,
        }
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
        let grown = self.table_elements.saturating_add((desired - current) as u64);
        if grown > self.table_elements_max {
            return Ok(false);
        }
        self.table_elements = grown;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        self.memories_max as usize
    }

    fn tables(&self) -> usize {
        self.tables_max as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_over_all_memories_and_its_end_is_an_error() {
        let mut limiter = MemoryLimiter::new(&Limits { memory_bytes_max: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).is_ok());
        assert!(limiter.memory_growing(0, 60, None).is_err());
        assert!(limiter.memory_growing(60, 100, None).is_ok());
    }

    #[test]
    fn table_elements_count_over_all_tables_and_more_are_refused() {
        let mut limiter = MemoryLimiter::new(&Limits { table_elements_max: 10, ..Limits::default() });
        let mut grows = |current, desired| limiter.table_growing(current, desired, None).expect("no error");
        assert!(grows(0, 6) && !grows(0, 5) && grows(6, 10) && !grows(10, 11));
    }
}
