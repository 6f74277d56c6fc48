//! One large mapping in slots of one size, each of which is one process's at a time.
//!
//! A slot comes back as it was when it was new: all zeros. The last ones that came back are given out first, and some of
//! them keep the memory that nearly every user needs, so that a short process costs no page faults for it.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::mapping::{Guard, Mapping};

/// How many slots are opened at once: a call to the system for each would be slower, and all of them at once would count
/// as used where the system does not overcommit.
const OPENED_AT_ONCE: usize = 64;

/// How many free slots keep memory.
const WARM_MAX: usize = 64;

/// What all slots of a mapping have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How long a slot is, its guard included: whole pages.
    pub(super) slot_bytes: usize,
    /// How much at the beginning of each slot is a guard.
    pub(super) guard: Option<(usize, Guard)>,
    /// How much at the end of a free slot keeps its memory, and is zeroed by hand.
    pub(super) warm_bytes: usize,
}

/// The slots of one size.
#[derive(Debug)]
pub(super) struct Slots {
    mapping: Mapping,
    shape: Shape,
    count: usize,
    state: Mutex<State>,
}

/// | slot | who may use it | what it holds |
/// |---|---|---|
/// | from `opened` on | nobody: it has no access | nothing |
/// | from `given` to `opened` | nobody yet | zeros |
/// | in `warm` | nobody any more | zeros, and memory at its end |
/// | in `cold` | nobody any more | zeros, and no memory |
/// | any other | the holder of its [`Slot`] | what that has written |
#[derive(Debug, Default)]
struct State {
    opened: usize,
    given: usize,
    warm: Vec<usize>,
    cold: Vec<usize>,
}

/// A slot that is somebody's. It goes back when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    index: usize,
    /// How much of its beginning, behind the guard, may have been written to.
    used: usize,
}

/// Why there is no slot.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSlot {
    #[error("all {count} slots are in use")]
    AllUsed { count: usize },
    #[error("the system gives no more memory: {0}")]
    System(#[from] io::Error),
}

