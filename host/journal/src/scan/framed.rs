//! A frame ends where its header says, if the header can be trusted; and it counts once its whole batch is there.

use super::{Ends, Fault, FaultKind, Found, Start};
use crate::frame::{HEADER_BYTES, Header, HeaderFault, may_become_header};

/// Which frame must come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Follow {
    /// Its sequence number.
    pub(crate) sequence: u64,
    /// How many frames must follow it in its batch; none if it begins one.
    batch_rest: Option<u32>,
}

impl Follow {
    /// A batch begins with this number.
    pub(crate) fn new(sequence: u64) -> Follow {
        Follow { sequence, batch_rest: None }
    }

    /// Takes the next frame, or says why it is not the next.
    pub(crate) fn admit(&mut self, header: &Header) -> Result<(), FaultKind> {
        if header.sequence != self.sequence {
            return Err(FaultKind::Sequence { expected: self.sequence, found: header.sequence });
        }
        if let Some(expected) = self.batch_rest
            && header.batch_rest != expected
        {
            return Err(FaultKind::BatchRest { expected, found: header.batch_rest });
        }
        // Nobody writes so many records; what claims to be the last one is followed by none.
        self.sequence = self.sequence.saturating_add(1);
        self.batch_rest = header.batch_rest.checked_sub(1);
        Ok(())
    }
}

/// What a bad header means for its file.
pub(crate) fn header_fault(fault: HeaderFault) -> FaultKind {
    match fault {
        HeaderFault::Magic => FaultKind::NoFrame,
        HeaderFault::Checksum => FaultKind::HeaderChecksum,
        HeaderFault::Reserved => FaultKind::HeaderReserved,
    }
}

pub(super) struct Frames {
    /// Of the next byte.
    offset: u64,
    /// Where the frame begins that has not ended, and how far it has come.
    frame_from: u64,
    part: Part,
    follow: Follow,
    batch_frames: u64,
    ends: Ends,
    /// The number of the frame at the last end.
    sequence: u64,
    fence_max: u64,
}

enum Part {
    Header { bytes: [u8; HEADER_BYTES], have: usize },
    Payload { header: Header, left: usize, crc: u32 },
}

const NO_HEADER_YET: Part = Part::Header { bytes: [0; HEADER_BYTES], have: 0 };

impl Frames {
    pub(super) fn new(start: &Start) -> Frames {
        Frames {
            offset: start.offset,
            frame_from: start.offset,
            part: NO_HEADER_YET,
            follow: Follow::new(start.sequence),
            batch_frames: 0,
            ends: Ends::new(start),
            sequence: start.sequence,
            fence_max: 0,
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<Fault> {
        while !bytes.is_empty() {
            match self.take(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(what) => return Some(Fault { offset: self.frame_from, what }),
            }
        }
        None
    }

    /// Takes some of the bytes: at most to the end of a header, or of a payload.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, FaultKind> {
        let taken;
        match &mut self.part {
            Part::Header { bytes: header, have } => {
                taken = bytes.len().min(HEADER_BYTES - *have);
                header[*have..*have + taken].copy_from_slice(&bytes[..taken]);
                *have += taken;
                if *have == HEADER_BYTES {
                    let header = Header::decode(header).map_err(header_fault)?;
                    self.follow.admit(&header)?;
                    self.fence_max = self.fence_max.max(header.fence);
                    self.part = Part::Payload { header, left: header.payload_len as usize, crc: 0 };
                }
            }
            Part::Payload { left, crc, .. } => {
                taken = bytes.len().min(*left);
                *crc = crc32c::crc32c_append(*crc, &bytes[..taken]);
                *left -= taken;
            }
        }
        self.offset += taken as u64;
        // An empty payload has ended with its header.
        if let Part::Payload { header, left: 0, crc } = &self.part {
            if *crc != header.payload_crc {
                return Err(FaultKind::PayloadChecksum);
            }
            let batch_rest = header.batch_rest;
            self.frame_ends(batch_rest);
        }
        Ok(taken)
    }

    fn frame_ends(&mut self, batch_rest: u32) {
        self.frame_from = self.offset;
        self.part = NO_HEADER_YET;
        self.batch_frames += 1;
        if batch_rest == 0 {
            self.ends = Ends { end: self.offset, records: self.ends.records + self.batch_frames };
            self.sequence = self.follow.sequence;
            self.batch_frames = 0;
        }
    }

    pub(super) fn finish(self) -> Found {
        // A piece of a header is no fault, but a piece of something else is, as it would be with a few bytes more.
        let fault = match self.part {
            Part::Header { bytes, have } if !may_become_header(&bytes[..have]) => {
                Some(Fault { offset: self.frame_from, what: FaultKind::NoFrame })
            }
            Part::Header { .. } | Part::Payload { .. } => None,
        };
        Found { sequence: self.sequence, fence_max: self.fence_max, fault, ..self.ends.found() }
    }
}
