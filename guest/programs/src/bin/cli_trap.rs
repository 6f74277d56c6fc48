//! A plain WASI command that prints `before` and traps: what it printed is not lost with it.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    println!("before");
    io::stdout().flush()?;
    lockkeeper_guest_programs::trap();
}
