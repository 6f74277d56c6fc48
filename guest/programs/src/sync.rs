//! The programs whose names begin with `sync`, and the cases that a host has to pass with them.
//!
//! Most cases do what a test of CPython's does, under its name; the programs are written from the behaviour, not from
//! CPython's text. `@` and a word follow where one name stands for several cases. The others are named by what must be
//! so. [`CASES`] lists them all.
//!
//! # How a case is run
//!
//! 1. Make a job with the [things](Case::things) of the case.
//! 2. Start [`Case::processes`] processes of [`Case::program`] as one group, so that they have the ranks from 0 on,
//!    each with the case's name as its one argument. Each may name all things of the case.
//! 3. Carry out the [script](Case::script), one step after the other. A step is over when what it says has come true.
//! 4. Wait for all processes. Those that the script killed have ended so; every other one must have ended well. A
//!    process that finds that something is not as it must be panics or fails, and says why.
//!
//! Processes of one case wait for each other with the things that they share. Where one has to be in a queue before
//! another one goes on, no process can see that: the script waits for the queue ([`Step::Queue`]) and then sets an
//! event that the other one waits for ([`Step::Set`]). It has no handle on events, so it starts the program once more,
//! alone, with `CASE:EVENT` as its argument.
//!
//! For the host, processes that all wait at such a moment are no deadlock: the script will go on.

use std::time::{Duration, Instant};

mod cases;

pub use cases::CASES;

/// What a case comes to.
pub type Outcome = Result<(), lockkeeper_guest::Error>;

/// A time that runs out while a test waits for it to.
pub const SHORT: Duration = Duration::from_millis(50);

/// How much of a timeout may be missing: the host counts to about a millisecond.
const EARLY_MAX: Duration = Duration::from_millis(2);

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The program.
    pub program: &'static str,
    /// Its argument.
    pub name: &'static str,
    /// The class of CPython's tests that has it, or `lockkeeper`.
    pub origin: &'static str,
    /// How many processes.
    pub processes: u32,
    /// What the job has, by name.
    pub things: &'static [(&'static str, Thing)],
    /// What the test does while the processes run.
    pub script: &'static [Step],
}

/// Something that a job has.
#[derive(Clone, Copy, Debug)]
pub enum Thing {
    /// A mutex.
    Mutex,
    /// An rlock.
    RLock,
    /// A rwlock.
    RwLock,
    /// A semaphore.
    Semaphore {
        /// Its permits at the start.
        initial: u32,
        /// How many there can be.
        maximum: Option<u32>,
        /// Whether permits belong to who took them; `signal` if not.
        owned: bool,
    },
    /// A condition.
    Condition {
        /// Its mutex or rlock.
        lock: &'static str,
    },
    /// An event.
    Event,
    /// A barrier.
    Barrier {
        /// How many meet.
        parties: u32,
        /// Whether who has waited once is a party until it ends.
        registered: bool,
    },
    /// A latch.
    Latch {
        /// Where it starts.
        count: u32,
    },
    /// A once.
    Once,
    /// A queue.
    Queue {
        /// How many items it may hold.
        items: u32,
        /// How many bytes it may hold.
        bytes: u64,
        /// Whether items come again that were not finished.
        acknowledge: bool,
    },
    /// A value.
    Value {
        /// Its type, and what it is at the start.
        initial: Initial,
        /// The lock that it is bound to.
        lock: Option<&'static str>,
    },
    /// An array of zeros.
    Array {
        /// The type of its elements.
        kind: Kind,
        /// How many.
        length: u32,
        /// The lock that it is bound to.
        lock: Option<&'static str>,
    },
}

/// What a value is at the start.
#[derive(Clone, Copy, Debug)]
pub enum Initial {
    /// A signed number.
    I64(i64),
    /// An unsigned number.
    U64(u64),
    /// A floating-point number.
    F64(f64),
    /// Bytes.
    Bytes {
        /// At the start.
        initial: &'static [u8],
        /// How many there can be.
        maximum: u32,
    },
}

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Signed numbers.
    I64,
    /// Unsigned numbers.
    U64,
    /// Floating-point numbers.
    F64,
    /// Bytes.
    Bytes,
}

/// Something that the test does while the processes of a case run.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Waits until exactly so many processes wait in the queue of a thing: for the lock, the permits, a notification,
    /// the flag, the other parties, zero, the turn, an item.
    Queue {
        /// The thing.
        of: &'static str,
        /// How many.
        length: u32,
    },
    /// Sets an event: starts the program alone, with `CASE:EVENT`, and waits for its good end.
    Set(&'static str),
    /// Kills the process of this rank, and waits for its end.
    Kill(u32),
}

impl Case {
    /// The ranks that the script kills.
    pub fn killed(&self) -> impl Iterator<Item = u32> {
        self.script.iter().filter_map(|step| match step {
            Step::Kill(rank) => Some(*rank),
            Step::Queue { .. } | Step::Set(_) => None,
        })
    }

