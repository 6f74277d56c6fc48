//! A plugin: it exports functions that its host calls, and uses a lock, an append file and a function of the host.
//!
//! Build it with `cargo build --release --target wasm32-wasip2 -p word-scorer`.

// What is exported is named as no symbol of a native library can be.
#![cfg(target_arch = "wasm32")]

use std::cell::Cell;

use lockkeeper_guest::{AppendFile, Error, Mutex, row};

mod bindings;

use bindings::example::words::dictionary;
use bindings::exports::example::words::scoring::Guest;

struct Scorer;

thread_local! {
    /// What a plugin has in memory it has for as long as its process lives.
    static SCORED: Cell<u64> = const { Cell::new(0) };
}

impl Guest for Scorer {
    fn score(line: String) -> Result<u32, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            return Err("there is no word in it".to_owned());
        }
        let score = words.iter().map(|word| difficulty(word)).sum::<u32>() / words.len() as u32;
        write(&line, score).map_err(|error| error.to_string())?;
        SCORED.set(SCORED.get() + 1);
        Ok(score)
    }

    fn scored() -> u64 {
        SCORED.get()
    }
}

/// The rarer, the harder; what nobody knows is hardest.
fn difficulty(word: &str) -> u32 {
    let Some(frequency) = dictionary::frequency(&word.to_lowercase()) else {
        return 100;
    };
    100 - 100 * frequency.min(1_000) / 1_000
}

fn write(line: &str, score: u32) -> Result<(), Error> {
    let lock = Mutex::open("scores")?;
    let file = AppendFile::open("scores")?;
    lock.with_lock(|guard| file.append_row(guard, row![score, line]))?;
    Ok(())
}
