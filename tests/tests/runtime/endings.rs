//! However a process ends while it holds a lock, the next one gets it, and is told how and by whom it was left.
//!
//! Each test plays [`ROUNDS`] rounds: a holder, a waiter queued behind it, an end. What is asserted of a round is the
//! outcome of the holder, what the waiter was told, and the order of the events: the old hold is over before the new
//! one is granted, and the holder's end is told after both halves of that.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{EndCause, Job, Limits, LockState, Placement, Previous, Process, ProcessSpec, Program};
use lockkeeper_tests::{Lines, TestHost, join, log_of, spec, until};

const ROUNDS: usize = 1_000;

/// What brings the end about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cue {
    /// The holder itself, once the waiters are there.
    Itself,
    /// The test kills it while it computes.
    KilledComputing,
    /// The test kills it while it waits for another lock.
    KilledWaiting,
    /// The host, as its time is over, while it computes.
    LimitComputing,
    /// The host, as its time is over, while it waits for another lock.
    LimitWaiting,
}

impl Cue {
    /// Rounds that are played at the same time, each with a lock of its own. Those that compute slow each other down.
    fn batch(self) -> usize {
        match self {
            Self::Itself | Self::KilledWaiting | Self::LimitWaiting => 40,
            Self::KilledComputing | Self::LimitComputing => 2,
        }
    }

    fn has_gate(self) -> bool {
        matches!(self, Self::Itself | Self::KilledWaiting | Self::LimitWaiting)
    }

    fn is_limit(self) -> bool {
        matches!(self, Self::LimitComputing | Self::LimitWaiting)
    }
}

/// What is played: how the holder ends, and what is expected of it.
struct Play {
    how: &'static str,
    cue: Cue,
    limits: Limits,
    outcome: fn(&Outcome) -> bool,
    cause: EndCause,
}

impl Play {
    fn new(how: &'static str, cue: Cue, outcome: fn(&Outcome) -> bool, cause: EndCause) -> Self {
        Self { how, cue, limits: Limits::default(), outcome, cause }
    }

    fn run(mut self) {
        let host = TestHost::new();
        let batch = self.cue.batch();
        let locks: Vec<String> = (0..batch).map(|number| format!("lock-{number}")).collect();
        let names: Vec<&str> = locks.iter().map(String::as_str).chain(["gate"]).collect();
        let job = host.job(&names);
        let (end, next) = (host.program("lock_end"), host.program("lock_next"));
        let stage = Stage { host, job, locks };
        let (mut played, mut batches) = (0, 0);
        while played < ROUNDS {
            let counted = stage.batch(&self, &end, &next);
            if counted < batch {
                assert!(self.cue.is_limit(), "only time comes before the waiters do");
                let limit = self.limits.timeout.expect("a play with a limit");
                self.limits.timeout = Some(limit * 2);
                assert!(limit < Duration::from_secs(20), "no waiter comes within {limit:?}");
            }
            played += counted;
            batches += 1;
        }
        println!("{}: {played} rounds in {batches} batches", self.how);
    }
}

/// What all rounds have in common.
struct Stage {
    host: TestHost,
    job: Job,
    locks: Vec<String>,
}

struct Round<'a> {
    lock: &'a str,
    holder: Process,
    waiter: Process,
    lines: Lines,
}