    /// The argument of the process that sets an event.
    pub fn setter(&self, event: &str) -> String {
        format!("{}:{event}", self.name)
    }
}

/// The case that this process is to run, and the event that it is to set instead, if it is to.
///
/// # Panics
///
/// If the argument is missing.
pub fn call() -> (String, Option<String>) {
    let argument = std::env::args().nth(1).expect("argument 1, CASE, is missing");
    match argument.split_once(':') {
        Some((case, event)) => (case.to_owned(), Some(event.to_owned())),
        None => (argument, None),
    }
}

/// Looks again and again until something is so. It naps in between, so that others can run, and never gives up: the
/// test does.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let mut told = false;
    let asked = Instant::now();
    while !is() {
        if !told && asked.elapsed() > Duration::from_secs(30) {
            eprintln!("still not so: {what}");
            told = true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Does something that must last at least this long.
///
/// # Panics
///
/// If it lasts shorter.
pub fn lasts<T>(timeout: Duration, work: impl FnOnce() -> T) -> T {
    let asked = Instant::now();
    let answer = work();
    let elapsed = asked.elapsed();
    assert!(elapsed + EARLY_MAX >= timeout, "{timeout:?} were to pass, and it was over after {elapsed:?}");
    answer
}

/// The `main` of a program of this suite: the cases by name, each a function of the rank.
#[macro_export]
macro_rules! sync_main {
    ($($name:literal => $case:expr,)+) => {
        fn main() -> $crate::sync::Outcome {
            let (case, event) = $crate::sync::call();
            if let Some(event) = event {
                lockkeeper_guest::Event::open(&event)?.set();
                return Ok(());
            }
            let run: fn(u32) -> $crate::sync::Outcome = match case.as_str() {
                $($name => $case,)+
                other => panic!("there is no case `{other}`"),
            };
            run(lockkeeper_guest::process::current().rank)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the programs have, beside what [`CASES`] says.
    const PROGRAMS: &[(&str, &str)] = &[
        ("sync_lock", include_str!("bin/sync_lock.rs")),
        ("sync_rwlock", include_str!("bin/sync_rwlock.rs")),
        ("sync_semaphore", include_str!("bin/sync_semaphore.rs")),
        ("sync_condition", include_str!("bin/sync_condition.rs")),
        ("sync_event", include_str!("bin/sync_event.rs")),
        ("sync_barrier", include_str!("bin/sync_barrier.rs")),
        ("sync_value", include_str!("bin/sync_value.rs")),
        ("sync_queue", include_str!("bin/sync_queue.rs")),
        ("sync_multi", include_str!("bin/sync_multi.rs")),
        ("sync_latch", include_str!("bin/sync_latch.rs")),
        ("sync_once", include_str!("bin/sync_once.rs")),
    ];

    #[test]
    fn every_case_of_a_program_is_listed_once_and_in_its_order() {
        for (program, text) in PROGRAMS {
            let table = text.split("sync_main! {").nth(1).and_then(|rest| rest.split("\n}").next()).expect("a table");
            let has: Vec<&str> =
                table.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect();
            let listed: Vec<&str> =
                CASES.iter().filter(|case| case.program == *program).map(|case| case.name).collect();
            assert_eq!(has, listed, "{program}");
        }
        assert!(CASES.iter().all(|case| PROGRAMS.iter().any(|(program, _)| *program == case.program)));
    }

    #[test]
    fn every_thing_that_a_case_relies_on_is_there() {
        for case in CASES {
            let at = format!("{} {}", case.program, case.name);
            let thing = |name: &str| case.things.iter().find(|(known, _)| *known == name).map(|(_, thing)| thing);
            for (place, (name, kind)) in case.things.iter().enumerate() {
                assert!(case.things[..place].iter().all(|(other, _)| other != name), "{at}: `{name}` is there twice");
                let lock = match kind {
                    Thing::Condition { lock } => Some(*lock),
                    Thing::Value { lock, .. } | Thing::Array { lock, .. } => *lock,
                    _ => None,
                };
                let is_lock = |name| matches!(thing(name), Some(Thing::Mutex | Thing::RLock));
                assert!(lock.is_none_or(is_lock), "{at}: `{name}` is bound to a lock that is not there");
            }
            for step in case.script {
                match *step {
                    Step::Queue { of, .. } => assert!(thing(of).is_some(), "{at}: there is no `{of}`"),
                    Step::Set(event) => assert!(matches!(thing(event), Some(Thing::Event)), "{at}: no event `{event}`"),
                    Step::Kill(rank) => assert!(rank < case.processes, "{at}: there is no rank {rank}"),
                }
            }
            assert_eq!(case.killed().count() > 0, case.script.iter().any(|step| matches!(step, Step::Kill(_))));
        }
    }
}
