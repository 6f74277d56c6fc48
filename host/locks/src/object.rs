//! Whatever stands behind one id of the table: a lock, or another primitive that owners wait at.
//!
//! What they all have in common, as the table sees it: somebody who waits looks, gives up, or ends.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::barrier::Barrier;
use crate::condition::Condition;
use crate::error::BrokenCause;
use crate::event::Event;
use crate::exit::Exit;
use crate::ids::{Counters, EndCause, FenceBlock, LockState, OwnerId};
use crate::items::Items;
use crate::kinds::{Kind, LockConfig};
use crate::latch::Latch;
use crate::lock::{Lock, Progress, Taken};
use crate::queue::{Expelled, Queue, Ticket, Wakes};
use crate::rule::Rule;
use crate::semaphore::Permits;
use crate::wait::Answer;

pub(crate) enum Object {
    Lock(Lock),
    Condition(Condition),
    Event(Event),
    Barrier(Barrier),
    Latch(Latch),
    Items(Items),
    Exit(Exit),
}

/// Those to wake whom a transition took out in numbers; at most as many as a primitive has lanes.
pub(crate) type Crowd = [Expelled; 3];

/// Those of one lane.
pub(crate) fn crowd(one: Expelled) -> Crowd {
    [one, Expelled::default(), Expelled::default()]
}

/// Somebody looks who waits for something that many are told at once: it waits on, was told, or neither.
fn look(queue: &mut Queue, ticket: Ticket, told: bool, waker: &mut Option<Waker>, wakes: &mut Wakes) -> Progress {
    if queue.contains(ticket) {
        queue.wait(ticket, waker, wakes);
        Progress::Pending
    } else if told {
        Progress::Answered(Answer::Done)
    } else {
        Progress::Gone
    }
}

impl Object {
    pub(crate) fn new(kind: Kind, config: LockConfig, fences: FenceBlock) -> Self {
        let rule = match kind {
            Kind::Condition { lock } => return Self::Condition(Condition::new(lock)),
            Kind::Event => return Self::Event(Event::new()),
            Kind::Barrier { parties, parties_are } => return Self::Barrier(Barrier::new(parties, parties_are)),
            Kind::Latch { count } => return Self::Latch(Latch::new(count)),
            Kind::Queue(config) => return Self::Items(Items::new(config)),
            Kind::Exit { of, since } => return Self::Exit(Exit::new(of, since)),
            Kind::Mutex => Rule::Mutex,
            Kind::RLock { depth_max } => Rule::RLock { depth_max },
            Kind::RwLock { depth_max } => Rule::RwLock { depth_max },
            Kind::Semaphore(kind) => Rule::Semaphore(Permits::new(kind)),
            Kind::Once => Rule::Once { done: false },
        };
        Self::Lock(Lock::new(rule, config, fences))
    }

    /// What stands where something was removed: nobody asks for it.
    pub(crate) fn nothing() -> Self {
        Self::Latch(Latch::new(0))
    }

    /// Whether nobody waits here, and nobody has anything of it.
    pub(crate) fn is_idle(&self) -> bool {
        let held = if let Self::Lock(lock) = self { lock.is_locked() } else { false };
        !held && self.waiter_count() == 0
    }

    /// Somebody who waits looks whether it is over.
    pub(crate) fn poll(
        &mut self,
        ticket: Ticket,
        offer: &mut Option<Arc<[u8]>>,
        waker: &mut Option<Waker>,
        wakes: &mut Wakes,
    ) -> Progress {
        match self {
            Self::Lock(lock) => lock.poll(ticket, waker, wakes),
            Self::Condition(condition) => {
                let told = condition.has_notified(ticket);
                look(condition.queue_mut(), ticket, told, waker, wakes)
            }
            Self::Event(event) => {
                let told = event.was_seen_by(ticket);
                look(event.queue_mut(), ticket, told, waker, wakes)
            }
            Self::Latch(latch) => {
                let told = latch.remaining() == 0;
                look(latch.queue_mut(), ticket, told, waker, wakes)
            }
            Self::Exit(exit) => {
                let told = exit.is_over();
                look(exit.queue_mut(), ticket, told, waker, wakes)
            }
            Self::Barrier(barrier) => barrier.poll(ticket, waker, wakes),
            Self::Items(items) => items.poll(ticket, offer, waker, wakes),
        }
    }

