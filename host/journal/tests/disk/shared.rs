//! Two hosts that share a file, one of which dies, fails or loses its disk at any operation while the other goes on.
//!
//! Whose turn it is only the script says, so every run of it is the same: a turn lasts until its host leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockkeeper_journal::inspect::{self, Verdict};
use lockkeeper_journal::storage::{Access, Disk};
use lockkeeper_journal::{
    AppendError, AppendFile, Change, Durability, FileSpec, IfExists, LatchCause, OpenError, unguarded,
};
use rustix::io::Errno;

use crate::double::{Fault, Host, Kind, Machine, Random, is_death};
use crate::faults::Site;
use crate::script::{FLAVOURS, Flavour, OUT, TORN, is_slow_set, machine};

const LINES: Flavour = FLAVOURS[0];

/// The flavours that can be shared: those without ids.
fn flavours() -> impl Iterator<Item = Flavour> {
    FLAVOURS.into_iter().filter(|flavour| !flavour.ids)
}

fn spec(flavour: Flavour) -> FileSpec {
    let mut spec = flavour.spec();
    spec.shared = true;
    // Only the script ends a turn.
    spec.cohort = Duration::from_secs(36_000);
    spec
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    First,
    Other,
}
use Who::{First, Other};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Opens the file, in a turn of its own.
    Open,
    Append,
    Batch(u64),
    Sync,
    Leave,
    /// Its host ends well.
    Close,
}
use Act::{Append, Batch, Close, Leave, Open, Sync};

/// What meets each other: turns after turns of others and of one's own, with and without syncs, a change in between.
const TOUR: [(Who, Act); 30] = [
    (First, Open),
    (First, Append),
    (First, Leave),
    (Other, Open),
    (Other, Append),
    (Other, Batch(3)),
    (Other, Leave),
    (First, Append),
    (First, Append),
    (First, Sync),
    (First, Append),
    (First, Leave),
    (First, Batch(2)),
    (First, Leave),
    (Other, Sync),
    (Other, Append),
    (Other, Sync),
    (Other, Leave),
    (First, Append),
    (First, Leave),
    (Other, Append),
    (Other, Leave),
    (First, Batch(4)),
    (First, Sync),
    (First, Leave),
    (Other, Append),
    (Other, Close),
    (First, Append),
    (First, Leave),
    (First, Close),
];

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Written,
    Synced,
    Refused,
    /// Its host died meanwhile.
    Nothing,
}

#[derive(Debug, Clone)]
struct Entry {
    who: Who,
    numbers: Vec<u64>,
    said: Said,
}

/// Two hosts and what they were told.
struct Pair {
    machine: Machine,
    flavour: Flavour,
    hosts: [Host; 2],
    files: [Option<AppendFile>; 2],
    told: Vec<Entry>,
    next: u64,
    errors: Vec<String>,
}

impl Pair {
    fn new(flavour: Flavour) -> Pair {
        let machine = machine();
        let hosts = [machine.host(), machine.host()];
        Pair { machine, flavour, hosts, files: [None, None], told: Vec::new(), next: 1, errors: Vec::new() }
    }

    fn host(&self, who: Who) -> &Host {
        &self.hosts[who as usize]
    }

    fn play(&mut self, steps: &[(Who, Act)]) {
        for (who, act) in steps {
            self.act(*who, *act);
            // A dead host has neither files nor locks.
            if !self.host(*who).lives() {
                self.files[*who as usize] = None;
            }
        }
    }