impl Stage {
    /// Plays one round on each lock and answers how many counted: those in which the waiter was queued before the
    /// holder ended.
    fn batch(&self, play: &Play, end: &Program, next: &Program) -> usize {
        let Self { host, job, locks } = self;
        host.forget_events();
        let keeper = play.cue.has_gate().then(|| {
            let (keeper, lines) = host.spawn(job, end, &["gate", "-", "sleep"], &["gate"], &[]);
            lines.wait_for("holding");
            keeper
        });
        let queued_before: Vec<u64> = locks.iter().map(|lock| self.queued(lock)).collect();
        let holders: Vec<Process> = locks.iter().map(|lock| self.holder(play, end, lock)).collect();
        for (lock, holder) in locks.iter().zip(&holders) {
            until("the holder holds", || self.holds(lock, holder) || holder.try_join().is_some());
        }
        if play.cue == Cue::Itself || play.cue == Cue::KilledWaiting {
            host.until_lock(job, "gate", "all are at the gate", |view| view.queue.len() == locks.len());
        }
        let rounds: Vec<Round<'_>> = locks
            .iter()
            .zip(holders)
            .map(|(lock, holder)| {
                let (waiter, lines) = host.spawn(job, next, &[lock], &[lock], &[]);
                Round { lock, holder, waiter, lines }
            })
            .collect();
        for (round, before) in rounds.iter().zip(&queued_before) {
            let queued = || self.queued(round.lock) > *before || round.waiter.try_join().is_some();
            until("the waiter waits", queued);
        }
        match play.cue {
            Cue::Itself => keeper.as_ref().expect("there is a gate").kill(),
            Cue::KilledComputing | Cue::KilledWaiting => rounds.iter().for_each(|round| round.holder.kill()),
            Cue::LimitComputing | Cue::LimitWaiting => {}
        }
        for round in &rounds {
            join(&round.holder);
            assert_eq!(join(&round.waiter).outcome, Outcome::Returned);
        }
        if let Some(keeper) = keeper {
            keeper.kill();
            join(&keeper);
        }
        let events = host.events();
        let counted: Vec<_> = rounds
            .iter()
            .zip(queued_before)
            .filter(|(round, before)| self.queued(round.lock) > *before)
            .map(|(round, _)| round)
            .collect();
        for round in &counted {
            self.check(play, round, &events);
        }
        counted.len()
    }

    fn holder(&self, play: &Play, end: &Program, lock: &str) -> Process {
        let mut args = vec![lock, "-", play.how];
        let mut locks = vec![lock];
        if play.cue.has_gate() {
            args.push("gate");
            locks.push("gate");
        }
        let limits = play.limits.clone();
        let spec = ProcessSpec { limits, ..spec(end, &args, &locks, &[]) };
        self.job.spawn(end, &spec).expect("a process")
    }

    /// How many have had to queue for a lock so far.
    fn queued(&self, lock: &str) -> u64 {
        self.job.inspect_lock(lock).expect("a lock of the job").counters.contended
    }

    fn holds(&self, lock: &str, process: &Process) -> bool {
        let view = self.job.inspect_lock(lock).expect("a lock of the job");
        view.holder().is_some_and(|holder| holder.owner.get() == process.id().get())
    }

    fn check(&self, play: &Play, round: &Round<'_>, events: &[Event]) {
        let (how, cause) = (play.how, play.cause);
        let (holder, waiter) = (round.holder.id(), round.waiter.id());
        let exit = join(&round.holder);
        assert!((play.outcome)(&exit.outcome), "{how}: {}", exit.outcome);

        let old = find(events, |event| match event {
            Event::HoldEnded { process, lock, fence, how } if *process == holder && lock.as_str() == round.lock => {
                assert_eq!(*how, cause);
                Some(*fence)
            }
            _ => None,
        });
        let new = find(events, |event| match event {
            Event::Granted { process, lock, fence, previous, .. } if *process == waiter => {
                assert_eq!(lock.as_str(), round.lock);
                assert!(
                    matches!(previous, Previous::Abandoned { how, who } if *how == cause && who.get() == holder.get()),
                    "{how}: the waiter was told {previous:?}"
                );
                Some(*fence)
            }
            _ => None,
        });
        let ended = find(events, |event| match event {
            Event::Ended { process, outcome, .. } if *process == holder => {
                assert_eq!(*outcome, exit.outcome);
                Some(())
            }
            _ => None,
        });
        assert!(old.at < new.at, "{how}: granted before the last hold was over");
        assert!(old.at < ended.at, "{how}: ended before its hold was over");
        assert!(old.what < new.what, "{how}: fence {} after {}", new.what, old.what);
        let told = format!("granted fence={} previous=abandoned how={cause} who={holder}", new.what);
        assert_eq!(round.lines.all(), [told, "released".to_owned()]);
        let view = self.job.inspect_lock(round.lock).expect("a lock of the job");
        assert_eq!((view.state, view.holder(), view.queue.len()), (LockState::Free, None, 0));
    }
}

