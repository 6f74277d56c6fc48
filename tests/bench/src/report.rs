//! The report: ratios and verdicts first, then the figures they come from, then the conditions.

use std::fmt;

use serde::Serialize;

use crate::conditions::Conditions;
use crate::figures::{Budget, Cell, Comparison, Spread, Unit};
use crate::plan::NotMeasured;

/// Everything that one run has found out.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    ratios: Vec<Ratio>,
    not_measured: Vec<NotMeasured>,
    cells: &'a [Cell],
    conditions: Conditions,
}

/// One of ours beside one peer.
#[derive(Serialize)]
struct Ratio {
    cell: String,
    #[serde(flatten)]
    comparison: Comparison,
    #[serde(flatten)]
    spread: Spread,
    /// What the budget says about the median, if there is one.
    met: Option<bool>,
    /// In how many rounds it was met.
    rounds_met: Option<usize>,
    rounds: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(cells: &'a [Cell], not_measured: Vec<NotMeasured>, conditions: Conditions) -> Self {
        let mut ratios: Vec<Ratio> = cells
            .iter()
            .flat_map(|cell| cell.comparisons.iter().filter_map(|comparison| Ratio::of(cell, *comparison)))
            .collect();
        // Those with a budget come first.
        ratios.sort_by_key(|ratio| ratio.comparison.budget.is_none());
        Self { ratios, not_measured, cells, conditions }
    }
}

impl Ratio {
    fn of(cell: &Cell, comparison: Comparison) -> Option<Self> {
        let ratios = cell.ratios(comparison);
        let spread = Spread::of(&ratios)?;
        let met = comparison.budget.map(|budget| budget.is_met(spread.median));
        let rounds_met = comparison.budget.map(|budget| ratios.iter().filter(|ratio| budget.is_met(**ratio)).count());
        Some(Self { cell: cell.name.clone(), comparison, spread, met, rounds_met, rounds: ratios.len() })
    }

    fn verdict(&self) -> String {
        match (self.met, self.rounds_met) {
            (Some(met), Some(rounds)) => {
                format!("{}, in {rounds} of {} rounds", if met { "met" } else { "NOT MET" }, self.rounds)
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Ratios: ours divided by the peer's, median [min to max] of the ratios of each round.")?;
        writeln!(f, "Of times and memory the smaller is the better, of rates the greater.\n")?;
        for ratio in &self.ratios {
            let Spread { median, min, max } = ratio.spread;
            let Comparison { ours, peer, budget } = ratio.comparison;
            let what = format!("{}: {ours} / {peer}", ratio.cell);
            let spread = format!("{} [{} to {}]", ratio_text(median), ratio_text(min), ratio_text(max));
            let line = format!("{what:<78} {spread:<26} {:<14} {}", budget_text(budget), ratio.verdict());
            writeln!(f, "{}", line.trim_end())?;
        }
        for NotMeasured { what, why } in &self.not_measured {
            writeln!(f, "not measured: {what}: {why}")?;
        }
        writeln!(f, "\nFigures: median [min to max] of the rounds.\n")?;
        for cell in self.cells {
            writeln!(f, "{}", cell.name)?;
            for series in &cell.series {
                if let Some(Spread { median, min, max }) = Spread::of(&series.samples) {
                    let [median, min, max] = [median, min, max].map(|figure| with_unit(figure, cell.unit));
                    write!(f, "  {:<32} {median:>10} [{min} to {max}]", series.who)?;
                    let shares: Vec<f64> = series.shares.iter().map(|(_, share)| *share).collect();
                    if let (Some(share), Some((what, _))) = (Spread::of(&shares), series.shares.first()) {
                        write!(f, "; {:.1} % {what}", 100.0 * share.median)?;
                    }
                    writeln!(f)?;
                }
            }
        }
        writeln!(f)?;
        conditions(f, &self.conditions)
    }
}

fn budget_text(budget: Option<Budget>) -> String {
    match budget {
        None => String::new(),
        Some(Budget::AtMost(bound)) => format!("at most {bound:?}"),
        Some(Budget::AtLeast(bound)) => format!("at least {bound:?}"),
    }
}

/// With as many places as it takes to tell it from a budget.
fn ratio_text(ratio: f64) -> String {
    match ratio {
        ..0.01 => format!("{ratio:.5}"),
        ..0.2 => format!("{ratio:.3}"),
        _ => format!("{ratio:.2}"),
    }
}

fn with_unit(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::NanosecondsPerPair => format!("{figure:.1} ns"),
        Unit::MicrosecondsEach => format!("{figure:.1} us"),
        Unit::KibibytesEach => format!("{figure:.1} KiB"),
        Unit::PerSecond if figure < 1e4 => format!("{figure:.0} /s"),
        Unit::PerSecond if figure < 1e6 => format!("{:.0} k/s", figure / 1e3),
        Unit::PerSecond => format!("{:.2} M/s", figure / 1e6),
    }
}

fn conditions(f: &mut fmt::Formatter<'_>, conditions: &Conditions) -> fmt::Result {
    let Conditions { cores, processor, system, compiler, versions, python, shards, rounds, .. } = conditions;
    writeln!(f, "Conditions: {cores} cores ({processor}), system {system}, {compiler}")?;
    writeln!(f, "  {}, CPython {}", versions.join(", "), python.as_deref().unwrap_or("none"))?;
    writeln!(
        f,
        "  {shards} shards; {rounds} rounds; rates are counted for {} ms after a warm-up of {} ms and the start",
        conditions.window_ms, conditions.warm_up_ms
    )?;
    writeln!(f, "  load before {}, after {}", conditions.load_before, conditions.load_after)?;
    for note in &conditions.notes {
        writeln!(f, "  {note}")?;
    }
    if !conditions.optimised {
        writeln!(f, "  NOT OPTIMISED: these figures mean nothing; run with --release")?;
    }
    Ok(())
}
