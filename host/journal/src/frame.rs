//! The frame of a framed file: a header that says how long the payload is and which of all records this is, both
//! guarded by a checksum, and then the payload, which may be any bytes.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | `LKF1` |
//! | 4..8 | crc32c of the bytes 8..48 |
//! | 8..12 | length of the payload |
//! | 12..16 | crc32c of the payload |
//! | 16..20 | how many frames of the same batch follow; 0 in the last frame of an append |
//! | 20..24 | zero |
//! | 24..32 | sequence: 1 for the first record of the file, one more for each next |
//! | 32..40 | fence of the lock that the append was made under; 0 if there was none |
//! | 40..48 | writer |
//!
//! Numbers are little endian. A reader finds the next frame by the length only, never by a search for `LKF1`, so a payload
//! that holds frames of its own is a payload all the same.

/// The size of the header.
pub(crate) const HEADER_BYTES: usize = 48;

/// What each frame, and so each framed file, begins with.
pub(crate) const MAGIC: [u8; 4] = *b"LKF1";

/// Where the part that the header's own checksum covers begins.
const CHECKED_FROM: usize = 8;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the payload.
    pub(crate) payload_len: u32,
    /// Its crc32c.
    pub(crate) payload_crc: u32,
    /// How many frames of the same batch follow.
    pub(crate) batch_rest: u32,
    /// Which of all records of the file it is, from 1.
    pub(crate) sequence: u64,
    /// The fence that it was written under; 0 is none.
    pub(crate) fence: u64,
    /// Who wrote it.
    pub(crate) writer: u64,
}

/// Why 48 bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// They do not begin with [`MAGIC`].
    Magic,
    /// They do not fit their checksum.
    Checksum,
    /// They fit their checksum, but the field that must be zero is not: a later version may have written them.
    Reserved,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.batch_rest.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.fence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.writer.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, HeaderFault> {
        if bytes[..4] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        if u32_at(bytes, 4) != crc32c::crc32c(&bytes[CHECKED_FROM..]) {
            return Err(HeaderFault::Checksum);
        }
        if u32_at(bytes, 20) != 0 {
            return Err(HeaderFault::Reserved);
        }
        Ok(Header {
            payload_len: u32_at(bytes, 8),
            payload_crc: u32_at(bytes, 12),
            batch_rest: u32_at(bytes, 16),
            sequence: u64_at(bytes, 24),
            fence: u64_at(bytes, 32),
            writer: u64_at(bytes, 40),
        })
    }
}

/// Whether `bytes`, fewer than a header, can still become one.
pub(crate) fn may_become_header(bytes: &[u8]) -> bool {
    let known = bytes.len().min(MAGIC.len());
    bytes[..known] == MAGIC[..known]
}

/// Adds a frame for `payload` whose place in the file is not known yet: no reader takes it for a frame before [`seal`].
pub(crate) fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    let payload_len = u32::try_from(payload.len()).expect("the record limit is far below 4 GiB");
    let mut header = [0; HEADER_BYTES];
    header[8..12].copy_from_slice(&payload_len.to_le_bytes());
    header[12..16].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}

/// Makes the frames in `frames`, all that [`push_frame`] put there, one batch, the first of which is record
/// `first_sequence`. Answers how many they are. May be done again with other numbers, if the batch was not written.
pub(crate) fn seal(frames: &mut [u8], first_sequence: u64, fence: u64, writer: u64) -> u64 {
    let count = count(frames);
    let mut rest = u32::try_from(count).expect("no more are put together than are counted in 32 bits");
    let mut sequence = first_sequence;
    let mut left = frames;
    while !left.is_empty() {
        let payload_len = u32_at(left, 8);
        let (frame, after) = left.split_at_mut(HEADER_BYTES + payload_len as usize);
        rest -= 1;
        let header = Header { payload_len, payload_crc: u32_at(frame, 12), batch_rest: rest, sequence, fence, writer };
        frame[..HEADER_BYTES].copy_from_slice(&header.encode());
        sequence += 1;
        left = after;
    }
    count
}

fn count(mut frames: &[u8]) -> u64 {
    let mut count = 0;
    while !frames.is_empty() {
        let len = HEADER_BYTES + u32_at(frames, 8) as usize;
        assert!(len <= frames.len(), "frames lie one after another, each whole");
        frames = &frames[len..];
        count += 1;
    }
    count
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests;
