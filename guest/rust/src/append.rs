//! Files that many processes append to, and that the host writes.
//!
//! An append names the hold that it relies on, or says that it relies on none, so that a line that forgot the lock does
//! not compile. The host checks the claim at the moment of writing.

use crate::bindings::lockkeeper::runtime::append as host;
use crate::error::Error;
use crate::hold::{Fence, Hold};

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The byte at which the record begins; of a batch, the first of them.
    pub offset: u64,
    /// The bytes that it takes, its end included; of a batch, all of them.
    pub length: u64,
    /// Its number among the records that this host has written to this file since it was opened, from 1; of a batch,
    /// that of the first of them. Where the job holds records back until the process ends well, offset and sequence
    /// count from the start of what is held back.
    pub sequence: u64,
}

/// How far the host has written since it opened the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The length of the file in bytes.
    pub bytes: u64,
    /// The records that this host has written to it since it was opened.
    pub records: u64,
}

/// A handle of one append file of the job. Open it once and keep it.
///
/// A record is in the file whole or not at all, never mixed with another, whatever its size up to the file's record
/// limit (1 MiB unless the job says otherwise). The records of one process stand in the order in which their appends
/// returned.
///
/// If the job binds the file to a lock, each append passes the guard:
///
/// ```no_run
/// use lockkeeper_guest::{AppendFile, Error, Mutex};
///
/// # fn main() -> Result<(), Error> {
/// let lock = Mutex::open("results")?;
/// let file = AppendFile::open("results")?;
/// let guard = lock.lock()?;
/// let record = file.append(&guard, "a line without its newline")?;
/// println!("it begins at byte {}", record.offset);
/// # drop(guard);
/// # Ok(())
/// # }
/// ```
///
/// If not, it says so:
///
/// ```no_run
/// # use lockkeeper_guest::{AppendFile, Error};
/// # fn main() -> Result<(), Error> {
/// let log = AppendFile::open("log")?;
/// log.append_unlocked("anybody may write here at any time")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AppendFile {
    handle: host::AppendFile,
}

impl AppendFile {
    /// Opens the append file that the job calls `name`: a name of the job (1 to 64 bytes of `A-Z a-z 0-9 . _ / -`), not
    /// a path.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such file for this process; [`Error::Limit`] when too
    /// many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::AppendFile::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Appends one record of bytes under the hold given. In a `lines` file the host adds the newline, and the record
    /// holds none. In a `csv` file the bytes are one row of the right width; [`AppendFile::append_row`] is easier.
    ///
    /// # Errors
    ///
    /// [`Error::LockRequired`] when this process does not hold the file's lock; [`Error::Fenced`] when the hold given
    /// is over; [`Error::InvalidArgument`] for a fence that was never issued, a newline inside, a row of the wrong
    /// shape; [`Error::Limit`] for a record that is too long or a file that is full; [`Error::Io`]. After any of them
    /// nothing of the record is in the file.
    pub fn append(&self, hold: &impl Hold, record: impl AsRef<[u8]>) -> Result<Appended, Error> {
        self.append_bytes(Some(hold.fence()), record.as_ref())
    }

    /// Appends one record of bytes to a file that is bound to no lock.
    ///
    /// If the file is bound to one after all, the hold counts that this process has at this moment.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append`].
    pub fn append_unlocked(&self, record: impl AsRef<[u8]>) -> Result<Appended, Error> {
        self.append_bytes(None, record.as_ref())
    }

    /// Appends one row to a `csv` file under the hold given. The host quotes the fields and writes the header.
    /// [`row!`](crate::row) makes a row of fields of any types.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append`]; [`Error::InvalidArgument`] when the number of fields is not the file's number of
    /// columns, or the file is not `csv`.
    ///
    /// ```no_run
    /// use lockkeeper_guest::{AppendFile, Error, Mutex, row};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let lock = Mutex::open("results")?;
    /// # let file = AppendFile::open("results")?;
    /// let loss = 0.25;
    /// lock.with_lock(|guard| file.append_row(guard, row!["client-3", 20, format_args!("{loss:.6}")]))?;
    /// lock.with_lock(|guard| file.append_row(guard, ["client-3", "21", "0.248001"]))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn append_row<F>(&self, hold: &impl Hold, fields: impl IntoIterator<Item = F>) -> Result<Appended, Error>
    where
        F: AsRef<str>,
    {
        self.append_fields(Some(hold.fence()), fields)
    }

    /// Appends one row to a `csv` file that is bound to no lock.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append_row`].
    pub fn append_row_unlocked<F>(&self, fields: impl IntoIterator<Item = F>) -> Result<Appended, Error>
    where
        F: AsRef<str>,
    {
        self.append_fields(None, fields)
    }

    /// Appends several records at once under the hold given, next to each other: all of them or none. The bytes of all
    /// meet the limit of one call (2 MiB unless the job says otherwise).
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append`]; one record that is refused refuses them all.
    ///
    /// ```no_run
    /// # use lockkeeper_guest::{AppendFile, Error, Mutex};
    /// # fn main() -> Result<(), Error> {
    /// # let lock = Mutex::open("results")?;
    /// # let file = AppendFile::open("results")?;
    /// lock.with_lock(|guard| file.append_batch(guard, ["first line", "second line"]))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn append_batch<R>(&self, hold: &impl Hold, records: impl IntoIterator<Item = R>) -> Result<Appended, Error>
    where
        R: AsRef<[u8]>,
    {
        self.append_records(Some(hold.fence()), records)
    }

    /// Appends several records at once to a file that is bound to no lock: all of them or none.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append_batch`].
    pub fn append_batch_unlocked<R>(&self, records: impl IntoIterator<Item = R>) -> Result<Appended, Error>
    where
        R: AsRef<[u8]>,
    {
        self.append_records(None, records)
    }

    /// How far the file goes now. Others may append between this call and the next.
    pub fn position(&self) -> Position {
        let position = self.handle.position();
        Position { bytes: position.bytes, records: position.records }
    }

    fn append_bytes(&self, fence: Option<Fence>, record: &[u8]) -> Result<Appended, Error> {
        answer(self.handle.append(record, fence.map(Fence::get)))
    }

    fn append_fields<F>(&self, fence: Option<Fence>, fields: impl IntoIterator<Item = F>) -> Result<Appended, Error>
    where
        F: AsRef<str>,
    {
        let fields: Vec<F> = fields.into_iter().collect();
        let fields: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        answer(self.handle.append_row(&fields, fence.map(Fence::get)))
    }

    fn append_records<R>(&self, fence: Option<Fence>, records: impl IntoIterator<Item = R>) -> Result<Appended, Error>
    where
        R: AsRef<[u8]>,
    {
        let records: Vec<R> = records.into_iter().collect();
        let records: Vec<&[u8]> = records.iter().map(AsRef::as_ref).collect();
        answer(self.handle.append_batch(&records, fence.map(Fence::get)))
    }
}

fn answer(result: Result<host::Appended, host::Error>) -> Result<Appended, Error> {
    let appended = result.map_err(Error::from_wit)?;
    Ok(Appended { offset: appended.offset, length: appended.length, sequence: appended.sequence })
}

/// A row of fields of different types, each as it is displayed: `row!["client-3", 20, format_args!("{loss:.6}")]`.
///
/// ```
/// let row = lockkeeper_guest::row!["client-3", 20, format_args!("{:.3}", 1.0 / 3.0)];
/// assert_eq!(row, ["client-3", "20", "0.333"]);
/// ```
#[macro_export]
macro_rules! row {
    ($($field:expr),* $(,)?) => {
        [$(::std::string::ToString::to_string(&$field)),*]
    };
}
