//! The executor of one shard: a future that polls the processes of the shard.
//!
//! It runs inside a runtime of tokio, which WASI needs for its files, clocks and streams, and gives that one its turn
//! every millisecond. That runtime's own tasks would all be equal; here it is known who has used up a slice.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::inbox::{Inbox, Next, Place, Tasks, Work};
use super::ready::Level;
use super::task::{Pending, Task};
use crate::turn::{self, Hands, Left};

/// How long processes run before tokio looks after timers, signals and streams.
const DRIVER_EVERY: Duration = Duration::from_millis(1);

/// Polls from one look at the clock to the next, which costs about as much as a lock request. A process whose slice is over
/// is a reason to look at once.
const POLLS_PER_LOOK: u32 = 8;

/// How long a shard looks out for another one before it sleeps. Waking a thread takes 30 to 80 us, and the wait for a lock
/// that another shard has just in use is shorter than that.
const LOOKOUT: Duration = Duration::from_micros(50);

/// So many slices in a row a process gets among the first that holds a lock, as others may wait for that. Whoever holds one
/// for longer does not do so for those others, and waits with those that only compute.
const HELD_SLICES_FIRST: u32 = 2;

/// Glances at the inbox from one look at the clock to the next.
const GLANCES_PER_LOOK: u32 = 32;

/// Whether there is another shard to look out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    Alone,
    Others,
}

/// Polls the processes of its shard, and is ready when the inbox is closed and the last of them has ended.
pub(super) struct Executor {
    inbox: Arc<Inbox>,
    company: Company,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
}

/// A process.
struct Slot {
    future: Pin<Box<dyn Future<Output = ()>>>,
    task: Arc<Task>,
    waker: Waker,
    left: Left,
    /// How many slices it has used up since it last left the core of itself.
    slices: u32,
}

/// Why the executor stopped polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// It is tokio's turn.
    LongEnough,
    NothingReady,
    /// Nothing will be ready any more.
    Over,
}

impl Executor {
    /// The executor for this thread, which is that of a shard from here on.
    pub(super) fn new(shard: usize, inbox: Arc<Inbox>, company: Company) -> Self {
        turn::enter_shard(shard, inbox.high().clone());
        Self { inbox, company, slots: Vec::new(), free: Vec::new() }
    }

    fn run(&mut self) -> Stopped {
        let begun = Instant::now();
        let mut looked = begun;
        let mut polls = 0;
        loop {
            let (level, work) = match self.inbox.pop() {
                Next::Work(level, work) => (level, work),
                Next::Nothing if self.look_out() => continue,
                Next::Nothing => return Stopped::NothingReady,
                Next::Closed if self.tasks() == Tasks::None => return Stopped::Over,
                Next::Closed => return Stopped::NothingReady,
            };
            if level == Level::Low {
                self.look(&mut looked, Level::High);
            }
            let (left, goes_to) = self.work(work);
            polls += 1;
            // The slice that puts a process into the low queue is the first one that counts there.
            let level = if goes_to == Level::Low { Level::Low } else { level };
            if level == Level::Low || left != Left::Itself || polls % POLLS_PER_LOOK == 0 {
                self.look(&mut looked, level);
                if looked - begun >= DRIVER_EVERY {
                    return Stopped::LongEnough;
                }
            }
        }
    }

    /// Looks at the clock, and books the time since the last look on a queue.
    fn look(&self, looked: &mut Instant, level: Level) {
        let now = Instant::now();
        self.inbox.ran(level, now - *looked);
        *looked = now;
    }

    /// With nothing to do: whether another shard brings something soon.
    fn look_out(&self) -> bool {
        if self.company == Company::Alone || !turn::waits_for_another_shard() {
            return false;
        }
        let until = Instant::now() + LOOKOUT;
        loop {
            for _ in 0..GLANCES_PER_LOOK {
                if self.inbox.has_any() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }

    /// Why the process left the core, and to which queue that leads.
    fn work(&mut self, work: Work) -> (Left, Level) {
        let place = match work {
            Work::Start(start) => self.add(start()),
            Work::Poll(place) => place,
        };
        self.poll_task(place)
    }

    fn add(&mut self, future: Pin<Box<dyn Future<Output = ()>>>) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let task = Task::starting(Place(place), self.inbox.clone());
        let waker = Waker::from(task.clone());
        self.slots[place] = Some(Slot { future, task, waker, left: Left::default(), slices: 0 });
        Place(place)
    }

    fn poll_task(&mut self, place: Place) -> (Left, Level) {
        let Place(index) = place;
        let slot = self.slots[index].as_mut().expect("only tasks that have not ended are in a queue");
        slot.task.begin_poll();
        turn::begin(slot.left);
        let polled = slot.future.as_mut().poll(&mut Context::from_waker(&slot.waker));
        let left = turn::end();
        slot.left = left;
        slot.slices = if left == Left::Itself { 0 } else { slot.slices.saturating_add(1) };
        let goes_to = queue_after(left, slot.slices);
        match polled {
            Poll::Ready(()) => {
                slot.task.ended();
                drop(self.slots[index].take());
                self.free.push(index);
                (Left::Itself, Level::High)
            }
            Poll::Pending => {
                if slot.task.pending() == Pending::Woken {
                    self.inbox.push(goes_to, Work::Poll(place));
                }
                (left, goes_to)
            }
        }
    }

    fn tasks(&self) -> Tasks {
        if self.slots.len() == self.free.len() { Tasks::None } else { Tasks::Some }
    }
}

/// Where a process goes that left its core so, after so many slices in a row, and is ready to come back.
fn queue_after(left: Left, slices: u32) -> Level {
    match left {
        Left::SliceOver(Hands::Empty) => Level::Low,
        Left::SliceOver(Hands::Holding) if slices > HELD_SLICES_FIRST => Level::Low,
        Left::SliceOver(Hands::Holding) | Left::Itself => Level::High,
    }
}

impl Future for Executor {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.inbox.awake();
        match self.run() {
            Stopped::Over => return Poll::Ready(()),
            Stopped::NothingReady if self.inbox.sleep(cx.waker(), self.tasks()) => {}
            // Also if something came at the last moment: so tokio has its turn whatever comes how often.
            Stopped::LongEnough | Stopped::NothingReady => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