    /// The deadline of a waiter has come: what it waits for was first, or it is out of the queue. Never pending.
    pub(crate) fn expire(
        &mut self,
        ticket: Ticket,
        offer: &mut Option<Arc<[u8]>>,
        now: Instant,
        wakes: &mut Wakes,
    ) -> (Progress, Crowd) {
        let progress = match self {
            Self::Lock(lock) => return (lock.expire(ticket, now, wakes), Crowd::default()),
            Self::Barrier(barrier) if barrier.queue().contains(ticket) => {
                barrier.queue_mut().count_timeout();
                let others = barrier.party_gone(Some(ticket), BrokenCause::TimedOut, wakes);
                return (Progress::TimedOut, crowd(others));
            }
            Self::Items(items) => match items.advance(ticket, offer, wakes) {
                Progress::Pending => {
                    items.time_out(ticket, wakes);
                    Progress::TimedOut
                }
                progress => progress,
            },
            Self::Condition(_) | Self::Event(_) | Self::Barrier(_) | Self::Latch(_) | Self::Exit(_) => {
                let waits = self.waits_in(ticket).is_some_and(|queue| queue.time_out(ticket, wakes));
                // Who waits no more has been told something, and needs no waker for it.
                if waits { Progress::TimedOut } else { self.poll(ticket, offer, &mut None, wakes) }
            }
        };
        (progress, self.sweep())
    }

    /// A wait is dropped. What was on its way to it passes on.
    pub(crate) fn leave(&mut self, ticket: Ticket, wakes: &mut Wakes) -> Crowd {
        match self {
            Self::Lock(lock) => lock.leave(ticket, wakes),
            Self::Condition(condition) => {
                if condition.queue_mut().leave(ticket, wakes).is_none() {
                    return crowd(condition.pass_on(ticket));
                }
            }
            Self::Barrier(barrier) => {
                let others = barrier.leave(ticket, wakes);
                return crowd(others);
            }
            Self::Event(event) => drop(event.queue_mut().leave(ticket, wakes)),
            Self::Latch(latch) => drop(latch.queue_mut().leave(ticket, wakes)),
            Self::Exit(exit) => drop(exit.queue_mut().leave(ticket, wakes)),
            Self::Items(items) => items.leave(ticket, wakes),
        }
        self.sweep()
    }

    /// An owner ends: what it holds is taken away, what it waits for is over, what was on its way to it passes on.
    pub(crate) fn end(
        &mut self,
        owner: OwnerId,
        ticket: Option<Ticket>,
        how: EndCause,
        wakes: &mut Wakes,
    ) -> (Option<Taken>, Crowd) {
        match self {
            Self::Lock(lock) => return (lock.end(owner, ticket, how, wakes), Crowd::default()),
            Self::Condition(condition) => {
                if let Some(ticket) = ticket
                    && condition.queue_mut().take(ticket, wakes).is_none()
                {
                    return (None, crowd(condition.pass_on(ticket)));
                }
            }
            Self::Barrier(barrier) => {
                let others = barrier.party_gone(ticket, BrokenCause::PartyEnded, wakes);
                return (None, crowd(others));
            }
            Self::Event(_) | Self::Latch(_) | Self::Exit(_) => {
                if let Some(ticket) = ticket {
                    self.waits_in(ticket).map(|queue| queue.take(ticket, wakes));
                }
            }
            Self::Items(items) => items.end(owner, ticket, wakes),
        }
        (None, self.sweep())
    }

