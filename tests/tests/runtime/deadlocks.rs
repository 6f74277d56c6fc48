//! A ring of processes, each of which holds a lock and asks for its neighbour's: one of them is told, and the others go on.

use lockkeeper::observe::Event;
use lockkeeper::{LockKind, LockSpec, SemaphoreKind};
use lockkeeper_tests::{Actor, Play, TestHost, thing, until};

const RING: usize = 8;
const ROUNDS: usize = 50;

#[test]
fn exactly_one_of_a_ring_is_refused_with_the_whole_ring_and_the_others_go_on() {
    let host = TestHost::new();
    let (program, holder) = (host.program("lock_ring"), host.program("lock_end"));
    let names: Vec<String> = (0..RING).map(|rank| format!("lock-{rank}")).collect();
    let mut locks: Vec<&str> = names.iter().map(String::as_str).collect();
    locks.extend(["gate", "never"]);
    let job = host.job(&locks);
    for _ in 0..ROUNDS {
        host.forget_events();
        // Somebody holds the gate until all of the ring hold their own lock and stand before it.
        let (gate, lines) = host.spawn(&job, &holder, &["gate", "-", "spin"], &["gate", "never"], &[]);
        lines.wait_for("holding");
        let ring: Vec<_> = (0..RING)
            .map(|rank| {
                let (own, next) = (names[rank].as_str(), names[(rank + 1) % RING].as_str());
                host.spawn(&job, &program, &[own, "gate", next], &[own, "gate", next], &[])
            })
            .collect();
        host.until_lock(&job, "gate", "the ring stands before the gate", |gate| gate.queue.len() == RING);
        gate.kill();
        let mut refused = 0;
        for (process, lines) in &ring {
            assert!(process.join_blocking().outcome.is_success(), "{:?}", lines.all());
            let last = lines.all().pop().expect("it printed");
            if let Some(circle) = last.strip_prefix("deadlock ") {
                refused += 1;
                assert_eq!(circle.split(' ').count(), RING, "the whole ring is told: {circle}");
            } else {
                assert_eq!(last, "granted");
            }
        }
        assert_eq!(refused, 1, "one victim is enough");
        let told = host.events().into_iter().filter(|event| matches!(event, Event::Deadlock { .. })).count();
        assert_eq!(told, 1);
    }
}

