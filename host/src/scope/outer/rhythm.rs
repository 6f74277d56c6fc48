//! When the keeper of a gate fetches a lock, how long it keeps it, and when it lets it go.
//!
//! Plain decisions: the time and what is seen come in, what to do and when to look again goes out. No threads, clocks or
//! files.
//!
//! * **Cohorts.** At home a lock serves everybody in here. Once it is known that somebody outside waits, it leaves after
//!   [`COHORT`] or [`COHORT_GRANTS`], whichever is first, and stays away for a [gap](GAP).
//! * **Quiet windows.** Who polls does not say that it waits, or has long gone when it could be served. So there are windows
//!   of [`QUIET`], at the same moments for all hosts of the machine, in which none of them takes the lock: they come every
//!   [`PERIOD_SEEN`] while strangers were seen lately, and every [`PERIOD_UNSEEN`] otherwise, as some cannot be seen.
//! * **Idleness.** A lock that nobody in here wants leaves after [`LINGER`].
//! * **Polls.** Between the news of it a lock that is waited for is tried again, after [`POLL_FIRST`] and then more and more
//!   rarely, down to every [`POLL_LAST`]: not everybody's release makes news.

use std::time::Duration;

use lockkeeper_locks::{GatePhase, GateView, Mode};

use super::News;

const COHORT: u64 = millis(10);
const COHORT_GRANTS: u64 = 1_000;
/// How long a lock waits at home for the first one that it came for, whoever else waits.
const SERVED: u64 = millis(100);
/// Enough for a process that was woken to come. Longer after reading, as several hosts read at a time, and all of them have to
/// stay away at one moment for a writer to come.
const GAP: u64 = millis(2);
const GAP_AFTER_READING: u64 = millis(15);
/// Longer than the usual period of those who poll, which is 50 ms.
const QUIET: u64 = millis(60);
const PERIOD_SEEN: u64 = millis(250);
const PERIOD_UNSEEN: u64 = millis(4_000);
/// For how long a stranger that was seen counts as one that may come again.
const SEEN: u64 = millis(5_000);
const LINGER: u64 = millis(5);
/// For how long after it came home nobody is heard to knock: it may be what this host itself did to the file. Who waits
/// knocks again.
const SELF_HEARD: u64 = millis(2);
/// Whoever has not had the lock for so long need not stay away from it: it does not keep others from coming.
const OFTEN: u64 = millis(1_000);
/// How often a lock at home is looked at, whether it is still in use.
const LOOK: u64 = millis(5);
const POLL_FIRST: u64 = millis(1);
const POLL_LAST: u64 = millis(20);
/// After which wait people are told who has it, and then how often.
const TELL_FIRST: u64 = millis(1_000);
const TELL_AGAIN: u64 = millis(10_000);
/// When a lock that could not be tried is tried again.
const RETRY: u64 = millis(1_000);
/// With fewer fences than this, more are reserved.
const FENCES_LEAST: u64 = 1 << 21;

const fn millis(millis: u64) -> u64 {
    millis * 1_000_000
}

/// A moment, in nanoseconds of the clock that all hosts of the machine have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the keeper is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Nothing before this moment, or before there is news.
    Wait(Option<Moment>),
    /// To try to take the lock.
    Try(Mode),
    /// To let it go after so many grants, or none.
    Allow(u64),
    /// To let it go, as nobody holds it.
    Depart,
    /// To reserve more fences.
    Reserve,
    /// To tell people who has it.
    Tell(Duration),
}

/// What is known of one lock and of those outside.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    /// Whether news is heard of at all. Without any, everybody may be there.
    deaf: bool,
    /// When somebody who does not speak with us came last.
    stranger: Option<Moment>,
    /// Strangers that have come and not gone.
    present: u32,
    /// Somebody outside waits, while it is at home.
    awaited: bool,
    limited: bool,
    replaced: bool,
    came_home: Moment,
    /// When it was at home last.
    had_it: Option<Moment>,
    grants: u64,
    /// Since when nobody in here has wanted it.
    unused: Option<Moment>,
    not_before: Moment,
    /// Since when somebody in here waits for it to come home.
    waiting: Option<Moment>,
    next_try: Moment,
    tries: u32,
    told: Option<Moment>,
    reserve_at: Moment,
}

impl Rhythm {
    pub(super) fn new(deaf: bool) -> Self {
        Self { deaf, ..Self::default() }
    }

    /// Something was heard.
    pub(super) fn hear(&mut self, news: News, now: Moment) {
        match news {
            News::Comes => {
                if !self.is_stranger_near(now) {
                    // News can be lost, and then somebody is thought to be there for ever.
                    self.present = 0;
                }
                self.stranger = Some(now);
                self.present = self.present.saturating_add(1);
                self.awaited = true;
            }
            News::Goes => {
                self.stranger = Some(now);
                self.present = self.present.saturating_sub(1);
                self.next_try = now;
            }
            News::Knocks => self.awaited |= now.since(self.came_home) > SELF_HEARD,
            News::Changed => self.next_try = now,
            News::Replaced => self.replaced = true,
        }
    }

