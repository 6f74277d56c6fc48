//! Scripts: what hosts do with a file, what they were told, and what must therefore be in the file.
//!
//! Every record has a number of its own from which all its bytes follow, so a file is read back without the crate: what is
//! in it must be, in order and once each, every record that was acknowledged, none that was refused, and of those that were
//! on their way when their host died all or none of an append.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockkeeper_journal::inspect::{self, RepairSpec};
use lockkeeper_journal::storage::Disk;
use lockkeeper_journal::{
    AppendError, AppendFile, AppendOptions, Encoded, FileSpec, Format, FormatKind, OpenError, OpenReport, RecordId,
};

use crate::double::{Host, Kind, Machine, Random, is_death};

pub(crate) const OUT: &str = "/data/out";
pub(crate) const TORN: &str = "/data/out.torn";
const HEADER: &[u8] = b"n,text\n";

/// What kind of file a script is played on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flavour {
    pub(crate) format: FormatKind,
    pub(crate) ids: bool,
}

pub(crate) const FLAVOURS: [Flavour; 8] = [
    Flavour { format: FormatKind::Lines, ids: false },
    Flavour { format: FormatKind::Csv, ids: false },
    Flavour { format: FormatKind::Jsonl, ids: false },
    Flavour { format: FormatKind::Framed, ids: false },
    Flavour { format: FormatKind::Lines, ids: true },
    Flavour { format: FormatKind::Csv, ids: true },
    Flavour { format: FormatKind::Jsonl, ids: true },
    Flavour { format: FormatKind::Framed, ids: true },
];

impl Flavour {
    pub(crate) fn spec(self) -> FileSpec {
        let format = match self.format {
            FormatKind::Lines => Format::Lines,
            FormatKind::Csv => Format::Csv { header: vec!["n".to_owned(), "text".to_owned()] },
            FormatKind::Jsonl => Format::Jsonl,
            FormatKind::Framed => Format::Framed,
        };
        let mut spec = FileSpec::new(OUT, format, "a test");
        spec.ids = self.ids;
        // Only the script says when.
        spec.buffered_for = Duration::from_secs(3600);
        spec.set_aside_bytes = 8192;
        // Not a matter of time: at every append, or hardly ever.
        spec.look_every = if self.format == FormatKind::Jsonl { Duration::from_secs(3600) } else { Duration::ZERO };
        spec
    }