/// What an event says, and its place among the others.
struct Found<T> {
    at: usize,
    what: T,
}

/// The one event of its kind.
fn find<T>(events: &[Event], is: impl Fn(&Event) -> Option<T>) -> Found<T> {
    let mut found = events.iter().enumerate().filter_map(|(at, event)| Some(Found { at, what: is(event)? }));
    let first = found.next().expect("the event came");
    assert!(found.next().is_none(), "the event came twice");
    first
}

#[test]
fn next_waiter_is_told_of_a_holder_that_returned() {
    Play::new("return", Cue::Itself, |outcome| *outcome == Outcome::Returned, EndCause::Exited).run();
}

#[test]
fn next_waiter_is_told_of_a_holder_that_returned_an_error() {
    Play::new("error", Cue::Itself, |outcome| *outcome == Outcome::Failed, EndCause::Exited).run();
}

/// A component has no other status than well and not: `exit(3)` arrives as 1.
#[test]
fn next_waiter_is_told_of_a_holder_that_exited() {
    Play::new("exit", Cue::Itself, |outcome| *outcome == Outcome::Exited { code: 1 }, EndCause::Exited).run();
}

#[test]
fn next_waiter_is_told_of_a_holder_that_trapped() {
    let outcome =
        |outcome: &Outcome| matches!(outcome, Outcome::Trapped { message } if message.contains("unreachable"));
    Play::new("trap", Cue::Itself, outcome, EndCause::Trapped).run();
}

#[test]
fn next_waiter_is_told_of_a_holder_that_ran_out_of_stack() {
    Play::new("stack", Cue::Itself, |outcome| *outcome == Outcome::StackOverflow, EndCause::Trapped).run();
}

#[test]
fn next_waiter_is_told_of_a_holder_that_ran_out_of_memory() {
    const LIMIT_BYTES: u64 = 8 << 20;
    let outcome = |outcome: &Outcome| *outcome == Outcome::OutOfMemory { limit_bytes: LIMIT_BYTES };
    let mut play = Play::new("memory", Cue::Itself, outcome, EndCause::Limit);
    play.limits.memory_bytes_max = LIMIT_BYTES;
    play.run();
}

#[test]
fn next_waiter_is_told_of_a_holder_that_computed_beyond_its_time() {
    let mut play = Play::new("spin", Cue::LimitComputing, timed_out, EndCause::Limit);
    play.limits.timeout = Some(Duration::from_millis(16));
    play.run();
}

#[test]
fn next_waiter_is_told_of_a_holder_that_waited_beyond_its_time() {
    let mut play = Play::new("return", Cue::LimitWaiting, timed_out, EndCause::Limit);
    play.limits.timeout = Some(Duration::from_millis(32));
    play.run();
}

