//! Whether a stream is UTF-8, where a character may be cut between two pieces.

use super::{FaultKind, Oddities};

#[derive(Default)]
pub(super) struct Utf8 {
    /// The first bytes of a character whose rest is still to come.
    begun: [u8; 4],
    begun_len: usize,
}

impl Utf8 {
    /// Notes each run of bytes that cannot be a character in `bytes`, the first of which is at `offset` in the file.
    pub(super) fn check(&mut self, mut bytes: &[u8], mut offset: u64, oddities: &mut Oddities) {
        while self.begun_len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return };
            self.begun[self.begun_len] = byte;
            match str::from_utf8(&self.begun[..=self.begun_len]) {
                Ok(_) => self.begun_len = 0,
                Err(error) if error.error_len().is_none() => self.begun_len += 1,
                Err(_) => {
                    oddities.note(offset - self.begun_len as u64, FaultKind::NotUtf8);
                    self.begun_len = 0;
                    // This byte may well begin the next character.
                    continue;
                }
            }
            bytes = rest;
            offset += 1;
        }
        while let Err(error) = str::from_utf8(bytes) {
            let bad = &bytes[error.valid_up_to()..];
            offset += error.valid_up_to() as u64;
            let Some(bad_len) = error.error_len() else {
                self.begun[..bad.len()].copy_from_slice(bad);
                self.begun_len = bad.len();
                return;
            };
            oddities.note(offset, FaultKind::NotUtf8);
            offset += bad_len as u64;
            bytes = &bad[bad_len..];
        }
    }
}
