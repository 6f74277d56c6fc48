//! Whatever a process does at a primitive when it ends, and however it ends, the others go on as `wit/` says.
//!
//! [`HOLDING`] has what can be held, [`WAITING`] what can be waited for. Each is played with every way to end that there is
//! at that moment: a process that is parked can be killed and can run out of time; to trap or to take too much memory it has
//! to run. What the processes do is in the table, as steps of the program `die_steps`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{
    AfterDeath, Delivery, EndCause, Limits, LockConfig, LockKind, LockSpec, Parties, ProcessId, QueueConfig,
    SemaphoreKind,
};
use lockkeeper_tests::{Actor, Play, TestHost, comes_true, configured, thing, until};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Trap,
    Kill,
    TimeLimit,
    Memory,
}

impl Way {
    fn cause(self) -> EndCause {
        match self {
            Self::Trap => EndCause::Trapped,
            Self::Kill => EndCause::Killed,
            Self::TimeLimit | Self::Memory => EndCause::Limit,
        }
    }

    fn is(self, outcome: &Outcome) -> bool {
        match self {
            Self::Trap => matches!(outcome, Outcome::Trapped { .. }),
            Self::Kill => *outcome == Outcome::Killed,
            Self::TimeLimit => matches!(outcome, Outcome::TimedOut { .. }),
            Self::Memory => matches!(outcome, Outcome::OutOfMemory { .. }),
        }
    }

    fn limits(self, timeout: Duration) -> Limits {
        Limits {
            timeout: (self == Self::TimeLimit).then_some(timeout),
            // Soon used up.
            memory_bytes_max: if self == Self::Memory { 8 << 20 } else { Limits::default().memory_bytes_max },
            ..Limits::default()
        }
    }
}

/// A job for these names, each of which stands for one kind in all of these tests.
fn things(names: &str) -> Vec<LockSpec> {
    let items =
        |items_max| QueueConfig { items_max, bytes_max: 100, delivery: Delivery::Acknowledged { unfinished_max: 10 } };
    let kind = |name: &str| match name {
        "m" => LockKind::Mutex,
        "r" => LockKind::RLock,
        "w" => LockKind::RwLock,
        "o" => LockKind::Semaphore(SemaphoreKind::Owned { permits: 2 }),
        "s" => LockKind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: None }),
        "one" => LockKind::Semaphore(SemaphoreKind::Signal { permits: 1, maximum: None }),
        "n" => LockKind::Once,
        "c" => LockKind::Condition { lock: "m".to_owned() },
        "cr" => LockKind::Condition { lock: "r".to_owned() },
        "e" | "go" | "never" => LockKind::Event,
        "b" => LockKind::Barrier { parties: 3, parties_are: Parties::Waiting },
        "two" => LockKind::Barrier { parties: 2, parties_are: Parties::Registered },
        "three" => LockKind::Barrier { parties: 3, parties_are: Parties::Registered },
        "l" => LockKind::Latch { count: 1 },
        "q" => LockKind::Queue(items(1)),
        "Q" => LockKind::Queue(items(2)),
        _ => panic!("nothing is called `{name}`"),
    };
    names.split(' ').chain(["go", "never"]).map(|name| thing(name, kind(name))).collect()
}

/// Whether an answer is one of those that are expected, where `DEAD` is what is told of a process that ended.
fn is_one_of(answer: &str, expected: &str, how: EndCause, who: ProcessId) -> bool {
    let dead = format!("abandoned({how} {who})");
    expected.split('|').any(|expected| expected.replace("DEAD", &dead) == answer)
}

// ---- while holding ----

/// A process holds something and ends; the next one asks for it.
struct Holding {
    what: &'static str,
    things: &'static str,
    holds: &'static [&'static str],
    /// What the next one does, and what it is answered; the last step is the one that waits.
    next: &'static [(&'static str, &'static str)],
    /// Where it waits meanwhile.
    at: Option<&'static str>,
    /// Whether the two have to meet before one of them can hold anything.
    together: bool,
    /// How many holds are taken away from the dead.
    taken: usize,
}

impl Holding {
    const fn new(
        what: &'static str,
        things: &'static str,
        holds: &'static [&'static str],
        next: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { what, things, holds, next, at: Some(things), together: false, taken: 1 }
    }
}

