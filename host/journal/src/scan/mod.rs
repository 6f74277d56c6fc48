//! Where the records of a file end, found in one pass from its first byte (or from a known end) to its last, in little
//! memory whatever the file holds.
//!
//! | format | a record ends | the pass stops at |
//! |---|---|---|
//! | lines, jsonl | at each newline | a zero byte, where none may be |
//! | csv | at a newline outside quotes | a zero byte, where none may be |
//! | framed | where its header says; it counts once the last frame of its batch is whole | anything that is no frame, or not the next one |
//!
//! What is left unfinished at the end of the file is no fault: it lies beyond [`Found::end`].

mod csv;
mod fault;
mod framed;
mod jsonl;
mod lines;
#[cfg(test)]
pub(crate) mod tests;
mod utf8;

use std::fmt;
use std::io;
use std::str::FromStr;

pub(crate) use self::csv::skip;
pub use self::fault::{Fault, FaultKind, Oddities};
pub(crate) use self::framed::{Follow, header_fault};
use crate::storage::{Storage, read_exact_at};

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What the records of a file look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatKind {
    /// A record is a line.
    Lines,
    /// A record is a csv row; there may be line breaks in its quotes.
    Csv,
    /// A record is a line that is one JSON value.
    Jsonl,
    /// A record is any bytes behind a header with length, checksum and sequence number.
    Framed,
}

impl FormatKind {
    pub(crate) const ALL: [FormatKind; 4] = [FormatKind::Lines, FormatKind::Csv, FormatKind::Jsonl, FormatKind::Framed];

    /// Its word on the command line and in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            FormatKind::Lines => "lines",
            FormatKind::Csv => "csv",
            FormatKind::Jsonl => "jsonl",
            FormatKind::Framed => "framed",
        }
    }
}

impl fmt::Display for FormatKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// All the words, for messages.
struct Words;

impl fmt::Display for Words {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, kind) in FormatKind::ALL.into_iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(out, "{separator}{kind}")?;
        }
        Ok(())
    }
}

/// A word that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no format; choose one of {}", Words)]
pub struct UnknownFormat {
    /// The word.
    pub word: String,
}

impl FromStr for FormatKind {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<FormatKind, UnknownFormat> {
        FormatKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| UnknownFormat { word: word.to_owned() })
    }
}

/// Where a pass begins, and what it looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// A place where a record, in framed a batch, begins.
    pub(crate) offset: u64,
    /// The records before it; in csv the header is one.
    pub(crate) records: u64,
    /// In framed: the sequence number of the frame there.
    pub(crate) sequence: u64,
    /// How many bytes of the first csv row are kept, if the pass begins before it.
    pub(crate) first_row_kept_max: usize,
    /// In text: from here on a zero byte ends the pass. None: they are let pass.
    pub(crate) nul_from: Option<u64>,
    /// In text: also look for what does not hide the ends of records, see [`Found::oddities`]: lines that are not JSON,
    /// rows with stray quotes, another number of columns than the first, or bytes that are not UTF-8.
    pub(crate) strict: bool,
    /// In csv: the columns of the first row, if they are known from before.
    pub(crate) columns: Option<u64>,
}

impl Default for Start {
    /// The first byte of a file; zero bytes are let pass.
    fn default() -> Start {
        Start {
            offset: 0,
            records: 0,
            sequence: 1,
            first_row_kept_max: 0,
            nul_from: None,
            strict: false,
            columns: None,
        }
    }
}

/// What a pass has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Just after the last whole record, in framed after the last whole batch; an offset in the file.
    pub(crate) end: u64,
    /// The records before it, those before the start of the pass among them.
    pub(crate) records: u64,
    /// In csv: the columns of the first row; none if there is no row before `end`.
    pub(crate) columns: Option<usize>,
    /// In csv: the first row, whole or torn, without its line break, as far as it was kept.
    pub(crate) first_row: Vec<u8>,
    /// Whether these are all its bytes.
    pub(crate) first_row_whole: bool,
    /// In framed: the sequence number of the frame that comes at `end`.
    pub(crate) sequence: u64,
    /// In framed: the highest fence of all good headers, also of those beyond `end`: somebody has held it.
    pub(crate) fence_max: u64,
    /// What has ended the pass early.
    pub(crate) fault: Option<Fault>,
    /// What was odd before `end`, in a strict pass.
    pub(crate) oddities: Oddities,
}

