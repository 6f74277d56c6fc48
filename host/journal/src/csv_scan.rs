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

/// At the start of a file it is no part of the first field, so a quote behind it opens one.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    RecordStart,
    FieldStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

/// What a byte did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
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
    pub(crate) fn step(self, byte: u8) -> (State, Step) {
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
    // Wherever it is to stand: which record is the first of a file is not known before it is written.
    if record.as_bytes().starts_with(BYTE_ORDER_MARK) {
        return Err(InvalidRecord::ByteOrderMark);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_begins_a_record_only_in_quotes() {
        for record in ["\u{feff}", "\u{feff}a", "\u{feff},"] {
            assert_eq!(one_record(record), Err(InvalidRecord::ByteOrderMark));
        }
        assert_eq!(one_record("\"\u{feff}\""), Ok(1));
        assert_eq!(one_record("a\u{feff}"), Ok(1));
    }
}
