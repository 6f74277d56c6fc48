//! Records that no file takes. Arguments: FILE (format `lines`), CSVFILE (format `csv`, two columns), both bound to no
//! lock.
//!
//! Prints a line `WHAT=WORD` for each, `limit(KIND)` for a limit, `written` where one went through; then appends the record `good` to FILE and the
//! row `good,1` to CSVFILE, and prints `ok`.

use std::error::Error;

use lockkeeper_guest::{AppendFile, Appended, Error as Refusal};
use lockkeeper_guest_programs::argument;

/// The limit of a record, unless the job says otherwise.
const RECORD_BYTES_MAX: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let lines = AppendFile::open(&argument(1, "FILE")?)?;
    let csv = AppendFile::open(&argument(2, "CSVFILE")?)?;

    say("newline", lines.append_unlocked("one\ntwo"));
    say("newline-at-end", lines.append_unlocked("one\n"));
    say("too-long", lines.append_unlocked(vec![b'x'; RECORD_BYTES_MAX + 1]));
    say("row-in-lines", lines.append_row_unlocked(["a", "b"]));
    say("newline-in-batch", lines.append_batch_unlocked(["good, but not alone", "one\ntwo"]));
    say("column-missing", csv.append_row_unlocked(["a"]));
    say("column-too-many", csv.append_row_unlocked(["a", "b", "c"]));
    say("raw-column-missing", csv.append_unlocked("a"));
    say("raw-two-rows", csv.append_unlocked("a,b\nc,d"));
    say("raw-quote-open", csv.append_unlocked("a,\"b"));

    lines.append_unlocked("good")?;
    csv.append_row_unlocked(["good", "1"])?;
    println!("ok");
    Ok(())
}

fn say(what: &str, answer: Result<Appended, Refusal>) {
    let word = match answer {
        Ok(_) => "written".to_owned(),
        Err(Refusal::Limit(kind)) => format!("limit({kind})"),
        Err(other) => other.word().to_owned(),
    };
    println!("{what}={word}");
}
