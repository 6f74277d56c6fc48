//! How a torn end is put aside.
//!
//! A host that dies in the middle of a write leaves a piece of a record. It is moved to `<file>.torn`, made durable there,
//! and only then cut from the file; so at every moment the bytes are in at least one of the two. In `<file>.torn` each piece
//! has a line before it that says where it was, how long it is and why it was cut, and a newline behind it, so that people
//! can read it and a program get the bytes back:
//!
//! ```text
//! lockkeeper-torn 1 offset 2000 length 10 reason a record without its end
//! half a rec
//! ```
//!
//! Doing it again after a crash at any step ends the same: what the crashed repair has saved is recognised at the end of
//! `<file>.torn`. (So the same bytes torn twice in a row at the same place are there once. A repair that died while it saved
//! leaves its piece in front, which then has fewer bytes than its line says, or zeros.)

use std::io;
use std::path::Path;

use crate::error::OpenError;
use crate::open::{TORN, Torn, beside, check_regular, dir_of};
use crate::storage::{Access, Disk, Status, Storage, read_exact_at, uninterrupted};

/// What the line before a piece begins with.
const MAGIC: &str = "lockkeeper-torn 1 ";

/// A reason is a few words; the rest of a longer one is left out.
const REASON_BYTES_MAX: usize = 256;

/// No line before a piece is longer, its newline included: the words, two numbers and a reason.
const LINE_BYTES_MAX: usize = 128 + REASON_BYTES_MAX;

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
    move_to(&*torn, data, end, len, &reason, || disk.sync_dir(dir_of(&torn_path))).map_err(failed)?;
    Ok(Torn { offset: end, bytes: len - end, reason, saved_to: torn_path })
}

/// Moves the bytes from `last_record_end` to `len` from `data` to the end of `torn`, in an order that survives a crash
/// between any two steps. `name_durable` makes the name of `torn` durable in its directory. The cut is not synced.
pub(crate) fn move_to(
    torn: &dyn Storage,
    data: &dyn Storage,
    last_record_end: u64,
    len: u64,
    reason: &str,
    mut name_durable: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    assert!(last_record_end < len, "there is a tail to move");
    let torn_len = uninterrupted(|| torn.status())?.len;
    let saved = match ends_with(torn, torn_len, data, last_record_end, len)? {
        true => Ok(()),
        false => copy(torn, data, last_record_end, len, torn_len, reason),
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

/// The line before a piece.
fn line(from: u64, to: u64, reason: &str) -> String {
    let mut reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let line = format!("{}reason {reason}\n", line_start(from, to));
    assert!(line.len() <= LINE_BYTES_MAX, "a line has room for every number");
    line
}

fn line_start(from: u64, to: u64) -> String {
    format!("{MAGIC}offset {from} length {} ", to - from)
}

/// Whether `torn` ends with the tail of `data` already, because a repair died before it could cut. The reason may be another
/// one by now.
fn ends_with(torn: &dyn Storage, torn_len: u64, data: &dyn Storage, from: u64, to: u64) -> io::Result<bool> {
    let Some(bytes_from) = torn_len.checked_sub(to - from + 1) else {
        return Ok(false);
    };
    let line_max = usize::try_from(bytes_from).unwrap_or(usize::MAX).min(LINE_BYTES_MAX);
    let mut before = vec![0; line_max];
    read_exact_at(torn, &mut before, bytes_from - line_max as u64)?;
    let Some((b'\n', before)) = before.split_last() else {
        return Ok(false);
    };
    let line = before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut newline = [0];
    read_exact_at(torn, &mut newline, torn_len - 1)?;
    if !line.starts_with(line_start(from, to).as_bytes()) || newline != *b"\n" {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut done = 0;
    while from + done < to {
        let ours = piece_of(&mut ours, to - from - done);
        let theirs = piece_of(&mut theirs, to - from - done);
        read_exact_at(data, ours, from + done)?;
        read_exact_at(torn, theirs, bytes_from + done)?;
        if ours != theirs {
            return Ok(false);
        }
        done += ours.len() as u64;
    }
    Ok(true)
}

fn copy(torn: &dyn Storage, data: &dyn Storage, from: u64, to: u64, torn_len: u64, reason: &str) -> io::Result<()> {
    // What a crashed repair has left of a piece may end anywhere.
    let mut last = [b'\n'];
    if torn_len > 0 {
        read_exact_at(torn, &mut last, torn_len - 1)?;
    }
    if last != *b"\n" {
        append_all(torn, b"\n")?;
    }
    append_all(torn, line(from, to, reason).as_bytes())?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = from;
    while at < to {
        let piece = piece_of(&mut chunk, to - at);
        read_exact_at(data, piece, at)?;
        at += piece.len() as u64;
        append_all(torn, piece)?;
    }
    append_all(torn, b"\n")
}

fn append_all(torn: &dyn Storage, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| torn.append(bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            taken => bytes = &bytes[taken..],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_before_a_piece_is_one_line_whatever_the_reason() {
        for reason in ["", "a\nb\r\u{1b}[2J", &"\u{1f980}".repeat(200)] {
            let line = line(u64::MAX - 1, u64::MAX, reason);
            assert!(line.len() <= LINE_BYTES_MAX && line.ends_with('\n'), "{line}");
            assert_eq!(line.chars().filter(|c| c.is_control()).count(), 1, "{line}");
        }
        let longest = line(0, u64::MAX, &"r".repeat(1_000));
        assert!(longest.len() <= LINE_BYTES_MAX, "{longest}");
        assert_eq!(line(8, 18, "why"), "lockkeeper-torn 1 offset 8 length 10 reason why\n");
    }
}
