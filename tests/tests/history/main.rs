//! The history of a long run: many processes at few locks, with processes killed at random, noted by the events of the host and
//! checked from one end to the other.
//!
//! 200,000 grants by default; `ACQUISITIONS=5000000` for a long run.

mod checker;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use checker::{Fault, Record, What, check};
use lockkeeper::observe::Event;
use lockkeeper::{
    JobSpec, LockConfig, LockSpec, Outcome, Placement, Process, ProcessSpec, Scalar, ValueContent, ValueSpec,
};
use lockkeeper_tests::{TestHost, join, spec, until};

const PROCESSES: usize = 64;
const LOCKS: [&str; 3] = ["a", "b", "c"];
/// A process is killed so often, in grants.
const GRANTS_PER_KILL: u64 = 500;

/// Notes records from all threads, each with its place in one order.
#[derive(Default)]
struct Recorder {
    places: AtomicU64,
    grants: AtomicU64,
    /// One per thread that notes, as far as they reach.
    pages: [Mutex<Vec<(u64, Record)>>; 8],
    threads: AtomicUsize,
}

thread_local! {
    static PAGE: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Recorder {
    fn note(&self, event: &Event) {
        let lock_number = |name: &lockkeeper::Name| {
            let number = LOCKS.iter().position(|lock| *lock == name.as_str()).expect("a lock of the job");
            u8::try_from(number).expect("few locks")
        };
        let (what, process, lock, fence) = match event {
            Event::Asked { process, lock } => (What::Asked, process, lock_number(lock), 0),
            Event::Refused { process, lock, .. } => (What::Refused, process, lock_number(lock), 0),
            Event::Granted { process, lock, fence, .. } => (What::Granted, process, lock_number(lock), *fence),
            Event::Released { process, lock, fence } => (What::Released, process, lock_number(lock), *fence),
            Event::HoldEnded { process, lock, fence, .. } => (What::HoldEnded, process, lock_number(lock), *fence),
            Event::Ended { process, outcome: Outcome::Killed, .. } => (What::Killed, process, 0, 0),
            Event::Ended { process, .. } => (What::Ended, process, 0, 0),
            _ => return,
        };
        if what == What::Granted {
            self.grants.fetch_add(1, Ordering::Relaxed);
        }
        let page = PAGE.with(|page| {
            page.get().unwrap_or_else(|| {
                let number = self.threads.fetch_add(1, Ordering::Relaxed) % self.pages.len();
                page.set(Some(number));
                number
            })
        });
        // The place is taken where the thing happens: what follows from it on another thread comes later.
        let place = self.places.fetch_add(1, Ordering::SeqCst);
        let record = Record { what, process: process.get(), lock, fence };
        self.pages[page].lock().unwrap_or_else(PoisonError::into_inner).push((place, record));
    }

    /// Everything in its order.
    fn history(&self) -> Vec<Record> {
        let length = usize::try_from(self.places.load(Ordering::SeqCst)).expect("it fits into memory");
        let mut history = vec![None; length];
        for page in &self.pages {
            for (place, record) in page.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                history[usize::try_from(place).expect("it fits into memory")] = Some(record);
            }
        }
        history.into_iter().map(|record| record.expect("every place was taken")).collect()
    }
}