const HOLDING: &[Holding] = &[
    Holding::new("a mutex", "m", &["lock:m"], &[("lock:m", "DEAD")]),
    Holding::new("an rlock, three times", "r", &["rlock:r", "rlock:r", "rlock:r"], &[("rlock:r", "DEAD")]),
    Holding::new("a rwlock, writing, before a writer", "w", &["write:w"], &[("write:w", "DEAD")]),
    Holding::new("a rwlock, writing, before a reader", "w", &["write:w"], &[("read:w", "DEAD")]),
    Holding::new("a rwlock, writing after an upgrade", "w", &["read:w", "upgrade:w"], &[("write:w", "DEAD")]),
    Holding::new("a rwlock, reading: it spoils nothing", "w", &["read:w", "read:w"], &[("write:w", "clean")]),
    Holding::new("all permits", "o", &["take:o:2"], &[("take:o:2", "ok")]),
    Holding::new("the turn of a once", "n", &["begin:n"], &[("begin:n", "DEAD"), ("complete:n", "ok")]),
    Holding::new("an item", "q", &["put:q:x", "get:q"], &[("get:q", "x returned 1")]).taking(0),
    Holding {
        at: Some("m"),
        ..Holding::new("several locks", "m r", &["multi:m,r"], &[("multi:m,r", "DEAD DEAD")]).taking(2)
    },
    // The next one comes before, and meets it once.
    Holding {
        together: true,
        ..Holding::new(
            "a place among the parties of a barrier",
            "two",
            &["meet:two"],
            &[("meet:two", "0|1"), ("meet:two", "broken(party-ended)"), ("meet:two", "broken(party-ended)")],
        )
        .taking(0)
    },
    // Nobody owns these: nothing comes back, and nobody says that it does.
    Holding {
        at: None,
        ..Holding::new("a permit that nobody owns", "one", &["take:one:1"], &[("take:one:1:50", "timed-out")]).taking(0)
    },
    Holding { at: None, ..Holding::new("a latch", "l", &[], &[("count:l", "0"), ("latch:l", "ok")]).taking(0) },
    Holding { at: None, ..Holding::new("an event", "e", &["set:e"], &[("await:e", "ok")]).taking(0) },
];

impl Holding {
    const fn taking(self, taken: usize) -> Self {
        Self { taken, ..self }
    }

    fn play(&self, host: &TestHost, way: Way) {
        host.forget_events();
        let play = Play::new(host, things(self.things));
        let mut steps = self.holds.to_vec();
        steps.extend(match way {
            Way::Trap => &["await:go", "trap"][..],
            Way::Memory => &["await:go", "memory"],
            Way::Kill | Way::TimeLimit => &["await:never"],
        });
        // Whether the next one comes before that time is over makes no difference to it.
        let victim = play.start_with("victim", &steps, way.limits(Duration::from_millis(100)));
        let asks: Vec<&str> = self.next.iter().map(|(step, _)| *step).collect();
        let holds = || self.holds.iter().for_each(|step| drop(victim.answer(step)));
        if !self.together && way != Way::TimeLimit {
            holds();
        } else if !self.together {
            until("it holds", || victim.lines.all().len() >= self.holds.len());
        }
        let next = play.start("next", &asks);
        if self.together {
            holds();
        }
        if way != Way::TimeLimit {
            if let Some(at) = self.at {
                play.until_queue(at, 1);
            }
            match way {
                Way::Kill => victim.kill(),
                _ => drop(play.run("setter", &["set:go"])),
            }
        }
        let what = self.what;
        let exit = victim.ends();
        assert!(way.is(&exit.outcome), "{what}: {}", exit.outcome);
        let answers = next.ends_well();
        assert_eq!(answers.len(), self.next.len(), "{what}, {way:?}: {answers:?}");
        for (line, (step, expected)) in answers.iter().zip(self.next) {
            let answer = line.strip_prefix(&format!("{step}=")).expect("the steps are answered in their order");
            assert!(is_one_of(answer, expected, way.cause(), exit.id), "{what}, {way:?}: {line}");
        }
        let taken: Vec<EndCause> = host
            .events()
            .iter()
            .filter_map(|event| match event {
                Event::HoldEnded { process, how, .. } if *process == exit.id => Some(*how),
                _ => None,
            })
            .collect();
        assert_eq!(taken, vec![way.cause(); self.taken], "{what}, {way:?}");
    }
}

