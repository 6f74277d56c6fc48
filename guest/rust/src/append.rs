//! Files that many processes append to, and that the host writes.
//!
//! An append names the hold that it relies on, or says that it relies on none, so that a line that forgot the lock does
//! not compile. The host checks the claim at the moment of writing.

use std::fmt;

use crate::bindings::lockkeeper::runtime::append as host;
use crate::error::Error;
use crate::hold::{Fence, Hold};

/// What a record survives whose append has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it is in the host's memory and soon in the file. For records that may be lost with the host.
    Buffered,
    /// The death of the host: it is in the file as every reader sees it.
    Written,
    /// The loss of power, on a disk that honours flushes. All who wait at the same time share one flush.
    Synced,
}

impl Durability {
    /// The contract's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }

    fn from_wit(durability: host::Durability) -> Self {
        match durability {
            host::Durability::Buffered => Self::Buffered,
            host::Durability::Written => Self::Written,
            host::Durability::Synced => Self::Synced,
        }
    }

    fn to_wit(self) -> host::Durability {
        match self {
            Self::Buffered => host::Durability::Buffered,
            Self::Written => host::Durability::Written,
            Self::Synced => host::Durability::Synced,
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How to append, where it is not as the job says. A [`Durability`] alone will do where one of these is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOptions<'a> {
    /// What the record is to survive before the call returns; `None`: what the job says for this file.
    pub durability: Option<Durability>,
    /// What the record, or the batch, is called: 1 to 256 bytes. If records of that id are in the file already, nothing is
    /// written and [`Appended::repeated`] says so. It is remembered with the file, across restarts. Only where the job
    /// says that the file has ids.
    pub id: Option<&'a str>,
}

impl<'a> AppendOptions<'a> {
    fn to_wit(self) -> host::AppendOptions<'a> {
        host::AppendOptions { durability: self.durability.map(Durability::to_wit), id: self.id }
    }
}

impl From<Durability> for AppendOptions<'_> {
    fn from(durability: Durability) -> Self {
        Self { durability: Some(durability), id: None }
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The byte at which the record begins; of a batch, the first of them.
    pub offset: u64,
    /// The bytes that it takes, its end included; of a batch, all of them.
    pub length: u64,
    /// Its number among the records that this host has written to this file since it was opened, from 1; of a batch,
    /// that of the first of them. Where the job holds records back until the process ends well, offset and sequence
    /// count from the start of what is held back. 0 if it was there already.
    pub sequence: u64,
    /// What it survives now.
    pub durability: Durability,
    /// Whether records of this id were in the file already, at this place: nothing was written.
    pub repeated: bool,
}

/// How far the host has written since it opened the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The length of the file in bytes, what is buffered included.
    pub bytes: u64,
    /// How many of them are known to survive the loss of power.
    pub synced_bytes: u64,
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
///
/// What returns as appended survives what the job says for the file: unless it says otherwise the death of the host, and not
/// the loss of power. A record can ask for more, or less; and for being written once, whoever repeats it:
///
/// ```no_run
/// # use lockkeeper_guest::{AppendFile, AppendOptions, Durability, Error, Mutex};
/// # fn main() -> Result<(), Error> {
/// # let lock = Mutex::open("results")?;
/// # let file = AppendFile::open("results")?;
/// let guard = lock.lock()?;
/// file.append_with(&guard, "it was paid", Durability::Synced)?;
/// let once = AppendOptions { id: Some("order 4711"), ..AppendOptions::default() };
/// if file.append_with(&guard, "order 4711 was shipped", once)?.repeated {
///     println!("an earlier run has said so already");
/// }
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
    /// holds none. In a `csv` file the bytes are one row of the right width; [`AppendFile::append_row`] is easier. In a
    /// `jsonl` file they are one JSON value without a line break. None of these holds a zero byte. In a `framed` file they
    /// are any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::LockRequired`] when this process does not hold the file's lock; [`Error::Fenced`] when the hold given
    /// is over; [`Error::InvalidArgument`] for a fence that was never issued, a newline inside, a row of the wrong
    /// shape; [`Error::Limit`] for a record that is too long or a file that is full; [`Error::Io`]. After any of them
    /// nothing of the record is in the file, but for [`Error::Io`] where [`Durability::Synced`] was asked for, here or by the
    /// job, or where the host could not take a failed write back: then it may be, and may survive or not, and the file takes
    /// no more.
    pub fn append(&self, hold: &impl Hold, record: impl AsRef<[u8]>) -> Result<Appended, Error> {
        self.append_bytes(Some(hold.fence()), record.as_ref(), AppendOptions::default())
    }

