//! A hold that lasts longer than its lock allows is taken away: its owner is told once and can change nothing more, and the
//! next one is told how it came by the lock.

use std::time::Duration;

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{
    AfterDeath, AppendSpec, EndCause, LockConfig, LockKind, LockSpec, LockState, Previous, ProcessId, Scalar,
    SemaphoreKind, ValueContent, ValueSpec,
};
use lockkeeper_tests::{Actor, Play, TestHost, log_of, thing};

/// Long enough that a busy machine comes to look at half time too.
const MAX_HOLD: Duration = Duration::from_millis(300);

/// What is held too long, and what is said of it.
struct Scene {
    lock: &'static str,
    /// How it is acquired, in so many steps.
    acquires: &'static [&'static str],
    release: &'static str,
    /// What the next one does, and is told, where `LOST` is the hold that was taken away.
    next: (&'static str, &'static str),
    /// What a late append with the fence of the hold is refused with, where a file can be bound to it: when nobody holds it,
    /// and when another one does.
    append: Option<(&'static str, &'static str)>,
    /// What releasing once more is refused with, in the same two cases.
    again: Option<(&'static str, &'static str)>,
}

const SCENES: [Scene; 6] = [
    Scene {
        lock: "m",
        acquires: &["lock:m"],
        release: "unlock:m",
        next: ("lock:m", "LOST"),
        append: Some(("fenced", "fenced")),
        again: Some(("not-held", "not-owner")),
    },
    Scene {
        lock: "r",
        acquires: &["rlock:r", "rlock:r", "rlock:r"],
        release: "runlock:r",
        next: ("rlock:r", "LOST"),
        append: Some(("fenced", "fenced")),
        again: Some(("not-held", "not-owner")),
    },
    Scene {
        lock: "w",
        acquires: &["write:w"],
        release: "unwrite:w",
        next: ("write:w", "LOST"),
        append: Some(("fenced", "fenced")),
        again: Some(("not-held", "not-owner")),
    },
    // A reader has spoilt nothing, and could not have written.
    Scene {
        lock: "w",
        acquires: &["read:w"],
        release: "unread:w",
        next: ("write:w", "clean"),
        append: Some(("lock-required(w)", "fenced")),
        again: Some(("not-held", "not-owner")),
    },
    Scene {
        lock: "o",
        acquires: &["take:o:2"],
        release: "give:o:2",
        next: ("take:o:2", "ok"),
        append: None,
        again: Some(("not-held", "not-held")),
    },
    Scene {
        lock: "n",
        acquires: &["begin:n"],
        release: "complete:n",
        next: ("begin:n", "LOST"),
        append: None,
        again: None,
    },
];

fn locks(max_hold: Duration) -> Vec<LockSpec> {
    let limited = |name, kind| LockSpec { max_hold: Some(max_hold), ..thing(name, kind) };
    vec![
        limited("m", LockKind::Mutex),
        limited("r", LockKind::RLock),
        limited("w", LockKind::RwLock),
        limited("o", LockKind::Semaphore(SemaphoreKind::Owned { permits: 2 })),
        limited("n", LockKind::Once),
        thing("go", LockKind::Event),
        thing("never", LockKind::Event),
    ]
}

impl Scene {
    /// A job whose file `f` and value `v` are bound to the lock, if they can be.
    fn play<'a>(&self, host: &'a TestHost, file: &str) -> Play<'a> {
        let bound = self.append.map(|_| self.lock.to_owned());
        let value = ValueSpec {
            name: "v".to_owned(),
            content: ValueContent::Value { initial: Scalar::Signed(0), bytes_max: 0 },
            requires_lock: bound.clone(),
        };
        let files = vec![AppendSpec { name: "f".to_owned(), ..host.lines_file(file, bound.as_deref()) }];
        Play::with(host, locks(MAX_HOLD), vec![value], files)
    }

    /// What the holder does too late, and what it is answered.
    fn late(&self, is_taken: bool) -> (Vec<String>, Vec<String>) {
        let of = |(by_nobody, by_another): (&'static str, &'static str)| if is_taken { by_another } else { by_nobody };
        let lock = self.lock;
        let mut late = Vec::new();
        if let Some(refused) = self.append.map(of) {
            late.push((format!("append:f:{lock}"), refused.to_owned()));
            late.push(("change:v".to_owned(), format!("lock-required({lock})")));
        }
        late.push((self.release.to_owned(), "lost(expired)".to_owned()));
        late.extend(self.again.map(of).map(|refused| (self.release.to_owned(), refused.to_owned())));
        late.into_iter().unzip()
    }

    fn told(&self, who: ProcessId) -> String {
        self.next.1.replace("LOST", &format!("abandoned(expired {who})"))
    }
}

