//! Where processes run: one single-threaded executor per core.
//!
//! A process is started on one shard and stays there to its end; between its steps it is a parked future and costs no
//! thread. Processes that wait for each other's locks on one shard hand over without waking another thread.

mod ticker;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

pub(crate) use ticker::Ticker;

/// Something to run on a shard, made there because it never leaves.
type Start = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The shards of one host.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    inbox: UnboundedSender<Start>,
    /// Processes that live here.
    load: Arc<AtomicUsize>,
}

/// The threads behind [`Shards`]. They end once the shards are dropped and the last process has ended.
#[derive(Debug)]
pub(crate) struct ShardThreads(Vec<JoinHandle<()>>);

impl Shards {
    pub(crate) fn start(count: usize) -> io::Result<(Self, ShardThreads)> {
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count {
            // WASI's files, clocks and streams need this runtime around them.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            survive_file_size_limits(&runtime)?;
            let (inbox, starts) = unbounded_channel();
            let thread = std::thread::Builder::new().name(format!("lockkeeper-shard-{number}")).spawn(move || {
                LocalSet::new().block_on(&runtime, serve(starts));
                // A file operation of a process that has ended may hang; the host does not wait for it.
                runtime.shutdown_background();
            })?;
            shards.push(Shard { inbox, load: Arc::default() });
            threads.push(thread);
        }
        Ok((Self { shards }, ShardThreads(threads)))
    }

    /// The shard of a key, the same for all who ask.
    pub(crate) fn home(&self, key: usize) -> usize {
        key % self.shards.len()
    }

    /// The shard with the fewest processes.
    pub(crate) fn least_loaded(&self) -> usize {
        let load = |index: &usize| self.shards[*index].load.load(Ordering::Relaxed);
        (0..self.shards.len()).min_by_key(load).expect("there is at least one shard")
    }

    /// Runs what `start` makes on a shard.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        shard: usize,
        start: impl FnOnce() -> F + Send + 'static,
    ) {
        let Shard { inbox, load } = &self.shards[shard];
        load.fetch_add(1, Ordering::Relaxed);
        let load = load.clone();
        let start: Start = Box::new(move || {
            let work = start();
            Box::pin(async move {
                work.await;
                load.fetch_sub(1, Ordering::Relaxed);
            })
        });
        assert!(inbox.send(start).is_ok(), "a shard serves as long as its inbox is held");
    }
}

impl ShardThreads {
    /// Waits until every shard has run dry.
    pub(crate) fn join(self) {
        for thread in self.0 {
            assert!(thread.join().is_ok(), "a shard panicked outside of a process");
        }
    }
}

/// A write beyond the system's limit on the size of files is an error of that write, and not the end of the host. A handler
/// that does nothing brings that about, and stays for the life of the host process.
fn survive_file_size_limits(runtime: &tokio::runtime::Runtime) -> io::Result<()> {
    let _entered = runtime.enter();
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

const SIGXFSZ: i32 = rustix::process::Signal::XFSZ.as_raw();

async fn serve(mut starts: UnboundedReceiver<Start>) {
    let mut running = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            start = starts.recv() => match start {
                Some(start) => {
                    running.spawn_local(start());
                }
                None => break,
            },
            Some(ended) = running.join_next() => ended.expect("a process's panics are caught in it"),
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("a process's panics are caught in it");
    }
}
