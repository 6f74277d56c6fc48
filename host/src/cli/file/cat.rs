//! `lockkeeper file cat`.

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use lockkeeper::{FormatKind, OpenError, ReadError, Reader, Record};
use lockkeeper_journal::FieldReader;
use lockkeeper_journal::inspect::{self, Likeness};
use serde::de::IgnoredAny;

use super::{EXIT_DAMAGED, EXIT_IO, EXIT_TORN, count, disk, fail};

const EXIT_CODES: &str = "\
Exit codes (of several files, the highest):
  0    all of it was printed, or nobody wanted to read on
  1    the last record has no end, and was left out
  3    damaged: what lies behind the damage was left out
  2    wrong usage, or not a regular file
  66   there is no such file
  74   the system refused something";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Cat {
    /// What the records look like: lines, csv, jsonl or framed [default: as it was written, or by its ending or first bytes]
    #[arg(long)]
    format: Option<FormatKind>,
    /// One JSON object per record, with its place; otherwise each record as it is, and a newline
    #[arg(long)]
    json: bool,
    /// An append file; it may be being written
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Why the records of a file were not all printed.
enum Stop {
    /// The file could not be opened.
    Open(OpenError),
    /// It could not be read on.
    Read(ReadError),
    /// Nobody reads any more.
    Gone,
    /// Standard output fails.
    Write(io::Error),
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Stop {
        Stop::Open(error)
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Stop {
        Stop::Read(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::Gone,
            _ => Stop::Write(error),
        }
    }
}

/// How records are written.
enum Form<'a> {
    /// As they are.
    Plain,
    /// Without what would move the cursor of the one who watches.
    Terminal,
    /// As JSON; with the name of the file, if there are several.
    Json(Option<&'a Path>),
}

impl Cat {
    pub(super) fn execute(self) -> u8 {
        let terminal = stdout().is_terminal();
        let mut out = BufWriter::with_capacity(64 * 1024, stdout().lock());
        let mut worst = 0;
        for path in &self.files {
            let form = match (self.json, terminal) {
                (true, _) => Form::Json((self.files.len() > 1).then_some(path)),
                (false, true) => Form::Terminal,
                (false, false) => Form::Plain,
            };
            let code = match self.print(path, &form, &mut out) {
                Ok(code) => code,
                // On standard error also with --json: standard output has records and nothing else.
                Err(Stop::Open(error)) => fail(path, &error, false),
                Err(Stop::Read(error)) => {
                    eprintln!("error: {}: {error}{}", path.display(), advice(&error));
                    EXIT_IO
                }
                Err(Stop::Gone) => break,
                Err(Stop::Write(error)) => {
                    eprintln!("error: cannot write to standard output: {error}");
                    worst = EXIT_IO;
                    break;
                }
            };
            worst = worst.max(code);
        }
        // What could not be written has been said, or nobody wants it.
        drop(out.into_parts());
        worst
    }

