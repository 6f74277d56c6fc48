//! What stands in a sidecar of record ids, byte by byte.

use std::fmt;
use std::str::FromStr;

use crate::storage::Status;

/// A sector holds a whole number of entries, so a write that a power cut ends does not tear one.
pub(super) const ENTRY_BYTES: usize = 64;
/// As long as an entry, so that the entries stay aligned.
pub(super) const HEADER_BYTES: usize = ENTRY_BYTES;

const HEADER_MAGIC: &[u8; 16] = b"lockkeeper-ids 1";
const ENTRY_MAGIC: &[u8; 4] = b"LKI1";
const ID_CONTEXT: &str = "lockkeeper record id 1";

/// The id of a record: the first 16 bytes of the hash of what its caller calls it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 16]);

impl RecordId {
    /// The id of the record that its caller calls `name`.
    pub fn of(name: &[u8]) -> RecordId {
        let mut id = [0; 16];
        blake3::Hasher::new_derive_key(ID_CONTEXT).update(name).finalize_xof().fill(&mut id);
        RecordId(id)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RecordId({self})")
    }
}

/// A text that is no record id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record id is 32 hexadecimal digits")]
pub struct RecordIdSyntax;

impl FromStr for RecordId {
    type Err = RecordIdSyntax;

    fn from_str(text: &str) -> Result<RecordId, RecordIdSyntax> {
        // Checked first: the number parser would take a sign.
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(RecordIdSyntax);
        }
        let id = u128::from_str_radix(text, 16).map_err(|_| RecordIdSyntax)?;
        Ok(RecordId(id.to_be_bytes()))
    }
}

/// One entry: an id, and where in the data its records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdEntry {
    /// Which record, or records.
    pub(crate) id: RecordId,
    /// Where its data begins.
    pub(crate) offset: u64,
    /// How long its data is; 0 if it appended nothing.
    pub(crate) len: u64,
    /// How many records the data holds.
    pub(crate) records: u32,
    /// The crc32c of the data.
    pub(crate) checksum: u32,
}

impl IdEntry {
    /// Where its data ends. Neither [`decode`] nor [`Ids::note`](super::Ids::note) lets one in that ends past `u64`.
    pub(super) fn end(&self) -> u64 {
        self.offset.checked_add(self.len).expect("checked when the entry was made")
    }
}

/// Which file a sidecar belongs to. The inode alone would not do: a removed file's number is soon given to the next one.
/// The device number is left out, since it may change from boot to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    inode: u64,
    born: u128,
}

impl Owner {
    pub(super) fn of(data: &Status) -> Owner {
        Owner { inode: data.id.inode, born: data.born }
    }
}

pub(super) fn encode_header(owner: Owner) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..16].copy_from_slice(HEADER_MAGIC);
    bytes[16..24].copy_from_slice(&owner.inode.to_le_bytes());
    bytes[24..40].copy_from_slice(&owner.born.to_le_bytes());
    let check = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&check.to_le_bytes());
    bytes
}

pub(super) fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Result<Owner, &'static str> {
    if &bytes[..16] != HEADER_MAGIC {
        return Err("it does not begin as one of this version");
    }
    let owner = Owner { inode: u64_at(bytes, 16), born: u128::from_le_bytes(array(&bytes[24..40])) };
    // Writing it anew and comparing checks every byte, the unused ones as well.
    match encode_header(owner) == *bytes {
        true => Ok(owner),
        false => Err("the checksum of its header does not fit"),
    }
}

pub(super) fn encode(entry: &IdEntry, index: u32) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..4].copy_from_slice(ENTRY_MAGIC);
    bytes[8..24].copy_from_slice(&entry.id.0);
    bytes[24..32].copy_from_slice(&entry.offset.to_le_bytes());
    bytes[32..40].copy_from_slice(&entry.len.to_le_bytes());
    bytes[40..44].copy_from_slice(&entry.records.to_le_bytes());
    bytes[44..48].copy_from_slice(&entry.checksum.to_le_bytes());
    bytes[48..52].copy_from_slice(&index.to_le_bytes());
    let check = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// The entry that stands at `index`, or nothing if these bytes were not written there.
pub(super) fn decode(bytes: &[u8; ENTRY_BYTES], index: u32) -> Option<IdEntry> {
    let entry = IdEntry {
        id: RecordId(array(&bytes[8..24])),
        offset: u64_at(bytes, 24),
        len: u64_at(bytes, 32),
        records: u32_at(bytes, 40),
        checksum: u32_at(bytes, 44),
    };
    entry.offset.checked_add(entry.len)?;
    (encode(&entry, index) == *bytes).then_some(entry)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the range is that long")
}

fn u64_at(bytes: &[u8; ENTRY_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(array(&bytes[at..at + 8]))
}

fn u32_at(bytes: &[u8; ENTRY_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(array(&bytes[at..at + 4]))
}
