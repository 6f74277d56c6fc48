//! How a file is opened for appending: lock, look, repair, and only then write.
//!
//! The order is the point. Nothing is made or changed before the path is known to name a regular file or nothing; the file
//! is not looked into before its lock is held; it is not changed before everything that can refuse it has been asked; and
//! the sidecar says that we write to it before we do.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::csv_scan::Scanned;
use crate::error::{AppendError, OpenError};
use crate::file::{AppendFile, Writer, header_error};
use crate::format::{Encoded, Encoder, Format};
use crate::identity::{self, FileId, Registration};
use crate::os_lock::{Attempt, OsLock};
use crate::storage::Disk;
use crate::tail::{self, Found};

/// The default limit of a record without its newline.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The default limit of a batch with its newlines.
pub const BATCH_BYTES_MAX: usize = 16 << 20;

/// The largest record or batch limit that may be asked for: a single write takes no more than about twice this.
pub const RECORD_BYTES_CEILING: usize = 1 << 30;

/// What to do with a file that exists and is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Go on after its last whole record.
    Append,
    /// Empty it. What it held is gone as soon as the file is open.
    Replace,
    /// Refuse it.
    Refuse,
}

/// What to do if the directory of the file is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parents {
    /// Make it, and those above it.
    Create,
    /// Refuse.
    MustExist,
}

/// Which file to open, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileSpec {
    /// Where it is. Its sidecar is `<path>.lock`, its torn bytes go to `<path>.torn`.
    pub path: PathBuf,
    /// What its records look like.
    pub format: Format,
    /// What to do if there is something in it.
    pub if_exists: IfExists,
    /// What to do if its directory is missing.
    pub parents: Parents,
    /// The limit of a record without its newline.
    pub record_bytes_max: usize,
    /// The limit of a batch with its newlines.
    pub batch_bytes_max: usize,
    /// What other processes are told about who writes the file, for example the command line.
    pub holder: String,
}

impl FileSpec {
    /// Appends to the file if it exists, in a directory that exists, with the default limits.
    pub fn new(path: impl Into<PathBuf>, format: Format, holder: impl Into<String>) -> FileSpec {
        FileSpec {
            path: path.into(),
            format,
            if_exists: IfExists::Append,
            parents: Parents::MustExist,
            record_bytes_max: RECORD_BYTES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            holder: holder.into(),
        }
    }
}

/// What was found, and done, when a file was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The records that the file held before this run, the header not among them; unknown for lines, which are not
    /// counted.
    pub records_before: Option<u64>,
    /// The bytes that the file held before this run, after the repair; none if it was made or replaced.
    pub bytes_before: u64,
    /// What a torn record left, if one was found.
    pub torn: Option<Torn>,
    /// The bytes that were in a file that was replaced.
    pub replaced_bytes: u64,
    /// Whether the file was made.
    pub created: bool,
    /// Whether this run has written the header.
    pub header_written: bool,
    /// How much of the file was read to find its end.
    pub bytes_read: u64,
}

/// A torn end that was cut off and saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Its size.
    pub bytes: u64,
    /// The file at whose end it now is.
    pub saved_to: PathBuf,
}

/// The path with something after the file name: `out.csv` and `.lock` is `out.csv.lock`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn open(spec: &FileSpec) -> Result<(AppendFile, OpenReport), OpenError> {
    let path = &spec.path;
    let (encoder, header) = examine(spec)?;
    make_parents(spec)?;

    let mut lock = lock(spec)?;
    let (file, created) = open_data(path)?;
    let metadata = file.metadata().map_err(io_error("examine", path))?;
    check_regular(path, &metadata)?;
    if metadata.nlink() > 1 {
        return Err(OpenError::Linked { path: path.clone(), links: metadata.nlink() });
    }
    let registration =
        Registration::enter(FileId::of(&metadata), path).map_err(|open_as| already_open(path, open_as))?;

    let mut disk = Disk(file);
    let (len, report) = settle(spec, &mut disk, &metadata, &lock, &encoder, created)?;
    vouch(&mut lock, &metadata)?;
    let mut report = report;
    let mut writer = Writer::new(Box::new(disk), len);
    if let Some(header) = header.filter(|_| len == 0) {
        writer.append_whole(path, &header.bytes).map_err(|error: AppendError<Infallible>| header_error(error))?;
        encoder.fix_columns(header.columns.expect("a header is a row"));
        report.header_written = true;
    }
    let file = AppendFile::new(path.clone(), encoder, writer, Some(registration), Some(lock));
    Ok((file, report))
}

