//! What lies after the last whole record of an existing file, and how it is put aside.
//!
//! A host that dies in the middle of a write leaves a piece of a record. It is moved to `<file>.torn`, made durable there,
//! and only then cut from the file; so at every moment the bytes are in at least one of the two. Doing it again after a
//! crash at any step ends the same: what the crashed repair has saved is recognised at the end of `<file>.torn`. (So the
//! same bytes torn twice in a row are there once. A repair that died while it saved leaves its piece in front.)

use std::io;

use crate::csv_scan::{Scan, Scanned};
use crate::format::Format;
use crate::storage::{Storage, read_exact_at, uninterrupted};

/// How much of a file is read at once.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// What an existing file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the last whole record ends.
    pub(crate) last_record_end: u64,
    /// How much had to be read to know it.
    pub(crate) bytes_read: u64,
    /// What else is known if it is a csv file.
    pub(crate) csv: Option<Scanned>,
}

/// Finds the last record end of a file of `len` bytes. For lines that costs the tail, for csv the whole file: whether a
/// newline is inside quotes depends on every quote before it.
pub(crate) fn examine(
    storage: &mut dyn Storage,
    len: u64,
    format: &Format,
    first_row_kept_max: usize,
) -> io::Result<Found> {
    match format {
        Format::Lines => last_newline(storage, len),
        Format::Csv { .. } => scan_csv(storage, len, first_row_kept_max),
    }
}

fn last_newline(storage: &mut dyn Storage, len: u64) -> io::Result<Found> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut end = len;
    let mut last_record_end = 0;
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES as u64);
        let piece = piece_of(&mut chunk, end - start);
        read_exact_at(storage, piece, start)?;
        end = start;
        if let Some(at) = piece.iter().rposition(|&byte| byte == b'\n') {
            last_record_end = start + at as u64 + 1;
            break;
        }
    }
    Ok(Found { last_record_end, bytes_read: len - end, csv: None })
}

fn scan_csv(storage: &mut dyn Storage, len: u64, first_row_kept_max: usize) -> io::Result<Found> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut scan = Scan::new(first_row_kept_max);
    let mut start = 0;
    while start < len {
        let piece = piece_of(&mut chunk, len - start);
        read_exact_at(storage, piece, start)?;
        scan.feed(piece);
        start += piece.len() as u64;
    }
    let scanned = scan.finish();
    Ok(Found { last_record_end: scanned.last_record_end, bytes_read: len, csv: Some(scanned) })
}

/// Moves the bytes from `last_record_end` to `len` from `data` to the end of `torn`, in an order that survives a crash
/// between any two steps. `name_durable` makes the name of `torn` durable in its directory.
pub(crate) fn move_to(
    torn: &mut dyn Storage,
    data: &mut dyn Storage,
    last_record_end: u64,
    len: u64,
    mut name_durable: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    assert!(last_record_end < len, "there is a tail to move");
    let torn_len = uninterrupted(|| torn.status())?.len;
    let saved = match ends_with(torn, torn_len, data, last_record_end, len)? {
        true => Ok(()),
        false => copy(torn, data, last_record_end, len),
    };
    if let Err(error) = saved {
        // A full disk: do not leave one more piece at every attempt. If this fails too, the piece does no harm.
        if let Err(error) = torn.truncate(torn_len) {
            tracing::warn!(%error, "a half-saved torn end stays in the file of torn bytes");
        }
        return Err(error);
    }
    uninterrupted(|| torn.sync())?;
    name_durable()?;
    uninterrupted(|| data.truncate(last_record_end))?;
    uninterrupted(|| data.sync())
}

/// Whether `torn` ends with the tail of `data` already, because a repair died before it could cut.
fn ends_with(torn: &mut dyn Storage, torn_len: u64, data: &mut dyn Storage, from: u64, to: u64) -> io::Result<bool> {
    let Some(torn_from) = torn_len.checked_sub(to - from) else {
        return Ok(false);
    };
    let (mut ours, mut theirs) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut done = 0;
    while from + done < to {
        let ours = piece_of(&mut ours, to - from - done);
        let theirs = piece_of(&mut theirs, to - from - done);
        read_exact_at(data, ours, from + done)?;
        read_exact_at(torn, theirs, torn_from + done)?;
        if ours != theirs {
            return Ok(false);
        }
        done += ours.len() as u64;
    }
    Ok(true)
}

fn copy(torn: &mut dyn Storage, data: &mut dyn Storage, from: u64, to: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = from;
    while at < to {
        let mut piece: &[u8] = {
            let piece = piece_of(&mut chunk, to - at);
            read_exact_at(data, piece, at)?;
            piece
        };
        at += piece.len() as u64;
        while !piece.is_empty() {
            match uninterrupted(|| torn.append(piece))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                taken => piece = &piece[taken..],
            }
        }
    }
    Ok(())
}

/// The first `wanted` bytes of `chunk`, or all of it.
fn piece_of(chunk: &mut [u8], wanted: u64) -> &mut [u8] {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let len = chunk.len().min(wanted);
    &mut chunk[..len]
}
