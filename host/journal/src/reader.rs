//! The records of a file, one after another, as they were appended.
//!
//! A reader answers what a [`crate::scan`] counts: whole records only, and those of a batch only once all of it has been
//! read. What is left then is described, not answered.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use crate::csv_scan::{BYTE_ORDER_MARK, State, Step};
use crate::frame::{HEADER_BYTES, Header, MAGIC, may_become_header};
use crate::scan::{Fault, FaultKind, Follow, FormatKind, header_fault, skip};

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The longest record that a reader takes into memory, unless it is told otherwise.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// The longest batch that a reader takes into memory, unless it is told otherwise.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// Reads the records of a file of one format from its first byte on.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    kind: FormatKind,
    record_bytes_max: usize,
    batch_bytes_max: usize,
    nul_from: Option<u64>,
    /// A zero byte that has been read where none may be. Nothing after it is looked at.
    nul: Option<Nul>,
    data: Vec<u8>,
    /// Where in the file the first byte of `data` is.
    data_from: u64,
    /// Whole records that have not been answered.
    ready: VecDeque<Span>,
    /// Where in `data` the bytes after them begin: the unit, which becomes ready when it is whole. It is a line, a batch of
    /// frames, or what lies before the next newline outside quotes.
    unit: usize,
    /// The whole records of the unit.
    gathered: Vec<Span>,
    /// How many bytes of the unit have been looked at.
    seen: usize,
    csv: Csv,
    follow: Follow,
    /// A frame that may come here, and whose payload has not been looked at.
    header: Option<Header>,
    end: End,
}

#[derive(Debug)]
struct Nul {
    /// Its place in the file.
    offset: u64,
    /// How many bytes have been read from there on.
    bytes: u64,
}

/// Where a row has got to.
#[derive(Debug)]
struct Csv {
    state: State,
    /// Where in the unit it began.
    row_from: usize,
}

/// | state | meaning | left by |
/// |---|---|---|
/// | `Ahead` | there may be more records | a fault, or the end of the source |
/// | `Counting` | there are none; what is left is being counted | the end of the source |
/// | `Reached` | all is known | |
#[derive(Debug)]
enum End {
    Ahead,
    Counting(Tail),
    Reached(Option<Tail>),
}

/// A record in `data`.
#[derive(Debug)]
struct Span {
    /// Its place in the file.
    offset: u64,
    len: u64,
    /// The place of its payload in `data`; of a gathered one, in the unit.
    bytes: Range<usize>,
    frame: Option<FrameInfo>,
}

/// What was found of the unit.
enum Look {
    Whole,
    Unfinished,
    Fault(Fault),
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins in the file, with its header if it has one.
    pub offset: u64,
    /// Its length in the file, with the header or the line break.
    pub len: u64,
    /// What was appended; of a csv row the bytes as they stand there, without the line break.
    pub bytes: &'a [u8],
    /// What its frame says, if it has one.
    pub frame: Option<FrameInfo>,
}

/// What a frame says of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameInfo {
    /// Which of all records of the file it is, from 1.
    pub sequence: u64,
    /// The fence of the lock that it was appended under; 0 if there was none.
    pub fence: u64,
    /// Who appended it.
    pub writer: u64,
}

/// What lies after the last whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong with it; none if it is only unfinished.
    pub fault: Option<Fault>,
}

/// Why the next record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed. Asking again goes on where it stopped.
    #[error("cannot read on at byte {offset}: {source}")]
    Io {
        /// Where in the file.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The next record does not fit. Asking again says the same.
    #[error(
        "the record at byte {offset} has more than {record_bytes_max} bytes, the most that this reader takes into memory \
        (Reader::record_bytes_max)"
    )]
    TooLong {
        /// Where the record begins.
        offset: u64,
        /// The limit.
        record_bytes_max: usize,
    },
    /// The next records were appended together and do not fit together. Asking again says the same.
    #[error(
        "the batch of records at byte {offset} has more than {batch_bytes_max} bytes, the most that this reader takes into \
        memory (Reader::batch_bytes_max)"
    )]
    BatchTooLong {
        /// Where the batch begins.
        offset: u64,
        /// The limit.
        batch_bytes_max: usize,
    },
}

