//! Host code that takes the same locks and appends to the same files as guests.

use std::future::IntoFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use lockkeeper::observe::Event;
use lockkeeper::{
    ClaimError, Content, Durability, EndCause, Format, HostAppendError, JobSpec, LockError, LockKind, LockSpec,
    Outcome, Previous, ReleaseError, SemaphoreKind,
};
use lockkeeper_tests::{Play, TestHost, join, log_of, thing, until};

#[test]
fn threads_and_tasks_exclude_each_other() {
    let host = TestHost::with_shards(1);
    let job = host.job(&["work"]);
    let (inside, most, count) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let once = || {
        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
        count.fetch_add(1, Ordering::SeqCst);
    };
    thread::scope(|scope| {
        for number in 0..4 {
            let (job, once) = (&job, &once);
            scope.spawn(move || {
                let mut locks = job.locks(&format!("thread-{number}"));
                for _ in 0..500 {
                    let hold = locks.acquire("work").blocking().expect("it comes");
                    once();
                    drop(hold);
                }
            });
            scope.spawn(move || {
                let mut locks = job.locks(&format!("task-{number}"));
                block_on(async {
                    for _ in 0..500 {
                        let hold = locks.acquire("work").await.expect("it comes");
                        once();
                        hold.release().expect("it is held");
                    }
                });
            });
        }
    });
    assert_eq!((most.into_inner(), count.into_inner()), (1, 4_000));
    assert!(job.inspect_lock("work").expect("a lock").holders.is_empty());
}

#[test]
fn futures_cross_threads_of_any_runtime() {
    let host = TestHost::with_shards(1);
    let job = host.runtime().job(JobSpec {
        locks: vec![LockSpec::new("work")],
        files: vec![host.lines_file("log", Some("work"))],
        ..JobSpec::default()
    });
    let job = job.expect("a job");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    // No clock and no driver of that runtime is needed, and every future goes to whichever thread is free.
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let mut locks = job.locks(&format!("task-{number}"));
            runtime.spawn(async move {
                for round in 0..50 {
                    let hold = locks.acquire("work").within(Duration::from_secs(100)).await.expect("it comes");
                    let line = format!("{number} {round}");
                    let appended = locks.append("log", line.as_str()).under(&hold).await.expect("it is held");
                    assert!(!appended.synced);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| block_on(task).expect("no panic"));
    assert_eq!(job.position("log").expect("a file").records, 400);

    fn is_send<T: Send>(it: T) -> T {
        it
    }
    let mut locks = job.locks("a look");
    drop(is_send(locks.sync("log")));
    drop(is_send(locks.acquire("work").into_future()));
    drop(is_send(locks.append("log", "x").into_future()));
    drop(is_send(locks));
}

#[test]
fn a_wait_ends_at_its_time_and_leaves_the_queue() {
    let host = TestHost::with_shards(1);
    let job = host.job(&["work"]);
    let [mut first, mut second] = ["first", "second"].map(|name| job.locks(name));
    let hold = first.acquire("work").blocking().expect("it is free");
    // No process is there, so the host's clock rests until somebody needs it.
    for _ in 0..3 {
        let asked = Instant::now();
        let timed_out = second.acquire("work").within(Duration::from_millis(20)).blocking();
        assert!(matches!(timed_out, Err(LockError::TimedOut { .. })), "{timed_out:?}");
        assert!(asked.elapsed() >= Duration::from_millis(20));
    }
    let at_once = block_on(second.acquire("work").within(Duration::ZERO).into_future());
    assert!(matches!(at_once, Err(LockError::TimedOut { .. })));
    assert!(second.acquire("work").now().expect("it is a lock").is_none());
    // A future that is dropped leaves the queue too.
    block_on(async {
        let mut waiting = second.acquire("work").into_future();
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(job.inspect_lock("work").expect("a lock").queue.len(), 1);
    });
    assert!(job.inspect_lock("work").expect("a lock").queue.is_empty());
    drop(hold);
    assert!(second.acquire("work").now().expect("it is a lock").is_some());
}

#[test]
fn a_circle_through_host_code_is_refused_at_once_and_named() {
    let host = TestHost::with_shards(1);
    let job = host.job(&["a", "b"]);
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));
    let a = one.acquire("a").blocking().expect("it is free");
    let b = two.acquire("b").blocking().expect("it is free");
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let hold = one.acquire("b").blocking().expect("it comes");
            drop((hold, a));
        });
        host.until_lock(&job, "b", "one waits", |view| view.queue.len() == 1);
        let Err(LockError::Deadlock { circle }) = two.acquire("a").blocking() else { panic!("that is a circle") };
        let names: Vec<_> =
            circle.iter().map(|link| (&*link.name, link.holds.as_str(), link.waits_for.as_str())).collect();
        assert_eq!(names, [("two", "b", "a"), ("one", "a", "b")]);
        drop(b);
        waiting.join().expect("no panic");
    });
    // The smallest circle: what one has already.
    let mut again = job.locks("again");
    let hold = again.acquire("a").blocking().expect("it is free");
    assert!(matches!(again.acquire("a").blocking(), Err(LockError::Deadlock { .. })));
    drop(hold);
}

