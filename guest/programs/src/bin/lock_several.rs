//! Acquires several locks, one after the other, and keeps them and their handles to its end. Arguments: LOCKS.
//!
//! Prints a line `LOCK=WORD` for each, `ok` where it was acquired, `limit(KIND)` for a limit; then `end`.

use lockkeeper_guest::{Error, Mutex};

fn main() {
    let mut handles = Vec::new();
    for name in std::env::args().skip(1) {
        let answer = Mutex::open(&name).and_then(|lock| {
            lock.lock().map(std::mem::forget)?;
            handles.push(lock);
            Ok(())
        });
        let word = match answer {
            Ok(()) => "ok".to_owned(),
            Err(Error::Limit(kind)) => format!("limit({kind})"),
            Err(other) => other.word().to_owned(),
        };
        println!("{name}={word}");
    }
    println!("end");
}