    pub(crate) fn header(self) -> &'static [u8] {
        match self.format {
            FormatKind::Csv => HEADER,
            FormatKind::Lines | FormatKind::Jsonl | FormatKind::Framed => b"",
        }
    }

    /// The record of that number: short ones, ones across sectors, and those with what ends records elsewhere.
    pub(crate) fn record(self, n: u64) -> Vec<u8> {
        let filler = "abcdefg ".repeat([0, 1, 3, 9, 80, 2, 150][(n % 7) as usize]);
        match self.format {
            FormatKind::Lines => format!("{n:06}:{filler}").into_bytes(),
            FormatKind::Csv => format!("{n:06},\"{filler}\n\"\"{n},\n\"").into_bytes(),
            FormatKind::Jsonl => format!("{{\"n\":\"{n:06}\",\"t\":\"{filler}\\n\"}}").into_bytes(),
            FormatKind::Framed => format!("{n:06}LKF1\n\0\0{filler}").into_bytes(),
        }
    }

    /// The numbers of the records in a file. An error unless it is the header and whole records, and nothing else.
    pub(crate) fn parse(self, content: &[u8]) -> Result<Vec<u64>, String> {
        if content.is_empty() {
            return Ok(Vec::new());
        }
        let mut rest = content.strip_prefix(self.header()).ok_or("no header")?;
        let mut numbers = Vec::new();
        let mut batch_rest = 0;
        while !rest.is_empty() {
            let at = content.len() - rest.len();
            let broken = |what: &str| {
                format!("{what} at byte {at}: {:?}", rest[..rest.len().min(60)].escape_ascii().to_string())
            };
            let body = match self.format {
                FormatKind::Framed => {
                    let header = rest.get(..48).ok_or_else(|| broken("half a frame header"))?;
                    let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
                    let sequence = u64::from_le_bytes(header[24..32].try_into().expect("eight bytes"));
                    let payload = rest.get(48..48 + u32_at(8) as usize).ok_or_else(|| broken("half a payload"))?;
                    let sound = &header[..4] == b"LKF1"
                        && u32_at(4) == crc32c::crc32c(&header[8..])
                        && u32_at(12) == crc32c::crc32c(payload);
                    if !sound || sequence != numbers.len() as u64 + 1 {
                        return Err(broken("a bad frame"));
                    }
                    if batch_rest > 0 && u32_at(16) != batch_rest - 1 {
                        return Err(broken("a batch that is not counted down"));
                    }
                    batch_rest = u32_at(16);
                    &rest[48..]
                }
                FormatKind::Lines | FormatKind::Csv => rest,
                FormatKind::Jsonl => rest.get(6..).ok_or_else(|| broken("half a record"))?,
            };
            let digits = body.get(..6).and_then(|digits| str::from_utf8(digits).ok());
            let n = digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| broken("no record"))?;
            let len = self.encoded_len(&[n]);
            if rest.len() < len {
                return Err(broken("half a record"));
            }
            let record = self.record(n);
            let there = match self.format {
                FormatKind::Framed => rest[48..len] == record,
                FormatKind::Lines | FormatKind::Csv | FormatKind::Jsonl => {
                    rest[..len - 1] == record && rest[len - 1] == b'\n'
                }
            };
            if !there {
                return Err(broken("another record"));
            }
            numbers.push(n);
            rest = &rest[len..];
        }
        match batch_rest {
            0 => Ok(numbers),
            _ => Err("half a batch at the end".to_owned()),
        }
    }

    fn encoded_len(self, numbers: &[u64]) -> usize {
        let around = if self.format == FormatKind::Framed { 48 } else { 1 };
        numbers.iter().map(|n| self.record(*n).len() + around).sum()
    }
}

/// What a caller was told about an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing, or that it is not known: all of it may be there, or none.
    Nothing,
    /// Buffered: it may be there, each record for itself.
    Buffered,
    Written,
    Synced,
    /// Refused: nothing of it is there.
    Refused,
    /// It was written and is lost, which somebody was told: what follows is lost, too.
    Forsaken,
}

/// One append.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) id: Option<RecordId>,
    pub(crate) said: Said,
}

impl Entry {
    fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        self.first..self.first + self.count
    }
}

/// All that callers were told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) entries: Vec<Entry>,
    /// No fence below it may write after a restart.
    pub(crate) reserved: u64,
    /// The highest fence under which a record was acknowledged.
    pub(crate) fence: u64,
    /// Ids that were noted without records.
    pub(crate) done: Vec<RecordId>,
    next: u64,
}

/// What may have happened since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing, or the death of hosts.
    Death,
    /// A power cut: what was not synced may be gone, from some record on.
    PowerCut,
}

