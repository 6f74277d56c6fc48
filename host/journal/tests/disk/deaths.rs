//! The host dies at every operation, with a part of what it was writing in the file or without; and the next one at every
//! operation of its recovery.

use rustix::io::Errno;

use crate::double::{Fault, Kind, Machine};
use crate::faults::Site;
use crate::script::{After, FLAVOURS, Flavour, Run, Step, TOUR, Told, audit, is_slow_set, machine, open, script};

/// How much of the write that a host dies in is in the file.
const PARTS: [usize; 5] = [0, 1, 50, 700, usize::MAX];

/// Plays `steps` with a death at every operation, and hands over what is left.
pub(crate) fn deaths(flavour: Flavour, steps: &[Step], mut judge: impl FnMut(&Machine, &Told)) {
    for part in PARTS {
        for nth in 1.. {
            let machine = machine();
            let fault = if part == 0 { Fault::death(0) } else { Fault::death(part).on(&Kind::WRITES) };
            machine.inject(fault.nth(nth));
            let mut run = Run::on(&machine, flavour);
            let what = format!("{flavour:?}, death at operation {nth} with {part} bytes of a write");
            let _site = Site { machine: machine.clone(), what };
            run.play(steps);
            run.file = None;
            if run.host.lives() {
                break;
            }
            machine.heal();
            let told = run.told().clone();
            judge(&machine, &told);
        }
    }
}

/// Another host opens the file on a copy of the machine, with a fault at each of its operations; then one without. Answers
/// how many recoveries met the fault.
pub(crate) fn at_every_operation_of_recovery(
    machine: &Machine,
    flavour: Flavour,
    told: &Told,
    after: After,
    fault: impl Fn(u64) -> Fault,
) -> usize {
    for nth in 1.. {
        let copy = machine.snapshot();
        copy.inject(fault(nth));
        let host = copy.host();
        let mut told = told.clone();
        let _site = Site { machine: copy.clone(), what: format!("{flavour:?}, {:?} in the recovery", fault(nth)) };
        drop(open(&copy, &host, flavour, &mut told, after, false));
        let met = copy.log().iter().any(|operation| operation.failed.is_some_and(|errno| errno != NOT_FOUND));
        copy.heal();
        audit(&copy, flavour, &told, after);
        if !met {
            return usize::try_from(nth).expect("a recovery ends");
        }
    }
    unreachable!("a recovery ends")
}

/// What a missing file answers; no fault.
const NOT_FOUND: i32 = Errno::NOENT.raw_os_error();

#[test]
fn a_host_that_dies_at_any_operation_loses_nothing_that_it_acknowledged() {
    let mut died = 0;
    for flavour in FLAVOURS {
        let scripts = if is_slow_set() { 12 } else { 1 };
        for steps in (0..scripts).map(|seed| if seed == 0 { TOUR.to_vec() } else { script(seed, 40) }) {
            deaths(flavour, &steps, |machine, told| {
                audit(&machine.snapshot(), flavour, told, After::Death);
                died += 1;
            });
        }
    }
    println!("{died} deaths");
    assert!(died >= 2_300, "{died}");
}

#[test]
fn a_host_that_dies_or_fails_while_it_recovers_is_recovered_from() {
    let mut recoveries = 0;
    for flavour in FLAVOURS {
        let mut at = 0;
        deaths(flavour, &TOUR, |machine, told| {
            at += 1;
            // One in many is enough to meet every kind of end.
            if !is_slow_set() && at % 41 != 0 {
                return;
            }
            let faults: [fn(u64) -> Fault; 4] = [
                |nth| Fault::death(0).nth(nth),
                |nth| Fault::death(300).on(&Kind::WRITES).nth(nth),
                |nth| Fault::fail(Errno::IO).nth(nth),
                |nth| Fault::torn(5, Errno::NOSPC).nth(nth),
            ];
            for fault in faults {
                recoveries += at_every_operation_of_recovery(machine, flavour, told, After::Death, fault);
            }
        });
    }
    println!("{recoveries} recoveries");
    assert!(recoveries >= 3_900, "{recoveries}");
}

/// The same, where the recovery is a check or a repair after a failed sync.
#[test]
fn a_check_or_repair_after_a_failed_sync_can_die_or_fail_and_is_done_again() {
    let steps =
        [Step::Append, Step::AppendWithId, Step::Sync, Step::BatchWithId(2), Step::Batch(2), Step::Append, Step::Sync];
    let mut recoveries = 0;
    for flavour in FLAVOURS {
        // The first sync of the data, the second one; lost for good, or done and yet reported.
        for fault in [Fault::fail(Errno::IO), Fault::late(Errno::IO)] {
            for nth in if is_slow_set() { 1..=6 } else { 3..=4 } {
                let machine = machine();
                let mut run = Run::on(&machine, flavour);
                run.open();
                machine.inject(fault.clone().on(&[Kind::Sync]).nth(nth));
                run.play(&steps);
                machine.heal();
                let host = run.host.clone();
                machine.kill(&host);
                run.file = None;
                let told = run.told().clone();
                let faults: [fn(u64) -> Fault; 3] = [
                    |nth| Fault::death(0).nth(nth),
                    |nth| Fault::death(300).on(&Kind::WRITES).nth(nth),
                    |nth| Fault::fail(Errno::IO).nth(nth),
                ];
                for fault in faults {
                    recoveries += at_every_operation_of_recovery(&machine, flavour, &told, After::Death, fault);
                }
            }
        }
    }
    println!("{recoveries} recoveries");
    assert!(recoveries >= 4_900, "{recoveries}");
}
