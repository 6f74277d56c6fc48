//! Any bytes as a data file and as everything that lies beside it. Opening it never panics; and if it succeeds, the next
//! record is appended behind what it has kept, and is there when the file is opened again.

use arbitrary::Arbitrary;
use lockkeeper_journal::{AppendFile, Format, FormatKind, OpenReport, inspect};

use crate::files::{append_one, beside, is_kept, ours, path, plain, read_all, spec};
use crate::made::{self, Entry, Mark, Mend, Slot};
use crate::memory::{FIRST_INODE, Memory};

/// Numbers of records in a checkpoint are below this: nobody has written more, and a checksum keeps the others out.
const RECORDS_MAX: u64 = 1 << 62;

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Kind {
    Lines,
    Csv,
    Jsonl,
    Framed,
}

impl Kind {
    pub fn kind(self) -> FormatKind {
        match self {
            Kind::Lines => FormatKind::Lines,
            Kind::Csv => FormatKind::Csv,
            Kind::Jsonl => FormatKind::Jsonl,
            Kind::Framed => FormatKind::Framed,
        }
    }
}

/// A file and what lies beside it.
#[derive(Debug, Arbitrary)]
pub struct Directory {
    kind: Kind,
    header: bool,
    ids_wanted: bool,
    checkpoint: Checkpoint,
    mark: NoteMark,
    ids: Ids,
    torn: Option<Vec<u8>>,
    mends: [bool; 4],
    data: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
enum Checkpoint {
    None,
    Raw(Vec<u8>),
    /// Any text with a good checksum.
    Text(Vec<u8>),
    Slots(Box<Says>, Option<Box<Says>>),
}

#[derive(Debug, Arbitrary)]
struct Says {
    generation: u64,
    of_another: bool,
    other_boot: bool,
    kind: Option<Kind>,
    columns: u64,
    latest: Place,
    synced: Place,
    floor: u64,
    open: bool,
    syncing: bool,
    latched: bool,
    ids: bool,
    batch: Option<(u16, u16)>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
struct Place {
    at: Option<u16>,
    records: u64,
    sequence: u64,
    ids: u64,
    tail: Option<u32>,
}

#[derive(Debug, Arbitrary)]
enum NoteMark {
    None,
    Text(String),
    Ours,
    Fenced,
}

#[derive(Debug, Arbitrary)]
enum Ids {
    None,
    Raw(Vec<u8>),
    Entries { of_another: bool, entries: Vec<IdEntry>, more: Vec<u8> },
}

#[derive(Debug, Arbitrary)]
struct IdEntry {
    id: u8,
    offset: u16,
    len: u16,
    far: Option<u64>,
    records: u32,
    checksum: Option<u32>,
    damaged: bool,
}

impl Place {
    fn mark(self, data: &[u8]) -> Mark {
        let Some(at) = self.at.filter(|at| *at > 0 && !data.is_empty()) else { return Mark::START };
        // A record has at least one byte.
        let (records, sequence) = (self.records % (u64::from(at) + 1), self.sequence % RECORDS_MAX);
        let mark = Mark { at: u64::from(at), records, sequence, ids: self.ids, tail: 0 }.fitting(data);
        Mark { tail: self.tail.unwrap_or(mark.tail), ..mark }
    }
}

impl Says {
    fn slot(&self, kind: FormatKind, data: &[u8]) -> Vec<u8> {
        let slot = Slot {
            generation: self.generation % RECORDS_MAX,
            inode: FIRST_INODE + u64::from(self.of_another),
            boot: u64::from(self.other_boot),
            kind: self.kind.map_or(kind, Kind::kind),
            // A row with all of them is appended.
            columns: self.columns % 1000,
            latest: self.latest.mark(data),
            synced: self.synced.mark(data),
            floor: self.floor,
            open: self.open,
            syncing: self.syncing,
            latched: self.latched,
            ids: self.ids,
            batch: self.batch.map(|(from, to)| {
                let before = Mark { at: u64::from(from), ..Mark::START }.fitting(data);
                (u64::from(from), u64::from(to), before.tail)
            }),
        };
        made::slot(slot.text().as_bytes())
    }
}

impl IdEntry {
    fn bytes(&self, index: usize, data: &[u8]) -> [u8; 64] {
        let from = usize::from(self.offset).min(data.len());
        let to = (from + usize::from(self.len)).min(data.len());
        let entry = Entry {
            id: [self.id; 16],
            offset: self.far.unwrap_or(u64::from(self.offset)),
            len: u64::from(self.len),
            records: self.records,
            checksum: self.checksum.unwrap_or(crc32c::crc32c(&data[from..to])),
            index: u32::try_from(index).expect("inputs are short"),
        };
        let mut bytes = entry.bytes();
        bytes[9] ^= u8::from(self.damaged);
        bytes
    }
}

impl Directory {
    /// Opens it, twice.
    pub fn open(mut self) {
        let kind = self.kind.kind();
        if kind == FormatKind::Framed && self.mends[0] {
            let [_, checksums, sequence, batch_rest] = self.mends;
            made::mend(&mut self.data, Mend { checksums, sequence, batch_rest });
        }
        let format = match kind {
            FormatKind::Csv if self.header => Format::Csv { header: vec!["a".to_owned(), "b".to_owned()] },
            _ => plain(kind),
        };
        let mut spec = spec(format);
        spec.ids = self.ids_wanted;
        let memory = self.lay_out(kind);
        let disk = memory.disk();

        // What the check answers is its own affair here: it may refuse, and must not change or stop.
        if let Ok(report) = inspect::check(&disk, &path(), Some(kind), |_, _| {}) {
            assert!(report.whole_bytes <= report.bytes, "the whole part is a part");
        }
        assert_eq!(memory.read(&path()).as_ref(), Some(&self.data), "a check does not change the file");
        let Ok((file, report)) = AppendFile::open_on(&disk, &spec) else {
            assert_eq!(memory.read(&path()).as_ref(), Some(&self.data), "what is refused is not changed");
            return;
        };
        self.check_opened(kind, &memory, &report);
        let (appended, record) = append_one(&file, kind);
        drop(file);
        let bytes = memory.read(&path()).expect("the file is there");
        let from = usize::try_from(appended.offset).expect("it is in memory");
        assert_eq!(appended.end(), bytes.len() as u64, "the record is the last one");
        let at = if kind == FormatKind::Framed { from + made::HEADER_BYTES } else { from };
        assert_eq!(&bytes[at..at + record.len()], record, "the record is in the file");

        let (file, again) = AppendFile::open_on(&disk, &spec).expect("a file that was closed is opened");
        assert_eq!(again.records_before, report.records_before + 1, "the record is found again");
        assert_eq!((again.bytes_before, again.torn), (appended.end(), None), "and nothing is torn");
        assert!(again.floor >= report.floor, "the floor never goes back");
        drop(file);
    }

