//! What a federated client on handwritten digits needs, apart from the host: reading, splitting, learning and averaging.
//!
//! Nothing here knows of locks or shared files (that is `main.rs`), so all of it is tested on the machine that builds
//! it.

pub mod average;
pub mod digits;
pub mod random;
pub mod softmax;
pub mod split;