/// Whether a file could be opened, as far as that can be said without changing it or what lies beside it, but for its
/// sidecar.
pub(crate) fn check(spec: &FileSpec) -> Result<(), OpenError> {
    examine(spec)?;
    if spec.path.exists() {
        drop(lock(spec)?);
    }
    Ok(())
}

/// What can be said of a file before anything is made, locked or looked into.
fn examine(spec: &FileSpec) -> Result<(Encoder, Option<Encoded>), OpenError> {
    let path = &spec.path;
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(OpenError::NoFileName { path: path.clone() });
    }
    let encoder = encoder(spec)?;
    let header = encoded_header(spec, &encoder)?;
    refuse_odd(path)?;
    Ok((encoder, header))
}

fn encoder(spec: &FileSpec) -> Result<Encoder, OpenError> {
    for asked in [spec.record_bytes_max, spec.batch_bytes_max] {
        if asked == 0 || asked > RECORD_BYTES_CEILING {
            return Err(OpenError::RecordLimit { asked, max: RECORD_BYTES_CEILING });
        }
    }
    Ok(Encoder::new(&spec.format, spec.record_bytes_max, spec.batch_bytes_max))
}

fn encoded_header(spec: &FileSpec, encoder: &Encoder) -> Result<Option<Encoded>, OpenError> {
    match &spec.format {
        Format::Csv { header } if !header.is_empty() => {
            encoder.row(header).map(Some).map_err(|reason| OpenError::InvalidHeader { reason })
        }
        Format::Csv { .. } | Format::Lines => Ok(None),
    }
}

/// Refuses what is no regular file before anything is made beside it, and before opening it, which may have effects.
fn refuse_odd(path: &Path) -> Result<(), OpenError> {
    match path.symlink_metadata() {
        Ok(metadata) => {
            check_regular(path, &metadata)?;
            match identity::open_as(FileId::of(&metadata)) {
                Some(open_as) => Err(already_open(path, open_as)),
                None => Ok(()),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error("examine", path)(source)),
    }
}

fn check_regular(path: &Path, metadata: &Metadata) -> Result<(), OpenError> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return Err(OpenError::SymbolicLink { path: path.to_owned() });
    }
    let kind = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(OpenError::NotRegular { path: path.to_owned(), kind })
}

fn make_parents(spec: &FileSpec) -> Result<(), OpenError> {
    match (spec.parents, spec.path.parent()) {
        (Parents::Create, Some(parent)) if !parent.as_os_str().is_empty() => {
            fs::create_dir_all(parent).map_err(io_error("make the directory", parent))
        }
        (Parents::Create, Some(_) | None) | (Parents::MustExist, _) => Ok(()),
    }
}

fn lock(spec: &FileSpec) -> Result<OsLock, OpenError> {
    match OsLock::try_exclusive(&beside(&spec.path, ".lock"), &spec.holder)? {
        Attempt::Acquired(lock) => Ok(lock),
        Attempt::Busy(holder) => {
            // Another thread of ours may have opened it just now.
            refuse_odd(&spec.path)?;
            Err(OpenError::Busy { path: spec.path.clone(), holder })
        }
    }
}

