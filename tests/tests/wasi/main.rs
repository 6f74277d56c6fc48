//! Plain WASI programs behave as under `wasmtime run`: what they see, what they are told, and how they end.
//!
//! Each case of the guest `cli_wasi` has a test of its name here, or this does not compile. It runs as a component of WASI
//! 0.2 and as a core module of WASI 0.1, and both must say the same, but for what the test names. What a standard library
//! hides is tried with hand-written modules and components in [`raw`].

#[path = "../command/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the command, which use more of it")]
mod support;

mod case;
mod ends;
mod files;
mod folders;
mod grants;
mod links;
mod raw;
mod rest;
mod streams;

use ends::*;
use files::*;
use folders::*;
use links::*;
use rest::*;
use streams::*;

macro_rules! each_has_a_test {
    ($($case:ident,)+) => {
        /// The tests, by the names of the cases.
        const TESTS: &[(&str, fn())] = &[$((stringify!($case), $case)),+];
    };
}

lockkeeper_guest_programs::each_wasi_case!(each_has_a_test);

#[test]
fn there_are_more_than_forty_cases_and_no_two_of_one_name() {
    let mut names: Vec<_> = TESTS.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TESTS.len());
    assert!(names.len() > 40, "{}", names.len());
}
