//! Every operation of a script fails, once and for ever; also while a file is opened after that.
//!
//! Whatever fails: nothing panics; what was acknowledged is in the file, once and in order, what was refused is not; after a
//! fault that has passed the file goes on, or says that it does not; and it can be opened again, if need be by way of a
//! check and a repair.

use rustix::io::Errno;

use crate::double::{Fault, Kind, Machine, Operation};
use crate::script::{After, FLAVOURS, Flavour, Run, Step, TOUR, audit, is_slow_set, machine, script};

/// How many sites a property has met.
#[derive(Debug, Default)]
struct Sites {
    met: usize,
}

impl Sites {
    /// A sweep that meets next to nothing proves as much. `least` is a tenth below what there was when it was written down.
    fn were_at_least(&self, least: usize) {
        println!("{} sites", self.met);
        assert!(self.met >= least, "only {} sites were met, not {least}", self.met);
    }
}

/// Plays `steps` with `fault` at the first operation of `kinds`, at the second, and so on, until none is left to meet it.
fn at_every_operation(
    flavour: Flavour,
    steps: &[Step],
    kinds: &[Kind],
    fault: impl Fn() -> Fault,
    sites: &mut Sites,
    judge: impl Fn(&Run),
) {
    for nth in 1.. {
        let machine = machine();
        machine.inject(fault().on(kinds).nth(nth));
        let mut run = Run::on(&machine, flavour);
        let _site = Site {
            machine: machine.clone(),
            what: format!("{flavour:?}, operation {nth} of {kinds:?}: {:?}", fault()),
        };
        run.play(steps);
        // A close meets faults, too.
        run.file = None;
        if (machine.log().iter().filter(|operation| kinds.contains(&operation.kind)).count() as u64) < nth {
            assert!(nth > 1, "{flavour:?}: the script has no operation of {kinds:?}");
            return;
        }
        sites.met += 1;
        machine.heal();
        judge(&run);
    }
}

/// Says where it was when a test fails.
pub(crate) struct Site {
    pub(crate) machine: Machine,
    pub(crate) what: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at {}", self.what);
            let log = self.machine.log();
            let first = log.iter().position(|operation| operation.failed.is_some()).unwrap_or(log.len());
            for Operation { number, host, kind, path, bytes, failed, .. } in &log[first.saturating_sub(12)..] {
                let failed = failed.map_or(String::new(), |errno| format!(" failed with {errno}"));
                eprintln!("{number} by {host}: {kind:?} {bytes} of {}{failed}", path.display());
            }
        }
    }
}

fn scripts() -> Vec<Vec<Step>> {
    let scripts = if is_slow_set() { 12 } else { 1 };
    (0..scripts).map(|seed| if seed == 0 { TOUR.to_vec() } else { script(seed, 30) }).collect()
}

/// Those that may fail on a healthy file system.
const ANY: [Kind; 20] = [
    Kind::Look,
    Kind::OpenRead,
    Kind::OpenWrite,
    Kind::Create,
    Kind::Rename,
    Kind::MakeDirs,
    Kind::SyncDir,
    Kind::Lock,
    Kind::Mark,
    Kind::Remote,
    Kind::Append,
    Kind::WriteAt,
    Kind::Read,
    Kind::ReadDisk,
    Kind::Truncate,
    Kind::Status,
    Kind::Sync,
    Kind::SetAside,
    Kind::Room,
    Kind::TryLock,
];

/// Those that a signal can interrupt.
const INTERRUPTIBLE: [Kind; 11] = [
    Kind::OpenRead,
    Kind::OpenWrite,
    Kind::Create,
    Kind::SyncDir,
    Kind::Append,
    Kind::WriteAt,
    Kind::Read,
    Kind::ReadDisk,
    Kind::Truncate,
    Kind::Sync,
    Kind::SetAside,
];

/// Those that may be done before they fail.
const LATE: [Kind; 10] = [
    Kind::Create,
    Kind::Rename,
    Kind::MakeDirs,
    Kind::SyncDir,
    Kind::Mark,
    Kind::Append,
    Kind::WriteAt,
    Kind::Truncate,
    Kind::Sync,
    Kind::SetAside,
];

/// Those that need room.
const ROOM: [Kind; 5] = [Kind::Create, Kind::Append, Kind::WriteAt, Kind::Mark, Kind::SetAside];

fn finish(machine: &Machine, run: &Run) {
    audit(machine, run.flavour, &run.told(), After::Death);
}

#[test]
fn an_operation_that_fails_once_costs_at_most_what_it_was_for() {
    let mut sites = Sites::default();
    let faults: [(Errno, &[Kind]); 6] = [
        (Errno::IO, &ANY),
        (Errno::NOSPC, &ROOM),
        (Errno::DQUOT, &ROOM),
        (Errno::FBIG, &[Kind::Append, Kind::WriteAt]),
        (Errno::ROFS, &Kind::CHANGES),
        (Errno::MFILE, &Kind::OPENS),
    ];
    for flavour in FLAVOURS {
        for steps in scripts() {
            for (errno, kinds) in faults {
                at_every_operation(
                    flavour,
                    &steps,
                    kinds,
                    || Fault::fail(errno),
                    &mut sites,
                    |run| {
                        assert!(run.passing <= 1, "{:?}", run.errors);
                        finish(&run.machine, run);
                    },
                );
            }
        }
    }
    sites.were_at_least(2_700);
}

