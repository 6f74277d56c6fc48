//! What opening finds, refuses, repairs and reports.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockkeeper_journal::{
    AppendError, AppendFile, AppendOptions, Change, CheckpointUse, FileSpec, Format, IfExists, InvalidRecord,
    OpenError, OpenReport, Parents, RecordId, Torn, unguarded,
};
use tempfile::{TempDir, tempdir};

fn csv(header: &[&str]) -> Format {
    Format::Csv { header: header.iter().map(|name| (*name).to_owned()).collect() }
}

fn spec(path: &Path, format: &Format) -> FileSpec {
    let mut spec = FileSpec::new(path, format.clone(), "a test");
    spec.look_every = Duration::ZERO;
    spec
}

fn open(path: &Path, format: &Format) -> Result<(AppendFile, OpenReport), OpenError> {
    AppendFile::open(&spec(path, format))
}

fn push(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("out.csv");
    (directory, path)
}

/// A file that this crate has written, with the given records.
fn ours(path: &Path, format: &Format, records: &[&[u8]]) {
    let (file, _) = open(path, format).unwrap();
    for record in records {
        file.append(record, unguarded).unwrap();
    }
}

#[test]
fn a_new_file_is_made_with_its_header() {
    let (_directory, path) = directory();
    let (file, report) = open(&path, &csv(&["id", "a \"name\""])).unwrap();
    assert_eq!(
        report,
        OpenReport {
            records_before: 0,
            bytes_before: 0,
            torn: None,
            replaced_bytes: 0,
            created: true,
            header_written: true,
            bytes_read: 0,
            checkpoint: CheckpointUse::Missing,
            floor: 0,
            ids: None,
        }
    );
    let appended = file.append_row(&["1", "x,y"], unguarded).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "id,\"a \"\"name\"\"\"\n1,\"x,y\"\n");
    assert_eq!((appended.offset, appended.len, appended.sequence), (16, 8, 1));
    assert_eq!((file.position().bytes, file.position().records, file.position().run_bytes), (24, 1, 8));
}

#[test]
fn the_header_is_written_once_over_several_runs() {
    let (_directory, path) = directory();
    let format = csv(&["id", "name"]);
    for run in 0..3 {
        let (file, report) = open(&path, &format).unwrap();
        assert_eq!((report.header_written, report.created), (run == 0, run == 0));
        assert_eq!(report.records_before, run);
        file.append_row(&["1", "x"], unguarded).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "id,name\n1,x\n1,x\n1,x\n");
}