    /// [`AppendFile::append`], with a durability or an id of its own.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append`]; [`Error::InvalidArgument`] for an id of the wrong length, or where the file has none.
    pub fn append_with<'a>(
        &self,
        hold: &impl Hold,
        record: impl AsRef<[u8]>,
        options: impl Into<AppendOptions<'a>>,
    ) -> Result<Appended, Error> {
        self.append_bytes(Some(hold.fence()), record.as_ref(), options.into())
    }

    /// Appends one record of bytes to a file that is bound to no lock.
    ///
    /// If the file is bound to one after all, the hold counts that this process has at this moment.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append`].
    pub fn append_unlocked(&self, record: impl AsRef<[u8]>) -> Result<Appended, Error> {
        self.append_bytes(None, record.as_ref(), AppendOptions::default())
    }

    /// [`AppendFile::append_unlocked`], with a durability or an id of its own.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append_with`].
    pub fn append_unlocked_with<'a>(
        &self,
        record: impl AsRef<[u8]>,
        options: impl Into<AppendOptions<'a>>,
    ) -> Result<Appended, Error> {
        self.append_bytes(None, record.as_ref(), options.into())
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
        self.append_fields(Some(hold.fence()), fields, AppendOptions::default())
    }

    /// [`AppendFile::append_row`], with a durability or an id of its own.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append_row`] and [`AppendFile::append_with`].
    pub fn append_row_with<'a, F>(
        &self,
        hold: &impl Hold,
        fields: impl IntoIterator<Item = F>,
        options: impl Into<AppendOptions<'a>>,
    ) -> Result<Appended, Error>
    where
        F: AsRef<str>,
    {
        self.append_fields(Some(hold.fence()), fields, options.into())
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
        self.append_fields(None, fields, AppendOptions::default())
    }

    /// [`AppendFile::append_row_unlocked`], with a durability or an id of its own.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append_row`] and [`AppendFile::append_with`].
    pub fn append_row_unlocked_with<'a, F>(
        &self,
        fields: impl IntoIterator<Item = F>,
        options: impl Into<AppendOptions<'a>>,
    ) -> Result<Appended, Error>
    where
        F: AsRef<str>,
    {
        self.append_fields(None, fields, options.into())
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
        self.append_records(Some(hold.fence()), records, AppendOptions::default())
    }

    /// [`AppendFile::append_batch`], with a durability of its own, or an id for the batch.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append_batch`] and [`AppendFile::append_with`].
    pub fn append_batch_with<'a, R>(
        &self,
        hold: &impl Hold,
        records: impl IntoIterator<Item = R>,
        options: impl Into<AppendOptions<'a>>,
    ) -> Result<Appended, Error>
    where
        R: AsRef<[u8]>,
    {
        self.append_records(Some(hold.fence()), records, options.into())
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
        self.append_records(None, records, AppendOptions::default())
    }

    /// [`AppendFile::append_batch_unlocked`], with a durability of its own, or an id for the batch.
    ///
    /// # Errors
    ///
    /// As [`AppendFile::append_batch`] and [`AppendFile::append_with`].
    pub fn append_batch_unlocked_with<'a, R>(
        &self,
        records: impl IntoIterator<Item = R>,
        options: impl Into<AppendOptions<'a>>,
    ) -> Result<Appended, Error>
    where
        R: AsRef<[u8]>,
    {
        self.append_records(None, records, options.into())
    }

    /// Waits until everything that was appended to the file before this call, by whomever, survives the loss of power. One
    /// for many records is cheaper than [`Durability::Synced`] for each.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the disk failed: then what was written since the last good flush may be lost with the power, and
    /// the file takes no more records.
    ///
    /// What the job holds back until this process ends well, as `map` does, survives from that end on, which waits for it.
    ///
    /// ```no_run
    /// # use lockkeeper_guest::{AppendFile, Durability, Error};
    /// # fn main() -> Result<(), Error> {
    /// let log = AppendFile::open("log")?;
    /// for step in 0..1000 {
    ///     log.append_unlocked_with(format!("step {step}"), Durability::Buffered)?;
    /// }
    /// let safe = log.sync()?.synced_bytes;
    /// println!("{safe} bytes survive the loss of power");
    /// # Ok(())
    /// # }
    /// ```
    pub fn sync(&self) -> Result<Position, Error> {
        self.handle.sync().map(Position::from_wit).map_err(Error::from_wit)
    }

    /// How far the file goes now. Others may append between this call and the next.
    pub fn position(&self) -> Position {
        Position::from_wit(self.handle.position())
    }

    fn append_bytes(&self, fence: Option<Fence>, record: &[u8], options: AppendOptions<'_>) -> Result<Appended, Error> {
        answer(self.handle.append(record, fence.map(Fence::get), options.to_wit()))
    }

    fn append_fields<F>(
        &self,
        fence: Option<Fence>,
        fields: impl IntoIterator<Item = F>,
        options: AppendOptions<'_>,
    ) -> Result<Appended, Error>
    where
        F: AsRef<str>,
    {
        let fields: Vec<F> = fields.into_iter().collect();
        let fields: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        answer(self.handle.append_row(&fields, fence.map(Fence::get), options.to_wit()))
    }

    fn append_records<R>(
        &self,
        fence: Option<Fence>,
        records: impl IntoIterator<Item = R>,
        options: AppendOptions<'_>,
    ) -> Result<Appended, Error>
    where
        R: AsRef<[u8]>,
    {
        let records: Vec<R> = records.into_iter().collect();
        let records: Vec<&[u8]> = records.iter().map(AsRef::as_ref).collect();
        answer(self.handle.append_batch(&records, fence.map(Fence::get), options.to_wit()))
    }
}

impl Position {
    fn from_wit(position: host::Position) -> Self {
        Self { bytes: position.bytes, synced_bytes: position.synced_bytes, records: position.records }
    }
}

fn answer(result: Result<host::Appended, host::Error>) -> Result<Appended, Error> {
    let appended = result.map_err(Error::from_wit)?;
    Ok(Appended {
        offset: appended.offset,
        length: appended.length,
        sequence: appended.sequence,
        durability: Durability::from_wit(appended.durability),
        repeated: appended.repeated,
    })
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
