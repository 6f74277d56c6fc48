//! A script of appends, deaths and power cuts against one file, and a model of what has to be in it: what is read is what
//! was appended, for any payload, and nothing that had to stay is missing.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use arbitrary::Arbitrary;
use lockkeeper_journal::{
    AppendError, AppendFile, AppendOptions, Appended, Encoded, FileSpec, Format, FormatKind, InvalidRecord, RecordId,
    inspect,
};

use crate::files::{Rec, beside, path, read_all, spec};
use crate::made::{self, Frame};
use crate::memory::Memory;

/// Longer scripts find nothing that shorter ones do not.
const STEPS_MAX: usize = 24;

/// What to do with one file.
#[derive(Debug, Arbitrary)]
pub struct Script {
    shape: Shape,
    ids: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Shape {
    Lines,
    Csv,
    CsvWithHeader,
    Jsonl,
    Framed,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Append {
        payload: Payload,
        fence: Option<u8>,
        id: Option<u8>,
        buffered: bool,
    },
    Row {
        fields: Vec<String>,
        id: Option<u8>,
    },
    Batch {
        payloads: Vec<Payload>,
        id: Option<u8>,
    },
    NoteDone {
        id: u8,
    },
    Flush,
    Sync,
    ReserveFences(u8),
    Close,
    Kill,
    /// The host dies, and the last bytes are gone.
    Torn {
        back: u16,
    },
    /// The host dies after a part of a next append, which nobody was told of.
    Half {
        payloads: Vec<Payload>,
        id: Option<u8>,
        bytes: u16,
    },
    /// The system dies: what was not synced is cut, and zero from somewhere on.
    PowerCut {
        back: u16,
        zeros: u16,
    },
    /// One byte turns into another; in a framed file, as nothing else has checksums.
    Flip {
        at: u16,
        with: u8,
    },
    Repair,
}

#[derive(Debug, Arbitrary)]
enum Payload {
    Raw(Vec<u8>),
    Text(String),
    Json(Json),
    /// A good frame, which may be the very next one.
    Frame {
        payload: Vec<u8>,
        ahead: u8,
        batch_rest: u8,
    },
    /// A piece of the file.
    Echo {
        from: u16,
        len: u16,
    },
    Fields(Vec<String>),
}

/// A checkpoint as it was before it was written last.
fn forget_last_slot(checkpoint: &mut Vec<u8>) {
    let generation = |slot: &[u8]| -> Option<u64> {
        String::from_utf8_lossy(slot).lines().find_map(|line| line.strip_prefix("generation ")?.parse().ok())
    };
    checkpoint.chunks_mut(4096).max_by_key(|slot| generation(slot)).expect("there is a slot").fill(0);
}

#[derive(Debug, Arbitrary)]
enum Json {
    Null,
    Number(i32),
    Text(String),
    List(Vec<Json>),
    Named(String, Box<Json>),
}

/// What one append has put into the file.
#[derive(Debug)]
struct Unit {
    records: Vec<Wanted>,
    end: u64,
    id: Option<u8>,
    fence: u64,
    buffered: bool,
}

/// One record that has to be read.
#[derive(Debug, Clone)]
enum Wanted {
    Bytes(Vec<u8>),
    Fields(Vec<String>),
}

struct Run {
    spec: FileSpec,
    kind: FormatKind,
    memory: Memory,
    file: Option<AppendFile>,
    units: Vec<Unit>,
    ids_used: BTreeSet<u8>,
    /// Those that are done without records.
    done: BTreeSet<u8>,
    floor: u64,
}

impl Json {
    fn text(&self, depth: usize) -> String {
        match self {
            _ if depth > 8 => "0".to_owned(),
            Json::Null => "null".to_owned(),
            Json::Number(number) => number.to_string(),
            Json::Text(text) => quoted(text),
            Json::List(values) => {
                let values: Vec<String> = values.iter().map(|value| value.text(depth + 1)).collect();
                format!("[{}]", values.join(" , "))
            }
            Json::Named(name, value) => format!("{{{}:{}}}", quoted(name), value.text(depth + 1)),
        }
    }
}

fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

fn id_of(id: u8) -> RecordId {
    RecordId::of(&[id])
}

impl Script {
    /// Plays it.
    pub fn run(self) {
        let format = match self.shape {
            Shape::Lines => Format::Lines,
            Shape::Csv => Format::Csv { header: Vec::new() },
            Shape::CsvWithHeader => Format::Csv { header: vec!["a".to_owned(), "b \"c\"".to_owned()] },
            Shape::Jsonl => Format::Jsonl,
            Shape::Framed => Format::Framed,
        };
        let kind = format.kind();
        let mut spec = spec(format);
        spec.ids = self.ids;
        // Only when it is asked for, so that a run does not depend on a clock.
        spec.buffered_for = Duration::from_secs(3600);
        let (file, units, ids_used) = (None, Vec::new(), BTreeSet::new());
        let mut run = Run { spec, kind, memory: Memory::new(), file, units, ids_used, done: BTreeSet::new(), floor: 0 };
        run.open();
        for step in self.steps.into_iter().take(STEPS_MAX) {
            if !run.step(step) {
                return;
            }
        }
        run.close();
        run.look_at_the_end();
    }
}

impl Run {
    fn file(&self) -> &AppendFile {
        self.file.as_ref().expect("a file is open between two steps")
    }