#[test]
fn an_operation_that_is_done_and_yet_fails_costs_at_most_what_it_was_for() {
    let mut sites = Sites::default();
    for flavour in FLAVOURS {
        for steps in scripts() {
            at_every_operation(
                flavour,
                &steps,
                &LATE,
                || Fault::late(Errno::IO),
                &mut sites,
                |run| {
                    assert!(run.passing <= 1, "{:?}", run.errors);
                    finish(&run.machine, run);
                },
            );
        }
    }
    sites.were_at_least(520);
}

#[test]
fn operations_that_fail_for_ever_acknowledge_nothing_that_is_not_so() {
    let mut sites = Sites::default();
    let faults: [(Errno, &[Kind]); 6] = [
        (Errno::IO, &ANY),
        (Errno::IO, &[Kind::Sync]),
        (Errno::IO, &Kind::WRITES),
        (Errno::NOSPC, &ROOM),
        (Errno::ROFS, &Kind::CHANGES),
        (Errno::MFILE, &Kind::OPENS),
    ];
    for flavour in FLAVOURS {
        for steps in scripts() {
            for (errno, kinds) in faults {
                at_every_operation(
                    flavour,
                    &steps,
                    kinds,
                    || Fault::fail(errno).forever(),
                    &mut sites,
                    |run| {
                        finish(&run.machine, run);
                    },
                );
            }
        }
    }
    sites.were_at_least(2_500);
}

#[test]
fn a_write_that_tears_leaves_nothing_of_its_record() {
    let mut sites = Sites::default();
    for flavour in FLAVOURS {
        for bytes in [0, 1, 30, 500, usize::MAX] {
            let fault = || Fault::torn(bytes, Errno::NOSPC);
            at_every_operation(flavour, &TOUR, &Kind::WRITES, fault, &mut sites, |run| {
                assert!(run.passing <= 1, "{:?}", run.errors);
                finish(&run.machine, run);
            });
            let fault = || Fault::torn(bytes, Errno::NOSPC).times(3);
            at_every_operation(flavour, &TOUR, &Kind::WRITES, fault, &mut sites, |run| finish(&run.machine, run));
        }
    }
    sites.were_at_least(2_900);
}

#[test]
fn what_a_signal_interrupts_is_done_again_and_nobody_is_told() {
    let mut sites = Sites::default();
    for flavour in FLAVOURS {
        for steps in scripts() {
            let fault = || Fault::fail(Errno::INTR).times(2);
            at_every_operation(flavour, &steps, &INTERRUPTIBLE, fault, &mut sites, |run| {
                assert_eq!(run.errors, Vec::<String>::new());
                finish(&run.machine, run);
            });
        }
    }
    sites.were_at_least(800);
}

#[test]
fn a_write_that_takes_a_part_is_gone_on_with_and_nobody_is_told() {
    let mut sites = Sites::default();
    for flavour in FLAVOURS {
        for bytes in [1, 30, 500] {
            at_every_operation(
                flavour,
                &TOUR,
                &Kind::WRITES,
                || Fault::short(bytes),
                &mut sites,
                |run| {
                    assert_eq!(run.errors, Vec::<String>::new());
                    finish(&run.machine, run);
                },
            );
        }
    }
    sites.were_at_least(870);
}

/// What a disk that lies has acknowledged nobody can keep. But nothing panics, and the file can be opened or refused.
#[test]
fn a_disk_that_claims_success_and_does_nothing_brings_nobody_down() {
    let mut sites = Sites::default();
    let kinds = [Kind::Append, Kind::WriteAt, Kind::Truncate, Kind::Sync, Kind::SyncDir, Kind::Rename, Kind::SetAside];
    for flavour in FLAVOURS {
        for times in [1, u64::MAX] {
            for nth in 1.. {
                let machine = machine();
                machine.inject(Fault::idle().nth(nth).times(times));
                let mut run = Run::on(&machine, flavour);
                run.disk_lies = true;
                run.play(&TOUR);
                run.file = None;
                if (machine.log().iter().filter(|it| kinds.contains(&it.kind)).count() as u64) < nth {
                    break;
                }
                sites.met += 1;
                machine.heal();
                run.open();
            }
        }
    }
    sites.were_at_least(1_000);
}

#[test]
fn two_faults_in_a_row_anywhere_lose_nothing_that_was_acknowledged() {
    let mut sites = Sites::default();
    for flavour in FLAVOURS {
        for steps in scripts() {
            let kinds = [Kind::Append, Kind::WriteAt, Kind::Truncate, Kind::Sync, Kind::Status];
            for errno in [Errno::IO, Errno::NOSPC] {
                let fault = || Fault::torn(9, errno).times(2);
                at_every_operation(flavour, &steps, &Kind::WRITES, fault, &mut sites, |run| finish(&run.machine, run));
                let fault = || Fault::fail(errno).times(2);
                at_every_operation(flavour, &steps, &kinds, fault, &mut sites, |run| finish(&run.machine, run));
            }
        }
    }
    sites.were_at_least(1_850);
}
