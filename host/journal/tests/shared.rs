//! Several processes append to one file, and are killed or stopped at random. A host is this test program again, told by
//! variables what to do.
//!
//! `SHARED_RECORDS` says how many records have to be acknowledged (20,000 if nothing does; the figure that is promised was
//! measured with 1,000,000).

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockkeeper_journal::{AppendFile, FileSpec, Format, unguarded};
use tempfile::tempdir;

const DIR: &str = "LOCKKEEPER_SHARED_TEST_DIR";
const HOST: &str = "LOCKKEEPER_SHARED_TEST_HOST";

/// Hosts at a time, and threads in each: the processes of a host, as far as the file can tell.
const HOSTS: usize = 4;
const THREADS: usize = 2;

/// One line of a file of acknowledgements.
const ACK_BYTES: usize = "0 0000000\n".len();

/// How many records of a batch; a batch is every so many appends.
const BATCH: u64 = 3;
const BATCH_EVERY: u64 = 17;
const SYNC_EVERY: u64 = 4_099;

fn spec(dir: &Path) -> FileSpec {
    let format = Format::Csv { header: ["host", "thread", "n", "text"].map(str::to_owned).to_vec() };
    let mut spec = FileSpec::new(dir.join("out.csv"), format, "a host of a test");
    spec.shared = true;
    spec
}

fn acks(dir: &Path, host: u64) -> PathBuf {
    dir.join(format!("{host}.acks"))
}

/// Appends without end, and notes what was acknowledged where its own death takes nothing of it.
#[test]
fn a_host_appends_until_it_is_killed() {
    let Some(dir) = env::var_os(DIR).map(PathBuf::from) else { return };
    let host: u64 = env::var(HOST).unwrap().parse().unwrap();
    let (file, _) = AppendFile::open(&spec(&dir)).unwrap();
    let acks = OpenOptions::new().create(true).append(true).open(acks(&dir, host)).unwrap();
    let row = |thread: usize, n: u64| {
        // Now and then a long one, of which a kill leaves a part.
        let text = "x\n".repeat(if n.is_multiple_of(101) { 40_000 } else { (n % 13) as usize });
        [host.to_string(), thread.to_string(), n.to_string(), text]
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (file, mut acks) = (&file, &acks);
            scope.spawn(move || {
                let mut n = 0;
                for append in 0_u64.. {
                    let count = if append % BATCH_EVERY == 0 { BATCH } else { 1 };
                    if count == 1 {
                        file.append_row(&row(thread, n), unguarded).unwrap();
                    } else {
                        let mut records = file.encode_row(&row(thread, n)).unwrap();
                        for n in n + 1..n + count {
                            records.extend(&file.encode_row(&row(thread, n)).unwrap()).unwrap();
                        }
                        file.commit(&records, unguarded).unwrap();
                    }
                    if append % SYNC_EVERY == SYNC_EVERY - 1 {
                        file.sync().wait().unwrap();
                    }
                    n += count;
                    // The last number of what was acknowledged; one write, so that it is whole.
                    for n in n - count..n {
                        acks.write_all(format!("{thread} {n:07}\n").as_bytes()).unwrap();
                    }
                }
            });
        }
    });
}

fn start(dir: &Path, host: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_host_appends_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(HOST, host.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success(), "{signal}");
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    // Nothing else may have ended it.
    assert_eq!(child.wait().unwrap().signal(), Some(9), "a host has ended by itself");
}

/// Numbers without order; the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn hosts_that_are_killed_and_stopped_lose_and_tear_nothing_of_a_file_that_they_share() {
    let wanted: u64 = env::var("SHARED_RECORDS").map_or(20_000, |records| records.parse().unwrap());
    let directory = tempdir().unwrap();
    let dir = directory.path();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut begun = 0;
    let mut next = || {
        begun += 1;
        begun
    };
    let mut hosts: Vec<(u64, Child)> = (0..HOSTS).map(|_| next()).map(|host| (host, start(dir, host))).collect();
    let acknowledged = |begun| -> u64 {
        let count = |host| fs::metadata(acks(dir, host)).map_or(0, |file| file.len() / ACK_BYTES as u64);
        (1..=begun).map(count).sum()
    };
    let (mut kills, mut stops) = (0, 0);
    let mut last = 0;
    let (mut since, mut progress) = (Instant::now(), 0);
    loop {
        thread::sleep(Duration::from_millis(5 + random.below(60)));
        let done = acknowledged(last.max(HOSTS as u64));
        if done >= wanted {
            break;
        }
        if done > progress {
            (since, progress) = (Instant::now(), done);
        }
        assert!(since.elapsed() < Duration::from_secs(60), "nobody gets on: {done} of {wanted}");
        let at = random.below(HOSTS as u64) as usize;
        let (_, child) = &mut hosts[at];
        if random.below(4) == 0 {
            // One that has the turn keeps it meanwhile, and goes on as if nothing had been.
            signal(child, "-STOP");
            thread::sleep(Duration::from_millis(random.below(40)));
            signal(child, "-CONT");
            stops += 1;
            continue;
        }
        kill(child);
        kills += 1;
        let host = next();
        last = host;
        hosts[at] = (host, start(dir, host));
    }
    for (_, mut child) in hosts {
        kill(&mut child);
        kills += 1;
    }

    let (file, report) = AppendFile::open(&spec(dir)).unwrap();
    drop(file);
    let mut there: BTreeMap<(u64, usize), u64> = BTreeMap::new();
    let mut rows = csv::Reader::from_path(dir.join("out.csv")).unwrap();
    let mut records = 0;
    for row in rows.records() {
        let row = row.unwrap();
        let key = (row[0].parse().unwrap(), row[1].parse().unwrap());
        let n: u64 = row[2].parse().unwrap();
        let next = there.entry(key).or_default();
        assert_eq!(n, *next, "record {records} is of host and thread {key:?}: lost, doubled or out of order");
        *next += 1;
        let text = &row[3];
        assert!(
            text.len() % 2 == 0 && text.as_bytes().chunks(2).all(|pair| pair == b"x\n"),
            "record {records} is torn"
        );
        records += 1;
    }
    assert_eq!(report.records_before, records);
    let mut acknowledged = 0;
    for host in 1..=last.max(HOSTS as u64) {
        let Ok(acks) = fs::read_to_string(acks(dir, host)) else { continue };
        for ack in acks.lines() {
            let (thread, n) = ack.split_once(' ').unwrap();
            let (thread, n): (usize, u64) = (thread.parse().unwrap(), n.parse().unwrap());
            let count = there.get(&(host, thread)).copied().unwrap_or(0);
            assert!(
                n < count,
                "record {n} of host {host}, thread {thread} was acknowledged and is lost: it has {count}"
            );
            acknowledged += 1;
        }
    }
    let torn = fs::read(dir.join("out.csv.torn")).unwrap_or_default();
    let torn = memchr::memmem::find_iter(&torn, b"lockkeeper-torn 1").count();
    println!(
        "{acknowledged} acknowledged, {records} there, by {} hosts; {kills} kills, {stops} stops, {torn} torn ends put aside",
        last.max(HOSTS as u64)
    );
    assert!(acknowledged >= wanted);
}
