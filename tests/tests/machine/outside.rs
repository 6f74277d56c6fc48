//! Two hosts, and native programs, at one lock: who keeps out whom.

use std::fs;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use lockkeeper::machine_lock::{State, read_note};
use lockkeeper::observe::{Event, Outcome};
use lockkeeper::os_lock::Mode;
use lockkeeper::{AcquireError, AfterDeath, JobError, JobSpec, LockError, LockKind, LockScope, LockSpec, Previous};
use lockkeeper_tests::{PATIENCE, Play, join, thing, until};

use crate::support::{A_MOMENT, Place, job, job_with, locks, of_machine, until_locked};

#[test]
fn owners_of_several_hosts_and_native_programs_exclude_each_other() {
    let place = Place::new();
    let hosts = [place.host(), place.host(), place.host()];
    let jobs = hosts.each_ref().map(job);
    let (inside, most, count) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let once = || {
        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Not one step: an update is lost if two are inside.
        let before = count.load(Ordering::SeqCst);
        thread::yield_now();
        count.store(before + 1, Ordering::SeqCst);
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    thread::scope(|scope| {
        for (number, job) in jobs.iter().enumerate() {
            for of_host in 0..3 {
                let once = &once;
                scope.spawn(move || {
                    let mut owner = job.locks(&format!("owner-{number}-{of_host}"));
                    for _ in 0..300 {
                        let hold = owner.acquire("m").blocking().expect("it comes");
                        once();
                        hold.release().expect("it is held");
                    }
                });
            }
        }
        for _ in 0..2 {
            let (once, place) = (&once, &place);
            scope.spawn(move || {
                let mut native = place.native("m");
                for _ in 0..50 {
                    until_locked(&mut native, Mode::Exclusive);
                    once();
                    native.unlock();
                }
            });
        }
    });
    assert_eq!((most.into_inner(), count.into_inner()), (1, 2_800));
}

#[test]
fn a_native_holder_keeps_owners_out_and_is_kept_out_by_them() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let mut native = place.native("m");
    assert!(locks(&mut native, Mode::Exclusive));
    let mut owner = job.locks("owner");
    assert!(owner.acquire("m").now().expect("no refusal").is_none());
    let waited = owner.acquire("m").within(A_MOMENT).blocking();
    assert!(matches!(waited, Err(LockError::TimedOut { .. })));
    native.unlock();
    let hold = owner.acquire("m").blocking().expect("it is free");
    assert!(!locks(&mut native, Mode::Exclusive) && !locks(&mut native, Mode::Shared));
    hold.release().expect("it is held");
    until_locked(&mut native, Mode::Exclusive);
}

#[test]
fn who_asks_in_passing_gets_a_lock_that_nobody_has() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let hold = job.locks("owner").acquire("m").now().expect("no refusal").expect("nobody has it");
    assert!(!locks(&mut place.native("m"), Mode::Exclusive));
    drop(hold);
}

#[test]
fn flock_waits_for_an_owner_and_an_owner_for_flock() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let mut owner = job.locks("owner");
    let hold = owner.acquire("m").blocking().expect("it is free");
    let flock = |args: &[&str]| {
        let mut command = Command::new("flock");
        command.args(args).arg(place.lock_file("m"));
        command
    };
    let refused = flock(&["-n"]).arg("true").status().expect("flock(1) is there");
    assert_eq!(refused.code(), Some(1));
    let marker = place.path("came");
    let mut waiting = flock(&[]).arg("touch").arg(&marker).spawn().expect("flock(1) is there");
    assert!(!marker.exists());
    hold.release().expect("it is held");
    assert!(waiting.wait().expect("it ends").success());
    assert!(marker.exists());
    drop(owner.acquire("m").blocking().expect("it is free again"));
}

