//! Disks for tests: one in memory that follows a script of faults, and one that dies at a chosen operation.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::storage::{Status, Storage};

/// What the next write does instead of taking everything.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It takes this many bytes and says so.
    Short(usize),
    /// It takes nothing and fails with this number.
    Fail(i32),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) bytes: Vec<u8>,
    pub(super) unlinked: bool,
    /// One for each of the next writes; after them, writes work.
    pub(super) writes: VecDeque<Fault>,
    /// The same for cuts: the number they fail with.
    pub(super) cuts: VecDeque<i32>,
    /// Cuts that say they worked and do nothing.
    pub(super) idle_cuts: usize,
    pub(super) writes_done: usize,
}

/// A file in memory. Its clones are the same file.
#[derive(Debug, Clone)]
pub(super) struct Memory(Arc<Mutex<State>>);

impl Memory {
    pub(super) fn new() -> Memory {
        Memory(Arc::new(Mutex::new(State::default())))
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.with(|state| state.bytes.clone())
    }

    pub(super) fn writes(&self, faults: impl IntoIterator<Item = Fault>) {
        self.with(|state| state.writes = faults.into_iter().collect());
    }
}

impl Storage for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|state| {
            state.writes_done += 1;
            let taken = match state.writes.pop_front() {
                None => bytes.len(),
                Some(Fault::Short(taken)) => taken.min(bytes.len()),
                Some(Fault::Fail(code)) => return Err(io::Error::from_raw_os_error(code)),
            };
            state.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        })
    }

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state| {
            let from = usize::try_from(offset).unwrap().min(state.bytes.len());
            // Never more than 7 bytes at once, so that nobody relies on a full read.
            let len = into.len().min(state.bytes.len() - from).min(7);
            into[..len].copy_from_slice(&state.bytes[from..from + len]);
            Ok(len)
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.with(|state| {
            if let Some(code) = state.cuts.pop_front() {
                return Err(io::Error::from_raw_os_error(code));
            }
            if state.idle_cuts > 0 {
                state.idle_cuts -= 1;
                return Ok(());
            }
            state.bytes.truncate(usize::try_from(len).unwrap());
            Ok(())
        })
    }

    fn status(&mut self) -> io::Result<Status> {
        self.with(|state| Ok(Status { len: state.bytes.len() as u64, unlinked: state.unlinked }))
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many more operations happen before the process is dead. Its clones count together.
#[derive(Debug, Clone)]
pub(super) struct Life(Arc<AtomicUsize>);

impl Life {
    pub(super) fn of(operations: usize) -> Life {
        Life(Arc::new(AtomicUsize::new(operations)))
    }

    pub(super) fn over(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }

    /// Whether one more operation happens.
    pub(super) fn spend(&self) -> bool {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.is_ok()
    }
}

/// A disk whose process dies: the operation at which it does is done by half (a write) or not at all, and so are all after.
pub(super) struct Mortal<S> {
    pub(super) storage: S,
    pub(super) life: Life,
}

impl<S: Storage> Mortal<S> {
    fn step<T>(&mut self, operation: impl FnOnce(&mut S) -> io::Result<T>) -> io::Result<T> {
        if !self.life.spend() {
            return Err(io::Error::other("the process is dead"));
        }
        operation(&mut self.storage)
    }
}

impl<S: Storage> Storage for Mortal<S> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let last = self.life.0.load(Ordering::SeqCst) == 1;
        self.step(|storage| {
            if last {
                // Half of it is done, and nobody is told.
                storage.append(&bytes[..bytes.len() / 2])?;
                return Err(io::Error::other("the process died"));
            }
            storage.append(bytes)
        })
    }

    fn read_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.step(|storage| storage.read_at(into, offset))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.step(|storage| storage.truncate(len))
    }

    fn status(&mut self) -> io::Result<Status> {
        self.step(Storage::status)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step(Storage::sync)
    }
}
