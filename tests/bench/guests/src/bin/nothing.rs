//! `nothing`: the shortest life of a process.

fn main() {}