fn die_holding(way: Way) {
    let host = TestHost::new();
    HOLDING.iter().for_each(|holding| holding.play(&host, way));
}

#[test]
fn trap_while_holding_lets_the_next_one_go_on() {
    die_holding(Way::Trap);
}

#[test]
fn kill_while_holding_lets_the_next_one_go_on() {
    die_holding(Way::Kill);
}

#[test]
fn time_limit_while_holding_lets_the_next_one_go_on() {
    die_holding(Way::TimeLimit);
}

#[test]
fn memory_limit_while_holding_lets_the_next_one_go_on() {
    die_holding(Way::Memory);
}

// ---- while waiting, and at the instant of the grant ----

/// A process waits for something, another one behind it; one of the two gets it, or both.
struct Waiting {
    what: &'static str,
    things: &'static str,
    /// What makes them wait, and what ends it.
    opener: (&'static [&'static str], &'static [&'static str]),
    victim: &'static [&'static str],
    /// The last of its steps is the one that waits.
    survivor: &'static [&'static str],
    /// Where each of them waits.
    at: (&'static str, &'static str),
    /// What the survivor is answered if the victim has ended before: as if it had never been there, or that it is gone.
    without: &'static str,
    /// How many wait with the victim gone, and where.
    left: (&'static str, usize),
    /// What it may be answered if the victim ends at the instant of its grant.
    at_grant: &'static str,
    /// What lets the survivor go on if what came once went to the victim, and may come once more without harm.
    help: &'static [&'static str],
    /// What can be seen at last if the victim has ended before.
    at_last: &'static [(&'static str, &'static str)],
}

impl Waiting {
    const fn new(
        what: &'static str,
        at: &'static str,
        opener: (&'static [&'static str], &'static [&'static str]),
        steps: &'static [&'static str],
        without: &'static str,
        at_grant: &'static str,
    ) -> Self {
        Self {
            what,
            things: at,
            opener,
            victim: steps,
            survivor: steps,
            at: (at, at),
            without,
            left: (at, 1),
            at_grant,
            help: &[],
            at_last: &[],
        }
    }
}

