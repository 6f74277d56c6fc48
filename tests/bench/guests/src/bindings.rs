//! The empty interface made into Rust: the generator call and nothing else.

wit_bindgen::generate!({
    path: ["../../../wit", "../wit"],
    world: "lockkeeper:bench/imports",
    generate_all,
});