impl Told {
    /// Whether a file may hold this. Answers the numbers of the records that it holds.
    pub(crate) fn verify(&self, flavour: Flavour, content: &[u8], after: After) -> Result<Vec<u64>, String> {
        let numbers = flavour.parse(content)?;
        let mut there = numbers.iter().copied().peekable();
        let mut ended = None;
        for entry in &self.entries {
            let Entry { first, count, said, .. } = *entry;
            let found = entry.numbers().take_while(|n| there.next_if_eq(n).is_some()).count() as u64;
            if found > 0
                && let Some(missing) = ended
            {
                return Err(format!("record {first} is there and {missing} before it is not"));
            }
            if found > 0 && said == Said::Refused {
                return Err(format!("record {first} was refused and is there"));
            }
            let whole = found == count;
            let may_be_cut = match said {
                Said::Buffered => true,
                // Documented: a batch in a text format may lose its end to a power cut, unless it was synced.
                Said::Nothing | Said::Written | Said::Forsaken => {
                    after == After::PowerCut && flavour.format != FormatKind::Framed
                }
                Said::Synced | Said::Refused => false,
            };
            if found > 0 && !whole && !may_be_cut {
                return Err(format!("{found} of the {count} records of the append of {first} are there"));
            }
            let may_be_missing = match said {
                Said::Written => after == After::PowerCut,
                Said::Synced => false,
                Said::Nothing | Said::Buffered | Said::Refused | Said::Forsaken => true,
            };
            if !whole && !may_be_missing {
                return Err(format!("record {first} was acknowledged ({said:?}) and is not there"));
            }
            let ends_here = match said {
                Said::Written | Said::Synced | Said::Buffered | Said::Forsaken => true,
                Said::Nothing | Said::Refused => found > 0,
            };
            if !whole && ends_here {
                ended.get_or_insert(first + found);
            }
        }
        match there.next() {
            Some(n) => Err(format!("record {n} is there twice, or out of order, or was never appended")),
            None => Ok(numbers),
        }
    }

    /// What a host that has opened the file knows now, and those after it rely on.
    fn settle(&mut self, numbers: &[u64]) {
        let there: BTreeSet<_> = numbers.iter().copied().collect();
        let mut entries = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            let found = entry.numbers().filter(|n| there.contains(n)).count() as u64;
            if entry.said == Said::Synced || entry.said == Said::Refused {
                entries.push(entry);
                continue;
            }
            let Entry { first, count, id, .. } = entry;
            if found > 0 {
                entries.push(Entry { first, count: found, id, said: Said::Written });
            }
            if found < count {
                entries.push(Entry { first: first + found, count: count - found, id: None, said: Said::Refused });
            }
            if found == 0
                && let Some(last) = entries.last_mut()
            {
                last.id = id;
            }
        }
        self.entries = entries;
    }

    /// What failed last may come back with a power cut, until something else is written in its place.
    pub(crate) fn doubt_the_last_refusals(&mut self) {
        let held = |entry: &Entry| matches!(entry.said, Said::Written | Said::Synced | Said::Forsaken);
        let last = self.entries.iter().rposition(held).map_or(0, |last| last + 1);
        for entry in self.entries[last..].iter_mut().filter(|entry| entry.said == Said::Refused) {
            entry.said = Said::Nothing;
        }
    }

    fn upgrade(&mut self, from: &[Said], to: Said) {
        self.entries.iter_mut().filter(|entry| from.contains(&entry.said)).for_each(|entry| entry.said = to);
    }

    /// Whether the file knows exactly the ids whose records it holds.
    pub(crate) fn verify_ids(
        &self,
        numbers: &[u64],
        after: After,
        has: impl Fn(RecordId) -> bool,
    ) -> Result<(), String> {
        let there: BTreeSet<_> = numbers.iter().copied().collect();
        for entry in &self.entries {
            let Some(id) = entry.id else { continue };
            let same = self.entries.iter().filter(|other| other.id == Some(id));
            let is_there = same.flat_map(Entry::numbers).any(|n| there.contains(&n));
            if has(id) != is_there {
                let (known, data) = if is_there { ("not known", "there") } else { ("known", "not there") };
                return Err(format!("the id of record {} is {known}, and its record is {data}", entry.first));
            }
        }
        match self.done.iter().find(|id| after == After::Death && !has(**id)) {
            Some(id) => Err(format!("the id {id}, which was noted as done, is not known")),
            None => Ok(()),
        }
    }
}

/// One thing that a script does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Append,
    AppendWithId,
    Buffered,
    Batch(u64),
    BatchWithId(u64),
    /// Under the lowest fence that may write, or that much above it.
    Fenced(u64),
    Synced,
    /// A record whose id is known, if there is one.
    Repeat,
    NoteDone,
    Sync,
    Flush,
    Reserve,
    Reopen,
    Die,
}