/// Thirty-three waits that were given up once exhausted a pool of threads, each of which later took a lock for nobody.
#[test]
fn waits_that_are_given_up_cost_no_thread_and_take_no_lock_later() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let mut native = place.native("m");
    assert!(locks(&mut native, Mode::Exclusive));
    let mut owners: Vec<_> = (0..200).map(|number| job.locks(&format!("owner-{number}"))).collect();
    {
        let mut waits: Vec<_> = owners.iter_mut().map(|owner| Box::pin(owner.acquire("m").into_future())).collect();
        for wait in &mut waits {
            let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending));
        }
        assert_eq!(job.inspect_lock("m").expect("a lock").queue.len(), 200);
    }
    assert!(job.inspect_lock("m").expect("a lock").queue.is_empty());
    native.unlock();
    until_locked(&mut native, Mode::Exclusive);
    native.unlock();
    drop(owners[7].acquire("m").blocking().expect("it is free"));
}

#[test]
fn readers_of_several_hosts_read_together_and_a_writer_is_alone() {
    let place = Place::new();
    let hosts = [place.host(), place.host()];
    let jobs = hosts.each_ref().map(|host| job_with(host, LockKind::RwLock));
    let (mut one, mut two) = (jobs[0].locks("one"), jobs[1].locks("two"));
    let first = one.acquire("m").shared().blocking().expect("it is free");
    let second = two.acquire("m").shared().blocking().expect("readers fit");
    let mut native = place.native("m");
    assert!(!locks(&mut native, Mode::Exclusive));
    until_locked(&mut native, Mode::Shared);
    native.unlock();
    let mut writer = jobs[1].locks("writer");
    let waited = writer.acquire("m").within(A_MOMENT).blocking();
    assert!(matches!(waited, Err(LockError::TimedOut { .. })));
    drop(first);
    drop(second);
    let written = writer.acquire("m").blocking().expect("nobody reads");
    assert!(!locks(&mut native, Mode::Shared));
    assert!(one.acquire("m").shared().now().expect("no refusal").is_none());
    drop(written);
    drop(one.acquire("m").shared().blocking().expect("nobody writes"));
}

#[test]
fn fences_grow_from_host_to_host_and_from_run_to_run() {
    let place = Place::new();
    let mut newest = 0;
    for _ in 0..3 {
        let hosts = [place.host(), place.host()];
        let jobs = hosts.each_ref().map(job);
        for turn in 0..10 {
            let hold = jobs[turn % 2].locks("owner").acquire("m").blocking().expect("it is free");
            let fence = hold.fence();
            assert!(fence > newest && fence < newest + 100, "{fence} after {newest}");
            assert_eq!(hold.previous(), Previous::Clean);
            newest = fence;
            hold.release().expect("it is held");
        }
    }
}

#[test]
fn what_becomes_of_the_lock_file_turns_no_fence_back_and_makes_no_second_holder() {
    let meddlers: [fn(&std::path::Path); 3] = [
        |path| fs::write(path, "").expect("it is written"),
        |path| fs::remove_file(path).expect("it is removed"),
        |path| {
            let text = fs::read_to_string(path).expect("it is text");
            fs::write(path, text.replace("next ", "next 9")).expect("it is written");
        },
    ];
    for meddle in meddlers {
        let place = Place::new();
        let hosts = [place.host(), place.host()];
        let jobs = hosts.each_ref().map(job);
        let (mut one, mut two) = (jobs[0].locks("one"), jobs[1].locks("two"));
        let hold = one.acquire("m").blocking().expect("it is free");
        let fence = hold.fence();
        meddle(&place.lock_file("m"));
        let third = place.host();
        let late = job(&third);
        assert!(late.locks("late").acquire("m").within(A_MOMENT).blocking().is_err(), "there are two holders");
        hold.release().expect("it is held");
        for owner in [&mut two, &mut one, &mut late.locks("late")] {
            let hold = owner.acquire("m").blocking().expect("it is free");
            assert!(hold.fence() > fence);
        }
    }
}

#[test]
fn a_program_that_is_started_while_the_lock_is_held_does_not_keep_it() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let hold = job.locks("owner").acquire("m").blocking().expect("it is free");
    let mut child = Command::new("sleep").arg("600").spawn().expect("it starts");
    hold.release().expect("it is held");
    until_locked(&mut place.native("m"), Mode::Exclusive);
    child.kill().and_then(|()| child.wait()).expect("it ends");
}