    fn act(&mut self, who: Who, act: Act) {
        if !self.host(who).lives() {
            return;
        }
        if act == Open {
            let disk: Arc<dyn Disk> = Arc::new(self.host(who).clone());
            match AppendFile::open_on(&disk, &spec(self.flavour)) {
                Ok((file, _)) => self.files[who as usize] = Some(file),
                Err(error) => self.errors.push(error.to_string()),
            }
            return;
        }
        let Some(file) = self.files[who as usize].take() else { return };
        let count = match act {
            Append => 1,
            Batch(count) => count,
            Sync => {
                match file.sync().wait() {
                    Ok(_) => self.synced(who),
                    Err(error) => self.errors.push(error.to_string()),
                }
                0
            }
            Leave => {
                file.end_turn();
                0
            }
            Close => {
                drop(file);
                return;
            }
            Open => unreachable!("it was seen to"),
        };
        if count > 0 {
            let numbers: Vec<u64> = (self.next..self.next + count).collect();
            self.next += count;
            let records: Vec<_> = numbers.iter().map(|n| self.flavour.record(*n)).collect();
            let done = match &records[..] {
                [record] => file.append(record, unguarded),
                records => file.append_batch(records, unguarded),
            };
            let said = match done {
                Ok(_) => Said::Written,
                Err(error) if is_death(&error) || !self.host(who).lives() => Said::Nothing,
                Err(error) => {
                    self.errors.push(error.to_string());
                    // After a cut that failed it may be there until the file is opened again.
                    if matches!(error, AppendError::Latched { cause: LatchCause::CutFailed { .. }, .. }) {
                        Said::Nothing
                    } else {
                        Said::Refused
                    }
                }
            };
            self.told.push(Entry { who, numbers, said });
        }
        self.files[who as usize] = Some(file);
    }

    /// A sync covers all that was written before, by whomever: what others wrote lies before the end of this host's last turn.
    fn synced(&mut self, who: Who) {
        let last = self.told.iter().rposition(|entry| entry.who == who && entry.said != Said::Refused);
        let upto = last.map_or(0, |last| last + 1);
        self.told[..upto]
            .iter_mut()
            .filter(|entry| entry.said == Said::Written)
            .for_each(|entry| entry.said = Said::Synced);
    }

    /// Everybody who is left goes on, and a third host comes; then the file is read.
    fn audit(&mut self) {
        self.play(&[(Other, Leave), (First, Leave), (Other, Append), (Other, Leave), (First, Append), (First, Leave)]);
        self.files = [None, None];
        let (content, was_repaired) = check(&self.machine, self.flavour);
        let numbers = self.flavour.parse(&content).unwrap_or_else(|error| panic!("{error}"));
        // What a sync has lost that failed, nobody has.
        self.verify(&numbers, |said| said == Said::Synced || (said == Said::Written && !was_repaired));
    }

    /// All of what must be there is, nothing of what must not, and of what was on its way all or nothing; in order.
    fn verify(&self, numbers: &[u64], must: impl Fn(Said) -> bool) {
        let mut there = numbers.iter().copied().peekable();
        for Entry { who, numbers: wanted, said } in &self.told {
            let found = wanted.iter().take_while(|n| there.next_if_eq(*n).is_some()).count();
            let what = format!("{found} of {wanted:?} by {who:?}, which were {said:?}; in the file are {numbers:?}");
            assert!(found == 0 || found == wanted.len(), "torn: {what}");
            assert!(found > 0 || !must(*said), "lost: {what}");
            assert!(found == 0 || *said != Said::Refused, "refused and there: {what}");
        }
        assert_eq!(there.next(), None, "not in order, or never appended: {numbers:?}");
    }
}

/// What a host that comes when all others have gone finds, and whether the disk had lost some of it.
fn check(machine: &Machine, flavour: Flavour) -> (Vec<u8>, bool) {
    machine.heal();
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    // Not where an earlier sync has failed, which only a check says.
    if machine.read(OUT).is_some() {
        drop(inspect::check(&disk, OUT.as_ref(), Some(flavour.format), |_, _| {}));
    }
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    let was_repaired = match AppendFile::open_on(&disk, &spec(flavour)) {
        Ok((file, _)) => {
            drop(file);
            false
        }
        Err(OpenError::NotOnDisk { .. } | OpenError::SyncFailed { .. }) => {
            let repair = inspect::RepairSpec { holder: "a test".to_owned(), ..Default::default() };
            let repaired = inspect::repair(&disk, OUT.as_ref(), &repair, |_, _| {});
            repaired.unwrap_or_else(|error| panic!("it cannot be repaired: {error}"));
            true
        }
        Err(error) => panic!("it cannot be opened: {error}"),
    };
    (machine.read(OUT).unwrap_or_default(), was_repaired)
}

