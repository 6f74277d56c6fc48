//! A process that is being set up by an embedder, step by step.

use wasmtime::StoreContextMut;
use wasmtime::component::Instance;

use super::plugin::{Plugin, PluginError, Starting};
use crate::blocking;
use crate::job::{Job, JobSpec, SpawnError, Start};
use crate::process::{Clocks, Data, DirGrant, Limits, Process, ProcessSpec, ProcessState, Random, Serve, Stdio};
use crate::program::Program;
use crate::runtime::Runtime;

impl Runtime {
    /// A process of this program, to be set up step by step.
    pub fn spawn<'a>(&'a self, program: &'a Program) -> Spawn<'a> {
        Spawn::new(self, program)
    }
}

/// Something that a process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grant {
    /// The lock of this name, or another primitive that processes wait at.
    Lock(String),
    /// The value or array of this name.
    Value(String),
    /// The append file of this name.
    File(String),
    /// The program of this name, to start it; `self` is the process's own.
    Program(String),
    /// A directory.
    Dir(DirGrant),
    /// Random bytes, unlike those that it has otherwise.
    Random(Random),
    /// Knowledge of the time, unlike what it has otherwise.
    Clocks(Clocks),
}

impl Grant {
    /// The lock of this name, or another primitive that processes wait at.
    pub fn lock(name: impl Into<String>) -> Self {
        Self::Lock(name.into())
    }

    /// The value or array of this name.
    pub fn value(name: impl Into<String>) -> Self {
        Self::Value(name.into())
    }

    /// The append file of this name.
    pub fn file(name: impl Into<String>) -> Self {
        Self::File(name.into())
    }

    /// The program of this name, to start it; `self` is the process's own.
    pub fn program(name: impl Into<String>) -> Self {
        Self::Program(name.into())
    }
}

impl From<DirGrant> for Grant {
    fn from(dir: DirGrant) -> Self {
        Self::Dir(dir)
    }
}

/// A process that is being set up. What is not said is as in [`ProcessSpec::default`]: it sees nothing, and its output is
/// thrown away.
#[must_use = "nothing is started before `start` or `plugin`"]
pub struct Spawn<'a> {
    runtime: &'a Runtime,
    program: &'a Program,
    job: Option<&'a Job>,
    spec: ProcessSpec,
    data: Data,
}

impl<'a> Spawn<'a> {
    fn new(runtime: &'a Runtime, program: &'a Program) -> Self {
        let name = program.name();
        let spec =
            ProcessSpec { name: name.strip_suffix(".wasm").unwrap_or(name).to_owned(), ..ProcessSpec::default() };
        Self { runtime, program, job: None, spec, data: Data::default() }
    }

    /// In this job, whose locks, values, files and programs it may be granted. Otherwise it is in one of its own, that has
    /// none.
    pub fn job(mut self, job: &'a Job) -> Self {
        self.job = Some(job);
        self
    }

    /// With this name, in messages. Otherwise it is called as its program.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.spec.name = name.into();
        self
    }

    /// With one more argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.spec.args.push(arg.into());
        self
    }

    /// With one more variable in its environment, where nothing else is.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.env.push((name.into(), value.into()));
        self
    }

    /// It may use this, too.
    pub fn grant(mut self, grant: impl Into<Grant>) -> Self {
        match grant.into() {
            Grant::Lock(name) => self.spec.locks.push(name),
            Grant::Value(name) => self.spec.values.push(name),
            Grant::File(name) => self.spec.files.push(name),
            Grant::Program(name) => self.spec.programs.push(name),
            Grant::Dir(dir) => self.spec.dirs.push(dir),
            Grant::Random(random) => self.spec.random = random,
            Grant::Clocks(clocks) => self.spec.clocks = clocks,
        }
        self
    }

    /// With other limits: `|limits| limits.timeout = Some(Duration::from_secs(2))`.
    pub fn limit(mut self, limit: impl FnOnce(&mut Limits)) -> Self {
        limit(&mut self.spec.limits);
        self
    }

    /// With standard streams that go there.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.spec.stdio = stdio;
        self
    }

    /// With this for a host interface of yours, which finds it by its type ([`ProcessState::data_mut`]). A value of the same
    /// type that was given before is replaced. Processes that it starts do not get it.
    pub fn data<D: Send + 'static>(mut self, data: D) -> Self {
        self.data.insert(data);
        self
    }

    /// With whatever else there is to say.
    pub fn configure(mut self, configure: impl FnOnce(&mut ProcessSpec)) -> Self {
        configure(&mut self.spec);
        self
    }

    /// Starts it. Returns at once; the process runs on its shard. Its program must export `wasi:cli/run`.
    pub fn start(self) -> Result<Process, SpawnError> {
        self.start_as(None)
    }

    /// Starts it, to be called by the host, and waits until it can be. Whatever its program exports, `wasi:cli/run` is not
    /// called. `bind` finds the exports: with bindings that `wasmtime::component::bindgen!` has made for a world `plugin`, with
    /// `exports: { default: async }`, it is `|store, instance| bindings::Plugin::new(store, instance)`.
    pub async fn plugin<B, N>(self, bind: N) -> Result<Plugin<B>, PluginError>
    where
        B: Send + 'static,
        N: for<'b> FnOnce(StoreContextMut<'b, ProcessState>, &'b Instance) -> wasmtime::Result<B> + Send + 'static,
    {
        let (starting, service) = Starting::new(bind);
        let process = self.start_as(Some(service))?;
        starting.started(process).await
    }

    /// [`plugin`](Spawn::plugin) for a thread that may block.
    pub fn plugin_blocking<B, N>(self, bind: N) -> Result<Plugin<B>, PluginError>
    where
        B: Send + 'static,
        N: for<'b> FnOnce(StoreContextMut<'b, ProcessState>, &'b Instance) -> wasmtime::Result<B> + Send + 'static,
    {
        blocking::on(self.plugin(bind)).unwrap_or(Err(PluginError::OnShard))
    }

    fn start_as(self, service: Option<Box<dyn Serve>>) -> Result<Process, SpawnError> {
        let Self { runtime, program, job, spec, data } = self;
        let own;
        let job = match job {
            Some(job) => job,
            None => {
                own = runtime.job(JobSpec::default()).expect("there is nothing in it that could not be opened");
                &own
            }
        };
        job.start(program, &spec, Start { service, data })
    }
}
