//! Any bytes as a lock file: it locks, and says what its holders have noted.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockkeeper_fuzz::sidecars::lock_note(data));