#[test]
fn two_hosts_write_by_turns_and_all_of_it_is_there_in_order() {
    for flavour in flavours() {
        let mut pair = Pair::new(flavour);
        pair.play(&TOUR);
        assert_eq!(pair.errors, Vec::<String>::new(), "{flavour:?}");
        assert!(pair.machine.read(TORN).is_none(), "{flavour:?}");
        pair.audit();
        assert!(pair.told.iter().all(|entry| entry.said == Said::Written || entry.said == Said::Synced));
    }
}

#[test]
fn hosts_that_make_the_file_at_one_moment_share_it() {
    for flavour in flavours() {
        let mut pair = Pair::new(flavour);
        let gate = pair.machine.gate(Kind::Create);
        let open = |host: &Host| {
            let disk: Arc<dyn Disk> = Arc::new(host.clone());
            let (file, _) = AppendFile::open_on(&disk, &spec(flavour)).expect("both may");
            file.end_turn();
            file
        };
        let [first, other] = &pair.hosts;
        let files = std::thread::scope(|scope| {
            let opening = [scope.spawn(|| open(first)), scope.spawn(|| open(other))];
            // Neither has found it.
            gate.wait_for(2);
            drop(gate);
            opening.map(|opening| Some(opening.join().expect("it is opened")))
        });
        pair.files = files;
        pair.play(&[(First, Append), (First, Leave), (Other, Append), (Other, Leave)]);
        assert_eq!(pair.errors, Vec::<String>::new(), "{flavour:?}");
        pair.audit();
    }
}

/// A turn that nobody has come between costs no read of the file but that of a few bytes, and no sync.
#[test]
fn a_turn_after_one_that_ended_well_is_cheap() {
    let mut pair = Pair::new(LINES);
    pair.play(&[(First, Open), (First, Append), (First, Leave), (Other, Open), (Other, Append), (Other, Leave)]);
    for who in [First, First, Other, First] {
        let (before, syncs) = (pair.machine.operations(), pair.machine.count(Kind::Sync));
        pair.play(&[(who, Append), (who, Leave)]);
        let took = pair.machine.operations() - before;
        assert!(took <= 24, "{took} operations");
        assert_eq!(pair.machine.count(Kind::Sync), syncs);
    }
    // And within a turn an append is an append.
    pair.play(&[(First, Append)]);
    let before = pair.machine.operations();
    pair.play(&[(First, Append), (First, Append)]);
    assert!(pair.machine.operations() - before <= 4);
}

/// How much of the write that a host dies in is in the file.
const PARTS: [usize; 4] = [0, 1, 50, usize::MAX];

#[test]
fn one_that_dies_at_any_operation_loses_nothing_and_the_other_goes_on() {
    let (mut died, mut torn) = (0, 0);
    for flavour in flavours() {
        for (part, who) in PARTS.into_iter().flat_map(|part| [(part, First), (part, Other)]) {
            for nth in 1.. {
                let mut pair = Pair::new(flavour);
                let fault = if part == 0 { Fault::death(0) } else { Fault::death(part).on(&Kind::WRITES) };
                pair.machine.inject(fault.by(pair.host(who).id()).nth(nth));
                let what = format!("{flavour:?}, death of {who:?} at operation {nth} with {part} bytes of a write");
                let _site = Site { machine: pair.machine.clone(), what };
                pair.play(&TOUR);
                if pair.host(who).lives() {
                    break;
                }
                assert_eq!(pair.errors.iter().find(|error| !error.contains("the host is dead")), None);
                pair.audit();
                died += 1;
                torn += usize::from(pair.machine.read(TORN).is_some());
            }
        }
    }
    println!("{died} deaths, {torn} torn ends");
    assert!(died >= 1_000 && torn >= 20, "{died} deaths, {torn} torn ends");
}