const WAITING: &[Waiting] = &[
    Waiting::new("a mutex", "m", (&["lock:m"], &["unlock:m"]), &["lock:m"], "clean", "clean|DEAD"),
    Waiting::new("an rlock", "r", (&["rlock:r"], &["runlock:r"]), &["rlock:r"], "clean", "clean|DEAD"),
    Waiting::new("a write", "w", (&["read:w"], &["unread:w"]), &["write:w"], "clean", "clean|DEAD"),
    Waiting::new("a read", "w", (&["write:w"], &["unwrite:w"]), &["read:w"], "clean", "clean"),
    Waiting {
        victim: &["read:w", "upgrade:w"],
        ..Waiting::new("an upgrade", "w", (&["read:w"], &["unread:w"]), &["write:w"], "clean", "clean|DEAD")
    },
    Waiting::new("owned permits", "o", (&["take:o:1"], &["give:o:1"]), &["take:o:2"], "ok", "ok"),
    Waiting {
        help: &["give:s:1"],
        ..Waiting::new("a permit that nobody owns", "s", (&[], &["give:s:1"]), &["take:s:1"], "ok", "ok")
    },
    Waiting::new("the turn", "n", (&["begin:n"], &["giveup:n"]), &["begin:n"], "clean", "clean|DEAD"),
    Waiting::new("a once to be done", "n", (&["begin:n"], &["complete:n"]), &["begin:n"], "done", "done"),
    // It has the first of them while it waits for the second, and that hold ends with it as any other does.
    Waiting {
        things: "m r",
        at: ("r", "m"),
        left: ("r", 1),
        ..Waiting::new(
            "several locks",
            "m",
            (&["rlock:r"], &["runlock:r"]),
            &["multi:m,r"],
            "DEAD clean",
            "DEAD clean|DEAD DEAD",
        )
    },
    Waiting {
        things: "m c",
        help: &["lock:m", "notify:c:1", "unlock:m"],
        ..Waiting::new(
            "a notification, with a mutex",
            "c",
            (&[], &["lock:m", "notify:c:1", "unlock:m"]),
            &["lock:m", "wait:c:m"],
            "notified clean",
            "notified clean|notified DEAD",
        )
    },
    Waiting {
        things: "r cr",
        help: &["rlock:r", "notify:cr:1", "runlock:r"],
        ..Waiting::new(
            "a notification, with an rlock",
            "cr",
            (&[], &["rlock:r", "notify:cr:1", "runlock:r"]),
            &["rlock:r", "rlock:r", "rwait:cr:r"],
            "notified clean",
            "notified clean|notified DEAD",
        )
    },
    Waiting::new("an event", "e", (&[], &["set:e"]), &["await:e"], "ok", "ok"),
    Waiting {
        left: ("b", 0),
        ..Waiting::new(
            "the parties",
            "b",
            (&[], &["meet:b"]),
            &["meet:b"],
            "broken(party-ended)",
            "0|1|broken(party-ended)",
        )
    },
    Waiting {
        left: ("three", 0),
        ..Waiting::new(
            "the registered parties",
            "three",
            (&[], &["meet:three"]),
            &["meet:three"],
            "broken(party-ended)",
            "0|1|broken(party-ended)",
        )
    },
    Waiting::new("a latch", "l", (&[], &["count:l"]), &["latch:l"], "ok", "ok"),
    Waiting {
        victim: &["put:q:v"],
        survivor: &["put:q:s"],
        help: &["get:q", "done:q"],
        at_last: &[("get:q", "s returned 0")],
        ..Waiting::new("room for an item", "q", (&["put:q:x"], &["get:q", "done:q"]), &[], "ok", "ok")
    },
    Waiting::new("an item", "q", (&[], &["put:q:x"]), &["get:q"], "x returned 0", "x returned 0|x returned 1"),
    Waiting::new("all items", "Q", (&["put:Q:x", "get:Q"], &["done:Q"]), &["join:Q"], "ok", "ok"),
];

/// The processes of a round, both waiting.
struct Round<'a> {
    play: Play<'a>,
    opener: Actor,
    victim: Actor,
    survivor: Actor,
    /// When the victim was started.
    since: Instant,
}

