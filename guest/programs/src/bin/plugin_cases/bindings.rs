//! The world of the tests' plugin made into Rust: the generator's calls and nothing else.

#![expect(unsafe_code, reason = "what is exported takes what the host has put into memory")]

use crate::exports::Cases;

wit_bindgen::generate!({ world: "plugin", path: "wit" });

export!(Cases);
