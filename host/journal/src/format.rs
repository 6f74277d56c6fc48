//! From a guest's record to the bytes that stand in the file: in a text format one record, one newline at its end, none
//! that ends it earlier; in a framed one a header that says how long it is. A guest cannot write two records, or half of
//! one, through one call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::csv_scan;
use crate::error::InvalidRecord;
use crate::frame;
use crate::json_line;
use crate::scan::FormatKind;

/// What a file's records look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A record is a line of any bytes but `\n`, `\r` (which many readers take for a line's end) and zero (which a power
    /// cut leaves). It may be empty: an empty line.
    Lines,
    /// A record is a csv row in UTF-8, fields quoted where they must be, ended by `\n`.
    Csv {
        /// The names of the columns, written once as the first row. Empty: the file has no header, and its first row
        /// fixes the number of columns.
        header: Vec<String>,
    },
    /// A record is one JSON value in UTF-8, without a line break.
    Jsonl,
    /// A record is any bytes, in a frame with its length, a checksum, its number, the fence under which it was written and
    /// its writer. [`Reader`](crate::Reader) reads it.
    Framed,
}

impl Format {
    /// Its name.
    pub fn kind(&self) -> FormatKind {
        match self {
            Format::Lines => FormatKind::Lines,
            Format::Csv { .. } => FormatKind::Csv,
            Format::Jsonl => FormatKind::Jsonl,
            Format::Framed => FormatKind::Framed,
        }
    }
}

/// The most records that can be written at once: what an id stands for, and how much of a batch of frames is still to come,
/// is counted in 32 bits.
pub const BATCH_RECORDS_MAX: u64 = u32::MAX as u64;

/// Records of one file, checked and made into bytes, ready for one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Whose format it was checked against.
    by: EncoderId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u64,
    /// How many columns each of the rows has; nothing for lines.
    pub(crate) columns: Option<usize>,
}

/// Checks and encodes records. Shared by all threads, without a lock.
pub(crate) struct Encoder {
    id: EncoderId,
    kind: Kind,
    record_bytes_max: usize,
    batch_bytes_max: usize,
}

/// Which encoder of this process: no two have one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EncoderId(u64);

enum Kind {
    Lines,
    Jsonl,
    Framed,
    /// The number of columns is fixed by the header, by the first row of an existing file, or by the first row that is
    /// written, whichever comes first; it never changes after that.
    Csv {
        columns: OnceLock<usize>,
    },
}

impl Encoder {
    pub(crate) fn new(format: &Format, record_bytes_max: usize, batch_bytes_max: usize) -> Encoder {
        let kind = match format {
            Format::Lines => Kind::Lines,
            Format::Jsonl => Kind::Jsonl,
            Format::Framed => Kind::Framed,
            Format::Csv { .. } => Kind::Csv { columns: OnceLock::new() },
        };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = EncoderId(NEXT.fetch_add(1, Ordering::Relaxed));
        Encoder { id, kind, record_bytes_max, batch_bytes_max }
    }

    /// Whether this encoder made these bytes: only then do they stand for records in its file.
    pub(crate) fn made(&self, encoded: &Encoded) -> bool {
        encoded.by == self.id
    }

    fn encoded(&self, bytes: Vec<u8>, records: u64, columns: Option<usize>) -> Encoded {
        let framed = matches!(self.kind, Kind::Framed);
        assert!(framed || bytes.last() == Some(&b'\n'), "a record ends in its newline");
        Encoded { by: self.id, bytes, records, columns }
    }

    /// One record, given as the bytes that are to stand in the file, without the newline.
    pub(crate) fn record(&self, record: &[u8]) -> Result<Encoded, InvalidRecord> {
        let columns = self.check(record)?;
        let mut bytes = Vec::with_capacity(record.len() + self.end_bytes());
        self.put(&mut bytes, record);
        Ok(self.encoded(bytes, 1, columns))
    }

    /// What a record takes beside its own bytes.
    fn end_bytes(&self) -> usize {
        match self.kind {
            Kind::Lines | Kind::Csv { .. } | Kind::Jsonl => 1,
            Kind::Framed => frame::HEADER_BYTES,
        }
    }

    fn put(&self, bytes: &mut Vec<u8>, record: &[u8]) {
        match self.kind {
            Kind::Lines | Kind::Csv { .. } | Kind::Jsonl => {
                bytes.extend_from_slice(record);
                bytes.push(b'\n');
            }
            Kind::Framed => frame::push_frame(bytes, record),
        }
    }

    /// Several records, all or none.
    pub(crate) fn batch(&self, records: &[impl AsRef<[u8]>]) -> Result<Encoded, InvalidRecord> {
        let total: usize = records.iter().map(|record| record.as_ref().len() + self.end_bytes()).sum();
        if total > self.batch_bytes_max {
            return Err(InvalidRecord::BatchTooLong { bytes: total, batch_bytes_max: self.batch_bytes_max });
        }
        let mut bytes = Vec::with_capacity(total);
        let mut columns = None;
        for record in records {
            let record = record.as_ref();
            let got = self.check(record)?;
            match (columns, got) {
                (Some(expected), Some(got)) if expected != got => {
                    return Err(InvalidRecord::Columns { expected, got });
                }
                _ => columns = got,
            }
            self.put(&mut bytes, record);
        }
        match records.len() {
            0 => Err(InvalidRecord::EmptyBatch),
            count => Ok(self.encoded(bytes, count as u64, columns)),
        }
    }

