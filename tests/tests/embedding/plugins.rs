//! Typed calls of what a plugin exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{join, join_all};
use lockkeeper::{CallError, LockState, Outcome, Plugin, PluginError, Previous, Program, SpawnError, wasmtime};
use lockkeeper_tests::{TestHost, join as join_process, log_of, until};

use crate::support::{Cases, host_with_hooks, job_with_gate, start};

fn echo(plugin: &Plugin<Cases>, text: &str) -> Result<String, CallError> {
    let text = text.to_owned();
    plugin.call_blocking(async move |cases, store| cases.tests_plugin_cases().call_echo(store, &text).await)
}

fn outcome<T: std::fmt::Debug>(answer: Result<T, CallError>) -> Outcome {
    match answer {
        Err(CallError::Ended { exit }) => exit.outcome.clone(),
        other => panic!("the plugin should have ended: {other:?}"),
    }
}

#[test]
fn calls_answer_and_memory_stays_between_them() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "echo");
    let large = "x".repeat(1 << 20);
    for text in ["", "a word", large.as_str()] {
        assert_eq!(echo(&plugin, text).expect("an answer"), text);
    }
    let count = plugin.call_blocking(async |cases, store| cases.tests_plugin_cases().call_count(store).await);
    assert_eq!(count.expect("an answer"), 3);
    let exit = block_on(plugin.close());
    assert_eq!(exit.outcome, Outcome::Returned);
}

#[test]
fn a_lock_stays_held_between_calls_and_its_record_needs_it() {
    let (host, _) = host_with_hooks(2);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "keeper");
    let append = |text: &'static str| {
        plugin
            .call_blocking(async move |cases, store| cases.tests_plugin_cases().call_append(store, "log", text).await)
            .expect("an answer")
    };
    append("too early").expect_err("nothing is held");
    let take = async |cases: &Cases, store: wasmtime::StoreContextMut<'_, _>| {
        cases.tests_plugin_cases().call_take(store, "work").await
    };
    plugin.call_blocking(take).expect("an answer").expect("the lock is free");
    append("under the lock").expect("the lock is held");
    let mut mine = job.locks("host code");
    assert!(mine.acquire("work").now().expect("it is a lock").is_none(), "the plugin holds it");
    let given = plugin
        .call_blocking(async |cases, store| cases.tests_plugin_cases().call_give_back(store).await)
        .expect("an answer");
    given.expect("it is held");
    let hold = mine.acquire("work").now().expect("it is a lock").expect("it is free");
    assert_eq!(hold.previous(), Previous::Clean);
    drop(plugin);
    assert_eq!(log_of(&host.path("log")), b"under the lock\n");
}

#[test]
fn a_trap_ends_the_plugin_and_releases_what_it_holds() {
    let (host, _) = host_with_hooks(2);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "trapper");
    let fence = plugin
        .call_blocking(async |cases, store| cases.tests_plugin_cases().call_take(store, "work").await)
        .expect("an answer")
        .expect("the lock is free");
    let trapped = plugin.call_blocking(async |cases, store| cases.tests_plugin_cases().call_trap(store).await);
    assert!(matches!(outcome(trapped), Outcome::Trapped { .. }));
    // By then the lock is free, and whoever is next is told.
    let mut mine = job.locks("host code");
    let hold = mine.acquire("work").now().expect("it is a lock").expect("it is free");
    assert!(hold.fence() > fence);
    assert!(matches!(hold.previous(), Previous::Abandoned { how, .. } if how.to_string() == "trapped"));
    // Every later call says the same.
    assert!(matches!(outcome(echo(&plugin, "still there?")), Outcome::Trapped { .. }));
}

#[test]
fn an_exit_in_a_call_is_the_end() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "quitter");
    let exited = plugin.call_blocking(async |cases, store| cases.tests_plugin_cases().call_exit(store, 0).await);
    assert_eq!(outcome(exited), Outcome::Exited { code: 0 });
}

#[test]
fn a_call_that_takes_too_long_ends_its_plugin_and_no_other() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let (spinner, other) = (start(&host, &job, "spinner"), start(&host, &job, "other"));
    let limit = Duration::from_millis(50);
    let spin = spinner.call_within(limit, async |cases, store| cases.tests_plugin_cases().call_spin(store).await);
    let (spun, echoed) = block_on(join(
        spin,
        other.call(async |cases, store| cases.tests_plugin_cases().call_echo(store, "meanwhile").await),
    ));
    assert_eq!(echoed.expect("an answer"), "meanwhile");
    assert_eq!(outcome(spun), Outcome::TimedOut { limit });
    // One that is soon done has the time that it takes.
    let soon = other.call_within(Duration::from_secs(100), async |cases, store| {
        cases.tests_plugin_cases().call_echo(store, "soon").await
    });
    assert_eq!(block_on(soon).expect("an answer"), "soon");
}

