//! A host with 16 processes that append to seven files is killed, at random times and at every place where it changes
//! something on the disk; then the files are checked against what was acknowledged.
//!
//! Not among these places is the memory of fences, which is no append file: a kill meets it by its time alone.
//!
//! 200 rounds by default; `ROUNDS=10000` for a long run. `LONG=1` has the host that opens the files after a death at each site
//! die too, and tries the sites also on a disk. `SEED` for other times and sites.

mod checker;
mod child;
mod dying;
mod ledger;
mod planted;
mod series;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use checker::{Contents, Fault, Moment, check, read};
use child::{Plan, acks_dir, died_at, file_spec, files_dir, start};
use ledger::{Account, Ledger};
use lockkeeper::AppendFile;
use lockkeeper_guest_programs::acked::{BOUND, FILE_COUNT, FILES};
use lockkeeper_tests::{comes_true, figure};
use tempfile::TempDir;

const PROCESSES: usize = 16;

/// After so many rounds the last host is let end well, and the next begins with no files.
const ROUNDS_PER_DIR: u64 = 25;

/// How many steps a host does that is let end well: a few records for each file.
const LAST_STEPS: usize = 20;

/// The longest time from the first acknowledgement to the kill.
const LIFE_MAX: Duration = Duration::from_millis(50);

/// How a round ends.
#[derive(Clone, Copy)]
enum End {
    /// Some time after its first acknowledgement.
    AtWork,
    /// At any time after its start, mostly while it opens the files.
    Early,
    /// At some site, mostly long after the first acknowledgement: within a write, too.
    AtSite,
}

const ENDS: [End; 5] = [End::AtWork, End::AtWork, End::AtWork, End::Early, End::AtSite];

/// The last site of a round that ends at one.
const SITE_MAX: u64 = 2_000;

/// The longest time from the start of a host to an early kill.
const EARLY_MAX: Duration = Duration::from_millis(60);

#[test]
fn child_runs_a_job_until_it_is_killed() {
    child::child();
}

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn time(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.next(u64::try_from(longest.as_micros()).expect("a short time")) + 1)
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seed() -> u64 {
    number("SEED").unwrap_or(1)
}

/// What the rounds came to. Whatever would have been lost, doubled or torn has ended the test.
#[derive(Default)]
struct Tally {
    hosts: u64,
    kills: u64,
    acknowledged: u64,
    open: u64,
    repeated: u64,
    checked: u64,
    torn: u64,
    repaired: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, kills, acknowledged, open, repeated, checked, torn, repaired } = self;
        write!(
            out,
            "{hosts} hosts, {kills} killed; {acknowledged} appends acknowledged, {repeated} of them as repeated; {open} cut off; \
             {checked} checked: 0 lost, 0 duplicated, 0 torn; {torn} torn ends left by kills, {repaired} of them repaired here"
        )
    }
}

/// Where the files are. To a kill it is all one, but not to the time that a host spends in syncs.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Where a sync is for nothing, if there is such a place: many more appends, and hosts.
    Memory,
    /// Where most processes wait for a sync most of the time.
    Disk,
}

/// A directory with the files of one job, and what is known of them.
struct Field {
    dir: TempDir,
    ledger: Ledger,
}

impl Field {
    fn new(place: Place, processes: usize) -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match place {
            Place::Memory if memory.is_dir() => tempfile::tempdir_in(memory),
            Place::Memory | Place::Disk => tempfile::tempdir(),
        };
        Self { dir: dir.expect("a directory"), ledger: Ledger::new(processes) }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn plan(&self, steps: usize, last_site: u64, shards: usize) -> Plan {
        Plan { steps, last_site, shards, is_late: false, starts: self.ledger.starts() }
    }

    /// Takes up what a host has acknowledged that is over, and looks at what it left; true if it was killed.
    fn after(&mut self, running: child::Running, steps: usize, tally: &mut Tally) -> bool {
        let killed = running.was_killed();
        let sum = self.ledger.read_acks(self.dir.path(), steps, killed).unwrap_or_else(|why| panic!("{why}"));
        std::fs::remove_dir_all(acks_dir(self.path())).expect("the acknowledgements are read");
        tally.hosts += 1;
        tally.kills += u64::from(killed);
        tally.acknowledged += sum.appends;
        tally.repeated += sum.repeated;
        tally.open += sum.open;
        let moment = if killed { Moment::Killed } else { Moment::Opened };
        for file in 0..FILE_COUNT {
            let contents = self.checked(file, moment);
            tally.checked += contents.appends;
            tally.torn += u64::from(contents.is_torn);
            self.ledger
                .settle(file, |rank, number| contents.there[rank][usize::try_from(number).expect("few records")]);
        }
        killed
    }

    fn check(&self, file: usize, moment: Moment) -> Result<Contents, (u64, Fault)> {
        let path = files_dir(self.path()).join(FILES[file].name);
        let accounts: Vec<&Account> = self.ledger.accounts.iter().map(|files| &files[file]).collect();
        check(&read(&path), file, &accounts, moment)
    }

    fn checked(&self, file: usize, moment: Moment) -> Contents {
        let checked = self.check(file, moment);
        checked.unwrap_or_else(|(at, fault)| panic!("{}: {fault:?} at byte {at}, {moment:?}", FILES[file].name))
    }

    /// Opens every file as a host does, and checks that they are whole now.
    fn open(&self, tally: &mut Tally) {
        for (file, about) in FILES.iter().enumerate() {
            let opened = AppendFile::open(&file_spec(self.path(), about));
            let (append_file, report) = opened.unwrap_or_else(|error| panic!("{}: {error}", about.name));
            drop(append_file);
            tally.repaired += u64::from(report.torn.is_some());
            let contents = self.checked(file, Moment::Opened);
            assert_eq!(report.records_before, contents.appends * u64::from(about.batch), "{}", about.name);
            if about.ids {
                assert_eq!(report.ids.map(|ids| ids.known), Some(contents.appends), "the ids of {}", about.name);
            }
            if file == BOUND {
                assert!(report.floor >= contents.newest_fence, "{} < {}", report.floor, contents.newest_fence);
            }
        }
    }