    /// The lock was tried, and somebody has it.
    pub(super) fn busy(&mut self, now: Moment) {
        let pause = POLL_FIRST.saturating_mul(1 << self.tries.min(10)).min(POLL_LAST);
        self.tries = self.tries.saturating_add(1);
        self.next_try = now.after(pause);
    }

    /// No more fences could be reserved.
    pub(super) fn not_reserved(&mut self, now: Moment) {
        self.reserve_at = now.after(RETRY);
    }

    /// The lock could not be tried.
    pub(super) fn failed(&mut self, now: Moment) {
        self.next_try = now.after(RETRY);
    }

    /// The lock came home. How many grants it may have.
    pub(super) fn came_home(&mut self, now: Moment) -> u64 {
        // Who had to wait was not alone, and those who waited beside it still do.
        let is_somebody_there = self.present > 0 && self.is_stranger_near(now);
        self.awaited = self.tries > 0 || is_somebody_there || self.deaf;
        self.limited = self.awaited;
        (self.tries, self.told, self.waiting) = (0, None, None);
        (self.came_home, self.grants, self.unused, self.replaced) = (now, 0, None, false);
        self.had_it = Some(now);
        if self.limited { COHORT_GRANTS } else { u64::MAX }
    }

    /// The lock is away again.
    pub(super) fn departed(&mut self, mode: Mode, now: Moment) {
        if self.awaited {
            self.not_before = now.after(if mode == Mode::Shared { GAP_AFTER_READING } else { GAP });
        }
        self.awaited = false;
        self.had_it = Some(now);
        (self.next_try, self.tries, self.replaced) = (now, 0, false);
    }

    /// Whether somebody who asks in passing may try to take the lock now.
    pub(super) fn may_try(&self, now: Moment) -> bool {
        now >= self.not_before && self.quiet(now).is_none()
    }

    /// What to do next.
    pub(super) fn decide(&mut self, view: &GateView, now: Moment) -> Act {
        match view.phase {
            GatePhase::Away => self.away(view, now),
            GatePhase::Home(mode) => self.home(mode, view, now),
            GatePhase::Leaving(_) if view.held => Act::Wait(None),
            GatePhase::Leaving(_) => Act::Depart,
        }
    }

    fn away(&mut self, view: &GateView, now: Moment) -> Act {
        let Some(mode) = view.wanted else {
            (self.waiting, self.told, self.tries) = (None, None, 0);
            return Act::Wait(None);
        };
        let since = *self.waiting.get_or_insert(now);
        let tell_at = self.told.map_or(since.after(TELL_FIRST), |told| told.after(TELL_AGAIN));
        if now >= tell_at {
            self.told = Some(now);
            return Act::Tell(Duration::from_nanos(now.since(since)));
        }
        let from = self.not_before.max(self.next_try);
        let from = self.quiet(now).map_or(from, |end| from.max(end));
        if now >= from { Act::Try(mode) } else { Act::Wait(Some(from.min(tell_at))) }
    }

    fn home(&mut self, mode: Mode, view: &GateView, now: Moment) -> Act {
        if mode == Mode::Exclusive && view.fences_left < FENCES_LEAST && now >= self.reserve_at {
            return Act::Reserve;
        }
        self.had_it = Some(now);
        let is_other_mode_wanted = mode == Mode::Shared && view.wanted == Some(Mode::Exclusive);
        // Whoever was woken for it may need a while to come, where there is much to do.
        let has_served = view.grants > 0 || now >= self.came_home.after(SERVED);
        let is_over = self.awaited && now >= self.came_home.after(COHORT);
        if is_other_mode_wanted || self.replaced || has_served && (is_over || self.quiet(now).is_some()) {
            return Act::Allow(0);
        }
        let used = view.held || view.wanted.is_some() || view.grants != self.grants;
        self.grants = view.grants;
        if used {
            self.unused = None;
        } else {
            let unused = *self.unused.get_or_insert(now);
            if self.awaited || now >= unused.after(LINGER) {
                return Act::Allow(0);
            }
        }
        if self.awaited && !self.limited {
            self.limited = true;
            return Act::Allow(COHORT_GRANTS.saturating_sub(view.grants));
        }
        let end = if self.awaited { self.came_home.after(COHORT) } else { self.next_quiet(now) };
        Act::Wait(Some(end.min(now.after(LOOK))))
    }

    fn period(&self, now: Moment) -> u64 {
        if self.deaf || self.is_stranger_near(now) { PERIOD_SEEN } else { PERIOD_UNSEEN }
    }

    fn is_stranger_near(&self, now: Moment) -> bool {
        self.stranger.is_some_and(|seen| now.since(seen) < SEEN)
    }

    /// The end of the quiet window in which this moment lies, if it matters to this host.
    fn quiet(&self, now: Moment) -> Option<Moment> {
        if self.had_it.is_none_or(|had_it| now.since(had_it) > OFTEN) {
            return None;
        }
        let into = now.0 % self.period(now);
        (into < QUIET).then(|| Moment(now.0 - into).after(QUIET))
    }

    fn next_quiet(&self, now: Moment) -> Moment {
        let period = self.period(now);
        Moment(now.0 - now.0 % period).after(period)
    }
}
