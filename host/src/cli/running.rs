//! The processes of a run while they are under way: who is started when, who once more, and when it is enough.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use lockkeeper::{
    CommitOrder, CommitTurn, Exit, Job, LineSink, Outcome, Process, ProcessSpec, Program, Stall, Stdio, Stream,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::map::{Batch, Count, Entry, Group, Grouping, Groups, Joblog, Order, Results, When};
use super::output::Output;
use super::picture;
use super::session::View;

/// The processes that are under way.
pub(super) struct Running<'a> {
    pub(super) job: &'a Job,
    pub(super) output: &'a Arc<Output>,
    pub(super) view: View,
    /// All that are to run; a place is one of them.
    pub(super) processes: &'a [(Program, ProcessSpec)],
    pub(super) at_once: usize,
    /// Told when the host reports a stall. What it is told before somebody waits for it is kept.
    pub(super) stalled: &'a Notify,
    pub(super) batch: &'a mut Batch,
    pub(super) joblog: Option<&'a Joblog>,
    pub(super) results: Option<&'a Results>,
    /// How those have ended that are over for good.
    pub(super) exits: Vec<Arc<Exit>>,
    /// Why some could not be started.
    pub(super) unstartable: Vec<String>,
    /// How often one was started once more.
    pub(super) retries: usize,
    /// Whether a stall was ended.
    pub(super) ended_a_stall: bool,
    /// What could not be written to the log, of the first line that could not.
    pub(super) unlogged: Option<String>,
    /// Once there was enough, as `--halt` has it.
    pub(super) halted: Option<Halted>,
    joins: JoinSet<u64>,
    /// Those that run, by the number of their start.
    alive: BTreeMap<u64, Alive>,
    starts: u64,
    /// The places that nobody has come to yet.
    fresh: Range<usize>,
    /// Those that have failed and are to be started once more.
    again: VecDeque<Again>,
    count: Count,
    groups: Groups,
    /// In which order they commit, and how far starts may run ahead of the first that has not.
    order: Option<(CommitOrder, u64)>,
    /// Told when somebody begins to wait for its turn to commit, or has had it.
    order_changed: Arc<Notify>,
    /// Whether it was said that a stall waits for a time limit.
    told_of_limit: bool,
    /// How many of those that run are being ended because they stood still.
    ending: usize,
    /// Whether all are being ended: nobody is started again.
    is_over: bool,
}

/// Why a run ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Halted {
    pub(super) when: When,
    pub(super) exit_code: u8,
}

/// A process that runs.
struct Alive {
    place: usize,
    attempt: u32,
    process: Process,
    started: Instant,
    started_at: SystemTime,
    printed_bytes: Arc<AtomicU64>,
    group: Option<Group>,
    turn: Option<CommitTurn>,
    is_overdue: bool,
}