    /// Lets a host end well, so that what has ids is there once each, and checks that all is.
    fn finish(&mut self, steps: usize, shards: usize, tally: &mut Tally) {
        let running = start(self.path(), &self.plan(steps, 0, shards));
        assert!(!self.after(running, steps, tally), "nobody kills it");
        for (rank, files) in self.ledger.accounts.iter().enumerate() {
            for (file, account) in files.iter().enumerate().filter(|(file, _)| FILES[*file].ids) {
                let missing = account.entries.iter().position(|entry| *entry != ledger::Entry::There);
                assert_eq!(missing, None, "{} of rank {rank} in {}", missing.unwrap_or_default(), FILES[file].name);
            }
        }
        self.open(tally);
    }
}

impl Drop for Field {
    /// What a test has failed on is kept, to be looked at.
    fn drop(&mut self) {
        let kept = self.path().with_extension("kept");
        if std::thread::panicking() && std::fs::rename(self.path(), &kept).is_ok() {
            eprintln!("the files are kept in {}", kept.display());
        }
    }
}

/// Whether any process has acknowledged anything.
fn has_begun(dir: &Path) -> bool {
    let acks = |rank: usize| acks_dir(dir).join(rank.to_string());
    (0..PROCESSES).any(|rank| acks(rank).metadata().is_ok_and(|acks| acks.len() > 0))
}

#[test]
fn every_acknowledged_record_is_there_once_and_whole_after_a_kill_at_any_time() {
    let (rounds, seed) = (number("ROUNDS").unwrap_or(200), seed());
    let began = Instant::now();
    let mut random = Random(seed);
    let mut tally = Tally::default();
    let mut places = [Place::Disk, Place::Memory].into_iter().cycle();
    let mut field = Field::new(Place::Disk, PROCESSES);
    for round in 1..=rounds {
        if round % ROUNDS_PER_DIR == 1 {
            field = Field::new(places.next().expect("they go on for ever"), PROCESSES);
        }
        let end = ENDS[usize::try_from(random.next(ENDS.len() as u64)).expect("few")];
        let last_site = if let End::AtSite = end { random.next(SITE_MAX) + 1 } else { 0 };
        let running = RefCell::new(start(field.path(), &field.plan(0, last_site, 0)));
        // What is random here is the time, so this sleeps.
        match end {
            End::AtWork => {
                // One that fails says why when it is waited for.
                assert!(
                    comes_true(|| has_begun(field.path()) || running.borrow_mut().has_ended()),
                    "a host that appends"
                );
                std::thread::sleep(random.time(LIFE_MAX));
            }
            End::Early => std::thread::sleep(random.time(EARLY_MAX)),
            End::AtSite => {
                assert!(comes_true(|| running.borrow_mut().has_ended()), "a host that comes to site {last_site}");
            }
        }
        let mut running = running.into_inner();
        running.child.kill().expect("a child can be killed, also if it is over");
        assert!(field.after(running, 0, &mut tally), "round {round}: the host ended before it was killed");
        // Otherwise the next host repairs, and may be killed while it does.
        if random.next(2) == 0 {
            field.open(&mut tally);
        }
        if round % ROUNDS_PER_DIR == 0 || round == rounds {
            field.finish(LAST_STEPS, 0, &mut tally);
        }
    }
    figure(format_args!("seed {seed}, {rounds} rounds in {:.1?}: {tally}", began.elapsed()));
}

/// What each process does while every site is tried: each file, a sync, and one file again.
const SWEEP_STEPS: usize = FILE_COUNT + 2;

/// The sites are over when so many hosts have ended well, one after another: not every run has as many syncs.
const ENDED_WELL: u32 = 3;

fn sweep(place: Place, processes: usize, dies_again: bool) {
    let seed = seed();
    let began = Instant::now();
    let mut random = Random(seed);
    let mut tally = Tally::default();
    let mut died: BTreeMap<String, u64> = BTreeMap::new();
    let mut ended_well = 0;
    for site in 1.. {
        let mut field = Field::new(place, processes);
        let running = start(field.path(), &field.plan(SWEEP_STEPS, site, 1));
        if field.after(running, SWEEP_STEPS, &mut tally) {
            ended_well = 0;
            *died.entry(died_at(field.path())).or_default() += 1;
        } else {
            ended_well += 1;
        }
        if dies_again {
            // At any site too, often one of the repair.
            let running = start(field.path(), &field.plan(SWEEP_STEPS, random.next(site + 40) + 1, 1));
            field.after(running, SWEEP_STEPS, &mut tally);
        }
        field.open(&mut tally);
        if dies_again || site % 8 == 0 {
            field.finish(SWEEP_STEPS, 1, &mut tally);
        }
        if ended_well == ENDED_WELL {
            break;
        }
    }
    let (sites, time) = (died.values().sum::<u64>(), began.elapsed());
    figure(format_args!(
        "seed {seed}, {place:?}, {sites} sites of {processes} processes in {time:.1?}: {tally}\n{died:?}"
    ));
}

#[test]
fn every_acknowledged_record_is_there_once_and_whole_after_a_death_at_any_site() {
    let is_long = std::env::var_os("LONG").is_some();
    sweep(Place::Memory, PROCESSES, is_long);
    if is_long {
        sweep(Place::Disk, 4, true);
    }
}
