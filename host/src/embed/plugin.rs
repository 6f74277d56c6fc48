//! A process whose exports the host calls, and not its `run`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::Instance;
use wasmtime::{AsContextMut, Store, StoreContextMut};

use crate::blocking;
use crate::job::SpawnError;
use crate::process::{CallOverdue, Exit, Process, ProcessState, Serve};

/// A process whose exports the host calls.
///
/// `B` is what stands for its exports, most often a type that `wasmtime::component::bindgen!` has made of the plugin's
/// world. Calls are made one after the other, in the order in which they were asked for. Between them the process keeps
/// what it has, locks included; while it is not called it is parked and takes no core.
///
/// A call that traps, takes too long or fails in the engine ends the process, as a component can then not be entered
/// again: its locks are released as those of any process that ends, and every later call answers how it ended.
///
/// Dropping the last handle ends the process well, after the calls that were asked for.
pub struct Plugin<B> {
    calls: mpsc::UnboundedSender<Call<B>>,
    process: Process,
}

/// A plugin does not start.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The process does not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It has ended before it could be called: what it exports is not what is expected, or it failed as it began.
    #[error("the plugin `{}` has ended before it could be called: {}", exit.name, exit.outcome)]
    Ended {
        /// How.
        exit: Arc<Exit>,
    },
    /// This thread runs processes, and must not block.
    #[error("this thread runs processes, and must not block; use the async form")]
    OnShard,
}

/// A call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The process has ended, before the call, in it or because of it.
    #[error("the plugin `{}` has ended: {}", exit.name, exit.outcome)]
    Ended {
        /// How.
        exit: Arc<Exit>,
    },
    /// This thread runs processes, and must not block.
    #[error("this thread runs processes, and must not block; use the async form")]
    OnShard,
}

type Calling<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + 'a>>;
type Call<B> = Box<dyn for<'a> FnOnce(&'a B, StoreContextMut<'a, ProcessState>) -> Calling<'a> + Send>;

impl<B: Send + 'static> Plugin<B> {
    /// Calls the plugin. `call` runs on the shard of the process: it is given what stands for the exports, and the store. An
    /// error that it answers ends the process; what is no such thing belongs into `R`.
    ///
    /// If the future is dropped before the call has begun, it is not made; a call that has begun goes on without it.
    pub async fn call<R, F>(&self, call: F) -> Result<R, CallError>
    where
        F: for<'a> AsyncFnOnce(&'a B, StoreContextMut<'a, ProcessState>) -> wasmtime::Result<R> + Send + 'static,
        R: Send + 'static,
    {
        self.answer(self.ask(None, call)).await
    }

    /// [`call`](Plugin::call), for so long at most from when the call begins: then the process ends, with
    /// [`Outcome::TimedOut`](crate::Outcome::TimedOut).
    pub async fn call_within<R, F>(&self, limit: Duration, call: F) -> Result<R, CallError>
    where
        F: for<'a> AsyncFnOnce(&'a B, StoreContextMut<'a, ProcessState>) -> wasmtime::Result<R> + Send + 'static,
        R: Send + 'static,
    {
        self.answer(self.ask(Some(limit), call)).await
    }

    /// [`call`](Plugin::call) for a thread that may block.
    pub fn call_blocking<R, F>(&self, call: F) -> Result<R, CallError>
    where
        F: for<'a> AsyncFnOnce(&'a B, StoreContextMut<'a, ProcessState>) -> wasmtime::Result<R> + Send + 'static,
        R: Send + 'static,
    {
        // Before the call is asked for, which would otherwise be made.
        blocking::check().map_err(|_| CallError::OnShard)?;
        blocking::on(self.answer(self.ask(None, call))).map_err(|_| CallError::OnShard)?
    }

    fn ask<R, F>(&self, limit: Option<Duration>, call: F) -> oneshot::Receiver<R>
    where
        F: for<'a> AsyncFnOnce(&'a B, StoreContextMut<'a, ProcessState>) -> wasmtime::Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call: Call<B> = Box::new(move |exports, store| {
            Box::pin(async move {
                if answer.is_closed() {
                    return Ok(());
                }
                let calling = call(exports, store);
                let answered = match limit {
                    None => calling.await?,
                    // The shard keeps the time, and a guest that computes gives its core away with every tick.
                    Some(limit) => tokio::time::timeout(limit, calling).await.map_err(|_| CallOverdue { limit })??,
                };
                // Nobody may want to know any more.
                drop(answer.send(answered));
                Ok(())
            })
        });
        // If the process has ended, the call is dropped and with it what would answer.
        drop(self.calls.send(call));
        answered
    }

    async fn answer<R>(&self, answered: oneshot::Receiver<R>) -> Result<R, CallError> {
        match answered.await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(CallError::Ended { exit: self.process.join().await }),
        }
    }

    /// The process: to be ended, and to be waited for.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it well, once the calls that were asked for are made, and waits for that. Other handles of it must be gone, or
    /// it goes on until they are.
    pub async fn close(self) -> Arc<Exit> {
        let Self { calls, process } = self;
        drop(calls);
        process.join().await
    }
}

impl<B> Clone for Plugin<B> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), process: self.process.clone() }
    }
}

impl<B> fmt::Debug for Plugin<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("process", &self.process).finish_non_exhaustive()
    }
}

/// A plugin that is not started yet: who will call it, what is to be called, and what tells that it can be.
pub(crate) struct Starting<B> {
    calls: mpsc::UnboundedSender<Call<B>>,
    ready: oneshot::Receiver<()>,
}

impl<B: Send + 'static> Starting<B> {
    /// What calls the plugin, once `bind` has found what it exports.
    pub(crate) fn new<N>(bind: N) -> (Self, Box<dyn Serve>)
    where
        N: for<'a> FnOnce(StoreContextMut<'a, ProcessState>, &'a Instance) -> wasmtime::Result<B> + Send + 'static,
    {
        let (calls, asked) = mpsc::unbounded_channel();
        let (tell, ready) = oneshot::channel();
        (Self { calls, ready }, Box::new(Service { bind, asked, tell }))
    }

    /// Waits until it can be called.
    pub(crate) async fn started(self, process: Process) -> Result<Plugin<B>, PluginError> {
        let Self { calls, ready } = self;
        match ready.await {
            Ok(()) => Ok(Plugin { calls, process }),
            Err(_) => Err(PluginError::Ended { exit: process.join().await }),
        }
    }
}

struct Service<B, N> {
    bind: N,
    asked: mpsc::UnboundedReceiver<Call<B>>,
    tell: oneshot::Sender<()>,
}

impl<B, N> Serve for Service<B, N>
where
    B: Send + 'static,
    N: for<'a> FnOnce(StoreContextMut<'a, ProcessState>, &'a Instance) -> wasmtime::Result<B> + Send + 'static,
{
    fn serve<'a>(self: Box<Self>, store: &'a mut Store<ProcessState>, instance: &'a Instance) -> Calling<'a> {
        let Self { bind, mut asked, tell } = *self;
        Box::pin(async move {
            let exports = bind(store.as_context_mut(), instance)?;
            // Nobody may wait for it any more.
            let _unheard = tell.send(()).is_err();
            while let Some(call) = asked.recv().await {
                call(&exports, store.as_context_mut()).await?;
            }
            Ok(())
        })
    }
}
