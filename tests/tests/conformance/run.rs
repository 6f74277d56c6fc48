//! One case from its job to the ends of its processes.

use lockkeeper::observe::Outcome;
use lockkeeper::{
    Delivery, Job, JobSpec, LockConfig, LockKind, LockSpec, Parties, Placement, Process, ProcessSpec, Program,
    QueueConfig, Scalar, ScalarKind, Scalars, SemaphoreKind, ValueContent, ValueSpec,
};
use lockkeeper_guest_programs::sync::{CASES, Case, Initial, Kind, Step, Thing};
use lockkeeper_tests::{Lines, TestHost, comes_true, spec};

/// So many items may one process have unfinished; more than any case has.
const UNFINISHED_MAX: u32 = 1_000;

/// Cases in which the order of arrival decides. Among processes of one core that is the order in which a lock is handed over;
/// across cores a lock stays on one for a few hand-overs, unless the job asks for strict order. So these ask for it.
const IN_ORDER: &[&str] = &[
    "test_acquire@asyncio",
    "test_acquire@asyncio-rlock",
    "test_finished_waiter_cancelled",
    "test_finished_waiter_cancelled@rlock",
];

/// Runs the cases of a program on one shard, where processes hand over without another thread, and on two, where they race;
/// 25 times with `LONG=1`.
pub(crate) fn all_of(program: &str) {
    let mut flaws = Vec::new();
    let mut passed = 0;
    let rounds = if std::env::var_os("LONG").is_some() { 25 } else { 1 };
    for (shards, placement) in [(1, Placement::Home), (2, Placement::Spread)].repeat(rounds) {
        let host = TestHost::with_shards(shards);
        let loaded = host.program(program);
        for case in CASES.iter().filter(|case| case.program == program) {
            match (Stage { host: &host, program: &loaded, case, placement }).run() {
                Ok(()) => passed += 1,
                Err(flaw) => flaws.push(format!("{program} {} on {shards} shard(s): {flaw}", case.name)),
            }
        }
    }
    println!("{program}: {passed} passed");
    assert!(passed + flaws.len() > 0, "{program} has no cases");
    assert!(flaws.is_empty(), "{} of {} failed:\n{}", flaws.len(), passed + flaws.len(), flaws.join("\n"));
}

struct Stage<'a> {
    host: &'a TestHost,
    program: &'a Program,
    case: &'a Case,
    placement: Placement,
}

