//! The files and directories that a process has open.

use std::collections::HashSet;

/// Which of WASI's descriptors the process has opened itself. Those of granted directories are given to it, as often as it
/// asks, and are no open files of their own.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    opened: HashSet<u32>,
    max: usize,
}

impl OpenFiles {
    pub(crate) fn new(max: u32) -> Self {
        Self { opened: HashSet::new(), max: max as usize }
    }

    /// Whether one more may be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.opened.len() < self.max
    }

    /// The descriptor of this number was opened.
    pub(crate) fn opened(&mut self, descriptor: u32) {
        self.opened.insert(descriptor);
    }

    /// The descriptor of this number, however it was got, is gone.
    pub(crate) fn closed(&mut self, descriptor: u32) {
        self.opened.remove(&descriptor);
    }
}
