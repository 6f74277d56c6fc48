//! A process whose exports the host calls, and not its `run`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::Instance;
use wasmtime::{AsContextMut, Store, StoreContextMut};

use crate::blocking;
use crate::job::SpawnError;
use crate::process::{CallOverdue, Exit, Process, ProcessState, Serve};
use crate::turn;

/// A process whose exports the host calls.
///
/// `B` is what stands for its exports, most often a type that `wasmtime::component::bindgen!` has made of the plugin's
/// world. Calls are made one after the other, in the order in which they were asked for. Between them the process keeps
/// what it has, locks included; while it is not called it is parked and takes no core.
///
/// When the host shuts down, a plugin that is not being called ends well, after the calls that were asked for.
///
/// A call must be one of an async function (`exports: { default: async }` in `bindgen!`): the engine refuses others, as they
/// could not give the core away. A host function that calls back into the plugin that has called it waits for ever, until a
/// limit ends it; so does a circle of plugins that call each other. Nothing tells of such circles, nor of one that a guest
/// closes through a lock that host code takes on its behalf: give calls a limit.
///
/// [`Limits::timeout`](crate::Limits::timeout) counts from the start of the process, whether or not it is called.
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
    /// What it exports is not what is expected.
    #[error("the plugin `{name}` does not export what is to be called: {reason}")]
    Unfit {
        /// Its name.
        name: Arc<str>,
        /// What the engine says.
        reason: String,
    },
    /// It has ended before it could be called, as it failed when it began.
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
        self.ask_blocking(None, call)
    }

    /// [`call_within`](Plugin::call_within) for a thread that may block.
    pub fn call_within_blocking<R, F>(&self, limit: Duration, call: F) -> Result<R, CallError>
    where
        F: for<'a> AsyncFnOnce(&'a B, StoreContextMut<'a, ProcessState>) -> wasmtime::Result<R> + Send + 'static,
        R: Send + 'static,
    {
        self.ask_blocking(Some(limit), call)
    }

    fn ask_blocking<R, F>(&self, limit: Option<Duration>, call: F) -> Result<R, CallError>
    where
        F: for<'a> AsyncFnOnce(&'a B, StoreContextMut<'a, ProcessState>) -> wasmtime::Result<R> + Send + 'static,
        R: Send + 'static,
    {
        // The call is asked for in what is waited for: on a shard it is not made.
        blocking::on(async { self.answer(self.ask(limit, call)).await }).map_err(|_| CallError::OnShard)?
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
                    Some(limit) => within(limit, calling).await?,
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

    /// The answer, or the end: a call that comes just as the process ends may lie there and be neither made nor dropped.
    async fn answer<R>(&self, answered: oneshot::Receiver<R>) -> Result<R, CallError> {
        let mut answered = Some(answered);
        let mut ended = pin!(self.process.join());
        poll_fn(|cx| {
            match answered.as_mut().map(|answer| Pin::new(answer).poll(cx)) {
                Some(Poll::Ready(Ok(answer))) => return Poll::Ready(Ok(answer)),
                // There will be none, and the end tells why.
                Some(Poll::Ready(Err(_))) => answered = None,
                Some(Poll::Pending) | None => {}
            }
            let Poll::Ready(exit) = ended.as_mut().poll(cx) else { return Poll::Pending };
            // It may have answered since, as its last act.
            let last = answered.take().and_then(|mut answer| answer.try_recv().ok());
            Poll::Ready(last.ok_or(CallError::Ended { exit }))
        })
        .await
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

    /// [`close`](Plugin::close) for a thread that may block.
    pub fn close_blocking(self) -> Arc<Exit> {
        let Self { calls, process } = self;
        drop(calls);
        process.join_blocking()
    }
}

/// The answer of a call that comes in time.
async fn within<R>(limit: Duration, calling: impl Future<Output = wasmtime::Result<R>>) -> wasmtime::Result<R> {
    let mut calling = Box::pin(calling);
    let answered = tokio::time::timeout(limit, &mut calling).await;
    answered.unwrap_or_else(|_| {
        let _breaking_off = turn::break_off();
        drop(calling);
        Err(CallOverdue { limit }.into())
    })
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
    ready: oneshot::Receiver<Result<(), String>>,
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
            Ok(Ok(())) => Ok(Plugin { calls, process }),
            Ok(Err(reason)) => {
                let exit = process.join().await;
                Err(PluginError::Unfit { name: exit.name.clone(), reason })
            }
            Err(_) => Err(PluginError::Ended { exit: process.join().await }),
        }
    }
}

struct Service<B, N> {
    bind: N,
    asked: mpsc::UnboundedReceiver<Call<B>>,
    tell: oneshot::Sender<Result<(), String>>,
}

impl<B, N> Serve for Service<B, N>
where
    B: Send + 'static,
    N: for<'a> FnOnce(StoreContextMut<'a, ProcessState>, &'a Instance) -> wasmtime::Result<B> + Send + 'static,
{
    fn serve<'a>(self: Box<Self>, store: &'a mut Store<ProcessState>, instance: &'a Instance) -> Calling<'a> {
        let Self { bind, mut asked, tell } = *self;
        Box::pin(async move {
            // Nobody may wait for it any more.
            let exports = match bind(store.as_context_mut(), instance) {
                Ok(exports) => {
                    let _unheard = tell.send(Ok(())).is_err();
                    exports
                }
                Err(error) => {
                    let _unheard = tell.send(Err(format!("{error:#}"))).is_err();
                    return Err(error);
                }
            };
            while let Some(call) = next(&mut asked, store.data().host_ends()).await {
                call(&exports, store.as_context_mut()).await?;
            }
            Ok(())
        })
    }
}

/// The next call; none once nobody can ask for one, or the host shuts down and nobody has.
async fn next<B>(asked: &mut mpsc::UnboundedReceiver<Call<B>>, host_ends: &AtomicBool) -> Option<Call<B>> {
    poll_fn(|cx| match asked.poll_recv(cx) {
        // Whoever says that the host ends wakes the process.
        Poll::Pending if host_ends.load(Ordering::SeqCst) => Poll::Ready(None),
        asked => asked,
    })
    .await
}
