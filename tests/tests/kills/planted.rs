//! Whether the checker finds what it is there for: faults planted in what a real run has left.

use std::cell::RefCell;
use std::ops::Range;

use lockkeeper::Reader;
use lockkeeper_guest_programs::acked::{self, BOUND, FILE_COUNT, FILES, LOOSE, Shape, Step};
use lockkeeper_tests::comes_true;

use crate::checker::{Fault, Moment, check, kind, read};
use crate::child::{Plan, acks_dir, files_dir, start};
use crate::ledger::{Account, Entry, Ledger};
use crate::{Field, LIFE_MAX, PROCESSES as ALL, Place, Random, Tally, has_begun, seed};

const PLAIN: usize = 1;
const THREE: usize = 2;
const ONCE: usize = 3;
const TWO: usize = 5;

const PROCESSES: usize = 4;
const STEPS: usize = 60;

/// What a run has left: the bytes of each file, and what must be in them.
struct Recorded {
    bytes: [Vec<u8>; FILE_COUNT],
    ledger: Ledger,
}

/// A file of it, to be spoiled.
#[derive(Clone)]
struct Spoiled {
    bytes: Vec<u8>,
    accounts: Vec<Account>,
    /// Where the records are.
    records: Vec<Range<usize>>,
}

fn recorded() -> Recorded {
    let mut field = Field::new(Place::Memory, PROCESSES);
    let running = start(field.path(), &field.plan(STEPS, 0, 0));
    assert!(!field.after(running, STEPS, &mut Tally::default()), "nobody kills it");
    let bytes = std::array::from_fn(|file| read(&files_dir(field.path()).join(FILES[file].name)));
    Recorded { bytes, ledger: field.ledger.clone() }
}

fn records(bytes: &[u8], shape: Shape) -> Vec<Range<usize>> {
    let mut reader = Reader::new(kind(shape), bytes);
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("memory can be read") {
        let from = usize::try_from(record.offset).expect("it fits into memory");
        records.push(from..from + usize::try_from(record.len).expect("it fits into memory"));
    }
    records.drain(..usize::from(shape == Shape::Row));
    records
}

impl Recorded {
    /// What the checker says of a file that is spoiled so.
    fn planted(&self, file: usize, moment: Moment, plant: impl Fn(&mut Spoiled)) -> Option<Fault> {
        let accounts = self.ledger.accounts.iter().map(|files| files[file].clone()).collect();
        let bytes = self.bytes[file].clone();
        let mut spoiled = Spoiled { records: records(&bytes, FILES[file].shape), bytes, accounts };
        plant(&mut spoiled);
        let accounts: Vec<_> = spoiled.accounts.iter().collect();
        check(&spoiled.bytes, file, &accounts, moment).err().map(|(_, fault)| fault)
    }
}

impl Spoiled {
    fn remove(&mut self, record: usize) {
        self.bytes.drain(self.records[record].clone());
    }

    fn repeat(&mut self, record: usize) {
        self.bytes.extend_from_within(self.records[record].clone());
    }

    /// Only whole text records: frames are numbered.
    fn swap(&mut self, first: usize, second: usize) {
        let between = self.records[first].end..self.records[second].start;
        let parts = [self.records[second].clone(), between, self.records[first].clone()];
        let swapped: Vec<u8> = parts.into_iter().flat_map(|part| self.bytes[part].to_vec()).collect();
        self.bytes.splice(self.records[first].start..self.records[second].end, swapped);
    }

    /// Two records, not of a batch, that are of one process, or else next to each other and of two: nothing of theirs is
    /// between those.
    fn two(&self, same_process: bool) -> (usize, usize) {
        let process = |record: usize| {
            let text = String::from_utf8_lossy(&self.bytes[self.records[record].clone()]).into_owned();
            // A row begins with its fence.
            let text = text.split_once(",\"").map_or(text.clone(), |(_, text)| text.to_owned());
            text.split_once('/').expect("a record begins with its rank").0.to_owned()
        };
        let pairs = (0..self.records.len()).flat_map(|first| (0..first).map(move |second| (second, first)));
        let pairs = pairs.filter(|(first, second)| same_process || first + 1 == *second);
        let mut pairs = pairs.filter(|(first, second)| (process(*first) == process(*second)) == same_process);
        pairs.next().expect("several processes have appended several records")
    }

