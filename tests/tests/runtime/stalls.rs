//! A job whose processes all wait for each other is told of, once, with who waits for what; and a job that can still go on
//! never is.

use std::time::{Duration, Instant};

use lockkeeper::observe::{Event, Outcome, StalledProcess};
use lockkeeper::{
    Delivery, JobSpec, Limits, LockConfig, LockKind, LockSpec, Parties, Placement, ProcessSpec, QueueConfig, Scalar,
    SemaphoreKind, ValueContent, ValueSpec,
};
use lockkeeper_tests::{Actor, Play, TestHost, configured, join, spec, thing, until};

fn things() -> Vec<LockSpec> {
    let queue = QueueConfig { items_max: 1, bytes_max: 100, delivery: Delivery::AtMostOnce };
    vec![
        thing("m", LockKind::Mutex),
        thing("r", LockKind::RLock),
        thing("w", LockKind::RwLock),
        thing("o", LockKind::Semaphore(SemaphoreKind::Owned { permits: 2 })),
        thing("s", LockKind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: None })),
        thing("n", LockKind::Once),
        thing("c", LockKind::Condition { lock: "m".to_owned() }),
        thing("e", LockKind::Event),
        thing("go", LockKind::Event),
        thing("b", LockKind::Barrier { parties: 5, parties_are: Parties::Waiting }),
        thing("l", LockKind::Latch { count: 1 }),
        thing("q", LockKind::Queue(queue)),
        thing("q1", LockKind::Queue(queue)),
        thing("q2", LockKind::Queue(queue)),
    ]
}

/// The reports so far: who waits for what, and whether it ends by itself.
fn reports(host: &TestHost) -> Vec<(Vec<StalledProcess>, bool)> {
    let events = host.events().into_iter();
    let reports = events.filter_map(|event| match event {
        Event::Stalled { waits, ends_by_itself } => Some((waits, ends_by_itself)),
        _ => None,
    });
    reports.collect()
}

/// Lets the host's clock tick so often that it would have told of whatever there is: another job computes meanwhile.
fn let_it_tick(host: &TestHost) {
    let other = Play::new(host, things());
    other.run("clock", &["compute:30"]);
}

fn wait_for_report(host: &TestHost) {
    host.wait_for("the report", |event| matches!(event, Event::Stalled { .. }));
}

/// `NAME waits at THING for WHAT holding LOCKS`.
fn sentence(wait: &StalledProcess) -> String {
    let held: Vec<String> = wait.holds.iter().map(|held| format!("{} {}", held.lock, held.how)).collect();
    format!("{} waits at {} for {} holding [{}]", wait.name, wait.waits_at, wait.waits_for, held.join(", "))
}

/// Processes by their names and steps, and what is said of them.
type Scene = (&'static [(&'static str, &'static [&'static str])], &'static [&'static str]);

const SCENES: &[Scene] = &[
    (&[("a", &["lock:m", "wait:c:m"])], &["a waits at c for a notification holding []"]),
    (&[("a", &["await:e"])], &["a waits at e for the event to be set holding []"]),
    (
        &[("a", &["meet:b"]), ("b", &["meet:b"])],
        &["a waits at b for the other parties holding []", "b waits at b for the other parties holding []"],
    ),
    (&[("a", &["latch:l"])], &["a waits at l for the latch to reach zero holding []"]),
    (&[("a", &["get:q"])], &["a waits at q for an item holding []"]),
    (&[("a", &["put:q:x", "put:q:y"])], &["a waits at q for room for an item holding []"]),
    (&[("a", &["put:q:x", "join:q"])], &["a waits at q for all items to be finished holding []"]),
    (&[("a", &["take:s:1"])], &["a waits at s for a permit holding []"]),
    (&[("a", &["take:s:3"])], &["a waits at s for 3 permits holding []"]),
    (
        &[("a", &["lock:m", "await:e"]), ("b", &["lock:m"])],
        &["a waits at e for the event to be set holding [m exclusive]", "b waits at m for the lock holding []"],
    ),
    (
        &[("a", &["rlock:r", "rlock:r", "await:e"]), ("b", &["rlock:r"])],
        &["a waits at e for the event to be set holding [r exclusive]", "b waits at r for the lock holding []"],
    ),
    (
        &[("a", &["read:w", "await:e"]), ("b", &["write:w"]), ("c", &["read:w"])],
        &[
            "a waits at e for the event to be set holding [w shared]",
            "b waits at w for the lock holding []",
            "c waits at w for the lock, to read holding []",
        ],
    ),
    (
        &[("a", &["read:w", "await:e"]), ("b", &["read:w", "upgrade:w"])],
        &[
            "a waits at e for the event to be set holding [w shared]",
            "b waits at w for the other readers to end holding [w shared]",
        ],
    ),
    (
        &[("a", &["take:o:1", "latch:l"]), ("b", &["take:o:2"])],
        &["a waits at l for the latch to reach zero holding [o permits]", "b waits at o for 2 permits holding []"],
    ),
    (
        &[("a", &["begin:n", "get:q"]), ("b", &["begin:n"])],
        &["a waits at q for an item holding [n exclusive]", "b waits at n for the lock holding []"],
    ),
    // Who was notified, and waits for the lock again.
    (
        &[("a", &["lock:m", "wait:c:m"]), ("b", &["lock:m", "notify:c:1", "await:e"])],
        &["a waits at m for the lock holding []", "b waits at e for the event to be set holding [m exclusive]"],
    ),
];

