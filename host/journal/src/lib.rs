//! Append files that keep their records whole.
//!
//! [`AppendFile`] is the one writer of one file. A record is in the file whole, in order, or not at all; who may write is
//! asked at the moment of writing; what a crash has torn is put aside when the file is opened next. [`Reader`] reads the
//! four formats, and [`inspect`] says what is in a file and mends it. [`counter`] hands out numbers that never come back,
//! [`os_lock`] is the one place that locks between processes ([`lock_file`] for a file that is locked
//! again and again, [`machine_lock`] for one that says who has it and counts fences), and [`storage`] the one that touches the disk.
//!
//! std threads only: no executor, no WebAssembly, no knowledge of what a lock or a guest is. What has to wait is a future
//! that any executor can poll, or a thread can block on.

mod checkpoint;
pub mod counter;
mod csv_scan;
mod elsewhere;
mod error;
mod fields;
mod file;
pub mod flocks;
mod format;
mod frame;
mod identity;
mod ids;
pub mod inspect;
mod json_line;
pub mod lock_file;
pub mod machine_lock;
mod open;
pub mod os_lock;
mod reader;
mod recover;
mod room;
mod scan;
pub mod storage;
mod sync;
mod tail;
#[cfg(test)]
mod tests;
mod turns;
mod worker;
mod writer;

pub use elsewhere::Elsewhere;
pub use error::{AppendError, Change, InvalidRecord, LatchCause, OpenError, Quota, SyncError};
pub use fields::FieldReader;
pub use file::{AppendFile, AppendOptions, Appended, Durability, Position, unguarded};
pub use format::{BATCH_RECORDS_MAX, Encoded, Format};
pub use ids::{RecordId, RecordIdSyntax};
pub use open::{
    BATCH_BYTES_MAX, CheckpointUse, FileSpec, IDS_PER_FILE_MAX, IdsReport, IfExists, OpenReport, Parents,
    RECORD_BYTES_CEILING, RECORD_BYTES_MAX, Torn,
};
pub use reader::{FrameInfo, ReadError, Reader, Record, Tail, detect};
pub use scan::{Fault, FaultKind, FormatKind, Oddities, UnknownFormat};
pub use sync::Syncing;