/// A little of everything.
pub(crate) const TOUR: [Step; 26] = [
    Step::Append,
    Step::Batch(3),
    Step::Buffered,
    Step::Buffered,
    Step::AppendWithId,
    Step::Buffered,
    Step::Reserve,
    Step::Fenced(0),
    Step::Reopen,
    Step::Buffered,
    Step::Flush,
    Step::Synced,
    Step::AppendWithId,
    Step::Batch(2),
    Step::BatchWithId(3),
    Step::Sync,
    Step::Repeat,
    Step::NoteDone,
    Step::Buffered,
    Step::Sync,
    Step::Append,
    Step::Fenced(2),
    Step::Reopen,
    Step::Append,
    Step::Synced,
    Step::AppendWithId,
];

/// A script that follows from its seed.
pub(crate) fn script(seed: u64, steps: usize) -> Vec<Step> {
    let mut random = Random::new(seed);
    let step = |_| match random.below(27) {
        0..=4 => Step::Append,
        5..=8 => Step::AppendWithId,
        9..=11 => Step::Buffered,
        12..=13 => Step::Batch(2 + random.below(3) as u64),
        14 => Step::BatchWithId(2 + random.below(3) as u64),
        15..=16 => Step::Fenced(random.below(2) as u64),
        17..=18 => Step::Synced,
        19 => Step::Repeat,
        20 => Step::NoteDone,
        21..=22 => Step::Sync,
        23 => Step::Flush,
        24 => Step::Reserve,
        25 => Step::Reopen,
        _ => Step::Die,
    };
    (0..steps).map(step).collect()
}

/// A script being played.
pub(crate) struct Run {
    pub(crate) machine: Machine,
    pub(crate) flavour: Flavour,
    pub(crate) host: Host,
    pub(crate) file: Option<AppendFile>,
    pub(crate) told: Arc<Mutex<Told>>,
    /// What went wrong, in words.
    pub(crate) errors: Vec<String>,
    /// How often something went wrong and the file said that it goes on.
    pub(crate) passing: usize,
    /// Whether the disk tells lies, so that what is acknowledged proves nothing.
    pub(crate) disk_lies: bool,
}

