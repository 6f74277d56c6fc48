//! Which entries of a sidecar the data bears out.

use std::collections::BTreeMap;
use std::io;

use super::entry::IdEntry;
use crate::storage::{Storage, read_exact_at};

/// How much of the data is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The data that entries are held against.
pub(super) struct Evidence<'a> {
    data: &'a dyn Storage,
    /// What ends here or before was durable, entry and data, and is believed.
    trusted: u64,
    /// Where the last whole record ends.
    end: u64,
    chunk: Vec<u8>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(data: &'a dyn Storage, trusted: u64, end: u64) -> Evidence<'a> {
        Evidence { data, trusted: trusted.min(end), end, chunk: vec![0; CHUNK_BYTES] }
    }

    /// Whether the data of the entry is in the file, whole.
    pub(super) fn bears_out(&mut self, entry: &IdEntry) -> io::Result<bool> {
        if entry.len == 0 || entry.end() <= self.trusted {
            return Ok(true);
        }
        if entry.end() > self.end {
            return Ok(false);
        }
        let (mut at, mut checksum) = (entry.offset, 0);
        while at < entry.end() {
            let wanted = usize::try_from(entry.end() - at).unwrap_or(usize::MAX).min(self.chunk.len());
            let piece = &mut self.chunk[..wanted];
            read_exact_at(self.data, piece, at)?;
            checksum = crc32c::crc32c_append(checksum, piece);
            at += piece.len() as u64;
        }
        Ok(checksum == entry.checksum)
    }
}

/// Bytes that are spoken for, as ranges that neither overlap nor touch: one range, as a rule.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<u64, u64>);

impl Claims {
    /// Claims the bytes of the entry, unless one of them is claimed already.
    pub(super) fn claim(&mut self, entry: &IdEntry) -> bool {
        let (mut start, mut end) = (entry.offset, entry.end());
        if start == end {
            return true;
        }
        // The last range that begins before the end of this one is the only one that can reach into it.
        let before = self.0.range(..end).next_back().map(|(&start, &end)| (start, end));
        if before.is_some_and(|(_, before_end)| before_end > start) {
            return false;
        }
        if let Some((before_start, before_end)) = before
            && before_end == start
        {
            self.0.remove(&before_start);
            start = before_start;
        }
        if let Some(after_end) = self.0.remove(&end) {
            end = after_end;
        }
        self.0.insert(start, end);
        true
    }
}
