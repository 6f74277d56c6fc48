//! A fence is good for its own hold and no longer: whoever lost the lock writes nothing, whoever makes a number up opens
//! nothing, and no number comes twice.

use std::collections::HashMap;

use lockkeeper::observe::Outcome;
use lockkeeper::{LockState, Placement, ProcessSpec};
use lockkeeper_tests::{TestHost, join, log_of, spec, until};

/// Two processes append with all their might, and a thread of the test takes the lock away from whoever has it,
/// each time as soon as the owner has written a record and is at the next one. The length of the file is taken when the
/// revocation returns: what the old owner writes later, even if it was allowed before, would lie behind that.
///
/// The length is asked of the system and not of the host, whose answer would wait for a write that is under way.
fn race(shards: usize, revocations: usize) {
    let host = TestHost::with_shards(shards);
    let program = host.program("lock_again");
    let job = host.job_with_files(&["a"], vec![host.lines_file("file", Some("a"))]);
    let writers: Vec<_> = (0..2)
        .map(|rank| {
            let spec = spec(&program, &["a", "file"], &["a"], &["file"]);
            host.spawn_spec(&job, &program, ProcessSpec { rank, count: 2, placement: Placement::Spread, ..spec })
        })
        .collect();

    let path = host.path("file");
    let records = || job.position("file").expect("the file").records;
    let mut length_at = HashMap::new();
    let mut seen = 0;
    while length_at.len() < revocations {
        while records() == seen {
            assert!(writers.iter().all(|(writer, _)| writer.try_join().is_none()), "a writer has ended");
            std::thread::yield_now();
        }
        // Whoever wrote holds the lock, and nobody else takes it away.
        let fence = job.revoke("a", None).expect("a hold");
        let length = std::fs::metadata(&path).expect("the file").len();
        assert!(length_at.insert(fence, length).is_none(), "fence {fence} was revoked before");
        seen = records();
    }
    for (writer, lines) in &writers {
        writer.kill();
        assert_eq!(join(writer).outcome, Outcome::Killed, "{:?}", lines.all());
    }

    let contents = log_of(&path);
    let (mut end, mut last, mut most, mut in_a_race) = (0, (0, 0), 0, 0);
    let mut refusals = HashMap::new();
    for line in contents.split_inclusive(|&byte| byte == b'\n') {
        end += line.len() as u64;
        let line = str::from_utf8(line).expect("text");
        let fields: Vec<u64> = line.split_ascii_whitespace().map(|field| field.parse().expect("a number")).collect();
        let [fence, number, refused] = fields[..] else { panic!("not a record: {line:?}") };
        let (last_fence, last_number) = last;
        assert!(fence > last_fence && number == 0 || fence == last_fence && number == last_number + 1, "{line:?}");
        last = (fence, number);
        if let Some(length) = length_at.get(&fence) {
            assert!(end <= *length, "record {number} of fence {fence} ends at {end}, revoked at {length}");
        }
        most = most.max(number + 1);
        in_a_race += usize::from(number == 0 && length_at.contains_key(&fence));
        // A process writes the number of its lost holds in each record of the next.
        let newest = refusals.entry(fence).or_insert(refused);
        assert_eq!(*newest, refused);
    }
    assert_eq!(end, contents.len() as u64);
    println!("{in_a_race} of {revocations} holds had written when they were revoked, up to {most} records each");
    // Every hold but the last of each writer was given up only because an append was refused.
    let view = job.inspect_lock("a").expect("a lock of the job");
    assert!(view.counters.abandoned >= revocations as u64, "{:?}", view.counters);
    assert_eq!((view.state, view.holder(), view.queue.len()), (LockState::Free, None, 0));
}

/// On one shard the next owner writes as soon as the last one is refused: the most races in a time.
#[test]
fn nothing_is_written_after_its_revocation_has_returned() {
    race(1, 100_000);
}

/// On two shards the next owner writes while the last one may still be at it.
#[test]
fn nothing_is_written_after_its_revocation_while_the_next_owner_writes() {
    race(2, 2_000);
}