impl Record<'_> {
    /// The fields of a csv row, with the quotes taken off.
    pub fn fields(&self) -> csv::ByteRecord {
        // The blank line is skipped; it keeps a byte order mark from being taken for that of a file.
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(self.bytes.len() + 1)
            .from_reader(b"\n".chain(self.bytes));
        let mut fields = csv::ByteRecord::new();
        reader.read_byte_record(&mut fields).expect("memory can be read, and any number of fields is let pass");
        fields
    }
}

impl<R: Read> Reader<R> {
    /// Reads `source` from its first byte on, which must be the first one of the file.
    pub fn new(kind: FormatKind, source: R) -> Reader<R> {
        Reader {
            source,
            kind,
            record_bytes_max: RECORD_BYTES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            nul_from: None,
            nul: None,
            data: Vec::new(),
            data_from: 0,
            ready: VecDeque::new(),
            unit: 0,
            gathered: Vec::new(),
            seen: 0,
            csv: Csv { state: State::RecordStart, row_from: 0 },
            follow: Follow::new(1),
            header: None,
            end: End::Ahead,
        }
    }

    /// Refuses records whose payload is longer; otherwise the limit is 1 GiB.
    #[must_use]
    pub fn record_bytes_max(self, record_bytes_max: usize) -> Reader<R> {
        Reader { record_bytes_max, ..self }
    }

    /// Refuses batches of several records that are longer, as they must be held in memory until their end has been
    /// read; otherwise the limit is 64 MiB. Only what has been read is held, whatever a header says of what is to come: so
    /// without a limit (`usize::MAX`) it is the length of the source.
    #[must_use]
    pub fn batch_bytes_max(self, batch_bytes_max: usize) -> Reader<R> {
        Reader { batch_bytes_max, ..self }
    }

    /// In a text format, takes a zero byte at `offset` or later for a fault; otherwise they may be in records.
    #[must_use]
    pub fn zero_byte_is_fault_from(self, offset: u64) -> Reader<R> {
        Reader { nul_from: Some(offset), ..self }
    }