    /// Nobody is granted anything from here on, and nobody waits.
    pub(crate) fn close(&mut self) -> Crowd {
        let everyone = match self {
            Self::Lock(lock) => lock.close(),
            Self::Items(items) => return items.shut_down(),
            Self::Condition(condition) => condition.queue_mut().close(),
            Self::Event(event) => event.queue_mut().close(),
            Self::Barrier(barrier) => barrier.queue_mut().close(),
            Self::Latch(latch) => latch.queue_mut().close(),
            Self::Exit(exit) => exit.queue_mut().close(),
        };
        crowd(everyone)
    }

    /// Whether the table was shut down.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Lock(lock) => lock.is_closed(),
            _ => self.queues().all(Queue::is_closed),
        }
    }

    /// Whether many can be told at once that their wait is over, so that nothing here says who of them has ended since.
    pub(crate) fn tells_many(&self) -> bool {
        match self {
            Self::Lock(lock) => lock.is_once(),
            _ => true,
        }
    }

    /// Those who wait for what cannot come any more.
    pub(crate) fn sweep(&mut self) -> Crowd {
        match self {
            Self::Items(items) => crowd(items.sweep()),
            _ => Crowd::default(),
        }
    }

    /// Whether the owner has anything here beyond a wait, so that its end has to be told here.
    pub(crate) fn keeps(&self, owner: OwnerId) -> bool {
        match self {
            Self::Lock(lock) => lock.is_held_by(owner),
            Self::Barrier(barrier) => barrier.is_registered(),
            Self::Items(items) => items.is_out_with(owner),
            Self::Condition(_) | Self::Event(_) | Self::Latch(_) | Self::Exit(_) => false,
        }
    }

    // ---- looking ----

    fn waits_in(&mut self, ticket: Ticket) -> Option<&mut Queue> {
        let queue = match self {
            Self::Condition(condition) => condition.queue_mut(),
            Self::Event(event) => event.queue_mut(),
            Self::Barrier(barrier) => barrier.queue_mut(),
            Self::Latch(latch) => latch.queue_mut(),
            Self::Exit(exit) => exit.queue_mut(),
            Self::Lock(_) | Self::Items(_) => return None,
        };
        queue.contains(ticket).then_some(queue)
    }

    /// The queues of those who wait here; most have one.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Queue> {
        let (one, more) = match self {
            Self::Lock(lock) => (lock.queue(), [None, None]),
            Self::Condition(condition) => (condition.queue(), [None, None]),
            Self::Event(event) => (event.queue(), [None, None]),
            Self::Barrier(barrier) => (barrier.queue(), [None, None]),
            Self::Latch(latch) => (latch.queue(), [None, None]),
            Self::Exit(exit) => (exit.queue(), [None, None]),
            Self::Items(items) => {
                let [one, two, three] = items.queues();
                (one, [Some(two), Some(three)])
            }
        };
        std::iter::once(one).chain(more.into_iter().flatten())
    }

    pub(crate) fn waiter_count(&self) -> usize {
        self.queues().map(Queue::len).sum()
    }

    pub(crate) fn is_asleep(&self, ticket: Ticket) -> bool {
        self.queues().find_map(|queue| queue.get(ticket)).is_some_and(crate::queue::Entry::is_asleep)
    }

    pub(crate) fn state(&self) -> LockState {
        match self {
            Self::Lock(lock) => lock.state(),
            _ => LockState::Free,
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        match self {
            Self::Lock(lock) => lock.counters(),
            Self::Items(items) => items.counters(),
            Self::Condition(_) | Self::Event(_) | Self::Barrier(_) | Self::Latch(_) | Self::Exit(_) => {
                self.queues().next().map(Queue::counters).unwrap_or_default()
            }
        }
    }

    /// Asserts what can be seen in constant time.
    pub(crate) fn check(&self) {
        match self {
            Self::Lock(lock) => lock.check(),
            Self::Barrier(barrier) => barrier.check(),
            Self::Items(items) => items.check(),
            Self::Condition(_) | Self::Event(_) | Self::Latch(_) | Self::Exit(_) => {}
        }
    }

    /// Asserts what takes a walk.
    pub(crate) fn check_all(&self) {
        match self {
            Self::Lock(lock) => lock.check_all(),
            _ => self.check(),
        }
    }
}