fn run(config: LockConfig, acquisitions: u64) -> Vec<Record> {
    let recorder = Arc::<Recorder>::default();
    let noted = recorder.clone();
    let host = TestHost::configured(|config| {
        config.shards = 2;
        config.observer = Some(Arc::new(move |event| noted.note(event)));
    });
    let locks = LOCKS.map(|name| LockSpec { name: name.to_owned(), config, ..LockSpec::default() }).to_vec();
    let stop = ValueSpec {
        name: "stop".to_owned(),
        content: ValueContent::Value { initial: Scalar::Signed(0), bytes_max: 0 },
        requires_lock: None,
    };
    let job = host.runtime().job(JobSpec { locks, values: vec![stop], ..JobSpec::default() }).expect("a job");
    let program = host.program("lock_history");
    let start = |number: usize| -> Process {
        let placement = if number.is_multiple_of(2) { Placement::Home } else { Placement::Spread };
        let spec = ProcessSpec { values: vec!["stop".to_owned()], placement, ..spec(&program, &LOCKS, &LOCKS, &[]) };
        host.spawn_spec(&job, &program, spec).0
    };
    let mut processes: Vec<_> = (0..PROCESSES).map(start).collect();
    let mut killed = Vec::new();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for kill in 1..acquisitions / GRANTS_PER_KILL {
        until("so many grants", || recorder.grants.load(Ordering::Relaxed) >= kill * GRANTS_PER_KILL);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = usize::try_from(random >> 33).expect("it fits") % PROCESSES;
        let other = start(victim);
        let victim = std::mem::replace(&mut processes[victim], other);
        victim.kill();
        killed.push(victim);
    }
    until("so many grants", || recorder.grants.load(Ordering::Relaxed) >= acquisitions);
    let stopper = ProcessSpec { values: vec!["stop".to_owned()], ..spec(&program, &["stop"], &[], &[]) };
    assert!(join(&host.spawn_spec(&job, &program, stopper).0).outcome.is_success());
    // Whoever was forgotten in a queue does not end.
    processes.iter().for_each(|process| assert!(join(process).outcome.is_success(), "{:?}", join(process).outcome));
    killed.iter().for_each(|process| drop(join(process)));
    drop(job);
    drop(host);
    recorder.history()
}

fn acquisitions() -> u64 {
    std::env::var("ACQUISITIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000)
}

#[test]
fn a_long_history_with_random_kills_has_no_fault() {
    for (name, config) in [("bounded", LockConfig::default()), ("strict", LockConfig::strict())] {
        let history = run(config, acquisitions() / 2);
        match check(&history) {
            Ok(summary) => println!("{name}: {} records, {summary:?}", history.len()),
            Err((at, fault)) => {
                let around = &history[at.saturating_sub(20)..(at + 5).min(history.len())];
                panic!("{name}: {fault:?} at record {at} of {}:\n{around:#?}", history.len());
            }
        }
    }
}

/// A short history without a fault: two processes at one lock, one of them killed while it holds it.
fn sound() -> Vec<Record> {
    let record = |what, process, fence| Record { what, process, lock: 0, fence };
    vec![
        record(What::Asked, 1, 0),
        record(What::Granted, 1, 5),
        record(What::Asked, 2, 0),
        record(What::Released, 1, 5),
        record(What::Granted, 2, 6),
        record(What::Asked, 1, 0),
        record(What::HoldEnded, 2, 6),
        record(What::Killed, 2, 0),
        record(What::Granted, 1, 8),
        record(What::Released, 1, 8),
        record(What::Asked, 1, 0),
        record(What::Refused, 1, 0),
        record(What::Ended, 1, 0),
    ]
}

#[test]
fn each_planted_fault_is_found() {
    assert!(check(&sound()).is_ok());
    let planted = |plant: &dyn Fn(&mut Vec<Record>)| {
        let mut history = sound();
        plant(&mut history);
        check(&history).expect_err("a fault").1
    };
    // The lock is granted before it is released.
    assert_eq!(planted(&|history| history.swap(3, 4)), Fault::Overlap);
    // A fence comes a second time, or goes back.
    assert_eq!(planted(&|history| (history[8].fence, history[9].fence) = (6, 6)), Fault::FenceBack);
    // A wake-up is lost: the one who asked is never answered, and is not over.
    assert_eq!(planted(&|history| history.truncate(6)), Fault::NeverAnswered);
    // A hold is not taken away from a process that is over.
    assert_eq!(planted(&|history| assert_eq!(history.remove(6).what, What::HoldEnded)), Fault::HeldByTheDead);
    // Somebody releases what another one holds.
    assert_eq!(planted(&|history| history[3].process = 2), Fault::NoSuchHold);
    // A hold is released twice.
    assert_eq!(planted(&|history| history.insert(4, history[3])), Fault::NoSuchHold);
    // The same, and the one who asked ends by itself, as after an error that it was not told of.
    assert_eq!(planted(&|history| assert_eq!(history.remove(11).what, What::Refused)), Fault::NeverAnswered);
    // A lock is granted to a process that is over.
    assert_eq!(planted(&|history| history[8].process = 2), Fault::OutOfTurn);
    // An answer to nothing.
    assert_eq!(planted(&|history| history.insert(0, history[11])), Fault::OutOfTurn);
}