fn assert_answers(actor: &Actor, from: usize, steps: &[String], expected: &[String]) {
    let lines = actor.ends_well();
    assert_eq!(lines.len(), from + steps.len(), "{lines:?}");
    for ((line, step), expected) in lines[from..].iter().zip(steps).zip(expected) {
        let answer = line.strip_prefix(&format!("{step}=")).expect("the steps are answered in their order");
        assert_eq!(answer, expected, "{step}");
    }
}

/// Waits until a hold has expired, and the lock is free for others.
fn until_expired(host: &TestHost, play: &Play<'_>, lock: &str) {
    host.wait_for("the end of the hold", |event| matches!(event, Event::HoldEnded { how: EndCause::Expired, .. }));
    // The event comes before others can have the lock.
    host.until_lock(play.job(), lock, "it is free", |view| view.state == LockState::Free && view.holders.is_empty());
}

fn place(events: &[Event], is: impl Fn(&Event) -> bool) -> Option<usize> {
    events.iter().position(is)
}

/// The host warns, takes the hold away, and then grants the next one, in this order.
fn assert_order(host: &TestHost, lock: &str, holder: ProcessId, next: ProcessId, is_told: bool) {
    let events = host.events();
    let named = |name: &lockkeeper::Name| name.as_str() == lock;
    let long = place(&events, |event| {
        matches!(event, Event::HoldLong { process, lock, held_for, max_hold, .. }
            if *process == holder && named(lock) && *held_for >= MAX_HOLD / 2 && *max_hold == MAX_HOLD)
    });
    let ended = place(&events, |event| {
        matches!(event, Event::HoldEnded { process, lock, how, .. }
            if *process == holder && named(lock) && *how == EndCause::Expired)
    });
    let granted = place(&events, |event| {
        matches!(event, Event::Granted { process, lock, previous, .. } if *process == next && named(lock)
            && matches!(previous, Previous::Abandoned { how: EndCause::Expired, .. }) == is_told)
    });
    let (long, ended, granted) = (long.expect("warned"), ended.expect("ended"), granted.expect("granted"));
    assert!(long < ended && ended < granted, "{lock}: warned {long}, ended {ended}, granted {granted}");
    let warned = events.iter().filter(|event| matches!(event, Event::HoldLong { process, .. } if *process == holder));
    assert_eq!(warned.count(), 1, "warned once");
}

/// The next one waits, and holds the lock when the old owner comes too late.
#[test]
fn expired_hold_goes_to_the_next_and_its_owner_changes_nothing_more() {
    let host = TestHost::new();
    for (number, scene) in SCENES.iter().enumerate() {
        host.forget_events();
        let file = format!("held-{number}");
        let play = scene.play(&host, &file);
        let (late, refused) = scene.late(true);
        let mut steps = scene.acquires.to_vec();
        steps.push("await:go");
        steps.extend(late.iter().map(String::as_str));
        let holder = play.start("holder", &steps);
        holder.nth_answer(scene.acquires[0], scene.acquires.len() - 1);
        let next = play.start("next", &[scene.next.0, "await:never"]);
        let told = next.answer(scene.next.0);
        assert_eq!(told, scene.told(holder.process.id()), "{}", scene.lock);
        play.run("setter", &["set:go"]);
        assert_answers(&holder, scene.acquires.len() + 1, &late, &refused);
        let is_told = scene.next.1 == "LOST";
        assert_order(&host, scene.lock, holder.process.id(), next.process.id(), is_told);
        assert!(log_of(&host.path(&file)).is_empty(), "{}: the late record was written", scene.lock);
        next.kill();
    }
}

/// Nobody waits: the old owner comes too late to a lock that is free.
#[test]
fn expired_hold_is_lost_also_when_nobody_waits() {
    let host = TestHost::new();
    for (number, scene) in SCENES.iter().enumerate() {
        host.forget_events();
        let file = format!("free-{number}");
        let play = scene.play(&host, &file);
        let (late, refused) = scene.late(false);
        let mut steps = scene.acquires.to_vec();
        steps.push("await:go");
        steps.extend(late.iter().map(String::as_str));
        let holder = play.start("holder", &steps);
        until_expired(&host, &play, scene.lock);
        play.run("setter", &["set:go"]);
        assert_answers(&holder, scene.acquires.len() + 1, &late, &refused);
        assert!(log_of(&host.path(&file)).is_empty(), "{}: the late record was written", scene.lock);
    }
}

/// The next call is the acquisition: it is refused once, and then granted.
#[test]
fn owner_of_an_expired_hold_is_told_once_and_then_acquires_again() {
    let host = TestHost::new();
    for (number, scene) in SCENES.iter().enumerate() {
        host.forget_events();
        let play = scene.play(&host, &format!("again-{number}"));
        let acquire = scene.acquires[0];
        let steps: Vec<&str> = scene.acquires.iter().copied().chain(["await:go", acquire, acquire]).collect();
        let holder = play.start("holder", &steps);
        until_expired(&host, &play, scene.lock);
        play.run("setter", &["set:go"]);
        let lines = holder.ends_well();
        let last = if scene.next.0 == acquire { scene.told(holder.process.id()) } else { "clean".to_owned() };
        let expected = [format!("{acquire}=lost(expired)"), format!("{acquire}={last}")];
        assert_eq!(lines[scene.acquires.len() + 1..], expected, "{}", scene.lock);
    }
}

