//! Two processes that compute on one core get slices in the proportion of their shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lockkeeper::{Limits, ProcessSpec, Stdio};
use lockkeeper_tests::{TestHost, join, spec};

/// Pieces of about half a millisecond, so that there are some hundred slices.
const PIECES: u32 = 400;

/// How many pieces a process with this share has done when one with a full share has done all of its own. It is counted
/// where the pieces of the other one come in, so that nothing runs on in between.
fn done_beside_a_full_share(percent: u8) -> u32 {
    let host = TestHost::with_shards(1);
    let program = host.program("cli_compute");
    let job = host.job(&[]);
    let (small, full, seen) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let start = |percent, stdio| {
        let limits = Limits { cpu_share_percent: percent, ..Limits::default() };
        let spec = spec(&program, &[&PIECES.to_string(), "500000"], &[], &[]);
        job.spawn(&program, &ProcessSpec { limits, stdio, ..spec }).expect("a process")
    };
    let counted = small.clone();
    let first = start(percent, Stdio::Lines(Arc::new(move |_, _| _ = counted.fetch_add(1, Ordering::Relaxed))));
    let (counted, noted) = (small, seen.clone());
    let second = start(
        100,
        Stdio::Lines(Arc::new(move |_, _| {
            if full.fetch_add(1, Ordering::Relaxed) + 1 == PIECES {
                noted.store(counted.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        })),
    );
    assert!(join(&second).outcome.is_success() && join(&first).outcome.is_success());
    seen.load(Ordering::Relaxed)
}

/// The bounds are far from 100 and 400: another process of this machine may take the core away in any slice.
#[test]
fn process_with_a_quarter_of_a_share_does_about_a_quarter() {
    let done = done_beside_a_full_share(25);
    assert!((50..200).contains(&done), "{done} of {PIECES}");
}

#[test]
fn process_with_a_full_share_does_about_as_much() {
    let done = done_beside_a_full_share(100);
    assert!((260..=400).contains(&done), "{done} of {PIECES}");
}
