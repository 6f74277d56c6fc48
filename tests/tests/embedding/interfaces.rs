//! Host interfaces of the embedder's own.

use std::sync::PoisonError;
use std::time::Duration;

use lockkeeper::wasmtime::StoreContextMut;
use lockkeeper::wasmtime::component::HasSelf;
use lockkeeper::{
    CallError, EndCause, Grant, HostInterfaces, Outcome, Previous, ProcessState, Program, ProgramError, Runtime,
};
use lockkeeper_tests::{TestHost, guest};

use crate::support::{Cases, Hooks, Said, hooks, host_with_hooks, job_with_gate, start};

fn tell(plugin: &lockkeeper::Plugin<Cases>, word: &'static str) -> Result<String, CallError> {
    plugin.call_blocking(async move |cases, store| cases.tests_plugin_cases().call_tell(store, word).await)
}

fn message(answer: Result<String, CallError>) -> String {
    match answer {
        Err(CallError::Ended { exit }) => exit.outcome.to_string(),
        other => panic!("the plugin should have ended: {other:?}"),
    }
}

#[test]
fn each_process_has_data_of_its_own_and_who_is_given_some_has_that() {
    let (host, said) = host_with_hooks(1);
    let program = host.program("plugin_cases");
    let bind =
        |store: lockkeeper::wasmtime::StoreContextMut<'_, ProcessState>, instance: &_| Cases::new(store, instance);
    let plain = host.runtime().spawn(&program).plugin_blocking(bind).expect("a plugin");
    let mine = Said::default();
    let given = host
        .runtime()
        .spawn(&program)
        .data(Hooks { said: mine.clone(), locks: None })
        .plugin_blocking(bind)
        .expect("a plugin");
    assert_eq!(tell(&plain, "to everybody").expect("an answer"), "to everybody");
    assert_eq!(tell(&given, "to me").expect("an answer"), "to me");
    assert_eq!(*said.lock().unwrap_or_else(PoisonError::into_inner), ["to everybody"]);
    assert_eq!(*mine.lock().unwrap_or_else(PoisonError::into_inner), ["to me"]);
    let name = plain.call_blocking(async |_, store| Ok(store.data().process_name().to_owned()));
    assert_eq!(name.expect("an answer"), "plugin_cases");
}

#[test]
fn a_panic_or_an_error_of_an_interface_ends_who_called_and_no_other() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let [panics, fails, other] = ["panics", "fails", "other"].map(|name| start(&host, &job, name));
    assert!(message(tell(&panics, "panic")).contains("the test wants a panic"));
    assert!(message(tell(&fails, "fail")).contains("the test wants a failure"));
    assert_eq!(tell(&other, "still here").expect("an answer"), "still here");
}

#[test]
fn data_that_was_not_given_is_told_by_name() {
    let host = TestHost::configured(|config| {
        config.host_interfaces = HostInterfaces::default()
            .link(|linker| hooks::add_to_linker::<_, HasSelf<_>>(linker, ProcessState::data_mut::<Hooks>));
    });
    let program = host.program("plugin_cases");
    let plugin = host.runtime().spawn(&program).plugin_blocking(|store, instance| Cases::new(store, instance));
    let told = message(tell(&plugin.expect("a plugin"), "anything"));
    assert!(told.contains("Hooks") && told.contains("Spawn::data"), "{told}");
}

#[test]
fn an_interface_may_wait_for_a_lock_and_its_wait_goes_with_its_process() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "waiter");
    let mut gate = job.locks("host code");
    let hold = gate.acquire("gate").blocking().expect("it is free");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tell(&plugin, "wait"));
        host.until_lock(&job, "gate", "the plugin waits", |view| view.queue.len() == 1);
        plugin.process().kill();
        assert_eq!(message(waiting.join().expect("no panic")), Outcome::Killed.to_string());
    });
    host.until_lock(&job, "gate", "nobody waits", |view| view.queue.is_empty());
    drop(hold);
}

