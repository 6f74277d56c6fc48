//! What can be wrong with a file, and where.

/// Something in a file that does not belong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Fault {
    /// Where in the file it is, or where the record or frame begins that it makes invalid.
    pub offset: u64,
    /// What it is.
    pub what: FaultKind,
}

/// What does not belong there. The text is a piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// No record of a text format holds one; a power cut leaves them where data has not reached the disk.
    #[error("a zero byte")]
    ZeroByte,
    /// Bytes of a text format that must be UTF-8 and are not.
    #[error("bytes that are not UTF-8")]
    NotUtf8,
    /// A line of a jsonl file that holds nothing.
    #[error("a line without a JSON value")]
    BlankLine,
    /// A line of a jsonl file that is no JSON value.
    #[error("a line that is not JSON ({reason})")]
    NotJson {
        /// What the parser says.
        reason: String,
    },
    /// A line of a jsonl file that does not fit in memory, so that nobody has looked at it.
    #[error("a line above {line_bytes_max} bytes, too long to check")]
    TooLongToCheck {
        /// The longest line that is looked at.
        line_bytes_max: usize,
    },
    /// A csv quote in a place where readers disagree on its meaning.
    #[error("a quote that does not enclose a whole field")]
    StrayQuote,
    /// A csv row that is longer or shorter than the first one.
    #[error("a row of {found} columns where the first row has {expected}")]
    Columns {
        /// The columns of the first row.
        expected: usize,
        /// The columns of this one.
        found: usize,
    },
    /// No frame begins where one must.
    #[error("bytes that are no frame")]
    NoFrame,
    /// The header of a frame was damaged.
    #[error("a frame whose header does not fit its checksum")]
    HeaderChecksum,
    /// The header of a frame uses a field that this version does not know.
    #[error("a frame of a later version")]
    HeaderReserved,
    /// The payload of a frame was damaged.
    #[error("a frame whose payload does not fit its checksum")]
    PayloadChecksum,
    /// A frame is missing, twice there, or from another place.
    #[error("a frame with the sequence number {found} where {expected} must be")]
    Sequence {
        /// The number that must come here.
        expected: u64,
        /// The one that is there.
        found: u64,
    },
    /// A frame does not belong to the batch that the frame before it began.
    #[error("a frame that says {found} more follow in its batch where {expected} must follow")]
    BatchRest {
        /// How many frames must follow.
        expected: u32,
        /// How many it says there are.
        found: u32,
    },
}

/// Records that a reader may stumble over, though it is plain where each of them ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oddities {
    /// How many.
    pub count: u64,
    /// The first in the file.
    pub first: Option<Fault>,
}

impl Oddities {
    pub(super) fn note(&mut self, offset: u64, what: FaultKind) {
        self.count += 1;
        if self.first.as_ref().is_none_or(|first| offset < first.offset) {
            self.first = Some(Fault { offset, what });
        }
    }

    /// Takes over what `other` has noted, which is nothing afterwards.
    pub(super) fn absorb(&mut self, other: &mut Oddities) {
        if other.count == 0 {
            return;
        }
        self.count += other.count;
        if let Some(fault) = other.first.take()
            && self.first.as_ref().is_none_or(|first| fault.offset < first.offset)
        {
            self.first = Some(fault);
        }
        other.count = 0;
    }
}
