//! A plain WASI command that does one small thing, and says what came of it. Arguments: CASE, and what the case needs.
//!
//! Paths are in the directory `/d`, which a test grants where a case needs it. An error is printed by its kind and by the
//! number that the C library has for it, which is what a program sees.

mod ends;
mod files;
mod folders;
mod links;
mod rest;
mod streams;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use ends::*;
use files::*;
use folders::*;
use links::*;
use rest::*;
use streams::*;

/// What a case comes to.
type Done = Result<(), Box<dyn Error>>;

macro_rules! dispatch {
    ($($case:ident,)+) => {
        fn run(case: &str) -> Done {
            match case {
                $(stringify!($case) => $case(),)+
                _ => Err(format!("there is no case `{case}`").into()),
            }
        }
    };
}

lockkeeper_guest_programs::each_wasi_case!(dispatch);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let case = lockkeeper_guest_programs::argument(1, "CASE")?;
    if case == "exit_code_of_main_is_the_status" {
        return Ok(ExitCode::from(u8::try_from(lockkeeper_guest_programs::number(2, "STATUS")?)?));
    }
    run(&case)?;
    Ok(ExitCode::SUCCESS)
}

/// What the program was given after the case.
fn more() -> impl Iterator<Item = String> {
    std::env::args().skip(2)
}

/// Prints what came of something.
fn say<T>(what: &str, result: Result<T, io::Error>) {
    match result {
        Ok(_) => println!("{what}: ok"),
        Err(error) => println!("{what}: {:?} {}", error.kind(), error.raw_os_error().unwrap_or(-1)),
    }
}
