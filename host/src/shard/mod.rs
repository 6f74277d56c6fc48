//! Where processes run: one single-threaded executor per core.
//!
//! A process is started on one shard and stays there to its end; between its steps it is a parked future and costs no
//! thread. Processes that wait for each other's locks on one shard hand over without waking another thread.

mod executor;
mod inbox;
mod ready;
mod task;
mod ticker;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::coop::unconstrained;

use executor::{Company, Executor};
use inbox::{Inbox, Start, Work};
use ready::Level;
pub(crate) use ticker::Ticker;

/// The shards of one host.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    inbox: Arc<Inbox>,
    /// Processes that live here.
    load: Arc<AtomicUsize>,
}

/// What runs on a shard.
pub(crate) type Run = Pin<Box<dyn Future<Output = ()>>>;

/// One process that lives on a shard. A future of that future's own size around it would cost each process as much again.
#[derive(Debug)]
pub(crate) struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The threads behind [`Shards`]. They end once the shards are dropped and the last process has ended.
#[derive(Debug)]
pub(crate) struct ShardThreads(Vec<JoinHandle<()>>);

impl Shards {
    pub(crate) fn start(count: usize) -> io::Result<(Self, ShardThreads)> {
        let company = if count > 1 { Company::Others } else { Company::Alone };
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count {
            // WASI's files, clocks and streams need this runtime around them.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            survive_file_size_limits(&runtime)?;
            let inbox = Arc::new(Inbox::new());
            // Before the thread, which ends when this is dropped: also if the next one does not start.
            shards.push(Shard { inbox: inbox.clone(), load: Arc::default() });
            let thread = std::thread::Builder::new().name(format!("lockkeeper-shard-{number}")).spawn(move || {
                // Tokio would count all processes as one task and make it wait after a few operations.
                runtime.block_on(unconstrained(Executor::new(number, inbox, company)));
                // A file operation of a process that has ended may hang; the host does not wait for it.
                runtime.shutdown_background();
            })?;
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

    /// Runs what `start` makes on a shard. It is given what the future has to keep to its end: until then it counts.
    pub(crate) fn spawn(&self, shard: usize, start: impl FnOnce(Load) -> Run + Send + 'static) {
        let Shard { inbox, load } = &self.shards[shard];
        load.fetch_add(1, Ordering::Relaxed);
        let load = Load(load.clone());
        let start: Start = Box::new(move || start(load));
        // It has no claim yet: processes that are started in great numbers, or again and again, hold up nobody.
        inbox.push(Level::Low, Work::Start(start));
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl ShardThreads {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

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
