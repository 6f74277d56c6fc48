//! Any text as a name, a record id, a format, a file name.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockkeeper_fuzz::names::check(data));
