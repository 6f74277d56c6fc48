//! A host, the program that calls everything, jobs with a thing of every kind, and a neighbour who has nothing to do with any of
//! it: what has to be right whatever a guest does.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{
    Access, Delivery, DirGrant, Job, JobLimits, JobSpec, Limits, LockKind, LockSpec, Parties, Process, ProcessSpec,
    Profile, Program, QueueConfig, Scalar, Scalars, SemaphoreKind, ValueContent, ValueSpec,
};
use lockkeeper_tests::{Lines, TestHost, join, thing, until};

use super::cases::{CALL_BYTES_MAX, Case, Must};
use super::contract::{Call, Contract};
use super::scene::{SIGN, farewell, neighbour};

/// A call that may wait for ever is not waited for longer.
pub(super) const PATIENCE_WITH_WAITS: Duration = Duration::from_millis(30);

/// A host with the program that calls everything, and a neighbour who has nothing to do with it.
pub(super) struct Street {
    pub(super) host: TestHost,
    pub(super) contract: Arc<Contract>,
    pub(super) program: Program,
    home: Job,
    neighbour: Process,
    neighbour_lines: Lines,
    pub(super) cases: usize,
}

impl Street {
    pub(super) fn new(profile: Profile) -> Self {
        let host = TestHost::configured(|config| (config.shards, config.profile) = (1, Some(profile)));
        let contract = Arc::new(Contract::read());
        let path = host.path("every_call.wasm");
        fs::write(&path, contract.component()).expect("a file of the test is written");
        let program = Program::from_file(host.runtime(), &path).unwrap_or_else(|error| panic!("{error}"));
        let home = host.runtime().job(JobSpec {
            locks: vec![thing("own", LockKind::Mutex), thing("end", LockKind::Event)],
            values: vec![value("count", Scalar::Signed(0))],
            ..JobSpec::default()
        });
        let home = home.expect("a job");
        let spec = ProcessSpec {
            name: "neighbour".to_owned(),
            locks: vec!["own".to_owned(), "end".to_owned()],
            values: vec!["count".to_owned()],
            start_data: neighbour(&contract),
            ..ProcessSpec::default()
        };
        let (neighbour, neighbour_lines) = host.spawn_spec(&home, &program, spec);
        host.wait_for("the neighbour", |event| matches!(event, Event::Started { .. }));
        host.forget_events();
        Self { host, contract, program, home, neighbour, neighbour_lines, cases: 0 }
    }

    /// A job with one thing of every kind, each under the name of its kind, and what the waits need.
    pub(super) fn job(&self) -> Job {
        let queue = |items_max| {
            LockKind::Queue(QueueConfig {
                items_max,
                bytes_max: 1 << 20,
                delivery: Delivery::Acknowledged { unfinished_max: 64 },
            })
        };
        let locks: Vec<LockSpec> = [
            ("mutex", LockKind::Mutex),
            ("notice", LockKind::Mutex),
            (SIGN, LockKind::Mutex),
            ("rlock", LockKind::RLock),
            ("rwlock", LockKind::RwLock),
            ("shared", LockKind::RwLock),
            ("semaphore", LockKind::Semaphore(SemaphoreKind::Owned { permits: 1 })),
            ("once", LockKind::Once),
            ("condition", LockKind::Condition { lock: "mutex".to_owned() }),
            ("noticed", LockKind::Condition { lock: "notice".to_owned() }),
            ("event", LockKind::Event),
            ("barrier", LockKind::Barrier { parties: 2, parties_are: Parties::Waiting }),
            ("latch", LockKind::Latch { count: 1 }),
            ("queue", queue(64)),
            ("full", queue(1)),
        ]
        .map(|(name, kind)| thing(name, kind))
        .into();
        let array = ValueContent::Array(Scalars::Signed(vec![0; 8]));
        let values = vec![
            value("value", Scalar::Bytes(b"abc".to_vec())),
            ValueSpec { name: "array".to_owned(), content: array, requires_lock: None },
        ];
        let files = vec![self.host.lines_file("append-file", None)];
        let limits = JobLimits { objects_max: 1_000, object_bytes_max: 16 << 20, ..JobLimits::default() };
        self.host.runtime().job(JobSpec { locks, values, files, limits, ..JobSpec::default() }).expect("a job")
    }

    /// A process that may have all of a job.
    pub(super) fn spec(&self, job: &Job, start_data: Vec<u8>) -> ProcessSpec {
        ProcessSpec {
            name: "bad".to_owned(),
            start_data,
            env: vec![("KEY".to_owned(), "value".to_owned())],
            dirs: vec![DirGrant { host: self.folder(), guest: "/d".to_owned(), access: Access::ReadWrite }],
            locks: job.lock_names().map(ToString::to_string).collect(),
            values: vec!["value".to_owned(), "array".to_owned()],
            files: vec!["append-file".to_owned()],
            programs: vec!["self".to_owned()],
            limits: Limits { call_bytes_max: CALL_BYTES_MAX as usize, output_bytes_max: 1 << 16, ..Limits::default() },
            ..ProcessSpec::default()
        }
    }

