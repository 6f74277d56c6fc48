//! A forger: claims holds that it does not have. Arguments: LOCK, FILE.
//!
//! Prints a line `WHEN-CLAIM=WORD` for each append, `written` if one went through: first `free` (it holds nothing),
//! then `held` (it holds the lock, but claims another fence). `stale` is a fence that it had before, `ahead` one that is far
//! from being issued. At last it appends the record `honest` with its guard and prints `ok`.

use std::error::Error;

use lockkeeper_guest::{AppendFile, Fence, Mutex};
use lockkeeper_guest_programs::argument;

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Mutex::open(&argument(1, "LOCK")?)?;
    let file = AppendFile::open(&argument(2, "FILE")?)?;

    // A first hold, so that 1 cannot be the fence of the second and there is a stale one.
    let guard = lock.lock()?;
    let stale = guard.fence();
    guard.unlock()?;
    try_claims("free", &file, stale, stale);

    let guard = lock.lock()?;
    try_claims("held", &file, stale, guard.fence());
    file.append(&guard, "honest")?;
    guard.unlock()?;
    println!("ok");
    Ok(())
}

fn try_claims(when: &str, file: &AppendFile, stale: Fence, latest: Fence) {
    let ahead = Fence::new(latest.get().saturating_add(1_000));
    for (claim, fence) in [
        ("zero", Fence::new(0)),
        ("one", Fence::new(1)),
        ("max", Fence::new(u64::MAX)),
        ("stale", stale),
        ("ahead", ahead),
    ] {
        let word =
            file.append(&fence, format!("forged {when}-{claim}")).map_or_else(|error| error.word(), |_| "written");
        println!("{when}-{claim}={word}");
    }
    if when == "free" {
        let word = file.append_unlocked("forged free-none").map_or_else(|error| error.word(), |_| "written");
        println!("free-none={word}");
    }
}
