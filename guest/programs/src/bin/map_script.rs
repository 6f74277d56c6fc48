//! One process for each input, which does what the lines of the input say. Arguments: names of append files (`csv`, two
//! columns, bound to no lock), then INPUT, a path.
//!
//! | line | what it does |
//! |---|---|
//! | `rows N` | appends N rows `INPUT,NUMBER` to each of the files, the numbers counted on from 1 |
//! | `spin N` | computes for N rounds |
//! | `needs KEY` | ends with status 1 unless the environment has KEY |
//! | `try N PATH` | ends with status 1 unless this was done N times before, which the file PATH remembers |
//! | `trap` | traps |
//! | `forever` | computes for ever: somebody else must end it |
//! | `say WORD` | prints it |
//! | `raw WORD` | prints it without a newline, and the same on standard error |
//! | `wait EVENT` | waits for an event |
//! | `set EVENT` | sets it |
//! | `take LOCK` | acquires a mutex and ends with it |

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::io::{self, Write};
use std::process::ExitCode;

use lockkeeper_guest::{AppendFile, Event, Mutex, row};
use lockkeeper_guest_programs::trap;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let input = names.pop().ok_or("the argument INPUT is missing")?;
    let files: Vec<AppendFile> = names.iter().map(|name| AppendFile::open(name)).collect::<Result<_, _>>()?;
    let script = std::fs::read_to_string(&input).map_err(|error| format!("{input}: {error}"))?;
    let mut number = 0;
    for line in script.lines() {
        let (what, with) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "rows" => {
                for _ in 0..with.parse::<u64>()? {
                    number += 1;
                    files.iter().try_for_each(|file| file.append_row_unlocked(row![input, number]).map(drop))?;
                }
            }
            "spin" => spin(with.parse()?),
            "needs" if std::env::var_os(with).is_none() => return Ok(ExitCode::FAILURE),
            "needs" => {}
            "try" => {
                let (times, path) = with.split_once(' ').ok_or("`try` wants N and PATH")?;
                let done = std::fs::read(path).map_or(0, |bytes| bytes.len());
                std::fs::write(path, "x".repeat(done + 1))?;
                if done < times.parse()? {
                    return Ok(ExitCode::FAILURE);
                }
            }
            "trap" => trap(),
            "forever" => loop {
                spin_loop();
            },
            "say" => {
                println!("{with}");
                io::stdout().flush()?;
            }
            "raw" => {
                print!("{with}");
                eprint!("{with}");
                io::stdout().flush()?;
            }
            "wait" => Event::open(with)?.wait()?,
            "set" => Event::open(with)?.set(),
            // No destructor may do what the host has to.
            "take" => std::mem::forget(Mutex::open(with)?.lock()?),
            _ => return Err(format!("{input}: there is no `{what}`").into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn spin(rounds: u64) {
    let mut random = 1_u64;
    for round in 0..rounds {
        random = black_box(random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round));
    }
}
