//! Hosts that die, and hosts that are stopped.

use std::fs;
use std::process::Command;
use std::time::Instant;

use lockkeeper::observe::Event;
use lockkeeper::os_lock::Mode;
use lockkeeper::{EndCause, Previous};
use lockkeeper_tests::{at_full_scale, figure, guest, until};
use rustix::process::Signal;

use crate::support::{Place, Running, job, line_of, locks};

#[test]
fn the_next_host_is_told_of_one_that_died_and_the_one_after_it_is_not() {
    let place = Place::new();
    let hosts = [place.host(), place.host()];
    let jobs = hosts.each_ref().map(job);
    let before = jobs[0].locks("before").acquire("m").blocking().expect("it is free");
    let fence = before.fence();
    before.release().expect("it is held");
    let mut dying = place.run_steps(&["lock:m", "spin"]);
    dying.says("lock:m=");
    let (next, waited) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut next = jobs[0].locks("next");
            let hold = next.acquire("m").blocking().expect("it comes");
            let came = Instant::now();
            let told = (hold.fence(), hold.previous());
            hold.release().expect("it is held");
            (told, came)
        });
        until("it waits", || jobs[0].inspect_lock("m").expect("a lock").queue.len() == 1);
        dying.signal(Signal::KILL);
        dying.wait();
        let died = Instant::now();
        let (told, came) = waiting.join().expect("it comes");
        (told, came.saturating_duration_since(died))
    });
    figure(format_args!("death of a host to the next grant in another one: {waited:?}"));
    let how = |previous| match previous {
        Previous::Abandoned { how, .. } => Some(how),
        Previous::Clean => None,
    };
    assert!(next.0 > fence);
    assert_eq!(how(next.1), Some(EndCause::HostDied));
    let last = jobs[1].locks("last").acquire("m").blocking().expect("it is free");
    assert_eq!(last.previous(), Previous::Clean);
}

#[test]
fn an_owner_that_ends_in_one_host_is_news_in_the_next_one() {
    let place = Place::new();
    let hosts = [place.host(), place.host()];
    let jobs = hosts.each_ref().map(job);
    jobs[0].locks("dies").acquire("m").blocking().expect("it is free").abandon();
    let hold = jobs[1].locks("next").acquire("m").blocking().expect("it is free");
    assert!(matches!(hold.previous(), Previous::Abandoned { .. }));
}

#[test]
fn a_native_program_that_dies_lets_go_at_once() {
    let place = Place::new();
    let host = place.host();
    let job = job(&host);
    let mut command = Command::new("flock");
    command.arg(place.lock_file("m")).args(["sh", "-c", "echo held; exec sleep 600"]);
    let mut native = Running::start(command);
    native.says("held");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(job.locks("next").acquire("m").blocking().expect("it comes")));
        until("it waits", || job.inspect_lock("m").expect("a lock").queue.len() == 1);
        // flock(1) waits for its child, which has the lock too.
        let children = Command::new("pkill").arg("-KILL").arg("-P").arg(native.id().to_string()).status();
        assert!(children.expect("pkill is there").success());
        native.signal(Signal::KILL);
        waiting.join().expect("it comes");
    });
}

#[test]
fn a_host_that_is_stopped_keeps_its_lock_and_the_others_are_told_so() {
    let place = Place::new();
    let mut stopped = place.run_steps(&["lock:m", "nap:100", "unlock:m", "nap:600000"]);
    stopped.says("lock:m=");
    stopped.signal(Signal::STOP);
    let host = place.host();
    let job = job(&host);
    assert!(!locks(&mut place.native("m"), Mode::Exclusive));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| job.locks("next").acquire("m").blocking().map(|hold| hold.previous()));
        until("people are told who is stopped", || {
            let told = |event: &Event| match event {
                Event::WaitsOutside { stopped, holder, .. } => {
                    *stopped && holder.as_ref().is_some_and(|holder| holder.contains("lockkeeper run"))
                }
                _ => false,
            };
            host.events().iter().any(told)
        });
        assert_eq!(job.inspect_lock("m").expect("a lock").queue.len(), 1);
        stopped.signal(Signal::CONT);
        let previous = waiting.join().expect("no panic").expect("it comes");
        assert_eq!(previous, Previous::Clean, "it released it itself");
    });
}

/// Whoever was stopped for longer than it may hold the lock must not write when it goes on, and another one's records do not
/// come between its own.
#[test]
fn a_host_that_was_stopped_for_longer_than_a_hold_may_last_writes_nothing_when_it_goes_on() {
    let place = Place::new();
    let program = guest("die_steps");
    let manifest = format!(
        "version = 1\n[lock.m]\nscope = \"machine\"\nfile = \"m.lock\"\nmax-hold = \"400ms\"\n\
         [file.out]\npath = \"out.txt\"\nrequires-lock = \"m\"\n\
         [[process]]\nname = \"p\"\nprogram = {:?}\ngrants = {{ lock = [\"m\"], file = [\"out\"] }}\n\
         args = [\"lock:m\", \"append:out:m\", \"compute:200\", \"append:out:m\", \"nap:600000\"]\n",
        program.display().to_string()
    );
    fs::write(place.path("job.toml"), manifest).expect("it is written");
    let mut command = place.lockkeeper();
    command.args(["run", "--lock-dir"]).arg(place.path("")).arg("job.toml");
    let mut stopped = Running::start(command);
    assert_eq!(stopped.says("append:out:m="), "ok");
    stopped.signal(Signal::STOP);
    let records = line_of(&place.path("out.txt"));
    let since = Instant::now();
    // A minute at full scale; enough otherwise.
    let stopped_ms = if at_full_scale() { 60_000 } else { 600 };
    let host = place.host();
    let job = job(&host);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| job.locks("next").acquire("m").blocking().map(|hold| hold.previous()));
        until("the hold has lasted too long", || since.elapsed().as_millis() > stopped_ms);
        assert_eq!(job.inspect_lock("m").expect("a lock").queue.len(), 1, "it waits as long as the other is stopped");
        stopped.signal(Signal::CONT);
        let answer = stopped.says("append:out:m=");
        assert!(answer.starts_with("fenced"), "{answer}");
        assert_eq!(line_of(&place.path("out.txt")), records);
        let previous = waiting.join().expect("no panic").expect("it comes");
        assert!(matches!(previous, Previous::Abandoned { how: EndCause::Expired, .. }), "{previous:?}");
    });
}
