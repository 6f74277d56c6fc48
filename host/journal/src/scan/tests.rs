use proptest::prelude::*;

use super::*;
use crate::csv_scan::{BYTE_ORDER_MARK, State, Step};
use crate::frame::{HEADER_BYTES, Header, push_frame, seal};

/// A file, and what a pass over any piece of it must find.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    /// What was appended.
    pub(crate) records: Vec<Vec<u8>>,
    /// Where a pass may end, with the records before it.
    pub(crate) ends: Vec<(u64, u64)>,
}

/// Appends batches as the writer of the format does.
pub(crate) fn file_of(kind: FormatKind, batches: &[Vec<Vec<u8>>]) -> Sample {
    let mut sample = Sample { bytes: Vec::new(), records: Vec::new(), ends: vec![(0, 0)] };
    for (index, batch) in batches.iter().enumerate() {
        if kind == FormatKind::Framed {
            let mut frames = Vec::new();
            for payload in batch {
                push_frame(&mut frames, payload);
            }
            let first = sample.records.len() as u64 + 1;
            assert_eq!(seal(&mut frames, first, index as u64 * 3, 77), batch.len() as u64);
            sample.bytes.extend(frames);
            sample.records.extend(batch.iter().cloned());
        } else {
            for record in batch {
                sample.bytes.extend_from_slice(record);
                sample.bytes.push(b'\n');
                sample.records.push(record.clone());
                sample.ends.push((sample.bytes.len() as u64, sample.records.len() as u64));
            }
        }
        sample.ends.push((sample.bytes.len() as u64, sample.records.len() as u64));
    }
    sample
}

impl Sample {
    pub(crate) fn end_before(&self, cut: usize) -> (u64, u64) {
        *self.ends.iter().rev().find(|(end, _)| *end <= cut as u64).expect("the first byte is an end")
    }
}

fn row(fields: &[String]) -> Vec<u8> {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record(fields).unwrap();
    let mut row = writer.into_inner().unwrap();
    assert_eq!(row.pop(), Some(b'\n'));
    row
}

/// Payloads that try to be more than one record: pieces of frames, whole files, rows and lines.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let plain = prop::collection::vec(any::<u8>(), 0..80);
    let forged = (prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..3), 0..200usize).prop_map(
        |(payloads, kept)| {
            let mut bytes = file_of(FormatKind::Framed, &[payloads]).bytes;
            // Most are whole.
            bytes.truncate(if kept < 60 { kept } else { usize::MAX });
            bytes
        },
    );
    let text = Just(b"a,b\n\"x\ny\",z\n{\"a\":1}\nLKF1\n".to_vec());
    prop_oneof![plain, forged, text]
}

fn text_of(letters: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(letters), 0..12).prop_map(|letters| letters.concat())
}

fn record(kind: FormatKind) -> BoxedStrategy<Vec<u8>> {
    match kind {
        FormatKind::Lines => prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|mut line| {
                line.retain(|byte| !matches!(byte, 0 | b'\n' | b'\r'));
                line
            })
            .boxed(),
        FormatKind::Csv => prop::collection::vec(text_of(&["\"", ",", "\n", "\r", "a", "\u{e4}", "b c"]), 3)
            .prop_map(|fields| row(&fields))
            .boxed(),
        FormatKind::Jsonl => text_of(&["\"", "\n", "[", "\\", "a", "\u{1f980}", "\u{1}"])
            .prop_map(|text| serde_json::json!({ "t": [text] }).to_string().into_bytes())
            .boxed(),
        FormatKind::Framed => payload().boxed(),
    }
}

/// A file, where it is cut, and how it is fed.
pub(crate) fn sample() -> impl Strategy<Value = (FormatKind, Sample, usize, Vec<usize>)> {
    prop::sample::select(FormatKind::ALL.to_vec()).prop_flat_map(sample_of)
}

