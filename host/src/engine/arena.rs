//! What [`Profile::Dense`](super::Profile::Dense) keeps its memories and stacks in.

use std::io;

use super::limits::SystemLimits;
use super::mapping::{Guard, page_bytes};
use super::memories::{CLASSES, Memories};
use super::slots::{Shape, Slots};
use super::stacks::Stacks;
use super::{DENSE_PROCESSES_MAX, StackGuards};

/// How deep a guard is. One page would do for code that touches every page on its way down, as ours and the guests' does;
/// a few more cost nothing.
const GUARD_BYTES: usize = 16 << 10;

/// What a free stack keeps in memory: what nearly every process needs again.
const STACK_WARM_BYTES: usize = 8 << 10;

/// The memories and stacks of all processes.
pub(super) struct Arena {
    pub(super) memories: Memories,
    pub(super) stacks: Stacks,
    /// How many processes there is room for.
    pub(super) processes_max: usize,
}

impl Arena {
    /// Reserves the addresses for as many processes as the system has room for.
    pub(super) fn reserve(stack_bytes: usize, guards: StackGuards, limits: &SystemLimits) -> io::Result<Self> {
        let guard = guard(guards)?;
        let slot_bytes = stack_slot_bytes(stack_bytes);
        let addresses = slot_bytes + CLASSES.iter().sum::<usize>();
        let processes_max = limits.dense_processes(DENSE_PROCESSES_MAX, addresses, slot_bytes + CLASSES[1], guard);
        let memory = |slot_bytes| Slots::reserve(processes_max, Shape { slot_bytes, guard: None, warm_bytes: 0 });
        Ok(Self {
            memories: Memories { classes: CLASSES.into_iter().map(memory).collect::<io::Result<_>>()? },
            stacks: stacks_with(processes_max, stack_bytes, guard)?,
            processes_max,
        })
    }
}

/// So many stacks. They are addresses and nothing more, until a process has one.
pub(super) fn stacks(count: usize, stack_bytes: usize, guards: StackGuards) -> io::Result<Stacks> {
    stacks_with(count, stack_bytes, guard(guards)?)
}

fn stacks_with(count: usize, stack_bytes: usize, guard: Guard) -> io::Result<Stacks> {
    let stack_bytes = stack_bytes.next_multiple_of(page_bytes());
    let slot_bytes = stack_slot_bytes(stack_bytes);
    let shape = Shape {
        slot_bytes,
        guard: Some((slot_bytes - stack_bytes, guard)),
        warm_bytes: STACK_WARM_BYTES.next_multiple_of(page_bytes()),
    };
    Ok(Stacks { slots: Slots::reserve(count, shape)?, stack_bytes })
}

/// A stack with its guard.
fn stack_slot_bytes(stack_bytes: usize) -> usize {
    GUARD_BYTES.next_multiple_of(page_bytes()) + stack_bytes.next_multiple_of(page_bytes())
}

fn guard(guards: StackGuards) -> io::Result<Guard> {
    match guards {
        StackGuards::Best => Guard::find(),
        StackGuards::Mappings => Ok(Guard::Protected),
    }
}
