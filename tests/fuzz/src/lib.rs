//! What the fuzz targets do with their input. Each of them panics when something that is promised does not hold.

pub mod files;
pub mod made;
pub mod memory;
pub mod names;
pub mod reader;
pub mod recovery;
pub mod roundtrip;
pub mod sidecars;
