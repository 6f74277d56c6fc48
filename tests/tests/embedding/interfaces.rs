//! Host interfaces of the embedder's own.

use std::sync::PoisonError;
use std::time::Duration;

use lockkeeper::wasmtime::component::HasSelf;
use lockkeeper::{CallError, Grant, HostInterfaces, Outcome, ProcessState, Program, ProgramError, Runtime};
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
