//! What goes in comes out: whole, in order, and nothing else.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use lockkeeper_journal::{
    AppendError, AppendFile, FileSpec, Format, FormatKind, InvalidRecord, RECORD_BYTES_MAX, Reader, unguarded,
};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

fn open(format: Format) -> (TempDir, PathBuf, AppendFile) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("out");
    let (file, _) = AppendFile::open(&FileSpec::new(&path, format, "a test")).unwrap();
    (directory, path, file)
}

fn csv() -> Format {
    Format::Csv { header: Vec::new() }
}

fn why<T: std::fmt::Debug>(refused: Result<T, AppendError<std::convert::Infallible>>) -> InvalidRecord {
    match refused {
        Err(AppendError::Invalid(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// Any text, and often what csv is made of.
fn field() -> impl Strategy<Value = String> {
    let special = prop::collection::vec(
        prop::sample::select(vec!["\"", ",", "\n", "\r", "\r\n", " ", "a", "\u{e4}", "\u{feff}", "#", "\\"]),
        0..8,
    );
    prop_oneof![special.prop_map(|parts| parts.concat()), any::<String>().prop_map(|text| text.replace('\0', ""))]
}

fn rows() -> impl Strategy<Value = Vec<Vec<String>>> {
    (1_usize..6).prop_flat_map(|columns| prop::collection::vec(prop::collection::vec(field(), columns), 1..12))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_any_fields_are_read_back_as_they_were_appended(rows in rows()) {
        let (_directory, path, file) = open(csv());
        for row in &rows {
            file.append_row(row, unguarded).unwrap();
        }
        drop(file);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(&path).unwrap();
        let read: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        prop_assert_eq!(&read, &rows);
        // What was quoted here is also one record when it comes back as bytes, and when the file is opened again.
        let bytes = fs::read(&path).unwrap();
        let (again, report) = AppendFile::open(&FileSpec::new(&path, csv(), "a test")).unwrap();
        prop_assert_eq!(report.torn, None);
        prop_assert_eq!(report.records_before, rows.len() as u64);
        prop_assert_eq!(report.bytes_before, bytes.len() as u64);
        if rows.len() == 1 {
            again.append(&bytes[..bytes.len() - 1], unguarded).unwrap();
        }
    }

    #[test]
    fn lines_of_any_bytes_but_line_breaks_and_zeros_are_read_back_as_they_were_appended(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
        batch in 1_usize..5,
    ) {
        let (_directory, path, file) = open(Format::Lines);
        let good = |line: &Vec<u8>| !line.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0));
        let mut expected = Vec::new();
        for some in lines.chunks(batch) {
            let appended = if let [line] = some {
                file.append(line, unguarded)
            } else {
                file.append_batch(some, unguarded)
            };
            prop_assert_eq!(appended.is_ok(), some.iter().all(good));
            if let Ok(appended) = appended {
                prop_assert_eq!(appended.offset, expected.len() as u64);
                for line in some {
                    expected.extend_from_slice(line);
                    expected.push(b'\n');
                }
            }
        }
        prop_assert_eq!(fs::read(&path).unwrap(), expected);
    }
}

#[test]
fn a_line_break_inside_a_line_is_refused_and_nothing_is_written() {
    let (_directory, path, file) = open(Format::Lines);
    for (record, at) in [(&b"a\nb"[..], 1), (b"\n", 0), (b"a\n", 1), (b"a\r", 1), (b"\r\n", 0)] {
        assert_eq!(why(file.append(record, unguarded)), InvalidRecord::LineBreak { at });
        assert_eq!(why(file.append_batch(&[b"good", record], unguarded)), InvalidRecord::LineBreak { at });
    }
    assert_eq!(why(file.append_row(&["a"], unguarded)), InvalidRecord::NotRows);
    assert_eq!(why(file.append_batch::<_>(&[b""; 0], unguarded)), InvalidRecord::EmptyBatch);
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn an_empty_line_and_odd_bytes_are_lines() {
    let (_directory, path, file) = open(Format::Lines);
    for record in [&b""[..], b"\x01\xff\xfe\x1b[2J\xe2\x80\xa8"] {
        file.append(record, unguarded).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), b"\n\x01\xff\xfe\x1b[2J\xe2\x80\xa8\n");
}

#[test]
fn a_zero_byte_is_refused_in_text_and_kept_in_frames() {
    for format in [Format::Lines, csv(), Format::Jsonl] {
        let (_directory, path, file) = open(format);
        let refused = file.append(b"\"a\0b\"", unguarded);
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
    let (_directory, path, file) = open(Format::Framed);
    file.append(b"a\0\nb", unguarded).unwrap();
    let mut reader = Reader::new(FormatKind::Framed, File::open(&path).unwrap());
    assert_eq!(reader.next_record().unwrap().unwrap().bytes, b"a\0\nb");
}

#[test]
fn csv_bytes_that_are_not_exactly_one_record_are_refused() {
    let (_directory, path, file) = open(Format::Csv { header: vec!["a".to_owned(), "b".to_owned()] });
    let columns = |got| InvalidRecord::Columns { expected: 2, got };
    let cases: [(&[u8], InvalidRecord); 9] = [
        (b"", InvalidRecord::NoFields),
        (b"1", columns(1)),
        (b"1,2,3", columns(3)),
        (b"1,2\n3,4", InvalidRecord::LineBreak { at: 3 }),
        (b"1,2\n", InvalidRecord::LineBreak { at: 3 }),
        (b"1,\"2", InvalidRecord::UnclosedQuote),
        (b"1,\"2\"\"", InvalidRecord::UnclosedQuote),
        (b"1,2\"", InvalidRecord::StrayQuote { at: 3 }),
        (b"1,\xff", InvalidRecord::NotUtf8 { at: 2 }),
    ];
    for (record, reason) in cases {
        assert_eq!(why(file.append(record, unguarded)), reason, "{record:?}");
    }
    assert_eq!(why(file.append_row(&["1"], unguarded)), columns(1));
    assert_eq!(why(file.append_row::<_>(&[""; 0], unguarded)), InvalidRecord::NoFields);
    file.append(b"1,\"2\n\"\"\"", unguarded).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"a,b\n1,\"2\n\"\"\"\n");
}

#[test]
fn a_record_of_the_limit_is_written_and_one_byte_more_is_refused_by_name() {
    let (_directory, path, file) = open(Format::Lines);
    let record = vec![b'x'; RECORD_BYTES_MAX];
    file.append(&record, unguarded).unwrap();
    let reason = why(file.append(&vec![b'x'; RECORD_BYTES_MAX + 1], unguarded));
    assert!(reason.to_string().contains("record_bytes_max"), "{reason}");
    assert_eq!(fs::metadata(&path).unwrap().len(), RECORD_BYTES_MAX as u64 + 1);

    // Of a row the bytes in the file count: quoting a quote makes two.
    let (_directory, path, file) = open(csv());
    let quotes = "\"".repeat(RECORD_BYTES_MAX / 2 - 1);
    file.append_row(&[&quotes], unguarded).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), RECORD_BYTES_MAX as u64 + 1);
    let reason = why(file.append_row(&[format!("{quotes}\"")], unguarded));
    assert_eq!(reason, InvalidRecord::TooLong { bytes: RECORD_BYTES_MAX + 2, record_bytes_max: RECORD_BYTES_MAX });
}

