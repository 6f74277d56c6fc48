//! Very many Python processes at one lock.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Instant;

use lockkeeper_tests::{at_full_scale, figure, workspace};

use crate::support::lockkeeper;

/// What a process that waits may take for itself, in bytes: what of its interpreter it has changed, its stack, and all that
/// the host keeps of it.
const PRIVATE_BYTES_MAX: u64 = (3 << 20) + (512 << 10);

/// Processes that do not count: what is there once, whatever the number, comes with them.
const FEW: usize = 8;

/// What of the command's memory is nobody else's.
fn private_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux tells");
    line.trim().strip_suffix(" kB").expect("in KiB").parse::<u64>().expect("a number") << 10
}

#[test]
fn very_many_processes_wait_at_one_lock_and_all_come_through() {
    let count = if at_full_scale() { 1_000 } else { 60 };
    let mut run = lockkeeper();
    let program = workspace().join("tests/tests/python/crowd.py");
    run.arg("run").args(["--timeout", "900s"]).arg(program).args(["--", &FEW.to_string(), &count.to_string()]);
    let mut running = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the command starts");
    let mut input = running.stdin.take().expect("it is read");
    let mut lines = BufReader::new(running.stdout.take().expect("it prints")).lines();
    let mut line = move || lines.next().expect("it goes on").expect("it is text");
    let (mut private, mut took) = (Vec::new(), Vec::new());
    for count in [FEW, count] {
        let begun = Instant::now();
        assert_eq!(line(), format!("{count} wait"));
        private.push(private_bytes(running.id()));
        took.push(begun.elapsed());
        writeln!(input).expect("it reads");
        assert_eq!(line(), format!("{} in all, wrong: []", count * (count - 1) / 2));
    }
    assert!(running.wait().expect("it ends").success());
    let each = private[1].saturating_sub(private[0]) / (count - FEW) as u64;
    figure(format_args!(
        "{count} Python processes at one lock: {} KiB private each; started in {:.1} ms each",
        each >> 10,
        took[1].as_secs_f64() * 1e3 / count as f64,
    ));
    assert!(each <= PRIVATE_BYTES_MAX, "{each} bytes for each");
}