#[test]
fn every_kind_that_can_be_held_is_and_no_other() {
    let host = TestHost::with_shards(1);
    let kinds = [
        ("rlock", LockKind::RLock),
        ("rwlock", LockKind::RwLock),
        ("semaphore", LockKind::Semaphore(SemaphoreKind::Owned { permits: 3 })),
        ("event", LockKind::Event),
    ];
    let locks = kinds.map(|(name, kind)| LockSpec { kind, ..LockSpec::new(name) }).into();
    let job = host.runtime().job(JobSpec { locks, ..JobSpec::default() }).expect("a job");
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));

    let (outer, inner) = (one.acquire("rlock").now(), one.acquire("rlock").now());
    let (outer, inner) = (outer.expect("a lock").expect("free"), inner.expect("a lock").expect("its own"));
    inner.release().expect("it is held");
    assert!(two.acquire("rlock").now().expect("a lock").is_none(), "one level is left");
    outer.release().expect("it is held");
    drop(two.acquire("rlock").now().expect("a lock").expect("free"));

    let read = one.acquire("rwlock").shared().blocking().expect("free");
    let also = two.acquire("rwlock").shared().blocking().expect("read together");
    drop(read);
    assert!(one.acquire("rwlock").now().expect("a lock").is_none(), "it is being read");
    drop(also);
    drop(one.acquire("rwlock").now().expect("a lock").expect("free"));

    let most = one.acquire("semaphore").permits(2).blocking().expect("free");
    let last = two.acquire("semaphore").blocking().expect("one is left");
    assert!(two.acquire("semaphore").now().expect("a semaphore").is_none());
    drop((most, last));
    drop(two.acquire("semaphore").permits(3).now().expect("a semaphore").expect("all are back"));

    for (lock, told) in [
        ("event", "the event `event` cannot be acquired in this way"),
        ("rlock", "the rlock `rlock` cannot be acquired in this way"),
        ("nothing", "the job has no lock `nothing`"),
    ] {
        assert_eq!(one.acquire(lock).shared().blocking().expect_err("it cannot").to_string(), told);
    }
    assert!(matches!(one.acquire("semaphore").permits(0).now(), Err(LockError::Unfit { .. })));
}

