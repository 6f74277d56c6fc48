//! The plugin's world made into Rust, and its functions into exports: the generator's calls and nothing else.

#![expect(unsafe_code, reason = "what is exported takes what the host has put into memory")]

use super::Scorer;

wit_bindgen::generate!({ world: "scorer", path: "wit" });

export!(Scorer);