    /// The next record; none after the last whole one, be it because the file ends or because it is damaged there. Then
    /// [`Reader::tail`] knows which.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        while self.ready.is_empty() && matches!(self.end, End::Ahead) {
            match self.look()? {
                Look::Whole => {}
                Look::Unfinished => {
                    if !self.fill()? {
                        self.end = self.end();
                    }
                }
                Look::Fault(fault) => self.end = End::Counting(self.left_over(0, Some(fault))),
            }
        }
        self.count_rest()?;
        Ok(self.ready.pop_front().map(|span| Record {
            offset: span.offset,
            len: span.len,
            bytes: &self.data[span.bytes],
            frame: span.frame,
        }))
    }

    /// What lies after the last whole record, once [`Reader::next_record`] has answered none; none if nothing does.
    pub fn tail(&self) -> Option<&Tail> {
        match &self.end {
            End::Reached(tail) => tail.as_ref(),
            End::Ahead | End::Counting(_) => None,
        }
    }

    /// What comes after everything that can be read.
    fn end(&self) -> End {
        match &self.nul {
            Some(nul) => {
                let fault = Fault { offset: nul.offset, what: FaultKind::ZeroByte };
                End::Counting(self.left_over(nul.bytes, Some(fault)))
            }
            None if self.unit == self.data.len() => End::Reached(None),
            None => End::Reached(Some(self.left_over(0, None))),
        }
    }

    fn left_over(&self, more_bytes: u64, fault: Option<Fault>) -> Tail {
        let bytes = (self.data.len() - self.unit) as u64 + more_bytes;
        Tail { offset: self.offset_of(0), bytes, fault }
    }

    /// The place in the file of a byte of the unit.
    fn offset_of(&self, at: usize) -> u64 {
        self.data_from + (self.unit + at) as u64
    }

    /// Reads some more of the source; false if nothing more can be read. Only while no record is ready.
    fn fill(&mut self) -> Result<bool, ReadError> {
        assert!(self.ready.is_empty(), "nobody needs the bytes before the unit");
        if self.nul.is_some() {
            return Ok(false);
        }
        self.data.drain(..self.unit);
        self.data_from += self.unit as u64;
        self.unit = 0;
        let have = self.data.len();
        let offset = self.data_from + have as u64;
        self.data.resize(have + CHUNK_BYTES, 0);
        let got = read(&mut self.source, &mut self.data[have..]);
        self.data.truncate(have + got.as_ref().map_or(0, |&got| got));
        let got = got.map_err(|source| ReadError::Io { offset, source })?;
        if let Some(at) = self.nul_at(have, offset) {
            self.nul = Some(Nul { offset: offset + (at - have) as u64, bytes: (self.data.len() - at) as u64 });
            self.data.truncate(at);
        }
        Ok(got > 0)
    }

    /// Where in `data`, from `have` on, which is the byte `offset` of the file, the first zero byte is that may not be.
    fn nul_at(&self, have: usize, offset: u64) -> Option<usize> {
        let from = match self.kind {
            FormatKind::Framed => return None,
            FormatKind::Lines | FormatKind::Csv | FormatKind::Jsonl => self.nul_from?.saturating_sub(offset),
        };
        let from = have.saturating_add(usize::try_from(from).unwrap_or(usize::MAX));
        Some(from + memchr::memchr(0, self.data.get(from..)?)?)
    }

    fn count_rest(&mut self) -> Result<(), ReadError> {
        let End::Counting(tail) = &mut self.end else { return Ok(()) };
        self.data = vec![0; CHUNK_BYTES];
        loop {
            let offset = tail.offset + tail.bytes;
            match read(&mut self.source, &mut self.data).map_err(|source| ReadError::Io { offset, source })? {
                0 => break,
                got => tail.bytes += got as u64,
            }
        }
        self.data = Vec::new();
        self.end = End::Reached(Some(tail.clone()));
        Ok(())
    }

    fn look(&mut self) -> Result<Look, ReadError> {
        match self.kind {
            FormatKind::Lines | FormatKind::Jsonl => self.look_for_line(),
            FormatKind::Csv => self.look_for_rows(),
            FormatKind::Framed => self.look_for_frames(),
        }
    }

    fn look_for_line(&mut self) -> Result<Look, ReadError> {
        let unit = &self.data[self.unit..];
        let newline = memchr::memchr(b'\n', &unit[self.seen..]).map(|at| self.seen + at);
        let len = newline.unwrap_or(unit.len());
        self.check_record(0, len)?;
        if newline.is_none() {
            self.seen = len;
            return Ok(Look::Unfinished);
        }
        self.gather(0, 0..len, len + 1, None);
        Ok(self.unit_is_whole(len + 1))
    }

    fn look_for_rows(&mut self) -> Result<Look, ReadError> {
        if self.offset_of(self.seen) == 0 {
            let first = &self.data[..self.data.len().min(BYTE_ORDER_MARK.len())];
            if first == BYTE_ORDER_MARK {
                self.seen = first.len();
            } else if BYTE_ORDER_MARK.starts_with(first) {
                return Ok(Look::Unfinished);
            }
        }
        while let Some(&byte) = self.data.get(self.unit + self.seen) {
            let state = self.csv.state;
            let (skipped, next) = skip(state, &self.data[self.unit + self.seen..]);
            let (taken, next, step) = match skipped {
                0 => {
                    let (next, step) = state.step(byte);
                    (1, next, step)
                }
                _ => (skipped, next, Step::Inside),
            };
            match step {
                Step::RecordEnd => {
                    let row = self.csv.row_from..self.seen;
                    self.check_record(row.start, row.len())?;
                    self.gather(row.start, row.clone(), row.len() + 1, None);
                }
                Step::Blank => self.widen_last(byte),
                Step::Inside | Step::Stray | Step::FieldEnd if state == State::RecordStart => {
                    self.csv.row_from = self.seen;
                }
                Step::Inside | Step::Stray | Step::FieldEnd => {}
            }
            self.csv.state = next;
            self.seen += taken;
            if byte == b'\n' && next == State::RecordStart {
                return Ok(self.unit_is_whole(self.seen));
            }
        }
        // Rows that end in a carriage return alone wait for a newline. The last of them has its own limit: it may be the
        // only one, its newline being the next byte.
        let waiting = match self.csv.state {
            State::RecordStart => self.seen - self.gathered.last().map_or(0, |row| row.bytes.len()),
            _ => {
                self.check_record(self.csv.row_from, self.seen - self.csv.row_from)?;
                self.csv.row_from
            }
        };
        self.check_batch(waiting)?;
        Ok(Look::Unfinished)
    }

    /// Adds the newline of a `\r\n` to the row that it belongs to.
    fn widen_last(&mut self, byte: u8) {
        if let Some(last) = self.gathered.last_mut()
            && byte == b'\n'
            && last.bytes.end + 1 == self.seen
        {
            last.len += 1;
        }
    }

    fn look_for_frames(&mut self) -> Result<Look, ReadError> {
        loop {
            let from = self.seen;
            let header = match self.header {
                Some(header) => header,
                None => match self.next_header(from)? {
                    Ok(Some(header)) => header,
                    Ok(None) => return Ok(Look::Unfinished),
                    Err(what) => return Ok(Look::Fault(Fault { offset: self.offset_of(from), what })),
                },
            };
            let bytes = from + HEADER_BYTES..from + HEADER_BYTES + header.payload_len as usize;
            let Some(payload) = self.data[self.unit..].get(bytes.clone()) else {
                self.header = Some(header);
                return Ok(Look::Unfinished);
            };
            if crc32c::crc32c(payload) != header.payload_crc {
                let what = FaultKind::PayloadChecksum;
                return Ok(Look::Fault(Fault { offset: self.offset_of(from), what }));
            }
            self.header = None;
            self.seen = bytes.end;
            let frame = FrameInfo { sequence: header.sequence, fence: header.fence, writer: header.writer };
            self.gather(from, bytes, self.seen - from, Some(frame));
            if header.batch_rest == 0 {
                return Ok(self.unit_is_whole(self.seen));
            }
        }
    }

    /// The header at `from` in the unit, if all of it has been read; or what is wrong with it.
    fn next_header(&mut self, from: usize) -> Result<Result<Option<Header>, FaultKind>, ReadError> {
        let bytes = &self.data[self.unit + from..];
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(if may_become_header(bytes) { Ok(None) } else { Err(FaultKind::NoFrame) });
        };
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(header_fault(fault))),
        };
        // Before the frame is admitted, which must happen once.
        let payload_len = header.payload_len as usize;
        self.check_record(from, payload_len)?;
        if !self.gathered.is_empty() {
            self.check_batch(from + HEADER_BYTES + payload_len)?;
        }
        Ok(self.follow.admit(&header).map(|()| Some(header)))
    }

    fn check_record(&self, from: usize, len: usize) -> Result<(), ReadError> {
        let record_bytes_max = self.record_bytes_max;
        match len > record_bytes_max {
            true => Err(ReadError::TooLong { offset: self.offset_of(from), record_bytes_max }),
            false => Ok(()),
        }
    }

    fn check_batch(&self, len: usize) -> Result<(), ReadError> {
        let batch_bytes_max = self.batch_bytes_max;
        match len > batch_bytes_max {
            true => Err(ReadError::BatchTooLong { offset: self.offset_of(0), batch_bytes_max }),
            false => Ok(()),
        }
    }

    fn gather(&mut self, from: usize, bytes: Range<usize>, len: usize, frame: Option<FrameInfo>) {
        self.gathered.push(Span { offset: self.offset_of(from), len: len as u64, bytes, frame });
    }

    fn unit_is_whole(&mut self, len: usize) -> Look {
        let unit = self.unit;
        self.ready.extend(self.gathered.drain(..).map(|span| {
            let bytes = unit + span.bytes.start..unit + span.bytes.end;
            Span { bytes, ..span }
        }));
        self.unit += len;
        self.seen = 0;
        Look::Whole
    }
}

fn read(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    crate::storage::uninterrupted(|| source.read(into))
}

/// What the records of a file look like, guessed from its name, and from its first bytes if the name says nothing.
pub fn detect(first_bytes: &[u8], file_name: &Path) -> FormatKind {
    let ending = file_name.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    match ending.as_deref() {
        Some("csv") => FormatKind::Csv,
        Some("jsonl" | "ndjson") => FormatKind::Jsonl,
        Some("lkf" | "framed") => FormatKind::Framed,
        _ if first_bytes.starts_with(&MAGIC) => FormatKind::Framed,
        _ => FormatKind::Lines,
    }
}

#[cfg(test)]
mod tests;
