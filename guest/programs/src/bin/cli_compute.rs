//! A plain WASI command that computes, and says how far it is: it prints a line after each piece of work. Arguments: PIECES,
//! WORK (in turns of a loop).

use std::hint::black_box;

fn main() -> Result<(), String> {
    let work = lockkeeper_guest_programs::number(2, "WORK")?;
    for piece in 0..lockkeeper_guest_programs::number(1, "PIECES")? {
        for turn in 0..work {
            black_box(turn);
        }
        println!("{piece}");
    }
    Ok(())
}