#[test]
fn a_hold_that_is_taken_away_writes_no_more() {
    let host = TestHost::with_shards(1);
    let job = host.job_with_files(&["work"], vec![host.lines_file("log", Some("work"))]);
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));
    let early = one.append("log", "too early").blocking();
    let early = early.expect_err("nothing is held");
    assert!(matches!(early, HostAppendError::Unheld { source: ClaimError::LockRequired, .. }), "{early:?}");
    assert_eq!(
        early.to_string(),
        "`log` needs the lock `work`, and nothing was written: the lock is not held by the caller"
    );
    let old = one.acquire("work").blocking().expect("it is free");
    one.append("log", "in time").under(&old).blocking().expect("it is held");
    one.append("log", "in time too").blocking().expect("whatever hold there is counts");
    let foreign = two.append("log", "with a borrowed hold").under(&old).blocking();
    assert!(matches!(foreign, Err(HostAppendError::NotMyHold { ref lock }) if lock == "work"), "{foreign:?}");
    assert_eq!(job.revoke("work", None), Some(old.fence()));
    let late = one.append("log", "too late").under(&old).blocking();
    assert!(matches!(late, Err(HostAppendError::Unheld { source: ClaimError::Fenced { .. }, .. })), "{late:?}");
    let new = two.acquire("work").blocking().expect("it is free");
    assert_eq!(new.previous(), Previous::Abandoned { how: EndCause::Expired, who: owner(one.id()) });
    two.append("log", "the next").under(&new).blocking().expect("it is held");
    assert!(matches!(old.release(), Err(ReleaseError::Lost { how: EndCause::Expired })));
    // It is told once; from here on it may ask again.
    drop(new);
    let again = one.acquire("work").blocking().expect("it is free");
    one.append("log", "again").durability(Durability::Synced).under(&again).blocking().expect("it is held");
    one.sync_blocking("log").expect("the disk is well");
    assert_eq!(log_of(&host.path("log")), b"in time\nin time too\nthe next\nagain\n");
}

fn owner(id: lockkeeper::ProcessId) -> lockkeeper::OwnerId {
    lockkeeper::OwnerId::new(id.get())
}

#[test]
fn a_panic_tells_the_next_owner_and_a_guest_is_told_as_well() {
    let host = TestHost::with_shards(1);
    let job = host.job(&["work"]);
    thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let mut locks = job.locks("careless");
            let _hold = locks.acquire("work").blocking().expect("it is free");
            panic!("the test wants it");
        });
        panicking.join().expect_err("it panicked");
    });
    let mut next = job.locks("next");
    let hold = next.acquire("work").blocking().expect("it is free");
    assert!(matches!(hold.previous(), Previous::Abandoned { how: EndCause::Trapped, .. }));
    hold.mark_consistent().expect("it is held");
    drop(hold);
    assert_eq!(next.acquire("work").blocking().expect("it is free").previous(), Previous::Clean);
}

#[test]
fn guests_and_host_code_wait_for_each_other() {
    let host = TestHost::new();
    let job = host.job_with_files(&["work"], vec![host.file("log", Format::Framed, Some("work"))]);
    let mut mine = job.locks("host code");
    let hold = mine.acquire("work").blocking().expect("it is free");
    let program = host.program("lock_append");
    let args = ["work", "log", "50", "1"];
    let guests = [(); 3].map(|()| host.spawn(&job, &program, &args, &["work"], &["log"]).0);
    host.until_lock(&job, "work", "three wait", |view| view.queue.len() == 3);
    // All processes wait, and yet the job does not stand still: host code has what they wait for.
    assert!(job.stall().is_none());
    mine.append("log", b"first").under(&hold).blocking().expect("it is held");
    drop(hold);
    for _ in 0..50 {
        let hold = mine.acquire("work").blocking().expect("it comes");
        mine.append("log", Content::batch(&[b"one", b"two"])).under(&hold).blocking().expect("it is held");
    }
    assert!(guests.iter().all(|guest| join(guest).outcome == Outcome::Returned));
    assert_eq!(job.position("log").expect("a file").records, 1 + 100 + 150);
    // They are told of by the same events.
    let events = host.events();
    let granted =
        |of| events.iter().filter(|event| matches!(event, Event::Granted { process, .. } if *process == of)).count();
    assert_eq!(granted(mine.id()), 51);
}

#[test]
fn a_job_stands_still_if_host_code_holds_nothing_or_waits_as_well() {
    let host = TestHost::with_shards(1);
    let play = Play::new(&host, vec![thing("work", LockKind::Mutex), thing("never", LockKind::Event)]);
    let mut mine = play.job().locks("host code");
    let waiting = play.start("waiter", &["await:never"]);
    host.until_lock(play.job(), "never", "it waits", |view| view.queue.len() == 1);
    let mut other = play.job().locks("other host code");
    let hold = mine.acquire("work").blocking().expect("it is free");
    assert!(play.job().stall().is_none(), "host code holds something");
    // One of the two waits with a limit, and will go on; the other one for ever, but for who holds what it waits for.
    thread::scope(|scope| {
        let second = scope.spawn(move || other.acquire("work").blocking());
        host.until_lock(play.job(), "work", "the other waits", |view| view.queue.len() == 1);
        assert!(play.job().stall().is_none(), "who holds it does not wait");
        hold.forget();
        until("only who waits for ever is left", || play.job().stall().is_none());
        drop(mine);
        drop(second.join().expect("no panic").expect("it is released with its owner"));
    });
    until("it stands still", || play.job().stall().is_some());
    waiting.process.kill();
    join(&waiting.process);
}

