//! Guests that end inside every call of the host, or give it the worst that a core module can: the host lives, and with it
//! whoever holds nothing of theirs.
//!
//! Nothing here names the functions of the contract: they are read from `wit/`, with WASI's, and what one is given is made
//! of its types. So a function that is new there is called here, and a new resource, or a new way to wait, fails the test until
//! it is said how a process comes to it ([`scene`]).

mod arguments;
mod contract;
mod scene;
mod script;

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{
    Access, Delivery, DirGrant, Job, JobLimits, JobSpec, Limits, LockKind, LockSpec, Name, Parties, Process,
    ProcessSpec, Profile, Program, QueueConfig, Scalar, Scalars, SemaphoreKind, ValueContent, ValueSpec,
};
use lockkeeper_tests::{Lines, TestHost, figure, join, thing, until, workspace};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use wit_parser::{Function, TypeDefKind};

use arguments::{CaseOf, Fill, List, gives_a_handle, has_list};
use contract::{Call, CallKind, Contract};
use scene::{
    SIGN, Scene, UNOBTAINABLE, after_waiting, before_waiting, farewell, good, holder, own, resources_of, ways,
};
use script::{Argument, MEMORY_END, RETURN_AT, Realloc};

/// A call that may wait for ever is not waited for longer.
const PATIENCE_WITH_WAITS: Duration = Duration::from_millis(30);

/// How much a call may carry here; far less than a memory has.
const CALL_BYTES_MAX: u32 = 1 << 20;

/// What happens in one process.
struct Case {
    what: String,
    script: Vec<u8>,
    must: Must,
}

/// How a process may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// In any way in which it is itself to blame, or well.
    End,
    /// By a trap: what it did makes no sense in WebAssembly.
    Trap,
    /// At the end of its stack.
    Overflow,
}

/// A host with the program that calls everything, and a neighbour who has nothing to do with it.
struct Street {
    host: TestHost,
    contract: Arc<Contract>,
    program: Program,
    home: Job,
    neighbour: Process,
    neighbour_lines: Lines,
    cases: usize,
}

