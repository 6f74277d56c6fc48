//! Standard streams.

use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};

use super::Done;

pub(crate) fn every_byte_passes_through_standard_output() -> Done {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    stdout().write_all(&all)?;
    Ok(())
}

pub(crate) fn megabyte_passes_through_standard_output() -> Done {
    stdout().write_all(&vec![b'm'; 1 << 20])?;
    Ok(())
}

pub(crate) fn both_output_streams_are_apart() -> Done {
    for round in 0..3 {
        writeln!(stdout(), "out {round}")?;
        writeln!(stderr(), "err {round}")?;
    }
    Ok(())
}

pub(crate) fn standard_input_ends_once_and_for_all() -> Done {
    let mut all = Vec::new();
    stdin().read_to_end(&mut all)?;
    let again = stdin().read(&mut [0; 16])?;
    println!("{} bytes, then {again}", all.len());
    Ok(())
}

pub(crate) fn lines_of_standard_input_arrive() -> Done {
    for line in stdin().lines() {
        println!("{:?}", line?);
    }
    Ok(())
}

pub(crate) fn pipes_are_no_terminals() -> Done {
    println!("{} {} {}", stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal());
    Ok(())
}