#[test]
fn another_header_is_refused_with_both_and_changes_nothing() {
    let (_directory, path) = directory();
    for content in ["id,nom\n1,x\n", "id\n", "id,name,age\n", "\n", "\"id,name\"\n"] {
        fs::write(&path, content).unwrap();
        let error = open(&path, &csv(&["id", "name"])).unwrap_err();
        let OpenError::HeaderMismatch { expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!(expected, &["id", "name"]);
        assert_eq!(found.is_empty(), content == "\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::write(&path, "id,nom\n").unwrap();
    let message = open(&path, &csv(&["id", "name"])).unwrap_err().to_string();
    assert!(message.contains(r#"["id", "nom"]"#) && message.contains(r#"["id", "name"]"#), "{message}");
}

#[test]
fn a_header_is_the_same_however_it_is_quoted_or_ended() {
    let (_directory, path) = directory();
    for content in ["id,name\n", "id,name\r\n", "\"id\",\"name\"\n", "\u{feff}id,name\n", "\u{feff}\"id\",name\r\n"] {
        fs::write(&path, content).unwrap();
        let (file, report) = open(&path, &csv(&["id", "name"])).unwrap();
        assert_eq!((report.header_written, report.records_before), (false, 0), "{content:?}");
        file.append_row(&["1", "x"], unguarded).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{content}1,x\n"));
    }
}

#[test]
fn without_a_header_the_first_row_of_the_file_or_of_the_run_fixes_the_columns() {
    let (_directory, path) = directory();
    for existing in ["", "a,\"b\n\"\n1,2\n"] {
        fs::write(&path, existing).unwrap();
        let (file, _) = open(&path, &csv(&[])).unwrap();
        if existing.is_empty() {
            file.append_row(&["a", "b"], unguarded).unwrap();
        }
        let refused = [
            file.append_row(&["1", "2", "3"], unguarded),
            file.append(b"1,2,3", unguarded),
            file.append_batch(&["1,2", "1,2,3"], unguarded),
        ];
        for refused in refused {
            let expected = InvalidRecord::Columns { expected: 2, got: 3 };
            assert!(matches!(&refused, Err(AppendError::Invalid(reason)) if *reason == expected), "{refused:?}");
        }
        file.append(b"1,2", unguarded).unwrap();
    }
}

#[test]
fn a_batch_of_first_rows_must_agree_on_the_columns() {
    let (_directory, path) = directory();
    let (file, _) = open(&path, &csv(&[])).unwrap();
    let error = file.append_batch(&["1,2", "1"], unguarded).unwrap_err();
    assert!(matches!(error, AppendError::Invalid(InvalidRecord::Columns { expected: 2, got: 1 })), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"");
    file.append_batch(&["1", "2"], unguarded).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"1\n2\n");
}

#[test]
fn a_torn_line_of_any_length_is_saved_cut_and_reported() {
    let record = "one l\u{ef}ne with \u{1f980} in it".as_bytes();
    for torn in 0..=record.len() {
        let (_directory, path) = directory();
        ours(&path, &Format::Lines, &[b"whole", b""]);
        push(&path, &record[..torn]);
        check_repair(&path, &Format::Lines, b"whole\n\n", &record[..torn]);
    }
}

/// A newline inside quotes ends no record: a repair that took it for one would leave half a row in the file.
#[test]
fn a_torn_csv_row_of_any_length_is_saved_cut_and_reported() {
    let rows = [
        "2,\"several\nquoted, \"\"lines\"\"\n\n\",\u{1f980}",
        "\"\n\",\"\"\"\n\"\"\",\"\n\"",
        "\"a\r\nb\",\"\u{e4}\",plain",
    ];
    for header in [&["a", "b", "c"][..], &[]] {
        for row in rows {
            let torn_row = row.as_bytes();
            for torn in 0..=torn_row.len() {
                let (_directory, path) = directory();
                ours(&path, &csv(header), &[b"1,\"x\ny\",z"]);
                let whole = fs::read(&path).unwrap();
                push(&path, &torn_row[..torn]);
                check_repair(&path, &csv(header), &whole, &torn_row[..torn]);
            }
        }
    }
}

/// What is kept of a torn end.
fn piece(report: &Torn, bytes: &[u8]) -> Vec<u8> {
    let Torn { offset, bytes: length, reason, .. } = report;
    let line = format!("lockkeeper-torn 1 offset {offset} length {length} reason {reason}\n");
    [line.as_bytes(), bytes, b"\n"].concat()
}

fn check_repair(path: &Path, format: &Format, whole: &[u8], torn: &[u8]) {
    let torn_path = path.with_extension("csv.torn");
    let (file, report) = open(path, format).unwrap();
    assert_eq!(report.bytes_before, whole.len() as u64);
    assert_eq!(fs::read(path).unwrap(), whole);
    match report.torn {
        None => assert!(torn.is_empty() && !torn_path.exists()),
        Some(report) => {
            assert_eq!(report.bytes, torn.len() as u64);
            assert_eq!(report.saved_to, torn_path);
            assert_eq!(fs::read(&torn_path).unwrap(), piece(&report, torn));
        }
    }
    file.append(b"1,2,3", unguarded).unwrap();
    assert_eq!(fs::read(path).unwrap(), [whole, b"1,2,3\n"].concat());
}

#[test]
fn a_torn_header_is_cut_and_written_anew() {
    let (_directory, path) = directory();
    let format = csv(&["id", "name"]);
    for torn in 1.."id,name".len() {
        drop(open(&path, &format).unwrap());
        fs::write(&path, &"id,name"[..torn]).unwrap();
        let (_file, report) = open(&path, &format).unwrap();
        assert_eq!(report.torn.map(|torn| torn.bytes), Some(torn as u64));
        assert!(report.header_written && !report.created);
        assert_eq!(fs::read_to_string(&path).unwrap(), "id,name\n");
    }
}

#[test]
fn torn_bytes_of_several_runs_are_kept_one_behind_the_other() {
    let (_directory, path) = directory();
    let mut pieces = Vec::new();
    // One that looks as if the next piece began in it.
    for torn in [&b"first"[..], b"\xfflockkeeper-torn 1 offset 0 length 1 reason none", b"\xff"] {
        ours(&path, &Format::Lines, &[b"whole"]);
        push(&path, torn);
        let (_file, report) = open(&path, &Format::Lines).unwrap();
        pieces.push((report.torn.unwrap(), torn));
    }
    let kept = fs::read(path.with_extension("csv.torn")).unwrap();
    assert_eq!(kept, pieces.iter().map(|(report, torn)| piece(report, torn)).collect::<Vec<_>>().concat());
    // As somebody gets them back: a line, as many bytes as it says, a newline.
    let mut rest = &kept[..];
    for (report, torn) in &pieces {
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
        let words: Vec<_> = str::from_utf8(&rest[..end]).unwrap().splitn(8, ' ').collect();
        let ["lockkeeper-torn", "1", "offset", offset, "length", length, "reason", reason] = words[..] else {
            panic!("{words:?}")
        };
        assert_eq!((offset.parse(), reason), (Ok(report.offset), report.reason.as_str()));
        let (bytes, more) = rest[end + 1..].split_at(length.parse().unwrap());
        assert_eq!(bytes, *torn);
        rest = more.strip_prefix(b"\n").unwrap();
    }
    assert_eq!(rest, b"");
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nwhole\nwhole\n");
}

#[test]
fn torn_bytes_are_no_more_public_than_their_file() {
    let (_directory, path) = directory();
    ours(&path, &Format::Lines, &[b"whole"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    push(&path, b"torn");
    drop(open(&path, &Format::Lines).unwrap());
    assert_eq!(fs::metadata(path.with_extension("csv.torn")).unwrap().mode() & 0o777, 0o600);
}

/// A gigabyte in front of the tail, which only the first opening reads. (Zeros, as others may write them: in a file of ours
/// they would be damage.)
#[test]
fn the_end_of_a_huge_file_is_found_from_its_checkpoint() {
    let (_directory, path) = directory();
    fs::write(&path, "first\n").unwrap();
    let len = 1_u64 << 30;
    OpenOptions::new().write(true).open(&path).unwrap().set_len(len).unwrap();
    push(&path, b"\nlast\n");
    let (file, report) = open(&path, &Format::Lines).unwrap();
    assert_eq!((report.bytes_before, report.records_before), (len + 6, 3));
    drop(file);
    push(&path, b"torn");
    let (file, report) = open(&path, &Format::Lines).unwrap();
    assert_eq!((report.bytes_before, report.records_before), (len + 6, 3));
    assert_eq!((report.torn.unwrap().bytes, report.checkpoint), (4, CheckpointUse::Used));
    assert_eq!(report.bytes_read, 4);
    let appended = file.append(b"next", unguarded).unwrap();
    assert_eq!(appended.offset, len + 6);
    assert_eq!(fs::metadata(&path).unwrap().len(), len + 11);
}

#[test]
fn a_foreign_file_with_an_unterminated_last_line_is_refused_and_not_cut() {
    for (format, content) in
        [(Format::Lines, "a\nb"), (csv(&["a"]), "a\nb"), (csv(&[]), "a\n\"b\n"), (csv(&["a"]), "a")]
    {
        let (_directory, path) = directory();
        fs::write(&path, content).unwrap();
        // Refusing must not make the file ours for the next time.
        for _ in 0..2 {
            let error = open(&path, &format).unwrap_err();
            let OpenError::ForeignTail { last_record_end, bytes, .. } = error else { panic!("{error}") };
            assert_eq!(
                (last_record_end, bytes),
                (content.find('\n').map_or(0, |at| at as u64 + 1), content.len() as u64)
            );
            assert!(error.to_string().contains("end it with a newline"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert!(!path.with_extension("csv.torn").exists());
        }
    }
}

/// The sidecar of yesterday's file says nothing about the file that a person has put in its place.
#[test]
fn a_file_that_was_written_in_another_format_is_refused_and_not_cut() {
    let (_directory, path) = directory();
    ours(&path, &Format::Framed, &[b"a line\nand more"]);
    let bytes = fs::read(&path).unwrap();
    for other in [Format::Lines, csv(&[]), Format::Jsonl] {
        let error = open(&path, &other).unwrap_err();
        assert!(matches!(error, OpenError::OtherFormat { .. }), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_file_that_took_the_place_of_ours_is_foreign() {
    let (directory, path) = directory();
    ours(&path, &Format::Lines, &[b"whole"]);
    let other = directory.path().join("other");
    fs::write(&other, "a person's last line").unwrap();
    fs::rename(&other, &path).unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::ForeignTail { .. }), "{error}");

    fs::remove_file(&path).unwrap();
    fs::write(&path, "a person's last line").unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::ForeignTail { .. }), "{error}");
}

#[test]
fn a_foreign_file_that_ends_well_is_appended_to_and_is_ours_from_then_on() {
    let (_directory, path) = directory();
    fs::write(&path, "a\nb\n").unwrap();
    ours(&path, &Format::Lines, &[b"c"]);
    push(&path, b"torn");
    let (_file, report) = open(&path, &Format::Lines).unwrap();
    assert_eq!(report.torn.unwrap().bytes, 4);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\nc\n");
}

#[test]
fn replace_empties_the_file_and_refuse_wants_it_empty() {
    let (_directory, path) = directory();
    fs::write(&path, "old\nunterminated").unwrap();
    let mut spec = spec(&path, &csv(&["a"]));
    spec.if_exists = IfExists::Refuse;
    let error = AppendFile::open(&spec).unwrap_err();
    assert!(matches!(error, OpenError::Exists { bytes: 16, .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old\nunterminated");

    spec.if_exists = IfExists::Replace;
    let (file, report) = AppendFile::open(&spec).unwrap();
    assert_eq!((report.replaced_bytes, report.bytes_before, report.header_written), (16, 0, true));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\n");
    drop(file);

    fs::write(&path, "").unwrap();
    spec.if_exists = IfExists::Refuse;
    let (_file, report) = AppendFile::open(&spec).unwrap();
    assert!(report.header_written && !report.created);
}

#[test]
fn a_file_that_is_being_written_is_not_replaced() {
    let (_directory, path) = directory();
    let (_file, _) = open(&path, &csv(&["a"])).unwrap();
    let mut spec = spec(&path, &csv(&["a"]));
    spec.if_exists = IfExists::Replace;
    let error = AppendFile::open(&spec).unwrap_err();
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\n");
}

#[test]
fn one_file_is_open_once_in_a_process_however_it_is_called() {
    let (directory, path) = directory();
    let real = directory.path().join("real");
    let alias = directory.path().join("alias");
    fs::create_dir(&real).unwrap();
    symlink(&real, &alias).unwrap();
    let path_there = real.join("out.csv");
    let (file, _) = open(&path_there, &Format::Lines).unwrap();

    for other in [&path_there, &alias.join("out.csv"), &real.join("../real/out.csv")] {
        let error = open(other, &Format::Lines).unwrap_err();
        let OpenError::AlreadyOpen { open_as, .. } = &error else { panic!("{error}") };
        assert_eq!(open_as, &path_there);
    }
    // A hard link has a sidecar of its own, so only the identity can tell.
    fs::hard_link(&path_there, &path).unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error}");
    drop(file);
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::Linked { links: 2, .. }), "{error}");
    fs::remove_file(&path).unwrap();
    drop(open(&path_there, &Format::Lines).unwrap());
}

#[test]
fn only_regular_files_are_opened_and_nothing_is_made_beside_others() {
    let (directory, path) = directory();
    let target = directory.path().join("target");
    fs::write(&target, "a\n").unwrap();
    symlink(&target, &path).unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::SymbolicLink { .. }), "{error}");

    fs::remove_file(&path).unwrap();
    symlink(directory.path().join("nowhere"), &path).unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::SymbolicLink { .. }), "{error}");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::NotRegular { kind: "a directory", .. }), "{error}");

    fs::remove_dir(&path).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(fifo.success());
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::NotRegular { kind: "a pipe", .. }), "{error}");

    let error = open(Path::new("/dev/null"), &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::NotRegular { kind: "a device", .. }), "{error}");

    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["out.csv", "target"]);
}

