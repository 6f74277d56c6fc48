//! Append files that keep their records whole.
//!
//! [`AppendFile`] is the one writer of one file. A record is in the file whole, in order, or not at all; who may write is
//! asked at the moment of writing; what a crash has torn is put aside when the file is opened next. [`counter`] hands
//! out numbers that never come back, and [`os_lock`] is the one place that locks between processes.
//!
//! std threads only: no executor, no WebAssembly, no knowledge of what a lock or a guest is.

pub mod counter;
mod csv_scan;
mod error;
mod file;
mod format;
mod identity;
mod open;
pub mod os_lock;
mod storage;
mod tail;
#[cfg(test)]
mod tests;

pub use error::{AppendError, Change, InvalidRecord, LatchCause, OpenError};
pub use file::{AppendFile, Appended, Position, unguarded};
pub use format::{Encoded, Format};
pub use open::{
    BATCH_BYTES_MAX, FileSpec, IfExists, OpenReport, Parents, RECORD_BYTES_CEILING, RECORD_BYTES_MAX, Torn,
};