/// Starts the processes of a scene one after the other, each when the one before waits.
fn start(play: &Play<'_>, processes: &[(&str, &[&str])]) -> Vec<Actor> {
    let mut actors: Vec<Actor> = Vec::new();
    for (name, steps) in processes {
        let actor = play.start(name, steps);
        until("it waits", || actor.lines.all().len() == steps.len() - 1);
        let last: Vec<&str> = steps[steps.len() - 1].split(':').collect();
        let before = processes[..actors.len()].iter().filter(|(_, steps)| waits_at(steps) == last[1]).count();
        until("it waits", || play.queue(last[1]) > before);
        actors.push(actor);
    }
    actors
}

fn waits_at<'a>(steps: &[&'a str]) -> &'a str {
    steps[steps.len() - 1].split(':').nth(1).expect("a name")
}

#[test]
fn job_that_stands_still_is_told_of_once_and_ended_on_demand() {
    let host = TestHost::new();
    for (processes, sentences) in SCENES {
        host.forget_events();
        let play = Play::new(&host, things());
        let actors = start(&play, processes);
        wait_for_report(&host);
        let_it_tick(&host);
        let reports = reports(&host);
        let last = &reports[reports.len() - 1];
        assert_eq!(last.0.iter().map(sentence).collect::<Vec<_>>(), *sentences);
        assert!(!last.1, "nothing is still to come");
        // While the processes come one after the other, each state in which all wait is a stall of its own.
        assert!(reports.len() <= processes.len(), "{} reports", reports.len());
        let told: Vec<usize> = reports.iter().map(|(waits, _)| waits.len()).collect();
        assert!(told.is_sorted_by(|one, next| one < next), "told twice of the same: {told:?}");

        let seen = play.job().stall().expect("it stands still");
        assert_eq!(seen.waits.iter().map(sentence).collect::<Vec<_>>(), *sentences);
        let ended = play.job().end_stall().expect("it stands still");
        assert_eq!(ended.waits.iter().map(sentence).collect::<Vec<_>>(), *sentences);
        for actor in actors {
            assert_eq!(actor.ends().outcome, Outcome::Stalled);
        }
        assert!(play.job().stall().is_none() && play.job().end_stall().is_none(), "nobody is left");
    }
}

/// Who ends a stall may look sooner than the host's clock, which then finds nobody who waits. So the end has to tell of it: the
/// command ended a job with 76, and `--json` had no `stalled`.
#[test]
fn stall_that_is_ended_before_the_clock_saw_it_is_told_of_too() {
    let host = TestHost::new();
    for round in 0..50 {
        host.forget_events();
        let play = Play::new(&host, things());
        let waiter = play.start("waiter", &["await:e"]);
        until("the stall", || play.job().end_stall().is_some());
        assert_eq!(waiter.ends().outcome, Outcome::Stalled);
        if round % 10 == 0 {
            let_it_tick(&host);
        }
        let events = host.events().into_iter();
        let told = events.filter_map(|event| match event {
            Event::Stalled { .. } => Some("stalled"),
            Event::Ended { outcome: Outcome::Stalled, .. } => Some("ended"),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), ["stalled", "ended"], "round {round}");
    }
}

/// Whoever comes from outside helps; and when all wait again, that is another stall.
#[test]
fn second_stall_of_a_job_is_told_of_again() {
    let host = TestHost::new();
    let play = Play::new(&host, things());
    let waiter = play.start("a", &["await:e", "latch:l"]);
    wait_for_report(&host);
    play.run("helper", &["set:e"]);
    waiter.answer("await:e");
    until("the second report", || reports(&host).len() == 2);
    assert_eq!(sentence(&reports(&host)[1].0[0]), "a waits at l for the latch to reach zero holding []");
    play.run("helper", &["count:l"]);
    waiter.ends_well();
    let_it_tick(&host);
    assert_eq!(reports(&host).len(), 2);
}