#[test]
fn a_plugin_is_killed_in_a_call() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "spinner");
    let begun = Arc::new(AtomicUsize::new(0));
    let seen = begun.clone();
    let spin = plugin.call(async move |cases, store| {
        seen.store(1, Ordering::SeqCst);
        cases.tests_plugin_cases().call_spin(store).await
    });
    let killed = std::thread::scope(|scope| {
        let calling = scope.spawn(|| block_on(spin));
        until("the call", || begun.load(Ordering::SeqCst) == 1);
        plugin.process().kill();
        calling.join().expect("no panic")
    });
    assert_eq!(outcome(killed), Outcome::Killed);
}

#[test]
fn calls_come_one_after_the_other_and_one_that_nobody_waits_for_is_not_made() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "queue");
    let order: Arc<std::sync::Mutex<Vec<usize>>> = Arc::default();
    let calls = (0..100).map(|number| {
        let order = order.clone();
        plugin.call(async move |cases, store| {
            order.lock().expect("no panic").push(number);
            cases.tests_plugin_cases().call_echo(store, "x").await
        })
    });
    assert!(block_on(join_all(calls)).iter().all(Result::is_ok));
    assert_eq!(*order.lock().expect("no panic"), (0..100).collect::<Vec<_>>());

    // While one call holds the plugin, another one is asked for and given up.
    let mut gate = job.locks("host code");
    let hold = gate.acquire("gate").blocking().expect("it is free");
    let made = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            plugin.call_blocking(async |cases, store| cases.tests_plugin_cases().call_tell(store, "wait").await)
        });
        host.until_lock(&job, "gate", "the plugin waits", |view| view.queue.len() == 1);
        let seen = made.clone();
        let given_up = plugin.call(async move |_, _| {
            seen.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        block_on(async { assert!(futures::poll!(Box::pin(given_up)).is_pending()) });
        drop(hold);
        assert_eq!(waiting.join().expect("no panic").expect("an answer"), "went on");
    });
    echo(&plugin, "after it").expect("an answer");
    assert_eq!(made.load(Ordering::SeqCst), 0, "nobody waited for that call");
}

#[test]
fn a_program_that_exports_something_else_is_told_before_it_is_called() {
    let (host, _) = host_with_hooks(1);
    let program = host.program("cli_hello");
    let spawn = host.runtime().spawn(&program).plugin_blocking(|store, instance| Cases::new(store, instance));
    let told = spawn.expect_err("it exports no cases");
    assert!(matches!(&told, PluginError::Unfit { name, .. } if &**name == "cli_hello"), "{told:?}");
    assert!(told.to_string().contains("tests:plugin/cases"), "{told}");
}

#[test]
fn a_plugin_is_no_command_and_a_command_may_be_both() {
    let host = TestHost::with_shards(1);
    let text = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 42)))
        (core instance $i (instantiate $m))
        (func (export "answer") (result u32) (canon lift (core func $i "f"))))"#;
    let program = Program::from_bytes(host.runtime(), "answer.wat", text.as_bytes()).expect("a program");
    assert!(!program.is_command());
    let refused = host.runtime().spawn(&program).start().expect_err("there is nothing to run");
    assert_eq!(
        refused.to_string(),
        "`answer.wat` cannot be started: `answer.wat` exports no `wasi:cli/run`; give it a main function, or call what it \
         exports"
    );
    // Bindings are a convenience: whatever finds the exports will do.
    let plugin = host
        .runtime()
        .spawn(&program)
        .plugin_blocking(|mut store, instance| instance.get_typed_func::<(), (u32,)>(&mut store, "answer"))
        .expect("it exports this");
    let answer = plugin.call_blocking(async |answer, store| Ok(answer.call_async(store, ()).await?.0));
    assert_eq!(answer.expect("an answer"), 42);

    let (host, _) = host_with_hooks(1);
    let both = host.runtime().spawn(&host.program("plugin_cases")).start().expect("it has a main function");
    assert_eq!(join_process(&both).outcome, Outcome::Returned);
}

#[test]
fn a_plugin_among_processes_takes_its_turn_at_a_lock() {
    let (host, _) = host_with_hooks(2);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "plugin");
    let (process, _) =
        host.spawn(&job, &host.program("lock_append"), &["work", "free", "200", "7"], &["work"], &["free"]);
    for number in 0..200 {
        let text = format!("record {number}");
        let appended = plugin.call_blocking(async move |cases, mut store| {
            let cases = cases.tests_plugin_cases();
            cases.call_take(&mut store, "work").await?.expect("it is granted");
            let appended = cases.call_append(&mut store, "log", &text).await?;
            cases.call_give_back(&mut store).await?.expect("it is held");
            Ok(appended)
        });
        appended.expect("an answer").expect("the lock is held");
    }
    assert_eq!(join_process(&process).outcome, Outcome::Returned);
    assert_eq!(log_of(&host.path("log")).iter().filter(|byte| **byte == b'\n').count(), 200);
}

