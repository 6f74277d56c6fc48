//! A `csv` file of any bytes: readers, recovery and the check agree on its records.

#![no_main]

use lockkeeper_journal::FormatKind;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockkeeper_fuzz::reader::agree(FormatKind::Csv, data));
