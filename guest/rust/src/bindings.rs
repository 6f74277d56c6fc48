//! The contract in `wit/` made into Rust: the generator call and nothing else. Arguments are borrowed, so that a row
//! of texts crosses to the host without a copy.

wit_bindgen::generate!({
    path: "../../wit",
    world: "imports",
    ownership: Borrowing { duplicate_if_necessary: false },
});