impl Run {
    pub(crate) fn on(machine: &Machine, flavour: Flavour) -> Run {
        let (machine, host) = (machine.clone(), machine.host());
        Run {
            machine,
            flavour,
            host,
            file: None,
            told: Arc::default(),
            errors: Vec::new(),
            passing: 0,
            disk_lies: false,
        }
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&mut self, error: &(dyn Error + 'static)) {
        if is_death(error) || !self.host.lives() {
            self.file = None;
        } else {
            self.errors.push(error.to_string());
            self.passing += usize::from(self.file.as_ref().is_none_or(|file| file.latched().is_none()));
        }
    }

    /// Plays a script as far as its host lives.
    pub(crate) fn play(&mut self, steps: &[Step]) {
        for step in steps {
            if self.file.is_none() && self.host.lives() {
                self.open();
            }
            if !self.host.lives() {
                self.file = None;
                return;
            }
            if self.file.is_some() {
                self.step(*step);
            }
        }
    }

    pub(crate) fn open(&mut self) {
        let mut told = self.told().clone();
        let opened = open(&self.machine, &self.host, self.flavour, &mut told, After::Death, self.disk_lies);
        *self.told() = told;
        match opened {
            Ok((file, _)) => self.file = Some(file),
            Err(error) => self.fail(&error),
        }
    }

    fn file(&self) -> &AppendFile {
        self.file.as_ref().expect("a step is taken with an open file")
    }

    fn step(&mut self, step: Step) {
        let ids = self.flavour.ids;
        match step {
            Step::Append => {
                self.append(1, None, false, None);
            }
            Step::Buffered => {
                self.append(1, None, true, None);
            }
            Step::Batch(count) => {
                self.append(count, None, false, None);
            }
            Step::AppendWithId | Step::BatchWithId(_) => {
                let count = if let Step::BatchWithId(count) = step { count } else { 1 };
                let id = RecordId::of(&self.told().next.to_le_bytes());
                self.append(count, ids.then_some(id), false, None);
            }
            Step::Fenced(above) => {
                let fence = self.file().floor() + above;
                if fence > 0 && self.append(1, None, false, Some(fence)).is_some() {
                    let mut told = self.told();
                    told.fence = told.fence.max(fence);
                }
            }
            Step::Synced => {
                if let Some(end) = self.append(1, None, false, None) {
                    self.sync(Some(end));
                }
            }
            Step::Repeat => {
                let known = self.told().entries.iter().rev().find_map(|entry| entry.id);
                if known.is_some() {
                    self.append(1, known, false, None);
                }
            }
            Step::NoteDone => {
                if !ids {
                    return;
                }
                let id = RecordId::of(format!("done {}", self.told().next).as_bytes());
                match self.file().note_done(id) {
                    Ok(()) => {
                        let mut told = self.told();
                        told.done.push(id);
                        told.upgrade(&[Said::Buffered], Said::Written);
                    }
                    Err(error) => self.fail(&error),
                }
            }
            Step::Sync => self.sync(None),
            Step::Flush => match self.file().flush() {
                Ok(()) => self.told().upgrade(&[Said::Buffered], Said::Written),
                Err(error) => self.fail(&error),
            },
            Step::Reserve => {
                let end = self.file().floor() + 10;
                match self.file().reserve_fences(end) {
                    Ok(()) => self.told().reserved = end,
                    Err(error) => self.fail(&error),
                }
            }
            Step::Reopen => {
                self.file = None;
                self.open();
            }
            Step::Die => {
                let host = self.host.clone();
                self.machine.kill(&host);
                self.file = None;
                self.host = self.machine.host();
                self.open();
            }
        }
    }

    fn encode(&self, first: u64, count: u64) -> Encoded {
        let records: Vec<_> = (first..first + count).map(|n| self.flavour.record(n)).collect();
        let encoded = match &*records {
            [record] => self.file().encode(record),
            records => self.file().encode_batch(records),
        };
        encoded.expect("the records of a script are records")
    }

    /// Answers where it ends, if it was acknowledged as being in the file.
    fn append(&mut self, count: u64, id: Option<RecordId>, buffered: bool, fence: Option<u64>) -> Option<u64> {
        let first = {
            let mut told = self.told();
            let first = told.next;
            told.next += count;
            told.entries.push(Entry { first, count, id, said: Said::Nothing });
            first
        };
        let encoded = self.encode(first, count);
        let was_latched = self.file().latched().is_some();
        let options = AppendOptions { buffered, id, writer: 7 };
        let known = id.is_some_and(|id| self.file().has(id));
        let done = self.file().commit_with(&encoded, &options, || Ok::<_, Infallible>(fence));
        let mut end = None;
        let said = match &done {
            Ok(appended) if appended.repeated => {
                assert!(known, "an id is answered as known that was not");
                Said::Refused
            }
            Ok(appended) => {
                assert!(!known, "a known id is appended again");
                assert_eq!(appended.records, count);
                end = (!appended.buffered).then_some(appended.end());
                if appended.buffered { Said::Buffered } else { Said::Written }
            }
            // Nobody knows, which is what the error says.
            Err(AppendError::Latched { .. }) if !was_latched => Said::Nothing,
            Err(_) if !self.host.lives() => Said::Nothing,
            Err(_) => Said::Refused,
        };
        {
            let mut told = self.told();
            told.entries.last_mut().expect("it was pushed").said = said;
            if said == Said::Written {
                told.upgrade(&[Said::Buffered], Said::Written);
            }
        }
        if let Err(error) = done {
            self.fail(&error);
        } else if !self.disk_lies
            && let Some(end) = end
        {
            assert_eq!(self.machine.read(OUT).map(|content| content.len() as u64), Some(end), "it ends elsewhere");
        }
        end
    }

    fn sync(&mut self, end: Option<u64>) {
        let before = self.told().entries.len();
        match self.file().sync().wait() {
            Ok(upto) => {
                assert!(end.is_none_or(|end| upto >= end), "a sync covers what came before it");
                if !self.disk_lies {
                    let (cache, disk) = (self.machine.read(OUT), self.machine.read_synced(OUT));
                    let upto = usize::try_from(upto).expect("a file of a test is small");
                    let part =
                        |content: Option<Vec<u8>>| content.map(|content| content[..upto.min(content.len())].to_vec());
                    let same = part(disk) == part(cache);
                    assert!(same, "it is not on the disk");
                }
                assert_eq!(before, self.told().entries.len());
                let mut told = self.told();
                told.upgrade(&[Said::Buffered, Said::Written], Said::Synced);
                // The fence of a record is as durable as the record.
                told.reserved = told.reserved.max(told.fence);
            }
            Err(error) => self.fail(&error),
        }
    }
}

/// Opens a file as a host does that has to get on: after a failed sync it looks at the disk, and repairs. Everything that
/// can be said about what it finds is checked.
pub(crate) fn open(
    machine: &Machine,
    host: &Host,
    flavour: Flavour,
    told: &mut Told,
    after: After,
    disk_lies: bool,
) -> Result<(AppendFile, OpenReport), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(host.clone());
    let before = machine.read(OUT);
    let mut opened = open_and_check_torn(machine, &disk, flavour, disk_lies);
    if let Err(OpenError::SyncFailed { .. } | OpenError::NotOnDisk { .. }) = &opened {
        let checked = inspect::check(&disk, Path::new(OUT), None, |_, _| {})?;
        assert_eq!(machine.read(OUT), before, "a check changes nothing");
        assert!(checked.was_in_doubt, "{checked:?}");
        if checked.not_on_disk.is_some() {
            // Whoever was told `written` is now told that the disk has lost it.
            told.upgrade(&[Said::Written, Said::Buffered], Said::Forsaken);
            inspect::repair(&disk, Path::new(OUT), &RepairSpec::default(), |_, _| {})?;
        }
        opened = open_and_check_torn(machine, &disk, flavour, disk_lies);
        if let Err(error @ (OpenError::SyncFailed { .. } | OpenError::NotOnDisk { .. })) = &opened {
            panic!("the latch was lifted, and yet: {error}");
        }
    }
    let (file, report) = opened?;
    if !disk_lies {
        let content = machine.read(OUT).expect("an open file is there");
        let numbers = told.verify(flavour, &content, after).unwrap_or_else(|wrong| panic!("{wrong}\n{told:#?}"));
        if flavour.ids {
            told.verify_ids(&numbers, after, |id| file.has(id)).unwrap_or_else(|wrong| panic!("{wrong}\n{told:#?}"));
        }
        assert!(file.floor() >= told.reserved, "the floor went back to {} from {}", file.floor(), told.reserved);
        if after == After::Death {
            assert!(file.floor() >= told.fence, "the floor went back to {} from {}", file.floor(), told.fence);
        }
        assert_eq!(file.position().bytes, content.len() as u64);
        assert_eq!(report.records_before, numbers.len() as u64);
        told.settle(&numbers);
        if after == After::PowerCut {
            // Ids without records and fences that were not reserved may have gone with the power.
            told.done.retain(|id| file.has(*id));
            told.fence = told.reserved;
        }
    }
    Ok((file, report))
}

