//! One operation of a script fails, and the power is cut at some moment from there on: what was acknowledged as synced is
//! there, and nothing that was refused, in whatever state the disk then is. `STATES` in the environment says in how many.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use crate::double::{Cut, Fault, Machine, Random};
use crate::faults::Site;
use crate::script::{After, CHANGING, FLAVOURS, Flavour, Run, Step, machine, open, states_wanted};

/// What a missing file answers; no fault.
const NOT_FOUND: i32 = Errno::NOENT.raw_os_error();

/// Little, and all of it soon acknowledged as synced: what came before a fault has to outlast what it leaves behind.
const STEPS: [Step; 20] = [
    Step::Append,
    Step::Sync,
    Step::Batch(4),
    Step::Synced,
    Step::BatchWithId(3),
    Step::AppendWithId,
    Step::Sync,
    Step::Reserve,
    Step::Fenced(2),
    Step::Synced,
    Step::Buffered,
    Step::Batch(2),
    Step::Sync,
    Step::Reopen,
    Step::NoteDone,
    Step::AppendWithId,
    Step::Synced,
    Step::Die,
    Step::Append,
    Step::Synced,
];

/// Plays `steps`, one operation of which fails, and cuts the power at moments from there on. Answers how many states were
/// looked at; nothing if there was no operation to fail any more.
fn cut_after_fault(flavour: Flavour, steps: &[Step], fault: &Fault, random: &mut Random, cuts: usize) -> Option<usize> {
    let machine = machine();
    machine.set(|settings| settings.notes_durable = false);
    machine.inject(fault.clone());
    let mut run = Run::on(&machine, flavour);
    let moments = Arc::new(Mutex::new(Vec::new()));
    let (sink, told) = (moments.clone(), run.told.clone());
    let is_met = |machine: &Machine| machine.log().iter().any(|it| it.failed.is_some_and(|errno| errno != NOT_FOUND));
    machine.watch(move |machine, operation| {
        if CHANGING.contains(&operation.kind) && is_met(machine) {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            sink.lock().unwrap_or_else(PoisonError::into_inner).push((machine.snapshot(), told));
        }
    });
    let _site = Site { machine: machine.clone(), what: format!("{flavour:?}, {fault:?}") };
    for step in steps {
        run.play(&[*step]);
        if is_met(&machine) {
            let told = run.told().clone();
            moments.lock().unwrap_or_else(PoisonError::into_inner).push((machine.snapshot(), told));
        }
    }
    run.file = None;
    let moments = std::mem::take(&mut *moments.lock().unwrap_or_else(PoisonError::into_inner));
    for _ in 0..if moments.is_empty() { 0 } else { cuts } {
        let (moment, told) = &moments[random.below(moments.len())];
        let cut = moment.power_cut(random);
        let _where = Where(&cut);
        let host = cut.machine.host();
        let mut told = told.clone();
        told.doubt_the_last_refusals();
        let opened = open(&cut.machine, &host, flavour, &mut told, After::PowerCut, false);
        drop(opened.unwrap_or_else(|error| panic!("it cannot be opened: {error}\n{told:#?}")));
    }
    is_met(&machine).then_some(cuts)
}

struct Where<'a>(&'a Cut);

impl Drop for Where<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after the power was cut:\n{}", self.0);
        }
    }
}

#[test]
fn whatever_fails_once_a_power_cut_later_takes_nothing_that_was_synced() {
    let faults = [Fault::fail(Errno::IO), Fault::late(Errno::IO), Fault::torn(9, Errno::NOSPC)];
    let cuts = states_wanted() / 1_000;
    let mut random = Random::new(5);
    let (mut states, mut sites) = (0, 0);
    for flavour in FLAVOURS {
        for fault in &faults {
            for nth in 1.. {
                let fault = fault.clone().on(&CHANGING).nth(nth);
                let Some(more) = cut_after_fault(flavour, &STEPS, &fault, &mut random, cuts) else { break };
                states += more;
                sites += 1;
            }
        }
    }
    println!("{states} states after {sites} faults");
    assert!(states >= states_wanted(), "{states}");
}