    /// Nothing of it was acknowledged, and nobody has looked yet.
    fn forget(&mut self) {
        self.accounts.iter_mut().for_each(|account| account.entries.fill(Entry::Open));
    }
}

#[test]
fn each_planted_fault_in_a_recorded_run_is_found() {
    use Fault::{FenceBack, Foreign, Gap, HalfBatch, Lost, NeverAppended, Order, Torn, Twice};
    use Moment::{Killed, Opened};
    let run = recorded();
    for (file, about) in FILES.iter().enumerate() {
        assert_eq!(run.planted(file, Opened, |_| {}), None, "{}", about.name);
        assert_eq!(run.planted(file, Killed, Spoiled::forget), None, "{}", about.name);
        // All of it is gone.
        assert_eq!(run.planted(file, Killed, |file| file.bytes.clear()), Some(Lost), "{}", about.name);
        // The last record is torn: where nobody has opened the file only what was acknowledged counts.
        let tear = |file: &mut Spoiled| file.bytes.truncate(file.bytes.len() - 2);
        let expected = if about.batch > 1 && about.shape != Shape::Bytes { HalfBatch } else { Torn };
        assert_eq!(run.planted(file, Opened, tear), Some(expected), "{}", about.name);
        assert_eq!(run.planted(file, Killed, tear), Some(Lost), "{}", about.name);
        let tear_open = |file: &mut Spoiled| (file.forget(), tear(file)).0;
        assert_eq!(run.planted(file, Killed, tear_open), None, "{}", about.name);
        // One in the middle is torn, and the next one follows at once.
        let middle = |file: &mut Spoiled| drop(file.bytes.drain(file.records[7].end - 2..file.records[7].end));
        let found = run.planted(file, Killed, middle);
        assert!(matches!(found, Some(Foreign | Torn | HalfBatch)), "{}: {found:?}", about.name);
        // A byte of it is another one.
        let changed = |file: &mut Spoiled| {
            let last = file.records[7].end - 2;
            file.bytes[last] ^= 1;
        };
        let found = run.planted(file, Killed, changed);
        assert!(matches!(found, Some(Foreign | Torn | Lost)), "{}: {found:?}", about.name);
    }

    // An acknowledged record is dropped, or was never written.
    for file in [BOUND, PLAIN, LOOSE] {
        assert_eq!(run.planted(file, Opened, |file| file.remove(5)), Some(Lost));
        assert_eq!(run.planted(file, Opened, |file| file.remove(file.records.len() - 1)), Some(Lost));
    }
    // A record is written twice: at once, or when its host has gone.
    assert_eq!(run.planted(PLAIN, Opened, |file| file.repeat(5)), Some(Twice));
    assert_eq!(run.planted(PLAIN, Opened, |file| file.repeat(file.records.len() - 1)), Some(Twice));
    // Records of one process change places; rows of two do.
    let swap = |same| {
        move |file: &mut Spoiled| {
            let (first, second) = file.two(same);
            file.swap(first, second);
        }
    };
    assert_eq!(run.planted(PLAIN, Opened, swap(true)), Some(Order));
    assert_eq!(run.planted(PLAIN, Opened, swap(false)), None, "processes come in any order");
    assert_eq!(run.planted(BOUND, Opened, swap(false)), Some(FenceBack));
    // Batches: a part is missing, the parts change places, another record is between them, only a part survives a repair.
    assert_eq!(run.planted(THREE, Opened, |file| file.remove(4)), Some(HalfBatch));
    assert_eq!(run.planted(THREE, Opened, |file| file.swap(3, 4)), Some(HalfBatch));
    assert_eq!(run.planted(THREE, Opened, |file| file.swap(2, 3)), Some(HalfBatch));
    let cut = |file: &mut Spoiled| file.bytes.truncate(file.records[file.records.len() - 2].end);
    assert_eq!(run.planted(THREE, Opened, cut), Some(HalfBatch));
    assert_eq!(run.planted(THREE, Killed, cut), Some(Lost));
    assert_eq!(run.planted(TWO, Opened, |file| file.remove(file.records.len() - 1)), Some(Torn));
    // Frames know their place.
    assert_eq!(run.planted(ONCE, Opened, |file| file.remove(5)), Some(Torn));
    assert_eq!(run.planted(ONCE, Opened, |file| file.repeat(5)), Some(Torn));
    assert_eq!(run.planted(ONCE, Opened, |file| file.remove(file.records.len() - 1)), Some(Lost));
    // Something comes that was never appended, or that was not there when its host had died.
    let foreign = |file: &mut Spoiled| {
        let bytes = acked::bytes(Shape::Line, &acked::text(PLAIN, 1, 1_000, 0));
        file.bytes.extend(bytes.into_iter().chain([b'\n']));
    };
    assert_eq!(run.planted(PLAIN, Opened, foreign), Some(NeverAppended));
    assert_eq!(run.planted(PLAIN, Opened, |file| file.bytes.extend(b"1/1/0:?\n")), Some(Foreign));
    assert_eq!(run.planted(PLAIN, Opened, |file| file.accounts[1].entries[2] = Entry::Gone), Some(NeverAppended));
    // A buffered record is missing before one that is there; the last of all may be missing.
    let forget_and_remove = |record: usize| {
        move |file: &mut Spoiled| {
            file.forget();
            let record = if record == usize::MAX { file.records.len() - 1 } else { record };
            file.remove(record);
        }
    };
    assert_eq!(run.planted(LOOSE, Opened, forget_and_remove(0)), Some(Gap));
    assert_eq!(run.planted(LOOSE, Opened, forget_and_remove(usize::MAX)), None);
}

