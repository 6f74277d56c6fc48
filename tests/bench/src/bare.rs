//! A host that does nothing but cross the border: two empty calls of the shape of acquire and release.
//!
//! The library does not let an embedder add interfaces of its own, so this is a host of its own. Its engine and its
//! stores are set up as the library sets up its own (`host/src/runtime.rs`, `process/run.rs`). Its executor is tokio's
//! for tasks that stay on their thread, not the library's: no call that returns at once comes near it, but one that is
//! suspended does.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::task::{JoinSet, LocalSet};
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Config, Engine, Store, StoreLimits, UpdateDeadline};
use wasmtime_wasi::p2::bindings::{Command, CommandPre};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::bindings::lockkeeper::bench::empty;
use crate::bindings::lockkeeper::runtime::types;
use crate::ours::PATIENCE;
use crate::plan::Lengths;
use crate::tally::Tally;

/// The host: an engine, a program and a clock.
pub(crate) struct BareHost {
    command: CommandPre<State>,
    stop: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

/// What a guest's handle stands for.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated code names it")]
pub struct Nothing;

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
    mode: Mode,
}

/// What an acquire does.
#[derive(Clone)]
enum Mode {
    /// Nothing.
    Return,
    /// It is counted, suspended once so that the next guest of the thread runs, and traps when all are to stop.
    Suspend(Arc<Tally>),
}

impl BareHost {
    /// A host for the program at this path.
    pub(crate) fn new(program: &Path) -> anyhow::Result<Self> {
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true).max_wasm_stack(512 << 10).async_stack_size(2 << 20);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        crate::bindings::Imports::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        let component = Component::from_file(&engine, program)?;
        let command = CommandPre::new(linker.instantiate_pre(&component)?)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let ticker = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                engine.increment_epoch();
            }
        });
        Ok(Self { command, stop, ticker: Some(ticker) })
    }

    /// What the program prints, which is one number.
    pub(crate) fn run(&self, args: &[&str]) -> anyhow::Result<f64> {
        let printed = MemoryOutputPipe::new(4096);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = LocalSet::new()
            .block_on(&runtime, start(self.command.clone(), args, Some(printed.clone()), Mode::Return))?;
        ensure!(ended.is_ok(), "the program of empty calls failed");
        let text = String::from_utf8(printed.contents().into())?;
        text.trim().parse().with_context(|| format!("no number: {text:?}"))
    }

    /// Pairs per second of so many guests on one thread whose every acquire is suspended once: what a hand-over on one
    /// shard costs beside the lock.
    pub(crate) fn suspended(&self, guests: u32, lengths: &Lengths) -> anyhow::Result<f64> {
        let tally = Arc::new(Tally::default());
        let mode = Mode::Suspend(tally.clone());
        let command = self.command.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let driver = std::thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                let mut running = JoinSet::new();
                for _ in 0..guests {
                    // More than it can do: it ends when the tally says so.
                    let (command, mode) = (command.clone(), mode.clone());
                    running.spawn_local(async move { start(command, &["1000000000000"], None, mode).await.map(drop) });
                }
                while running.join_next().await.is_some() {}
            });
        });
        let patience = Instant::now() + PATIENCE;
        while !tally.have_started(guests) {
            ensure!(Instant::now() < patience, "{guests} guests of empty calls do not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        let rate = tally.rate(lengths);
        driver.join().ok().context("the host of empty calls panicked")?;
        Ok(rate)
    }
}

/// Runs the program once.
async fn start(
    command: CommandPre<State>,
    args: &[&str],
    printed: Option<MemoryOutputPipe>,
    mode: Mode,
) -> wasmtime::Result<Result<(), ()>> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.arg("empty_pair").args(args);
    if let Some(printed) = printed {
        wasi.stdout(printed);
    }
    let limits = StoreLimits::default();
    let state = State { wasi: wasi.build(), table: ResourceTable::new(), limits, mode };
    let mut store = Store::new(command.engine(), state);
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(2 << 20);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
    let command: Command = command.instantiate_async(&mut store).await?;
    command.wasi_cli_run().call_run(&mut store).await
}

/// Lets the others of this thread run once, as a wait does that is granted by one of them.
async fn suspend() {
    let mut suspended = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut suspended, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Drop for BareHost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            drop(ticker.join());
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for State {}

impl empty::Host for State {}

impl empty::HostMutex for State {
    fn open(&mut self, _: String) -> wasmtime::Result<Result<Resource<Nothing>, types::Error>> {
        if let Mode::Suspend(tally) = &self.mode {
            tally.begin();
        }
        Ok(Ok(self.table.push(Nothing)?))
    }

    async fn acquire(
        &mut self,
        _: Resource<Nothing>,
        _: Option<types::Duration>,
    ) -> wasmtime::Result<Result<types::Acquired, types::Error>> {
        if let Mode::Suspend(tally) = &self.mode {
            wasmtime::ensure!(!tally.stopped(), "it was measured for long enough");
            tally.count_one();
            suspend().await;
        }
        Ok(Ok(types::Acquired { fence: 1, previous: types::Previous::Clean }))
    }

    fn release(&mut self, _: Resource<Nothing>, _: Option<types::Fence>) -> wasmtime::Result<Result<(), types::Error>> {
        Ok(Ok(()))
    }

    fn drop(&mut self, nothing: Resource<Nothing>) -> wasmtime::Result<()> {
        self.table.delete(nothing)?;
        Ok(())
    }
}