#[test]
fn host_code_is_refused_once_the_host_shuts_down() {
    let host = TestHost::with_shards(1);
    let job = host.job(&["work"]);
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));
    let hold = one.acquire("work").blocking().expect("it is free");
    thread::scope(|scope| {
        let waiting = scope.spawn(move || two.acquire("work").blocking());
        host.until_lock(&job, "work", "two waits", |view| view.queue.len() == 1);
        host.runtime().shut_down(Duration::ZERO);
        let refused = waiting.join().expect("no panic");
        assert!(matches!(refused, Err(LockError::ShuttingDown)), "{refused:?}");
    });
    drop(hold);
    assert!(matches!(one.acquire("work").now(), Err(LockError::ShuttingDown)));
}

#[test]
fn a_limited_hold_of_host_code_is_taken_away_without_any_process() {
    let host = TestHost::with_shards(1);
    let locks = vec![LockSpec { max_hold: Some(Duration::from_millis(20)), ..LockSpec::new("work") }];
    let job = host.runtime().job(JobSpec { locks, ..JobSpec::default() }).expect("a job");
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));
    let slow = one.acquire("work").blocking().expect("it is free");
    let next = two.acquire("work").blocking().expect("it is taken away from the slow one");
    assert!(next.fence() > slow.fence());
    assert!(matches!(slow.release(), Err(ReleaseError::Lost { how: EndCause::Expired })));
}

#[test]
fn dropping_everything_releases_and_is_forgotten() {
    let host = TestHost::with_shards(1);
    let job = host.job(&["work"]);
    let mut one = job.locks("one");
    let hold = one.acquire("work").blocking().expect("it is free");
    drop(one);
    let mut two = job.locks("two");
    assert!(two.acquire("work").now().expect("a lock").is_none(), "the hold is still there");
    drop(hold);
    assert_eq!(two.acquire("work").now().expect("a lock").expect("free").previous(), Previous::Clean);
    // Names are told once, so that whoever looks on knows who is meant.
    let told = host.events().into_iter().filter_map(|event| match event {
        Event::HostCode { name, .. } => Some(name.to_string()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["one", "two"]);
    job.ended_blocking();
}

#[test]
fn a_job_with_host_code_that_waits_for_what_a_stuck_guest_holds_stands_still() {
    let host = TestHost::with_shards(1);
    let play = Play::new(&host, vec![thing("work", LockKind::Mutex), thing("never", LockKind::Event)]);
    let stuck = play.start("stuck", &["lock:work", "await:never"]);
    host.until_lock(play.job(), "never", "it waits", |view| view.queue.len() == 1);
    let mut mine = play.job().locks("host code");
    thread::scope(|scope| {
        let limited = scope.spawn(move || {
            let timed_out = mine.acquire("work").within(Duration::from_secs(300)).blocking();
            drop(timed_out.expect("its holder is ended"));
            mine
        });
        host.until_lock(play.job(), "work", "it waits", |view| view.queue.len() == 1);
        assert!(play.job().stall().is_none(), "who waits with a limit will go on");
        stuck.process.kill();
        mine_again(&host, &play, limited.join().expect("no panic"));
    });
}

/// The same without a limit.
fn mine_again(host: &TestHost, play: &Play<'_>, mut mine: lockkeeper::Locks) {
    let stuck = play.start("stuck", &["lock:work", "await:never"]);
    host.until_lock(play.job(), "never", "it waits", |view| view.queue.len() == 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || mine.acquire("work").blocking().map(drop));
        host.until_lock(play.job(), "work", "it waits", |view| view.queue.len() == 1);
        until("it stands still", || play.job().stall().is_some());
        // Ending the stall lets host code go on, which is nobody's process.
        assert!(play.job().end_stall().is_some());
        waiting.join().expect("no panic").expect("its holder was ended");
    });
    assert_eq!(join(&stuck.process).outcome, Outcome::Stalled);
}