    fn bytes(&self) -> Vec<u8> {
        self.memory.read(&path()).expect("the file is there")
    }

    fn payload(&self, payload: &Payload) -> Vec<u8> {
        match payload {
            Payload::Raw(bytes) => bytes.clone(),
            Payload::Text(text) => text.as_bytes().to_vec(),
            Payload::Json(json) => json.text(0).into_bytes(),
            Payload::Frame { payload, ahead, batch_rest } => {
                let records: usize = self.units.iter().map(|unit| unit.records.len()).sum();
                let sequence = records as u64 + 1 + u64::from(*ahead);
                let frame = Frame { batch_rest: u32::from(*batch_rest), sequence, ..Frame::default() };
                made::frame(frame, payload)
            }
            Payload::Echo { from, len } => {
                let bytes = self.bytes();
                let from = usize::from(*from).min(bytes.len());
                let to = (from + usize::from(*len)).min(bytes.len());
                bytes[from..to].to_vec()
            }
            Payload::Fields(fields) => fields.join(",").into_bytes(),
        }
    }

    /// False: the run is over.
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Append { payload, fence, id, buffered } => {
                let payload = self.payload(&payload);
                let encoded = self.file().encode(&payload);
                self.commit(encoded, vec![Wanted::Bytes(payload)], fence, id, buffered);
            }
            Step::Row { fields, id } => {
                let encoded = self.file().encode_row(&fields);
                self.commit(encoded, vec![Wanted::Fields(fields)], None, id, false);
            }
            Step::Batch { payloads, id } => {
                let payloads: Vec<Vec<u8>> = payloads.iter().map(|payload| self.payload(payload)).collect();
                let encoded = self.file().encode_batch(&payloads);
                self.commit(encoded, payloads.into_iter().map(Wanted::Bytes).collect(), None, id, false);
            }
            Step::NoteDone { id } => {
                if self.spec.ids {
                    self.file().note_done(id_of(id)).expect("a sound disk takes it");
                    self.flushed();
                    if !self.knows(id) {
                        self.done.insert(id);
                    }
                }
            }
            Step::Flush => {
                self.file().flush().expect("a sound disk takes it");
                self.flushed();
            }
            Step::Sync => {
                self.file().sync().wait().expect("a sound disk syncs");
                self.flushed();
                assert_eq!(self.file().position().synced_bytes, self.bytes().len() as u64, "all of it is synced");
            }
            Step::ReserveFences(end) => {
                self.file().reserve_fences(u64::from(end)).expect("a sound disk takes it");
                self.floor = self.floor.max(u64::from(end));
            }
            Step::Close => {
                self.close();
                self.open();
            }
            Step::Kill => self.die(0, |_, _| {}),
            Step::Torn { back } => {
                self.die(0, |bytes, _| bytes.truncate(bytes.len().saturating_sub(usize::from(back))));
            }
            Step::Half { payloads, id, bytes } => self.half(&payloads, id, usize::from(bytes)),
            Step::PowerCut { back, zeros } => self.die(1, |bytes, synced| {
                let len = bytes.len().saturating_sub(usize::from(back)).max(synced);
                bytes.truncate(len);
                let zeros = len.saturating_sub(usize::from(zeros)).max(synced);
                bytes[zeros..].fill(0);
            }),
            Step::Flip { at, with } => {
                if self.kind == FormatKind::Framed && with != 0 {
                    self.close();
                    self.flip(usize::from(at), with);
                    return false;
                }
            }
            Step::Repair => {
                self.close();
                let how = inspect::RepairSpec { holder: "fuzz".to_owned(), ..inspect::RepairSpec::default() };
                let report = inspect::repair(&self.memory.disk(), &path(), &how, |_, _| {});
                let report = report.expect("a file that was closed has nothing that needs a cut");
                assert_eq!(report.torn, None, "a file that was closed is whole");
                self.open();
            }
        }
        true
    }

    fn commit(
        &mut self,
        encoded: Result<Encoded, InvalidRecord>,
        records: Vec<Wanted>,
        fence: Option<u8>,
        id: Option<u8>,
        buffered: bool,
    ) {
        // Which records are refused is for other tests; here those that were taken are read.
        let Ok(encoded) = encoded else { return };
        let id = id.filter(|_| self.spec.ids);
        let fence = fence.map(u64::from);
        let options = AppendOptions { buffered, id: id.map(id_of), writer: 9 };
        let result: Result<Appended, AppendError<Infallible>> =
            self.file().commit_with(&encoded, &options, || Ok(fence));
        let known = id.is_some_and(|id| self.knows(id));
        let before = self.units.last().map_or(0, |unit| unit.end);
        match result {
            Ok(appended) => {
                self.floor = self.floor.max(fence.unwrap_or(0));
                assert_eq!(appended.repeated, known, "an id is taken once");
                if known {
                    return;
                }
                assert_eq!(appended.offset, before, "appends follow each other");
                let end = appended.end();
                if !appended.buffered {
                    assert_eq!(self.bytes().len() as u64, end, "what is written is in the file");
                    self.flushed();
                }
                self.ids_used.extend(id);
                let (fence, buffered) = (fence.unwrap_or(0), appended.buffered);
                self.units.push(Unit { records, end, id, fence, buffered });
            }
            Err(AppendError::Fenced { offered, current }) => {
                assert!(fence == Some(offered) && offered < current && current <= self.floor, "only lower ones");
            }
            Err(AppendError::Invalid(InvalidRecord::Columns { .. })) => {}
            Err(error) => panic!("a sound disk refuses a record: {error}"),
        }
    }

    fn flushed(&mut self) {
        for unit in &mut self.units {
            unit.buffered = false;
        }
    }

    fn close(&mut self) {
        drop(self.file.take());
        self.flushed();
    }

    /// The host dies; `damage` is told the bytes of the file and how many of them are synced.
    fn die(&mut self, boots: u64, damage: impl FnOnce(&mut Vec<u8>, usize)) {
        let synced = usize::try_from(self.file().position().synced_bytes).expect("it is in memory");
        let left = self.memory.snapshot(boots);
        drop(self.file.take());
        self.memory = left;
        self.memory.change(&path(), |bytes| damage(bytes, synced));
        let there = self.bytes();
        let kept = match boots {
            0 => there.len(),
            _ => synced,
        };
        self.open_after(kept as u64);
    }

    /// The host dies in the middle of an append.
    fn half(&mut self, payloads: &[Payload], id: Option<u8>, bytes: usize) {
        let payloads: Vec<Vec<u8>> = payloads.iter().map(|payload| self.payload(payload)).collect();
        let encoded = match payloads.as_slice() {
            [payload] => self.file().encode(payload),
            payloads => self.file().encode_batch(payloads),
        };
        let Ok(encoded) = encoded else { return };
        self.file().flush().expect("a sound disk takes it");
        self.flushed();
        let id = id.filter(|id| self.spec.ids && !self.ids_used.contains(id) && !self.done.contains(id));
        self.ids_used.extend(id);
        let before = self.bytes().len();
        let options = AppendOptions { id: id.map(id_of), ..AppendOptions::default() };
        let result: Result<Appended, AppendError<Infallible>> =
            self.file().commit_with(&encoded, &options, || Ok(None));
        // Never all of it: it would be there then, though nobody was told.
        let written = if result.is_ok() { bytes.min(encoded.len() - 1) } else { 0 };
        let left = self.memory.snapshot(0);
        drop(self.file.take());
        self.memory = left;
        self.memory.change(&path(), |bytes| bytes.truncate(before + written));
        if result.is_ok() && encoded.records() > 1 && self.kind != FormatKind::Framed {
            // What was said after the batch was written has not been said.
            self.memory.change(&beside(".checkpoint"), forget_last_slot);
        }
        self.open_after(before as u64);
    }

    fn open(&mut self) {
        let end = self.units.last().map_or(0, |unit| unit.end);
        self.open_after(end);
    }

    /// Opens the file, of which everything up to `kept` must still be there, and finds out what is left of the rest.
    fn open_after(&mut self, kept: u64) {
        let opened = AppendFile::open_on(&self.memory.disk(), &self.spec);
        let (file, report) = opened.unwrap_or_else(|error| panic!("a death leaves a file that opens: {error}"));
        assert!(report.floor >= self.floor, "the floor never goes back");
        let bytes = self.bytes();
        let contents = read_all(self.kind, &bytes, None, usize::MAX);
        assert_eq!(contents.tail, None, "the file ends on a whole record");
        if report.header_written {
            assert!(self.units.is_empty() || kept < self.units[0].end, "a header is written once");
            self.units.clear();
            let Format::Csv { header } = &self.spec.format else { panic!("only csv files have headers") };
            let records = vec![Wanted::Fields(header.clone())];
            let end = bytes.len() as u64;
            self.units.push(Unit { records, end, id: None, fence: 0, buffered: false });
        } else {
            assert_eq!(report.bytes_before, bytes.len() as u64, "the report says what is there");
        }
        let mut left = contents.records.len();
        let mut units = Vec::new();
        for mut unit in self.units.drain(..) {
            if left < unit.records.len() {
                assert!(unit.end > kept, "what was acknowledged, and not torn, is lost");
                assert!(left == 0 || self.kind != FormatKind::Framed, "a batch of frames is all or nothing");
                unit.records.truncate(left);
                unit.id = None;
                left = 0;
                if let Some(last) = unit.records.len().checked_sub(1) {
                    let before: usize = units.iter().map(|unit: &Unit| unit.records.len()).sum();
                    let last = &contents.records[before + last];
                    unit.end = last.offset + last.len;
                    units.push(unit);
                }
                continue;
            }
            left -= unit.records.len();
            unit.buffered = false;
            units.push(unit);
        }
        assert_eq!(left, 0, "there are records that nobody has appended");
        self.units = units;
        assert_eq!(
            self.units.last().map_or(0, |unit| unit.end),
            bytes.len() as u64,
            "records are as long as they were"
        );
        self.compare(&contents.records);
        for &id in self.ids_used.union(&self.done) {
            assert_eq!(file.has(id_of(id)), self.knows(id), "an id stands for records that are in the file");
        }
        self.file = Some(file);
    }

    fn knows(&self, id: u8) -> bool {
        self.done.contains(&id) || self.units.iter().any(|unit| unit.id == Some(id))
    }

    fn compare(&self, records: &[Rec]) {
        let wanted = self.units.iter().flat_map(|unit| unit.records.iter().map(move |record| (unit, record)));
        let mut sequence = 0;
        let mut found = records.iter();
        for (unit, wanted) in wanted {
            sequence += 1;
            let Some(found) = found.next() else { break };
            match wanted {
                Wanted::Bytes(bytes) => assert_eq!(&found.bytes, bytes, "a record is what was appended"),
                Wanted::Fields(fields) => {
                    assert!(found.fields.iter().eq(fields.iter().map(String::as_bytes)), "{fields:?} was appended");
                }
            }
            if let Some(frame) = found.frame {
                let is = (frame.sequence, frame.fence, frame.writer);
                assert_eq!(is, (sequence, unit.fence, 9), "a frame says under what it was written");
            }
        }
        assert!(found.next().is_none(), "there are records that nobody has appended");
    }

    /// A reader of a file with one wrong byte answers the batches before it, and nothing else.
    fn flip(&self, at: usize, with: u8) {
        let mut bytes = self.bytes();
        if bytes.is_empty() {
            return;
        }
        let at = at % bytes.len();
        bytes[at] ^= with;
        let contents = read_all(self.kind, &bytes, None, 64);
        let before = self.units.iter().filter(|unit| unit.end <= at as u64);
        let records: usize = before.map(|unit| unit.records.len()).sum();
        assert_eq!(contents.records.len(), records, "all before the damage is read, and nothing behind it");
        self.compare(&contents.records);
    }

    fn look_at_the_end(&self) {
        let bytes = self.bytes();
        let contents = read_all(self.kind, &bytes, Some(0), 7);
        assert_eq!(contents.tail, None, "a file that was closed ends on a whole record");
        let wanted: usize = self.units.iter().map(|unit| unit.records.len()).sum();
        assert_eq!(contents.records.len(), wanted, "nothing is missing");
        self.compare(&contents.records);
        let report = inspect::check(&self.memory.disk(), &path(), None, |_, _| {}).expect("it can be looked at");
        assert_eq!(report.format, self.kind, "the format is known");
        assert_eq!(report.verdict(), inspect::Verdict::Whole, "{report:?}");
        assert_eq!(report.records, wanted as u64, "the check counts them too");
        assert!(
            self.memory.read(&beside(".checkpoint")).is_some_and(|bytes| bytes.len() <= 24 * 1024),
            "a sidecar is small"
        );
        if self.kind == FormatKind::Csv {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
            let rows: Vec<_> = reader.byte_records().map(|row| row.expect("rows have the same columns")).collect();
            assert_eq!(rows.len(), wanted, "the csv crate reads as many rows");
        }
    }
}
