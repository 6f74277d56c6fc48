//! A csv row ends at a newline outside quotes. The machine of [`crate::csv_scan`] decides; it is only asked about the
//! bytes that it may answer differently, and the others are skipped.

use super::utf8::Utf8;
use super::{Ends, FaultKind, Found, Oddities, Start};
use crate::csv_scan::{BYTE_ORDER_MARK, State, Step};

/// How many of `bytes` the machine would take from `state` without ending a row or passing a quote, and its state after
/// them. In most files that is nearly all of them.
pub(crate) fn skip(state: State, bytes: &[u8]) -> (usize, State) {
    match state {
        State::QuoteInQuoted => (0, state),
        State::Quoted => (memchr::memchr(b'"', bytes).unwrap_or(bytes.len()), state),
        State::RecordStart | State::FieldStart | State::Plain => {
            let len = memchr::memchr3(b'"', b'\n', b'\r', bytes).unwrap_or(bytes.len());
            match bytes[..len].last() {
                None => (0, state),
                Some(b',') => (len, State::FieldStart),
                Some(_) => (len, State::Plain),
            }
        }
    }
}

/// How many commas there are; most spans are too short for a call to be worth it.
fn commas(span: &[u8]) -> usize {
    match span.len() {
        0..32 => span.iter().filter(|&&byte| byte == b',').count(),
        _ => memchr::memchr_iter(b',', span).count(),
    }
}

pub(super) struct Rows {
    state: State,
    /// Of the next byte.
    offset: u64,
    /// The first bytes of the file, as long as they may be a byte order mark.
    mark: Option<Vec<u8>>,
    strict: bool,
    /// Rows that have ended, be it at a carriage return whose newline is still to come.
    rows_ended: u64,
    /// Where the row began that has not ended, and what is known of it.
    row_from: u64,
    columns: usize,
    stray_quote: Option<u64>,
    /// The columns of the first row.
    columns_expected: Option<usize>,
    first_row_kept_max: usize,
    first_row: Vec<u8>,
    first_row_whole: bool,
    utf8: Utf8,
    /// What was odd before the last end, and after it.
    oddities: Oddities,
    oddities_after: Oddities,
    ends: Ends,
    columns_found: Option<usize>,
}

impl Rows {
    pub(super) fn new(start: &Start) -> Rows {
        let columns = start.columns.map(|columns| usize::try_from(columns).expect("it was counted in memory"));
        Rows {
            state: State::RecordStart,
            offset: start.offset,
            mark: (start.offset == 0).then(Vec::new),
            strict: start.strict,
            rows_ended: start.records,
            row_from: start.offset,
            columns: 1,
            stray_quote: None,
            columns_expected: columns,
            first_row_kept_max: start.first_row_kept_max,
            first_row: Vec::new(),
            first_row_whole: true,
            utf8: Utf8::default(),
            oddities: Oddities::default(),
            oddities_after: Oddities::default(),
            ends: Ends::new(start),
            columns_found: columns,
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        // A byte order mark is no part of the first field, so a quote behind it opens one.
        if let Some(mut mark) = self.mark.take() {
            let taken = bytes.len().min(BYTE_ORDER_MARK.len() - mark.len());
            mark.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if mark == BYTE_ORDER_MARK {
                self.offset += mark.len() as u64;
            } else if BYTE_ORDER_MARK.starts_with(&mark) {
                self.mark = Some(mark);
                return;
            } else {
                self.take(&mark);
            }
        }
        self.take(bytes);
    }

    pub(super) fn finish(mut self) -> Found {
        if let Some(mark) = self.mark.take() {
            self.take(&mark);
        }
        Found {
            columns: self.columns_found,
            first_row: self.first_row,
            first_row_whole: self.first_row_whole,
            oddities: self.oddities,
            ..self.ends.found()
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut at = 0;
        let mut end = 0;
        while at < bytes.len() {
            at += self.take_skipped(&bytes[at..], at);
            let Some(&byte) = bytes.get(at) else { break };
            self.take_one(byte, at);
            at += 1;
            if byte == b'\n' && self.state == State::RecordStart {
                end = at;
                self.rows_are_whole(at);
            }
        }
        if self.strict {
            let (whole, after) = bytes.split_at(end);
            self.utf8.check(whole, self.offset, &mut self.oddities);
            self.utf8.check(after, self.offset + end as u64, &mut self.oddities_after);
        }
        self.offset += bytes.len() as u64;
    }

    fn take_skipped(&mut self, bytes: &[u8], at: usize) -> usize {
        let (len, next) = skip(self.state, bytes);
        if len == 0 {
            return 0;
        }
        let span = &bytes[..len];
        if self.state == State::RecordStart {
            self.row_from = self.offset + at as u64;
        }
        if self.state != State::Quoted && (self.strict || self.columns_expected.is_none()) {
            self.columns += commas(span);
        }
        self.keep(span);
        self.state = next;
        len
    }

    fn take_one(&mut self, byte: u8, at: usize) {
        let (next, step) = self.state.step(byte);
        if self.state == State::RecordStart && step != Step::Blank {
            self.row_from = self.offset + at as u64;
        }
        self.state = next;
        match step {
            Step::Inside => self.keep(&[byte]),
            Step::Stray => {
                self.stray_quote.get_or_insert(self.offset + at as u64);
                self.keep(&[byte]);
            }
            Step::FieldEnd => {
                self.columns += 1;
                self.keep(&[byte]);
            }
            Step::RecordEnd => self.row_ends(),
            Step::Blank => {}
        }
    }

    fn row_ends(&mut self) {
        self.rows_ended += 1;
        let (found, stray) = (self.columns, self.stray_quote.take());
        self.columns = 1;
        let expected = *self.columns_expected.get_or_insert(found);
        if !self.strict {
            return;
        }
        if let Some(offset) = stray {
            self.oddities_after.note(offset, FaultKind::StrayQuote);
        }
        if expected != found {
            self.oddities_after.note(self.row_from, FaultKind::Columns { expected, found });
        }
    }

    fn rows_are_whole(&mut self, at: usize) {
        self.ends = Ends { end: self.offset + at as u64, records: self.rows_ended };
        // Nothing but blank lines says nothing.
        if self.rows_ended > 0 {
            self.columns_found = self.columns_expected;
        }
        self.oddities.absorb(&mut self.oddities_after);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.rows_ended > 0 {
            return;
        }
        let room = self.first_row_kept_max - self.first_row.len();
        self.first_row_whole &= bytes.len() <= room;
        self.first_row.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
