//! Equal processes get equal shares of a contended lock, as near as its configuration promises.
//!
//! Counted are grants, not time: sixteen processes take one lock until they have had it so often together. How far the
//! shares may lie apart is between the one that had it most often and the one that had it least often.

use lockkeeper::{JobSpec, LockConfig, LockKind, Placement, ProcessSpec, Scalar, ValueContent, ValueSpec};
use lockkeeper_tests::{TestHost, configured, join, spec, thing};

const PROCESSES: u32 = 16;

/// So many that a few milliseconds in which the system takes a core away, and the processes of the other one have the lock
/// alone, weigh little; a million with `LONG=1`.
fn grants() -> u64 {
    if std::env::var_os("LONG").is_some() { 1_000_000 } else { 400_000 }
}

/// How often the luckiest had the lock for each time that the unluckiest had it.
fn spread(shards: usize, placement: Placement, config: LockConfig) -> f64 {
    let host = TestHost::with_shards(shards);
    let program = host.program("lock_fair");
    let start = LockKind::Barrier { parties: PROCESSES, parties_are: lockkeeper::Parties::Waiting };
    let job = host.runtime().job(JobSpec {
        locks: vec![configured("a", LockKind::Mutex, config), thing("start", start)],
        values: vec![ValueSpec {
            name: "grants".to_owned(),
            content: ValueContent::Value { initial: Scalar::Signed(0), bytes_max: 0 },
            requires_lock: Some("a".to_owned()),
        }],
        ..JobSpec::default()
    });
    let (job, all) = (job.expect("a job"), grants());
    let processes: Vec<_> = (0..PROCESSES)
        .map(|rank| {
            let spec = spec(&program, &["a", &all.to_string()], &["a", "start"], &[]);
            let values = vec!["grants".to_owned()];
            host.spawn_spec(&job, &program, ProcessSpec { rank, count: PROCESSES, values, placement, ..spec })
        })
        .collect();
    let had: Vec<u64> = processes
        .iter()
        .map(|(process, lines)| {
            assert!(join(process).outcome.is_success(), "{:?}", lines.all());
            let line = lines.wait_for("had=");
            line.trim_start_matches("had=").parse().expect("a number")
        })
        .collect();
    assert_eq!(had.iter().sum::<u64>(), all, "every grant is counted once");
    let (least, most) = (had.iter().min().expect("processes"), had.iter().max().expect("processes"));
    let spread = *most as f64 / *least as f64;
    let counters = job.inspect_lock("a").expect("a lock of the job").counters;
    println!("{shards} shard(s), {placement:?}: {spread:.3} ({least} to {most}); {counters:?}");
    spread
}

#[test]
fn shares_on_one_shard_lie_no_further_apart_than_a_fifth() {
    let spread = spread(1, Placement::Home, LockConfig::default());
    assert!(spread <= 1.2, "{spread}");
}

#[test]
fn shares_across_two_shards_lie_no_further_apart_than_four_times() {
    let spread = spread(2, Placement::Spread, LockConfig::default());
    assert!(spread <= 4.0, "{spread}");
}

#[test]
fn shares_of_a_lock_in_strict_order_are_equal() {
    for (shards, placement) in [(1, Placement::Home), (2, Placement::Spread)] {
        let spread = spread(shards, placement, LockConfig::strict());
        assert!(spread <= 1.05, "{spread}");
    }
}
