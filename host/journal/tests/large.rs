//! What opening a large file costs after its writer was killed: the tail with a checkpoint, the file without one.
//!
//! 64 MiB each by default; `LARGE=1` makes it 4 GiB of frames and 1 GiB of csv and prints what was seen.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use lockkeeper_journal::{AppendFile, CheckpointUse, FileSpec, Format, OpenReport, unguarded};

const CHILD: &str = "LOCKKEEPER_LARGE_FILE";

/// Behind the last mark there may be one mark's distance, and a record.
const BEHIND_MAX: u64 = 1 << 20;

/// The one with the name of a file in its environment writes it, says how far it came, and waits to be killed.
#[test]
fn child_writes_a_large_file_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let path = PathBuf::from(path);
    let target: u64 = std::env::var("LOCKKEEPER_LARGE_BYTES").unwrap().parse().unwrap();
    let format = format_of(&path);
    let (file, _) = AppendFile::open(&FileSpec::new(&path, format.clone(), "a child")).unwrap();
    let mut number = 0_u64;
    // Quoted newlines everywhere, so that wherever the file is cut a wrong guess about quotes would show.
    let text = "a line\nand \"another\",\n".repeat(200);
    while file.position().bytes < target {
        if format == Format::Framed {
            let record = vec![u8::try_from(number % 251).unwrap(); 60_000];
            file.append_batch(&[&record, &record, &record, &record], unguarded).unwrap();
            number += 4;
        } else {
            file.append_row(&[number.to_string(), text.clone(), "x".to_owned()], unguarded).unwrap();
            number += 1;
        }
    }
    println!("\n{number}");
    std::io::stdout().flush().unwrap();
    std::thread::park();
}

fn format_of(path: &Path) -> Format {
    match path.extension() {
        Some(extension) if extension == "csv" => Format::Csv { header: ["a", "b", "c"].map(str::to_owned).to_vec() },
        _ => Format::Framed,
    }
}

/// Has a child write a file and kills it. Answers how many records it acknowledged.
fn written_by_a_killed_child(path: &Path, bytes: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_writes_a_large_file_until_it_is_killed", "--exact", "--nocapture"])
        .env(CHILD, path)
        .env("LOCKKEEPER_LARGE_BYTES", bytes.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let records = lines.find_map(|line| line.unwrap().parse().ok()).expect("the child says how far it came");
    child.kill().unwrap();
    child.wait().unwrap();
    records
}

fn opened(path: &Path) -> (OpenReport, f64) {
    let started = Instant::now();
    let (file, report) = AppendFile::open(&FileSpec::new(path, format_of(path), "a test")).unwrap();
    let taken = started.elapsed().as_secs_f64() * 1e3;
    drop(file);
    (report, taken)
}

fn opening_costs_the_tail(name: &str, bytes: u64, torn: &[u8]) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join(name);
    let records = written_by_a_killed_child(&path, bytes);
    // What a write that was under way would have left.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(torn).unwrap();

    let (report, with_checkpoint) = opened(&path);
    assert_eq!(report.records_before, records);
    assert_eq!(report.checkpoint, CheckpointUse::Used);
    assert!(report.bytes_read <= BEHIND_MAX + torn.len() as u64, "{} bytes were read", report.bytes_read);
    assert_eq!(report.torn.as_ref().map(|torn| torn.bytes), Some(torn.len() as u64));

    fs::remove_file(directory.path().join(format!("{name}.checkpoint"))).unwrap();
    let (again, without_checkpoint) = opened(&path);
    assert_eq!((again.records_before, again.checkpoint), (records, CheckpointUse::Missing));
    assert_eq!(again.bytes_read, again.bytes_before);
    println!(
        "{name}: {} MiB, {records} records: {} bytes read in {with_checkpoint:.1} ms with a checkpoint, all in {without_checkpoint:.0} ms without",
        again.bytes_before >> 20,
        report.bytes_read,
    );
}

fn bytes(large: u64) -> u64 {
    if std::env::var_os("LARGE").is_some() { large } else { 64 << 20 }
}

#[test]
fn opening_a_large_framed_file_costs_its_tail() {
    opening_costs_the_tail("large.lkf", bytes(4 << 30), b"LKF1 and the beginning of a frame"[..4].as_ref());
}

#[test]
fn opening_a_large_csv_file_costs_its_tail() {
    opening_costs_the_tail("large.csv", bytes(1 << 30), b"1,\"a\nb,\"\"c\nd\n");
}