/// Opens the file on a new host, and takes what it is told.
pub(crate) fn open_at(machine: &Machine, flavour: Flavour) -> Result<(AppendFile, OpenReport), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    AppendFile::open_on(&disk, &flavour.spec())
}

/// What an open takes out of the file is in the file of torn bytes, and nowhere else is anything lost.
fn open_and_check_torn(
    machine: &Machine,
    disk: &Arc<dyn Disk>,
    flavour: Flavour,
    disk_lies: bool,
) -> Result<(AppendFile, OpenReport), OpenError> {
    let before = machine.read(OUT).unwrap_or_default();
    let torn_before = machine.read(TORN).unwrap_or_default();
    let opened = AppendFile::open_on(disk, &flavour.spec())?;
    let after = machine.read(OUT).expect("an open file is there");
    if disk_lies {
        return Ok(opened);
    }
    let left = if opened.1.header_written { 0 } else { after.len() };
    assert!(before.starts_with(&after[..left]), "only the end is cut");
    let cut = &before[left..];
    assert_eq!(opened.1.torn.as_ref().map(|torn| torn.bytes), (!cut.is_empty()).then_some(cut.len() as u64));
    let torn = machine.read(TORN).unwrap_or_default();
    if let Some(report) = &opened.1.torn {
        // The line may give the reason of an earlier repair, which died before it could cut.
        let before = torn.strip_suffix(&[cut, b"\n"].concat()[..]).expect("what was cut is in the file of torn bytes");
        let line = before.strip_suffix(b"\n").and_then(|before| before.rsplit(|byte| *byte == b'\n').next());
        let start = format!("lockkeeper-torn 1 offset {} length {} reason ", report.offset, report.bytes);
        assert!(line.is_some_and(|line| line.starts_with(start.as_bytes())), "a line says what it is");
    }
    assert!(torn.starts_with(&torn_before), "what was there before stays");
    Ok(opened)
}