#[test]
fn one_whose_disk_fails_at_any_operation_harms_nobody_but_by_a_failed_sync() {
    let mut met = 0;
    let faults: [fn() -> Fault; 4] = [
        || Fault::fail(Errno::IO),
        || Fault::late(Errno::IO),
        || Fault::fail(Errno::INTR),
        || Fault::torn(5, Errno::NOSPC).on(&Kind::WRITES),
    ];
    for flavour in flavours() {
        for (fault, who) in faults.iter().flat_map(|fault| [(fault, First), (fault, Other)]) {
            for nth in 1.. {
                let mut pair = Pair::new(flavour);
                pair.machine.inject(fault().by(pair.host(who).id()).nth(nth));
                let _site =
                    Site { machine: pair.machine.clone(), what: format!("{flavour:?}, {who:?}, {nth}: {:?}", fault()) };
                pair.play(&TOUR);
                let reached = pair.machine.log().iter().any(|it| it.failed.is_some_and(|errno| errno != NOT_FOUND));
                pair.audit();
                if !reached {
                    break;
                }
                met += 1;
            }
        }
    }
    println!("{met} faults");
    assert!(met >= 1_000, "{met}");
}

const NOT_FOUND: i32 = Errno::NOENT.raw_os_error();

/// The power goes after every step: what was synced, by whichever host, is there.
#[test]
fn a_power_cut_takes_nothing_that_was_synced_by_either() {
    let states = if is_slow_set() { 400 } else { 24 };
    let mut looked = 0;
    for flavour in flavours() {
        let mut pair = Pair::new(flavour);
        pair.machine.set(|settings| settings.notes_durable = false);
        let mut random = Random::new(7);
        for step in TOUR {
            pair.play(&[step]);
            for _ in 0..states {
                let cut = pair.machine.power_cut(&mut random);
                let _site = Site { machine: cut.machine.clone(), what: format!("{flavour:?} after {step:?}: {cut}") };
                if cut.machine.read(OUT).is_none() {
                    assert!(pair.told.iter().all(|entry| entry.said != Said::Synced));
                    continue;
                }
                let (content, _) = check(&cut.machine, flavour);
                let numbers = flavour.parse(&content).unwrap_or_else(|error| panic!("{error}"));
                pair.verify_cut(&numbers);
                looked += 1;
            }
        }
    }
    println!("{looked} states");
    assert!(looked >= 1_000, "{looked}");
}

impl Pair {
    /// The beginning of what was appended, at least up to what was synced; a batch in text may be there in part.
    fn verify_cut(&self, numbers: &[u64]) {
        let all: Vec<u64> = self.told.iter().flat_map(|entry| entry.numbers.clone()).collect();
        assert!(all.starts_with(numbers), "{numbers:?} is not the beginning of {all:?}");
        let synced = self.told.iter().filter(|entry| entry.said == Said::Synced).flat_map(|entry| &entry.numbers).max();
        assert!(numbers.iter().max() >= synced, "{synced:?} was synced, and there is {numbers:?}");
    }
}

#[test]
fn a_sync_that_fails_latches_the_file_for_everybody() {
    for flavour in flavours() {
        let mut pair = Pair::new(flavour);
        pair.play(&[(First, Open), (First, Append), (First, Leave), (Other, Open), (Other, Append), (Other, Leave)]);
        pair.play(&[(First, Append)]);
        pair.machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of("/out"));
        pair.play(&[(First, Sync), (First, Leave)]);
        pair.machine.heal();
        let file = pair.files[Other as usize].as_ref().expect("it is open");
        let error = file.append(&flavour.record(90), unguarded).expect_err("the other host knows");
        assert!(matches!(error, AppendError::Latched { cause: LatchCause::SyncFailed(_), .. }), "{error}");
        assert!(file.sync().wait().is_err());
    }
}