/// A host whose news of the end of a hold is slow: it waits for the next grant for a while, which must not come by
/// then. Holder and waiter live on different shards, so nothing else keeps the grant back.
#[test]
fn nobody_is_granted_while_the_last_hold_is_still_being_ended() {
    let (granted, grants) = mpsc::channel();
    let grants = Mutex::new(grants);
    let host = TestHost::configured(|config| {
        config.shards = 2;
        let log = config.observer.take().expect("the log of the test");
        config.observer = Some(Arc::new(move |event| {
            match event {
                Event::Granted { previous: Previous::Abandoned { .. }, .. } => granted.send(()).expect("a receiver"),
                Event::HoldEnded { .. } => {
                    let grants = grants.lock().expect("no panic before");
                    while grants.try_recv().is_ok() {}
                    // What comes is in the log before this event, and is found there.
                    let _ = grants.recv_timeout(Duration::from_millis(20));
                }
                _ => {}
            }
            log(event);
        }));
    });
    let (end, next) = (host.program("lock_end"), host.program("lock_next"));
    let job = host.job(&["a"]);
    for round in 0..20 {
        host.forget_events();
        let (holder, lines) = host.spawn(&job, &end, &["a", "-", "sleep"], &["a"], &[]);
        lines.wait_for("holding");
        let spec = ProcessSpec { placement: Placement::Spread, ..spec(&next, &["a"], &["a"], &[]) };
        let (waiter, _) = host.spawn_spec(&job, &next, spec);
        host.until_lock(&job, "a", "one waits", |view| view.queue.len() == 1);
        if round % 2 == 0 {
            job.revoke("a", None).expect("a hold");
        } else {
            holder.kill();
        }
        assert_eq!(join(&waiter).outcome, Outcome::Returned);
        holder.kill();
        join(&holder);
        let events = host.events();
        let old = find(&events, |event| matches!(event, Event::HoldEnded { .. }).then_some(()));
        let new = find(&events, |event| match event {
            Event::Granted { process, .. } => (*process == waiter.id()).then_some(()),
            _ => None,
        });
        assert!(old.at < new.at, "granted before the last hold was over");
    }
}

fn timed_out(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::TimedOut { .. })
}

#[test]
fn next_waiter_is_told_of_a_holder_that_was_killed_while_it_computed() {
    Play::new("spin", Cue::KilledComputing, |outcome| *outcome == Outcome::Killed, EndCause::Killed).run();
}

#[test]
fn next_waiter_is_told_of_a_holder_that_was_killed_while_it_waited() {
    Play::new("return", Cue::KilledWaiting, |outcome| *outcome == Outcome::Killed, EndCause::Killed).run();
}

/// One that holds `a` and waits for the gate, three that wait for `a`, and one asleep that holds the gate.
struct Parked {
    host: TestHost,
    job: Job,
    keeper: Process,
    holder: Process,
    waiters: Vec<(Process, Lines)>,
}

impl Parked {
    fn new() -> Self {
        let host = TestHost::new();
        let (end, next) = (host.program("lock_end"), host.program("lock_next"));
        let job = host.job_with_files(&["a", "gate"], vec![host.lines_file("file", Some("a"))]);
        let (keeper, lines) = host.spawn(&job, &end, &["gate", "-", "sleep"], &["gate"], &[]);
        lines.wait_for("holding");
        let args = ["a", "file", "return", "gate"];
        let (holder, lines) = host.spawn(&job, &end, &args, &["a", "gate"], &["file"]);
        lines.wait_for("holding");
        let waiters = (0..3).map(|_| host.spawn(&job, &next, &["a"], &["a"], &[])).collect();
        host.until_lock(&job, "a", "three wait", |view| view.queue.len() == 3);
        host.until_lock(&job, "gate", "the holder waits", |view| view.queue.len() == 1);
        Self { host, job, keeper, holder, waiters }
    }

    fn cancelled(&self, waiter: &Process) -> bool {
        let is = |event: &Event| matches!(event, Event::WaitCancelled { process, .. } if *process == waiter.id());
        self.host.events().iter().any(is)
    }

    fn grants(&self) -> usize {
        self.host.events().iter().filter(|event| matches!(event, Event::Granted { .. })).count()
    }

    /// Nobody was granted anything since, nobody waits, and the file has what was in it.
    fn check_after(&self, grants_before: usize) {
        assert_eq!(self.grants(), grants_before, "granted although the host shuts down");
        for lock in ["a", "gate"] {
            let view = self.job.inspect_lock(lock).expect("a lock of the job");
            assert_eq!((view.holder(), view.queue.len()), (None, 0), "{lock}");
        }
        assert_eq!(log_of(&self.host.path("file")), b"held\n");
    }
}

