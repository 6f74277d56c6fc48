//! A host with hooks for the tests' plugin.

use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper::wasmtime::component::HasSelf;
use lockkeeper::{
    Format, Grant, Job, JobSpec, LockError, LockSpec, Locks, Plugin, PluginError, ProcessState, wasmtime,
};
use lockkeeper_tests::TestHost;

mod bindings {
    lockkeeper::wasmtime::component::bindgen!({
        wasmtime_crate: lockkeeper::wasmtime,
        world: "plugin",
        path: "../guest/programs/wit",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

pub(crate) use bindings::Plugin as Cases;
pub(crate) use bindings::tests::plugin::hooks;

/// What plugins told their host.
pub(crate) type Said = Arc<Mutex<Vec<String>>>;

/// What the host of a test keeps with a plugin.
pub(crate) struct Hooks {
    pub(crate) said: Said,
    /// Host code that acts for the plugin.
    pub(crate) locks: Option<Locks>,
}

impl hooks::Host for Hooks {
    async fn tell(&mut self, word: String) -> wasmtime::Result<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(word.clone());
        let Some(locks) = &mut self.locks else { return Ok(word) };
        match word.as_str() {
            "panic" => panic!("the test wants a panic"),
            "fail" => Err(wasmtime::Error::msg("the test wants a failure")),
            "wait" => {
                let hold = locks.acquire("gate").await?;
                drop(hold);
                Ok("went on".to_owned())
            }
            "keep" | "keep and wait" => {
                let work = locks.acquire("work").await?;
                let gate = locks.acquire("gate").await?;
                drop((work, gate));
                Ok("had both".to_owned())
            }
            "block" => match locks.acquire("gate").blocking() {
                Err(LockError::OnShard) => Ok("refused".to_owned()),
                other => Ok(format!("{other:?}")),
            },
            _ => Ok(word),
        }
    }
}

/// A host whose plugins have hooks, and what they tell.
pub(crate) fn host_with_hooks(shards: usize) -> (TestHost, Said) {
    let said = Said::default();
    let each = said.clone();
    let host = TestHost::configured(|config| {
        config.shards = shards;
        config.host_interfaces = std::mem::take(&mut config.host_interfaces)
            .link(|linker| hooks::add_to_linker::<_, HasSelf<_>>(linker, ProcessState::data_mut::<Hooks>))
            .data(move |_, _| Hooks { said: each.clone(), locks: None });
    });
    (host, said)
}

/// A job with the locks `gate` and `work`, and a file `log` that is bound to `work`.
pub(crate) fn job_with_gate(host: &TestHost) -> Job {
    let locks = vec![LockSpec::new("gate"), LockSpec::new("work")];
    let files = vec![host.lines_file("log", Some("work")), host.file("free", Format::Framed, None)];
    host.runtime().job(JobSpec { locks, files, ..JobSpec::default() }).expect("a job")
}

/// Starts the tests' plugin.
pub(crate) fn start(host: &TestHost, job: &Job, name: &str) -> Plugin<Cases> {
    try_start(host, job, name).expect("a plugin")
}

pub(crate) fn try_start(host: &TestHost, job: &Job, name: &str) -> Result<Plugin<Cases>, PluginError> {
    let program = host.program("plugin_cases");
    let spawn = host.runtime().spawn(&program).job(job).name(name);
    let spawn = spawn.grant(Grant::lock("gate")).grant(Grant::lock("work"));
    let spawn = spawn.grant(Grant::file("log")).grant(Grant::file("free"));
    spawn
        .data(Hooks { said: Said::default(), locks: Some(job.locks("hooks")) })
        .plugin_blocking(|store, instance| Cases::new(store, instance))
}
