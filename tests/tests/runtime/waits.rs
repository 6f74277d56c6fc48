//! A wait that ends without a grant leaves nothing behind, and a grant that finds nobody passes on.

use std::time::{Duration, Instant};

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{EndCause, Job, LockState, Placement, Process, ProcessId, ProcessSpec, Program};
use lockkeeper_tests::{TestHost, join, spec};

/// Who waits for a lock, the next one first.
fn queue(job: &Job, lock: &str) -> Vec<u64> {
    let view = job.inspect_lock(lock).expect("a lock of the job");
    view.queue.iter().map(|waiter| waiter.owner.get()).collect()
}

fn ids<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Vec<u64> {
    processes.into_iter().map(|process| process.id().get()).collect()
}

/// Who was granted a lock, in order.
fn granted(events: &[Event], lock: &str) -> Vec<u64> {
    let granted = |event: &Event| match event {
        Event::Granted { process, lock: name, .. } if name.as_str() == lock => Some(process.get()),
        _ => None,
    };
    events.iter().filter_map(granted).collect()
}

#[test]
fn killed_waiter_leaves_no_entry_and_the_others_keep_their_order() {
    let host = TestHost::new();
    let (end, next) = (host.program("lock_end"), host.program("lock_next"));
    let job = host.job(&["a"]);
    let (holder, lines) = host.spawn(&job, &end, &["a", "-", "sleep"], &["a"], &[]);
    lines.wait_for("holding");
    let waiters: Vec<Process> = (1..=6)
        .map(|count| {
            let (waiter, _) = host.spawn(&job, &next, &["a"], &["a"], &[]);
            host.until_lock(&job, "a", "it waits", |view| view.queue.len() == count);
            waiter
        })
        .collect();
    assert_eq!(queue(&job, "a"), ids(&waiters));

    // The first, one in the middle, the last: the end of a process is told only when its entry is gone.
    let (mut killed, mut left) = (Vec::new(), Vec::new());
    for (place, waiter) in waiters.iter().enumerate() {
        if [0, 3, 5].contains(&place) { killed.push(waiter) } else { left.push(waiter) }
    }
    for waiter in killed {
        waiter.kill();
        assert_eq!(join(waiter).outcome, Outcome::Killed);
    }
    assert_eq!(queue(&job, "a"), ids(left.iter().copied()));

    host.forget_events();
    holder.kill();
    for waiter in &left {
        assert_eq!(join(waiter).outcome, Outcome::Returned);
    }
    assert_eq!(granted(&host.events(), "a"), ids(left));
    let view = job.inspect_lock("a").expect("a lock of the job");
    assert_eq!((view.state, view.holder(), view.queue.len()), (LockState::Free, None, 0));
    assert_eq!(view.counters.cancelled, 3);
}

#[test]
fn timed_out_waiter_leaves_no_entry() {
    const WAITERS: usize = 50;
    let host = TestHost::new();
    let (end, next) = (host.program("lock_end"), host.program("lock_next"));
    let job = host.job(&["a"]);
    let (holder, lines) = host.spawn(&job, &end, &["a", "-", "sleep"], &["a"], &[]);
    lines.wait_for("holding");
    let (patient, told) = host.spawn(&job, &next, &["a", "3600000"], &["a"], &[]);
    host.until_lock(&job, "a", "one waits", |view| view.queue.len() == 1);

    for timeout_ms in ["0", "1", "20"] {
        let asked = Instant::now();
        let waiters: Vec<_> = (0..WAITERS).map(|_| host.spawn(&job, &next, &["a", timeout_ms], &["a"], &[])).collect();
        for (waiter, lines) in waiters {
            assert_eq!(join(&waiter).outcome, Outcome::Failed);
            assert_eq!(lines.all(), ["error=timed-out"]);
        }
        assert!(asked.elapsed() >= Duration::from_millis(timeout_ms.parse().expect("a number")));
        assert_eq!(queue(&job, "a"), ids([&patient]));
    }
    assert_eq!(job.inspect_lock("a").expect("a lock of the job").counters.timeouts, 3 * WAITERS as u64);

    holder.kill();
    assert_eq!(join(&patient).outcome, Outcome::Returned);
    assert!(told.all()[0].contains("previous=abandoned how=killed"), "{:?}", told.all());
    assert_eq!(job.inspect_lock("a").expect("a lock of the job").state, LockState::Free);
}