/// A process that has failed and has another try.
struct Again {
    place: usize,
    /// The try that it will be.
    attempt: u32,
    /// In the order of commits it keeps its place.
    turn: Option<CommitTurn>,
    /// How it ended, in case it is not started any more.
    exit: Arc<Exit>,
    group: Option<Group>,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        job: &'a Job,
        output: &'a Arc<Output>,
        view: View,
        processes: &'a [(Program, ProcessSpec)],
        at_once: usize,
        stalled: &'a Notify,
        batch: &'a mut Batch,
    ) -> Self {
        let order_changed = Arc::<Notify>::default();
        let ahead_max = batch.series.as_ref().and_then(|series| match series.order {
            Order::AsGiven { ahead_max } => Some(ahead_max),
            Order::AsTheyEnd => None,
        });
        let order = ahead_max.map(|ahead_max| {
            let changed = order_changed.clone();
            (CommitOrder::new(move || changed.notify_one()), ahead_max)
        });
        Self {
            job,
            output,
            view,
            processes,
            at_once,
            stalled,
            batch,
            joblog: None,
            results: None,
            exits: Vec::new(),
            unstartable: Vec::new(),
            retries: 0,
            ended_a_stall: false,
            unlogged: None,
            halted: None,
            joins: JoinSet::new(),
            alive: BTreeMap::new(),
            starts: 0,
            fresh: 0..processes.len(),
            again: VecDeque::new(),
            count: Count::default(),
            groups: if order.is_some() { Groups::as_planned() } else { Groups::AsTheyEnd },
            order,
            order_changed,
            told_of_limit: false,
            ending: 0,
            is_over: false,
        }
    }

    /// Runs all processes, until they are over or `--halt` ends those that run. One that cannot be started stops no other,
    /// and neither does a stall of those before it.
    pub(super) async fn all(&mut self) {
        let mut looked_for_stall = false;
        loop {
            while self.halted.is_none() && self.start_one() {
                looked_for_stall = false;
            }
            if self.halted.is_some_and(|halted| halted.when == When::Now) {
                return;
            }
            // What was reported while others were still to come.
            if self.fresh.is_empty() && self.again.is_empty() && !looked_for_stall {
                looked_for_stall = true;
                self.look_for_stall();
            }
            if !self.one_ended_or_stalled().await {
                // With nobody under way there is room, so nothing is left that may be started.
                self.others_ended().await;
                return;
            }
        }
    }

    /// Waits for the processes that were started by others and outlive them; they may stand still too.
    async fn others_ended(&mut self) {
        loop {
            tokio::select! {
                biased;
                () = self.job.ended() => return,
                () = self.stalled.notified() => self.look_for_stall(),
            }
        }
    }

    /// From here on nobody is started once more: all are being ended.
    pub(super) fn give_up(&mut self) {
        self.is_over = true;
    }

    /// Everything that could end has: counts those that had another try and did not get it, and prints what waits.
    pub(super) fn finish(&mut self) {
        while let Some(Again { place, exit, group, .. }) = self.again.pop_front() {
            self.over(place, exit, group.as_ref());
        }
        self.groups.finish(self.output);
    }

    /// Starts the next process, or counts it as one that cannot be; false if none is left or has room.
    fn start_one(&mut self) -> bool {
        // Nothing that is started now could commit.
        if self.order.as_ref().is_some_and(|(order, _)| order.is_broken()) {
            return false;
        }
        // Those in line have had their place in the order from their first start on.
        if !self.again.is_empty() {
            if !self.has_slot() {
                return false;
            }
            let Some(Again { place, attempt, turn, exit, .. }) = self.again.pop_front() else { return false };
            self.retries += 1;
            self.output.retried(&exit.name, attempt);
            self.start(place, attempt, turn);
            return true;
        }
        if self.fresh.is_empty() || !self.has_slot() || !self.has_place_in_order() {
            return false;
        }
        let Some(place) = self.fresh.next() else { return false };
        let turn = self.order.as_mut().map(|(order, _)| order.next_turn());
        self.start(place, 1, turn);
        true
    }

    /// Whether one more may run. One that has ended and waits for its turn to commit takes no room.
    fn has_slot(&self) -> bool {
        let waiting = self.order.as_ref().map_or(0, |(order, _)| order.waiting());
        self.joins.len().saturating_sub(waiting) < self.at_once
    }

    fn has_place_in_order(&self) -> bool {
        self.order.as_ref().is_none_or(|(order, ahead_max)| order.ahead() < *ahead_max)
    }

    fn start(&mut self, place: usize, attempt: u32, turn: Option<CommitTurn>) {
        // If the process does not start, its turn goes with this.
        if let Err(why) = self.try_start(place, attempt, turn) {
            self.unstartable.push(why);
            self.output.ended(false);
            self.groups.over(place, None, self.output);
            self.count.failed += 1;
            self.look_at_halt(super::EXIT_OWN_FAILURE);
        }
    }

    fn try_start(&mut self, place: usize, attempt: u32, turn: Option<CommitTurn>) -> Result<(), String> {
        let (program, spec) = &self.processes[place];
        if let Some(series) = &self.batch.series {
            series.check(spec)?;
        }
        let printed_bytes = Arc::<AtomicU64>::default();
        let group = (self.batch.grouping == Grouping::ByProcess).then(Group::default);
        let stdio = match self.view {
            View::Raw => Stdio::Inherit,
            View::Tagged => {
                let name = spec.full_name();
                match &group {
                    Some(group) => self.teed(spec, group.sink(self.output, name), &printed_bytes)?,
                    None if self.results.is_none() && self.joblog.is_none() => Stdio::Named(self.output.sink()),
                    None => self.teed(spec, self.output.sink_of(name), &printed_bytes)?,
                }
            }
        };
        let commit_turn = turn.clone();
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let process = self.job.spawn(program, &ProcessSpec { stdio, commit_turn, ..spec.clone() });
        let process = process.map_err(|error| error.to_string())?;
        let number = self.starts;
        self.starts += 1;
        let joined = process.clone();
        self.joins.spawn(async move {
            joined.join().await;
            number
        });
        // Only who may be started once more keeps its turn beyond its end.
        let turn = turn.filter(|_| attempt < self.batch.attempts_max);
        let is_overdue = false;
        let alive = Alive { place, attempt, process, started, started_at, printed_bytes, group, turn, is_overdue };
        self.alive.insert(number, alive);
        Ok(())
    }

    /// Where the lines go, and beside it what counts and keeps the bytes, if somebody wants that.
    fn teed(&self, spec: &ProcessSpec, lines: LineSink, printed: &Arc<AtomicU64>) -> Result<Stdio, String> {
        let results = match self.results {
            Some(results) => Some(results.begin(spec).map_err(|error| {
                format!("`{}`: its files below --results cannot be made: {error}", spec.full_name())
            })?),
            None if self.joblog.is_none() => return Ok(Stdio::Lines(lines)),
            None => None,
        };
        let printed = printed.clone();
        let bytes: LineSink = Arc::new(move |stream, bytes| {
            if stream == Stream::Stdout {
                printed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            if let Some(results) = &results {
                results(stream, bytes);
            }
        });
        Ok(Stdio::Teed { lines, bytes })
    }

    /// Waits until one more process has ended, or has moved in the order of commits; false if none is left. It is waited for
    /// only when there is nothing to start
    /// or no room to start it in: so who stands still here would stand still for ever.
    ///
    /// No stall is missed: the host reports each one anew that is not the same as the last, and a report from the time
    /// before this call is kept for it.
    async fn one_ended_or_stalled(&mut self) -> bool {
        loop {
            let overdue = self.next_overdue();
            tokio::select! {
                // Room to start something comes before the stall that this may end.
                biased;
                ended = self.joins.join_next() => return self.note_end(ended),
                () = self.order_changed.notified() => return true,
                () = self.stalled.notified() => self.look_for_stall(),
                () = tokio::time::sleep_until(overdue.unwrap_or_else(Instant::now).into()), if overdue.is_some() => {
                    self.end_overdue();
                }
            }
        }
    }

    /// When the first of those that run will have taken longer than the others allow.
    fn next_overdue(&self) -> Option<Instant> {
        let limit = self.batch.median_limit.as_ref()?.limit()?;
        // The first that was started is the first to be overdue.
        let first = self.alive.values().find(|alive| !alive.is_overdue)?;
        first.started.checked_add(limit)
    }

    fn end_overdue(&mut self) {
        let Some(limit) = self.batch.median_limit.as_ref().and_then(super::map::MedianLimit::limit) else { return };
        for alive in self.alive.values_mut() {
            if alive.started.elapsed() < limit {
                break;
            }
            if !alive.is_overdue {
                alive.is_overdue = true;
                alive.process.time_out(limit);
            }
        }
    }

    /// Ends a stall that nothing else will end, and says who waited for whom.
    fn look_for_stall(&mut self) {
        // Those that are being ended sit where they sat until they are gone.
        if self.ending > 0 {
            return;
        }
        match self.job.stall() {
            None => {}
            Some(Stall { waits, ends_by_itself: true }) => {
                let told = std::mem::replace(&mut self.told_of_limit, true);
                if !told {
                    self.output.draw(|| picture::stall(&waits, true));
                }
            }
            Some(Stall { ends_by_itself: false, .. }) => {
                if let Some(Stall { waits, .. }) = self.job.end_stall() {
                    self.ended_a_stall = true;
                    self.ending = waits.len();
                    self.output.draw(|| picture::stall(&waits, false));
                }
            }
        }
    }

    /// Waits until one more process has ended; false if none is left.
    pub(super) async fn one_ended(&mut self) -> bool {
        let ended = self.joins.join_next().await;
        self.note_end(ended)
    }

    fn note_end(&mut self, ended: Option<Result<u64, tokio::task::JoinError>>) -> bool {
        let Some(number) = ended else { return false };
        let number = number.expect("waiting for a process does not panic");
        let alive = self.alive.remove(&number).expect("it was started and has not ended before");
        let exit = alive.process.try_join().expect("it was waited for");
        self.log(&alive, &exit.outcome, exit.lived);
        if self.ending > 0 {
            self.ending -= 1;
            // A report may have come meanwhile: of those that were started since.
            if self.ending == 0 {
                self.stalled.notify_one();
            }
        }
        let Alive { place, attempt, group, turn, .. } = alive;
        if attempt < self.batch.attempts_max
            && !self.is_over
            && self.halted.is_none()
            && can_be_tried_again(&exit.outcome)
        {
            self.again.push_back(Again { place, attempt: attempt + 1, turn, exit, group });
        } else {
            drop(turn);
            self.over(place, exit, group.as_ref());
        }
        true
    }

    /// A process is over for good.
    fn over(&mut self, place: usize, exit: Arc<Exit>, group: Option<&Group>) {
        let well = exit.outcome.is_success();
        if well {
            self.count.well += 1;
            if let Some(limit) = &mut self.batch.median_limit {
                limit.note(exit.lived);
            }
        } else {
            self.count.failed += 1;
        }
        self.output.ended(well);
        self.groups.over(place, group, self.output);
        let code = exit.outcome.exit_code().max(u8::from(!well));
        self.exits.push(exit);
        self.look_at_halt(code);
    }

    /// Whether that was enough. `last` is the exit code of the process that has ended.
    fn look_at_halt(&mut self, last: u8) {
        let total = self.processes.len();
        let Some(halt) = self.batch.halt.filter(|halt| {
            // Who is ended because all are tells nothing.
            self.halted.is_none() && !self.is_over && halt.is_reached(self.count, total)
        }) else {
            return;
        };
        let Count { well, failed } = self.count;
        let then = match halt.when() {
            When::Now => "ending those that run",
            When::Soon => "nothing more is started",
        };
        self.output.say(&format!("--halt {halt}: {failed} failed, {well} ended well; {then}"));
        self.halted = Some(Halted { when: halt.when(), exit_code: halt.exit_code(self.count, total, last) });
    }

    /// Notes those in the log that do not end, though they are being ended.
    pub(super) fn log_abandoned(&mut self) {
        for alive in std::mem::take(&mut self.alive).into_values() {
            self.log(&alive, &Outcome::ShutDown, alive.started.elapsed());
        }
    }

    fn log(&mut self, alive: &Alive, outcome: &Outcome, lived: std::time::Duration) {
        let Some(joblog) = self.joblog else { return };
        let (program, spec) = &self.processes[alive.place];
        let entry = Entry {
            spec,
            program: program.name(),
            attempt: alive.attempt,
            started: alive.started_at,
            lived,
            printed_bytes: alive.printed_bytes.load(Ordering::Relaxed),
            outcome,
        };
        if let Err(why) = joblog.write(&entry) {
            self.unlogged.get_or_insert(why);
        }
    }
}

/// Whether another try may end otherwise. A stall is the doing of all who stood in it, and a shutdown is the end.
fn can_be_tried_again(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Returned | Outcome::Exited { code: 0 } | Outcome::ShutDown | Outcome::Stalled => false,
        Outcome::Failed
        | Outcome::Exited { .. }
        | Outcome::StatusOutOfRange { .. }
        | Outcome::Trapped { .. }
        | Outcome::StackOverflow
        | Outcome::OutOfMemory { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Killed
        | Outcome::Orphaned
        | Outcome::HostFault { .. } => true,
    }
}
