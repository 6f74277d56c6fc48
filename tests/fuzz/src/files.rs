//! Reading, and appending, as every target does it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;

use lockkeeper_journal::{
    AppendError, AppendFile, Appended, FileSpec, Format, FormatKind, FrameInfo, InvalidRecord, Reader, Tail, Torn,
    unguarded,
};

use crate::memory::Memory;

/// The file of all targets.
pub fn path() -> PathBuf {
    PathBuf::from("/d/f")
}

/// What lies beside it.
pub fn beside(ending: &str) -> PathBuf {
    let mut name = OsString::from(path());
    name.push(ending);
    PathBuf::from(name)
}

/// What was cut is in the file of torn bytes, behind what was there `before`, and a line says where it was.
pub fn is_kept(memory: &Memory, torn: Option<&Torn>, before: &[u8], cut: &[u8]) {
    let now = memory.read(&beside(".torn")).unwrap_or_default();
    let Some(Torn { offset, bytes, reason, .. }) = torn else {
        assert_eq!((now.as_slice(), cut), (before, &b""[..]), "nothing was cut");
        return;
    };
    let start = format!("lockkeeper-torn 1 offset {offset} length {bytes} reason ");
    let piece = [start.as_bytes(), reason.as_bytes(), b"\n", cut, b"\n"].concat();
    let newline = if before.last().is_none_or(|last| *last == b'\n') { &b""[..] } else { b"\n" };
    if now == before {
        // A repair that died before it could cut has saved it, for whatever reason.
        let line = now.strip_suffix(&[b"\n", cut, b"\n"].concat()[..]).expect("what is cut is kept");
        let line = line.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        assert!(line.starts_with(start.as_bytes()), "a line says where it was");
    } else {
        assert_eq!(now, [before, newline, &piece].concat(), "what is cut is kept");
    }
}

/// How it is opened.
pub fn spec(format: Format) -> FileSpec {
    FileSpec::new(path(), format, "fuzz")
}

/// What the lock file says of a file of ours.
pub fn ours(inode: u64) -> String {
    format!("wrote inode {inode} born {}", crate::memory::BORN)
}

/// The format of this name; csv without a header.
pub fn plain(kind: FormatKind) -> Format {
    match kind {
        FormatKind::Lines => Format::Lines,
        FormatKind::Csv => Format::Csv { header: Vec::new() },
        FormatKind::Jsonl => Format::Jsonl,
        FormatKind::Framed => Format::Framed,
    }
}

/// One record as a reader answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rec {
    pub offset: u64,
    pub len: u64,
    pub bytes: Vec<u8>,
    pub frame: Option<FrameInfo>,
    /// Of a csv row.
    pub fields: Vec<Vec<u8>>,
}

/// All of a file.
#[derive(Debug)]
pub struct Contents {
    pub records: Vec<Rec>,
    pub tail: Option<Tail>,
    /// Just after the last whole record.
    pub end: u64,
}

/// A source that gives so many bytes at a time.
struct Steps<'a> {
    left: &'a [u8],
    step: usize,
}

impl Read for Steps<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(self.left.len()).min(self.step);
        let (now, later) = self.left.split_at(len);
        into[..len].copy_from_slice(now);
        self.left = later;
        Ok(len)
    }
}

/// Reads all records, a few bytes at a time.
pub fn read_all(kind: FormatKind, bytes: &[u8], nul_from: Option<u64>, step: usize) -> Contents {
    let mut reader = Reader::new(kind, Steps { left: bytes, step });
    if let Some(from) = nul_from {
        reader = reader.zero_byte_is_fault_from(from);
    }
    let mut records: Vec<Rec> = Vec::new();
    while let Some(record) = reader.next_record().expect("memory is read, and nothing in it is long") {
        let fields = match kind {
            FormatKind::Csv => record.fields().iter().map(<[u8]>::to_vec).collect(),
            FormatKind::Lines | FormatKind::Jsonl | FormatKind::Framed => Vec::new(),
        };
        let before = records.last().map_or(0, |last| last.offset + last.len);
        assert!(record.offset >= before, "records do not overlap");
        assert!(kind == FormatKind::Csv || record.offset == before, "there is nothing between records");
        assert!(record.len >= record.bytes.len() as u64, "a record is no longer than its place");
        let from = usize::try_from(record.offset).expect("it is in memory");
        let here = &bytes[from..from + usize::try_from(record.len).expect("it is in memory")];
        let at = if kind == FormatKind::Framed { crate::made::HEADER_BYTES } else { 0 };
        assert_eq!(&here[at..at + record.bytes.len()], record.bytes, "a record is where the reader says it is");
        let (offset, len, frame) = (record.offset, record.len, record.frame);
        records.push(Rec { offset, len, bytes: record.bytes.to_vec(), frame, fields });
    }
    let tail = reader.tail().cloned();
    let end = tail.as_ref().map_or(bytes.len() as u64, |tail| tail.offset);
    assert_eq!(end + tail.as_ref().map_or(0, |tail| tail.bytes), bytes.len() as u64, "all bytes are accounted for");
    assert!(records.last().map_or(0, |last| last.offset + last.len) <= end, "the tail begins after the last record");
    Contents { records, tail, end }
}

/// Appends one record that fits the file; answers what it is as well.
pub fn append_one(file: &AppendFile, kind: FormatKind) -> (Appended, Vec<u8>) {
    let record: &[u8] = match kind {
        FormatKind::Lines => b"a line",
        FormatKind::Jsonl => b"{\"a\": [1]}",
        FormatKind::Framed => b"LKF1\0\n",
        FormatKind::Csv => return append_row(file),
    };
    (file.append(record, unguarded).expect("a good record is taken"), record.to_vec())
}

fn append_row(file: &AppendFile) -> (Appended, Vec<u8>) {
    let result: Result<_, AppendError<Infallible>> = file.append_row(&["x"], unguarded);
    match result {
        Ok(appended) => (appended, b"x".to_vec()),
        Err(AppendError::Invalid(InvalidRecord::Columns { expected, .. })) => {
            let row = vec!["x"; expected];
            (file.append_row(&row, unguarded).expect("a row with these columns is taken"), row.join(",").into_bytes())
        }
        Err(error) => panic!("a good row is refused: {error}"),
    }
}
