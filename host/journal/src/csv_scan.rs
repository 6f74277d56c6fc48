//! Where csv records end: at a newline outside quotes.
//!
//! One small machine is used for both sides of the same question, so that they cannot disagree: where the records of
//! an existing file end (any bytes, read as the csv crate reads them), and whether bytes from a guest are exactly one
//! record (strict: what readers disagree on is refused).
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | `RecordStart` | nothing of a record seen; blank lines stay here | any byte but a line break |
//! | `FieldStart` | just after a comma | any byte |
//! | `Plain` | in a field that does not begin with a quote; quotes are ordinary here | comma, line break |
//! | `Quoted` | inside quotes; commas and line breaks are ordinary here | quote |
//! | `QuoteInQuoted` | a quote inside quotes: it closes them, or is the first of a doubled one | any byte |

use crate::error::InvalidRecord;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RecordStart,
    FieldStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

/// What a byte did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It belongs to a field, or encloses one.
    Inside,
    /// It is a quote, or follows one, in a place where readers disagree on its meaning.
    Stray,
    /// It is the comma that ends a field.
    FieldEnd,
    /// It is the line break that ends a record.
    RecordEnd,
    /// It is a line break between records.
    Blank,
}

impl State {
    fn step(self, byte: u8) -> (State, Step) {
        match (self, byte) {
            (State::Quoted, b'"') => (State::QuoteInQuoted, Step::Inside),
            (State::Quoted, _) => (State::Quoted, Step::Inside),
            (State::QuoteInQuoted, b'"') => (State::Quoted, Step::Inside),
            (State::RecordStart, b'\n' | b'\r') => (State::RecordStart, Step::Blank),
            (_, b'\n' | b'\r') => (State::RecordStart, Step::RecordEnd),
            (_, b',') => (State::FieldStart, Step::FieldEnd),
            (State::RecordStart | State::FieldStart, b'"') => (State::Quoted, Step::Inside),
            (State::Plain, b'"') | (State::QuoteInQuoted, _) => (State::Plain, Step::Stray),
            (State::RecordStart | State::FieldStart | State::Plain, _) => (State::Plain, Step::Inside),
        }
    }
}

/// How many columns `record` has, which must be one record without the newline at its end.
pub(crate) fn one_record(record: &str) -> Result<usize, InvalidRecord> {
    let mut state = State::RecordStart;
    let mut columns = 1;
    for (at, &byte) in record.as_bytes().iter().enumerate() {
        let step;
        (state, step) = state.step(byte);
        match step {
            Step::Inside => {}
            Step::FieldEnd => columns += 1,
            Step::Stray => return Err(InvalidRecord::StrayQuote { at }),
            Step::RecordEnd | Step::Blank => return Err(InvalidRecord::LineBreak { at }),
        }
    }
    match state {
        State::RecordStart => Err(InvalidRecord::NoFields),
        State::Quoted => Err(InvalidRecord::UnclosedQuote),
        State::FieldStart | State::Plain | State::QuoteInQuoted => Ok(columns),
    }
}

/// What is known of a csv file once all of it has been fed to a [`Scan`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Just after the last newline outside quotes.
    pub(crate) last_record_end: u64,
    /// How many rows lie before it, the header among them.
    pub(crate) rows: u64,
    /// The columns of the first of them; nothing if there is none.
    pub(crate) columns: Option<usize>,
    /// The bytes of the first row, whole or torn, without its line break, as far as they were kept.
    pub(crate) first_row: Vec<u8>,
    /// Whether these are all its bytes.
    pub(crate) first_row_whole: bool,
}

/// Reads a file from its first byte to its last.
pub(crate) struct Scan {
    state: State,
    offset: u64,
    /// Rows that have ended, be it at a carriage return whose newline is still to come.
    rows_ended: u64,
    columns: usize,
    first_row_columns: Option<usize>,
    first_row_kept_max: usize,
    found: Scanned,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Scan {
    /// Keeps at most `first_row_kept_max` bytes of the first row.
    pub(crate) fn new(first_row_kept_max: usize) -> Scan {
        Scan {
            state: State::RecordStart,
            offset: 0,
            rows_ended: 0,
            columns: 1,
            first_row_columns: None,
            first_row_kept_max,
            found: Scanned { first_row_whole: true, ..Scanned::default() },
        }
    }

    /// Takes the next bytes of the file. The first three must not be spread over several calls.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        // A byte order mark is no part of the first field, so a quote behind it opens one.
        if self.offset == 0 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes = &bytes[BYTE_ORDER_MARK.len()..];
            self.offset = BYTE_ORDER_MARK.len() as u64;
        }
        for &byte in bytes {
            self.offset += 1;
            let (next, step) = self.state.step(byte);
            self.state = next;
            match step {
                Step::Inside | Step::Stray => self.keep(byte),
                Step::FieldEnd => {
                    self.columns += 1;
                    self.keep(byte);
                }
                Step::RecordEnd => {
                    self.rows_ended += 1;
                    self.first_row_columns.get_or_insert(self.columns);
                    self.columns = 1;
                }
                Step::Blank => {}
            }
            if byte == b'\n' && next == State::RecordStart {
                self.found.last_record_end = self.offset;
                self.found.rows = self.rows_ended;
                self.found.columns = self.first_row_columns;
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.rows_ended > 0 {
            return;
        }
        if self.found.first_row.len() < self.first_row_kept_max {
            self.found.first_row.push(byte);
        } else {
            self.found.first_row_whole = false;
        }
    }

    pub(crate) fn finish(self) -> Scanned {
        self.found
    }
}
