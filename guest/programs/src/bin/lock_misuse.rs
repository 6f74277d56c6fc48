//! Every way to use a lock wrongly gets its own error. Argument: LOCK, which must be free and stay so.
//!
//! Prints a line `WHAT=WORD` for each, `ok` where nothing was refused, `none` where the lock was busy, and `limit(KIND)`
//! for a limit.

use std::error::Error;

use lockkeeper_guest::{Error as Refusal, Mutex};
use lockkeeper_guest_programs::argument;

/// More handles than any job allows.
const HANDLES_MAX: usize = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let name = argument(1, "LOCK")?;
    let lock = Mutex::open(&name)?;
    say("release-not-held", lock.release());

    let guard = lock.lock()?;
    say("lock-twice", lock.lock());
    // Contention is no error, even with oneself.
    println!("try-twice={}", lock.try_lock().map_or_else(word, |guard| guard.map_or("none", |_| "ok").to_owned()));
    say("lock-by-another-handle", Mutex::open(&name)?.lock());
    guard.unlock()?;
    say("release-twice", lock.release());

    let stale = lock.lock()?;
    lock.release()?;
    let held = lock.lock()?;
    say("release-by-a-stale-guard", stale.unlock());
    held.unlock()?;

    say("open-ungranted", Mutex::open("no-such-lock"));
    say("open-bad-characters", Mutex::open("a b"));
    say("open-newline", Mutex::open("a\nb"));
    say("open-not-ascii", Mutex::open("schlo\u{df}"));
    say("open-empty", Mutex::open(""));
    say("open-64-bytes", Mutex::open(&"x".repeat(64)));
    say("open-65-bytes", Mutex::open(&"x".repeat(65)));

    let handles: Result<Vec<Mutex>, Refusal> = (0..HANDLES_MAX).map(|_| Mutex::open(&name)).collect();
    say("open-too-many", handles);
    // Those handles are closed again by now.
    say("open-after-too-many", Mutex::open(&name));
    Ok(())
}

fn say<T>(what: &str, answer: Result<T, Refusal>) {
    println!("{what}={}", answer.map_or_else(word, |_| "ok".to_owned()));
}

fn word(error: Refusal) -> String {
    match error {
        Refusal::Limit(kind) => format!("limit({kind})"),
        other => other.word().to_owned(),
    }
}
