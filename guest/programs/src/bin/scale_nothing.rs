//! The shortest life of a process: does nothing, and ends well.

fn main() {}
