//! What a program's processes begin with, and which profile fits it.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

use super::Profile;
use super::memories::CLASSES;

/// What a process of a program begins with, as its file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Memories of its own.
    pub memories: usize,
    /// What they are at the start, in bytes.
    pub memory_bytes: u64,
    /// What of it is data, which every process has a copy of: at once (`dense`), or of what it changes (`image`).
    pub data_bytes: u64,
}

/// From here on copying the data of each process costs more memory and time than the rest of it.
const DATA_BYTES_DENSE_MAX: u64 = 128 << 10;

impl Footprint {
    /// What a component or module says. What cannot be read counts as nothing: the compiler will say what is wrong.
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            match payload {
                Payload::MemorySection(memories) => {
                    for memory in memories.into_iter().map_while(Result::ok) {
                        let page = 1_u64 << memory.page_size_log2.unwrap_or(16);
                        found.memories += 1;
                        found.memory_bytes = found.memory_bytes.saturating_add(memory.initial.saturating_mul(page));
                    }
                }
                Payload::DataSection(data) => found.data_bytes += data.range().len() as u64,
                _ => {}
            }
        }
        found
    }

    /// The profile that fits.
    pub(crate) fn profile(&self) -> Profile {
        let largest_slot = *CLASSES.last().expect("there are slots") as u64;
        if self.data_bytes > DATA_BYTES_DENSE_MAX || self.memory_bytes > largest_slot {
            Profile::Image
        } else {
            Profile::Dense
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(text: &str) -> Footprint {
        Footprint::of(&wat::parse_str(text).expect("it is right"))
    }

    #[test]
    fn memories_and_data_of_all_modules_count() {
        let found = footprint(
            r#"(component
                (core module (memory 2) (data (i32.const 0) "0123456789"))
                (component (core module (memory 3) (memory 1))))"#,
        );
        assert_eq!((found.memories, found.memory_bytes), (3, 6 << 16));
        assert!((10..30).contains(&found.data_bytes), "{found:?}");
        assert_eq!(found.profile(), Profile::Dense);
    }

    #[test]
    fn large_data_or_memory_takes_the_profile_for_images() {
        assert_eq!(footprint("(module (memory 64))").profile(), Profile::Dense);
        assert_eq!(footprint("(module (memory 65))").profile(), Profile::Image);
        let data = "x".repeat(200_000);
        assert_eq!(footprint(&format!("(module (memory 4) (data \"{data}\"))")).profile(), Profile::Image);
        assert_eq!(Footprint::of(b"no program"), Footprint::default());
    }
}
