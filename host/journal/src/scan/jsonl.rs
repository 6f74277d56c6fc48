//! A line of JSON ends at its newline, which cannot stand in a JSON string; so whether it is JSON need only be looked at
//! when somebody asks.

use super::lines::Lines;
use super::{FaultKind, Found, Oddities, Start};
use crate::json_line::check_json_line;

/// A longer line is not looked at, so that the memory stays bounded.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

pub(super) struct JsonLines {
    lines: Lines,
    check: Option<Check>,
}

/// Looks at each line.
struct Check {
    /// Of the next byte.
    offset: u64,
    /// What is known of the line that has not ended, unless it is too long.
    line: Vec<u8>,
    line_from: u64,
    too_long: bool,
    line_bytes_max: usize,
    oddities: Oddities,
}

impl JsonLines {
    pub(super) fn new(start: &Start) -> JsonLines {
        JsonLines::with_line_bytes_max(start, LINE_BYTES_MAX)
    }

    pub(super) fn with_line_bytes_max(start: &Start, line_bytes_max: usize) -> JsonLines {
        let check = start.strict.then(|| Check {
            offset: start.offset,
            line: Vec::new(),
            line_from: start.offset,
            too_long: false,
            line_bytes_max,
            oddities: Oddities::default(),
        });
        JsonLines { lines: Lines::new(start), check }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.lines.feed(bytes);
        if let Some(check) = &mut self.check {
            check.feed(bytes);
        }
    }

    pub(super) fn finish(self) -> Found {
        let found = self.lines.finish();
        match self.check {
            Some(check) => Found { oddities: check.oddities, ..found },
            None => found,
        }
    }
}

impl Check {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (piece, rest) = (&bytes[..at], &bytes[at + 1..]);
            if self.line.is_empty() && !self.too_long && piece.len() <= self.line_bytes_max {
                self.line_ends(piece);
            } else {
                self.hold(piece);
                let mut line = std::mem::take(&mut self.line);
                self.line_ends(&line);
                line.clear();
                self.line = line;
            }
            self.offset += at as u64 + 1;
            self.line_from = self.offset;
            self.too_long = false;
            bytes = rest;
        }
        self.hold(bytes);
        self.offset += bytes.len() as u64;
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.too_long || piece.len() > self.line_bytes_max - self.line.len() {
            self.too_long = true;
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    fn line_ends(&mut self, line: &[u8]) {
        if self.too_long {
            let line_bytes_max = self.line_bytes_max;
            return self.oddities.note(self.line_from, FaultKind::TooLongToCheck { line_bytes_max });
        }
        // Both are white space in JSON, so a file with \r\n is one of this format all the same.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            self.oddities.note(self.line_from, FaultKind::BlankLine);
        } else if let Err(fault) = check_json_line(line) {
            self.oddities.note(self.line_from + fault.at as u64, FaultKind::NotJson { reason: fault.reason });
        }
    }
}