/// Only the hold that has lasted too long is taken away, and not that of another reader.
#[test]
fn reader_that_came_later_keeps_its_hold() {
    let host = TestHost::new();
    let play = SCENES[3].play(&host, "readers");
    let early = play.start("early", &["read:w", "await:go", "unread:w"]);
    early.answer("read:w");
    host.wait_for("the warning", |event| matches!(event, Event::HoldLong { .. }));
    let late = play.start("late", &["read:w", "unread:w"]);
    host.wait_for("the end", |event| matches!(event, Event::HoldEnded { how: EndCause::Expired, .. }));
    assert_eq!(late.ends_well(), ["read:w=clean", "unread:w=ok"]);
    play.run("setter", &["set:go"]);
    assert_eq!(early.ends_well()[2], "unread:w=lost(expired)");
}

/// Each holder computes for about as long as it may hold the lock, and then releases it: one of the two is first.
fn race(what: &str, lock: &str, steps: [&str; 2], processes: usize, rounds: usize, limit: Duration) -> [usize; 2] {
    let host = TestHost::with_shards(2);
    let play = Play::new(&host, locks(limit)).spread();
    let [acquire, release] = steps;
    let all: Vec<&str> = (0..rounds / processes).flat_map(|_| [acquire, "compute:2", release]).collect();
    let racers: Vec<Actor> = (0..processes).map(|_| play.start("racer", &all)).collect();
    let mut met = [0; 2];
    for racer in &racers {
        let lines = racer.ends_well();
        for round in lines.chunks(3) {
            let [acquired, _, released] = round else { panic!("three steps are a round: {round:?}") };
            let (_, acquired) = acquired.split_once('=').expect("an answer");
            let (_, released) = released.split_once('=').expect("an answer");
            let is_granted = ["clean", "ok"].contains(&acquired) || acquired.starts_with("abandoned(expired");
            assert!(is_granted, "{what}: {acquired}");
            match released {
                "ok" => met[0] += 1,
                "lost(expired)" => met[1] += 1,
                other => panic!("{what}: {other}"),
            }
        }
    }
    let view = play.job().inspect_lock(lock).expect("a lock");
    assert_eq!((view.state, view.holders.len(), view.queue.len()), (LockState::Free, 0, 0), "{what}");
    assert!(racers.iter().all(|racer| racer.ends().outcome == Outcome::Returned));
    println!("{what}: released {}, expired {}", met[0], met[1]);
    met
}

#[test]
fn expiry_that_races_with_the_release_leaves_no_lock_stuck() {
    // A little more than what the holders compute, as they are told of their grant a little late.
    let limit = Duration::from_micros(2_030);
    let met = race("a mutex", "m", ["lock:m", "unlock:m"], 4, 1_000, limit);
    assert!(!met.contains(&0), "one of the two was always first: {met:?}");
    race("an rlock", "r", ["rlock:r", "runlock:r"], 4, 200, limit);
    race("a writer", "w", ["write:w", "unwrite:w"], 4, 200, limit);
    race("readers", "w", ["read:w", "unread:w"], 4, 200, limit);
    race("permits", "o", ["take:o:1", "give:o:1"], 4, 200, limit);
    race("a once", "n", ["begin:n", "giveup:n"], 4, 200, limit);
}

/// The next one is told nothing, and the old owner changes nothing all the same.
#[test]
fn expired_hold_writes_nothing_also_where_its_end_is_told_to_nobody() {
    let host = TestHost::new();
    let config = LockConfig { after_death: AfterDeath::Ignore, ..LockConfig::default() };
    let locks = locks(MAX_HOLD).into_iter().map(|lock| LockSpec { config, ..lock }).collect();
    let files = vec![AppendSpec { name: "f".to_owned(), ..host.lines_file("file", Some("m")) }];
    let play = Play::with(&host, locks, Vec::new(), files);
    let holder = play.start("holder", &["lock:m", "await:go", "append:f:m", "unlock:m"]);
    until_expired(&host, &play, "m");
    play.run("setter", &["set:go"]);
    let lines = holder.ends_well();
    // The lock does not know any more whose hold it was that was taken away; both words say that nothing was written.
    assert!(["append:f:m=fenced", "append:f:m=lock-required(m)"].contains(&lines[2].as_str()), "{lines:?}");
    assert_eq!(lines[3], "unlock:m=lost(expired)");
    assert!(log_of(&host.path("file")).is_empty());
    assert_eq!(play.run("next", &["lock:m"]), ["lock:m=clean"]);
}
