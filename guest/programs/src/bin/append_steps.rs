//! Does what its arguments say, step by step, with one append file. Arguments: LOCK (`-` for none), FILE, STEP...
//!
//! | step | what it does |
//! |---|---|
//! | `append[+HOW]...:TEXT` | appends a record, in which `\0`, `\n` and `\r` stand for those bytes |
//! | `row[+HOW]...:TEXT,TEXT` | appends a row |
//! | `batch[+HOW]...:TEXT,TEXT` | appends records together |
//! | `long:N` | appends a record of so many `x` |
//! | `sync`, `position` | says how far the file goes |
//! | `acquire`, `release` | the lock; its guard goes with every append until it is released, and after it |
//!
//! HOW is `buffered`, `written`, `synced`, or `id=NAME`, in which `@N` stands for N letters and `;` for a colon. Each step prints what it came
//! to: a word for an error, with the limit or the code.

use std::error::Error;

use lockkeeper_guest::{AppendFile, AppendOptions, Appended, Durability, Error as Refusal, Fence, Mutex, Position};
use lockkeeper_guest_programs::argument;

fn main() -> Result<(), Box<dyn Error>> {
    let lock = argument(1, "LOCK")?;
    let lock = if lock == "-" { None } else { Some(Mutex::open(&lock)?) };
    let file = AppendFile::open(&argument(2, "FILE")?)?;
    let (mut guard, mut fence) = (None, None);
    for step in std::env::args().skip(3) {
        let (word, text) = step.split_once(':').unwrap_or((&step, ""));
        let mut words = word.split('+');
        let word = words.next().unwrap_or_default();
        let mut options = AppendOptions::default();
        let mut id = String::new();
        for how in words {
            match how.split_once('=') {
                Some(("id", name)) => id = expanded(name)?,
                _ => options.durability = Some(durability(how)?),
            }
        }
        if step.contains("+id=") {
            options.id = Some(&id);
        }
        match word {
            "append" => say(append(&file, fence, unescaped(text), options)),
            "long" => say(append(&file, fence, "x".repeat(text.parse()?), options)),
            "row" => say(match fence {
                Some(fence) => file.append_row_with(&fence, text.split(','), options),
                None => file.append_row_unlocked_with(text.split(','), options),
            }),
            "batch" => {
                let records = text.split(',').map(unescaped);
                say(match fence {
                    Some(fence) => file.append_batch_with(&fence, records, options),
                    None => file.append_batch_unlocked_with(records, options),
                });
            }
            "sync" => match file.sync() {
                Ok(position) => say_position(position),
                Err(error) => println!("{}", told(&error)),
            },
            "position" => say_position(file.position()),
            "acquire" => {
                let taken = lock.as_ref().ok_or("there is no LOCK")?.lock()?;
                println!("fence {}", taken.fence());
                (fence, guard) = (Some(taken.fence()), Some(taken));
            }
            "release" => drop(guard.take()),
            other => return Err(format!("there is no step `{other}`").into()),
        }
    }
    Ok(())
}

fn append(
    file: &AppendFile,
    fence: Option<Fence>,
    record: impl AsRef<[u8]>,
    options: AppendOptions<'_>,
) -> Result<Appended, Refusal> {
    match fence {
        Some(fence) => file.append_with(&fence, record, options),
        None => file.append_unlocked_with(record, options),
    }
}

fn durability(word: &str) -> Result<Durability, String> {
    [Durability::Buffered, Durability::Written, Durability::Synced]
        .into_iter()
        .find(|durability| durability.word() == word)
        .ok_or_else(|| format!("there is no durability `{word}`"))
}

fn expanded(name: &str) -> Result<String, Box<dyn Error>> {
    Ok(match name.strip_prefix('@') {
        Some(length) => "i".repeat(length.parse()?),
        None => name.replace(';', ":"),
    })
}

fn unescaped(text: &str) -> String {
    text.replace("\\0", "\0").replace("\\n", "\n").replace("\\r", "\r")
}

fn say(answer: Result<Appended, Refusal>) {
    match answer {
        Ok(Appended { offset, length, sequence, durability, repeated }) => {
            let repeated = if repeated { " repeated" } else { "" };
            println!("{durability} at={offset} length={length} sequence={sequence}{repeated}");
        }
        Err(error) => println!("{}", told(&error)),
    }
}

fn say_position(Position { bytes, synced_bytes, records }: Position) {
    println!("bytes={bytes} synced={synced_bytes} records={records}");
}

fn told(error: &Refusal) -> String {
    match error {
        Refusal::Limit(kind) => format!("limit({kind})"),
        Refusal::Io(code) => format!("io({code})"),
        Refusal::InvalidArgument(why) => format!("invalid-argument: {why}"),
        other => other.word().to_owned(),
    }
}
