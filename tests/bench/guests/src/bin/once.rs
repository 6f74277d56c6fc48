//! `once`: acquires the lock `lock`, lets it go, and ends. Prints nothing, so that it is as small as a program can be that has
//! Rust's standard library.

use std::process::ExitCode;

use lockkeeper_guest::Mutex;

fn main() -> ExitCode {
    let lock = Mutex::open("lock");
    match lock.and_then(|lock| lock.lock()?.unlock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