#[test]
fn what_an_interface_holds_when_its_process_is_ended_is_abandoned() {
    let (host, said) = host_with_hooks(1);
    let job = job_with_gate(&host);
    for end in ["kill", "limit"] {
        let plugin = start(&host, &job, end);
        let mut gate = job.locks("host code");
        let hold = gate.acquire("gate").blocking().expect("it is free");
        // The interface has `work`, and waits for the gate.
        std::thread::scope(|scope| {
            let call = scope.spawn(|| {
                let word = if end == "kill" { "keep" } else { "keep and wait" };
                let limit = Duration::from_millis(if end == "kill" { 100_000 } else { 50 });
                plugin.call_within_blocking(limit, async move |cases, store| {
                    cases.tests_plugin_cases().call_tell(store, word).await
                })
            });
            host.until_lock(&job, "gate", "the interface waits", |view| view.queue.len() == 1);
            if end == "kill" {
                plugin.process().kill();
            }
            let ended = message(call.join().expect("no panic"));
            assert!(ended.contains(if end == "kill" { "killed" } else { "limit" }), "{ended}");
        });
        let next = gate.acquire("work").blocking().expect("it is free");
        assert!(matches!(next.previous(), Previous::Abandoned { how: EndCause::Trapped, .. }), "{end}");
        next.mark_consistent().expect("it is held");
        drop(hold);
    }
    assert!(said.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
}

/// What an embedder keeps with a process, and cannot let go.
struct Stubborn;

impl Drop for Stubborn {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the test wants a panic");
        }
    }
}

#[test]
fn data_that_panics_when_it_is_dropped_ends_its_process_and_no_other() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let other = start(&host, &job, "other");
    let program = host.program("plugin_cases");
    let bind = |store: StoreContextMut<'_, ProcessState>, instance: &_| Cases::new(store, instance);
    let spawn = || host.runtime().spawn(&program).data(Stubborn).plugin_blocking(bind).expect("a plugin");
    let closed = spawn().close_blocking();
    assert!(matches!(&closed.outcome, Outcome::HostFault { message } if message.contains("wants a panic")));
    let killed = spawn();
    killed.process().kill();
    killed.process().join_blocking();
    assert_eq!(tell(&other, "still here").expect("an answer"), "still here");
}

#[test]
fn data_that_cannot_be_made_starts_no_process_and_leaves_none() {
    let host = TestHost::configured(|config| {
        config.host_interfaces = HostInterfaces::default().data(|_, name| {
            assert_ne!(name, "bad", "the test wants a panic");
            Stubbed
        });
    });
    struct Stubbed;
    let (program, job) = (host.program("cli_hello"), host.job(&["work"]));
    let spawn = |name: &str| host.runtime().spawn(&program).job(&job).name(name).start();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| spawn("bad"))).expect_err("it panics");
    assert_eq!(lockkeeper_tests::join(&spawn("good").expect("a process")).outcome, Outcome::Returned);
    job.ended_blocking();
}

#[test]
fn a_host_may_end_on_one_of_its_own_shards() {
    let (host, said) = host_with_hooks(1);
    drop(host);
    let dir = tempfile::tempdir().expect("a directory");
    let each = said.clone();
    let runtime = Runtime::builder()
        .shards(1)
        .state_dir(dir.path())
        .host_interfaces(|linker| hooks::add_to_linker::<_, HasSelf<_>>(linker, ProcessState::data_mut::<Hooks>))
        .data(move |_, _| Hooks { said: each.clone(), locks: None })
        .build();
    let runtime = std::sync::Arc::new(runtime.expect("a host"));
    let program = Program::from_file(&runtime, guest("plugin_cases")).expect("a program");
    let plugin = runtime
        .spawn(&program)
        .data(runtime.clone())
        .plugin_blocking(|store, instance| Cases::new(store, instance))
        .expect("a plugin");
    drop(runtime);
    assert_eq!(tell(&plugin, "the host is here").expect("an answer"), "the host is here");
    // From inside it can be shut down too, which does not wait for who asks.
    let shut = plugin.call_blocking(async |_, mut store| {
        store.data_mut().data_mut::<std::sync::Arc<Runtime>>().shut_down(Duration::MAX);
        Ok(())
    });
    shut.expect("an answer");
    // It is the last that has the host, and lets it go on its shard.
    assert_eq!(plugin.close_blocking().outcome, Outcome::Returned);
}

