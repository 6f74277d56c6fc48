//! Writes that fail: whatever the disk does, the file ends on a whole record, or takes no more.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

use super::double::{Fault, Memory};
use super::errno;
use crate::error::{AppendError, Change, LatchCause};
use crate::file::{AppendFile, Writer, unguarded};
use crate::format::{Encoder, Format};

fn csv() -> Format {
    Format::Csv { header: Vec::new() }
}

fn file_on(memory: &Memory, format: &Format) -> AppendFile {
    let encoder = Encoder::new(format, 1 << 20, 1 << 20);
    let len = memory.bytes().len() as u64;
    let writer = Writer::new(Box::new(memory.clone()), len);
    AppendFile::new(PathBuf::from("out"), encoder, writer, None, None)
}

fn code_of(error: &AppendError<Infallible>) -> Option<i32> {
    match error {
        AppendError::Io { source, .. } => source.raw_os_error(),
        _ => None,
    }
}

/// Three ways to fail after `taken` bytes: at once, after an interruption, and by stopping a second time.
fn failures_after(taken: usize, code: i32) -> [Vec<Fault>; 3] {
    [
        vec![Fault::Short(taken), Fault::Fail(code)],
        vec![Fault::Fail(errno::EINTR), Fault::Short(taken), Fault::Fail(errno::EINTR), Fault::Fail(code)],
        vec![Fault::Short(taken), Fault::Short(0)],
    ]
}

#[test]
fn a_write_that_fails_at_any_byte_leaves_whole_records_and_the_next_append_works() {
    let records: [(Format, &[u8]); 3] = [
        (Format::Lines, b"a line of some length \xff\x00 and odd bytes"),
        (csv(), "1,\"a\nquoted, \"\"line\"\"\n\",\u{e4}\u{1f980}".as_bytes()),
        (csv(), b"x,\"\",y"),
    ];
    let mut failures = 0;
    for (format, record) in &records {
        for code in [errno::ENOSPC, errno::EFBIG, errno::EDQUOT, errno::EIO] {
            // The whole record and all but its newline are torn as well.
            for taken in 0..=record.len() {
                for faults in failures_after(taken, code) {
                    let told = faults.len() != 2 || matches!(faults[1], Fault::Fail(_));
                    let memory = Memory::new();
                    let file = file_on(&memory, format);
                    file.append(record, unguarded).unwrap();
                    let good = memory.bytes();

                    memory.writes(faults);
                    let error = file.append(record, unguarded).unwrap_err();
                    assert_eq!(code_of(&error), told.then_some(code), "{error}");
                    assert!(matches!(error, AppendError::Io { .. }));
                    assert_eq!(memory.bytes(), good, "after {taken} bytes of {record:?}");
                    assert_eq!(file.position().bytes, good.len() as u64);
                    assert_eq!(file.position().records, 1);

                    let next = file.append(record, unguarded).unwrap();
                    assert_eq!((next.offset, next.sequence), (good.len() as u64, 2));
                    assert_eq!(memory.bytes(), [good.clone(), good].concat());
                    failures += 1;
                }
            }
        }
    }
    assert!(failures > 500, "{failures}");
}

#[test]
fn a_batch_that_fails_at_any_byte_leaves_none_of_its_records() {
    let batch: [&[u8]; 3] = [b"first", b"", b"the third"];
    let whole = b"first\n\nthe third\n".len();
    for taken in 0..whole {
        for faults in failures_after(taken, errno::ENOSPC) {
            let memory = Memory::new();
            let file = file_on(&memory, &Format::Lines);
            file.append(b"before", unguarded).unwrap();
            memory.writes(faults);
            let error = file.append_batch(&batch, unguarded).unwrap_err();
            assert!(matches!(error, AppendError::Io { .. }), "{error}");
            assert_eq!(memory.bytes(), b"before\n");
            let appended = file.append_batch(&batch, unguarded).unwrap();
            assert_eq!((appended.sequence, appended.records), (2, 3));
            assert_eq!(memory.bytes(), b"before\nfirst\n\nthe third\n");
            assert_eq!(file.position().records, 4);
        }
    }
}

#[test]
fn a_short_write_without_an_error_is_completed() {
    let record = b"one record";
    for taken in 0..=record.len() {
        let memory = Memory::new();
        let file = file_on(&memory, &Format::Lines);
        memory.writes([Fault::Fail(errno::EINTR), Fault::Short(taken), Fault::Fail(errno::EINTR)]);
        file.append(record, unguarded).unwrap();
        assert_eq!(memory.bytes(), b"one record\n");
    }
}