#[test]
fn a_batch_above_its_limit_is_refused_by_name() {
    let directory = tempdir().unwrap();
    let mut spec = FileSpec::new(directory.path().join("out"), Format::Lines, "a test");
    spec.batch_bytes_max = 8;
    let (file, _) = AppendFile::open(&spec).unwrap();
    file.append_batch(&["abc", "def"], unguarded).unwrap();
    let reason = why(file.append_batch(&["abc", "defg"], unguarded));
    assert_eq!(reason, InvalidRecord::BatchTooLong { bytes: 9, batch_bytes_max: 8 });
    assert!(reason.to_string().contains("batch_bytes_max"));
}

const THREADS: usize = 8;
const RECORDS_PER_THREAD: usize = 2_000;

/// Lengths from a few bytes to 64 KiB, most of them short.
fn record(thread: usize, number: usize) -> Vec<u8> {
    let mixed = (thread * 7_919 + number * 104_729) % 65_521;
    let len = mixed >> (number % 13);
    let mut record = format!("{thread} {number} {len} ").into_bytes();
    record.extend((0..len).map(|at| b'a' + u8::try_from((at + number) % 26).unwrap()));
    record.truncate(65_536);
    record
}

#[test]
fn records_of_eight_threads_are_whole_and_in_the_order_of_each() {
    let (_directory, path, file) = open(Format::Lines);
    let file = Arc::new(file);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let file = Arc::clone(&file);
            thread::spawn(move || {
                let append = |number| file.append(&record(thread, number), unguarded).unwrap();
                (0..RECORDS_PER_THREAD).map(append).collect::<Vec<_>>()
            })
        })
        .collect();
    let answers: Vec<Vec<_>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();

    let bytes = fs::read(&path).unwrap();
    assert_eq!(file.position().bytes, bytes.len() as u64);
    assert_eq!(file.position().records, (THREADS * RECORDS_PER_THREAD) as u64);
    let mut next: HashMap<usize, usize> = HashMap::new();
    let mut offset = 0;
    let lines = bytes.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n');
    for (sequence, line) in (1..).zip(lines) {
        let start = String::from_utf8_lossy(&line[..line.len().min(20)]).into_owned();
        let mut words = start.split(' ').map(|word| word.parse::<usize>());
        let thread = words.next().unwrap().unwrap();
        let number = words.next().unwrap().unwrap();
        assert!(line == record(thread, number), "record {number} of thread {thread} is not whole");
        let expected = next.entry(thread).or_default();
        assert_eq!(number, *expected, "thread {thread}");
        *expected += 1;
        let answer = answers[thread][number];
        assert_eq!((answer.offset, answer.len, answer.sequence), (offset, line.len() as u64 + 1, sequence));
        offset += answer.len;
    }
    assert_eq!(next.len(), THREADS);
    assert!(next.values().all(|&count| count == RECORDS_PER_THREAD));
}

