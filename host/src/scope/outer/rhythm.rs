//! When the keeper of a gate fetches a lock, how long it keeps it, and when it lets it go.
//!
//! Plain decisions: the time and what is seen come in, what to do and when to look again goes out. No threads, clocks or
//! files.
//!
//! * **Cohorts.** At home a lock serves everybody in here. Once it is known that somebody outside waits, it leaves after
//!   [`COHORT`] or [`COHORT_GRANTS`], whichever is first, and stays away for a [gap](GAP).
//! * **Quiet windows.** Who polls does not say that it waits, or has long gone when it could be served. So there are windows
//!   of [`QUIET`], at the same moments for all hosts of the machine, in which none of them takes the lock: they come every
//!   [`PERIOD_SEEN`] while strangers were seen lately, and every [`PERIOD_UNSEEN`] otherwise, as some cannot be seen. Where
//!   an owner held it meanwhile, the window comes after that, for the host that had it and those that saw it.
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
/// Twice the usual period of those who poll, which is 50 ms: who comes while another stranger has it comes again.
const QUIET: u64 = millis(100);
const PERIOD_SEEN: u64 = millis(250);
const PERIOD_UNSEEN: u64 = millis(4_000);
/// Who lets it go so long after a window has begun leaves too little of it.
const LATE: u64 = millis(20);
/// How far behind others comes who has had it just now, after a quiet window; less far, the longer that is ago.
const BEHIND: u64 = millis(5);
const LATELY: u64 = millis(5_000);
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
/// For how long it counts as one that cannot be tried.
const FAILS: u64 = 3 * RETRY;
/// With fewer fences than this, more are reserved.
const FENCES_LEAST: u64 = 1 << 21;
/// With fewer than this, a lock that is read leaves, and comes back with others: who reads beside other hosts gets no more.
const FENCES_LEAST_READING: u64 = 1 << 18;

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
    /// The last quiet window that it heeds is over then.
    quiet_until: Moment,
    /// Since when somebody in here waits for it to come home.
    waiting: Option<Moment>,
    next_try: Moment,
    /// How often it was tried in vain since the last news that it may be free.
    tries: u32,
    /// Whether it was tried in vain since it was away.
    refused: bool,
    /// Somebody has gone since then: it may have died with the lock.
    somebody_went: bool,
    /// It cannot be had before, whatever is heard: what is heard may be what came of trying.
    retry_at: Moment,
    /// When it could not be tried, if that was so the last time.
    failed_at: Option<Moment>,
    told: Option<Moment>,
    /// When it was tried in vain last, and when it was heard to have changed.
    refused_at: Option<Moment>,
    changed_at: Option<Moment>,
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
                // It is told just before the lock is free.
                (self.next_try, self.tries, self.somebody_went) = (now, 0, true);
            }
            News::Knocks => self.awaited |= now.since(self.came_home) > SELF_HEARD,
            News::Changed => {
                self.next_try = now;
                // If it was had by somebody since it changed before, that one lets it go now.
                let since = self.changed_at.filter(|changed| self.refused_at >= Some(*changed));
                if since.is_some_and(|since| self.is_window_missed(since, now)) {
                    self.not_before = self.not_before.max(self.after_quiet(now.after(QUIET)));
                }
                self.changed_at = Some(now);
            }
            News::Replaced => self.replaced = true,
        }
    }

    /// The lock was tried, and somebody has it.
    pub(super) fn busy(&mut self, now: Moment) {
        let pause = POLL_FIRST.saturating_mul(1 << self.tries.min(10)).min(POLL_LAST);
        self.tries = self.tries.saturating_add(1);
        (self.refused, self.refused_at, self.somebody_went) = (true, Some(now), false);
        self.works();
        self.next_try = now.after(pause);
    }

    /// No more fences could be reserved.
    pub(super) fn not_reserved(&mut self, now: Moment) {
        self.reserve_at = now.after(RETRY);
    }

    /// The lock could not be tried. Whether that was so before, too.
    pub(super) fn failed(&mut self, now: Moment) -> bool {
        let failed_before = self.fails(now);
        (self.retry_at, self.failed_at) = (now.after(RETRY), Some(now));
        failed_before
    }

    /// The lock could be tried.
    pub(super) fn works(&mut self) {
        self.failed_at = None;
    }

    /// Whether it could not be tried of late.
    pub(super) fn fails(&self, now: Moment) -> bool {
        self.failed_at.is_some_and(|failed| now.since(failed) < FAILS)
    }

    /// The lock came home. How many grants it may have.
    pub(super) fn came_home(&mut self, now: Moment) -> u64 {
        // Who had to wait was not alone, and those who waited beside it still do.
        let is_somebody_there = self.present > 0 && self.is_stranger_near(now);
        self.awaited = self.refused || is_somebody_there || self.deaf;
        self.limited = self.awaited;
        (self.tries, self.refused, self.told, self.waiting) = (0, false, None, None);
        self.works();
        (self.came_home, self.grants, self.unused, self.replaced) = (now, 0, None, false);
        (self.had_it, self.changed_at) = (Some(now), Some(now));
        if self.limited { COHORT_GRANTS } else { u64::MAX }
    }

    /// The lock is away again, after somebody in here may have had it.
    pub(super) fn departed(&mut self, mode: Mode, now: Moment) {
        let gap = if mode == Mode::Shared { GAP_AFTER_READING } else { GAP };
        self.had_it = Some(now);
        if self.is_window_missed(self.came_home, now) {
            self.not_before = self.after_quiet(now.after(QUIET));
        } else if self.awaited {
            self.not_before = now.after(gap);
        }
        self.is_away(now);
    }

    /// It was taken for nobody, and is away again.
    pub(super) fn put_back(&mut self, now: Moment) {
        self.is_away(now);
    }

    fn is_away(&mut self, now: Moment) {
        self.awaited = false;
        (self.next_try, self.tries, self.replaced) = (now, 0, false);
    }

    /// Whether somebody who asks in passing may try to take the lock now.
    pub(super) fn may_try(&self, now: Moment) -> bool {
        now >= self.not_before && now >= self.retry_at && self.quiet(now).is_none()
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
            (self.waiting, self.told, self.tries, self.refused) = (None, None, 0, false);
            return Act::Wait(None);
        };
        let since = *self.waiting.get_or_insert(now);
        let tell_at = self.told.map_or(since.after(TELL_FIRST), |told| told.after(TELL_AGAIN));
        if now >= tell_at {
            self.told = Some(now);
            return Act::Tell(Duration::from_nanos(now.since(since)));
        }
        if let Some(end) = self.quiet(now) {
            self.quiet_until = self.after_quiet(end);
        }
        let from = self.not_before.max(self.next_try).max(self.retry_at);
        let from = if self.ignores_quiet(now) { from } else { from.max(self.quiet_until) };
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
        let is_exhausted = mode == Mode::Shared && view.grants > 0 && view.fences_left < FENCES_LEAST_READING;
        if is_other_mode_wanted || self.replaced || is_exhausted || has_served && (is_over || self.quiet(now).is_some())
        {
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
        let end = match self.awaited {
            true if has_served => self.came_home.after(COHORT),
            true => self.came_home.after(SERVED),
            false => self.next_quiet(now),
        };
        Act::Wait(Some(end.min(now.after(LOOK))))
    }

    /// Whether one who has held the lock since then, and lets it go now, has left hardly anything of a quiet window.
    fn is_window_missed(&self, since: Moment, now: Moment) -> bool {
        let period = self.period(now);
        now.0 / period > since.0 / period && now.0 % period > LATE
    }

    fn period(&self, now: Moment) -> u64 {
        if self.deaf || self.is_stranger_near(now) { PERIOD_SEEN } else { PERIOD_UNSEEN }
    }

    fn is_stranger_near(&self, now: Moment) -> bool {
        self.stranger.is_some_and(|seen| now.since(seen) < SEEN)
    }

    /// Whether this host need not stay away in quiet windows, as it has the lock so seldom that it keeps nobody from coming.
    /// One that has waited long shares it with other hosts, which stay away for it and for strangers alike: it heeds the
    /// windows too, unless somebody has just gone, who may have died with the lock.
    fn ignores_quiet(&self, now: Moment) -> bool {
        let comes_seldom = self.had_it.is_none_or(|had_it| now.since(had_it) > OFTEN);
        comes_seldom && (self.somebody_went || self.waiting.is_none_or(|since| now.since(since) <= QUIET))
    }

    /// The end of the quiet window in which this moment lies, if it matters to this host.
    fn quiet(&self, now: Moment) -> Option<Moment> {
        if self.ignores_quiet(now) {
            return None;
        }
        let into = now.0 % self.period(now);
        (into < QUIET).then(|| Moment(now.0 - into).after(QUIET))
    }

    /// When to try after a quiet window: all hosts of the machine wait for its end, and whoever has had the lock lately comes
    /// behind those that have not.
    fn after_quiet(&self, end: Moment) -> Moment {
        let waited = self.had_it.map_or(LATELY, |had_it| end.since(had_it).min(LATELY));
        end.after(BEHIND - BEHIND * waited / LATELY)
    }

    fn next_quiet(&self, now: Moment) -> Moment {
        let period = self.period(now);
        Moment(now.0 - now.0 % period).after(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        // Just behind a quiet window of either kind.
        Moment(1_000 * PERIOD_UNSEEN + QUIET + self::millis(millis))
    }

    fn view(phase: GatePhase) -> GateView {
        GateView { phase, wanted: None, held: false, grants: 0, fences_left: u64::MAX }
    }

    fn away(wanted: Option<Mode>) -> GateView {
        GateView { wanted, ..view(GatePhase::Away) }
    }

    const AWAY: GatePhase = GatePhase::Away;
    const HOME: GatePhase = GatePhase::Home(Mode::Exclusive);
    const WRITE: Option<Mode> = Some(Mode::Exclusive);

    /// A lock at home that is in use.
    fn used(grants: u64) -> GateView {
        GateView { held: true, wanted: WRITE, grants, ..view(HOME) }
    }

    #[test]
    fn nothing_is_done_for_a_lock_that_nobody_wants_and_it_is_tried_once_somebody_does() {
        let mut rhythm = Rhythm::new(false);
        assert_eq!(rhythm.decide(&away(None), at(0)), Act::Wait(None));
        for mode in [Mode::Exclusive, Mode::Shared] {
            assert_eq!(rhythm.decide(&away(Some(mode)), at(1)), Act::Try(mode));
        }
    }

    #[test]
    fn a_busy_lock_is_tried_more_and_more_rarely_but_at_once_when_there_is_news() {
        let mut rhythm = Rhythm::new(false);
        let (mut now, mut pauses) = (at(0), Vec::new());
        for _ in 0..8 {
            assert_eq!(rhythm.decide(&away(WRITE), now), Act::Try(Mode::Exclusive));
            rhythm.busy(now);
            let Act::Wait(Some(next)) = rhythm.decide(&away(WRITE), now) else { panic!("it is tried again") };
            pauses.push(next.since(now) / millis(1));
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 20, 20, 20]);
        rhythm.busy(now);
        rhythm.hear(News::Goes, now);
        assert_eq!(rhythm.decide(&away(WRITE), now), Act::Try(Mode::Exclusive));
        rhythm.busy(now);
        assert_eq!(
            rhythm.decide(&away(WRITE), now),
            Act::Wait(Some(now.after(POLL_FIRST))),
            "who goes may not be gone yet"
        );
    }

    #[test]
    fn a_lock_that_nobody_outside_waits_for_stays_while_it_is_used_and_no_longer() {
        let mut rhythm = Rhythm::new(false);
        assert_eq!(rhythm.came_home(at(0)), u64::MAX);
        for now in 0..100 {
            assert!(matches!(rhythm.decide(&used(now), at(now)), Act::Wait(Some(_))));
        }
        let unused = GateView { grants: 99, ..view(HOME) };
        assert!(matches!(rhythm.decide(&unused, at(100)), Act::Wait(Some(_))));
        assert_eq!(rhythm.decide(&unused, at(105)), Act::Allow(0));
    }

    #[test]
    fn a_lock_that_somebody_outside_waits_for_leaves_after_its_cohort_or_when_it_is_not_used() {
        for news in [News::Comes, News::Knocks] {
            let mut rhythm = Rhythm::new(false);
            assert_eq!(rhythm.came_home(at(0)), u64::MAX);
            assert!(matches!(rhythm.decide(&used(1), at(4)), Act::Wait(Some(_))));
            rhythm.hear(news, at(4));
            assert_eq!(rhythm.decide(&used(7), at(4)), Act::Allow(COHORT_GRANTS - 7));
            assert_eq!(rhythm.decide(&used(8), at(5)), Act::Wait(Some(at(10))));
            assert_eq!(rhythm.decide(&used(9), at(10)), Act::Allow(0));
            rhythm.departed(Mode::Exclusive, at(10));
            rhythm.came_home(at(20));
            rhythm.hear(news, at(24));
            let unused = GateView { grants: 8, ..view(HOME) };
            assert!(matches!(rhythm.decide(&unused, at(25)), Act::Wait(Some(_)) | Act::Allow(1..)), "it was used");
            assert_eq!(rhythm.decide(&unused, at(26)), Act::Allow(0));
        }
    }

    #[test]
    fn whoever_had_to_wait_for_a_lock_takes_it_that_others_still_do() {
        let mut rhythm = Rhythm::new(false);
        rhythm.busy(at(0));
        rhythm.hear(News::Goes, at(1));
        assert_eq!(rhythm.came_home(at(1)), COHORT_GRANTS);
        assert_eq!(rhythm.decide(&used(1), at(11)), Act::Allow(0));
    }

    #[test]
    fn a_lock_waits_at_home_for_the_first_one_that_it_came_for() {
        let mut rhythm = Rhythm::new(false);
        rhythm.busy(at(0));
        rhythm.came_home(at(1));
        let waiting = GateView { wanted: WRITE, ..view(HOME) };
        // In time to come, or the keeper would look without end.
        assert!(matches!(rhythm.decide(&waiting, at(20)), Act::Wait(Some(until)) if until > at(20)));
        assert_eq!(rhythm.decide(&waiting, at(120)), Act::Allow(0));
    }

    #[test]
    fn after_a_cohort_others_have_a_gap_in_which_to_come() {
        for (mode, gap) in [(Mode::Exclusive, GAP), (Mode::Shared, GAP_AFTER_READING)] {
            let mut rhythm = Rhythm::new(false);
            rhythm.came_home(at(0));
            rhythm.hear(News::Knocks, at(4));
            rhythm.departed(mode, at(10));
            assert_eq!(rhythm.decide(&away(WRITE), at(10)), Act::Wait(Some(at(10).after(gap))));
            assert!(!rhythm.may_try(at(10)) && rhythm.may_try(at(10).after(gap)));
            assert_eq!(rhythm.decide(&away(WRITE), at(10).after(gap)), Act::Try(Mode::Exclusive));
        }
        let mut rhythm = Rhythm::new(false);
        rhythm.came_home(at(0));
        rhythm.departed(Mode::Exclusive, at(10));
        assert_eq!(rhythm.decide(&away(WRITE), at(10)), Act::Try(Mode::Exclusive), "nobody waits");
    }

    #[test]
    fn who_has_waited_long_heeds_the_windows_but_takes_a_lock_at_once_whose_holder_may_have_died() {
        let mut rhythm = Rhythm::new(false);
        // A window begins after 3,900 ms.
        assert_eq!(rhythm.decide(&away(WRITE), at(3_000)), Act::Try(Mode::Exclusive));
        rhythm.busy(at(3_000));
        assert!(matches!(rhythm.decide(&away(WRITE), at(4_000)), Act::Tell(_)));
        assert_eq!(rhythm.decide(&away(WRITE), at(3_910)), Act::Wait(Some(at(4_000))));
        rhythm.hear(News::Goes, at(3_911));
        assert_eq!(rhythm.decide(&away(WRITE), at(3_911)), Act::Try(Mode::Exclusive));
        rhythm.busy(at(3_911));
        assert!(matches!(rhythm.decide(&away(WRITE), at(3_920)), Act::Wait(Some(_))));
    }

    #[test]
    fn what_this_host_does_to_the_file_itself_is_nobody_who_lets_it_go() {
        let mut rhythm = Rhythm::new(false);
        rhythm.came_home(at(0));
        rhythm.hear(News::Changed, at(1));
        rhythm.departed(Mode::Exclusive, at(10));
        rhythm.hear(News::Changed, at(11));
        assert_eq!(rhythm.decide(&away(WRITE), at(12)), Act::Try(Mode::Exclusive));
        // Nor if somebody else had it before who says nothing.
        rhythm.busy(at(12));
        rhythm.came_home(at(400));
        rhythm.hear(News::Changed, at(401));
        rhythm.put_back(at(402));
        assert_eq!(rhythm.decide(&away(WRITE), at(403)), Act::Try(Mode::Exclusive));
    }

    #[test]
    fn a_lock_fails_only_as_long_as_it_was_tried_of_late() {
        let mut rhythm = Rhythm::new(false);
        assert!(!rhythm.failed(at(0)) && rhythm.fails(at(1_000)));
        assert!(rhythm.failed(at(1_000)), "twice in a row");
        assert!(!rhythm.fails(at(10_000)) && !rhythm.failed(at(10_000)), "long ago");
        rhythm.works();
        assert!(!rhythm.fails(at(10_001)));
    }

    #[test]
    fn what_this_host_does_to_the_file_itself_is_nobody_who_knocks() {
        let mut rhythm = Rhythm::new(false);
        rhythm.came_home(at(0));
        rhythm.hear(News::Knocks, at(1));
        assert!(matches!(rhythm.decide(&used(1), at(30)), Act::Wait(Some(_))));
    }

    /// Hosts that would like to have the lock all the time, and one who polls every 50 ms.
    struct Contest {
        hosts: Vec<Host>,
        /// For how long each owner holds it.
        hold: u64,
    }

    struct Host {
        rhythm: Rhythm,
        phase: GatePhase,
        grants: u64,
        held_until: Moment,
    }

    impl Contest {
        fn new(hosts: usize, hold: u64) -> Self {
            let host = || Host { rhythm: Rhythm::new(false), phase: AWAY, grants: 0, held_until: Moment::default() };
            Self { hosts: (0..hosts).map(|_| host()).collect(), hold }
        }

        fn hear(&mut self, news: News, but: Option<usize>, now: Moment) {
            for (_, host) in self.hosts.iter_mut().enumerate().filter(|(place, _)| Some(*place) != but) {
                host.rhythm.hear(news, now);
            }
        }

        fn is_free(&self) -> bool {
            self.hosts.iter().all(|host| host.phase == AWAY)
        }

        /// What happens in a millisecond.
        fn step(&mut self, now: Moment) {
            // Of those that come at one moment any may be first.
            let (first, count) = ((now.0 / millis(1)) as usize * 7 / 5, self.hosts.len());
            for place in (first..first + count).map(|place| place % count) {
                loop {
                    let is_free = self.is_free();
                    let Host { rhythm, phase, grants, held_until } = &mut self.hosts[place];
                    if *phase == HOME && now >= *held_until {
                        *grants += 1;
                        *held_until = now.after(millis(self.hold));
                    }
                    let held = *phase != AWAY && now < *held_until;
                    match rhythm.decide(&GateView { wanted: WRITE, held, grants: *grants, ..view(*phase) }, now) {
                        Act::Wait(_) => break,
                        Act::Try(_) if is_free => {
                            rhythm.came_home(now);
                            (*phase, *grants) = (HOME, 0);
                            self.hear(News::Changed, Some(place), now);
                        }
                        Act::Try(_) => rhythm.busy(now),
                        Act::Allow(0) => *phase = GatePhase::Leaving(Mode::Exclusive),
                        Act::Allow(_) | Act::Tell(_) => {}
                        Act::Depart => {
                            rhythm.departed(Mode::Exclusive, now);
                            *phase = AWAY;
                            self.hear(News::Changed, Some(place), now);
                        }
                        Act::Reserve => panic!("there are fences enough"),
                    }
                }
            }
        }

        /// After how many milliseconds one finds it free who begins then, and polls every 50 ms.
        fn found_free(mut self, seen: bool, offset: u64) -> Option<u64> {
            // The first moments are before anybody knew.
            (0..6_000).find(|now| {
                let at = at(offset * 81 + now);
                self.step(at);
                let polls = now % 50 == offset;
                if polls && seen {
                    self.hear(News::Comes, None, at);
                    self.hear(News::Goes, None, at);
                }
                polls && *now > 100 && self.is_free()
            })
        }
    }

    /// The same of hosts: also those that are woken last, and after a window at the same moment as all others.
    #[test]
    fn every_host_has_its_turn_although_others_would_like_to_have_it_all_the_time() {
        for (hold, offset) in [0, 15, 60, 150, 250, 400, 650, 1_000]
            .into_iter()
            .flat_map(|hold| (0..10).map(move |offset| (hold, offset)))
        {
            for hosts in [2, 4] {
                let mut contest = Contest::new(hosts, hold);
                let (mut had, mut longest) = (vec![0; hosts], 0);
                for now in 0..60_000 {
                    contest.step(at(offset * 81 + now));
                    if now % 50 == offset {
                        contest.hear(News::Comes, None, at(offset * 81 + now));
                        contest.hear(News::Goes, None, at(offset * 81 + now));
                    }
                    for (host, had) in contest.hosts.iter().zip(&mut had) {
                        if host.phase != AWAY {
                            *had = now;
                        }
                        longest = longest.max(now - *had);
                    }
                }
                let what = format!("{hosts} hosts, holds of {hold} ms, offset {offset}: one waits for {longest} ms");
                assert!(longest <= 4 * hosts as u64 * (hold + QUIET / 1_000_000), "{what}");
            }
        }
    }

    #[test]
    fn who_polls_finds_the_lock_free_within_five_seconds_whether_or_not_it_is_seen() {
        for (seen, within) in [(true, 350), (false, 4_200)] {
            for (hosts, offset) in [1, 3].into_iter().flat_map(|hosts| (0..50).map(move |offset| (hosts, offset))) {
                let found = Contest::new(hosts, 0).found_free(seen, offset);
                let what = format!("{hosts} hosts (seen: {seen}, offset {offset}): free after {found:?} ms");
                assert!(found.is_some_and(|found| found <= within), "{what}");
            }
        }
    }

    #[test]
    fn who_polls_finds_the_lock_free_although_owners_hold_it_while_the_windows_pass() {
        for hold in [15, 60, 120, 240, 250, 260, 333, 500, 750, 1_000] {
            for (hosts, offset) in [1, 2, 4].into_iter().flat_map(|hosts| (0..50).map(move |offset| (hosts, offset))) {
                let found = Contest::new(hosts, hold).found_free(true, offset);
                let what = format!("{hosts} hosts, holds of {hold} ms, offset {offset}: free after {found:?} ms");
                assert!(found.is_some_and(|found| found <= 2_000), "{what}");
            }
        }
    }

    #[test]
    fn writers_come_in_between_hosts_that_read_all_the_time() {
        let mut rhythm = Rhythm::new(false);
        rhythm.came_home(at(0));
        let reading = |grants, wanted| GateView { held: true, grants, wanted, ..view(GatePhase::Home(Mode::Shared)) };
        assert_eq!(rhythm.decide(&reading(1, WRITE), at(1)), Act::Allow(0), "a writer in here");
        rhythm.departed(Mode::Shared, at(2));
        rhythm.came_home(at(3));
        rhythm.hear(News::Knocks, at(6));
        assert_eq!(rhythm.decide(&reading(1, None), at(6)), Act::Allow(COHORT_GRANTS - 1));
        assert_eq!(rhythm.decide(&reading(9, None), at(13)), Act::Allow(0), "a writer elsewhere");
        rhythm.departed(Mode::Shared, at(13));
        rhythm.came_home(at(40));
        let few = GateView { fences_left: FENCES_LEAST_READING - 1, ..reading(9, None) };
        assert_eq!(rhythm.decide(&few, at(41)), Act::Allow(0), "it comes back with others");
    }

    #[test]
    fn people_are_told_of_a_long_wait_now_and_then() {
        let mut rhythm = Rhythm::new(false);
        let mut told = Vec::new();
        for now in (0..30_000).step_by(5) {
            if let Act::Tell(waited) = rhythm.decide(&away(WRITE), at(now)) {
                told.push(waited.as_millis());
            }
            rhythm.busy(at(now));
        }
        assert_eq!(told, [1_000, 11_000, 21_000]);
    }

    #[test]
    fn a_lock_whose_file_was_replaced_leaves_and_one_that_cannot_be_tried_is_tried_later() {
        let mut rhythm = Rhythm::new(false);
        rhythm.came_home(at(0));
        rhythm.hear(News::Replaced, at(1));
        assert_eq!(rhythm.decide(&used(1), at(1)), Act::Allow(0));
        rhythm.departed(Mode::Exclusive, at(2));
        rhythm.failed(at(3));
        rhythm.hear(News::Changed, at(4));
        assert!(!rhythm.may_try(at(4)), "what is heard is what trying has done");
        assert_eq!(rhythm.decide(&away(WRITE), at(4)), Act::Wait(Some(at(1_003).min(at(1_004)))));
    }

    #[test]
    fn fences_are_reserved_before_they_come_to_an_end_and_not_again_at_once_if_that_fails() {
        let mut rhythm = Rhythm::new(false);
        rhythm.came_home(at(0));
        let few = GateView { fences_left: FENCES_LEAST - 1, ..used(1) };
        assert_eq!(rhythm.decide(&few, at(1)), Act::Reserve);
        rhythm.not_reserved(at(1));
        assert!(matches!(rhythm.decide(&few, at(2)), Act::Wait(Some(_))));
        assert_eq!(rhythm.decide(&few, at(1_001)), Act::Reserve);
    }
}
