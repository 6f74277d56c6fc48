//! Goes down so many calls, and calls the host there. Arguments: CALLS, WHAT.
//!
//! A call leaves nothing in the program's own memory but a few bytes, so that it is the engine's stack that ends first.
//! WHAT is `nothing`, `arguments`, `random`, `clock`, `sleep`, `print`, `lock` (takes and releases the lock `a`), `append`
//! (a record to the file `file`), `open` (a file that is not there) or `refused` (a lock that it was not granted).
//! Prints `back` at the end.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, SystemTime};

use lockkeeper_guest::{AppendFile, Mutex};
use lockkeeper_guest_programs::{argument, number};

fn main() -> Result<(), Box<dyn Error>> {
    let (calls, what) = (number(1, "CALLS")?, argument(2, "WHAT")?);
    let bottom: fn() = match what.as_str() {
        "nothing" => || {},
        "arguments" => || drop(black_box(std::env::args_os())),
        "random" => || {
            black_box(std::collections::hash_map::RandomState::new());
        },
        "clock" => || drop(black_box(SystemTime::now().elapsed())),
        "sleep" => || std::thread::sleep(Duration::from_micros(1)),
        "print" => || println!("at the bottom"),
        "lock" => || drop(Mutex::open("a").and_then(|lock| lock.lock()?.unlock())),
        "append" => || drop(AppendFile::open("file").and_then(|file| file.append_unlocked("deep"))),
        "open" => || drop(std::fs::File::open("/missing/file")),
        "refused" => || drop(Mutex::open("not granted")),
        _ => return Err(format!("there is no `{what}` to do").into()),
    };
    black_box(down(calls, bottom));
    println!("back");
    Ok(())
}

/// The addition comes after the call, so no loop can replace it.
#[inline(never)]
fn down(calls: u64, bottom: fn()) -> u64 {
    if calls == 0 {
        bottom();
        return 0;
    }
    down(black_box(calls) - 1, bottom) + black_box(1)
}