    /// One row; the fields are quoted here.
    pub(crate) fn row(&self, fields: &[impl AsRef<str>]) -> Result<Encoded, InvalidRecord> {
        match self.kind {
            Kind::Lines | Kind::Jsonl | Kind::Framed => return Err(InvalidRecord::NotRows),
            Kind::Csv { .. } if fields.is_empty() => return Err(InvalidRecord::NoFields),
            Kind::Csv { .. } => {}
        }
        // Quoting only adds bytes, so a row that is too long unquoted need not be built.
        let unquoted: usize = fields.iter().map(|field| field.as_ref().len() + 1).sum();
        self.check_length(unquoted - 1)?;
        self.fits(fields.len())?;
        for field in fields {
            no_zero(field.as_ref().as_bytes())?;
        }
        let bytes = quote(fields, unquoted);
        self.check_length(bytes.len() - 1)?;
        Ok(self.encoded(bytes, 1, Some(fields.len())))
    }

    /// Fixes the number of columns. The caller has asked [`Encoder::fits`], and nobody else fixes at the same time.
    pub(crate) fn fix_columns(&self, got: usize) {
        if let Kind::Csv { columns } = &self.kind {
            let fixed = *columns.get_or_init(|| got);
            assert_eq!(fixed, got, "the number of columns never changes");
        }
    }

    /// Refuses a number of columns that differs from the fixed one, if one is fixed.
    pub(crate) fn fits(&self, got: usize) -> Result<(), InvalidRecord> {
        match &self.kind {
            Kind::Csv { columns } => match columns.get() {
                Some(&expected) if expected != got => Err(InvalidRecord::Columns { expected, got }),
                Some(_) | None => Ok(()),
            },
            Kind::Lines | Kind::Jsonl | Kind::Framed => Ok(()),
        }
    }

    fn check(&self, record: &[u8]) -> Result<Option<usize>, InvalidRecord> {
        self.check_length(record.len())?;
        match self.kind {
            Kind::Lines => match memchr::memchr2(b'\n', b'\r', record) {
                Some(at) => Err(InvalidRecord::LineBreak { at }),
                None => no_zero(record).map(|()| None),
            },
            Kind::Framed => Ok(None),
            Kind::Jsonl => match memchr::memchr2(b'\n', b'\r', record) {
                Some(at) => Err(InvalidRecord::LineBreak { at }),
                None => match json_line::check_json_line(record) {
                    Ok(()) => Ok(None),
                    Err(fault) => Err(InvalidRecord::NotJson { at: fault.at, reason: fault.reason }),
                },
            },
            Kind::Csv { .. } => {
                let text =
                    str::from_utf8(record).map_err(|error| InvalidRecord::NotUtf8 { at: error.valid_up_to() })?;
                no_zero(record)?;
                let columns = csv_scan::one_record(text)?;
                self.fits(columns)?;
                Ok(Some(columns))
            }
        }
    }

    fn check_length(&self, bytes: usize) -> Result<(), InvalidRecord> {
        if bytes > self.record_bytes_max {
            return Err(InvalidRecord::TooLong { bytes, record_bytes_max: self.record_bytes_max });
        }
        Ok(())
    }
}

impl Encoded {
    /// Its bytes in the file.
    #[expect(clippy::len_without_is_empty, reason = "there is always a record in it")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many records it is.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Puts more records of the same file behind these, so that all are written at once. A row with another number of
    /// columns is refused, and so is what would make more than [`BATCH_RECORDS_MAX`] of them; then nothing changes.
    pub fn extend(&mut self, more: &Encoded) -> Result<(), InvalidRecord> {
        assert_eq!(self.by, more.by, "records of two files are not put together");
        match (self.columns, more.columns) {
            (Some(expected), Some(got)) if expected != got => return Err(InvalidRecord::Columns { expected, got }),
            _ => {}
        }
        let records = self.records.saturating_add(more.records);
        if records > BATCH_RECORDS_MAX {
            return Err(InvalidRecord::BatchTooMany { records, batch_records_max: BATCH_RECORDS_MAX });
        }
        self.bytes.extend_from_slice(&more.bytes);
        self.records = records;
        Ok(())
    }
}

fn no_zero(record: &[u8]) -> Result<(), InvalidRecord> {
    match memchr::memchr(0, record) {
        Some(at) => Err(InvalidRecord::Nul { at }),
        None => Ok(()),
    }
}

/// A row as bytes, with its newline.
fn quote(fields: &[impl AsRef<str>], bytes_expected: usize) -> Vec<u8> {
    // Readers take a byte order mark at the start of a file for no part of the first field, unless it is quoted.
    let style = match fields.first() {
        Some(first) if first.as_ref().starts_with('\u{feff}') => csv::QuoteStyle::Always,
        Some(_) | None => csv::QuoteStyle::Necessary,
    };
    let mut writer = csv::WriterBuilder::new()
        .quote_style(style)
        .terminator(csv::Terminator::Any(b'\n'))
        .buffer_capacity(bytes_expected + 64)
        .from_writer(Vec::with_capacity(bytes_expected + 64));
    writer.write_record(fields.iter().map(|field| field.as_ref())).expect("writing to memory does not fail");
    writer.into_inner().expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Empty lines of four gigabytes are as many records. Nobody counted them here, and the writer, which must, gave up.
    #[test]
    fn more_records_than_are_counted_in_a_batch_are_not_put_together() {
        let encoder = Encoder::new(&Format::Lines, 10, 10);
        let mut batch = encoder.record(b"").expect("it is a line");
        let one = batch.clone();
        batch.records = BATCH_RECORDS_MAX - 1;
        batch.extend(&one).expect("it is the last that fits");
        let full = batch.clone();
        let refused = InvalidRecord::BatchTooMany { records: 1 << 32, batch_records_max: BATCH_RECORDS_MAX };
        assert_eq!(batch.extend(&one), Err(refused));
        assert_eq!(batch, full, "what was refused changes nothing");
    }
}
