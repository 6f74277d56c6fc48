//! The exit status of core modules, which the adapter for WASI 0.1 would lose.
//!
//! The adapter makes `proc_exit(3)` a call of `wasi:cli/exit.exit`, which knows only well and not. The same interface has
//! `exit-with-code` by now, whose core form is just that of `proc_exit`. So a module's import of the one becomes, before
//! the adapter sees it, an import of the other.

use std::ops::Range;

const IMPORT: (&[u8], &[u8]) = (b"wasi_snapshot_preview1", b"proc_exit");
const INSTEAD: (&[u8], &[u8]) = (b"wasi:cli/exit@0.2.12", b"exit-with-code");

/// The header of a binary: the magic number and the version.
const HEADER_BYTES: usize = 8;
const IMPORT_SECTION: u8 = 2;
const FUNCTION: u8 = 0;

/// The module with its import of `proc_exit` replaced. None if it has none, or is not understood: then it stays as it
/// is, and those who understand more of it say what is wrong.
pub(super) fn keep_status(module: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Reader { bytes: module, at: HEADER_BYTES };
    while rest.at < module.len() {
        let begin = rest.at;
        let kind = rest.byte()?;
        let length = rest.number()?;
        let contents = rest.skip(length)?;
        if kind == IMPORT_SECTION {
            let imports = replace(module.get(contents)?)?;
            let mut replaced = module.get(..begin)?.to_vec();
            replaced.push(IMPORT_SECTION);
            write_bytes(&mut replaced, &imports);
            replaced.extend_from_slice(module.get(rest.at..)?);
            return Some(replaced);
        }
    }
    None
}

/// The same for the contents of the import section. The types come before it, so an import's number of its type stays.
fn replace(section: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Reader { bytes: section, at: 0 };
    for _ in 0..rest.number()? {
        let begin = rest.at;
        let module = rest.name()?;
        let field = rest.name()?;
        let names_end = rest.at;
        match rest.byte()? {
            FUNCTION => rest.number().map(drop)?,
            // Commands import functions only; what comes after another import is not looked for.
            _ => return None,
        }
        if (module, field) == IMPORT {
            let mut replaced = section.get(..begin)?.to_vec();
            write_bytes(&mut replaced, INSTEAD.0);
            write_bytes(&mut replaced, INSTEAD.1);
            replaced.extend_from_slice(section.get(names_end..)?);
            return Some(replaced);
        }
    }
    None
}

/// A position in a binary. Everything that would go beyond its end is none.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// An unsigned number of up to 32 bits in LEB128.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(number).ok();
            }
        }
        None
    }

    fn skip(&mut self, length: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(length)?;
        self.at = range.end;
        (range.end <= self.bytes.len()).then_some(range)
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let range = self.skip(length)?;
        self.bytes.get(range)
    }
}

/// A length in LEB128, and that many bytes.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_import_of_proc_exit_is_replaced() {
        let text = |module: &str, field: &str| {
            let text = format!(
                r#"(module
                    (import "wasi_snapshot_preview1" "args_get" (func (param i32 i32) (result i32)))
                    (import "{module}" "{field}" (func $exit (param i32)))
                    (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                    (func (export "_start") (call $exit (i32.const 3))))"#
            );
            wat::parse_str(text).expect("a module")
        };
        let before = text("wasi_snapshot_preview1", "proc_exit");
        let after = text("wasi:cli/exit@0.2.12", "exit-with-code");
        assert_eq!(keep_status(&before), Some(after));
    }

    #[test]
    fn what_is_not_understood_stays_as_it_is() {
        let without = wat::parse_str(r#"(module (func (export "_start")))"#).expect("a module");
        assert_eq!(keep_status(&without), None);
        let module = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#);
        let module = module.expect("a module");
        let import_end = module.len() - 1;
        for length in 0..import_end {
            assert_eq!(keep_status(&module[..length]), None, "cut at {length}");
        }
    }
}