#[test]
fn a_record_is_one_write_whatever_its_size() {
    for size in [0, 1, 4096, 65_536, 1 << 20] {
        let memory = Memory::new();
        let file = file_on(&memory, &Format::Lines);
        file.append(&vec![b'x'; size], unguarded).unwrap();
        assert_eq!(memory.with(|state| state.writes_done), 1);
        assert_eq!(memory.bytes().len(), size + 1);
    }
}

#[test]
fn a_file_whose_cut_fails_takes_no_more_records() {
    let memory = Memory::new();
    let file = file_on(&memory, &Format::Lines);
    file.append(b"whole", unguarded).unwrap();
    memory.writes([Fault::Short(3), Fault::Fail(errno::ENOSPC)]);
    memory.with(|state| state.cuts.push_back(errno::EIO));
    let error = file.append(b"torn record", unguarded).unwrap_err();
    assert!(is_cut_failure(&error, errno::ENOSPC, errno::EIO), "{error}");

    let torn = memory.bytes();
    assert_eq!(torn, b"whole\ntor");
    let writes_done = memory.with(|state| state.writes_done);
    for _ in 0..3 {
        let error = file.append(b"next", unguarded).unwrap_err();
        assert!(is_cut_failure(&error, errno::ENOSPC, errno::EIO), "{error}");
        let error = file.append_batch(&[b"next"], unguarded).unwrap_err();
        assert!(is_cut_failure(&error, errno::ENOSPC, errno::EIO), "{error}");
    }
    assert_eq!(memory.bytes(), torn);
    assert_eq!(memory.with(|state| state.writes_done), writes_done);
    assert!(matches!(file.latched(), Some(LatchCause::CutFailed { .. })));
}

fn is_cut_failure(error: &AppendError<Infallible>, write_code: i32, cut_code: i32) -> bool {
    let code = |error: &io::Error| error.raw_os_error();
    matches!(error, AppendError::Latched { cause: LatchCause::CutFailed { write, cut }, .. }
        if code(write) == Some(write_code) && code(cut) == Some(cut_code))
}

#[test]
fn a_cut_that_only_claims_to_have_worked_latches_the_file() {
    let memory = Memory::new();
    let file = file_on(&memory, &Format::Lines);
    memory.writes([Fault::Short(3), Fault::Fail(errno::ENOSPC)]);
    memory.with(|state| state.idle_cuts = 1);
    let error = file.append(b"torn record", unguarded).unwrap_err();
    assert!(matches!(error, AppendError::Latched { .. }), "{error}");
    let error = file.append(b"next", unguarded).unwrap_err();
    assert!(matches!(error, AppendError::Latched { .. }), "{error}");
    assert_eq!(memory.bytes(), b"tor");
}

#[test]
fn a_file_that_others_changed_is_latched_before_anything_is_written() {
    type Meddle = fn(&mut super::double::State);
    let cases: [(Meddle, Change); 3] = [
        (|state| state.bytes.truncate(2), Change::Truncated { expected: 6, found: 2 }),
        (|state| state.bytes.push(b'!'), Change::Grown { expected: 6, found: 7 }),
        (|state| state.unlinked = true, Change::Unlinked),
    ];
    for (meddle, expected) in cases {
        let memory = Memory::new();
        let file = file_on(&memory, &Format::Lines);
        file.append(b"whole", unguarded).unwrap();
        memory.with(meddle);
        let left = memory.bytes();
        let error = file.append(b"next", unguarded).unwrap_err();
        assert!(matches!(error, AppendError::Changed { what, .. } if what == expected), "{error}");
        let error = file.append(b"next", unguarded).unwrap_err();
        assert!(
            matches!(error, AppendError::Latched { cause: LatchCause::Changed(what), .. } if what == expected),
            "{error}"
        );
        assert_eq!(memory.bytes(), left);
    }
}

/// A first row that never reached the file must not decide how many columns the file has.
#[test]
fn a_first_row_that_failed_does_not_fix_the_columns() {
    let memory = Memory::new();
    let file = file_on(&memory, &csv());
    memory.writes([Fault::Short(1), Fault::Fail(errno::ENOSPC)]);
    file.append_row(&["a", "b", "c"], unguarded).unwrap_err();
    file.append_row(&["a", "b"], unguarded).unwrap();
    let error = file.append_row(&["a", "b", "c"], unguarded).unwrap_err();
    assert!(matches!(error, AppendError::Invalid(_)), "{error}");
    assert_eq!(memory.bytes(), b"a,b\n");
}

#[test]
fn a_guard_that_panics_leaves_the_file_usable() {
    let memory = Memory::new();
    let file = file_on(&memory, &Format::Lines);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        file.append::<Infallible>(b"never", || panic!("the guard of a test"))
    }));
    assert!(panicked.is_err());
    file.append(b"next", unguarded).unwrap();
    assert_eq!(memory.bytes(), b"next\n");
}