#[test]
fn a_sidecar_that_is_a_link_is_refused() {
    let (directory, path) = directory();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, path.with_extension("csv.lock")).unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::Lock(_)), "{error}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!path.exists());
}

#[test]
fn a_torn_file_that_is_a_link_is_refused_and_nothing_is_cut() {
    let (directory, path) = directory();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    ours(&path, &Format::Lines, &[b"whole"]);
    push(&path, b"torn");
    symlink(&victim, path.with_extension("csv.torn")).unwrap();
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::SymbolicLink { .. }), "{error}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ntorn");
}

#[test]
fn paths_that_name_no_file_are_refused() {
    for path in ["", "/", "..", "a/..", "out.csv/"] {
        let error = open(Path::new(path), &Format::Lines).unwrap_err();
        assert!(matches!(error, OpenError::NoFileName { .. }), "{path:?}: {error}");
    }
}

#[test]
fn missing_directories_are_made_only_when_asked_for() {
    let (directory, _) = directory();
    let path = directory.path().join("a/b/out.csv");
    let error = open(&path, &Format::Lines).unwrap_err();
    assert!(matches!(error, OpenError::Lock(_)), "{error}");
    let mut spec = spec(&path, &Format::Lines);
    spec.parents = Parents::Create;
    let (_file, report) = AppendFile::open(&spec).unwrap();
    assert!(report.created);
}

