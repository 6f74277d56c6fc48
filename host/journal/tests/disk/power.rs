//! The power is cut before every operation of a script that changes something, and after every step. While no more than
//! twelve changes are not synced, every subset of them is opened; with more, states at random, as many as `STATES` in the
//! environment says (10,000 if nothing does; with more than that every change is also done by half beside every subset).
//!
//! In each of them: what was acknowledged as synced is there; the file is the beginning of what was appended, whole records
//! in order, none torn, invented or doubled; an id is known if and only if its records are there; the fence floor has not
//! gone back.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Add, RangeInclusive};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use crate::deaths::at_every_operation_of_recovery;
use crate::double::{Fault, Kind, Machine, POINTS_EXHAUSTIVE_MAX, PowerCuts, Random};
use crate::script::{
    After, CHANGING, FLAVOURS, Flavour, Run, Step, TOUR, Told, audit, is_slow_set, machine, open, script, states_wanted,
};

/// A moment at which the power may go.
struct Moment {
    machine: Machine,
    told: Told,
    what: String,
}

/// Plays a script on a healthy machine and takes note of every moment.
fn moments(flavour: Flavour, steps: &[Step]) -> Vec<Moment> {
    let machine = machine();
    machine.set(|settings| settings.notes_durable = false);
    let mut run = Run::on(&machine, flavour);
    let moments = Arc::new(Mutex::new(Vec::new()));
    let (sink, told) = (moments.clone(), run.told.clone());
    machine.watch(move |machine, operation| {
        if CHANGING.contains(&operation.kind) {
            let what = format!("before {:?} {} of {}", operation.kind, operation.bytes, operation.path.display());
            let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let moment = Moment { machine: machine.snapshot(), told, what };
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
        }
    });
    for (at, step) in steps.iter().enumerate() {
        run.play(&[*step]);
        let moment = Moment {
            machine: machine.snapshot(),
            told: run.told().clone(),
            what: format!("after step {at}, {step:?}"),
        };
        moments.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
    }
    assert_eq!(run.errors, Vec::<String>::new());
    run.file = None;
    std::mem::take(&mut *moments.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Opens one state and looks at it.
fn look(cut: &Machine, flavour: Flavour, told: &Told) {
    let host = cut.host();
    let opened = open(cut, &host, flavour, &mut told.clone(), After::PowerCut, false);
    if let Err(error) = opened {
        panic!("it cannot be opened: {error}\n{told:#?}");
    }
}

struct Where<'a>(Flavour, &'a str, String);

impl Drop for Where<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}, {}:\n{}", self.0, self.1, self.2);
        }
    }
}

/// Scripts whose moments are gone through without leaving anything out.
const SCRIPTS_EXHAUSTIVE: usize = 2;

/// Up to this many changes the ordinary tests also do each one by half, beside every subset of the others. The slow set
/// does it wherever it tries every subset.
const POINTS_BY_HALF_MAX: usize = 5;

fn steps_of(script_number: usize) -> Vec<Step> {
    if script_number == 0 { TOUR.to_vec() } else { script(1_000 + script_number as u64, 40) }
}

/// What was gone through.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    moments: usize,
    /// Those with so few changes that every subset was tried.
    exhaustive: usize,
    /// Of these, those where each change was also done by half.
    by_half: usize,
    states: usize,
    /// Those among them that were opened: a state that was opened before, with the same to be found in it, is not again.
    opened: usize,
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            moments: self.moments + other.moments,
            exhaustive: self.exhaustive + other.exhaustive,
            by_half: self.by_half + other.by_half,
            states: self.states + other.states,
            opened: self.opened + other.opened,
        }
    }
}

/// Opens the states of moments, each once.
struct Looked {
    flavour: Flavour,
    seen: HashSet<u64>,
    tally: Tally,
}

impl Looked {
    fn at(flavour: Flavour) -> Looked {
        Looked { flavour, seen: HashSet::new(), tally: Tally::default() }
    }

    fn look(&mut self, moment: &Moment, cuts: PowerCuts) {
        let told = format!("{:?}", moment.told);
        for cut in cuts {
            self.tally.states += 1;
            let mut hasher = DefaultHasher::new();
            told.hash(&mut hasher);
            cut.machine.fingerprint(&mut hasher);
            if self.seen.insert(hasher.finish()) {
                let _where = Where(self.flavour, &moment.what, cut.to_string());
                look(&cut.machine, self.flavour, &moment.told);
                self.tally.opened += 1;
            }
        }
    }
}

/// Every flavour on a thread of its own.
fn at_every_flavour(judge: impl Fn(Flavour) -> Tally + Sync) -> Tally {
    std::thread::scope(|scope| {
        let threads = FLAVOURS.map(|flavour| {
            let judge = &judge;
            scope.spawn(move || judge(flavour))
        });
        let tallies = threads.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        tallies.into_iter().fold(Tally::default(), Tally::add)
    })
}