impl Waiting {
    /// Sets the stage. None if the victim's time was over before the survivor waited.
    fn begin<'a>(&self, play: Play<'a>, limits: Limits, then: &[&str], last: &[&str]) -> Option<Round<'a>> {
        let (opens, releases) = self.opener;
        let steps: Vec<&str> = opens.iter().chain(&["await:go"]).chain(releases).chain(last).copied().collect();
        let opener = play.start("opener", &steps);
        opens.iter().for_each(|step| drop(opener.answer(step)));
        let since = Instant::now();
        let victim = play.start_with("victim", &[self.victim, then].concat(), limits);
        let (at, behind) = self.at;
        let ended = || victim.process.try_join().is_some();
        assert!(comes_true(|| play.queue(at) == 1 || ended()), "{}: the victim does not wait", self.what);
        let survivor = play.start("survivor", self.survivor);
        let both = if at == behind { 2 } else { 1 };
        assert!(comes_true(|| play.queue(behind) == both || ended()), "{}: the survivor does not wait", self.what);
        if ended() {
            [opener, victim, survivor].iter().for_each(Actor::kill);
            return None;
        }
        Some(Round { play, opener, victim, survivor, since })
    }

    /// What the survivor was answered in its last step.
    fn answer(&self, survivor: &Actor) -> String {
        let lines = survivor.ends_well();
        let step = self.survivor.last().expect("it takes a step");
        let last = lines.last().expect("it said something");
        last.strip_prefix(&format!("{step}=")).expect("the last line is the last step's").to_owned()
    }

    fn play_waiting(&self, host: &TestHost, way: Way) {
        let what = self.what;
        let mut limit = Duration::from_millis(40);
        let round = loop {
            if let Some(round) = self.begin(Play::new(host, things(self.things)), way.limits(limit), &[], &[]) {
                break round;
            }
            limit *= 2;
        };
        let Round { play, opener, victim, survivor, .. } = round;
        if way == Way::Kill {
            victim.process.kill();
        }
        let exit = victim.ends();
        assert!(way.is(&exit.outcome), "{what}: {}", exit.outcome);
        let (at, left) = self.left;
        play.until_queue(at, left);
        play.run("setter", &["set:go"]);
        let answer = self.answer(&survivor);
        assert!(is_one_of(&answer, self.without, way.cause(), exit.id), "{what}, {way:?}: {answer}");
        opener.ends_well();
        let (steps, expected): (Vec<&str>, Vec<String>) =
            self.at_last.iter().map(|(step, answer)| (*step, format!("{step}={answer}"))).unzip();
        assert_eq!(play.run("last", &steps), expected, "{what}");
    }

    /// One round in which the victim ends at about the instant of its grant. Answers what the survivor was told.
    fn play_grant(&self, host: &TestHost, way: Way, spread: bool, number: u32) -> String {
        let what = self.what;
        let then: &[&str] = match way {
            Way::Trap => &["trap"],
            Way::Memory => &["memory"],
            Way::Kill | Way::TimeLimit => &["await:never"],
        };
        // Where all live on one core, who releases keeps it for a moment: the victim has been told and has not come yet.
        let last: &[&str] = if spread { &[] } else { &["compute:1"] };
        let mut limit = Duration::from_millis(20);
        let round = loop {
            let play = Play::new(host, things(self.things));
            let play = if spread { play.spread() } else { play };
            if let Some(round) = self.begin(play, way.limits(limit), then, last) {
                break round;
            }
            limit *= 2;
        };
        let Round { play, opener, victim, survivor, since } = round;
        if way == Way::TimeLimit {
            // The limit is counted in ticks of a millisecond; a setter takes about half of one to start.
            let early =
                Duration::from_micros(1_500).saturating_sub(Duration::from_micros(u64::from(number % 16) * 150));
            spin_until(since + limit - early);
        }
        let setter = play.start("setter", &["set:go"]);
        if way == Way::Kill {
            opener.answer("await:go");
            spin_until(Instant::now() + Duration::from_micros(u64::from(number % 16) * 10));
            victim.process.kill();
        }
        setter.ends_well();
        opener.ends_well();
        let exit = victim.ends();
        assert!(way.is(&exit.outcome), "{what}: {}", exit.outcome);
        if !self.help.is_empty() {
            play.run("helper", self.help);
        }
        let answer = self.answer(&survivor);
        assert!(is_one_of(&answer, self.at_grant, way.cause(), exit.id), "{what}, {way:?}: {answer}");
        answer.split('(').next().unwrap_or_default().to_owned()
    }
}

fn spin_until(at: Instant) {
    while Instant::now() < at {
        std::hint::spin_loop();
    }
}

fn die_waiting(way: Way) {
    let host = TestHost::new();
    WAITING.iter().for_each(|waiting| waiting.play_waiting(&host, way));
}

#[test]
fn kill_while_waiting_leaves_no_trace_but_at_a_barrier() {
    die_waiting(Way::Kill);
}

#[test]
fn time_limit_while_waiting_leaves_no_trace_but_at_a_barrier() {
    die_waiting(Way::TimeLimit);
}

/// Rounds for each row; so many that each fate is met where there are several.
fn rounds(ordinary: u32) -> u32 {
    if std::env::var_os("LONG").is_some() { ordinary * 20 } else { ordinary }
}

fn die_at_grant(way: Way, ordinary: u32) {
    for (shards, spread) in [(1, false), (2, true)] {
        let host = TestHost::with_shards(shards);
        for waiting in WAITING {
            host.forget_events();
            let mut answers = BTreeMap::new();
            for number in 0..rounds(ordinary) {
                *answers.entry(waiting.play_grant(&host, way, spread, number)).or_insert(0) += 1;
            }
            println!("{shards} shard(s), {way:?}, {}: {answers:?}", waiting.what);
        }
    }
}

#[test]
fn kill_at_the_instant_of_the_grant_keeps_nobody_waiting() {
    die_at_grant(Way::Kill, 16);
}