#[test]
fn limits_and_headers_that_cannot_be_are_refused_before_anything_is_made() {
    let (_directory, path) = directory();
    let mut spec = spec(&path, &csv(&["a long header"]));
    spec.record_bytes_max = 5;
    let error = AppendFile::open(&spec).unwrap_err();
    assert!(matches!(error, OpenError::InvalidHeader { .. }), "{error}");
    for impossible in [0, usize::MAX] {
        spec.record_bytes_max = impossible;
        let error = AppendFile::open(&spec).unwrap_err();
        assert!(matches!(error, OpenError::RecordLimit { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn meddling_with_the_open_file_is_found_out_at_the_next_append() {
    type Meddle = fn(&Path);
    let cases: [(Meddle, Change); 4] = [
        (|path| push(path, b"x"), Change::Grown { expected: 6, found: 7 }),
        (|path| fs::write(path, "wh").unwrap(), Change::Truncated { expected: 6, found: 2 }),
        (|path| fs::remove_file(path).unwrap(), Change::Unlinked),
        (|path| fs::rename(path.with_file_name("new"), path).unwrap(), Change::Unlinked),
    ];
    for (meddle, expected) in cases {
        let (directory, path) = directory();
        fs::write(directory.path().join("new"), "whole\n").unwrap();
        let (file, _) = open(&path, &Format::Lines).unwrap();
        file.append(b"whole", unguarded).unwrap();
        meddle(&path);
        let left = fs::read(&path).ok();
        let error = file.append(b"next", unguarded).unwrap_err();
        assert!(matches!(error, AppendError::Changed { what, .. } if what == expected), "{error}");
        let error = file.append(b"next", unguarded).unwrap_err();
        assert!(matches!(error, AppendError::Latched { .. }), "{error}");
        assert!(file.latched().is_some());
        assert_eq!(fs::read(&path).ok(), left);
    }
}

#[test]
fn the_sidecar_stays_and_the_file_can_be_opened_again() {
    let (_directory, path) = directory();
    let sidecar = path.with_extension("csv.lock");
    drop(open(&path, &Format::Lines).unwrap());
    let inode = fs::metadata(&sidecar).unwrap().ino();
    drop(open(&path, &Format::Lines).unwrap());
    assert_eq!(fs::metadata(&sidecar).unwrap().ino(), inode);
    let note = fs::read_to_string(&sidecar).unwrap();
    let lines: Vec<&str> = note.lines().collect();
    assert_eq!(lines[..3], ["lockkeeper-lock 1", &format!("pid {}", std::process::id()), "holder a test"]);
    assert!(lines[3].starts_with("mark wrote inode "), "{note}");
    assert_eq!(lines[4..], ["end"]);
}

#[test]
fn a_file_that_was_copied_with_its_ids_keeps_them() {
    let (directory, path) = directory();
    let mut spec = spec(&path, &Format::Lines);
    spec.ids = true;
    let (file, _) = AppendFile::open(&spec).unwrap();
    let id = RecordId::of(b"one");
    let options = AppendOptions { id: Some(id), ..AppendOptions::default() };
    file.commit_with(&file.encode(b"one").unwrap(), &options, unguarded).unwrap();
    drop(file);
    let copy = directory.path().join("copy");
    for ending in ["", ".ids", ".checkpoint", ".lock"] {
        fs::copy(format!("{}{ending}", path.display()), format!("{}{ending}", copy.display())).unwrap();
    }
    let mut spec = FileSpec::new(&copy, Format::Lines, "a test");
    spec.ids = true;
    for _ in 0..2 {
        let (file, report) = AppendFile::open(&spec).unwrap();
        assert_eq!(report.ids.map(|ids| (ids.known, ids.dropped)), Some((1, 0)));
        let again = file.commit_with(&file.encode(b"one").unwrap(), &options, unguarded).unwrap();
        assert!(again.repeated);
    }
    assert_eq!(fs::read(&copy).unwrap(), b"one\n");
}

#[test]
fn a_file_that_others_wrote_anew_after_a_batch_is_not_cut_for_it() {
    let (_directory, path) = directory();
    let (file, _) = open(&path, &Format::Lines).unwrap();
    file.append_batch(&["a".repeat(20), "b".repeat(20)], unguarded).unwrap();
    // As a host leaves it that is killed: nothing is said at its end.
    let checkpoint = fs::read(format!("{}.checkpoint", path.display())).unwrap();
    drop(file);
    fs::write(format!("{}.checkpoint", path.display()), checkpoint).unwrap();
    fs::write(&path, "r\nq\n").unwrap();
    let (_file, report) = open(&path, &Format::Lines).unwrap();
    assert_eq!((report.torn, report.records_before), (None, 2));
}
