//! The linear memories of processes: small ones in slots of a few sizes, large ones in mappings of their own.
//!
//! A memory that outgrows its slot moves out of it, which it may because the code of this engine checks every access
//! against the memory's length and looks for its base again after every growth.

use std::sync::Arc;

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::mapping::{Mapping, page_bytes};
use super::slots::{NoSlot, Slot, Slots};

/// How long the slots are. The middle one is for what Rust builds: 1 MiB of stack, its data, and room for a first
/// allocation.
pub(super) const CLASSES: [usize; 3] = [256 << 10, 1280 << 10, 4 << 20];

/// Room to grow that a memory is given within its slot: two pages of WebAssembly.
const ROOM_BYTES: usize = 128 << 10;

/// Gives the engine its memories.
#[derive(Debug)]
pub(super) struct Memories {
    /// One for each of [`CLASSES`].
    pub(super) classes: Vec<Arc<Slots>>,
}

#[derive(Debug)]
struct Memory {
    place: Place,
    bytes: usize,
}

#[derive(Debug)]
enum Place {
    Slot { slot: Slot, capacity: usize },
    Own(Mapping),
}

#[expect(unsafe_code, reason = "the engine's own way to be given memories")]
// SAFETY: each memory has its slot or its mapping to itself, zeroed and page-aligned as those say. The code is compiled for
// memories without guards and without reservation, that is with a check before every access; a memory that asks for anything
// else is refused.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        kind: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if kind.is_shared() {
            return Err("memories that threads share are not supported here".to_owned());
        }
        if reserved.is_some_and(|bytes| bytes > 0) || guard > 0 {
            return Err(format!("a memory with {reserved:?} reserved bytes and {guard} of guard"));
        }
        let place = self.place(minimum).map_err(|error| format!("no memory for the process: {error}"))?;
        Ok(Box::new(Memory { place, bytes: minimum }))
    }
}

impl Memories {
    fn place(&self, bytes: usize) -> Result<Place, NoSlot> {
        for (slots, capacity) in self.classes.iter().zip(CLASSES) {
            if bytes.saturating_add(ROOM_BYTES) > capacity {
                continue;
            }
            match slots.take() {
                Ok(slot) => return Ok(Place::Slot { slot, capacity }),
                // Components may have several memories, so that there are fewer slots than memories.
                Err(NoSlot::AllUsed { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Place::Own(Mapping::open_at_once(whole_pages(bytes.max(1)))?))
    }
}

fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(page_bytes())
}

/// How long a mapping of its own becomes: a quarter more than it has to be, so that growing by the page does not ask the
/// system each time.
fn with_room(bytes: usize) -> usize {
    whole_pages(bytes.saturating_add(bytes / 4))
}

#[expect(unsafe_code, reason = "the engine's own way to be given memories")]
// SAFETY: what is told of base, length and capacity is what the place has; what a growth uncovers is zero, as nothing beyond
// the old length was ever written.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.bytes
    }

    fn byte_capacity(&self) -> usize {
        match &self.place {
            Place::Slot { capacity, .. } => *capacity,
            Place::Own(mapping) => mapping.bytes(),
        }
    }

    fn grow_to(&mut self, bytes: usize) -> wasmtime::Result<()> {
        if bytes > self.byte_capacity() {
            match &mut self.place {
                Place::Own(mapping) => mapping.lengthen(with_room(bytes))?,
                Place::Slot { slot, .. } => {
                    let own = Mapping::open_at_once(with_room(bytes))?;
                    slot.copy_to(&own, self.bytes);
                    slot.only_used(whole_pages(self.bytes));
                    self.place = Place::Own(own);
                }
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        match &self.place {
            Place::Slot { slot, .. } => slot.range().start,
            Place::Own(mapping) => mapping.at(0),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Place::Slot { slot, .. } = &mut self.place {
            slot.only_used(whole_pages(self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::slots::Shape;

    fn memories(count: usize) -> Memories {
        let shape = |slot_bytes| Shape { slot_bytes, guard: None, warm_bytes: 0 };
        Memories { classes: CLASSES.map(|bytes| Slots::reserve(count, shape(bytes)).expect("addresses")).into() }
    }

    fn new(memories: &Memories, bytes: usize) -> Box<dyn LinearMemory> {
        memories.new_memory(MemoryType::new(1, None), bytes, None, Some(0), 0).expect("a memory")
    }

    fn content(memory: &mut dyn LinearMemory) -> &mut [u8] {
        #[expect(unsafe_code, reason = "the memory has no type and no owner")]
        // SAFETY: the test has the memory to itself.
        unsafe {
            std::slice::from_raw_parts_mut(memory.as_ptr(), memory.byte_size())
        }
    }

    /// Through every size, so that it moves out of its slot and on: what was written stays, what is new is zero.
    #[test]
    fn a_memory_keeps_its_content_while_it_grows_to_256_mib() {
        let memories = memories(4);
        let mut memory = new(&memories, 64 << 10);
        content(&mut *memory).fill(0xaa);
        let mut bytes = 64 << 10;
        while bytes < 256 << 20 {
            let (base, capacity, old) = (memory.as_ptr(), memory.byte_capacity(), bytes);
            bytes *= 2;
            memory.grow_to(bytes).expect("it grows");
            assert!(bytes > capacity || memory.as_ptr() == base, "it moved within its capacity");
            assert!(content(&mut *memory)[..64 << 10].iter().all(|byte| *byte == 0xaa));
            assert!(content(&mut *memory)[old..].iter().step_by(1024).all(|byte| *byte == 0));
            content(&mut *memory)[old] = 1;
            content(&mut *memory)[old] = 0;
        }
    }

    #[test]
    fn the_next_memory_in_a_slot_finds_nothing_of_the_last_one() {
        let memories = memories(1);
        for bytes in [64 << 10, 1 << 20, 3 << 20] {
            let mut memory = new(&memories, bytes);
            memory.grow_to(bytes + (64 << 10)).expect("it grows");
            content(&mut *memory).fill(0xaa);
            let base = memory.as_ptr();
            drop(memory);
            let mut memory = new(&memories, bytes);
            assert_eq!(memory.as_ptr(), base, "the slot is used again");
            memory.grow_to(bytes + (64 << 10)).expect("it grows");
            assert!(content(&mut *memory).iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_slot_that_was_moved_out_of_is_empty_for_the_next_one() {
        let memories = memories(1);
        let mut memory = new(&memories, 64 << 10);
        content(&mut *memory).fill(0xaa);
        memory.grow_to(1 << 20).expect("it grows");
        let mut next = new(&memories, 64 << 10);
        assert!(content(&mut *next).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn there_is_a_memory_also_when_all_slots_are_used() {
        let memories = memories(1);
        let mut all: Vec<_> = (0..5).map(|_| new(&memories, 64 << 10)).collect();
        all.iter_mut().for_each(|memory| content(&mut **memory).fill(0xaa));
    }

    #[test]
    fn a_memory_that_code_without_checks_would_use_is_refused() {
        let memories = memories(1);
        let refused = |reserved, guard| memories.new_memory(MemoryType::new(1, None), 0, None, Some(reserved), guard);
        assert!(refused(1 << 32, 0).is_err());
        assert!(refused(0, 4096).is_err());
    }
}
