//! Tables whose rows are inputs: `--csv` and `--jsonl`.
//!
//! A process sees its rows as a file of the table's own name, whichever rows they are: so a row that moves down because
//! another one was put in before it is the same input as before.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use lockkeeper::{FormatKind, Reader};
use serde::de::IgnoredAny;

/// A table: what its rows have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// The name of its file, without directories.
    pub(super) name: String,
    /// The first row, of a csv table.
    header: Option<Vec<u8>>,
}

/// One row of a table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) table: Arc<Table>,
    /// Which one, from 1. A header does not count.
    pub(super) number: u64,
    bytes: Vec<u8>,
}

/// Reads the rows of a table, all of which have to be whole.
pub(super) fn read(kind: FormatKind, path: &Path, source: impl Read) -> anyhow::Result<Vec<Row>> {
    let flag = match kind {
        FormatKind::Csv => "--csv",
        _ => "--jsonl",
    };
    let of = || format!("{flag} {}", path.display());
    let name = path.file_name().unwrap_or(OsStr::new("-")).to_str();
    let name = name.with_context(|| format!("{}: its name is not UTF-8, and a process could not be told it", of()))?;
    let name = if name == "-" { stdin_name(kind) } else { name };
    // Many an editor leaves the last newline away. Where there is one, this makes an empty line, which is no row.
    let mut reader = Reader::new(kind, source.chain(&b"\n"[..]));
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().with_context(of)? {
        if record.bytes.trim_ascii().is_empty() {
            continue;
        }
        if kind == FormatKind::Jsonl
            && let Err(error) = serde_json::from_slice::<IgnoredAny>(record.bytes)
        {
            bail!("{}: the line at byte {} is no JSON value: {error}", of(), record.offset);
        }
        records.push(record.bytes.to_vec());
    }
    if let Some(tail) = reader.tail() {
        bail!("{}: the quotes of the row at byte {} are never closed", of(), tail.offset);
    }
    let mut records = records.into_iter();
    let header = match kind {
        FormatKind::Csv => Some(records.next().with_context(|| format!("{}: it has no header", of()))?),
        _ => None,
    };
    let table = Arc::new(Table { name: name.to_owned(), header });
    Ok(records.zip(1..).map(|(bytes, number)| Row { table: table.clone(), number, bytes }).collect())
}

fn stdin_name(kind: FormatKind) -> &'static str {
    match kind {
        FormatKind::Csv => "stdin.csv",
        _ => "stdin.jsonl",
    }
}

/// The file with these rows of one table, under the table's header.
pub(super) fn file_of(table: &Table, rows: &[Row]) -> Bytes {
    let lines = table.header.iter().chain(rows.iter().map(|row| &row.bytes));
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(kind: FormatKind, name: &str, text: &str) -> anyhow::Result<Vec<Row>> {
        read(kind, Path::new(name), text.as_bytes())
    }

    #[test]
    fn a_csv_row_stands_under_the_header_with_its_quotes_and_newlines_as_they_were() {
        let rows = rows(FormatKind::Csv, "dir/t.csv", "a,b\r\n1,\"two\nlines\"\n\n3,4").expect("it is whole");
        let files: Vec<_> = rows.iter().map(|row| file_of(&row.table, std::slice::from_ref(row))).collect();
        assert_eq!(files, ["a,b\n1,\"two\nlines\"\n", "a,b\n3,4\n"]);
        assert_eq!(
            rows.iter().map(|row| (&row.table.name[..], row.number)).collect::<Vec<_>>(),
            [("t.csv", 1), ("t.csv", 2)]
        );
        assert_eq!(file_of(&rows[0].table, &rows), "a,b\n1,\"two\nlines\"\n3,4\n");
    }

    #[test]
    fn a_json_line_is_a_file_of_one_line() {
        let rows = rows(FormatKind::Jsonl, "-", "{\"a\":1}\n[2]\n").expect("it is whole");
        assert_eq!(file_of(&rows[1].table, &rows[1..]), "[2]\n");
        assert_eq!(rows[0].table.name, "stdin.jsonl");
    }

    #[test]
    fn a_table_that_is_not_whole_is_refused_with_the_place() {
        for (kind, text, words) in [
            (FormatKind::Csv, "", "no header"),
            (FormatKind::Csv, "a,b\n1,\"2\n", "the row at byte 4"),
            (FormatKind::Jsonl, "{\"a\":1}\n{\"a\":\n", "the line at byte 8"),
        ] {
            let told = rows(kind, "t", text).expect_err(text).to_string();
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