impl Street {
    fn new(profile: Profile) -> Self {
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
            start_data: scene::neighbour(&contract),
            ..ProcessSpec::default()
        };
        let (neighbour, neighbour_lines) = host.spawn_spec(&home, &program, spec);
        host.wait_for("the neighbour", |event| matches!(event, Event::Started { .. }));
        host.forget_events();
        Self { host, contract, program, home, neighbour, neighbour_lines, cases: 0 }
    }

    /// A job with one thing of every kind, each under the name of its kind, and what the waits need.
    fn job(&self) -> Job {
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
    fn spec(&self, job: &Job, start_data: Vec<u8>) -> ProcessSpec {
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
    fn tidy(&self) {
        let folder = self.folder();
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the folder goes");
        }
        fs::create_dir_all(folder.join("s")).expect("a new folder");
        fs::write(folder.join("f"), "some text").expect("a file of the test is written");
        std::os::unix::fs::symlink("f", folder.join("l")).expect("a link");
    }

    /// Plays one case, and answers how the process ended.
    fn play(&mut self, job: &Job, call: &Call, case: &Case, timeout: Option<Duration>) -> Outcome {
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
    fn ends_from_outside(
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
    fn is_quiet(&self, job: &Job, what: &str) {
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
    fn close(self) {
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

/// A case in which the arguments of a call come from a function, with real handles, if there can be some.
fn case(
    contract: &Contract,
    call: &Call,
    way: usize,
    what: impl Into<String>,
    must: Must,
    arguments: impl FnOnce(&mut Scene<'_>) -> Vec<Argument>,
) -> Case {
    let mut scene = Scene::new(contract);
    scene.obtain_for(call, way);
    let arguments = arguments(&mut scene);
    scene.script.call(contract.find(&call.full_name()), &arguments);
    Case { what: format!("{} (way {way})", what.into()), script: scene.finish(), must }
}

/// Hostile arguments beside real handles.
fn hostile_arguments(contract: &Contract, call: &Call, way: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    let good = good(call);
    let own_arguments = usize::from(own(contract, call).is_some());
    // Every bit the same, whatever it is an argument of; with the handle that it is a method of.
    for (what, bits) in [("all zero", 0), ("all ones", u64::MAX)] {
        cases.push(case(contract, call, way, what, Must::End, |scene| {
            let mut arguments = scene.arguments(call, &good);
            arguments[own_arguments..].fill(Argument::Is(bits));
            arguments
        }));
    }
    let CallKind::Function { function, returns_in_memory, .. } = &call.kind else {
        return cases;
    };
    let mut fills: Vec<(String, Must, Fill)> = vec![("good ones".to_owned(), Must::End, good.clone())];
    for number in [0, u64::MAX, 1 << 31, 1 << 63] {
        for case in [CaseOf::First, CaseOf::Lists] {
            let fill = Fill { number, case, ..good.clone() };
            fills.push((format!("numbers {number:#x}, {case:?}"), Must::End, fill));
        }
    }
    fills.push(("unknown cases".to_owned(), Must::End, Fill { case: CaseOf::Unknown, ..good.clone() }));
    if function.params.iter().any(|param| has_list(contract, &param.ty)) {
        let beyond = List::AtTheEnd { beyond: 1 };
        let inside = |list: List| List::Inside(Box::new(list));
        let (largest, more) = (List::Bytes(CALL_BYTES_MAX / 8 * 7), List::Bytes(3 << 20));
        // A list of lists of nothing counts less for each element than it takes in memory here, and so may be allowed.
        let lists = [
            (Must::End, List::NotText),
            (Must::End, List::AtTheEnd { beyond: 0 }),
            (Must::Trap, beyond.clone()),
            (Must::Trap, List::Huge(u32::MAX)),
            (Must::Trap, List::Huge(u32::MAX / 2)),
            (Must::End, List::Huge(0x1000_0000)),
            (Must::End, largest),
            (Must::Trap, more),
            (Must::End, List::Odd),
            (Must::End, inside(List::NotText)),
            (Must::Trap, inside(beyond)),
            (Must::Trap, inside(List::Huge(u32::MAX))),
            (Must::End, inside(List::Odd)),
        ];
        fills.extend(lists.map(|(must, list)| (format!("{list:?}"), must, good.lists(list))));
    }
    cases.extend(
        fills
            .into_iter()
            .map(|(what, must, fill)| case(contract, call, way, what, must, |scene| scene.arguments(call, &fill))),
    );
    if *returns_in_memory {
        let result = function.result.as_ref().expect("what returns in memory returns something");
        let bytes = contract.sizes.size(result).size_wasm32();
        let align = contract.sizes.align(result).align_wasm32();
        let end = MEMORY_END as usize;
        let places = [
            ("where the result just fits", (end - bytes) / align * align, Must::End),
            ("where the result just does not fit", (end - bytes) / align * align + align, Must::Trap),
            ("at the end", end, Must::Trap),
            ("far outside", 0xffff_fff0, Must::Trap),
            ("at an odd place", 0x101, if align > 1 { Must::Trap } else { Must::End }),
        ];
        cases.extend(places.map(|(what, place, must)| {
            case(contract, call, way, format!("a result {what}"), must, |scene| {
                let mut arguments = scene.arguments(call, &good);
                *arguments.last_mut().expect("the place is the last argument") = Argument::Is(place as u64);
                arguments
            })
        }));
    }
    cases
}

/// Handles that are none, or of something else, or not any more.
fn hostile_handles(contract: &Contract, call: &Call) -> Vec<Case> {
    let resources = resources_of(contract, call);
    let mut cases = Vec::new();
    for (resource, name) in &resources {
        for number in [0, 1_000_000, u32::MAX] {
            cases.push(case(contract, call, 0, format!("{number} as a {name}"), Must::Trap, |scene| {
                let forged = scene.number(number);
                scene.handles.insert(*resource, forged);
                scene.arguments(call, &good(call))
            }));
        }
        let other = if name.starts_with("lockkeeper:runtime/event") { "mutex" } else { "event" };
        cases.push(case(contract, call, 0, format!("an {other} as a {name}"), Must::Trap, |scene| {
            let other = scene.open(&format!("lockkeeper:runtime/{other}"), other);
            scene.handles.insert(*resource, other);
            scene.arguments(call, &good(call))
        }));
        if ways(name) > 0 {
            cases.push(case(contract, call, 0, format!("a {name} that was dropped"), Must::Trap, |scene| {
                let (interface, resource_name) = name.split_once('.').expect("the name of a resource");
                let handle = Argument::In(scene.handles[resource]);
                scene.call(&format!("{interface}.[resource-drop]{resource_name}"), &[handle]);
                scene.arguments(call, &good(call))
            }));
        }
    }
    cases
}

/// Cases in which the host asks the program for memory to put its answer in, if it comes to that.
fn while_answering(contract: &Contract, call: &Call, realloc: Realloc, way: usize, signs: bool) -> Vec<Case> {
    let good = good(call);
    let mut fills = vec![
        ("a good call", good.clone()),
        ("a name that is none", Fill { text: "\n".to_owned(), ..good.clone() }),
        ("numbers that do not fit", Fill { number: u64::MAX, ..good.clone() }),
    ];
    // With a timeout it would be chance whether there is something to answer.
    if !call.may_wait() {
        fills.push(("other cases", Fill { case: CaseOf::Lists, ..good }));
    }
    fills
        .into_iter()
        .map(|(what, fill)| {
            let must = if realloc == Realloc::Recurses { Must::Overflow } else { Must::End };
            case(contract, call, way, format!("{what}, realloc {realloc:?}"), must, |scene| {
                scene.prepare(call);
                let arguments = scene.arguments(call, &fill);
                if signs {
                    scene.sign();
                }
                scene.script.realloc(realloc);
                arguments
            })
        })
        .collect()
}

/// All functions have been called, and every resource has a way to it or a reason why there is none.
fn is_whole(contract: &Contract, called: &BTreeSet<String>) {
    let all: BTreeSet<String> = contract.calls.iter().map(Call::full_name).collect();
    assert_eq!(*called, all);
    // Counted by other means, in case functions are overlooked.
    let mut ours = 0;
    for file in fs::read_dir(workspace().join("wit")).expect("the contract is there") {
        let path = file.expect("a file of the contract").path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            let text = fs::read_to_string(&path).expect("a file of the contract is read");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            ours += code.filter(|line| line.contains("func(") || line.trim_start().starts_with("resource ")).count();
        }
    }
    let called_ours = called.iter().filter(|name| name.starts_with("lockkeeper:runtime/")).count();
    assert_eq!(called_ours, ours, "functions and resources in wit/*.wit");
    let mut interfaces = contract.interfaces();
    // It is the one that programs have and the host calls.
    assert!(interfaces.remove("wasi:cli/run"));
    let imported: BTreeSet<String> = contract.calls.iter().map(|call| call.interface.clone()).collect();
    assert_eq!(imported.difference(&interfaces).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(interfaces.difference(&imported).collect::<Vec<_>>(), Vec::<&String>::new());
    let without: BTreeSet<String> = contract.resources().map(|(_, name)| name).filter(|name| ways(name) == 0).collect();
    assert_eq!(without, UNOBTAINABLE.iter().map(|(name, _)| (*name).to_owned()).collect());
}

/// In every call: what makes no sense, what is too much, and handles of nobody.
fn arguments_of_all_kinds(profile: Profile) {
    let mut street = Street::new(profile);
    let contract = street.contract.clone();
    let mut called = BTreeSet::new();
    let (mut trapped, mut answered) = (0, 0);
    for call in &contract.calls {
        street.tidy();
        let job = street.job();
        let ways = own(&contract, call).map_or(1, |own| ways(&contract.resource_name(own)));
        let mut cases = hostile_handles(&contract, call);
        // Without a way to its own handle there are only the handles of nobody.
        (0..ways).for_each(|way| cases.extend(hostile_arguments(&contract, call, way)));
        assert!(!cases.is_empty(), "{} is called", call.full_name());
        for case in &cases {
            match street.play(&job, call, case, call.may_wait().then_some(PATIENCE_WITH_WAITS)) {
                Outcome::Trapped { .. } => trapped += 1,
                _ => answered += 1,
            }
        }
        street.is_quiet(&job, &call.full_name());
        called.insert(call.full_name());
    }
    is_whole(&contract, &called);
    figure(format_args!(
        "{profile}: {} functions in {} cases, of which {trapped} trapped and {answered} were answered",
        called.len(),
        street.cases
    ));
    street.close();
}

/// A result with a list in it is put where the program says, and by then it is too late to answer anything else.
fn ends_in_the_middle_of_answers(profile: Profile) {
    let mut street = Street::new(profile);
    let contract = street.contract.clone();
    let (mut asking, mut not_asking) = (BTreeSet::new(), BTreeSet::new());
    for call in contract.calls.iter().filter(|call| may_ask_for_memory(&contract, call)) {
        street.tidy();
        let job = street.job();
        let ways = own(&contract, call).map_or(1, |own| ways(&contract.resource_name(own)));
        let mut asks = false;
        for way in 0..ways {
            let places = asks_for_memory(&mut street, &job, call, way);
            asks |= !places.is_empty();
            ends_there(&mut street, &job, call, way, &places);
        }
        street.is_quiet(&job, &call.full_name());
        if asks {
            asking.insert(call.full_name())
        } else {
            not_asking.insert(call.full_name())
        };
    }
    for call in contract.calls.iter().filter(|call| answers_with_a_list(&contract, call)) {
        let name = call.full_name();
        assert!(asking.contains(&name), "{name}: say in `Scene::prepare` when it has something to answer");
    }
    figure(format_args!(
        "{profile}: {} functions ended in the middle of their answers in {} cases, {} answer with numbers only here",
        asking.len(),
        street.cases,
        not_asking.len()
    ));
    street.close();
}

fn may_ask_for_memory(contract: &Contract, call: &Call) -> bool {
    call.function().and_then(|function| function.result.as_ref()).is_some_and(|result| has_list(contract, result))
}

/// Whether a call answers with a list if all is well; the others might, to say what is wrong.
fn answers_with_a_list(contract: &Contract, call: &Call) -> bool {
    let ok = |function: &Function| match contract.made_of(function.result.as_ref()?) {
        Ok(TypeDefKind::Result(result)) => result.ok,
        _ => function.result,
    };
    let is_reachable = own(contract, call).is_none_or(|own| ways(&contract.resource_name(own)) > 0);
    // No process of this host has a current directory to tell of.
    let has_one = is_reachable && call.full_name() != "wasi:cli/environment.initial-cwd";
    has_one && call.function().and_then(ok).is_some_and(|ok| has_list(contract, &ok))
}

/// In which of its cases a call comes to asking for memory.
fn asks_for_memory(street: &mut Street, job: &Job, call: &Call, way: usize) -> Vec<usize> {
    let cases = while_answering(&street.contract, call, Realloc::Traps, way, false);
    // Some wait for ever instead; those that are sure to answer are given all the time they need.
    let may_wait = call.may_wait() && !answers_with_a_list(&street.contract, call);
    let timeout = may_wait.then_some(PATIENCE_WITH_WAITS);
    let asks = |case: &Case| match street.play(job, call, case, timeout) {
        Outcome::Trapped { message } => message.contains("unreachable"),
        _ => false,
    };
    let asked: Vec<bool> = cases.iter().map(asks).collect();
    (0..asked.len()).filter(|place| asked[*place]).collect()
}

/// Ends in every way at the place where the host asks for memory.
fn ends_there(street: &mut Street, job: &Job, call: &Call, way: usize, places: &[usize]) {
    let name = call.full_name();
    for realloc in [Realloc::LastByte, Realloc::Outside, Realloc::Misaligned, Realloc::Recurses, Realloc::CallsAgain] {
        let cases = while_answering(&street.contract, call, realloc, way, false);
        for case in places.iter().map(|place| &cases[*place]) {
            let outcome = street.play(job, call, case, None);
            let right = match realloc {
                Realloc::Outside => matches!(outcome, Outcome::Trapped { .. }),
                Realloc::Recurses => outcome == Outcome::StackOverflow,
                Realloc::CallsAgain => {
                    matches!(&outcome, Outcome::Trapped { message } if message.contains("cannot leave component"))
                }
                _ => true,
            };
            assert!(right, "{name}, {}: it {outcome}", case.what);
        }
    }
    let Some(place) = places.first() else {
        return;
    };
    let case = while_answering(&street.contract, call, Realloc::NeverReturns, way, true).swap_remove(*place);
    street.ends_from_outside(
        job,
        &format!("{name}, {}", case.what),
        |_| true,
        || street.spec(job, case.script.clone()),
    );
}

#[test]
fn host_lives_whatever_it_is_called_with() {
    arguments_of_all_kinds(Profile::Dense);
}

/// Where the end of memory is found by a guard and not by looking.
#[test]
fn host_lives_whatever_it_is_called_with_by_processes_of_the_image_profile() {
    arguments_of_all_kinds(Profile::Image);
}

#[test]
fn host_lives_when_programs_end_in_the_middle_of_an_answer() {
    ends_in_the_middle_of_answers(Profile::Dense);
}

#[test]
fn host_lives_when_programs_of_the_image_profile_end_in_the_middle_of_an_answer() {
    ends_in_the_middle_of_answers(Profile::Image);
}

/// Whatever gives a handle is called until it gives no more, and far beyond; none is let go.
#[test]
fn host_lives_when_programs_leak_every_handle() {
    let mut street = Street::new(Profile::Dense);
    let contract = street.contract.clone();
    let gives = |call: &&Call| {
        let result = call.function().and_then(|function| function.result.as_ref());
        result.is_some_and(|result| gives_a_handle(&contract, result))
    };
    let mut leaked = 0;
    for call in contract.calls.iter().filter(gives) {
        street.tidy();
        let job = street.job();
        let ways = own(&contract, call).map_or(1, |own| ways(&contract.resource_name(own)));
        for way in 0..ways {
            let case = case(&contract, call, way, "again and again", Must::End, |scene| {
                let arguments = scene.arguments(call, &good(call));
                let (number, result) = (contract.find(&call.full_name()), scene.script.register());
                // More than all that a process may have open.
                (0..2_000).for_each(|_| scene.script.call_into(result, number, &arguments));
                arguments
            });
            street.play(&job, call, &case, None);
        }
        leaked += 1;
        street.is_quiet(&job, &call.full_name());
    }
    figure(format_args!("{leaked} functions gave handles that nobody let go"));
    street.close();
}

/// What stands in [`UNOBTAINABLE`] is refused, and is missing above for no other reason.
#[test]
fn no_process_can_have_sockets_names_and_terminals() {
    let street = Street::new(Profile::Dense);
    street.tidy();
    let job = street.job();
    let result = Argument::Is(RETURN_AT.into());
    for (maker, refused) in [
        ("wasi:cli/terminal-stdin.get-terminal-stdin", 0),
        ("wasi:cli/terminal-stdout.get-terminal-stdout", 0),
        ("wasi:cli/terminal-stderr.get-terminal-stderr", 0),
        ("wasi:sockets/tcp-create-socket.create-tcp-socket", 1),
        ("wasi:sockets/udp-create-socket.create-udp-socket", 1),
        ("wasi:sockets/ip-name-lookup.resolve-addresses", 1),
    ] {
        let mut scene = Scene::new(&street.contract);
        let call = &street.contract.calls[street.contract.find(maker)];
        scene.obtain_for(call, 0);
        let arguments = match maker.contains("terminal") {
            true => vec![result],
            false => scene.arguments(call, &Fill::good("localhost")),
        };
        scene.call(maker, &arguments);
        scene.script.expect_byte(RETURN_AT, refused);
        let (process, _) = street.host.spawn_spec(&job, &street.program, street.spec(&job, scene.finish()));
        assert_eq!(join(&process).outcome, Outcome::Returned, "{maker}");
    }
    drop(job);
    street.close();
}

/// In every call that may wait for ever, once by a kill and once by a time limit.
#[test]
fn host_lives_when_programs_end_in_the_middle_of_a_wait() {
    let street = Street::new(Profile::Dense);
    let contract = street.contract.clone();
    street.tidy();
    // A standard input that never says anything, and never ends.
    let silent = street.host.path("silent");
    mknodat(CWD, &silent, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe with a name");
    let _open = fs::File::options().read(true).write(true).open(&silent).expect("the pipe is opened");
    let job = street.job();
    let (holder, lines) = street.host.spawn_spec(&job, &street.program, street.spec(&job, holder(&contract)));
    lines.wait_for("holding");
    let waiting: Vec<&Call> = contract.calls.iter().filter(|call| call.may_wait()).collect();
    for call in &waiting {
        let name = call.full_name();
        let spec = || {
            let mut scene = Scene::new(&contract);
            let arguments = before_waiting(&mut scene, &name);
            scene.sign();
            let again = scene.script.label();
            scene.call(&name, &arguments);
            after_waiting(&mut scene, &name, &arguments, again);
            let mut spec = street.spec(&job, scene.finish());
            if name.contains("output-stream.blocking-write") || name.contains("output-stream.blocking-flush") {
                spec.limits.output_rate_max = NonZeroU64::new(1);
            }
            ProcessSpec { stdin: Some(silent.clone()), ..spec }
        };
        let waits = |process: &Process| {
            let queues = |lock: &Name| {
                let queue = job.inspect_lock(lock.as_str()).expect("a lock of the job").queue;
                queue.iter().any(|waiter| waiter.owner.get() == process.id().get())
            };
            // Of the others the host does not tell who waits.
            !name.starts_with("lockkeeper:") || name.ends_with("child.join") || job.lock_names().any(queues)
        };
        street.ends_from_outside(&job, &name, waits, spec);
    }
    assert!(holder.try_join().is_none(), "it holds on");
    holder.kill();
    join(&holder);
    street.is_quiet(&job, "the waits");
    figure(format_args!("{} functions ended in the middle of their waits", waiting.len()));
    drop(job);
    street.close();
}