#[test]
fn job_in_which_one_still_does_something_is_not_told_of() {
    let host = TestHost::new();
    let busy: [&[&str]; 6] = [
        &["spin"],
        &["nap:3600000"],
        &["await:e:3600000"],
        &["lock:m", "wait:c:m:3600000"],
        &["take:s:1:3600000"],
        &["get:q:3600000"],
    ];
    for steps in busy {
        // Those of the last round were killed one after the other, which may have been told of.
        host.forget_events();
        let play = Play::new(&host, things());
        let one = play.start("busy", steps);
        until("it begins", || one.lines.all().len() == steps.len() - 1);
        let waiter = play.start("waiter", &["latch:l"]);
        play.until_queue("l", 1);
        let_it_tick(&host);
        assert_eq!(reports(&host).len(), 0, "{steps:?}");
        assert!(play.job().stall().is_none() && play.job().end_stall().is_none(), "{steps:?}");
        [one, waiter].iter().for_each(Actor::kill);
    }
}

/// Sixteen processes at one lock: at each moment fifteen of them wait, and the one that does not may just have been woken.
#[test]
fn lock_that_goes_from_hand_to_hand_is_no_stall() {
    for (shards, placement) in [(1, Placement::Home), (2, Placement::Spread)] {
        let host = TestHost::with_shards(shards);
        let program = host.program("lock_fair");
        let start = LockKind::Barrier { parties: 16, parties_are: Parties::Waiting };
        let job = host.runtime().job(JobSpec {
            // In strict order each release is a hand-over to somebody who sleeps.
            locks: vec![configured("a", LockKind::Mutex, LockConfig::strict()), thing("start", start)],
            values: vec![ValueSpec {
                name: "grants".to_owned(),
                content: ValueContent::Value { initial: Scalar::Signed(0), bytes_max: 0 },
                requires_lock: None,
            }],
            ..JobSpec::default()
        });
        let job = job.expect("a job");
        let processes: Vec<_> = (0..16)
            .map(|rank| {
                let spec = spec(&program, &["a", &u64::from(u32::MAX).to_string()], &["a", "start"], &[]);
                let spec = ProcessSpec { rank, count: 16, values: vec!["grants".to_owned()], placement, ..spec };
                host.spawn_spec(&job, &program, spec).0
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(1);
        let mut looks = 0;
        while Instant::now() < end {
            // The barrier at the start is no stall either: the last one to come is there, and has not waited yet.
            assert!(job.stall().is_none(), "after {looks} looks");
            looks += 1;
        }
        assert!(processes.iter().all(|process| process.try_join().is_none()), "they were at it to the end");
        assert_eq!(reports(&host).len(), 0);
        let granted = job.inspect_lock("a").expect("a lock").counters;
        processes.iter().for_each(lockkeeper::Process::kill);
        processes.iter().for_each(|process| drop(join(process)));
        println!("{shards} shard(s): {looks} looks, {granted:?}");
    }
}

/// Two processes that take turns: after each step one waits, and the other was woken and has not run yet.
#[test]
fn taking_turns_is_no_stall() {
    const TURNS: usize = 2_000;
    let host = TestHost::with_shards(2);
    for ping in [["put:q1:x", "get:q2"], ["give:s:1", "take:o:1"]] {
        let pong = match ping[0] {
            "put:q1:x" => ["get:q1", "put:q2:x"],
            _ => ["take:s:1", "give:o:1"],
        };
        // Permits that anybody may give, instead of those that belong to somebody.
        let mut locks = things();
        locks.retain(|lock| lock.name != "o");
        locks.push(thing("o", LockKind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: None })));
        let play = Play::new(&host, locks).spread();
        // Both are there before either waits.
        let steps =
            |steps: [&'static str; 2]| ["await:go"].into_iter().chain(steps.into_iter().cycle().take(2 * TURNS));
        let pair = [
            play.start("ping", &steps(ping).collect::<Vec<_>>()),
            play.start("pong", &steps(pong).collect::<Vec<_>>()),
        ];
        play.until_queue("go", 2);
        host.forget_events();
        play.run("setter", &["set:go"]);
        while pair.iter().any(|one| one.process.try_join().is_none()) {
            assert!(play.job().stall().is_none(), "{ping:?}");
        }
        pair.iter().for_each(|one| drop(one.ends_well()));
        // All may have waited for `go` once more before it was set, and that would have been told of.
        assert!(reports(&host).iter().flat_map(|(waits, _)| waits).all(|wait| wait.waits_at.as_str() == "go"));
    }
}

#[test]
fn stall_that_a_time_limit_ends_is_told_so() {
    let host = TestHost::new();
    let limits = Limits { timeout: Some(Duration::from_millis(400)), ..Limits::default() };
    let play = Play::new(&host, things());
    let holder = play.start_with("holder", &["lock:m", "await:e"], limits);
    holder.answer("lock:m");
    let next = play.start("next", &["lock:m"]);
    play.until_queue("m", 1);
    let is_both = |event: &Event| matches!(event, Event::Stalled { waits, ends_by_itself: true } if waits.len() == 2);
    host.wait_for("the report of both", is_both);
    assert!(play.job().stall().is_none_or(|stall| stall.ends_by_itself));
    assert!(matches!(holder.ends().outcome, Outcome::TimedOut { .. }));
    let expected = format!("lock:m=abandoned(limit {})", holder.process.id());
    assert_eq!(next.ends_well(), [expected]);
}

#[test]
fn stall_that_a_max_hold_ends_is_told_so() {
    let host = TestHost::new();
    let max_hold = Some(Duration::from_millis(400));
    let locks = things().into_iter().map(|lock| match lock.name.as_str() {
        "m" => LockSpec { max_hold, ..lock },
        _ => lock,
    });
    let play = Play::new(&host, locks.collect());
    let holder = play.start("holder", &["lock:m", "await:e", "unlock:m"]);
    holder.answer("lock:m");
    let next = play.start("next", &["lock:m", "set:e"]);
    let is_both = |event: &Event| matches!(event, Event::Stalled { waits, ends_by_itself: true } if waits.len() == 2);
    host.wait_for("the report of both", is_both);
    let expected = format!("lock:m=abandoned(expired {})", holder.process.id());
    assert_eq!(next.ends_well()[0], expected);
    assert_eq!(holder.ends_well()[2], "unlock:m=lost(expired)");
}

/// The hold is over, and it did not help: nobody waited for it.
#[test]
fn stall_that_could_end_by_itself_and_did_not_is_told_of_again() {
    let host = TestHost::new();
    let max_hold = Some(Duration::from_millis(300));
    let locks = things().into_iter().map(|lock| match lock.name.as_str() {
        "m" => LockSpec { max_hold, ..lock },
        _ => lock,
    });
    let play = Play::new(&host, locks.collect());
    let holder = play.start("holder", &["lock:m", "await:e"]);
    let other = play.start("other", &["await:e"]);
    host.wait_for("that it may end by itself", |event| matches!(event, Event::Stalled { ends_by_itself: true, .. }));
    host.wait_for("that it will not", |event| matches!(event, Event::Stalled { ends_by_itself: false, .. }));
    let told =
        host.events().into_iter().filter(|event| matches!(event, Event::Stalled { waits, .. } if waits.len() == 2));
    assert_eq!(told.count(), 2);
    assert_eq!(play.job().end_stall().expect("it stands still").waits.len(), 2);
    assert_eq!([holder.ends().outcome.clone(), other.ends().outcome.clone()], [Outcome::Stalled, Outcome::Stalled]);
}

/// The last one that did something is gone, and nobody sat down since.
#[test]
fn process_that_ends_last_makes_the_stall_visible() {
    let host = TestHost::new();
    for last in [&["compute:20"][..], &["nap:20"], &["await:e:20"], &["compute:20", "fail"], &["compute:20", "trap"]] {
        host.forget_events();
        let play = Play::new(&host, things());
        let last = play.start("last", last);
        let waiter = play.start("waiter", &["latch:l"]);
        wait_for_report(&host);
        let events = host.events();
        let ended = events.iter().position(|event| matches!(event, Event::Ended { .. })).expect("one has ended");
        let told = events.iter().position(|event| matches!(event, Event::Stalled { .. })).expect("it was told");
        assert!(ended < told);
        assert!(last.process.try_join().is_some(), "it has ended");
        assert_eq!(play.job().end_stall().expect("it stands still").waits.len(), 1);
        assert_eq!(waiter.ends().outcome, Outcome::Stalled);
    }
}

/// A killed process leaves others behind, who stand still from then on.
#[test]
fn killing_the_only_one_that_could_help_is_told_of() {
    let host = TestHost::new();
    let play = Play::new(&host, things());
    let helper = play.start("helper", &["nap:3600000", "set:e"]);
    let waiters: Vec<Actor> = (0..5).map(|_| play.start("waiter", &["await:e"])).collect();
    play.until_queue("e", 5);
    let_it_tick(&host);
    assert_eq!(reports(&host).len(), 0);
    helper.kill();
    wait_for_report(&host);
    assert_eq!(reports(&host)[0].0.len(), 5);
    assert!(play.job().end_stall().is_some());
    for waiter in waiters {
        assert_eq!(waiter.ends().outcome, Outcome::Stalled);
    }
}