#[test]
fn the_lock_file_says_who_has_it_and_afterwards_that_nobody_does() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let hold = job.locks("owner").acquire("m").blocking().expect("it is free");
    let note = read_note(&place.lock_file("m")).expect("it is read").expect("it says something");
    assert_eq!((note.state, note.holder.pid), (State::Held, std::process::id()));
    assert_eq!(note.holder.run, "a host of the tests");
    hold.release().expect("it is held");
    until("it is free again", || {
        read_note(&place.lock_file("m")).expect("it is read").is_some_and(|note| note.state == State::Free)
    });
}

#[test]
fn a_job_whose_processes_wait_for_somebody_outside_does_not_stand_still() {
    let place = Place::new();
    let host = place.host();
    let play = Play::new(&host, vec![of_machine("m", LockKind::Mutex)]);
    let mut native = place.native("m");
    assert!(locks(&mut native, Mode::Exclusive));
    let (one, two) = (play.start("one", &["lock:m", "unlock:m"]), play.start("two", &["lock:m", "unlock:m"]));
    play.until_queue("m", 2);
    until("people are told who has it", || {
        let who = format!("process {}", std::process::id());
        let told = |event: &Event| matches!(event, Event::WaitsOutside { holder: Some(holder), stopped: false, .. } if *holder == who);
        host.events().iter().any(told)
    });
    assert!(play.job().stall().is_none());
    assert!(!host.events().iter().any(|event| matches!(event, Event::Stalled { .. })));
    native.unlock();
    for actor in [one, two] {
        assert_eq!(actor.ends_well().last().map(String::as_str), Some("unlock:m=ok"));
    }
}

/// The lock is to leave, as somebody outside may wait for it, but after its holder in here: so it is that one who is waited for.
#[test]
fn a_job_stands_still_whose_processes_wait_for_one_that_waits_for_ever_also_while_the_lock_is_to_leave() {
    let place = Place::new();
    let host = place.host();
    let play = Play::new(&host, vec![of_machine("m", LockKind::Mutex), thing("never", LockKind::Event)]);
    let _stranger = place.native("m");
    // Longer than the lock stays once it is wanted outside.
    let one = play.start("one", &["lock:m", "nap:100", "await:never"]);
    one.answer("lock:m");
    let two = play.start("two", &["lock:m"]);
    host.wait_for("the report", |event| matches!(event, Event::Stalled { waits, .. } if waits.len() == 2));
    play.job().end_stall().expect("it stands still");
    for actor in [one, two] {
        assert_eq!(actor.ends().outcome, Outcome::Stalled);
    }
}

#[test]
fn who_does_not_wait_gets_a_lock_that_nobody_has_also_by_a_timeout_of_0() {
    let place = Place::new();
    let host = place.host();
    let hold = job(&host).locks("owner").acquire("m").within(Duration::ZERO).blocking().expect("nobody has it");
    let second = place.host();
    let play = Play::new(&second, vec![of_machine("m", LockKind::Mutex), of_machine("n", LockKind::Mutex)]);
    let said = play.run("guest", &["lock:n:0", "lock:m:0"]);
    assert!(!said[0].contains("timed-out"), "{said:?}");
    assert_eq!(said[1], "lock:m:0=timed-out");
    drop(hold);
}

/// Why the lock table has refused it, if it has.
fn refusal(tried: Result<(), LockError>) -> Option<AcquireError> {
    match tried {
        Err(LockError::Refused { source, .. }) => Some(source),
        _ => None,
    }
}

/// Who waits for a lock that cannot be locked at all is not to wait for ever, nor to take it for one that others have.
#[test]
fn a_lock_that_cannot_be_had_at_all_is_unavailable_and_comes_back() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    fs::write(place.lock_file("m"), "somebody's data\n").expect("it is written");
    let mut owner = job.locks("owner");
    let is_unavailable = |tried| matches!(refusal(tried), Some(AcquireError::Unavailable { .. }));
    // In passing it may also be busy, for a moment.
    until("it is said in passing", || is_unavailable(job.locks("other").acquire("m").now().map(drop)));
    assert!(is_unavailable(owner.acquire("m").blocking().map(drop)));
    host.wait_for("why", |event| matches!(event, Event::LockUnavailable { error, .. } if error.contains("m.lock")));
    fs::write(place.lock_file("m"), "").expect("it is written");
    let begun = Instant::now();
    while is_unavailable(owner.acquire("m").blocking().map(drop)) {
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
    }
}