/// One pass.
pub(crate) struct Scan {
    /// Of the next byte.
    offset: u64,
    nul_from: Option<u64>,
    fault: Option<Fault>,
    by: By,
}

enum By {
    Lines(lines::Lines),
    Csv(Box<csv::Rows>),
    Jsonl(jsonl::JsonLines),
    Framed(framed::Frames),
}

impl Scan {
    pub(crate) fn new(kind: FormatKind, start: Start) -> Scan {
        let offset = start.offset;
        let nul_from = if kind == FormatKind::Framed { None } else { start.nul_from };
        let by = match kind {
            FormatKind::Lines => By::Lines(lines::Lines::new(&start)),
            FormatKind::Csv => By::Csv(Box::new(csv::Rows::new(&start))),
            FormatKind::Jsonl => By::Jsonl(jsonl::JsonLines::new(&start)),
            FormatKind::Framed => By::Framed(framed::Frames::new(&start)),
        };
        Scan { offset, nul_from, fault: None, by }
    }

    /// Takes the next bytes of the file, cut anywhere. False: there is a fault, and nothing more need be fed.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> bool {
        if self.fault.is_some() {
            return false;
        }
        let nul = self.first_nul(bytes);
        let bytes = &bytes[..nul.unwrap_or(bytes.len())];
        match &mut self.by {
            By::Lines(lines) => lines.feed(bytes),
            By::Csv(rows) => rows.feed(bytes),
            By::Jsonl(lines) => lines.feed(bytes),
            By::Framed(frames) => self.fault = frames.feed(bytes),
        }
        self.offset += bytes.len() as u64;
        if nul.is_some() {
            self.fault = Some(Fault { offset: self.offset, what: FaultKind::ZeroByte });
        }
        self.fault.is_none()
    }

    fn first_nul(&self, bytes: &[u8]) -> Option<usize> {
        let let_pass = usize::try_from(self.nul_from?.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        Some(let_pass + memchr::memchr(0, bytes.get(let_pass..)?)?)
    }

    /// Ends the pass, at the end of the file or earlier.
    pub(crate) fn finish(self) -> Found {
        let mut found = match self.by {
            By::Lines(lines) => lines.finish(),
            By::Csv(rows) => rows.finish(),
            By::Jsonl(lines) => lines.finish(),
            By::Framed(frames) => frames.finish(),
        };
        found.fault = self.fault.or(found.fault);
        found
    }
}

/// Feeds the bytes `from..to` of a file to a pass that begins at `from`, and ends it. `progress` is told the offset that
/// has been reached, once per chunk. A file that ends before `to` is `UnexpectedEof`.
pub(crate) fn scan_storage(
    storage: &dyn Storage,
    mut scan: Scan,
    from: u64,
    to: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<Found> {
    assert_eq!(scan.offset, from, "a pass goes on where it has stopped");
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = from;
    while at < to {
        let wanted = usize::try_from(to - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let piece = &mut chunk[..wanted];
        read_exact_at(storage, piece, at)?;
        at += wanted as u64;
        let go_on = scan.feed(piece);
        progress(at);
        if !go_on {
            break;
        }
    }
    Ok(scan.finish())
}

/// The ends of records, counted.
#[derive(Debug, Clone)]
struct Ends {
    end: u64,
    records: u64,
}

impl Ends {
    fn new(start: &Start) -> Ends {
        Ends { end: start.offset, records: start.records }
    }

    fn found(self) -> Found {
        Found {
            end: self.end,
            records: self.records,
            columns: None,
            first_row: Vec::new(),
            first_row_whole: true,
            sequence: 1,
            fence_max: 0,
            fault: None,
            oddities: Oddities::default(),
        }
    }
}