/// Whichever host an owner lives in: once another one's has written, an older fence is refused.
#[test]
fn an_old_fence_is_refused_after_the_owner_in_another_host_has_written() {
    fn fence(fence: u64) -> impl FnOnce() -> Result<Option<u64>, std::convert::Infallible> {
        move || Ok(Some(fence))
    }
    for flavour in flavours() {
        for dies in [false, true] {
            let mut pair = Pair::new(flavour);
            pair.play(&[(First, Open), (First, Leave), (Other, Open), (Other, Leave)]);
            let [Some(first), Some(other)] = &pair.files else { panic!("both are open") };
            // What would be given out here is given out by others too, whoever's turn it is.
            first.reserve_fences(1_000).expect("nothing to be done");
            first.append(&flavour.record(1), fence(5)).expect("it is the first");
            first.reserve_fences(2_000).expect("nothing to be done");
            first.end_turn();
            other.append(&flavour.record(2), fence(7)).expect("it is the next");
            match dies {
                // Nobody has said how far it came but the record, and what was written before it.
                true => pair.machine.kill(pair.host(Other)),
                false => other.end_turn(),
            }
            let [Some(first), Some(_)] = &pair.files else { panic!("both are open") };
            for old in [5, 6] {
                let refused = first.append(&flavour.record(3), fence(old));
                let is_fenced = matches!(&refused, Err(AppendError::Fenced { offered, current: 7 }) if *offered == old);
                assert!(is_fenced, "{flavour:?}: {refused:?}");
            }
            first.append(&flavour.record(4), fence(7)).expect("the same hold goes on");
            assert_eq!(first.floor(), 7);
            pair.files = [None, None];
            let disk: Arc<dyn Disk> = Arc::new(pair.machine.host());
            let (file, report) = AppendFile::open_on(&disk, &spec(flavour)).expect("it is in order");
            assert_eq!((report.floor, report.records_before), (7, 3));
            let refused = file.append(&flavour.record(5), fence(6));
            assert!(matches!(refused, Err(AppendError::Fenced { current: 7, .. })), "{refused:?}");
        }
    }
}

/// What was revoked in one host is refused by all.
#[test]
fn a_floor_that_one_host_raised_holds_for_the_others() {
    let mut pair = Pair::new(LINES);
    pair.play(&[(First, Open), (First, Append)]);
    pair.files[0].as_ref().expect("it is open").raise_floor(9);
    pair.play(&[(First, Leave), (Other, Open)]);
    let file = pair.files[1].as_ref().expect("it is open");
    assert_eq!(file.floor(), 9);
}

