//! The stacks of processes, each with a guard, in one mapping.

use std::ops::Range;
use std::sync::Arc;

use wasmtime::{StackCreator, StackMemory};

use super::slots::{Slot, Slots};

/// Gives the engine its stacks.
#[derive(Debug)]
pub(super) struct Stacks {
    pub(super) slots: Arc<Slots>,
    /// How long each stack is, without its guard.
    pub(super) stack_bytes: usize,
}

#[derive(Debug)]
struct Stack(Slot);

#[expect(unsafe_code, reason = "the engine's own way to be given stacks")]
// SAFETY: each slot is one stack's alone from here to the drop of that stack, is zeroed and page-aligned as `Slots` says, and
// has a guard below it. It is as long as the engine asks, which is checked.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, bytes: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        assert!(bytes <= self.stack_bytes, "the engine asks for a stack of {bytes}, and they are {}", self.stack_bytes);
        let slot = self.slots.take().map_err(|error| wasmtime::Error::from(NoStack(error.to_string())))?;
        Ok(Box::new(Stack(slot)))
    }
}

/// There is no stack for a process.
#[derive(Debug, thiserror::Error)]
#[error("no stack for the process: {0}")]
pub(crate) struct NoStack(String);

#[expect(unsafe_code, reason = "the engine's own way to be given stacks")]
// SAFETY: the ranges are those of the slot, which lives as long as this.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        self.0.range().end
    }

    fn range(&self) -> Range<usize> {
        let Range { start, end } = self.0.range();
        start.addr()..end.addr()
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.0.guard()
    }
}
