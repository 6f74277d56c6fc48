//! A run that is interrupted ends at once, with its files settled.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Place, Running, guest};

/// Far more than the grace that processes have, far less than the time that the spinner would take.
const PROMPT: Duration = Duration::from_secs(20);

/// One process spins and never gives `never` back; one holds `a`, has appended a record, and waits for `never`; one
/// waits for `a`.
fn start(place: &Place, flags: &[&str]) -> Running {
    let (end, next) = (guest("lock_end"), guest("lock_next"));
    let manifest = format!(
        "version = 1\n[lock.never]\n[lock.a]\n[file.log]\npath = \"log.txt\"\nrequires-lock = \"a\"\n\
         [[process]]\nname = \"spins\"\nprogram = {end:?}\nargs = [\"never\", \"-\", \"spin\"]\n\
         grants = {{ lock = [\"never\"] }}\n\
         [[process]]\nname = \"holds\"\nprogram = {end:?}\nargs = [\"a\", \"log\", \"return\", \"never\"]\n\
         grants = {{ lock = [\"a\", \"never\"], file = [\"log\"] }}\n\
         [[process]]\nname = \"waits\"\nprogram = {next:?}\nargs = [\"a\"]\ngrants = {{ lock = [\"a\"] }}\n",
    );
    place.write("job.toml", manifest);
    place.start(&[&["run", "job.toml"], flags].concat())
}

/// What the next run must find.
fn assert_settled(place: &Place, run: &Running) {
    assert_eq!(place.read("log.txt"), "held\n", "what was appended is there, whole\n{:?}", run.err.all());
    let next =
        place.run(&["run", "--lock", "a", "--append", "log=log.txt", &guest("append_many"), "--", "log", "1", "3"]);
    next.assert_code(0);
    assert_eq!(place.read("log.txt"), "held\naaa\n");
}

#[test]
fn an_interrupt_ends_running_waiting_and_holding_processes_with_130() {
    let place = Place::new();
    let mut run = start(&place, &[]);
    run.out.wait_for("[spins] holding");
    run.out.wait_for("[holds] holding");
    let interrupted = Instant::now();
    run.signal(Signal::INT);
    assert_eq!(run.wait(), 130, "{:?}", run.err.all());
    assert!(interrupted.elapsed() < PROMPT, "it took {:?}", interrupted.elapsed());
    let told = run.err.all().join("\n");
    for words in ["interrupted: ending all processes", "spins ended by the host's shutdown", "3 processes: "] {
        assert!(told.contains(words), "`{words}` is missing in\n{told}");
    }
    assert_settled(&place, &run);
}

#[test]
fn a_termination_ends_them_with_143_also_when_events_are_shown() {
    let place = Place::new();
    let mut run = start(&place, &["--json"]);
    for name in ["spins", "holds"] {
        run.out.wait_for(&format!(r#"{{"event":"output","name":"{name}","stream":"stdout","text":"holding"}}"#));
    }
    run.out.wait_for(r#"{"event":"started","process":3,"name":"waits"}"#);
    run.signal(Signal::TERM);
    assert_eq!(run.wait(), 143, "{:?}", run.err.all());
    let events = run.out.all();
    assert_eq!(events.iter().filter(|event| event.starts_with(r#"{"event":"ended""#)).count(), 3, "{events:#?}");
    assert!(events.last().is_some_and(|last| last.starts_with(r#"{"event":"summary""#)), "{events:#?}");
    assert_settled(&place, &run);
}

#[test]
fn a_single_process_is_interrupted_too() {
    let place = Place::new();
    let mut run = place.start(&["run", "--lock", "a", &guest("lock_end"), "--", "a", "-", "spin"]);
    run.out.wait_for("holding");
    run.signal(Signal::INT);
    assert_eq!(run.wait(), 130, "{:?}", run.err.all());
}

/// `map` starts processes one after the other; an interrupt must not be followed by another start.
#[test]
fn an_interrupted_map_keeps_what_ended_well_and_starts_nothing_more() {
    let place = Place::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        place.write(name, "x\n");
    }
    let end = guest("lock_end");
    // The input comes last, where the program wants the name of a lock: so that is its name.
    let locks = ["--lock", "a", "--lock", "/input/a.txt"];
    let inputs = ["a.txt", "b.txt", "c.txt", "--", "a", "f", "spin"];
    let mut run = place.start(&[&["map", &end, "-j", "1", "--append", "f=f.txt"][..], &locks, &inputs].concat());
    run.out.wait_for("[a.txt-0] holding");
    run.signal(Signal::INT);
    assert_eq!(run.wait(), 130, "{:?}", run.err.all());
    assert_eq!(run.out.all(), ["[a.txt-0] holding"]);
    assert_eq!(place.read("f.txt"), "", "its row was held back");
}

/// The reader of the output has stopped reading, as a pager does: what processes print piles up, and must not keep anybody
/// from ending them.
#[test]
fn an_interrupt_ends_a_run_whose_output_nobody_reads() {
    for flags in [&["-n", "2"][..], &["-n", "2", "--json"][..]] {
        let place = Place::new();
        let mut command = place.lockkeeper(&[&["run", &guest("cli_flood")], flags, &["--", "1000000"]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the command starts");
        let mut first = [0; 64];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut first).expect("it prints");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::INT).expect("it runs");
        lockkeeper_tests::until("the command ends", || {
            // Looked at without reaping it: `wait` below tells how it ended.
            std::fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| stat.contains(") Z "))
        });
        assert_eq!(child.wait().expect("it has ended").code(), Some(130));
    }
}
