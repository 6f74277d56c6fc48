//! One of very many: waits for the lock `a`, and lets it go at once. Prints nothing, also when it fails, so that it is as
//! small as a program can be that has Rust's standard library.

use std::process::ExitCode;

use lockkeeper_guest::Mutex;

fn main() -> ExitCode {
    let lock = Mutex::open("a");
    match lock.and_then(|lock| lock.lock()?.unlock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