#[test]
fn one_that_shares_and_one_that_does_not_refuse_each_other() {
    let (machine, alone) = (machine(), LINES.spec());
    let disk = |host: &Host| -> Arc<dyn Disk> { Arc::new(host.clone()) };
    let (first, second) = (machine.host(), machine.host());
    let (file, _) = AppendFile::open_on(&disk(&first), &spec(LINES)).expect("nobody has it");
    file.end_turn();
    let error = AppendFile::open_on(&disk(&second), &alone).expect_err("it is shared, whose turn it ever is");
    assert!(matches!(&error, OpenError::Shared { holder: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("`shared = true`"), "{error}");
    let repair = inspect::RepairSpec { holder: "a test".to_owned(), ..Default::default() };
    let error = inspect::repair(&disk(&second), OUT.as_ref(), &repair, |_, _| {}).expect_err("it is in use");
    assert!(matches!(error, OpenError::Shared { .. }), "{error}");
    drop(file);

    let (file, _) = AppendFile::open_on(&disk(&second), &alone).expect("nobody has it any more");
    let error = AppendFile::open_on(&disk(&first), &spec(LINES)).expect_err("it is not shared");
    assert!(matches!(&error, OpenError::NotShared { holder: Some(_), .. }), "{error}");
    assert!(AppendFile::check_on(&first, &spec(LINES)).is_err());
    drop(file);
    AppendFile::open_on(&disk(&first), &spec(LINES)).expect("nobody has it any more");
}

#[test]
fn what_cannot_be_shared_is_refused_and_nothing_is_made() {
    let machine = machine();
    let before = machine.names();
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    let wrong: [fn(&mut FileSpec); 3] =
        [|spec| spec.ids = true, |spec| spec.if_exists = IfExists::Replace, |spec| spec.if_exists = IfExists::Refuse];
    for change in wrong {
        let mut spec = spec(LINES);
        change(&mut spec);
        let error = AppendFile::open_on(&disk, &spec).expect_err("it cannot be shared");
        assert!(matches!(error, OpenError::NotToBeShared { .. }), "{error}");
    }
    assert_eq!(machine.names(), before);
    machine.put("/data/out.ids", b"");
    let error = AppendFile::open_on(&disk, &spec(LINES)).expect_err("its records have ids");
    assert!(error.to_string().contains("use another file"), "{error}");
}

/// A check takes its turn like a host.
#[test]
fn a_file_can_be_checked_while_hosts_share_it() {
    let mut pair = Pair::new(LINES);
    pair.play(&[(First, Open), (First, Append), (First, Leave), (Other, Open), (Other, Append), (Other, Leave)]);
    let disk: Arc<dyn Disk> = Arc::new(pair.machine.host());
    let report = inspect::check(&disk, OUT.as_ref(), None, |_, _| {}).expect("it is nobody's turn");
    assert_eq!((report.verdict(), report.records), (Verdict::Whole, 2));
    pair.play(&[(First, Append), (First, Leave), (Other, Append), (Other, Leave)]);
    assert_eq!(pair.errors, Vec::<String>::new());
}

#[test]
fn what_an_outsider_does_to_the_file_is_found_out_with_the_next_turn() {
    type Outsider = fn(&Machine);
    let changes: [(Outsider, Change); 3] = [
        (|machine| machine.truncate(OUT, 3), Change::Truncated { expected: 0, found: 3 }),
        (|machine| machine.unlink(OUT), Change::Unlinked),
        (|machine| machine.rename(OUT, "/data/elsewhere"), Change::Renamed),
    ];
    for (change, expected) in changes {
        let mut pair = Pair::new(LINES);
        pair.play(&[(First, Open), (First, Append), (First, Leave)]);
        let len = pair.machine.read(OUT).expect("it is there").len() as u64;
        let expected = match expected {
            Change::Truncated { found, .. } => Change::Truncated { expected: len, found },
            other => other,
        };
        change(&pair.machine);
        let file = pair.files[0].as_ref().expect("it is open");
        let error = file.append(b"000009:", unguarded).expect_err("it is not what it was");
        let is_told =
            matches!(&error, AppendError::Latched { cause: LatchCause::Changed(what), .. } if *what == expected);
        assert!(is_told, "{error}");
    }
}

/// Nothing is kept back in a host while others write: it would stand elsewhere than was said.
#[test]
fn a_shared_file_buffers_nothing() {
    let mut pair = Pair::new(LINES);
    pair.play(&[(First, Open)]);
    let file = pair.files[0].as_ref().expect("it is open");
    let options = lockkeeper_journal::AppendOptions { buffered: true, ..Default::default() };
    let record = file.encode(&LINES.record(1)).expect("it is one");
    let appended = file.commit_now(&record, &options, unguarded).expect("it is its turn").expect("there is room");
    assert!(!appended.buffered);
    assert_eq!(pair.machine.read(OUT).map(|bytes| bytes.len() as u64), Some(appended.end()));
    file.end_turn();
    assert!(file.commit_now(&record, &options, unguarded).is_none(), "that would have to wait");
    assert!(Durability::Buffered < Durability::Written);
}

/// Nobody waits that long for twenty turns, even on a slow machine.
const FOR_EVER: Duration = Duration::from_secs(30);

/// Whether the lock of the file can be had now.
fn is_free(machine: &Machine) -> bool {
    let probe = machine.host().open(OUT.as_ref(), Access::Read).expect("it is there");
    probe.try_lock().expect("it can be tried")
}

#[test]
fn the_others_may_write_only_when_it_is_said_where_a_turn_has_ended() {
    let mut pair = Pair::new(LINES);
    pair.play(&[(First, Open), (First, Append)]);
    let (machine, file) = (&pair.machine, pair.files[0].as_ref().expect("it is open"));
    let gate = machine.gate(Kind::WriteAt);
    std::thread::scope(|scope| {
        let leaving = scope.spawn(|| file.end_turn());
        gate.wait_for(1);
        assert!(!is_free(machine));
        drop(gate);
        leaving.join().expect("it ends");
    });
    assert!(is_free(machine));
}

#[test]
fn a_turn_does_not_end_while_a_sync_of_it_is_under_way() {
    let mut pair = Pair::new(LINES);
    pair.play(&[(First, Open), (First, Append), (First, Sync), (First, Append)]);
    let (machine, file) = (&pair.machine, pair.files[0].as_ref().expect("it is open"));
    let gate = machine.gate(Kind::Sync);
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| file.sync().wait());
        gate.wait_for(1);
        let leaving = scope.spawn(|| file.end_turn());
        let record = file.encode(&LINES.record(50)).expect("it is one");
        while file.commit_now(&record, &Default::default(), unguarded).is_some() {
            std::thread::yield_now();
        }
        // A chance to end too early; a right implementation needs none.
        for _ in 0..20 {
            assert!(!is_free(machine));
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(gate);
        syncing.join().expect("it ends").expect("the disk is healthy");
        leaving.join().expect("it ends");
    });
    assert!(is_free(machine));
}