#[test]
fn a_batch_is_never_interleaved_with_records_of_others() {
    let (_directory, path, file) = open(Format::Lines);
    thread::scope(|scope| {
        for thread in 0..4 {
            let file = &file;
            scope.spawn(move || {
                for number in 0..500 {
                    let batch: Vec<String> = (0..5).map(|part| format!("{thread} {number} {part}")).collect();
                    file.append_batch(&batch, unguarded).unwrap();
                }
            });
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4 * 500 * 5);
    for batch in lines.chunks(5) {
        let start = batch[0].strip_suffix(" 0").unwrap();
        for (part, line) in batch.iter().enumerate() {
            assert_eq!(*line, format!("{start} {part}"));
        }
    }
}

/// Two threads may both bring the first row of a file without a header, and only one of them fixes the columns.
#[test]
fn racing_first_rows_of_different_widths_leave_rows_of_one_width() {
    for _ in 0..200 {
        let (_directory, path, file) = open(csv());
        let wrote: usize = thread::scope(|scope| {
            let threads: Vec<_> = (1..=4)
                .map(|columns| {
                    let file = &file;
                    scope.spawn(move || file.append_row(&vec!["x"; columns], unguarded).is_ok())
                })
                .collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(wrote, 1);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}

/// Records that are encoded now and written later are one write, and rows of another width are refused when they meet.
#[test]
fn records_encoded_ahead_are_written_as_one_batch_or_refused() {
    let (_directory, path, file) = open(csv());
    let mut held_back = file.encode_row(&["1", "a\nb"]).unwrap();
    held_back.extend(&file.encode_batch(&["2,c", "3,d"]).unwrap()).unwrap();
    let wider = file.encode(b"4,e,f").unwrap();
    assert_eq!(held_back.extend(&wider), Err(InvalidRecord::Columns { expected: 2, got: 3 }));
    assert_eq!((held_back.records(), held_back.len()), (3, 16));
    assert_eq!(fs::read(&path).unwrap(), b"");

    let appended = file.commit(&held_back, unguarded).unwrap();
    assert_eq!((appended.offset, appended.len, appended.sequence, appended.records), (0, 16, 1, 3));
    assert_eq!(fs::read(&path).unwrap(), b"1,\"a\nb\"\n2,c\n3,d\n");
    // It was encoded before the first row fixed the columns, so it is asked again when it is written.
    assert_eq!(why(file.commit(&wider, unguarded)), InvalidRecord::Columns { expected: 2, got: 3 });
    assert_eq!(file.position().records, 3);
}
