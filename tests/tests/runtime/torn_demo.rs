//! What plain appends do to long records, and what append files do.
//!
//! A program that opens a file with `O_APPEND` and writes a record of 10,000 bytes with one call looks safe. But the call
//! is the standard library's. As a core module of WASI 0.1 the same program hands its bytes over in pieces of 4,096, each
//! an append of its own, and those of other processes come between them: lines of two processes are mixed, and nobody is
//! told. As a component of WASI 0.2 it hands over up to 64 KiB at once, until it buffers, or its records grow. Whether
//! a run tears is luck, so the first test only counts, and asserts that the bytes are all there. The same records
//! through the host are whole, always; the second test asserts it.

use lockkeeper::observe::Outcome;
use lockkeeper::{Access, DirGrant, Placement, ProcessSpec, Program};
use lockkeeper_tests::{TestHost, guest_p1, join, log_of, spec};

const PROCESSES: u32 = 6;
const RECORDS: usize = 200;
const RECORD_BYTES: usize = 10_000;

/// Lines that are not one whole record of one process.
fn torn(contents: &[u8]) -> usize {
    let whole =
        |line: &&[u8]| line.len() == RECORD_BYTES && line[..RECORD_BYTES - 1].iter().all(|byte| *byte == line[0]);
    contents.split_inclusive(|&byte| byte == b'\n').filter(|line| !whole(line)).count()
}

/// How many bytes each process has in the file, and how many newlines there are.
fn assert_all_bytes_are_there(contents: &[u8]) {
    let mut counts = [0_usize; 256];
    contents.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    for rank in 0..PROCESSES as usize {
        assert_eq!(counts[usize::from(b'a') + rank], RECORDS * (RECORD_BYTES - 1), "rank {rank}");
    }
    assert_eq!(counts[usize::from(b'\n')], PROCESSES as usize * RECORDS);
    assert_eq!(contents.len(), PROCESSES as usize * RECORDS * RECORD_BYTES);
}

#[test]
fn plain_appends_keep_their_bytes_and_maybe_not_their_records() {
    let host = TestHost::with_shards(2);
    plain(&host, "component", &host.program("append_raw"));
    plain(&host, "core module", &Program::from_file(host.runtime(), guest_p1("append_raw")).expect("a core module"));
}

fn plain(host: &TestHost, form: &str, program: &Program) {
    let job = host.job(&[]);
    let dir = host.path(form);
    std::fs::create_dir(&dir).expect("a directory");
    let processes: Vec<_> = ('a'..)
        .zip(0..PROCESSES)
        .map(|(tag, rank)| {
            let args = ["/out/file", &RECORDS.to_string(), &RECORD_BYTES.to_string(), &tag.to_string()];
            let dirs = vec![DirGrant { host: dir.clone(), guest: "/out".to_owned(), access: Access::ReadWrite }];
            let placement = Placement::Spread;
            let spec = ProcessSpec { rank, count: PROCESSES, dirs, placement, ..spec(program, &args, &[], &[]) };
            host.spawn_spec(&job, program, spec)
        })
        .collect();
    for (process, lines) in processes {
        assert_eq!(join(&process).outcome, Outcome::Returned, "{:?}", lines.all());
    }
    let contents = log_of(&dir.join("file"));
    println!("plain appends of a {form}: {} of {} lines are torn", torn(&contents), PROCESSES as usize * RECORDS);
    assert_all_bytes_are_there(&contents);
}

#[test]
fn appends_through_the_host_keep_every_record() {
    let host = TestHost::with_shards(2);
    let program = host.program("append_many");
    let job = host.job_with_files(&[], vec![host.lines_file("file", None)]);
    let processes: Vec<_> = (0..PROCESSES)
        .map(|rank| {
            let args = ["file", &RECORDS.to_string(), &(RECORD_BYTES - 1).to_string()];
            let placement = Placement::Spread;
            let spec = ProcessSpec { rank, count: PROCESSES, placement, ..spec(&program, &args, &[], &["file"]) };
            host.spawn_spec(&job, &program, spec)
        })
        .collect();
    for (process, lines) in processes {
        assert_eq!(join(&process).outcome, Outcome::Returned, "{:?}", lines.all());
    }
    let contents = log_of(&host.path("file"));
    assert_eq!(torn(&contents), 0);
    assert_all_bytes_are_there(&contents);
}
