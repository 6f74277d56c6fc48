//! Any bytes as a file and as what lies beside it: opening it ends well, or in an error.

#![no_main]

use lockkeeper_fuzz::recovery::Directory;

libfuzzer_sys::fuzz_target!(|directory: Directory| directory.open());
