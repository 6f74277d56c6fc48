//! What `append_acked` appends, and in which order: told here once, for the program and for the test that kills its host and
//! then looks into the files.

use std::iter;

use crate::mix;

/// What a record of a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A row of [`COLUMNS`].
    Row,
    /// A line.
    Line,
    /// A JSON string in an object.
    Json,
    /// Any bytes.
    Bytes,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing, until a sync is acknowledged.
    Buffered,
    /// That the record is there when the host has died.
    Written,
    /// That it is there when the power was cut.
    Synced,
}

/// One of the files.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// What the job calls it, and its name on the disk.
    pub name: &'static str,
    /// What its records look like.
    pub shape: Shape,
    /// How many records are appended together.
    pub batch: u32,
    /// Whether what is appended has an id.
    pub ids: bool,
    /// What an acknowledgement promises.
    pub promise: Promise,
}

const fn file(name: &'static str, shape: Shape, batch: u32, ids: bool, promise: Promise) -> Acked {
    Acked { name, shape, batch, ids, promise }
}

/// How many files there are.
pub const FILE_COUNT: usize = 7;

/// The files. The first is bound to the lock [`LOCK`].
pub const FILES: [Acked; FILE_COUNT] = [
    file("rows.csv", Shape::Row, 1, false, Promise::Written),
    file("plain.txt", Shape::Line, 1, false, Promise::Written),
    file("three.jsonl", Shape::Json, 3, false, Promise::Written),
    file("once.framed", Shape::Bytes, 1, true, Promise::Written),
    file("synced.txt", Shape::Line, 1, true, Promise::Synced),
    file("two.framed", Shape::Bytes, 2, true, Promise::Synced),
    file("loose.txt", Shape::Line, 1, false, Promise::Buffered),
];

/// The place of the bound file among [`FILES`].
pub const BOUND: usize = 0;

/// The place of the buffered file among [`FILES`].
pub const LOOSE: usize = 6;

/// The lock of the bound file.
pub const LOCK: &str = "rows";

/// The columns of its rows.
pub const COLUMNS: [&str; 3] = ["fence", "text", "length"];

/// The buffered file is synced so often, in rounds of all files, for the first time after the first.
const ROUNDS_PER_SYNC: u64 = 4;

/// One thing that a process does, and writes an acknowledgement of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Appends the records of this number to the file at this place.
    Append(usize, u64),
    /// Syncs the buffered file.
    Sync,
}

/// What the process of this rank does, without end, where its numbers begin at `starts`. Each begins with another file.
pub fn steps(rank: u32, mut starts: [u64; FILE_COUNT]) -> impl Iterator<Item = Step> {
    let (mut round, mut place) = (0, 0);
    iter::from_fn(move || {
        if place == FILE_COUNT {
            round += 1;
            place = 0;
            if round % ROUNDS_PER_SYNC == 1 {
                return Some(Step::Sync);
            }
        }
        let file = (rank as usize + place) % FILE_COUNT;
        place += 1;
        starts[file] += 1;
        Some(Step::Append(file, starts[file] - 1))
    })
}

impl Step {
    /// The line that acknowledges it.
    pub fn acknowledged(self, repeated: bool) -> String {
        match self {
            Self::Append(file, number) => format!("{file} {number} {}\n", u8::from(repeated)),
            Self::Sync => "sync\n".to_owned(),
        }
    }
}

/// The id of what a process appends under a number.
pub fn id(rank: u32, number: u64) -> String {
    format!("p{rank}/{number}")
}

/// The text of one record: whose it is, and printable characters up to a length that is mostly short, and sometimes so
/// long that a kill meets its write.
pub fn text(file: usize, rank: u32, number: u64, part: u32) -> String {
    let mut random = mix(mix(mix(file as u64) ^ u64::from(rank)) ^ (number << 2) ^ u64::from(part));
    let length_max = if random.is_multiple_of(64) { 18 } else { 8 };
    random = mix(random);
    let length = 1_u64 << (random % length_max);
    let length = length + random / 16 % length;
    let mut text = format!("{rank}/{number}/{part}:");
    for _ in 0..length {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(b' ' + ((random >> 33) % 95) as u8));
    }
    text
}

/// Whose a text claims to be: rank, number and part.
pub fn origin(text: &str) -> Option<(u32, u64, u32)> {
    let (origin, _) = text.split_once(':')?;
    let mut numbers = origin.splitn(3, '/');
    let (rank, number, part) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some((rank.parse().ok()?, number.parse().ok()?, part.parse().ok()?))
}

/// The fields of a row: the text has line breaks.
pub fn row(fence: u64, text: &str) -> [String; COLUMNS.len()] {
    [fence.to_string(), text.replace('~', "\n"), text.len().to_string()]
}

/// A record that is no row. Bytes have zeros in them.
pub fn bytes(shape: Shape, text: &str) -> Vec<u8> {
    match shape {
        Shape::Row | Shape::Line => text.as_bytes().to_vec(),
        Shape::Json => format!("{{\"text\":\"{}\"}}", text.replace('\\', "\\\\").replace('"', "\\\"")).into_bytes(),
        Shape::Bytes => text.bytes().map(|byte| if byte == b'~' { 0 } else { byte }).collect(),
    }
}
