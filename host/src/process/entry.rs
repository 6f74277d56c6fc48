//! How a process is entered: by its program's `run`, or by calls of its exports.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::CommandPre;

use super::ProcessState;

/// How a process is entered.
pub(crate) enum Entry {
    /// `wasi:cli/run`, once.
    Run(CommandPre<ProcessState>),
    /// Whatever this calls.
    Serve(InstancePre<ProcessState>, Box<dyn Serve>),
}

/// Who calls the exports of a process, from when it is there until it is to end.
pub(crate) trait Serve: Send {
    /// Runs on the shard of the process.
    fn serve<'a>(
        self: Box<Self>,
        store: &'a mut Store<ProcessState>,
        instance: &'a Instance,
    ) -> Pin<Box<dyn Future<Output = wasmtime::Result<()>> + 'a>>;
}

/// The error with which a call ends its process that took longer than it was to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a call took longer than {limit:?}")]
pub(crate) struct CallOverdue {
    pub(crate) limit: Duration,
}

impl Entry {
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Run(command) => command.engine(),
            Self::Serve(instance, _) => instance.engine(),
        }
    }

    /// Enters it. Answers what its `run` answered; who only serves has done well.
    pub(crate) async fn enter(self, store: &mut Store<ProcessState>) -> wasmtime::Result<Result<(), ()>> {
        match self {
            Self::Run(command) => {
                // Boxed, so that what it takes is given back: the call lasts, and would be as large.
                let command = Box::pin(command.instantiate_async(&mut *store)).await?;
                command.wasi_cli_run().call_run(store).await
            }
            Self::Serve(instance, service) => {
                // Boxed, as most processes have no need of the room.
                let serving = Box::pin(async move {
                    let instance = instance.instantiate_async(&mut *store).await?;
                    service.serve(store, &instance).await
                });
                serving.await.map(Ok)
            }
        }
    }
}