#[test]
fn a_call_that_could_not_give_the_core_away_is_refused() {
    let host = TestHost::with_shards(1);
    let text = r#"(component
        (core module $m (func (export "f") (loop (br 0))))
        (core instance $i (instantiate $m))
        (func (export "spin") (canon lift (core func $i "f"))))"#;
    let program = Program::from_bytes(host.runtime(), "spin.wat", text.as_bytes()).expect("a program");
    let spin = |mut store: wasmtime::StoreContextMut<'_, _>, instance: &wasmtime::component::Instance| {
        instance.get_typed_func::<(), ()>(&mut store, "spin")
    };
    let plugin = host.runtime().spawn(&program).plugin_blocking(spin).expect("it exports this");
    let refused = plugin.call_blocking(async |spin, store| spin.call(store, ()));
    let Outcome::Trapped { message } = outcome(refused) else { panic!("it was not refused") };
    assert!(message.contains("async"), "{message}");
}

#[test]
fn a_program_of_another_host_is_refused() {
    let (one, two) = (TestHost::with_shards(1), TestHost::with_shards(1));
    let (program, job) = (one.program("cli_hello"), two.job(&[]));
    for refused in [
        two.runtime().spawn(&program).start(),
        one.runtime().spawn(&program).job(&job).start(),
        job.spawn(&program, &Default::default()),
    ] {
        assert!(matches!(refused, Err(SpawnError::ForeignProgram { .. })), "{refused:?}");
    }
}

#[test]
fn a_host_that_shuts_down_lets_plugins_answer_and_end_well() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let (idle, called) = (start(&host, &job, "idle"), start(&host, &job, "called"));
    let handle = called.clone();
    let asked = handle.call(async |cases, store| cases.tests_plugin_cases().call_echo(store, "in time").await);
    let mut asked = Box::pin(asked);
    let soon = block_on(async { futures::poll!(&mut asked) });
    // However long the grace is, nobody needs it.
    host.runtime().shut_down(Duration::MAX);
    let answer = match soon {
        Poll::Ready(answer) => answer,
        Poll::Pending => block_on(asked),
    };
    assert_eq!(answer.expect("it was asked for before"), "in time");
    for plugin in [idle, called] {
        assert_eq!(outcome(echo(&plugin, "late")), Outcome::Returned);
    }
    assert_eq!(job.inspect_lock("work").expect("a lock").state, LockState::Free);
}

#[test]
fn a_plugin_that_is_dropped_during_a_call_makes_it_to_the_end() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "dropped");
    let process = plugin.process().clone();
    let mut gate = job.locks("host code");
    let hold = gate.acquire("gate").blocking().expect("it is free");
    let mut calling =
        Box::pin(plugin.call(async |cases, store| cases.tests_plugin_cases().call_tell(store, "wait").await));
    block_on(async { assert!(futures::poll!(&mut calling).is_pending()) });
    host.until_lock(&job, "gate", "the plugin waits", |view| view.queue.len() == 1);
    drop(calling);
    drop(plugin);
    assert!(process.try_join().is_none(), "the call has begun");
    drop(hold);
    assert_eq!(join_process(&process).outcome, Outcome::Returned);
}

#[test]
fn what_a_call_panics_with_is_the_end_of_its_plugin() {
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let (one, other) = (start(&host, &job, "one"), start(&host, &job, "other"));
    let panicked = one.call_blocking(async |_: &Cases, _| -> wasmtime::Result<()> { panic!("the test wants it") });
    assert!(matches!(outcome(panicked), Outcome::HostFault { message } if message.contains("the test wants it")));
    assert_eq!(echo(&other, "still here").expect("an answer"), "still here");
    let program = host.program("plugin_cases");
    let bind = |_: wasmtime::StoreContextMut<'_, _>, _: &_| -> wasmtime::Result<Cases> { panic!("so does this") };
    let told = host.runtime().spawn(&program).plugin_blocking(bind).expect_err("it panics").to_string();
    assert!(told.contains("so does this"), "{told}");
}

#[test]
fn futures_of_plugins_and_processes_are_send() {
    fn is_send<T: Send>(it: T) -> T {
        it
    }
    let (host, _) = host_with_hooks(1);
    let job = job_with_gate(&host);
    let plugin = start(&host, &job, "sent");
    let echo = async |cases: &Cases, store: wasmtime::StoreContextMut<'_, _>| {
        cases.tests_plugin_cases().call_echo(store, "x").await
    };
    drop(is_send(plugin.call(echo)));
    drop(is_send(plugin.call_within(Duration::ZERO, echo)));
    drop(is_send(plugin.process().outcome()));
    drop(is_send(job.ended()));
    let program = host.program("plugin_cases");
    drop(is_send(host.runtime().spawn(&program).plugin(|store, instance| Cases::new(store, instance))));
    drop(is_send(plugin.close()));
}
