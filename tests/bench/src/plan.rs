//! What is measured of locks and values, beside whom, and with which budget; and how any plan is measured.

use std::time::Duration;

use anyhow::Context as _;
use lockkeeper::Placement;
use serde::Serialize;

use crate::bare::BareHost;
use crate::figures::{Budget, Cell, Comparison, Figure, Series, Unit};
use crate::guests;
use crate::native;
use crate::ours::Ours;
use crate::python::{FORK, Python};

/// How many processes want one lock.
const CONTENDED: [u32; 4] = [2, 4, 16, 256];
/// How many processes queue for one lock.
const QUEUED: [u32; 3] = [2, 16, 256];
/// How many processes add to one value.
const ADDING: u32 = 4;

pub(crate) const OURS: &str = "ours";
pub(crate) const SPREAD: &str = "ours, spread";
const EMPTY: &str = "two empty calls";
const SUSPENDED: &str = "two empty calls, suspended once";
const PARKING_LOT: &str = "parking_lot";
const TOKIO: &str = "tokio Semaphore";
const APART: &str = "tokio Semaphore, tasks apart";
const MP_LOCK: &str = "mp.Lock";
const MP_VALUE: &str = "mp.Value";

/// How long things are measured.
#[derive(Clone, Copy)]
pub(crate) struct Lengths {
    /// Pairs that one process makes alone.
    pub(crate) pairs: u64,
    /// From the last start to the first look.
    pub(crate) warm_up: Duration,
    /// From one look to the next.
    pub(crate) window: Duration,
}

/// Everything that takes part.
pub(crate) struct Bench {
    ours: Ours,
    bare: BareHost,
    python: Result<Python, String>,
    shards: usize,
    lengths: Lengths,
}

/// Something that could not be measured, and why.
#[derive(Serialize)]
pub(crate) struct NotMeasured {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// A cell, and how to come by one figure of each of its subjects.
pub(crate) struct Planned<'a> {
    pub(crate) cell: Cell,
    runs: Vec<Run<'a>>,
}

type Run<'a> = Box<dyn Fn() -> anyhow::Result<Figure> + 'a>;

impl<'a> Planned<'a> {
    pub(crate) fn new(name: String, unit: Unit) -> Self {
        Self { cell: Cell { name, unit, series: Vec::new(), comparisons: Vec::new() }, runs: Vec::new() }
    }

    pub(crate) fn subject<F: Into<Figure>>(&mut self, who: &'static str, run: impl Fn() -> anyhow::Result<F> + 'a) {
        self.cell.series.push(Series::new(who));
        self.runs.push(Box::new(move || run().map(F::into)));
    }

    pub(crate) fn peer<F: Into<Figure>>(
        &mut self,
        who: &'static str,
        budget: Option<Budget>,
        run: impl Fn() -> anyhow::Result<F> + 'a,
    ) {
        self.cell.comparisons.push(Comparison { ours: OURS, peer: who, budget });
        self.subject(who, run);
    }
}

/// Measures every cell once per round, its subjects one after the other; every other round backwards, so that nobody
/// always comes after the same one.
pub(crate) fn measure(mut plan: Vec<Planned<'_>>, rounds: u32, only: Option<&str>) -> anyhow::Result<Vec<Cell>> {
    plan.retain(|planned| only.is_none_or(|only| planned.cell.name.contains(only)));
    anyhow::ensure!(!plan.is_empty(), "nothing is called like that; leave out --only to see all names");
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for Planned { cell, runs } in &mut plan {
            let mut order: Vec<usize> = (0..runs.len()).collect();
            if round % 2 == 0 {
                order.reverse();
            }
            for subject in order {
                let figure = runs[subject]().with_context(|| format!("{}: {}", cell.name, cell.series[subject].who))?;
                cell.series[subject].push(&figure);
            }
        }
    }
    Ok(plan.into_iter().map(|planned| planned.cell).collect())
}

impl Bench {
    pub(crate) fn new(shards: usize, lengths: Lengths) -> anyhow::Result<Self> {
        guests::build()?;
        let ours = Ours::new(shards, lengths)?;
        let bare = BareHost::new(&guests::path("empty_pair"))?;
        Ok(Self { ours, bare, python: Python::find(), shards, lengths })
    }

    /// What is missing here.
    pub(crate) fn not_measured(&self) -> Vec<NotMeasured> {
        let what = || format!("{MP_LOCK} and {MP_VALUE}, and the budgets beside them");
        self.python.as_ref().err().map(|why| NotMeasured { what: what(), why: why.clone() }).into_iter().collect()
    }