pub(crate) fn sample_of(kind: FormatKind) -> impl Strategy<Value = (FormatKind, Sample, usize, Vec<usize>)> {
    let batch = prop::collection::vec(record(kind), 1..4);
    prop::collection::vec(batch, 0..6).prop_map(move |batches| file_of(kind, &batches)).prop_flat_map(move |sample| {
        let cut = prop_oneof![Just(sample.bytes.len()), 0..=sample.bytes.len()];
        (Just(kind), Just(sample), cut, prop::collection::vec(1..70usize, 1..6))
    })
}

fn scan(kind: FormatKind, start: Start, bytes: &[u8], chunks: &[usize]) -> Found {
    let mut scan = Scan::new(kind, start);
    for piece in pieces(bytes, chunks) {
        if !scan.feed(piece) {
            break;
        }
    }
    scan.finish()
}

pub(crate) fn pieces<'a>(mut bytes: &'a [u8], chunks: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    chunks.iter().cycle().map_while(move |&chunk| {
        let (piece, rest) = bytes.split_at(chunk.min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn strict() -> Start {
    Start { nul_from: Some(0), strict: true, first_row_kept_max: 1000, ..Start::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_end_is_the_last_whole_record_before_any_cut((kind, sample, cut, chunks) in sample()) {
        let found = scan(kind, strict(), &sample.bytes[..cut], &chunks);
        let (end, records) = sample.end_before(cut);
        prop_assert_eq!((found.end, found.records), (end, records));
        prop_assert_eq!(found.fault, None);
        prop_assert_eq!(found.oddities, Oddities::default());
        if kind == FormatKind::Framed {
            prop_assert_eq!(found.sequence, records + 1);
        }
        if kind == FormatKind::Csv {
            prop_assert_eq!(found.columns, (records > 0).then_some(3));
            prop_assert!(found.first_row_whole);
            let first = sample.records.first().map_or(&[][..], |row| row);
            if records > 0 {
                prop_assert_eq!(&found.first_row[..], first);
            } else {
                prop_assert!(first.starts_with(&found.first_row));
            }
        }
    }

    #[test]
    fn a_pass_from_any_end_finds_what_a_pass_from_the_first_byte_does((kind, sample, cut, chunks) in sample()) {
        let whole = scan(kind, Start { first_row_kept_max: 0, ..strict() }, &sample.bytes[..cut], &chunks);
        for &(offset, records) in sample.ends.iter().filter(|(end, _)| *end <= cut as u64) {
            let columns = (records > 0).then_some(3);
            let start =
                Start { offset, records, sequence: records + 1, columns, first_row_kept_max: 0, ..strict() };
            let mut found = scan(kind, start, &sample.bytes[offset as usize..cut], &chunks);
            prop_assert!(found.fence_max <= whole.fence_max);
            found.fence_max = whole.fence_max;
            if kind == FormatKind::Csv {
                found.first_row_whole = whole.first_row_whole;
                prop_assert_eq!(found, whole.clone());
            } else {
                found.columns = None;
                prop_assert_eq!(found, if kind == FormatKind::Framed { whole.clone() } else {
                    Found { sequence: 1, ..whole.clone() }
                });
            }
        }
    }

    #[test]
    fn a_zero_byte_ends_the_pass_where_none_may_be(
        (kind, sample, cut, chunks) in sample(), nul_from in 0..200u64, zeros in 1..5usize,
    ) {
        prop_assume!(kind != FormatKind::Framed);
        let mut bytes = sample.bytes.clone();
        bytes.splice(cut..cut, vec![0; zeros]);
        let found = scan(kind, Start { nul_from: Some(nul_from), ..Start::default() }, &bytes, &chunks);
        let at = (cut as u64).max(nul_from);
        if at < (cut + zeros) as u64 {
            prop_assert_eq!(found.fault, Some(Fault { offset: at, what: FaultKind::ZeroByte }));
            let (end, records) = sample.end_before(cut);
            prop_assert_eq!((found.end, found.records), (end, records));
        } else {
            prop_assert_eq!(found.fault, None);
        }
    }

    #[test]
    fn every_flipped_byte_of_a_framed_file_is_noticed_in_its_frame(
        batches in prop::collection::vec(prop::collection::vec(payload(), 1..4), 1..5),
        at in any::<prop::sample::Index>(), flip in 1..=255u8, chunks in prop::collection::vec(1..70usize, 1..4),
    ) {
        let sample = file_of(FormatKind::Framed, &batches);
        let mut bytes = sample.bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let mut frame = 0;
        for record in &sample.records {
            let next = frame + HEADER_BYTES + record.len();
            if at < next { break; }
            frame = next;
        }
        let found = scan(FormatKind::Framed, Start::default(), &bytes, &chunks);
        prop_assert_eq!(found.fault.map(|fault| fault.offset), Some(frame as u64));
        prop_assert_eq!((found.end, found.records), sample.end_before(frame));
    }

    #[test]
    fn skipping_bytes_finds_what_the_machine_finds_byte_by_byte(
        text in prop::collection::vec(prop::sample::select(vec!["\"", ",", "\n", "\r", "a", "\u{e4}", "\u{feff}"]), 0..30),
        chunks in prop::collection::vec(1..7usize, 1..4), strict in any::<bool>(), kept in 0..9usize,
    ) {
        let text = text.concat();
        let start = Start { strict, first_row_kept_max: kept, ..Start::default() };
        let found = scan(FormatKind::Csv, start, text.as_bytes(), &chunks);
        prop_assert_eq!(found, by_bytes(text.as_bytes(), strict, kept));
    }

    #[test]
    fn utf8_is_judged_the_same_however_it_is_cut(
        bytes in prop::collection::vec(prop::sample::select(b"a\xc3\xa4\xf0\x9f\xa6\x80\xff\xe0\xed\xf4".to_vec()), 0..24),
        chunks in prop::collection::vec(1..5usize, 1..4),
    ) {
        let mut bytes = bytes;
        bytes.push(b'\n');
        let found = scan(FormatKind::Csv, Start { strict: true, ..Start::default() }, &bytes, &chunks);
        let bad = bytes.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count() as u64;
        prop_assert_eq!(found.oddities.count, bad);
        let first = str::from_utf8(&bytes).err().map(|error| error.valid_up_to() as u64);
        prop_assert_eq!(found.oddities.first.map(|fault| fault.offset), first);
    }
}

/// The rules once more, without skipping.
fn by_bytes(bytes: &[u8], strict: bool, kept: usize) -> Found {
    let mut found = Ends { end: 0, records: 0 }.found();
    let mut oddities = Oddities::default();
    let (mut state, mut rows, mut columns, mut expected, mut row_from, mut stray) =
        (State::RecordStart, 0, 1, None, 0, None);
    let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    for (at, &byte) in bytes.iter().enumerate().skip(mark) {
        if state == State::RecordStart {
            row_from = at as u64;
        }
        let (next, step) = state.step(byte);
        state = next;
        match step {
            Step::Inside => {}
            Step::Stray => stray = stray.or(Some(at as u64)),
            Step::FieldEnd => columns += 1,
            Step::Blank => {}
            Step::RecordEnd => {
                rows += 1;
                let first = *expected.get_or_insert(columns);
                if let Some(offset) = stray.take() {
                    oddities.note(offset, FaultKind::StrayQuote);
                }
                if first != columns {
                    oddities.note(row_from, FaultKind::Columns { expected: first, found: columns });
                }
                columns = 1;
            }
        }
        if rows == 0 && step != Step::Blank {
            match found.first_row.len() < kept {
                true => found.first_row.push(byte),
                false => found.first_row_whole = false,
            }
        }
        if byte == b'\n' && state == State::RecordStart {
            (found.end, found.records, found.columns) = (at as u64 + 1, rows, expected);
            if strict {
                found.oddities = oddities.clone();
            }
        }
    }
    found
}

#[test]
fn a_frame_that_is_missing_or_twice_there_or_of_another_batch_is_noticed() {
    let frame = |sequence, batch_rest| {
        let payload_crc = crc32c::crc32c(b"x");
        let mut bytes =
            Header { payload_len: 1, payload_crc, batch_rest, sequence, fence: 4, writer: 0 }.encode().to_vec();
        bytes.push(b'x');
        bytes
    };
    let sequence = |expected, found| FaultKind::Sequence { expected, found };
    let rest = |expected, found| FaultKind::BatchRest { expected, found };
    let len = frame(1, 0).len() as u64;
    for (frames, end, at, what) in [
        (vec![(2, 0)], 0, 0, sequence(1, 2)),
        (vec![(1, 0), (3, 0)], 1, 1, sequence(2, 3)),
        (vec![(1, 0), (1, 0)], 1, 1, sequence(2, 1)),
        (vec![(1, 2), (2, 0)], 0, 1, rest(1, 0)),
        (vec![(1, 1), (2, 1)], 0, 1, rest(0, 1)),
        (vec![(1, 0), (2, 1), (4, 0)], 1, 2, sequence(3, 4)),
    ] {
        let bytes: Vec<u8> = frames.iter().flat_map(|&(sequence, rest)| frame(sequence, rest)).collect();
        let found = scan(FormatKind::Framed, Start::default(), &bytes, &[11]);
        assert_eq!(found.fault, Some(Fault { offset: at * len, what }), "{frames:?}");
        assert_eq!((found.end, found.sequence, found.records), (end * len, end + 1, end), "{frames:?}");
    }
    let begun = [frame(1, 0), frame(2, 1)].concat();
    let found = scan(FormatKind::Framed, Start::default(), &begun, &[11]);
    assert_eq!((found.end, found.fence_max, found.fault), (len, 4, None), "a batch that is not whole");
}

#[test]
fn what_was_never_framed_is_noticed_by_its_first_bytes() {
    for bytes in
        [&b"a"[..], b"LKX", b"LKF2", &[0; 3], &[0; 100], b"a line that is longer than one whole frame header\n"]
    {
        let found = scan(FormatKind::Framed, Start::default(), bytes, &[5]);
        assert_eq!(found.fault, Some(Fault { offset: 0, what: FaultKind::NoFrame }), "{bytes:?}");
    }
    assert_eq!(scan(FormatKind::Framed, Start::default(), b"LKF", &[5]).fault, None);
}

#[test]
fn a_strict_pass_names_the_first_odd_record_and_goes_on() {
    let not_json = |reason: &str| FaultKind::NotJson { reason: reason.to_owned() };
    for (kind, bytes, count, offset, what) in [
        (FormatKind::Jsonl, &b"1\n\n2\n \r\n"[..], 2, 2, FaultKind::BlankLine),
        (FormatKind::Jsonl, b"{\"a\":1}\r\n[1,]\n3\n{\n", 2, 12, not_json("expected value")),
        (FormatKind::Jsonl, b"\"\xff\"\n", 1, 1, not_json("not UTF-8")),
        (FormatKind::Csv, b"a,b\n1,2\n1\n1,2,3\n", 2, 8, FaultKind::Columns { expected: 2, found: 1 }),
        (FormatKind::Csv, b"a,b\n\"1\"x,\"2\"\n", 1, 7, FaultKind::StrayQuote),
        (FormatKind::Csv, b"a,b\n1\"\",2\n", 1, 5, FaultKind::StrayQuote),
        (FormatKind::Csv, b"a,\xc3\xa4\n\"\xc3\n\",2\n", 1, 6, FaultKind::NotUtf8),
    ] {
        for chunk in 1..=bytes.len() {
            let found = scan(kind, strict(), bytes, &[chunk]);
            let shown = bytes.escape_ascii().to_string();
            assert_eq!(found.oddities.first, Some(Fault { offset, what: what.clone() }), "{shown}");
            assert_eq!((found.oddities.count, found.end, &found.fault), (count, bytes.len() as u64, &None), "{shown}");
            let lax = scan(kind, Start { strict: false, ..strict() }, bytes, &[chunk]);
            assert_eq!(lax, Found { oddities: Oddities::default(), ..found }, "{shown}");
        }
    }
}

#[test]
fn what_is_odd_in_an_unfinished_record_is_not_told() {
    for (kind, bytes) in [
        (FormatKind::Jsonl, &b"1\n{]"[..]),
        (FormatKind::Csv, b"a,b\n1\r"),
        (FormatKind::Csv, b"a,b\n1\"\xff"),
        (FormatKind::Csv, b"a,b\n\"\n\"\"\xc3"),
    ] {
        let found = scan(kind, strict(), bytes, &[3]);
        assert_eq!((found.oddities, found.fault), (Oddities::default(), None));
    }
}

#[test]
fn a_json_line_too_long_to_check_is_told_and_the_next_is_checked() {
    for chunk in 1..40 {
        let start = Start { strict: true, ..Start::default() };
        let mut lines = jsonl::JsonLines::with_line_bytes_max(&start, 10);
        for piece in b"1234567890\n123\n12345678901\n12345678901234567890123\n,\n".chunks(chunk) {
            lines.feed(piece);
        }
        let found = lines.finish();
        let what = FaultKind::TooLongToCheck { line_bytes_max: 10 };
        assert_eq!(found.oddities, Oddities { count: 3, first: Some(Fault { offset: 15, what }) }, "{chunk}");
        assert_eq!(found.records, 5);
    }
}

#[test]
fn a_format_has_the_same_word_both_ways() {
    for kind in FormatKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    let error = "CSV".parse::<FormatKind>().unwrap_err();
    assert_eq!(error.to_string(), "\"CSV\" is no format; choose one of lines, csv, jsonl, framed");
}

#[test]
fn a_file_on_disk_is_read_from_and_to_where_it_is_told() {
    use crate::storage::{Access, Disk, LocalDisk};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let bytes = b"0123456\n".repeat(3 * CHUNK_BYTES / 8 / 2);
    std::fs::write(&path, &bytes).unwrap();
    let storage = LocalDisk.open(&path, Access::Read).unwrap();
    let pass = |from: u64, to: u64| {
        let start = Start { offset: from, records: from / 8, ..Start::default() };
        let mut reached = Vec::new();
        let found = scan_storage(&*storage, Scan::new(FormatKind::Lines, start), from, to, |at| reached.push(at));
        (found, reached)
    };
    let len = bytes.len() as u64;
    let (found, reached) = pass(8, len - 3);
    let found = found.unwrap();
    assert_eq!((found.end, found.records), (len - 8, len / 8 - 1));
    assert_eq!(reached, [8 + CHUNK_BYTES as u64, len - 3]);
    assert_eq!(pass(0, len + 1).0.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

/// Prints figures; they are looked at by people.
#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture speed"]
fn speed() {
    let rows = |row: &str| row.repeat((128 << 20) / row.len()).into_bytes();
    let plain = rows("1024,some text here,3.14159,2024-01-01T00:00:00Z,true,another field of text,17\n");
    let quoted = rows("\"1024\",\"some \"\"text\"\"\nhere\",\"3.14159\",\"2024-01-01\",\"true\"\n");
    let short = rows("1,2\n");
    let json = rows("{\"id\":1024,\"text\":\"some text here\",\"v\":[3.14159,true,null]}\n");
    let batches = vec![vec![vec![b'x'; 100]; 100]; 10_000];
    let framed = file_of(FormatKind::Framed, &batches).bytes;
    for (name, kind, bytes) in [
        ("lines", FormatKind::Lines, &plain),
        ("csv plain", FormatKind::Csv, &plain),
        ("csv quoted", FormatKind::Csv, &quoted),
        ("csv short", FormatKind::Csv, &short),
        ("jsonl", FormatKind::Jsonl, &json),
        ("framed of 100", FormatKind::Framed, &framed),
    ] {
        for strict in [false, true] {
            let begun = std::time::Instant::now();
            let start = Start { strict, nul_from: Some(0), ..Start::default() };
            let found = scan(kind, start, bytes, &[CHUNK_BYTES]);
            let rate = bytes.len() as f64 / begun.elapsed().as_secs_f64() / 1e6;
            println!("{name:14} strict {strict:5} {rate:8.0} MB/s, {} records", found.records);
        }
    }
}