    fn print(&self, path: &Path, form: &Form<'_>, out: &mut impl Write) -> Result<u8, Stop> {
        let Likeness { format, ours } = inspect::likeness(&disk(), path)?;
        let format = self.format.unwrap_or(format);
        let source =
            fs::File::open(path).map_err(|source| OpenError::Io { action: "open", path: path.to_owned(), source })?;
        let mut reader = Reader::new(format, source);
        if ours {
            reader = reader.zero_byte_is_fault_from(0);
        }
        // What a process appended is one batch of frames, as long as it was allowed to be. A csv file of others may be one
        // batch from its first byte to its last, if its rows end in carriage returns, so there the limit stays.
        if format == FormatKind::Framed {
            reader = reader.batch_bytes_max(usize::MAX);
        }
        let mut fields = FieldReader::new();
        let read = loop {
            match reader.next_record() {
                Ok(Some(record)) => write_record(out, &record, format, form, &mut fields)?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Before anything is said about what comes after them.
        out.flush()?;
        read?;
        let Some(tail) = reader.tail() else { return Ok(0) };
        let left = count(tail.bytes, "byte");
        let (file, from) = (path.display(), tail.offset);
        match &tail.fault {
            None => {
                eprintln!("{file}: {left} from byte {from} on are no whole record, and left out");
                Ok(EXIT_TORN)
            }
            Some(fault) => {
                eprintln!(
                    "{file}: {fault}; {left} from byte {from} on are left out; see `lockkeeper file check {file}`"
                );
                Ok(EXIT_DAMAGED)
            }
        }
    }
}

/// What to do about records that do not fit into memory.
fn advice(error: &ReadError) -> &'static str {
    match error {
        ReadError::Io { .. } => "",
        ReadError::TooLong { .. } => {
            "; lockkeeper writes none that long, so see `lockkeeper file check`, and whether another --format fits better"
        }
        ReadError::BatchTooLong { .. } => {
            "; its rows end in carriage returns: give them newlines, or print it with --format lines"
        }
    }
}

fn write_record(
    out: &mut impl Write,
    record: &Record<'_>,
    format: FormatKind,
    form: &Form<'_>,
    fields: &mut FieldReader,
) -> io::Result<()> {
    match form {
        Form::Plain => out.write_all(record.bytes)?,
        Form::Terminal => out.write_all(harmless(record.bytes).as_bytes())?,
        Form::Json(file) => write_json(out, record, format, *file, fields)?,
    }
    out.write_all(b"\n")
}

/// The text with every control character but tab and newline, and every byte that is no text, spelled out.
fn harmless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() && !['\t', '\n'].contains(&character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Written piece by piece, so that a value of jsonl stays as it stands there.
fn write_json(
    out: &mut impl Write,
    record: &Record<'_>,
    format: FormatKind,
    file: Option<&Path>,
    fields: &mut FieldReader,
) -> io::Result<()> {
    out.write_all(b"{")?;
    if let Some(file) = file {
        out.write_all(b"\"file\":")?;
        serde_json::to_writer(&mut *out, &file.display().to_string())?;
        out.write_all(b",")?;
    }
    write!(out, "\"offset\":{},\"len\":{}", record.offset, record.len)?;
    if let Some(frame) = record.frame {
        write!(out, ",\"sequence\":{},\"fence\":{},\"writer\":{}", frame.sequence, frame.fence, frame.writer)?;
    }
    let text = str::from_utf8(record.bytes);
    match (format, text) {
        (FormatKind::Csv, Ok(_)) => {
            let fields = fields.fields(record.bytes);
            let fields: Vec<&str> =
                fields.iter().map(|field| str::from_utf8(field).expect("the row is UTF-8")).collect();
            out.write_all(b",\"fields\":")?;
            serde_json::to_writer(&mut *out, &fields)?;
        }
        (FormatKind::Jsonl, Ok(_)) if serde_json::from_slice::<IgnoredAny>(record.bytes).is_ok() => {
            out.write_all(b",\"value\":")?;
            out.write_all(record.bytes)?;
        }
        (_, Ok(text)) => {
            out.write_all(b",\"text\":")?;
            serde_json::to_writer(&mut *out, text)?;
        }
        (_, Err(_)) => write!(out, ",\"base64\":\"{}\"", base64(record.bytes))?,
    }
    out.write_all(b"}")
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// As in RFC 4648, padded.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for index in 0..4 {
            let six = (bits >> (18 - 6 * index)) & 0x3f;
            text.push(if index <= three.len() { char::from(BASE64[six as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4648.
    #[test]
    fn bytes_are_written_in_base64_as_the_standard_says() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }

    #[test]
    fn what_moves_the_cursor_is_spelled_out_on_a_terminal_and_text_stays() {
        assert_eq!(harmless("a\tb\nc \u{e4}\u{1f980}".as_bytes()), "a\tb\nc \u{e4}\u{1f980}");
        assert_eq!(harmless(b"\x1b[2J\r\x07\x7f\xff"), "\\u{1b}[2J\\r\\u{7}\\u{7f}\\xff");
    }
}
