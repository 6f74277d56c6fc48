//! Guests that end inside every call of the host, or give it the worst that a core module can: the host lives, and with it
//! whoever holds nothing of theirs.
//!
//! Nothing here names the functions of the contract: they are read from `wit/`, with WASI's, and what one is given is made
//! of its types. So a function that is new there is called here, and a new resource, or a new way to wait, fails the test until
//! it is said how a process comes to it ([`scene`]).

mod arguments;
mod cases;
mod contract;
mod scene;
mod script;
mod street;

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU64;

use lockkeeper::observe::Outcome;
use lockkeeper::{Job, Name, Process, ProcessSpec, Profile};
use lockkeeper_tests::{figure, join, workspace};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use wit_parser::{Function, TypeDefKind};

use arguments::{Fill, gives_a_handle, has_list};
use cases::{Case, Must, case, hostile_arguments, hostile_handles, while_answering};
use contract::{Call, Contract};
use scene::{Scene, UNOBTAINABLE, after_waiting, before_waiting, good, holder, own, ways};
use script::{Argument, RETURN_AT, Realloc};
use street::{PATIENCE_WITH_WAITS, Street};

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