#[test]
fn what_is_abandoned_or_broken_off_is_told_and_what_is_forgotten_stays_held() {
    let host = TestHost::with_shards(1);
    let job = host.job(&["work"]);
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));
    one.acquire("work").blocking().expect("it is free").abandon();
    let next = two.acquire("work").blocking().expect("it is free");
    assert_eq!(next.previous(), Previous::Abandoned { how: EndCause::Trapped, who: owner(one.id()) });
    drop(next);
    one.acquire("work").blocking().expect("it is free").forget();
    assert!(two.acquire("work").now().expect("a lock").is_none());
    drop(one);
    assert!(two.acquire("work").now().expect("a lock").is_some(), "it ends with its owner");
}

#[test]
fn permits_of_a_signal_can_be_consumed_and_added() {
    let host = TestHost::with_shards(1);
    let kind = LockKind::Semaphore(SemaphoreKind::Signal { permits: 0, maximum: Some(3) });
    let locks = vec![LockSpec { kind, ..LockSpec::new("items") }];
    let job = host.runtime().job(JobSpec { locks, ..JobSpec::default() }).expect("a job");
    let [mut producer, mut consumer] = ["producer", "consumer"].map(|name| job.locks(name));
    assert!(consumer.acquire("items").now().expect("a semaphore").is_none());
    producer.release_permits("items", 2).expect("there is room");
    consumer.acquire("items").blocking().expect("there are two").forget();
    // One that is not forgotten is there again.
    drop(producer.acquire("items").now().expect("a semaphore").expect("there is one"));
    consumer.acquire("items").now().expect("a semaphore").expect("there is one still").forget();
    assert!(consumer.acquire("items").now().expect("a semaphore").is_none());
    let told = producer.release_permits("items", 4).expect_err("there can be three").to_string();
    assert!(told.starts_with("permits of `items` are not given back: "), "{told}");
    assert!(matches!(producer.release_permits("items", 0), Err(LockError::Unfit { .. })));
}

#[test]
fn an_old_hold_of_permits_frees_no_new_ones() {
    let host = TestHost::with_shards(1);
    let kind = LockKind::Semaphore(SemaphoreKind::Owned { permits: 1 });
    let locks = vec![LockSpec { kind, ..LockSpec::new("slots") }];
    let job = host.runtime().job(JobSpec { locks, ..JobSpec::default() }).expect("a job");
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));
    let old = one.acquire("slots").blocking().expect("it is free");
    job.revoke("slots", None).expect("it is held");
    let told = one.acquire("slots").blocking().expect_err("it is told once");
    assert_eq!(told.to_string(), "the last hold of `slots` was taken away: expired; ask again");
    let new = one.acquire("slots").blocking().expect("it is free");
    drop(old);
    assert!(two.acquire("slots").now().expect("a semaphore").is_none(), "the new hold is still there");
    new.release().expect("it is held");
    assert!(two.acquire("slots").now().expect("a semaphore").is_some());
}

#[test]
fn a_waker_that_panics_stops_no_clock() {
    struct Angry;
    impl std::task::Wake for Angry {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("the test wants a panic");
        }
    }
    let host = TestHost::with_shards(1);
    let job = host.job(&["work"]);
    let [mut one, mut two] = ["one", "two"].map(|name| job.locks(name));
    let hold = one.acquire("work").blocking().expect("it is free");
    let mut angry = two.acquire("work").within(Duration::from_millis(5)).into_future();
    let waker = std::sync::Arc::new(Angry).into();
    assert!(angry.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    let mut three = job.locks("three");
    let timed_out = three.acquire("work").within(Duration::from_millis(20)).blocking();
    assert!(matches!(timed_out, Err(LockError::TimedOut { .. })), "{timed_out:?}");
    drop((angry, hold));
}
