//! Any bytes as a data file: what the reader answers, what the check says and what opening the file keeps are the same
//! records, and one more can be appended.

use lockkeeper_journal::{AppendFile, FormatKind, OpenError, ReadError, Reader, inspect};

use crate::files::{Contents, append_one, beside, is_kept, ours, path, plain, read_all, spec};
use crate::made::{Mend, Slot, checkpoint, mend, slot};
use crate::memory::{FIRST_INODE, Memory};

/// The first byte says how; the others are the file.
pub fn agree(kind: FormatKind, data: &[u8]) {
    let Some((&how, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if kind == FormatKind::Framed && how & 0b1000_0000 != 0 {
        let bit = |bit: u8| how & (1 << bit) != 0;
        mend(&mut bytes, Mend { checksums: bit(6), sequence: bit(5), batch_rest: bit(4) });
    }
    if kind == FormatKind::Framed && says_too_much(&bytes) {
        return;
    }
    let step = [1, 7, 64, usize::MAX][usize::from(how >> 1 & 3)];
    let power_was_cut = how & 1 != 0;
    let repairs = how & 8 != 0;

    let memory = Memory::new();
    memory.put(&path(), &bytes);
    memory.put_mark(&beside(".lock"), &ours(FIRST_INODE));
    if power_was_cut {
        let state = Slot { boot: 77, ..Slot::new(kind) };
        memory.put(&beside(".checkpoint"), &checkpoint(&slot(state.text().as_bytes()), None));
    }
    // We write no zeros into text, so in a file of ours they are what was lost.
    let contents = read_all(kind, &bytes, Some(0), step);
    if kind == FormatKind::Csv {
        rows_are_those_of_the_csv_crate(&bytes, &contents);
    }
    check_agrees(&memory, kind, &contents);
    if repairs {
        repair_keeps(&memory, kind, &bytes, &contents);
    } else {
        open_keeps(&memory, kind, &bytes, &contents, power_was_cut, step);
    }
}

/// Whether a frame with a good header says that it is longer than a reader takes, which is all that a reader says of it.
fn says_too_much(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(FormatKind::Framed, bytes);
    loop {
        match reader.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(ReadError::TooLong { offset, record_bytes_max }) => {
                let header = &bytes[usize::try_from(offset).expect("it is in memory")..];
                let said = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
                assert!(said as usize > record_bytes_max, "{said} bytes are not too long");
                return true;
            }
            Err(error) => panic!("memory is read: {error}"),
        }
    }
}

/// The fields of each row are what the csv crate reads in the whole file.
fn rows_are_those_of_the_csv_crate(bytes: &[u8], contents: &Contents) {
    let whole = &bytes[..usize::try_from(contents.end).expect("it is in memory")];
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(whole);
    let mut ours = contents.records.iter();
    for theirs in reader.byte_records() {
        let theirs = theirs.expect("memory is read, and any number of fields is let pass");
        let ours = ours.next().expect("every row of the csv crate is one of ours");
        assert!(theirs.iter().eq(ours.fields.iter().map(Vec::as_slice)), "{theirs:?} is {:?}", ours.fields);
    }
    assert_eq!(ours.next(), None, "every row of ours is one of the csv crate");
}

fn check_agrees(memory: &Memory, kind: FormatKind, contents: &Contents) {
    let report = inspect::check(&memory.disk(), &path(), Some(kind), |_, _| {}).expect("a file can be looked at");
    assert_eq!(report.whole_bytes, contents.end, "the check and the reader agree on the end");
    assert_eq!(report.records, contents.records.len() as u64, "the check and the reader agree on the records");
    let fault = contents.tail.as_ref().and_then(|tail| tail.fault.clone());
    assert_eq!(report.fault, fault, "the check and the reader agree on what is wrong");
    if kind == FormatKind::Framed {
        assert_eq!(report.next_sequence, Some(report.records + 1), "frames are numbered from 1");
    }
}

fn open_keeps(memory: &Memory, kind: FormatKind, bytes: &[u8], contents: &Contents, power_was_cut: bool, step: usize) {
    let disk = memory.disk();
    let fault = contents.tail.as_ref().and_then(|tail| tail.fault.clone());
    let (file, report) = match AppendFile::open_on(&disk, &spec(plain(kind))) {
        Ok(opened) => opened,
        Err(OpenError::Damaged { at, .. }) => {
            assert!(!power_was_cut, "what a power cut may have left is cut");
            assert_eq!(Some(at), fault.map(|fault| fault.offset), "the file is damaged where the reader says");
            assert_eq!(memory.read(&path()).as_deref(), Some(bytes), "what is refused is not changed");
            return;
        }
        Err(error) => panic!("a file of ours is refused: {error}"),
    };
    assert!(power_was_cut || fault.is_none(), "damage is refused");
    assert_eq!(report.bytes_before, contents.end, "opening and the reader agree on the end");
    assert_eq!(report.records_before, contents.records.len() as u64, "opening and the reader agree on the records");
    let (whole, rest) = bytes.split_at(usize::try_from(contents.end).expect("it is in memory"));
    assert_eq!(memory.read(&path()).as_deref(), Some(whole), "whole records stay");
    is_kept(memory, report.torn.as_ref(), b"", rest);

    let (appended, record) = append_one(&file, kind);
    assert_eq!(appended.offset, contents.end, "the next record follows the last one");
    drop(file);
    let after = memory.read(&path()).expect("the file is there");
    let more = read_all(kind, &after, Some(0), step);
    assert_eq!(more.tail, None, "the file ends on a record");
    let (last, before) = more.records.split_last().expect("a record was appended");
    assert_eq!(before, contents.records, "the records before stay what they were");
    assert_eq!(
        (last.offset, last.len, &last.bytes),
        (appended.offset, appended.len, &record),
        "it is what was appended"
    );

    let (file, report) = AppendFile::open_on(&disk, &spec(plain(kind))).expect("a file that was closed is opened");
    assert_eq!(report.records_before, more.records.len() as u64, "nothing is lost between two runs");
    assert_eq!(report.torn, None, "nothing was torn between two runs");
    drop(file);
}

fn repair_keeps(memory: &Memory, kind: FormatKind, bytes: &[u8], contents: &Contents) {
    let disk = memory.disk();
    let how = inspect::RepairSpec { format: Some(kind), cut: true, holder: "fuzz".to_owned(), ..Default::default() };
    let report = inspect::repair(&disk, &path(), &how, |_, _| {}).expect("any file can be repaired by a cut");
    assert_eq!((report.bytes, report.records), (contents.end, contents.records.len() as u64), "whole records stay");
    let (whole, rest) = bytes.split_at(usize::try_from(contents.end).expect("it is in memory"));
    assert_eq!(memory.read(&path()).as_deref(), Some(whole), "whole records stay");
    is_kept(memory, report.torn.as_ref(), b"", rest);
    let report = inspect::check(&disk, &path(), Some(kind), |_, _| {}).expect("a file can be looked at");
    assert_eq!((report.whole_bytes, report.fault), (report.bytes, None), "nothing is torn or hidden after a repair");
    let (file, report) = AppendFile::open_on(&disk, &spec(plain(kind))).expect("a repaired file is opened");
    assert_eq!((report.records_before, report.torn), (contents.records.len() as u64, None), "nothing is left to do");
    let (appended, _) = append_one(&file, kind);
    assert_eq!(appended.offset, contents.end, "the next record follows the last one");
}
