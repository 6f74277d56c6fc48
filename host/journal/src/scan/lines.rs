//! A line ends at its newline, whatever is in it.

use super::{Ends, Found, Start};

pub(super) struct Lines {
    offset: u64,
    ends: Ends,
}

impl Lines {
    pub(super) fn new(start: &Start) -> Lines {
        Lines { offset: start.offset, ends: Ends::new(start) }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if let Some(last) = memchr::memrchr(b'\n', bytes) {
            self.ends.end = self.offset + last as u64 + 1;
            self.ends.records += memchr::memchr_iter(b'\n', bytes).count() as u64;
        }
        self.offset += bytes.len() as u64;
    }

    pub(super) fn finish(self) -> Found {
        self.ends.found()
    }
}