fn things() -> Vec<LockSpec> {
    let kinds = [
        (["m1", "m2", "m3"], LockKind::Mutex),
        (["r1", "r2", "r3"], LockKind::RLock),
        (["w1", "w2", "w3"], LockKind::RwLock),
        (["o1", "o2", "o3"], LockKind::Semaphore(SemaphoreKind::Owned { permits: 2 })),
        (["n1", "n2", "n3"], LockKind::Once),
        (["go1", "go2", "go3"], LockKind::Event),
        (["c1", "c2", "c3"], LockKind::Condition { lock: "m1".to_owned() }),
    ];
    let of_a_kind = |(names, kind): ([&'static str; 3], LockKind)| names.map(|name| thing(name, kind.clone()));
    kinds.into_iter().flat_map(of_a_kind).collect()
}

/// What the processes `a`, `b` and so on hold, and then ask for, each closing one more link; the last one closes the circle and
/// is told of it.
struct Ring {
    /// What each one does before the others begin to wait, and what it waits for.
    members: &'static [(&'static [&'static str], &'static str)],
    /// The circle that the last one is told of.
    circle: &'static str,
}

const RINGS: &[Ring] = &[
    Ring {
        members: &[(&["lock:m1"], "lock:m2"), (&["lock:m2"], "lock:m3"), (&["lock:m3"], "lock:m1")],
        circle: "c has m3 exclusive wants m1 exclusive, a has m1 exclusive wants m2 exclusive, \
                 b has m2 exclusive wants m3 exclusive",
    },
    Ring {
        members: &[(&["rlock:r1", "rlock:r1"], "rlock:r2"), (&["rlock:r2"], "rlock:r1")],
        circle: "b has r2 exclusive wants r1 exclusive, a has r1 exclusive wants r2 exclusive",
    },
    Ring {
        members: &[(&["write:w1"], "read:w2"), (&["write:w2"], "write:w1")],
        circle: "b has w2 exclusive wants w1 exclusive, a has w1 exclusive wants w2 shared",
    },
    Ring {
        members: &[(&["read:w1"], "write:w2"), (&["read:w2"], "write:w1")],
        circle: "b has w2 shared wants w1 exclusive, a has w1 shared wants w2 exclusive",
    },
    // Each waits for the other to stop reading.
    Ring {
        members: &[(&["read:w1"], "upgrade:w1"), (&["read:w1"], "upgrade:w1")],
        circle: "b has w1 shared wants w1 exclusive, a has w1 shared wants w1 exclusive",
    },
    Ring {
        members: &[(&["take:o1:2"], "take:o2:1"), (&["take:o2:2"], "take:o1:1")],
        circle: "b has o2 permits wants o1 permits, a has o1 permits wants o2 permits",
    },
    Ring {
        members: &[(&["begin:n1"], "begin:n2"), (&["begin:n2"], "begin:n1")],
        circle: "b has n2 exclusive wants n1 exclusive, a has n1 exclusive wants n2 exclusive",
    },
    // One of each kind.
    Ring {
        members: &[
            (&["lock:m1"], "rlock:r1"),
            (&["rlock:r1"], "read:w1"),
            (&["write:w1"], "take:o1:1"),
            (&["take:o1:2"], "begin:n1"),
            (&["begin:n1"], "lock:m1"),
        ],
        circle: "e has n1 exclusive wants m1 exclusive, a has m1 exclusive wants r1 exclusive, \
                 b has r1 exclusive wants w1 shared, c has w1 exclusive wants o1 permits, \
                 d has o1 permits wants n1 exclusive",
    },
];

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn last_one_of_a_ring_is_told_who_holds_and_asks_for_what_and_how() {
    let host = TestHost::new();
    for ring in RINGS {
        host.forget_events();
        let play = Play::new(&host, things());
        let (last, others) = ring.members.split_last().expect("a ring has members");
        let members: Vec<Actor> = others
            .iter()
            .zip(NAMES)
            .map(|((holds, asks), name)| {
                let steps: Vec<&str> = holds.iter().copied().chain(["await:go1", *asks]).collect();
                let member = play.start(name, &steps);
                holds.iter().for_each(|step| drop(member.answer(step)));
                member
            })
            .collect();
        let name = NAMES[others.len()];
        let steps: Vec<&str> = last.0.iter().copied().chain(["await:go2", last.1]).collect();
        let closing = play.start(name, &steps);
        last.0.iter().for_each(|step| drop(closing.answer(step)));
        play.run("setter", &["set:go1"]);
        for (_, asks) in others {
            let at = asks.split(':').nth(1).expect("a name");
            until("it waits", || play.queue(at) > 0);
        }
        play.run("setter", &["set:go2"]);
        let circle = format!("deadlock({})", ring.circle);
        assert_eq!(closing.answer(last.1), circle);
        // It ends, and all that it held goes on to the others.
        closing.ends_well();
        for member in members {
            let lines = member.ends_well();
            assert!(!lines.iter().any(|line| line.contains("deadlock")), "{lines:?}");
        }
        let told = host.events().into_iter().filter(|event| matches!(event, Event::Deadlock { .. })).count();
        assert_eq!(told, 1);
    }
}

/// Several locks at once are acquired in the order of their names. Who holds one of them and asks for another closes a circle
/// with whoever has that one already and waits for the rest.
#[test]
fn single_lock_that_crosses_several_at_once_is_a_deadlock() {
    let host = TestHost::new();
    let play = Play::new(&host, things());
    let single = play.start("single", &["lock:m2", "await:go1", "lock:m1", "unlock:m2", "await:go2"]);
    single.answer("lock:m2");
    let several = play.start("several", &["multi:m2,m1", "unmulti:m2,m1"]);
    play.until_queue("m2", 1);
    play.run("setter", &["set:go1"]);
    assert_eq!(
        single.answer("lock:m1"),
        "deadlock(single has m2 exclusive wants m1 exclusive, several has m1 exclusive wants m2 exclusive)"
    );
    // Nobody died, so both are told that all is well.
    assert_eq!(several.ends_well(), ["multi:m2,m1=clean clean", "unmulti:m2,m1=ok"]);
    play.run("setter", &["set:go2"]);
    single.ends_well();
}

/// The request that closes the circle is one of several: those that it had already are put back, and nobody is told of them.
#[test]
fn several_locks_that_close_a_circle_are_all_put_back() {
    let host = TestHost::new();
    let play = Play::new(&host, things());
    let several = play.start("several", &["lock:m3", "await:go1", "multi:m1,m2", "unlock:m3", "await:go2"]);
    several.answer("lock:m3");
    let single = play.start("single", &["lock:m2", "lock:m3", "unlock:m3", "unlock:m2"]);
    play.until_queue("m3", 1);
    play.run("setter", &["set:go1"]);
    assert_eq!(
        several.answer("multi:m1,m2"),
        "deadlock(several has m3 exclusive wants m2 exclusive, single has m2 exclusive wants m3 exclusive)"
    );
    assert_eq!(single.ends_well()[1], "lock:m3=clean");
    assert_eq!(play.run("next", &["lock:m1", "unlock:m1"])[0], "lock:m1=clean");
    play.run("setter", &["set:go2"]);
    several.ends_well();
}

/// Whoever waits at a condition has let its lock go and kept its others. When its time there is over it asks for the lock
/// again, and finds that whoever has it waits for one of the others.
#[test]
fn acquiring_the_lock_of_a_condition_again_can_close_a_circle() {
    let host = TestHost::new();
    let play = Play::new(&host, things());
    let waiter = play.start("waiter", &["lock:m2", "lock:m1", "wait:c1:m1:300", "held:m1", "unlock:m2", "await:go1"]);
    play.until_queue("c1", 1);
    let other = play.start("other", &["lock:m1", "lock:m2", "unlock:m2", "unlock:m1"]);
    play.until_queue("m2", 1);
    assert_eq!(
        waiter.answer("wait:c1:m1:300"),
        "deadlock(waiter has m2 exclusive wants m1 exclusive, other has m1 exclusive wants m2 exclusive)"
    );
    assert_eq!(waiter.answer("held:m1"), "false");
    assert_eq!(other.ends_well(), ["lock:m1=clean", "lock:m2=clean", "unlock:m2=ok", "unlock:m1=ok"]);
    play.run("setter", &["set:go1"]);
    waiter.ends_well();
}

/// The same with a notification: it passes on to the next who waits, as the one that had it did not come back.
#[test]
fn notification_of_whom_a_deadlock_keeps_from_its_lock_is_not_lost() {
    let host = TestHost::new();
    let play = Play::new(&host, things());
    let waiter = play.start("waiter", &["lock:m2", "lock:m1", "wait:c1:m1", "unlock:m2", "await:go1"]);
    play.until_queue("c1", 1);
    let second = play.start("second", &["lock:m1", "wait:c1:m1", "unlock:m1"]);
    play.until_queue("c1", 2);
    let other = play.start("other", &["lock:m1", "notify:c1:1", "lock:m2", "unlock:m1", "await:go1"]);
    // Whichever of the two asks last is told, and the other one goes on.
    assert_eq!(other.answer("notify:c1:1"), "1");
    let told = other.answer("lock:m2");
    if told == "clean" {
        assert!(waiter.answer("wait:c1:m1").starts_with("deadlock(waiter has m2 exclusive wants m1 exclusive, other"));
        assert_eq!(second.ends_well()[1], "wait:c1:m1=notified clean");
    } else {
        assert!(told.starts_with("deadlock(other has m1 exclusive wants m2 exclusive, waiter"), "{told}");
        assert_eq!(waiter.answer("wait:c1:m1"), "notified clean");
        second.kill();
    }
    play.run("setter", &["set:go1"]);
    other.ends_well();
    waiter.ends_well();
}

/// Nobody owns these, so whoever waits for one may still be helped.
#[test]
fn ring_over_what_nobody_owns_is_no_deadlock() {
    let host = TestHost::new();
    let mut locks = things();
    locks.push(thing("s1", LockKind::Semaphore(SemaphoreKind::Signal { permits: 1, maximum: None })));
    locks.push(thing("s2", LockKind::Semaphore(SemaphoreKind::Signal { permits: 1, maximum: None })));
    let play = Play::new(&host, locks);
    let one = play.start("one", &["take:s1:1", "await:go1", "take:s2:1"]);
    let two = play.start("two", &["take:s2:1", "await:go1", "take:s1:1"]);
    play.until_queue("go1", 2);
    play.run("setter", &["set:go1"]);
    play.until_queue("s1", 1);
    play.until_queue("s2", 1);
    play.run("helper", &["give:s1:1"]);
    assert_eq!(two.ends_well()[2], "take:s1:1=ok");
    play.run("helper", &["give:s2:1"]);
    assert_eq!(one.ends_well()[2], "take:s2:1=ok");
}