#[test]
fn time_limit_at_the_instant_of_the_grant_keeps_nobody_waiting() {
    die_at_grant(Way::TimeLimit, 4);
}

#[test]
fn trap_right_after_the_grant_keeps_nobody_waiting() {
    die_at_grant(Way::Trap, 2);
}

#[test]
fn memory_limit_right_after_the_grant_keeps_nobody_waiting() {
    die_at_grant(Way::Memory, 2);
}

// ---- between notify and wake ----

/// Whoever was notified waits for the lock, which the notifier has still, and ends. The notification is not lost.
fn die_notified(way: Way) {
    let host = TestHost::new();
    for (names, condition, lock, waits, notifies) in [
        ("m c", "c", "m", &["lock:m", "wait:c:m"][..], ["lock:m", "notify:c:1", "await:go", "unlock:m"]),
        ("r cr", "cr", "r", &["rlock:r", "rlock:r", "rwait:cr:r"], ["rlock:r", "notify:cr:1", "await:go", "runlock:r"]),
    ] {
        let mut limit = Duration::from_millis(40);
        loop {
            let play = Play::new(&host, things(names));
            let victim = play.start_with("victim", waits, way.limits(limit));
            let ended = || victim.process.try_join().is_some();
            until("the victim waits", || play.queue(condition) == 1 || ended());
            let survivor = play.start("survivor", waits);
            until("the survivor waits", || play.queue(condition) == 2 || ended());
            if ended() {
                survivor.kill();
                limit *= 2;
                continue;
            }
            let notifier = play.start("notifier", &notifies);
            assert_eq!(notifier.answer(notifies[1]), "1");
            // Where time runs out it may do so before the notification.
            until("the victim waits for the lock", || play.queue(lock) == 1);
            if way == Way::Kill {
                assert_eq!(play.queue(condition), 1);
                victim.process.kill();
            }
            assert!(way.is(&victim.ends().outcome));
            // Who gets it next waits for the lock in its turn.
            until("the notification was passed on", || play.queue(condition) == 0 && play.queue(lock) == 1);
            play.run("setter", &["set:go"]);
            notifier.ends_well();
            assert_eq!(survivor.ends_well().last(), Some(&format!("{}=notified clean", waits[waits.len() - 1])));
            break;
        }
    }
}

#[test]
fn notification_of_who_is_killed_before_it_wakes_passes_to_the_next() {
    die_notified(Way::Kill);
}

#[test]
fn notification_of_whose_time_is_over_before_it_wakes_passes_to_the_next() {
    die_notified(Way::TimeLimit);
}

// ---- what the job says for after a death ----

/// The steps of the three kinds of locks that can be left half-written.
const EXCLUSIVE: [(&str, [&str; 3]); 3] = [
    ("m", ["lock:m", "unlock:m", "consistent:m"]),
    ("r", ["rlock:r", "runlock:r", "rconsistent:r"]),
    ("w", ["write:w", "unwrite:w", "wconsistent:w"]),
];

/// A job whose locks have this policy, after a process has died that held `lock`: how it did is the last answer of
/// whoever comes next.
fn after_death<'a>(host: &'a TestHost, after_death: AfterDeath, acquire: &str) -> (Play<'a>, ProcessId) {
    let locks = things("m r w c")
        .into_iter()
        .map(|lock| configured(&lock.name, lock.kind, LockConfig { after_death, ..LockConfig::default() }))
        .collect();
    let play = Play::new(host, locks);
    let dead = play.start("dead", &[acquire, "trap"]);
    let id = dead.ends().id;
    (play, id)
}

fn line(step: &str, answer: &str) -> String {
    format!("{step}={answer}")
}

#[test]
fn flag_is_told_once() {
    let host = TestHost::new();
    for (_, [acquire, release, _]) in EXCLUSIVE {
        let (play, dead) = after_death(&host, AfterDeath::Flag, acquire);
        assert_eq!(play.run("next", &[acquire, release])[0], line(acquire, &format!("abandoned(trapped {dead})")));
        assert_eq!(play.run("after", &[acquire, release])[0], line(acquire, "clean"));
    }
}

