//! The power is cut before every operation of a script that changes something, and after every step; all states that the
//! disk may then be in are opened, up to a number of them, which `STATES` in the environment raises.
//!
//! In each of them: what was acknowledged as synced is there; the file is the beginning of what was appended, whole records
//! in order, none torn, invented or doubled; an id is known if and only if its records are there; the fence floor has not
//! gone back.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use crate::deaths::at_every_operation_of_recovery;
use crate::double::{Fault, Kind, Machine, POINTS_EXHAUSTIVE_MAX, Random};
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

#[test]
fn whatever_a_power_cut_leaves_holds_what_was_synced_and_nothing_that_was_not_appended() {
    let wanted = states_wanted();
    let scripts = 2 + wanted / 20_000;
    let (mut states, mut met, mut exhaustive) = (0, 0, 0);
    let all: Vec<_> = FLAVOURS
        .iter()
        .flat_map(|flavour| (0..scripts).map(|seed| (*flavour, seed)))
        .flat_map(|(flavour, seed)| {
            let steps = if seed == 0 { TOUR.to_vec() } else { script(1_000 + seed as u64, 40) };
            moments(flavour, &steps).into_iter().map(move |moment| (flavour, moment))
        })
        .collect();
    // As many of each moment as it takes, since some have few.
    let states_with = |each| all.iter().map(|(_, moment)| moment.machine.power_cuts(each).len()).sum::<usize>();
    let each =
        (3..20).map(|bits| 1 << bits).find(|each| states_with(*each) >= wanted).expect("there are enough states");
    for (flavour, moment) in all {
        let cuts = moment.machine.power_cuts(each);
        met += 1;
        exhaustive += usize::from(moment.machine.unsynced().len() <= POINTS_EXHAUSTIVE_MAX && cuts.exhaustive());
        for cut in cuts {
            let _where = Where(flavour, &moment.what, cut.to_string());
            look(&cut.machine, flavour, &moment.told);
            states += 1;
        }
    }
    println!("{states} states at {met} moments, of {exhaustive} of them every subset");
    assert!(states >= wanted, "{states}");
}

/// Scripts that sync often have few changes on their way, so all that can become of them is gone through.
#[test]
fn of_few_changes_every_subset_and_every_half_is_survived() {
    let steps = [
        Step::Append,
        Step::AppendWithId,
        Step::Sync,
        Step::BatchWithId(2),
        Step::Batch(2),
        Step::Synced,
        Step::Reopen,
    ];
    let (mut states, mut met) = (0, 0);
    for flavour in FLAVOURS {
        for moment in moments(flavour, &steps) {
            if moment.machine.unsynced().len() > 8 {
                continue;
            }
            met += 1;
            for cut in moment.machine.power_cuts(1_000) {
                let _where = Where(flavour, &moment.what, cut.to_string());
                look(&cut.machine, flavour, &moment.told);
                states += 1;
            }
        }
    }
    println!("{states} states at {met} moments");
    assert!(met > 100, "{met}");
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
