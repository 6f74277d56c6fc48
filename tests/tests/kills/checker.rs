//! Whether a file holds what it must, and nothing that it must not. Linear in its length.

use std::path::Path;

use lockkeeper::{FormatKind, Reader, Record};
use lockkeeper_guest_programs::acked::{self, BOUND, FILES, Shape};

use crate::ledger::{Account, Entry};

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Something is no record that anybody appended.
    Foreign,
    /// The file does not end on a whole record, or is damaged.
    Torn,
    /// Some of the records that were appended together are missing, or stand apart.
    HalfBatch,
    /// A record is there a second time.
    Twice,
    /// The records of a process are not in its order.
    Order,
    /// A row is older than the one before it.
    FenceBack,
    /// A record is there that was never appended, or was not there after its host had died.
    NeverAppended,
    /// A record is missing that was acknowledged.
    Lost,
    /// A buffered record is missing, and a later one of the same process is there.
    Gap,
}

/// How strict the checker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The host was killed and nobody has opened the file: its end may be torn.
    Killed,
    /// It was opened, or closed in order.
    Opened,
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// What was appended together counts once: by rank and number.
    pub(crate) there: Vec<Vec<bool>>,
    pub(crate) appends: u64,
    pub(crate) newest_fence: u64,
    /// Whether its end was torn, or a batch not whole.
    pub(crate) is_torn: bool,
}

struct Seen {
    rank: usize,
    number: u64,
    part: u32,
    fence: u64,
}

pub(crate) fn kind(shape: Shape) -> FormatKind {
    match shape {
        Shape::Row => FormatKind::Csv,
        Shape::Line => FormatKind::Lines,
        Shape::Json => FormatKind::Jsonl,
        Shape::Bytes => FormatKind::Framed,
    }
}

/// Checks the bytes of the file at the place `file`, against the account of each process with it.
pub(crate) fn check(
    bytes: &[u8],
    file: usize,
    accounts: &[&Account],
    moment: Moment,
) -> Result<Contents, (u64, Fault)> {
    let about = &FILES[file];
    let mut contents = Contents {
        there: accounts.iter().map(|account| vec![false; account.entries.len()]).collect(),
        ..Contents::default()
    };
    let mut newest: Vec<Option<u64>> = vec![None; accounts.len()];
    // Of what was appended together, who and what has begun, and where.
    let mut batch: Option<(usize, u64, u32, u64)> = None;
    let mut reader = Reader::new(kind(about.shape), bytes);
    let mut is_header = about.shape == Shape::Row;
    while let Some(record) = reader.next_record().expect("memory can be read, and no record is long") {
        if std::mem::take(&mut is_header) {
            continue;
        }
        let at = record.offset;
        let Seen { rank, number, part, fence } = recognise(&record, file).ok_or((at, Fault::Foreign))?;
        match batch {
            None if part == 0 => batch = Some((rank, number, 1, at)),
            Some((of, which, parts, from)) if (of, which, parts) == (rank, number, part) => {
                batch = Some((of, which, parts + 1, from));
            }
            _ => return Err((at, Fault::HalfBatch)),
        }
        if batch.is_none_or(|(_, _, parts, _)| parts < about.batch) {
            continue;
        }
        batch = None;
        let place = usize::try_from(number).expect("few records");
        let entry = accounts.get(rank).and_then(|account| account.entries.get(place));
        if entry.is_none_or(|entry| *entry == Entry::Gone) {
            return Err((at, Fault::NeverAppended));
        }
        if std::mem::replace(&mut contents.there[rank][place], true) {
            return Err((at, Fault::Twice));
        }
        if newest[rank].replace(number).is_some_and(|newest| newest > number) {
            return Err((at, Fault::Order));
        }
        if file == BOUND && fence <= contents.newest_fence {
            return Err((at, Fault::FenceBack));
        }
        contents.newest_fence = fence;
        contents.appends += 1;
    }
    let tail = reader.tail();
    if let (Moment::Opened, Some((.., from))) = (moment, batch) {
        return Err((from, Fault::HalfBatch));
    }
    // What a kill leaves is cut short; a fault in it is none of a kill.
    if let Some(tail) = tail
        && (moment == Moment::Opened || tail.fault.is_some())
    {
        return Err((tail.offset, Fault::Torn));
    }
    contents.is_torn = tail.is_some() || batch.is_some();
    for (account, there) in accounts.iter().zip(&contents.there) {
        let mut is_over = false;
        for (entry, there) in account.entries.iter().zip(there) {
            match entry {
                Entry::There if !there => return Err((bytes.len() as u64, Fault::Lost)),
                Entry::There | Entry::Open if *there && is_over => return Err((bytes.len() as u64, Fault::Gap)),
                Entry::Open => is_over |= !there,
                Entry::There | Entry::Gone => {}
            }
        }
    }
    Ok(contents)
}

/// Whose record it is, if it is as it was appended.
fn recognise(record: &Record<'_>, file: usize) -> Option<Seen> {
    let shape = FILES[file].shape;
    let (text, fence) = match shape {
        Shape::Row => {
            let fields = record.fields();
            let field = |place| std::str::from_utf8(fields.get(place)?).ok();
            (field(1)?.to_owned(), field(0)?.parse().ok()?)
        }
        Shape::Line | Shape::Bytes => (String::from_utf8(record.bytes.to_vec()).ok()?, 0),
        Shape::Json => {
            let value: serde_json::Value = serde_json::from_slice(record.bytes).ok()?;
            (value.get("text")?.as_str()?.to_owned(), 0)
        }
    };
    let (rank, number, part) = acked::origin(&text)?;
    let expected = acked::text(file, rank, number, part);
    let is_as_appended = match shape {
        Shape::Row => record.fields().iter().eq(acked::row(fence, &expected).iter().map(String::as_bytes)),
        Shape::Line | Shape::Json | Shape::Bytes => record.bytes == acked::bytes(shape, &expected),
    };
    let seen = Seen { rank: usize::try_from(rank).ok()?, number, part, fence };
    (is_as_appended && part < FILES[file].batch).then_some(seen)
}

/// The bytes of a file; none if it was not made yet.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