impl Slots {
    /// Reserves so many slots of a shape.
    pub(super) fn reserve(count: usize, shape: Shape) -> io::Result<Arc<Self>> {
        let bytes = count.checked_mul(shape.slot_bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Arc::new(Self { mapping: Mapping::reserve(bytes)?, shape, count, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Under this mutex nothing is left half done that a panic could show.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, which is all zeros.
    pub(super) fn take(self: &Arc<Self>) -> Result<Slot, NoSlot> {
        let mut state = self.state();
        let index = match state.warm.pop().or_else(|| state.cold.pop()) {
            Some(index) => index,
            None => self.first_use(&mut state)?,
        };
        Ok(Slot { slots: self.clone(), index, used: self.shape.slot_bytes - self.guard_bytes() })
    }

    fn first_use(&self, state: &mut State) -> Result<usize, NoSlot> {
        if state.given == self.count {
            return Err(NoSlot::AllUsed { count: self.count });
        }
        if state.given == state.opened {
            let until = (state.opened + OPENED_AT_ONCE).min(self.count);
            self.mapping.open(state.opened * self.shape.slot_bytes..until * self.shape.slot_bytes)?;
            state.opened = until;
        }
        let index = state.given;
        if let Some((bytes, guard)) = self.shape.guard {
            let start = index * self.shape.slot_bytes;
            self.mapping.guard(start..start + bytes, guard)?;
        }
        state.given += 1;
        Ok(index)
    }

    fn guard_bytes(&self) -> usize {
        self.shape.guard.map_or(0, |(bytes, _)| bytes)
    }

    /// What a slot's user may use of the mapping.
    fn range(&self, index: usize) -> Range<usize> {
        let start = index * self.shape.slot_bytes;
        start + self.guard_bytes()..start + self.shape.slot_bytes
    }

    fn give_back(&self, index: usize, used: usize) {
        let range = self.range(index);
        let used = range.start..range.start + used;
        let warm = used.end.saturating_sub(self.shape.warm_bytes).max(used.start)..used.end;
        let is_warm = !warm.is_empty() && self.state().warm.len() < WARM_MAX;
        // The slot is in no list yet, so it is still this caller's alone, and nobody waits for the mutex meanwhile.
        if is_warm {
            self.mapping.empty(used.start..warm.start);
            self.mapping.zero(warm);
        } else {
            self.mapping.empty(used);
        }
        let mut state = self.state();
        if is_warm { state.warm.push(index) } else { state.cold.push(index) }
    }
}

impl Slot {
    /// What may be used of it, in addresses.
    pub(super) fn range(&self) -> Range<*mut u8> {
        let Range { start, end } = self.slots.range(self.index);
        self.slots.mapping.at(start)..self.slots.mapping.at(end)
    }

    /// Its guard, in addresses.
    pub(super) fn guard(&self) -> Range<*mut u8> {
        let end = self.slots.range(self.index).start;
        self.slots.mapping.at(end - self.slots.guard_bytes())..self.slots.mapping.at(end)
    }

    /// Promises that nothing was written beyond so many bytes, which is then not looked after.
    pub(super) fn only_used(&mut self, bytes: usize) {
        assert!(bytes <= self.slots.range(self.index).len(), "a slot is used within its bounds");
        self.used = bytes;
    }

    /// Copies its beginning to that of a mapping.
    pub(super) fn copy_to(&self, mapping: &Mapping, bytes: usize) {
        let start = self.slots.range(self.index).start;
        mapping.copy_from(&self.slots.mapping, start..start + bytes);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.give_back(self.index, self.used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mapping::page_bytes;

    fn shape(warm_pages: usize) -> Shape {
        let page = page_bytes();
        Shape {
            slot_bytes: 4 * page,
            guard: Some((page, Guard::find().expect("memory"))),
            warm_bytes: warm_pages * page,
        }
    }

    fn content(slot: &mut Slot) -> &mut [u8] {
        let range = slot.range();
        #[expect(unsafe_code, reason = "the memory has no type and no owner")]
        // SAFETY: the slot is open, and the test looks at it from one place at a time.
        unsafe {
            std::slice::from_raw_parts_mut(range.start, range.end.addr() - range.start.addr())
        }
    }

    #[test]
    fn a_slot_comes_back_as_zeros_whether_it_keeps_its_memory_or_not() {
        for warm_pages in 0..=4 {
            let slots = Slots::reserve(200, shape(warm_pages)).expect("addresses");
            let mut taken: Vec<_> = (0..200).map(|_| slots.take().expect("a slot")).collect();
            taken.iter_mut().for_each(|slot| content(slot).fill(0xaa));
            drop(taken);
            for _ in 0..200 {
                let mut slot = slots.take().expect("a slot");
                assert!(content(&mut slot).iter().all(|byte| *byte == 0));
                std::mem::forget(slot);
            }
        }
    }

    #[test]
    fn slots_do_not_overlap_and_there_are_no_more_than_there_are() {
        let slots = Slots::reserve(3, shape(1)).expect("addresses");
        let taken: Vec<_> = (0..3).map(|_| slots.take().expect("a slot")).collect();
        let mut edges: Vec<_> =
            taken.iter().flat_map(|slot| [slot.guard().start, slot.range().start, slot.range().end]).collect();
        edges.sort_unstable();
        assert!(edges.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(matches!(slots.take(), Err(NoSlot::AllUsed { count: 3 })));
        let (start, guard_end) = (taken[1].range().start, taken[1].guard().end);
        assert_eq!(start, guard_end);
        drop(taken);
        slots.take().expect("they are free again");
    }

    #[test]
    fn the_slot_that_came_back_last_is_given_out_first() {
        let slots = Slots::reserve(8, shape(1)).expect("addresses");
        let (first, second) = (slots.take().expect("a slot"), slots.take().expect("a slot"));
        let last = first.range();
        drop(second);
        drop(first);
        assert_eq!(slots.take().expect("a slot").range(), last);
    }
}