#[test]
fn ignored_death_is_told_to_nobody() {
    let host = TestHost::new();
    for (_, [acquire, release, _]) in EXCLUSIVE {
        let (play, _) = after_death(&host, AfterDeath::Ignore, acquire);
        assert_eq!(play.run("next", &[acquire, release])[0], line(acquire, "clean"));
    }
}

#[test]
fn poisoned_lock_that_is_marked_consistent_goes_on_as_usual() {
    let host = TestHost::new();
    for (_, [acquire, release, mark]) in EXCLUSIVE {
        let (play, dead) = after_death(&host, AfterDeath::Poison, acquire);
        let expected = [line(acquire, &format!("abandoned(trapped {dead})")), line(mark, "ok"), line(release, "ok")];
        assert_eq!(play.run("next", &[acquire, mark, release]), expected);
        assert_eq!(play.run("after", &[acquire, release])[0], line(acquire, "clean"));
    }
}

/// Another death before the mark is one more to be told of, and no release.
#[test]
fn poisoned_lock_whose_next_owner_dies_too_tells_of_it_and_can_still_be_marked() {
    let host = TestHost::new();
    for (_, [acquire, release, mark]) in EXCLUSIVE {
        let (play, _) = after_death(&host, AfterDeath::Poison, acquire);
        let second = play.start("second", &[acquire, "trap"]).ends().id;
        let expected = [line(acquire, &format!("abandoned(trapped {second})")), line(mark, "ok"), line(release, "ok")];
        assert_eq!(play.run("third", &[acquire, mark, release]), expected);
    }
}

#[test]
fn poisoned_lock_that_is_released_without_the_mark_is_closed_to_those_who_wait_and_those_who_come() {
    let host = TestHost::new();
    for (name, [acquire, release, mark]) in EXCLUSIVE {
        let (play, dead) = after_death(&host, AfterDeath::Poison, acquire);
        let careless = play.start("careless", &[acquire, "await:go", release, acquire, mark]);
        assert_eq!(careless.answer(acquire), format!("abandoned(trapped {dead})"));
        let waiters: Vec<Actor> = (0..3).map(|_| play.start("waiter", &[acquire, release])).collect();
        play.until_queue(name, 3);
        play.run("setter", &["set:go"]);
        for waiter in waiters {
            assert_eq!(waiter.ends_well(), [line(acquire, "not-recoverable"), line(release, "not-held")]);
        }
        assert_eq!(
            careless.ends_well()[2..],
            [line(release, "ok"), line(acquire, "not-recoverable"), line(mark, "not-held")]
        );
        assert_eq!(play.run("late", &[acquire]), [line(acquire, "not-recoverable")]);
    }
}

/// Letting the lock go to wait counts as releasing it.
#[test]
fn waiting_with_a_poisoned_lock_without_the_mark_closes_it() {
    let host = TestHost::new();
    let (play, dead) = after_death(&host, AfterDeath::Poison, "lock:m");
    let expected = [line("lock:m", &format!("abandoned(trapped {dead})")), line("wait:c:m:1", "not-recoverable")];
    assert_eq!(play.run("next", &["lock:m", "wait:c:m:1"]), expected);
    let (play, _) = after_death(&host, AfterDeath::Poison, "lock:m");
    let expected = line("wait:c:m:1", "late clean");
    assert_eq!(play.run("next", &["lock:m", "consistent:m", "wait:c:m:1", "unlock:m"])[2], expected);
}

/// A reader has spoilt nothing, and what nobody holds alone is never poisoned.
#[test]
fn dead_readers_and_dead_takers_poison_nothing() {
    let host = TestHost::new();
    let poison = LockConfig { after_death: AfterDeath::Poison, ..LockConfig::default() };
    let locks = things("w o").into_iter().map(|lock| LockSpec { config: poison, ..lock }).collect();
    let play = Play::new(&host, locks);
    let dead = play.start("dead", &["read:w", "take:o:2", "trap"]);
    assert!(Way::Trap.is(&dead.ends().outcome));
    let expected = ["write:w=clean", "unwrite:w=ok", "take:o:2=ok", "give:o:2=ok", "take:o:1=ok"];
    assert_eq!(play.run("next", &["write:w", "unwrite:w", "take:o:2", "give:o:2", "take:o:1"]), expected);
}