/// One host writes without end, and another one comes: the turn of the first ends by itself.
#[test]
fn a_turn_ends_for_whoever_waits_and_records_of_a_thread_stay_in_order() {
    let machine = machine();
    let mut spec = spec(LINES);
    // So long that whoever appends without end is never found at rest, on a machine with more to do.
    spec.cohort = Duration::from_millis(100);
    let hosts = [machine.host(), machine.host()];
    let open =
        |host: &Host| AppendFile::open_on(&(Arc::new(host.clone()) as Arc<dyn Disk>), &spec).expect("it is shared").0;
    let files = [open(&hosts[0]), open(&hosts[1])];
    let (ended, appended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (files, ended, appended) = (&files, &ended, &appended);
    let began = Instant::now();
    let endless = |thread: usize| {
        move || {
            let mut n = 0;
            while !ended.load(Ordering::SeqCst) && began.elapsed() < FOR_EVER {
                files[0].append(format!("0 {thread} {n}").as_bytes(), unguarded).expect("its turn comes");
                appended.fetch_add(1, Ordering::SeqCst);
                if n % 64 == 0 {
                    files[0].sync().wait().expect("its turn comes");
                }
                n += 1;
            }
            n
        }
    };
    let counts = std::thread::scope(|scope| {
        let endless = [scope.spawn(endless(0)), scope.spawn(endless(1))];
        for n in 0..20 {
            // It is the other one's turn.
            let before = appended.load(Ordering::SeqCst);
            while appended.load(Ordering::SeqCst) == before && began.elapsed() < FOR_EVER {
                std::thread::yield_now();
            }
            files[1].append(format!("1 0 {n}").as_bytes(), unguarded).expect("its turn comes");
            files[1].end_turn();
        }
        assert!(began.elapsed() < FOR_EVER, "no turn came while there was something to append elsewhere");
        ended.store(true, Ordering::SeqCst);
        endless.map(|thread| thread.join().expect("it ends"))
    });
    let text = String::from_utf8(machine.read(OUT).expect("it is there")).expect("it is text");
    for (prefix, count) in [("0 0 ", counts[0]), ("0 1 ", counts[1]), ("1 0 ", 20)] {
        let numbers: Vec<u32> = text.lines().filter_map(|line| line.strip_prefix(prefix)?.parse().ok()).collect();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "{prefix}");
    }
    assert_eq!(text.lines().count(), (counts[0] + counts[1] + 20) as usize);
}