#[test]
fn waiting_for_a_process_on_a_shard_is_refused() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let (one, other) = (start(&host, &job, "one"), start(&host, &job, "other"));
    let process = other.process().clone();
    let waited = one.call_blocking(async move |_, _| {
        process.join_blocking();
        Ok(String::new())
    });
    assert!(message(waited).contains("must not wait for one"));
    other.close_blocking();
}

#[test]
fn children_have_what_is_made_for_each_and_an_inspection_knows_the_interfaces() {
    let made: std::sync::Arc<std::sync::Mutex<Vec<String>>> = std::sync::Arc::default();
    let seen = made.clone();
    let host = TestHost::configured(|config| {
        config.host_interfaces = HostInterfaces::default()
            .link(|linker| hooks::add_to_linker::<_, HasSelf<_>>(linker, ProcessState::data_mut::<Hooks>))
            .data(move |_, name| seen.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned()));
    });
    let inspection = host.runtime().inspect(&guest("plugin_cases")).expect("a program");
    assert!(inspection.imports.iter().all(|import| import.known), "{:?}", inspection.imports);
    let program = host.program("process_cases");
    let parent = host.runtime().spawn(&program).name("parent").arg("test_process").grant(Grant::program("self"));
    let parent = parent.start().expect("a process");
    lockkeeper_tests::join(&parent);
    let made = made.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(made.len() > 1 && made[1].starts_with("parent/"), "{made:?}");
}

#[test]
fn an_interface_cannot_block_the_shard() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "blocker");
    assert_eq!(tell(&plugin, "block").expect("an answer"), "refused");
}

#[test]
fn an_interface_that_is_not_there_or_there_twice_is_told_at_once() {
    let host = TestHost::with_shards(1);
    let missing = Program::from_file(host.runtime(), guest("plugin_cases"));
    assert!(matches!(missing, Err(ProgramError::UnknownImport { import, .. }) if import == "tests:plugin/hooks"));

    let other = TestHost::configured(|config| {
        config.host_interfaces = HostInterfaces::default().link(|linker| {
            linker.instance("other:things/here")?.func_wrap("nothing", |_, (): ()| Ok(()))?;
            Ok(())
        });
    });
    let told = Program::from_file(other.runtime(), guest("plugin_cases")).expect_err("it is not there").to_string();
    assert!(told.contains("tests:plugin/hooks"), "{told}");

    let dir = tempfile::tempdir().expect("a directory");
    let add = |linker: &mut lockkeeper::wasmtime::component::Linker<ProcessState>| {
        hooks::add_to_linker::<_, HasSelf<_>>(linker, ProcessState::data_mut::<Hooks>)
    };
    let builder = Runtime::builder().state_dir(dir.path()).host_interfaces(add).host_interfaces(add);
    let Err(twice) = builder.build() else { panic!("it is there twice") };
    assert!(twice.to_string().starts_with("a host interface cannot be added: "), "{twice}");
}

#[test]
fn a_builder_sets_what_it_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = ended.clone();
    let runtime = Runtime::builder()
        .shards(1)
        .state_dir(dir.path())
        .observer(move |event| {
            if let lockkeeper::observe::Event::Ended { .. } = event {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        })
        .build()
        .expect("a host");
    let program = Program::from_file(&runtime, guest("cli_exit")).expect("a program");
    let process = runtime
        .spawn(&program)
        .name("exits")
        .arg("3")
        .limit(|limits| limits.timeout = Some(Duration::from_secs(100)))
        .start()
        .expect("a process");
    let outcome = futures::executor::block_on(process.outcome());
    assert!(!outcome.is_success(), "{outcome}");
    assert_eq!(ended.load(std::sync::atomic::Ordering::SeqCst), 1);
    // What the job does not have cannot be granted.
    let refused = runtime.spawn(&program).grant(Grant::lock("results")).start().expect_err("there is no such lock");
    assert_eq!(refused.to_string(), "`cli_exit` is granted lock `results`, which the job does not declare");
}
