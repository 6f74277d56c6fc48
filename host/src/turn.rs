//! The turn of a process: from when its core takes it up to when it leaves the core.
//!
//! This is what a process and the executor of its shard say to each other, and all of it stays on the shard's thread. The
//! executor says when a turn begins; the process says why it leaves. Neither knows the other.
//!
//! A process gives its core away in three ways: it waits; its slice is over ([`slice_over`]); or it has made so many lock requests
//! that it is somebody else's turn ([`lock_request`]).

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Lock requests of one turn before others come first. Enough that going to the back costs a few nanoseconds per request;
/// few enough that sixteen processes at one lock take turns within a fraction of a tick.
const LOCK_REQUESTS_PER_TURN: u32 = 64;

thread_local! {
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    static SLICE: Cell<Slice> = const { Cell::new(Slice::Entered) };
    static LOCK_REQUESTS: Cell<u32> = const { Cell::new(0) };
    static BREAKING_OFF: Cell<bool> = const { Cell::new(false) };
    static REMOTE_WAITS: Cell<usize> = const { Cell::new(0) };
    /// How many wait for a turn on this thread's core before those whose slice was over.
    static READY: RefCell<Arc<AtomicUsize>> = RefCell::default();
}

/// How far the process on the core is with its slice.
///
/// | state | meaning | who leaves it |
/// |---|---|---|
/// | `Entered` | it was away, so the tick that it meets first may have passed meanwhile | that tick: `Counted` |
/// | `Counted` | the next tick is the end of the slice | that tick: `Over` |
/// | `Over` | it leaves the core because the slice is over | the executor: `Counted`, when it takes it up again |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    Entered,
    Counted,
    Over(Hands),
}

/// What a process has in its hands when its slice is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hands {
    /// No lock: nobody waits because of it.
    Empty,
    /// A lock at least, which others may be waiting for.
    Holding,
}

/// Why a process left its core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Left {
    /// Of itself: it waits, has ended, or lets others come first.
    #[default]
    Itself,
    /// Its slice was over.
    SliceOver(Hands),
}

// ---- for the executor ----

/// From here on this thread is that of a shard, for which so many are ready.
pub(crate) fn enter_shard(shard: usize, ready: Arc<AtomicUsize>) {
    SHARD.set(Some(shard));
    READY.replace(ready);
}

/// A process is taken up that left the core so the last time.
pub(crate) fn begin(left: Left) {
    LOCK_REQUESTS.set(0);
    SLICE.set(match left {
        Left::Itself => Slice::Entered,
        Left::SliceOver(_) => Slice::Counted,
    });
}

/// Why the process of this turn has left the core.
pub(crate) fn end() -> Left {
    match SLICE.get() {
        Slice::Entered | Slice::Counted => Left::Itself,
        Slice::Over(hands) => Left::SliceOver(hands),
    }
}

/// Whether a process of this shard waits for something that a process of another shard has to do.
pub(crate) fn waits_for_another_shard() -> bool {
    REMOTE_WAITS.get() > 0
}

// ---- for host code ----

/// As long as this lives, what is dropped on this thread is broken off: whatever it held, it did not finish.
#[must_use = "it counts as long as this lives"]
pub(crate) struct BreakingOff {
    before: bool,
}

/// From here on what is dropped is broken off.
pub(crate) fn break_off() -> BreakingOff {
    BreakingOff { before: BREAKING_OFF.replace(true) }
}

/// Whether what is dropped now is broken off.
pub(crate) fn is_breaking_off() -> bool {
    BREAKING_OFF.get()
}

impl Drop for BreakingOff {
    fn drop(&mut self) {
        BREAKING_OFF.set(self.before);
    }
}

// ---- for processes ----

/// The number of the shard on whose thread this is called; none on any other thread.
pub(crate) fn shard() -> Option<usize> {
    SHARD.get()
}

/// A tick of the clock has met the process of this turn. Answers whether its slice is over.
///
/// The engine counts ticks also while a process is away. One that comes back from a wait of many ticks has not used its
/// slice, so it is the second tick that ends it.
pub(crate) fn ends_slice() -> bool {
    let over = SLICE.get() != Slice::Entered;
    if !over {
        SLICE.set(Slice::Counted);
    }
    over
}

/// The slice of the process of this turn is over. Answers what it has to wait for.
pub(crate) fn slice_over(hands: Hands, share: &mut CpuShare) -> GiveWay {
    SLICE.set(Slice::Over(hands));
    let sits_out = match hands {
        Hands::Empty => share.sits_out(),
        // Whoever waits for the lock would sit out too.
        Hands::Holding => 0,
    };
    GiveWay { times: 1 + sits_out, slice: Some(hands) }
}

/// What a process has of its core while others compute there, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuShare {
    percent: u32,
    /// What it had too much so far, in hundredths of a slice, as far as it has not sat it out.
    owed: u32,
}

impl CpuShare {
    /// From 1 to 100 percent of a full share.
    pub(crate) fn percent(percent: u8) -> Self {
        Self { percent: u32::from(percent.clamp(1, 100)), owed: 0 }
    }

    /// How many rounds it sits out after one more slice: so many that it has its percentage of the rounds.
    fn sits_out(&mut self) -> u32 {
        self.owed += 100 - self.percent;
        let rounds = self.owed / self.percent;
        self.owed %= self.percent;
        rounds
    }
}

/// Before a lock request: lets others come first if this process has made its share of requests and anybody is ready.
pub(crate) async fn lock_request() {
    let made = LOCK_REQUESTS.get();
    if made < LOCK_REQUESTS_PER_TURN {
        LOCK_REQUESTS.set(made + 1);
    } else if READY.with_borrow(|ready| ready.load(Ordering::Relaxed)) > 0 {
        GiveWay::once().await;
        LOCK_REQUESTS.set(1);
    }
}

/// Leaves the core, ready to come back: once, or again each time that its turn comes.
#[derive(Debug)]
#[must_use = "nobody leaves the core before this is awaited"]
pub(crate) struct GiveWay {
    times: u32,
    /// What it has in its hands, if this is because of a slice.
    slice: Option<Hands>,
}

impl GiveWay {
    pub(crate) fn once() -> Self {
        Self { times: 1, slice: None }
    }
}

impl Future for GiveWay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.times == 0 {
            return Poll::Ready(());
        }
        self.times -= 1;
        if let Some(hands) = self.slice {
            SLICE.set(Slice::Over(hands));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// As long as this lives, a process of this shard waits for something that a process of another shard has to do: the
/// shard looks out for it a little longer before it sleeps. It begins and ends on one thread, as the process does.
#[derive(Debug)]
#[must_use = "the wait is over when this is dropped"]
pub(crate) struct RemoteWait(());

impl RemoteWait {
    pub(crate) fn begin() -> Self {
        REMOTE_WAITS.set(REMOTE_WAITS.get() + 1);
        Self(())
    }
}

impl Drop for RemoteWait {
    fn drop(&mut self) {
        REMOTE_WAITS.set(REMOTE_WAITS.get() - 1);
    }
}
