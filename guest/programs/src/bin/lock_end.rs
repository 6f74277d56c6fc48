//! A process ends in one of many ways while it holds a lock, and never releases it: the host has to.
//!
//! Arguments: LOCK, FILE (`-` for none), HOW, GATE (none if it is missing). Acquires LOCK, appends the record `held` to
//! FILE, prints `holding`, acquires the lock GATE too, so that others can come before it ends, and ends as HOW says:
//!
//! | HOW | end |
//! |---|---|
//! | `return` | `main` returns well |
//! | `release` | releases LOCK after all, and returns well |
//! | `error` | `main` fails |
//! | `exit` | exits with status 3 |
//! | `trap` | an instruction that cannot be reached |
//! | `stack` | calls itself until the stack is used up |
//! | `memory` | takes memory until there is no more |
//! | `spin` | computes for ever: somebody else must end it |
//! | `sleep` | sleeps for ever: somebody else must end it |

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::io::{self, Write};
use std::time::Duration;

use lockkeeper_guest::{AppendFile, Mutex};
use lockkeeper_guest_programs::{argument, trap};

fn main() -> Result<(), Box<dyn Error>> {
    let (lock, file, how) = (argument(1, "LOCK")?, argument(2, "FILE")?, argument(3, "HOW")?);
    let lock = Mutex::open(&lock)?;
    let guard = lock.lock()?;
    if file != "-" {
        AppendFile::open(&file)?.append(&guard, "held")?;
    }
    // No destructor may do what the host has to.
    std::mem::forget(guard);
    println!("holding");
    io::stdout().flush()?;
    if let Some(gate) = std::env::args().nth(4) {
        std::mem::forget(Mutex::open(&gate)?.lock()?);
    }

    match how.as_str() {
        "return" => Ok(()),
        "release" => Ok(lock.release()?),
        "error" => Err("ended with an error, as it was told to".into()),
        "exit" => std::process::exit(3),
        "trap" => trap(),
        "stack" => Err(format!("reached the ground at {}", dive(0)).into()),
        "memory" => take_memory(),
        "spin" => loop {
            spin_loop();
        },
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        _ => Err(format!("there is no way `{how}` to end").into()),
    }
}

/// Calls itself without an end that it could reach. The addition comes after the call, so no loop can replace it.
fn dive(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return depth;
    }
    dive(depth + 1).wrapping_add(black_box(1))
}

fn take_memory() -> ! {
    let mut taken = Vec::new();
    loop {
        // Not zero, or the pages would not be touched.
        taken.push(black_box(vec![1_u8; 1 << 20]));
    }
}
