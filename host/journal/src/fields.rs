//! The fields of many csv rows, one row after another.

use std::io::{self, Read};

/// Takes rows apart. One for many rows: making it costs more than a row does.
#[derive(Debug)]
pub struct FieldReader {
    reader: csv::Reader<Feed>,
    /// How many bytes the reader was given since it was made.
    fed: u64,
    fields: csv::ByteRecord,
}

/// The bytes that the csv reader has not seen yet.
#[derive(Debug, Default)]
struct Feed {
    bytes: Vec<u8>,
    read: usize,
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = (&self.bytes[self.read..]).read(into)?;
        self.read += got;
        Ok(got)
    }
}

impl Default for FieldReader {
    fn default() -> FieldReader {
        FieldReader::new()
    }
}

impl FieldReader {
    /// For rows that each stand alone: none has to have as many fields as another.
    pub fn new() -> FieldReader {
        // The blank line is skipped; it keeps a byte order mark from being taken for that of a file.
        let feed = Feed { bytes: b"\n".to_vec(), read: 0 };
        let fed = feed.bytes.len() as u64;
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(feed);
        FieldReader { reader, fed, fields: csv::ByteRecord::new() }
    }

    /// The fields of one whole row, given without its line break, with the quotes taken off.
    pub fn fields(&mut self, row: &[u8]) -> &csv::ByteRecord {
        let feed = self.reader.get_mut();
        feed.bytes.drain(..feed.read);
        feed.read = 0;
        feed.bytes.extend_from_slice(row);
        feed.bytes.push(b'\n');
        self.fed += row.len() as u64 + 1;
        self.reader
            .read_byte_record(&mut self.fields)
            .expect("memory can be read, and any number of fields is let pass");
        if self.reader.position().byte() != self.fed || self.reader.is_done() {
            // It was no whole row: the next one must not be taken for its rest, or the end of it for that of everything.
            let fields = std::mem::take(&mut self.fields);
            *self = FieldReader { fields, ..FieldReader::new() };
        }
        &self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(reader: &mut FieldReader, row: &str) -> Vec<String> {
        reader.fields(row.as_bytes()).iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
    }

    #[test]
    fn rows_are_taken_apart_one_by_one_whatever_came_before() {
        let mut reader = FieldReader::new();
        for _ in 0..2 {
            assert_eq!(fields(&mut reader, "1,\"x\n\"\"y\"\"\",\u{e4}"), ["1", "x\n\"y\"", "\u{e4}"]);
            assert_eq!(fields(&mut reader, "\"\""), [""]);
            assert_eq!(fields(&mut reader, ",,"), ["", "", ""]);
            assert_eq!(fields(&mut reader, "\u{feff}a"), ["\u{feff}a"]);
            assert_eq!(fields(&mut reader, &"z".repeat(100_000)), ["z".repeat(100_000)]);
            // No whole rows: what comes after them is read all the same.
            assert_eq!(fields(&mut reader, "\"open").len(), 1);
            assert_eq!(fields(&mut reader, ""), [""; 0]);
            assert_eq!(fields(&mut reader, "a\nb"), ["a"]);
        }
    }
}
