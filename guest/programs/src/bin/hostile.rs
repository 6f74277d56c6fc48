//! Does one bad thing for as long as it is let. Arguments: HOW, and a LOCK where one is needed.
//!
//! | HOW | what |
//! |---|---|
//! | `allocate` | takes memory until it is ended |
//! | `recurse` | calls itself until it is ended |
//! | `spin` | computes for ever |
//! | `hold` | holds LOCK and computes for ever |
//! | `flood` | prints for ever |
//! | `leak` | opens LOCK and lets no handle go, also when it gets no more |
//! | `files` | opens files in `/d` and closes none, also when it gets no more |
//! | `children` | starts its own program as often as it may, joins nobody and lets no handle go, also when it gets no more |
//! | `child` | what those do: they start one of their own, and sleep |
//! | `largest` | calls the host with as much as it takes, and names that nothing has, for ever |
//!
//! Prints `begun` first.

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::io::{Write, stdout};
use std::thread::sleep;
use std::time::Duration;

use lockkeeper_guest::process::Command;
use lockkeeper_guest::{AppendFile, Mutex};
use lockkeeper_guest_programs::argument;

fn main() -> Result<(), Box<dyn Error>> {
    let how = argument(1, "HOW")?;
    println!("begun");
    match how.as_str() {
        "allocate" => {
            let mut taken = Vec::new();
            loop {
                // Not zero, or the pages would not be touched.
                taken.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "recurse" => Err(format!("reached the ground at {}", dive(0)).into()),
        "spin" => loop {
            spin_loop();
        },
        "hold" => {
            std::mem::forget(Mutex::open(&argument(2, "LOCK")?)?.lock()?);
            loop {
                spin_loop();
            }
        }
        "flood" => {
            let line = [b'x'; 4096];
            loop {
                stdout().write_all(&line)?;
            }
        }
        "leak" => {
            let lock = argument(2, "LOCK")?;
            loop {
                std::mem::forget(Mutex::open(&lock));
            }
        }
        "files" => {
            for number in 0_u64.. {
                std::mem::forget(std::fs::File::create(format!("/d/{}", number % 1_000)));
            }
            Ok(())
        }
        "children" => {
            // Most of them end soon, so that there is room for more: they meet the quota of those alive again and again, until
            // there are no more handles. The others are there until this process ends.
            let mut started = 0_u32;
            loop {
                let child = Command::own().arg("child");
                let child = if started.is_multiple_of(8) { child } else { child.timeout(Duration::from_millis(20)) };
                if let Ok(child) = child.spawn() {
                    std::mem::forget(child);
                    started += 1;
                }
            }
        }
        "child" => {
            // Generations have a quota, too: the last one has no child.
            std::mem::forget(Command::own().arg("child").spawn());
            loop {
                sleep(Duration::from_secs(3600));
            }
        }
        "largest" => {
            let file = AppendFile::open("file")?;
            let (record, name) = (vec![b'r'; (2 << 20) - 64], "n".repeat((2 << 20) - 64));
            loop {
                drop(black_box(file.append_unlocked(&record[..])));
                drop(black_box(Mutex::open(&name)));
                drop(black_box(AppendFile::open(&name)));
            }
        }
        _ => Err(format!("there is no `{how}`").into()),
    }
}

/// Calls itself without an end that it could reach. The addition comes after the call, so no loop can replace it.
fn dive(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return depth;
    }
    dive(depth + 1).wrapping_add(black_box(1))
}
