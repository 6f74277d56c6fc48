//! Any bytes as the file of a counter: numbers that were handed out never come again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockkeeper_fuzz::sidecars::counter(data));
