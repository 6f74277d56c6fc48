use proptest::prelude::*;

use super::*;
use crate::scan::tests::{file_of, pieces, sample, sample_of};
use crate::scan::{Scan, Start};

/// A source that gives a few bytes at a time, with an interruption before each.
struct Drip<'a> {
    pieces: Box<dyn Iterator<Item = &'a [u8]> + 'a>,
    now: &'a [u8],
    interrupted: bool,
}

fn drip<'a>(bytes: &'a [u8], chunks: &'a [usize]) -> Drip<'a> {
    Drip { pieces: Box::new(pieces(bytes, chunks)), now: &[], interrupted: false }
}

impl Read for Drip<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.now.is_empty() {
            self.now = self.pieces.next().unwrap_or_default();
        }
        self.now.read(into)
    }
}

type Owned = (u64, u64, Vec<u8>);

fn read_all<R: Read>(reader: &mut Reader<R>) -> Result<Vec<Owned>, ReadError> {
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push((record.offset, record.len, record.bytes.to_vec()));
    }
    Ok(records)
}

fn payloads(records: &[Owned]) -> Vec<Vec<u8>> {
    records.iter().map(|(_, _, bytes)| bytes.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_was_appended_up_to_the_cut((kind, sample, cut, chunks) in sample()) {
        let bytes = &sample.bytes[..cut];
        let mut reader = Reader::new(kind, drip(bytes, &chunks));
        prop_assert_eq!(reader.tail(), None);
        let read = read_all(&mut reader).unwrap();
        let (end, records) = sample.end_before(cut);
        prop_assert_eq!(payloads(&read), sample.records[..records as usize].to_vec());
        let tail = (end < cut as u64).then_some(Tail { offset: end, bytes: cut as u64 - end, fault: None });
        prop_assert_eq!(reader.tail(), tail.as_ref());
        prop_assert!(reader.next_record().unwrap().is_none());

        // They lie one after another.
        let mut at = 0;
        for (offset, len, payload) in &read {
            prop_assert_eq!(*offset, at);
            at += len;
            let extra = if kind == FormatKind::Framed { HEADER_BYTES } else { 1 };
            prop_assert_eq!(*len, (payload.len() + extra) as u64);
        }
        prop_assert_eq!(at, end);
    }

    #[test]
    fn a_reader_and_a_scan_agree_on_any_bytes(
        kind in prop::sample::select(FormatKind::ALL.to_vec()),
        text in prop::collection::vec(
            prop::sample::select(vec!["\"", ",", "\n", "\r", "a", "\u{e4}", "\u{feff}", "\0", "LKF1"]), 0..30),
        chunks in prop::collection::vec(1..7usize, 1..4), nul_from in 0..40u64,
    ) {
        let bytes = text.concat().into_bytes();
        let mut scan = Scan::new(kind, Start { nul_from: Some(nul_from), ..Start::default() });
        scan.feed(&bytes);
        let found = scan.finish();
        let mut reader = Reader::new(kind, drip(&bytes, &chunks)).zero_byte_is_fault_from(nul_from);
        let read = read_all(&mut reader).unwrap();
        prop_assert_eq!(read.len() as u64, found.records);
        let rest = bytes.len() as u64 - found.end;
        let tail = (rest > 0).then_some(Tail { offset: found.end, bytes: rest, fault: found.fault });
        prop_assert_eq!(reader.tail(), tail.as_ref());
    }

    #[test]
    fn csv_rows_are_the_rows_of_the_csv_crate(
        text in prop::collection::vec(prop::sample::select(vec!["\"", ",", "\n", "\r", "a", "\u{e4}", "\u{feff}"]), 0..30),
        chunks in prop::collection::vec(1..7usize, 1..4),
    ) {
        let bytes = (text.concat() + "\n").into_bytes();
        let mut reader = Reader::new(FormatKind::Csv, drip(&bytes, &chunks));
        let mut rows = Vec::new();
        while let Some(row) = reader.next_record().unwrap() {
            let (offset, len) = (row.offset as usize, row.len as usize);
            let raw = &bytes[offset..offset + len];
            prop_assert!(raw.starts_with(row.bytes));
            prop_assert!([&b"\n"[..], b"\r\n", b"\r"].contains(&&raw[row.bytes.len()..]));
            rows.push(row.fields());
        }
        let end = reader.tail().map_or(bytes.len(), |tail| tail.offset as usize);
        let expected: Vec<csv::ByteRecord> = csv::ReaderBuilder::new()
            .has_headers(false).flexible(true).from_reader(&bytes[..end])
            .into_byte_records().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn a_damaged_frame_ends_the_records_before_its_batch(
        (kind, sample, _, chunks) in sample_of(FormatKind::Framed), at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        prop_assume!(!sample.bytes.is_empty());
        let mut bytes = sample.bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let mut scan = Scan::new(kind, Start::default());
        scan.feed(&bytes);
        let found = scan.finish();
        let mut reader = Reader::new(kind, drip(&bytes, &chunks));
        let read = read_all(&mut reader).unwrap();
        prop_assert_eq!(payloads(&read), sample.records[..found.records as usize].to_vec());
        let tail = Tail { offset: found.end, bytes: bytes.len() as u64 - found.end, fault: found.fault };
        prop_assert!(tail.fault.is_some());
        prop_assert_eq!(reader.tail(), Some(&tail));
    }
}

#[test]
fn a_frame_tells_who_wrote_it() {
    let sample = file_of(FormatKind::Framed, &[vec![b"a".to_vec()], vec![b"b".to_vec(), b"".to_vec()]]);
    let mut reader = Reader::new(FormatKind::Framed, &sample.bytes[..]);
    let mut frames = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        frames.push(record.frame.unwrap());
    }
    let frame = |sequence, fence| FrameInfo { sequence, fence, writer: 77 };
    assert_eq!(frames, [frame(1, 0), frame(2, 3), frame(3, 3)]);
}

#[test]
fn a_record_above_the_limit_is_refused_each_time_and_one_at_the_limit_is_read() {
    let frames = |payload: &[u8]| file_of(FormatKind::Framed, &[vec![payload.to_vec()]]).bytes;
    for (kind, fits, too_long) in [
        (FormatKind::Lines, b"12345678\n".to_vec(), b"123456789\n".to_vec()),
        (FormatKind::Lines, b"12345678\n".to_vec(), b"123456789".to_vec()),
        (FormatKind::Csv, b"\"123\n56\"\n".to_vec(), b"\"123\n567\"\n".to_vec()),
        (FormatKind::Csv, b"12345678\r\n".to_vec(), b"\"12345678".to_vec()),
        (FormatKind::Framed, frames(b"12345678"), frames(b"123456789")),
    ] {
        for chunk in 1..20 {
            let bytes = match kind {
                // Its sequence number is that of a first record.
                FormatKind::Framed => too_long.clone(),
                _ => [fits.clone(), too_long.clone()].concat(),
            };
            let chunks = [chunk];
            let mut reader = Reader::new(kind, drip(&bytes, &chunks)).record_bytes_max(8);
            if kind != FormatKind::Framed {
                assert_eq!(reader.next_record().unwrap().unwrap().offset, 0);
            }
            let begins = (bytes.len() - too_long.len()) as u64;
            for _ in 0..2 {
                let error = reader.next_record().unwrap_err();
                assert!(matches!(error, ReadError::TooLong { offset, record_bytes_max: 8 } if offset == begins));
            }
            assert_eq!(reader.tail(), None);
            let mut reader = Reader::new(kind, drip(&fits, &chunks)).record_bytes_max(8).batch_bytes_max(1);
            assert_eq!(read_all(&mut reader).unwrap().len(), 1);
        }
    }
}

#[test]
fn a_batch_above_the_limit_is_refused_each_time() {
    let frames = file_of(FormatKind::Framed, &[vec![b"1".to_vec()], vec![b"22".to_vec(), b"".to_vec()]]).bytes;
    let len = 2 * HEADER_BYTES + 2;
    let mut reader = Reader::new(FormatKind::Framed, &frames[..]).batch_bytes_max(len);
    assert_eq!(read_all(&mut reader).unwrap().len(), 3);
    let mut reader = Reader::new(FormatKind::Framed, &frames[..]).batch_bytes_max(len - 1);
    assert_eq!(reader.next_record().unwrap().unwrap().bytes, b"1");
    for _ in 0..2 {
        let error = reader.next_record().unwrap_err();
        assert!(matches!(error, ReadError::BatchTooLong { offset: 49, .. }), "{error}");
    }
    let returns = b"a\r".repeat(20);
    let mut reader = Reader::new(FormatKind::Csv, &returns[..]).batch_bytes_max(38);
    assert!(matches!(reader.next_record().unwrap_err(), ReadError::BatchTooLong { offset: 0, .. }));
}

/// `map` writes what a process held back as one batch, of more than the 64 MiB that a reader takes unless it is told
/// otherwise; and the command that prints such a file told it nothing.
#[test]
fn without_a_limit_a_batch_of_any_length_is_read() {
    let payload = vec![b'x'; 1 << 20];
    let frames = file_of(FormatKind::Framed, &[vec![payload; 65]]).bytes;
    let mut reader = Reader::new(FormatKind::Framed, &frames[..]);
    assert!(matches!(reader.next_record().unwrap_err(), ReadError::BatchTooLong { offset: 0, .. }));
    let mut reader = Reader::new(FormatKind::Framed, &frames[..]).batch_bytes_max(usize::MAX);
    let mut records = 0;
    while let Some(record) = reader.next_record().unwrap() {
        assert_eq!(record.bytes.len(), 1 << 20);
        records += 1;
    }
    assert_eq!((records, reader.tail()), (65, None));
}

/// Whoever may write a file may write a header with a good checksum for a payload that is not there.
#[test]
fn what_a_header_says_of_its_payload_is_not_believed_before_it_has_been_read() {
    let header =
        Header { payload_len: 1 << 30, payload_crc: 0, batch_rest: u32::MAX, sequence: 1, fence: 0, writer: 0 };
    let bytes = [&header.encode()[..], b"the little that there is"].concat();
    let mut reader = Reader::new(FormatKind::Framed, &bytes[..]).batch_bytes_max(usize::MAX);
    assert!(reader.next_record().unwrap().is_none());
    assert_eq!(reader.tail().map(|tail| (tail.offset, tail.bytes)), Some((0, bytes.len() as u64)));
    assert!(reader.data.capacity() <= 4 * CHUNK_BYTES, "{} bytes were allocated", reader.data.capacity());
}

#[test]
fn a_source_that_fails_once_is_read_on() {
    struct Fails(u32);
    impl Read for Fails {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => (&b"a\nb"[..]).read(into),
                2 => Err(io::Error::other("no")),
                3 => (&b"c\n"[..]).read(into),
                _ => Ok(0),
            }
        }
    }
    let mut reader = Reader::new(FormatKind::Lines, Fails(0));
    assert_eq!(reader.next_record().unwrap().unwrap().bytes, b"a");
    assert!(matches!(reader.next_record().unwrap_err(), ReadError::Io { offset: 3, .. }));
    assert_eq!(reader.next_record().unwrap().unwrap().bytes, b"bc");
    assert!(reader.next_record().unwrap().is_none());
}

#[test]
fn the_name_of_a_file_says_more_than_its_first_bytes() {
    for (name, bytes, kind) in [
        ("a.csv", &b"LKF1"[..], FormatKind::Csv),
        ("a.CSV", b"", FormatKind::Csv),
        ("b.jsonl", b"", FormatKind::Jsonl),
        ("b.ndjson", b"", FormatKind::Jsonl),
        ("c.lkf", b"", FormatKind::Framed),
        ("c.framed", b"", FormatKind::Framed),
        ("d.out", b"LKF1\0", FormatKind::Framed),
        ("d", b"LKF", FormatKind::Lines),
        ("csv", b"", FormatKind::Lines),
    ] {
        assert_eq!(detect(bytes, Path::new(name)), kind, "{name}");
    }
}