/// Opens the file as it is now on a new host, which must work, and checks all of it; then uses it.
pub(crate) fn audit(machine: &Machine, flavour: Flavour, told: &Told, after: After) {
    let mut run = Run::on(machine, flavour);
    *run.told() = told.clone();
    let mut opening = told.clone();
    let opened = open(machine, &run.host, flavour, &mut opening, after, false);
    let (file, _) = opened.unwrap_or_else(|error| panic!("the file cannot be opened: {error}\n{told:#?}"));
    *run.told() = opening;
    run.file = Some(file);
    run.play(&[Step::AppendWithId, Step::Batch(2), Step::Synced, Step::Reopen, Step::Append]);
    assert_eq!(run.errors, Vec::<String>::new());
}

/// The kinds of operations that change something, or make it last.
pub(crate) const CHANGING: [Kind; 10] = [
    Kind::Create,
    Kind::Rename,
    Kind::SyncDir,
    Kind::Lock,
    Kind::Mark,
    Kind::Append,
    Kind::WriteAt,
    Kind::Truncate,
    Kind::Sync,
    Kind::MakeDirs,
];

/// How many states of the disk are to be gone through; everything else grows with it.
pub(crate) fn states_wanted() -> usize {
    std::env::var("STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(STATES)
}

const STATES: usize = 10_000;

/// Whether this run may take its time.
pub(crate) fn is_slow_set() -> bool {
    states_wanted() > STATES
}

/// A machine with a directory for the file.
pub(crate) fn machine() -> Machine {
    let machine = Machine::new();
    machine.put("/data/other", b"another file");
    machine
}

#[test]
fn a_script_without_faults_leaves_every_record_once_and_in_order() {
    for flavour in FLAVOURS {
        for seed in 0..40 {
            let machine = machine();
            let mut run = Run::on(&machine, flavour);
            match seed {
                0 => run.play(&TOUR),
                _ => run.play(&script(seed, 60)),
            }
            assert_eq!(run.errors, Vec::<String>::new());
            run.file = None;
            // The close has written what was buffered.
            let mut told = run.told().clone();
            told.upgrade(&[Said::Buffered], Said::Written);
            audit(&machine, flavour, &told, After::Death);
        }
    }
}
