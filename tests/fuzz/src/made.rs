//! Frames and sidecars with good checksums, made by hand: a fuzzer does not guess checksums. Written from the documents
//! of the formats and not with the code that is tested.

use std::fmt::Write as _;

use lockkeeper_journal::FormatKind;

use crate::memory::{BORN, FIRST_INODE};

/// The size of a frame's header.
pub const HEADER_BYTES: usize = 48;

/// What a frame says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frame {
    pub batch_rest: u32,
    pub sequence: u64,
    pub fence: u64,
    pub writer: u64,
}

/// A good frame.
pub fn frame(frame: Frame, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[8..12].copy_from_slice(&u32::try_from(payload.len()).expect("inputs are short").to_le_bytes());
    bytes[16..20].copy_from_slice(&frame.batch_rest.to_le_bytes());
    bytes[24..32].copy_from_slice(&frame.sequence.to_le_bytes());
    bytes[32..40].copy_from_slice(&frame.fence.to_le_bytes());
    bytes[40..48].copy_from_slice(&frame.writer.to_le_bytes());
    bytes.extend_from_slice(payload);
    seal(&mut bytes);
    bytes
}

/// Gives a frame its magic and its checksums.
fn seal(frame: &mut [u8]) {
    let payload = crc32c::crc32c(&frame[HEADER_BYTES..]);
    frame[..4].copy_from_slice(b"LKF1");
    frame[12..16].copy_from_slice(&payload.to_le_bytes());
    let header = crc32c::crc32c(&frame[8..HEADER_BYTES]);
    frame[4..8].copy_from_slice(&header.to_le_bytes());
}

/// What [`mend`] makes good.
#[derive(Debug, Clone, Copy)]
pub struct Mend {
    pub checksums: bool,
    pub sequence: bool,
    pub batch_rest: bool,
}

/// Takes any bytes for frames and mends what is wrong with them, each as long as the low byte of its length says.
pub fn mend(mut bytes: &mut [u8], mend: Mend) {
    let (mut sequence, mut rest) = (1, None);
    while bytes.len() >= HEADER_BYTES {
        let len = usize::from(bytes[8]).min(bytes.len() - HEADER_BYTES);
        let (frame, after) = bytes.split_at_mut(HEADER_BYTES + len);
        frame[8..12].copy_from_slice(&u32::try_from(len).expect("it is a byte").to_le_bytes());
        frame[20..24].fill(0);
        if mend.sequence {
            frame[24..32].copy_from_slice(&u64::to_le_bytes(sequence));
        }
        if mend.batch_rest {
            let here = rest.unwrap_or(u32::from(frame[16] % 4));
            frame[16..20].copy_from_slice(&here.to_le_bytes());
            rest = here.checked_sub(1);
        }
        if mend.checksums {
            seal(frame);
        }
        sequence += 1;
        bytes = after;
    }
}

/// A place in the file, as a checkpoint says it.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    pub at: u64,
    pub records: u64,
    pub sequence: u64,
    pub ids: u64,
    pub tail: u32,
}

impl Mark {
    pub const START: Mark = Mark { at: 0, records: 0, sequence: 1, ids: 0, tail: 0 };

    /// With the checksum of what `data` holds there.
    pub fn fitting(self, data: &[u8]) -> Mark {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX).min(data.len());
        let tail = if at == 0 { 0 } else { crc32c::crc32c(&data[at.saturating_sub(4096)..at]) };
        Mark { at: at as u64, tail, ..self }
    }
}

/// What a slot of a checkpoint says.
#[derive(Debug, Clone)]
pub struct Slot {
    pub generation: u64,
    pub inode: u64,
    pub boot: u64,
    pub kind: FormatKind,
    pub columns: u64,
    pub latest: Mark,
    pub synced: Mark,
    pub floor: u64,
    pub open: bool,
    pub syncing: bool,
    pub latched: bool,
    pub ids: bool,
    /// From, to, and the checksum of what lies before it.
    pub batch: Option<(u64, u64, u32)>,
}

impl Slot {
    /// What stands there just after a file was made.
    pub fn new(kind: FormatKind) -> Slot {
        Slot {
            generation: 1,
            inode: FIRST_INODE,
            boot: 0,
            kind,
            columns: 0,
            latest: Mark::START,
            synced: Mark::START,
            floor: 0,
            open: true,
            syncing: false,
            latched: false,
            ids: false,
            batch: None,
        }
    }

    /// Its text, without the checksum.
    pub fn text(&self) -> String {
        let mark = |Mark { at, records, sequence, ids, tail }: Mark| {
            format!("{at} records {records} sequence {sequence} ids {ids} tail {tail:08x}")
        };
        let yes = |yes| if yes { "yes" } else { "no" };
        let batch = self.batch.map_or("none".to_owned(), |(from, to, tail)| format!("{from} {to} tail {tail:08x}"));
        format!(
            "lockkeeper-checkpoint 1\ngeneration {}\ndurable 0\ninode {} born {BORN}\nboot boot-{}\nformat {} columns {}\n\
             latest {}\nsynced {}\nfloor {}\nrun {} syncing {} latched {} named {}\nbatch {batch}\n",
            self.generation,
            self.inode,
            self.boot,
            self.kind,
            self.columns,
            mark(self.latest),
            mark(self.synced),
            self.floor,
            if self.open { "open" } else { "closed" },
            yes(self.syncing),
            yes(self.latched),
            yes(self.ids),
        )
    }
}

/// A slot with a good checksum, whatever it says.
pub fn slot(text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let mut check = String::new();
    writeln!(check, "check {:08x}", crc32c::crc32c(text)).expect("writing to memory does not fail");
    bytes.extend_from_slice(check.as_bytes());
    bytes.resize(1024, b' ');
    bytes
}

/// A checkpoint of two slots.
pub fn checkpoint(first: &[u8], second: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = first.to_vec();
    if let Some(second) = second {
        bytes.resize(4096, 0);
        bytes.extend_from_slice(second);
    }
    bytes
}

/// The header of a sidecar of ids, for the first file of a disk, or another one.
pub fn ids_header(inode: u64) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..16].copy_from_slice(b"lockkeeper-ids 1");
    bytes[16..24].copy_from_slice(&inode.to_le_bytes());
    bytes[24..40].copy_from_slice(&BORN.to_le_bytes());
    let check = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// One entry of it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub id: [u8; 16],
    pub offset: u64,
    pub len: u64,
    pub records: u32,
    pub checksum: u32,
    pub index: u32,
}

impl Entry {
    /// As it stands in the file.
    pub fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..4].copy_from_slice(b"LKI1");
        bytes[8..24].copy_from_slice(&self.id);
        bytes[24..32].copy_from_slice(&self.offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.len.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.records.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.index.to_le_bytes());
        let check = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&check.to_le_bytes());
        bytes
    }
}