/// What became of the first waiter, by the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// It was killed before it knew of its grant: as if it had never been there.
    NeverTold,
    /// It was killed while it held the lock.
    KilledHolding,
    /// It was done with the lock when it was killed, or had ended by then.
    Released,
}

const ROUNDS: usize = 1_000;

/// The holder releases the lock when it is granted the gate, the first waiter is killed at about that time, a little
/// later in each round than in the one before, on another shard. Whatever happens, the second waiter gets the lock.
#[test]
fn waiter_that_is_killed_at_the_instant_of_its_grant_passes_it_on() {
    let host = TestHost::with_shards(2);
    let (end, next) = (host.program("lock_end"), host.program("lock_next"));
    let job = host.job(&["a", "gate"]);
    let mut met = [0; 3];
    let mut round = 0;
    // A thousand rounds, and more if the moment that matters was not among them.
    while round < ROUNDS || (met.contains(&0) && round < 20 * ROUNDS) {
        host.forget_events();
        let (keeper, lines) = host.spawn(&job, &end, &["gate", "-", "sleep"], &["gate"], &[]);
        lines.wait_for("holding");
        let (holder, lines) = host.spawn(&job, &end, &["a", "-", "release", "gate"], &["a", "gate"], &[]);
        lines.wait_for("holding");
        host.until_lock(&job, "gate", "the holder is at the gate", |view| view.queue.len() == 1);
        let waiter = |program: &Program, args: &[&str], count| {
            let spec = ProcessSpec { placement: Placement::Spread, ..spec(program, args, &["a"], &[]) };
            let waiter = host.spawn_spec(&job, program, spec);
            host.until_lock(&job, "a", "it waits", |view| view.queue.len() == count);
            waiter
        };
        // One that releases the lock at once, in turn with one that keeps it.
        let (first, _) = if round % 2 == 0 { waiter(&next, &["a"], 1) } else { waiter(&end, &["a", "-", "sleep"], 1) };
        let (second, told) = waiter(&next, &["a"], 2);

        keeper.kill();
        let late = Instant::now() + Duration::from_micros((round % 200 * 2) as u64);
        while Instant::now() < late {
            std::hint::spin_loop();
        }
        first.kill();

        assert_eq!(join(&holder).outcome, Outcome::Returned);
        assert_eq!(join(&second).outcome, Outcome::Returned);
        let outcome = &join(&first).outcome;
        join(&keeper);
        let events = host.events();
        let fate = fate(&events, first.id());
        assert!(*outcome == Outcome::Killed || *outcome == Outcome::Returned && fate == First::Released, "{outcome}");
        let lines = told.all();
        let previous = match fate {
            First::NeverTold | First::Released => "previous=clean".to_owned(),
            First::KilledHolding => format!("previous=abandoned how=killed who={}", first.id()),
        };
        assert!(lines[0].ends_with(&previous), "{fate:?}, but the second was told: {}", lines[0]);
        let order = match fate {
            First::NeverTold => ids([&holder, &second]),
            First::Released | First::KilledHolding => ids([&holder, &first, &second]),
        };
        assert_eq!(granted(&events, "a"), order);
        let view = job.inspect_lock("a").expect("a lock of the job");
        assert_eq!((view.state, view.holder(), view.queue.len()), (LockState::Free, None, 0));
        met[fate as usize] += 1;
        round += 1;
    }
    println!("{round} rounds: never told, killed holding, released: {met:?}");
    assert!(!met.contains(&0), "not every fate was met");
}

fn fate(events: &[Event], first: ProcessId) -> First {
    let told = events.iter().any(|event| matches!(event, Event::Granted { process, .. } if *process == first));
    let taken = events.iter().any(|event| {
        let killed = |how: &EndCause| *how == EndCause::Killed;
        matches!(event, Event::HoldEnded { process, how, .. } if *process == first && killed(how))
    });
    match (told, taken) {
        (false, _) => First::NeverTold,
        (true, true) => First::KilledHolding,
        (true, false) => First::Released,
    }
}
