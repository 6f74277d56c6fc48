//! Two processes, and one that dies. The second process is this test program again, told by a variable what to do.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lockkeeper_journal::os_lock::{Attempt, OsLock};
use lockkeeper_journal::{AppendError, AppendFile, FileSpec, Format, OpenError, RECORD_BYTES_MAX, unguarded};
use tempfile::tempdir;

/// The file that a child works on; without it, a child's test does nothing.
const PATH: &str = "LOCKKEEPER_JOURNAL_TEST_PATH";

fn child_path() -> Option<PathBuf> {
    env::var_os(PATH).map(PathBuf::from)
}

fn spec(path: &Path) -> FileSpec {
    let format = Format::Csv { header: vec!["id".to_owned(), "text".to_owned()] };
    FileSpec::new(path, format, "lockkeeper run job.toml")
}

fn command(test: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(PATH, path);
    command
}

fn spawn(test: &str, path: &Path) -> Child {
    command(test, path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Tells the parent something on a line of its own.
fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{word}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn wait_for(child: &mut Child, word: &str) {
    let said = BufReader::new(child.stdout.as_mut().unwrap()).lines().any(|line| line.unwrap() == word);
    assert!(said, "the child never said {word}");
}

#[test]
fn child_holds_the_file_until_its_input_ends() {
    let Some(path) = child_path() else { return };
    let (file, _) = AppendFile::open(&spec(&path)).unwrap();
    file.append_row(&["1", "of the child"], unguarded).unwrap();
    say("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_second_process_is_told_which_one_writes_the_file() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("out.csv");
    let mut child = spawn("child_holds_the_file_until_its_input_ends", &path);
    wait_for(&mut child, "held");

    let error = AppendFile::open(&spec(&path)).unwrap_err();
    let OpenError::Busy { holder: Some(holder), .. } = &error else { panic!("{error}") };
    assert_eq!((holder.pid, holder.text.as_str()), (child.id(), "lockkeeper run job.toml"));
    let expected = format!("{} is being written by process {} (lockkeeper run job.toml)", path.display(), child.id());
    assert!(error.to_string().starts_with(&expected), "{error}");

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let (_file, report) = AppendFile::open(&spec(&path)).unwrap();
    assert_eq!((report.records_before, report.torn), (1, None));
}

#[test]
fn a_killed_process_leaves_no_lock_behind() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("out.csv");
    let mut child = spawn("child_holds_the_file_until_its_input_ends", &path);
    wait_for(&mut child, "held");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let (file, report) = AppendFile::open(&spec(&path)).unwrap();
    assert_eq!(report.records_before, 1);
    file.append_row(&["2", "of the parent"], unguarded).unwrap();
}

/// Large enough that the kill often meets a write in flight.
const RECORDS_PER_BATCH: usize = 4;

fn large_record(number: usize) -> Vec<u8> {
    let mut record = vec![b'a' + u8::try_from(number % 26).unwrap(); RECORD_BYTES_MAX];
    let start = format!("{number} ");
    record[..start.len()].copy_from_slice(start.as_bytes());
    record
}

#[test]
fn child_appends_batches_until_it_is_killed() {
    let Some(path) = child_path() else { return };
    let (file, _) = AppendFile::open(&FileSpec::new(&path, Format::Lines, "a test")).unwrap();
    for batch in 0.. {
        let numbers = batch * RECORDS_PER_BATCH..(batch + 1) * RECORDS_PER_BATCH;
        let records: Vec<_> = numbers.map(large_record).collect();
        let begins = || {
            say("begins");
            unguarded()
        };
        file.append_batch(&records, begins).unwrap();
        say("acknowledged");
    }
}

/// `written` survives the host's death: whatever was acknowledged is there, whole and in order, and the file can go on.
#[test]
fn every_acknowledged_record_survives_the_kill_of_its_writer() {
    let (mut torn, mut part_batches) = (0, 0);
    for round in 0..30 {
        let directory = tempdir().unwrap();
        let path = directory.path().join("out");
        let mut child = spawn("child_appends_batches_until_it_is_killed", &path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        for _ in 0..=round % 3 {
            lines.find(|line| line == "begins").unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // The child says nothing any more; what it had said before is still to be read.
        let acknowledged = round % 3 + lines.filter(|line| line == "acknowledged").count();

        let (file, report) = AppendFile::open(&FileSpec::new(&path, Format::Lines, "a test")).unwrap();
        torn += usize::from(report.torn.is_some());
        file.append(b"last", unguarded).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut records: Vec<&[u8]> = bytes.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n').collect();
        assert_eq!(records.pop(), Some(&b"last"[..]));
        assert!(records.len() >= acknowledged * RECORDS_PER_BATCH, "{acknowledged} batches were acknowledged");
        part_batches += usize::from(!records.len().is_multiple_of(RECORDS_PER_BATCH));
        for (number, record) in records.into_iter().enumerate() {
            assert!(record == large_record(number), "record {number} is not whole");
        }
    }
    println!("30 kills: {torn} torn tails, {part_batches} batches in part");
}

#[test]
fn child_appends_up_to_a_file_size_limit() {
    let Some(path) = child_path() else { return };
    let (file, _) = AppendFile::open(&FileSpec::new(&path, Format::Lines, "a test")).unwrap();
    let record = [b'x'; 99];
    let mut records = 0;
    let error = loop {
        match file.append(&record, unguarded) {
            Ok(_) => records += 1,
            Err(error) => break error,
        }
    };
    const EFBIG: i32 = 27;
    assert!(matches!(&error, AppendError::Io { source, .. } if source.raw_os_error() == Some(EFBIG)), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), records * 100);
    assert_eq!(file.position().bytes, records * 100);
    file.append(b"small", unguarded).unwrap();
    assert!(matches!(file.append(&record, unguarded), Err(AppendError::Io { .. })));
}

/// The host ignores SIGXFSZ; here the shell does it for the child. The limit leaves room for the checkpoint: after a write
/// that was cut back the next one waits for a sync, and that for a word in there.
#[test]
fn a_file_size_limit_is_an_error_and_the_file_ends_on_a_whole_record() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("out");
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "child_appends_up_to_a_file_size_limit", "--test-threads=1"])
        .env(PATH, &path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let text = fs::read_to_string(&path).unwrap();
    let (last, full) =
        text.lines().collect::<Vec<_>>().split_last().map(|(last, full)| (*last, full.to_vec())).unwrap();
    assert_eq!(last, "small");
    assert!(text.ends_with('\n') && full.len() >= 10);
    assert!(full.iter().all(|line| *line == "x".repeat(99)));
}

#[test]
fn child_holds_a_lock_until_its_input_ends() {
    let Some(path) = child_path() else { return };
    let _lock = OsLock::exclusive(&path, "a\nchild\u{1b}[2J").unwrap();
    say("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_busy_lock_names_its_holder_on_one_line_and_a_waiting_one_is_granted_at_its_end() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("x.lock");
    let mut child = spawn("child_holds_a_lock_until_its_input_ends", &path);
    wait_for(&mut child, "held");
    let Attempt::Busy(Some(holder)) = OsLock::try_exclusive(&path, "parent").unwrap() else {
        panic!("the child holds it")
    };
    assert_eq!(holder.to_string(), format!("process {} (a child [2J)", child.id()));

    drop(child.stdin.take());
    let lock = OsLock::exclusive(&path, "parent").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(
        matches!(OsLock::try_exclusive(&path, "parent").unwrap(), Attempt::Busy(Some(holder)) if holder.pid == std::process::id())
    );
    drop(lock);
    assert!(matches!(OsLock::try_exclusive(&path, "parent").unwrap(), Attempt::Acquired(_)));
}