    /// What belongs to these figures and to no others.
    pub(crate) fn notes(&self) -> Vec<String> {
        vec![
            "the two empty calls run in a host of the benchmark's own, as the library takes no interfaces of others: its"
                .to_owned(),
            "engine and stores are set up as the library's are, its executor is tokio's for tasks of one thread".to_owned(),
        ]
    }

    pub(crate) fn plan(&self) -> Vec<Planned<'_>> {
        let mut plan = vec![self.pair()];
        plan.extend(CONTENDED.map(|processes| self.contended(processes)));
        plan.extend(QUEUED.map(|processes| self.hand_overs_on_one(processes)));
        plan.extend(QUEUED.map(|processes| self.hand_overs_spread(processes)));
        plan.push(self.value_add());
        plan
    }

    fn pair(&self) -> Planned<'_> {
        let lengths = &self.lengths;
        let mut pair = Planned::new("uncontended pair".to_owned(), Unit::NanosecondsPerPair);
        pair.subject(OURS, || self.ours.pair());
        pair.peer(EMPTY, Some(Budget::AtMost(1.5)), || self.bare.run(&[&lengths.pairs.to_string()]));
        pair.peer(PARKING_LOT, None, || Ok(native::parking_lot_pair(lengths)));
        pair.peer(TOKIO, None, || native::tokio_pair(lengths));
        if let Ok(python) = &self.python {
            pair.peer(MP_LOCK, None, || python.pair(lengths));
        }
        pair
    }

    fn contended(&self, processes: u32) -> Planned<'_> {
        let lengths = &self.lengths;
        let mut pairs = Planned::new(format!("contended pairs, {processes} processes"), Unit::PerSecond);
        pairs.subject(OURS, move || self.ours.contended(processes, Placement::Home));
        if let Ok(python) = &self.python {
            let budget = [4, 16].contains(&processes).then_some(Budget::AtLeast(1.0));
            pairs.peer(MP_LOCK, budget, move || python.contended(FORK, processes, lengths));
            pairs.cell.comparisons.push(Comparison { ours: SPREAD, peer: MP_LOCK, budget: None });
        }
        pairs.subject(SPREAD, move || self.ours.contended(processes, Placement::Spread));
        pairs.peer(PARKING_LOT, None, move || Ok(native::parking_lot_contended(processes, lengths)));
        pairs.peer(TOKIO, None, move || native::tokio_contended(processes, self.shards, lengths));
        pairs
    }

    fn hand_overs_on_one(&self, processes: u32) -> Planned<'_> {
        let lengths = &self.lengths;
        let mut pairs = Planned::new(format!("hand-overs, {processes} processes, one shard"), Unit::PerSecond);
        let budget = (processes > 2).then_some(Budget::AtLeast(1.0));
        pairs.subject(OURS, move || self.ours.hand_overs(processes, Placement::Home));
        pairs.peer(TOKIO, budget, move || native::tokio_hand_overs_on_one(processes, lengths));
        // As fast as a hand-over between guests could be, if the lock itself cost nothing.
        pairs.peer(SUSPENDED, None, move || self.bare.suspended(processes, lengths));
        pairs.cell.comparisons.push(Comparison { ours: SUSPENDED, peer: TOKIO, budget: None });
        pairs
    }

    fn hand_overs_spread(&self, processes: u32) -> Planned<'_> {
        let lengths = &self.lengths;
        let mut pairs = Planned::new(format!("hand-overs, {processes} processes, spread"), Unit::PerSecond);
        let budget = (processes > 2).then_some(Budget::AtLeast(0.7));
        pairs.subject(OURS, move || self.ours.hand_overs(processes, Placement::Spread));
        pairs.peer(TOKIO, budget, move || native::tokio_hand_overs_spread(processes, self.shards, lengths));
        // The runtime of the peer above moves its tasks to where the permit is; a process of ours stays on its shard.
        pairs.peer(APART, None, move || native::tokio_hand_overs_apart(processes, self.shards, lengths));
        pairs
    }

    fn value_add(&self) -> Planned<'_> {
        let lengths = &self.lengths;
        let mut additions = Planned::new(format!("value add, {ADDING} processes"), Unit::PerSecond);
        additions.subject(OURS, || self.ours.value_add(ADDING, Placement::Home));
        if let Ok(python) = &self.python {
            additions.peer(MP_VALUE, Some(Budget::AtLeast(3.0)), move || python.value_add(FORK, ADDING, lengths));
            additions.cell.comparisons.push(Comparison { ours: SPREAD, peer: MP_VALUE, budget: None });
        }
        additions.subject(SPREAD, || self.ours.value_add(ADDING, Placement::Spread));
        additions
    }

    /// The interpreter of the Python peers.
    pub(crate) fn python_version(&self) -> Option<&str> {
        self.python.as_ref().ok().map(Python::version)
    }
}