/// A host does not go on by what it has seen itself, once the lock was away.
#[test]
fn a_lock_that_was_mended_by_a_command_is_granted_again_in_a_host_that_had_refused_it() {
    let place = Place::new();
    let host = place.host();
    let mut lock = of_machine("m", LockKind::Mutex);
    lock.config.after_death = AfterDeath::Poison;
    let job = host.runtime().job(JobSpec { locks: vec![lock], ..JobSpec::default() }).expect("a job");
    job.locks("dies").acquire("m").blocking().expect("it is free").abandon();
    // Who has it next lets it go without a word.
    job.locks("next").acquire("m").blocking().expect("it is free").release().expect("it is held");
    let mut owner = job.locks("owner");
    let is_refused = |tried| matches!(refusal(tried), Some(AcquireError::NotRecoverable { .. }));
    assert!(is_refused(owner.acquire("m").blocking().map(drop)));
    let lock = |args: &[&str]| {
        let mut command = place.lockkeeper();
        command.arg("lock").args(args).arg(place.lock_file("m")).arg("true").status().expect("it starts").success()
    };
    assert!(lock(&[]) && is_refused(owner.acquire("m").blocking().map(drop)));
    assert!(lock(&["--mark-consistent"]));
    drop(owner.acquire("m").blocking().expect("it is mended"));
}

#[test]
fn two_locks_with_one_file_are_refused() {
    let place = Place::new();
    let host = place.host();
    std::os::unix::fs::symlink(place.path(""), place.path("here")).expect("a link");
    let named = |name: &str, file: PathBuf| {
        let scope = LockScope::Machine { file: Some(file), allow_remote: false };
        LockSpec { scope, ..of_machine(name, LockKind::Mutex) }
    };
    for other in [place.lock_file("m"), place.path("here/m.lock")] {
        let locks = vec![named("a", place.lock_file("m")), named("b", other)];
        let refused = host.runtime().job(JobSpec { locks, ..JobSpec::default() }).expect_err("they are one");
        assert!(refused.to_string().contains("locks `b` and `a` have one lock file"), "{refused}");
    }
}

#[test]
fn a_process_that_waits_for_somebody_outside_ends_when_it_is_killed_or_its_time_is_over() {
    let place = Place::new();
    let host = place.host();
    let play = Play::new(&host, vec![of_machine("m", LockKind::Mutex)]);
    let mut native = place.native("m");
    assert!(locks(&mut native, Mode::Exclusive));
    let timed = play.start("timed", &["lock:m:50"]);
    assert_eq!(timed.answer("lock:m:50"), "timed-out");
    let killed = play.start("killed", &["lock:m"]);
    play.until_queue("m", 1);
    killed.process.kill();
    join(&killed.process);
    play.until_queue("m", 0);
    native.unlock();
    until_locked(&mut native, Mode::Exclusive);
}

#[test]
fn only_what_is_held_by_owners_can_be_wider_than_its_host() {
    let place = Place::new();
    let host = place.host();
    for kind in [LockKind::Event, LockKind::Once, LockKind::Latch { count: 1 }] {
        let locks = vec![of_machine("m", kind)];
        let refused = host.runtime().job(JobSpec { locks, ..JobSpec::default() });
        assert!(matches!(refused, Err(JobError::NotWider { .. })));
    }
    fs::write(place.lock_file("m"), "somebody's data\n").expect("it is written");
    let locks = vec![of_machine("m", LockKind::Mutex)];
    let refused = host.runtime().job(JobSpec { locks, ..JobSpec::default() }).expect_err("it is no lock file");
    assert!(refused.to_string().contains("name a file of its own"), "{refused}");
    assert_eq!(fs::read_to_string(place.lock_file("m")).expect("it is read"), "somebody's data\n");
}

#[test]
fn a_wait_in_a_future_is_woken_when_the_lock_comes_home() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let mut native = place.native("m");
    assert!(locks(&mut native, Mode::Exclusive));
    let mut owner = job.locks("owner");
    let mut wait = pin!(owner.acquire("m").into_future());
    assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    native.unlock();
    drop(futures::executor::block_on(wait).expect("it comes"));
}
