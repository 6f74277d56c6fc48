//! Appends to the files of [`lockkeeper_guest_programs::acked`] and writes down what was acknowledged, so that whoever kills
//! the host knows what must be there. Arguments: STEPS (0: without end), and the number to begin with for each file.
//!
//! Each acknowledgement is one write to `/acks/RANK`, after the append has returned. Who repeats what may be there already
//! learns it from the answer, which is written down too.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;

use lockkeeper_guest::{AppendFile, AppendOptions, Mutex, process};
use lockkeeper_guest_programs::acked::{self, BOUND, FILES, LOOSE, Shape, Step};
use lockkeeper_guest_programs::number;

fn main() -> Result<(), Box<dyn Error>> {
    let steps = number(1, "STEPS")?;
    let mut starts = [0; acked::FILE_COUNT];
    for (place, start) in starts.iter_mut().enumerate() {
        *start = number(place + 2, "START")?;
    }
    let rank = process::current().rank;
    let lock = Mutex::open(acked::LOCK)?;
    let files = FILES.iter().map(|file| AppendFile::open(file.name)).collect::<Result<Vec<_>, _>>()?;
    let mut acks = OpenOptions::new().append(true).create_new(true).open(format!("/acks/{rank}"))?;
    let steps = if steps == 0 { usize::MAX } else { usize::try_from(steps)? };
    for step in acked::steps(rank, starts).take(steps) {
        let repeated = match step {
            Step::Sync => {
                files[LOOSE].sync()?;
                false
            }
            Step::Append(place, number) => append(&lock, &files[place], place, rank, number)?,
        };
        let line = step.acknowledged(repeated);
        if acks.write(line.as_bytes())? != line.len() {
            return Err("an acknowledgement was written in part".into());
        }
    }
    Ok(())
}

fn append(lock: &Mutex, file: &AppendFile, place: usize, rank: u32, number: u64) -> Result<bool, Box<dyn Error>> {
    let about = &FILES[place];
    let id = acked::id(rank, number);
    let options = AppendOptions { id: about.ids.then_some(id.as_str()), ..AppendOptions::default() };
    let text = |part| acked::text(place, rank, number, part);
    let appended = if place == BOUND {
        let guard = lock.lock()?;
        let appended = file.append_row(&guard, acked::row(guard.fence().get(), &text(0)))?;
        guard.unlock()?;
        appended
    } else if about.batch > 1 {
        file.append_batch_unlocked_with((0..about.batch).map(|part| acked::bytes(about.shape, &text(part))), options)?
    } else {
        debug_assert_ne!(about.shape, Shape::Row, "rows need the lock");
        file.append_unlocked_with(acked::bytes(about.shape, &text(0)), options)?
    };
    Ok(appended.repeated)
}