/// The words that the contract has for each claim, and none of the records but the honest ones.
#[test]
fn made_up_fences_are_refused_and_shut_nobody_out() {
    let host = TestHost::new();
    let (forge, fences) = (host.program("lock_forge"), host.program("lock_fences"));
    let job = host.job_with_files(&["a"], vec![host.lines_file("file", Some("a"))]);
    let (forger, lines) = host.spawn(&job, &forge, &["a", "file"], &["a"], &["file"]);
    assert_eq!(join(&forger).outcome, Outcome::Returned, "{:?}", lines.all());
    assert_eq!(
        lines.all(),
        [
            "free-zero=fenced",
            "free-one=lock-required",
            "free-max=invalid-argument",
            "free-stale=lock-required",
            "free-ahead=invalid-argument",
            "free-none=lock-required",
            "held-zero=fenced",
            "held-one=fenced",
            "held-max=invalid-argument",
            "held-stale=fenced",
            "held-ahead=invalid-argument",
            "ok",
        ]
    );
    let (honest, _) = host.spawn(&job, &fences, &["a", "file", "2"], &["a"], &["file"]);
    assert_eq!(join(&honest).outcome, Outcome::Returned);
    assert_eq!(log_of(&host.path("file")), b"honest\n3\n4\n");
}

/// A late writer is refused from the revocation on, and told so by the contract's word.
#[test]
fn revoked_writer_is_told_that_it_is_fenced() {
    let host = TestHost::new();
    let (late, next) = (host.program("lock_late"), host.program("lock_next"));
    let job = host.job_with_files(&["a"], vec![host.lines_file("file", Some("a"))]);
    let (writer, lines) = host.spawn(&job, &late, &["a", "file"], &["a"], &["file"]);
    let holding = lines.wait_for("holding fence=");
    let fence: u64 = holding.trim_start_matches("holding fence=").parse().expect("a number");
    until("it writes", || job.position("file").is_some_and(|position| position.records > 0));
    let (waiter, told) = host.spawn(&job, &next, &["a"], &["a"], &[]);
    host.until_lock(&job, "a", "one waits", |view| view.queue.len() == 1);

    assert_eq!(job.revoke("a", Some(fence + 1)), None, "another hold than expected");
    assert_eq!(job.revoke("a", Some(fence)), Some(fence));
    assert_eq!(join(&writer).outcome, Outcome::Returned);
    assert_eq!(lines.all()[1..], ["fenced", "end"]);
    assert_eq!(join(&waiter).outcome, Outcome::Returned);
    let expected = format!("granted fence={} previous=abandoned how=expired who={}", fence + 1, writer.id());
    assert_eq!(told.all(), [expected, "released".to_owned()]);
    assert_eq!(job.revoke("a", None), None, "nobody holds it");
}

/// Each record is the fence of the hold under which it was appended.
#[test]
fn fences_never_go_back_across_restarts() {
    let mut host = TestHost::new();
    let (mut lines_before, mut total) = (0, 0);
    for restart in 0..4 {
        {
            let (fences, end) = (host.program("lock_fences"), host.program("lock_end"));
            let job = host.job_with_files(&["a"], vec![host.lines_file("file", Some("a"))]);
            let writers: Vec<_> =
                (0..4).map(|_| host.spawn(&job, &fences, &["a", "file", "50"], &["a"], &["file"]).0).collect();
            for writer in writers {
                assert_eq!(join(&writer).outcome, Outcome::Returned);
            }
            // The host goes down with a hold that nobody released.
            let (_, lines) = host.spawn(&job, &end, &["a", "-", "sleep"], &["a"], &[]);
            lines.wait_for("holding");
        }
        total += 200;
        let contents = log_of(&host.path("file"));
        let fences: Vec<u64> =
            str::from_utf8(&contents).expect("text").lines().map(|line| line.parse().expect("a fence")).collect();
        assert_eq!(fences.len(), total, "restart {restart}");
        assert!(fences.is_sorted_by(|earlier, later| earlier < later), "restart {restart}: {fences:?}");
        assert!(contents.len() > lines_before);
        lines_before = contents.len();
        host = host.restarted();
    }
}
