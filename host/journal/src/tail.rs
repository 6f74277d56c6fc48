//! How a torn end is put aside.
//!
//! A host that dies in the middle of a write leaves a piece of a record. It is moved to `<file>.torn`, made durable there,
//! and only then cut from the file; so at every moment the bytes are in at least one of the two. Doing it again after a
//! crash at any step ends the same: what the crashed repair has saved is recognised at the end of `<file>.torn`. (So the
//! same bytes torn twice in a row are there once. A repair that died while it saved leaves its piece in front.)

use std::io;
use std::path::Path;

use crate::error::OpenError;
use crate::open::{TORN, Torn, beside, check_regular, dir_of};
use crate::storage::{Access, Disk, Status, Storage, read_exact_at, uninterrupted};

/// How much is copied at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Cuts `data`, which has `len` bytes, at `end`; what is behind it goes to the file of torn bytes. The caller syncs `data`.
pub(crate) fn put_aside(
    disk: &dyn Disk,
    path: &Path,
    data: &dyn Storage,
    status: &Status,
    end: u64,
    len: u64,
    reason: String,
) -> Result<Torn, OpenError> {
    let torn_path = beside(path, TORN);
    let failed = |source| OpenError::Repair { path: path.to_owned(), torn_path: torn_path.clone(), source };
    let torn = match disk.look(&torn_path).map_err(failed)? {
        Some(status) => {
            check_regular(&torn_path, &status)?;
            uninterrupted(|| disk.open(&torn_path, Access::Append)).map_err(failed)?
        }
        // The torn bytes are no more public than the file they come from.
        None => {
            let access = Access::CreateAppend { mode: status.mode & 0o666 };
            uninterrupted(|| disk.open(&torn_path, access)).map_err(failed)?
        }
    };
    move_to(&*torn, data, end, len, || disk.sync_dir(dir_of(&torn_path))).map_err(failed)?;
    Ok(Torn { offset: end, bytes: len - end, reason, saved_to: torn_path })
}

/// Moves the bytes from `last_record_end` to `len` from `data` to the end of `torn`, in an order that survives a crash
/// between any two steps. `name_durable` makes the name of `torn` durable in its directory. The cut is not synced.
pub(crate) fn move_to(
    torn: &dyn Storage,
    data: &dyn Storage,
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
        if let Err(error) = uninterrupted(|| torn.truncate(torn_len)) {
            tracing::warn!(%error, "a half-saved torn end stays in the file of torn bytes");
        }
        return Err(error);
    }
    uninterrupted(|| torn.sync())?;
    uninterrupted(&mut name_durable)?;
    uninterrupted(|| data.truncate(last_record_end))
}

/// Whether `torn` ends with the tail of `data` already, because a repair died before it could cut.
fn ends_with(torn: &dyn Storage, torn_len: u64, data: &dyn Storage, from: u64, to: u64) -> io::Result<bool> {
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

fn copy(torn: &dyn Storage, data: &dyn Storage, from: u64, to: u64) -> io::Result<()> {
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