/// On a disk that keeps the newest write of each file to itself, and has it forgotten by a kill.
#[test]
fn a_disk_that_says_written_before_it_writes_is_found_out() {
    let mut random = Random(seed());
    let found = (0..10).any(|_| {
        let mut field = Field::new(Place::Memory, ALL);
        let mut running = start(field.path(), &Plan { is_late: true, ..field.plan(0, 0, 0) });
        let late = RefCell::new(&mut running);
        assert!(comes_true(|| has_begun(field.path()) || late.borrow_mut().has_ended()), "a host that appends");
        std::thread::sleep(random.time(LIFE_MAX));
        running.child.kill().expect("a child can be killed");
        assert!(running.was_killed());
        field.ledger.read_acks(field.dir.path(), 0, true).expect("what it acknowledged");
        (0..FILE_COUNT).any(|file| matches!(field.check(file, Moment::Killed), Err((_, Fault::Lost))))
    });
    assert!(found, "ten hosts were killed, and nothing was lost");
}

#[test]
fn an_acknowledgement_that_does_not_fit_is_found() {
    let field = Field::new(Place::Memory, 1);
    let acks = acks_dir(field.path());
    std::fs::create_dir_all(&acks).expect("a directory");
    let read = |ledger: &Ledger, acks_of_it: &str, killed| {
        std::fs::write(acks.join("0"), acks_of_it).expect("acknowledgements");
        ledger.clone().read_acks(field.path(), 4, killed)
    };
    let said = |repeated: [bool; 4]| {
        let steps = acked::steps(0, [0; FILE_COUNT]).zip(repeated);
        steps.map(|(step, repeated): (Step, bool)| step.acknowledged(repeated)).collect::<String>()
    };
    let fresh = Ledger::new(1);
    let sum = read(&fresh, &said([false; 4]), false).expect("as it must be");
    assert_eq!((sum.appends, sum.repeated, sum.open), (4, 0, 0));
    // The last line was cut off: the append is not acknowledged, and may be there.
    let text = said([false; 4]);
    let sum = read(&fresh, &text[..text.len() - 1], true).expect("as a kill leaves it");
    assert_eq!((sum.appends, sum.open), (3, 1));
    // A host that ends well has done everything.
    read(&fresh, &text[..text.len() - 1], false).expect_err("a step is missing");
    // Another order.
    read(&fresh, text.split_once('\n').expect("several lines").1, true).expect_err("a step was skipped");
    // The fourth step is the first with an id: it was not there, and is said to have been; and the other way round.
    read(&fresh, &said([false, false, false, true]), false).expect_err("it was not there");
    let mut later = Ledger::new(1);
    later.accounts[0][ONCE].entries.push(Entry::There);
    read(&later, &text, false).expect_err("it was there");
    assert_eq!(read(&later, &said([false, false, false, true]), false).expect("a repetition").repeated, 1);
}