/// The holder is one that waits for another lock: with time to spare all but the sleeper end by themselves, and only
/// the sleeper makes the host use up its grace.
#[test]
fn shutdown_with_grace_cancels_waiters_and_grants_nobody() {
    let parked = Parked::new();
    let grants = parked.grants();
    std::thread::scope(|scope| {
        scope.spawn(|| parked.host.runtime().shut_down(Duration::from_secs(3600)));
        for (waiter, lines) in &parked.waiters {
            assert_eq!(join(waiter).outcome, Outcome::Failed);
            assert_eq!(lines.all(), ["error=cancelled"]);
            assert!(parked.cancelled(waiter));
        }
        assert_eq!(join(&parked.holder).outcome, Outcome::Failed);
        assert!(parked.cancelled(&parked.holder));
        assert!(parked.keeper.try_join().is_none(), "one that waits for no lock has its grace");
        parked.keeper.kill();
    });
    assert_eq!(join(&parked.keeper).outcome, Outcome::Killed);
    parked.check_after(grants);
}

/// Without grace a waiter may still be told before it is ended, but it is never granted.
#[test]
fn shutdown_without_grace_ends_everybody_and_grants_nobody() {
    for _ in 0..50 {
        let parked = Parked::new();
        let grants = parked.grants();
        parked.host.runtime().shut_down(Duration::ZERO);
        assert_eq!(parked.keeper.try_join().expect("it has ended").outcome, Outcome::ShutDown);
        let waiting = parked.waiters.iter().map(|(waiter, _)| waiter).chain([&parked.holder]);
        for process in waiting {
            match &process.try_join().expect("it has ended").outcome {
                Outcome::ShutDown => {}
                Outcome::Failed => assert!(parked.cancelled(process), "failed for another reason"),
                other => panic!("{} {other}", process.name()),
            }
        }
        parked.check_after(grants);
        let refused = parked.job.spawn(&parked.host.program("lock_next"), &ProcessSpec::default());
        assert!(matches!(refused, Err(lockkeeper::SpawnError::ShuttingDown)));
    }
}

/// Fifty that append share one thread with one that computes beyond its time and one that waits beyond its time.
#[test]
fn time_limits_end_two_and_the_fifty_on_their_shard_go_on() {
    const RECORDS: u64 = 200;
    let host = TestHost::with_shards(1);
    let (end, append) = (host.program("lock_end"), host.program("lock_append"));
    let job = host.job_with_files(&["a", "b", "c"], vec![host.lines_file("file", Some("a"))]);
    let limits = Limits { timeout: Some(Duration::from_millis(30)), ..Limits::default() };
    let (keeper, lines) = host.spawn(&job, &end, &["b", "-", "sleep"], &["b"], &[]);
    lines.wait_for("holding");
    let others: Vec<_> = (0..50)
        .map(|rank| {
            let spec = spec(&append, &["a", "file", &RECORDS.to_string(), "7"], &["a"], &["file"]);
            job.spawn(&append, &ProcessSpec { rank, count: 50, ..spec }).expect("a process")
        })
        .collect();
    let limited = |args: &[&str], locks: &[&str]| {
        let spec = ProcessSpec { limits: limits.clone(), ..spec(&end, args, locks, &[]) };
        host.spawn_spec(&job, &end, spec).0
    };
    let spinner = limited(&["c", "-", "spin"], &["c"]);
    let parked = limited(&["b", "-", "return"], &["b"]);
    for process in [spinner, parked] {
        let exit = join(&process);
        assert_eq!(exit.outcome, Outcome::TimedOut { limit: Duration::from_millis(30) });
        assert!(exit.lived >= Duration::from_millis(30), "ended after {:?}", exit.lived);
    }
    for other in others {
        assert_eq!(join(&other).outcome, Outcome::Returned);
    }
    lockkeeper_guest_programs::check(&log_of(&host.path("file")), 7, 50, RECORDS).expect("every record");
    let view = job.inspect_lock("b").expect("a lock of the job");
    assert_eq!((view.holder().map(|holder| holder.owner.get()), view.queue.len()), (Some(keeper.id().get()), 0));
}
