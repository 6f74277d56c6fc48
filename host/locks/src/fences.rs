//! The fences that one lock may still issue.

use std::collections::VecDeque;

use crate::ids::{Fence, FenceBlock};

/// What is left of the reserved blocks, and the newest fence of the lock.
///
/// Two rules hold between any two calls: `newest` never falls, and every number in `blocks` is greater than it.
pub(crate) struct Fences {
    /// The newest fence: the last one issued, or, before the first, the one below the first block, which an earlier run
    /// may have issued. `None` only if nothing can have been issued at all.
    newest: Option<u64>,
    blocks: VecDeque<FenceBlock>,
}

impl Fences {
    pub(crate) fn new(block: FenceBlock) -> Self {
        let mut fences = Self { newest: block.start.checked_sub(1), blocks: VecDeque::new() };
        fences.add(block);
        fences
    }

    /// Adds a block that the host has reserved.
    ///
    /// # Panics
    ///
    /// If the block is upside down or reaches below a fence that was issued or reserved before.
    pub(crate) fn add(&mut self, block: FenceBlock) {
        assert!(block.start <= block.end, "a block of fences starts before it ends: {block:?}");
        assert!(self.newest.is_none_or(|newest| newest < block.start), "{block:?} was issued in part");
        if let Some(last) = self.blocks.back() {
            assert!(last.end <= block.start, "{block:?} was reserved before: {last:?}");
        }
        if block.start < block.end {
            self.blocks.push_back(block);
        }
    }

    /// Whatever was left is void, and these come next.
    ///
    /// # Panics
    ///
    /// If the block reaches below a fence that was issued.
    pub(crate) fn replace(&mut self, block: FenceBlock) {
        assert!(self.newest.is_none_or(|newest| newest < block.start), "{block:?} was issued in part");
        *self = Self::new(block);
    }

    /// The first number that was not issued, as far as this lock knows.
    pub(crate) fn next(&self) -> u64 {
        self.newest.map_or(0, |newest| newest.saturating_add(1))
    }

    pub(crate) fn left(&self) -> u64 {
        self.blocks.iter().map(|block| block.end - block.start).sum()
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Issues the next fence; `None` if no reserved one is left.
    pub(crate) fn issue(&mut self) -> Option<Fence> {
        let block = self.blocks.front_mut()?;
        let fence = block.start;
        assert!(self.newest.is_none_or(|newest| newest < fence), "fence {fence} is not newer than {:?}", self.newest);
        block.start += 1;
        if block.start == block.end {
            self.blocks.pop_front();
        }
        self.newest = Some(fence);
        Some(Fence::new(fence))
    }

    pub(crate) fn newest(&self) -> Option<Fence> {
        self.newest.map(Fence::new)
    }
}