/// Opens the file, or makes it. `O_NOFOLLOW` and `O_NONBLOCK` for what may have taken its place since it was looked at.
fn open_data(path: &Path) -> Result<(File, bool), OpenError> {
    let mut options = fs::OpenOptions::new();
    options.read(true).append(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let created = match options.open(path) {
        Ok(file) => return Ok((file, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.create_new(true).open(path),
        Err(error) => Err(error),
    };
    created.map(|file| (file, true)).map_err(|source| {
        // Say what stands there rather than what the system calls it.
        match path.symlink_metadata() {
            Ok(metadata) => check_regular(path, &metadata).err(),
            Err(_) => None,
        }
        .unwrap_or_else(|| io_error("open", path)(source))
    })
}

/// Brings an existing file to a state that ends on a whole record, as the spec wants it. Answers that length.
fn settle(
    spec: &FileSpec,
    disk: &mut Disk,
    metadata: &Metadata,
    lock: &OsLock,
    encoder: &Encoder,
    created: bool,
) -> Result<(u64, OpenReport), OpenError> {
    let path = &spec.path;
    let bytes = metadata.len();
    let mut report = OpenReport {
        records_before: Some(0),
        bytes_before: 0,
        torn: None,
        replaced_bytes: 0,
        created,
        header_written: false,
        bytes_read: 0,
    };
    match spec.if_exists {
        _ if bytes == 0 => return Ok((0, report)),
        IfExists::Refuse => {
            return Err(OpenError::Exists { path: path.clone(), bytes });
        }
        IfExists::Replace => {
            crate::storage::Storage::truncate(disk, 0).map_err(io_error("empty", path))?;
            report.replaced_bytes = bytes;
            return Ok((0, report));
        }
        IfExists::Append => {}
    }
    let found = tail::examine(disk, bytes, &spec.format, spec.record_bytes_max).map_err(io_error("read", path))?;
    let end = found.last_record_end;
    assert!(end <= bytes, "a record ends within its file");
    if end < bytes && lock.mark() != Some(&identity::written_mark(metadata)) {
        return Err(OpenError::ForeignTail { path: path.clone(), last_record_end: end, bytes });
    }
    report.records_before = accept_rows(spec, encoder, &found)?;
    report.bytes_before = end;
    report.bytes_read = found.bytes_read;
    if end < bytes {
        report.torn = Some(repair(path, disk, metadata, end)?);
    }
    Ok((end, report))
}

/// Checks the first row of a csv file, and answers how many records follow the header.
fn accept_rows(spec: &FileSpec, encoder: &Encoder, found: &Found) -> Result<Option<u64>, OpenError> {
    let (header, scanned) = match (&spec.format, &found.csv) {
        (Format::Csv { header }, Some(scanned)) => (header, scanned),
        (Format::Csv { .. }, None) | (Format::Lines, _) => return Ok(None),
    };
    if found.last_record_end == 0 {
        return Ok(Some(0));
    }
    if header.is_empty() {
        if let Some(columns) = scanned.columns {
            encoder.fix_columns(columns);
        }
        return Ok(Some(scanned.rows));
    }
    let first_row = first_row(scanned);
    let same = scanned.first_row_whole && first_row.iter().eq(header.iter().map(String::as_bytes));
    if !same {
        return Err(OpenError::HeaderMismatch {
            path: spec.path.clone(),
            expected: header.clone(),
            found: first_row.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect(),
        });
    }
    encoder.fix_columns(header.len());
    Ok(Some(scanned.rows - 1))
}

/// The fields of the first row; none if the file has no row.
fn first_row(scanned: &Scanned) -> csv::ByteRecord {
    let mut row = csv::ByteRecord::new();
    if scanned.columns.is_some() {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(scanned.first_row.as_slice())
            .read_byte_record(&mut row)
            .expect("bytes in memory are read without an error");
    }
    row
}

fn repair(path: &Path, disk: &mut Disk, metadata: &Metadata, last_record_end: u64) -> Result<Torn, OpenError> {
    let torn_path = beside(path, ".torn");
    let failed = |source| OpenError::Repair { path: path.to_owned(), torn_path: torn_path.clone(), source };
    // The torn bytes are no more public than the file they come from.
    let torn = fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(metadata.mode() & 0o666)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(&torn_path)
        .map_err(failed)?;
    check_regular(&torn_path, &torn.metadata().map_err(failed)?)?;
    let bytes = metadata.len();
    tail::move_to(&mut Disk(torn), disk, last_record_end, bytes, || sync_directory_of(&torn_path)).map_err(failed)?;
    Ok(Torn { bytes: bytes - last_record_end, saved_to: torn_path })
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

/// Says in the sidecar that we write to this file, so that a later run may cut what we leave torn.
fn vouch(lock: &mut OsLock, metadata: &Metadata) -> Result<(), OpenError> {
    let mark = identity::written_mark(metadata);
    if lock.mark() != Some(&mark) {
        lock.set_mark(&mark)?;
    }
    Ok(())
}

fn already_open(path: &Path, open_as: PathBuf) -> OpenError {
    OpenError::AlreadyOpen { path: path.to_owned(), open_as }
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}