    fn folder(&self) -> PathBuf {
        self.host.path("d")
    }

    /// Puts into the folder what good arguments name there.
    pub(super) fn tidy(&self) {
        let folder = self.folder();
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the folder goes");
        }
        fs::create_dir_all(folder.join("s")).expect("a new folder");
        fs::write(folder.join("f"), "some text").expect("a file of the test is written");
        std::os::unix::fs::symlink("f", folder.join("l")).expect("a link");
    }

    /// Plays one case, and answers how the process ended.
    pub(super) fn play(&mut self, job: &Job, call: &Call, case: &Case, timeout: Option<Duration>) -> Outcome {
        self.cases += 1;
        let mut spec = self.spec(job, case.script.clone());
        spec.limits.timeout = timeout;
        let (process, _) = self.host.spawn_spec(job, &self.program, spec);
        let outcome = join(&process).outcome.clone();
        let right = match &outcome {
            Outcome::Trapped { .. } => true,
            Outcome::Returned => case.must == Must::End,
            Outcome::TimedOut { .. } => timeout.is_some(),
            Outcome::StackOverflow => case.must == Must::Overflow,
            // A status is an answer of these, as a good return is of others.
            Outcome::Exited { .. } | Outcome::StatusOutOfRange { .. } => call.interface.ends_with("/exit"),
            _ => false,
        };
        assert!(right, "{}, {}: it {outcome}, and must {:?}", call.full_name(), case.what, case.must);
        outcome
    }

    /// Ends a process in the middle of a call, which comes after its [`Scene::sign`]: by a kill, once it `is_there`, and by its
    /// time limit.
    pub(super) fn ends_from_outside(
        &self,
        job: &Job,
        what: &str,
        is_there: impl Fn(&Process) -> bool,
        spec: impl Fn() -> ProcessSpec,
    ) {
        let sign = || job.inspect_lock(SIGN).expect("a lock of the job");
        let signed = sign().counters.acquired;
        let (process, _) = self.host.spawn_spec(job, &self.program, spec());
        until(&format!("{what}: it is there"), || {
            let end = process.try_join();
            assert!(end.is_none(), "{what}: it has ended: {end:?}");
            sign().counters.acquired > signed && is_there(&process)
        });
        process.kill();
        assert_eq!(join(&process).outcome, Outcome::Killed, "{what}");

        // A machine that has much else to do may need more time to come so far.
        let signed = sign().counters.acquired;
        let mut limit = PATIENCE_WITH_WAITS;
        while sign().counters.acquired == signed {
            let mut spec = spec();
            spec.limits.timeout = Some(limit);
            let (process, _) = self.host.spawn_spec(job, &self.program, spec);
            assert_eq!(join(&process).outcome, Outcome::TimedOut { limit }, "{what}");
            limit *= 2;
        }
    }

    /// Nothing of a job is held or waited for, everybody has ended, not by a fault of the host, and the neighbour goes on.
    pub(super) fn is_quiet(&self, job: &Job, what: &str) {
        // Nobody but the neighbour is left. A child that was to be adopted may be the last one.
        until(&format!("{what}: everybody has ended"), || {
            let events = self.host.events();
            let started = events.iter().filter(|event| matches!(event, Event::Started { .. })).count();
            let ended = events.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
            started == ended
        });
        for event in self.host.events() {
            if let Event::Ended { outcome: outcome @ Outcome::HostFault { .. }, name, .. } = event {
                panic!("{what}: {name}: {outcome}");
            }
        }
        self.host.forget_events();
        for name in job.lock_names() {
            let view = job.inspect_lock(name.as_str()).expect("a lock of the job");
            assert!(view.holders.is_empty() && view.queue.is_empty(), "{what}: `{name}` is {view:?}");
        }
        let rounds = || self.home.inspect_lock("own").expect("its lock").counters.acquired;
        let before = rounds();
        until(&format!("{what}: the neighbour goes on"), || {
            let end = self.neighbour.try_join();
            assert!(end.is_none(), "{what}: the neighbour has ended: {end:?}, {:?}", self.neighbour_lines.all());
            rounds() > before
        });
    }

    /// The neighbour comes to a good end, and the host shuts down.
    pub(super) fn close(self) {
        let spec = ProcessSpec {
            locks: vec!["end".to_owned()],
            start_data: farewell(&self.contract),
            ..ProcessSpec::default()
        };
        join(&self.host.spawn_spec(&self.home, &self.program, spec).0);
        let end = join(&self.neighbour);
        assert_eq!(end.outcome, Outcome::Returned, "nobody else has touched what is its own");
        let shutting_down = std::thread::spawn(move || drop((self.home, self.program, self.neighbour, self.host)));
        until("the host shuts down", || shutting_down.is_finished());
    }
}

fn value(name: &str, initial: Scalar) -> ValueSpec {
    let content = ValueContent::Value { initial, bytes_max: 1 << 20 };
    ValueSpec { name: name.to_owned(), content, requires_lock: None }
}
