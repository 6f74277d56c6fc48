//! What a script of appends, deaths and power cuts leaves in a file is what was appended.

#![no_main]

use lockkeeper_fuzz::roundtrip::Script;

libfuzzer_sys::fuzz_target!(|script: Script| script.run());