    fn lay_out(&self, kind: FormatKind) -> Memory {
        let memory = Memory::new();
        memory.put(&path(), &self.data);
        let checkpoint = match &self.checkpoint {
            Checkpoint::None => None,
            Checkpoint::Raw(bytes) => Some(bytes.clone()),
            Checkpoint::Text(text) => Some(made::slot(text)),
            Checkpoint::Slots(first, second) => {
                let second = second.as_ref().map(|second| second.slot(kind, &self.data));
                Some(made::checkpoint(&first.slot(kind, &self.data), second.as_deref()))
            }
        };
        if let Some(bytes) = checkpoint {
            memory.put(&beside(".checkpoint"), &bytes);
        }
        let mark = match &self.mark {
            NoteMark::None => None,
            // As a lock file gives it: one line.
            NoteMark::Text(text) => Some(text.replace('\n', " ")),
            NoteMark::Ours => Some(ours(FIRST_INODE)),
            NoteMark::Fenced => Some(ours(FIRST_INODE) + " fenced"),
        };
        if let Some(mark) = mark {
            memory.put_mark(&beside(".lock"), &mark);
        }
        let ids = match &self.ids {
            Ids::None => None,
            Ids::Raw(bytes) => Some(bytes.clone()),
            Ids::Entries { of_another, entries, more } => {
                let mut bytes = made::ids_header(FIRST_INODE + u64::from(*of_another)).to_vec();
                for (index, entry) in entries.iter().enumerate() {
                    bytes.extend_from_slice(&entry.bytes(index, &self.data));
                }
                bytes.extend_from_slice(more);
                Some(bytes)
            }
        };
        if let Some(bytes) = ids {
            memory.put(&beside(".ids"), &bytes);
        }
        if let Some(bytes) = &self.torn {
            memory.put(&beside(".torn"), bytes);
        }
        memory
    }

    fn check_opened(&self, kind: FormatKind, memory: &Memory, report: &OpenReport) {
        let now = memory.read(&path()).expect("the file is there");
        if report.header_written {
            assert_eq!((report.bytes_before, now.as_slice()), (0, &b"a,b\n"[..]), "a header is the first row");
        } else {
            assert_eq!(now.len() as u64, report.bytes_before, "the file is cut where the report says");
            assert!(self.data.starts_with(&now), "what is kept is not changed");
        }
        let kept = usize::try_from(report.bytes_before).expect("it is in memory");
        let before = self.torn.as_deref().unwrap_or_default();
        is_kept(memory, report.torn.as_ref(), before, &self.data[kept..]);
        // A checkpoint that lies about where records end is believed; its checksum is there for that.
        if !matches!(self.checkpoint, Checkpoint::Slots(..)) {
            let contents = read_all(kind, &now, None, usize::MAX);
            assert_eq!(contents.tail, None, "the file ends on a whole record");
            let header_rows = u64::from(self.header && kind == FormatKind::Csv);
            let records = contents.records.len() as u64;
            assert_eq!(report.records_before, records - header_rows.min(records), "each record is counted");
        }
    }
}