#[test]
fn of_twelve_changes_or_fewer_every_subset_that_a_power_cut_leaves_is_survived() {
    let by_half_max = if is_slow_set() { POINTS_EXHAUSTIVE_MAX } else { POINTS_BY_HALF_MAX };
    let tally = at_every_flavour(|flavour| {
        let mut looked = Looked::at(flavour);
        for moment in (0..SCRIPTS_EXHAUSTIVE).flat_map(|number| moments(flavour, &steps_of(number))) {
            let changes = moment.machine.unsynced().len();
            looked.tally.moments += 1;
            if changes > POINTS_EXHAUSTIVE_MAX {
                continue;
            }
            looked.tally.exhaustive += 1;
            let cuts = match changes <= by_half_max {
                true => {
                    looked.tally.by_half += 1;
                    moment.machine.power_cuts_to_every_half()
                }
                false => moment.machine.power_cuts_to_every_subset(),
            };
            looked.look(&moment, cuts);
        }
        looked.tally
    });
    let Tally { moments, exhaustive, by_half, states, opened } = tally;
    println!(
        "{states} states at {exhaustive} of {moments} moments, {opened} of them opened; by half at {by_half} moments"
    );
    assert!(exhaustive >= 1_800 && moments - exhaustive <= 100, "{tally:?}");
    assert!(by_half >= if is_slow_set() { exhaustive } else { 1_000 }, "{tally:?}");
    assert!(states >= if is_slow_set() { 9_000_000 } else { 350_000 }, "{tally:?}");
    assert!(opened >= if is_slow_set() { 2_000_000 } else { 100_000 }, "{tally:?}");
}

/// Of more changes than that, and of halves beside halves, as many states as were asked for.
#[test]
fn whatever_a_power_cut_leaves_holds_what_was_synced_and_nothing_that_was_not_appended() {
    let wanted = states_wanted();
    let scripts = SCRIPTS_EXHAUSTIVE + wanted / 20_000;
    let states_of_flavour = wanted.div_ceil(FLAVOURS.len());
    let tally = at_every_flavour(|flavour| {
        let mut looked = Looked::at(flavour);
        let moments: Vec<_> = (0..scripts).flat_map(|number| moments(flavour, &steps_of(number))).collect();
        let of = |changes: RangeInclusive<usize>| -> Vec<&Moment> {
            moments.iter().filter(|moment| changes.contains(&moment.machine.unsynced().len())).collect()
        };
        // With one change there is nothing to combine. Of those with many there are few, so each of them gets more.
        let (few, many) = (of(2..=POINTS_EXHAUSTIVE_MAX), of(POINTS_EXHAUSTIVE_MAX + 1..=usize::MAX));
        let share = if many.is_empty() { states_of_flavour } else { states_of_flavour.div_ceil(2) };
        for some in [few, many] {
            for moment in &some {
                looked.look(moment, moment.machine.power_cuts_at_random(share.div_ceil(some.len())));
            }
        }
        looked.tally.moments = moments.len();
        looked.tally
    });
    let Tally { moments, states, opened, .. } = tally;
    println!("{states} states at random at {moments} moments, {opened} of them opened");
    assert!(moments >= 1_800 && states >= wanted && opened >= wanted / 4, "{tally:?}");
}

/// Scripts that sync often have few changes on their way, so all that can become of them is gone through: several changes by
/// half at once.
#[test]
fn of_few_changes_every_combination_of_halves_is_survived() {
    let steps = [
        Step::Append,
        Step::AppendWithId,
        Step::Sync,
        Step::BatchWithId(2),
        Step::Batch(2),
        Step::Synced,
        Step::Reopen,
    ];
    let tally = at_every_flavour(|flavour| {
        let mut looked = Looked::at(flavour);
        for moment in moments(flavour, &steps) {
            if moment.machine.unsynced().len() > 8 {
                continue;
            }
            looked.tally.moments += 1;
            looked.look(&moment, moment.machine.power_cuts(1_000));
        }
        looked.tally
    });
    let Tally { moments, states, opened, .. } = tally;
    println!("{states} states at {moments} moments, {opened} of them opened");
    assert!(moments >= 300 && states >= 60_000, "{tally:?}");
}

#[test]
fn a_recovery_from_a_power_cut_can_fail_die_or_lose_power_itself() {
    let mut random = Random::new(11);
    let (mut recoveries, mut cuts) = (0, 0);
    for flavour in FLAVOURS {
        let moments = moments(flavour, &TOUR);
        for _ in 0..if is_slow_set() { 60 } else { 2 } {
            let moment = &moments[random.below(moments.len())];
            let cut = moment.machine.power_cut(&mut random);
            let _where = Where(flavour, &moment.what, cut.to_string());
            for part in [0, 300] {
                let death = |nth| {
                    if part == 0 { Fault::death(0).nth(nth) } else { Fault::death(part).on(&Kind::WRITES).nth(nth) }
                };
                recoveries +=
                    at_every_operation_of_recovery(&cut.machine, flavour, &moment.told, After::PowerCut, death);
            }
            let fault = |nth| Fault::fail(Errno::IO).nth(nth);
            recoveries += at_every_operation_of_recovery(&cut.machine, flavour, &moment.told, After::PowerCut, fault);
            cuts += cut_again(&cut.machine, flavour, &moment.told, &mut random);
        }
    }
    println!("{recoveries} recoveries that failed or died, {cuts} that lost power");
    assert!(recoveries >= 1_150 && cuts >= 550, "{recoveries} and {cuts}");
}

/// The power goes once more, at every operation of the recovery.
fn cut_again(machine: &Machine, flavour: Flavour, told: &Told, random: &mut Random) -> usize {
    let copy = machine.snapshot();
    let moments = Arc::new(Mutex::new(Vec::new()));
    let sink = moments.clone();
    copy.watch(move |machine, operation| {
        if CHANGING.contains(&operation.kind) {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(machine.snapshot());
        }
    });
    let host = copy.host();
    drop(open(&copy, &host, flavour, &mut told.clone(), After::PowerCut, false).expect("it can be opened"));
    let mut cuts = 0;
    for moment in moments.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        for _ in 0..3 {
            let cut = moment.power_cut(random);
            let _where = Where(flavour, "and again in the recovery", cut.to_string());
            audit(&cut.machine, flavour, told, After::PowerCut);
            cuts += 1;
        }
    }
    cuts
}