impl Stage<'_> {
    fn run(&self) -> Result<(), String> {
        let job = self.host.runtime().job(self.job_spec()).map_err(|error| error.to_string())?;
        let processes: Vec<_> =
            (0..self.case.processes).map(|rank| self.spawn(&job, self.case.name, rank, self.case.processes)).collect();
        let ran = self.script(&job, &processes).and_then(|()| self.ends(&job, &processes));
        // Whoever is left would be in the way of the next case.
        for (process, _) in &processes {
            process.kill();
            process.join_blocking();
        }
        ran
    }

    fn job_spec(&self) -> JobSpec {
        let strict = self.placement == Placement::Spread && IN_ORDER.contains(&self.case.name);
        let config = if strict { LockConfig::strict() } else { LockConfig::default() };
        let mut job = JobSpec::default();
        for (name, thing) in self.case.things {
            let name = (*name).to_owned();
            let kind = match *thing {
                Thing::Mutex => LockKind::Mutex,
                Thing::RLock => LockKind::RLock,
                Thing::RwLock => LockKind::RwLock,
                Thing::Semaphore { initial, maximum, owned: false } => {
                    LockKind::Semaphore(SemaphoreKind::Signal { permits: initial, maximum })
                }
                Thing::Semaphore { initial, maximum, owned: true } => {
                    assert!(
                        maximum.is_none_or(|maximum| maximum == initial),
                        "owned permits are all there at the start"
                    );
                    LockKind::Semaphore(SemaphoreKind::Owned { permits: initial })
                }
                Thing::Condition { lock } => LockKind::Condition { lock: lock.to_owned() },
                Thing::Event => LockKind::Event,
                Thing::Barrier { parties, registered } => LockKind::Barrier {
                    parties,
                    parties_are: if registered { Parties::Registered } else { Parties::Waiting },
                },
                Thing::Latch { count } => LockKind::Latch { count },
                Thing::Once => LockKind::Once,
                Thing::Queue { items, bytes, acknowledge } => LockKind::Queue(QueueConfig {
                    items_max: items,
                    bytes_max: bytes,
                    delivery: if acknowledge {
                        Delivery::Acknowledged { unfinished_max: UNFINISHED_MAX }
                    } else {
                        Delivery::AtMostOnce
                    },
                }),
                Thing::Value { initial, lock } => {
                    let (initial, bytes_max) = match initial {
                        Initial::I64(number) => (Scalar::Signed(number), 0),
                        Initial::U64(number) => (Scalar::Unsigned(number), 0),
                        Initial::F64(number) => (Scalar::Float(number), 0),
                        Initial::Bytes { initial, maximum } => (Scalar::Bytes(initial.to_vec()), maximum),
                    };
                    let content = ValueContent::Value { initial, bytes_max };
                    job.values.push(ValueSpec { name, content, requires_lock: lock.map(str::to_owned) });
                    continue;
                }
                Thing::Array { kind, length, lock } => {
                    let kind = match kind {
                        Kind::I64 => ScalarKind::Signed,
                        Kind::U64 => ScalarKind::Unsigned,
                        Kind::F64 => ScalarKind::Float,
                        Kind::Bytes => ScalarKind::Bytes,
                    };
                    let content = ValueContent::Array(Scalars::zeroed(kind, length));
                    job.values.push(ValueSpec { name, content, requires_lock: lock.map(str::to_owned) });
                    continue;
                }
            };
            job.locks.push(LockSpec { name, kind, config, ..LockSpec::default() });
        }
        job
    }

    fn spawn(&self, job: &Job, argument: &str, rank: u32, count: u32) -> (Process, Lines) {
        let all = || self.case.things.iter().map(|(name, thing)| (*name, thing));
        let locks: Vec<&str> = all().filter(|(_, thing)| !is_value(thing)).map(|(name, _)| name).collect();
        let values = all().filter(|(_, thing)| is_value(thing)).map(|(name, _)| name.to_owned()).collect();
        let spec = spec(self.program, &[argument], &locks, &[]);
        let spec = ProcessSpec { rank, count, values, placement: self.placement, ..spec };
        self.host.spawn_spec(job, self.program, spec)
    }

    fn script(&self, job: &Job, processes: &[(Process, Lines)]) -> Result<(), String> {
        let waits_at = |thing| job.inspect_lock(thing).map(|view| view.queue.len());
        for step in self.case.script {
            match *step {
                Step::Queue { of, length } => {
                    let failed = || {
                        processes
                            .iter()
                            .find_map(|(process, _)| process.try_join().filter(|exit| is_fault(&exit.outcome)))
                    };
                    let is_there = || waits_at(of) == Some(length as usize) || failed().is_some();
                    let came = comes_true(is_there);
                    if let Some(exit) = failed() {
                        return Err(format!("{} {}; {}", exit.name, exit.outcome, said(processes)));
                    }
                    if !came {
                        let count = waits_at(of);
                        return Err(format!("{length} never waited at `{of}`, but {count:?}; {}", said(processes)));
                    }
                }
                Step::Set(event) => {
                    let (setter, lines) = self.spawn(job, &self.case.setter(event), 0, 1);
                    let outcome = setter.join_blocking().outcome.clone();
                    if outcome != Outcome::Returned {
                        return Err(format!("`{event}` was not set: {outcome}; {:?}", lines.all()));
                    }
                }
                Step::Kill(rank) => {
                    let (process, _) = &processes[rank as usize];
                    process.kill();
                    process.join_blocking();
                }
            }
        }
        Ok(())
    }

    /// Waits for all ends. If the host says that the job stands still, they do not come.
    fn ends(&self, job: &Job, processes: &[(Process, Lines)]) -> Result<(), String> {
        let over = || processes.iter().all(|(process, _)| process.try_join().is_some());
        let came = comes_true(|| over() || job.stall().is_some());
        // Looked at once more: the last one may have ended between the two halves of that.
        if let Some(stall) = job.stall().filter(|_| !over()) {
            return Err(format!("it stands still: {:?}; {}", stall.waits, said(processes)));
        }
        if !came {
            return Err(format!("it does not end; {}", said(processes)));
        }
        let mut flaws = Vec::new();
        for (rank, (process, lines)) in (0..).zip(processes) {
            let outcome = process.join_blocking().outcome.clone();
            let expected =
                if self.case.killed().any(|killed| killed == rank) { Outcome::Killed } else { Outcome::Returned };
            if outcome != expected {
                flaws.push(format!("rank {rank} {outcome}; it said {:?}", lines.all()));
            }
        }
        if flaws.is_empty() { Ok(()) } else { Err(flaws.join("; ")) }
    }
}

fn is_fault(outcome: &Outcome) -> bool {
    !outcome.is_success() && *outcome != Outcome::Killed
}

fn said(processes: &[(Process, Lines)]) -> String {
    let lines = |(process, lines): &(Process, Lines)| format!("{} said {:?}", process.name(), lines.all());
    processes.iter().map(lines).collect::<Vec<_>>().join(", ")
}

fn is_value(thing: &Thing) -> bool {
    matches!(thing, Thing::Value { .. } | Thing::Array { .. })
}
