//! A disk in memory that can fail one operation, die at one, and lose power.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::os_lock::{Note, OsLockError};
use crate::storage::{Access, Disk, FileId, FileKind, Lock, Status, Storage};

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails and does nothing; the rest works.
    Fail,
    /// It fails though it was done.
    FailDone,
    /// A write does half of its work and says so, and the operation after it fails.
    Short,
    /// It fails, and so does everything after it.
    FailForEver,
    /// The host is dead before it.
    Die,
    /// The host dies in the middle of it, if it is a write, or else after it.
    DieWithin,
}

pub(super) const FAULTS: [Fault; 6] =
    [Fault::Fail, Fault::FailDone, Fault::Short, Fault::FailForEver, Fault::Die, Fault::DieWithin];

/// What power loss makes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// The length is kept, the bytes are not.
    Zeros,
}

pub(super) const FATES: [Fate; 3] = [Fate::Kept, Fate::Lost, Fate::Zeros];

#[derive(Debug, Default, Clone)]
struct Bytes {
    now: Vec<u8>,
    durable: Vec<u8>,
    idle_cuts: usize,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Bytes>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    done: u64,
    fault: Option<(u64, Fault)>,
}

enum Step {
    Do,
    Half,
    DoAndFail,
    Fail,
}

impl State {
    fn step(&mut self) -> Step {
        self.done += 1;
        let Some((at, fault)) = self.fault else {
            return Step::Do;
        };
        let after = self.done.checked_sub(at);
        match (fault, after) {
            (_, None) => Step::Do,
            (Fault::Fail, Some(0)) => Step::Fail,
            (Fault::FailDone, Some(0)) => Step::DoAndFail,
            (Fault::Short, Some(0)) => Step::Half,
            (Fault::Short, Some(1)) => Step::Fail,
            (Fault::Fail | Fault::FailDone | Fault::Short, Some(_)) => Step::Do,
            (Fault::DieWithin, Some(0)) => Step::Half,
            (Fault::FailForEver | Fault::Die | Fault::DieWithin, Some(_)) => Step::Fail,
        }
    }

    /// Does something that is done or not.
    fn whole<T>(&mut self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        match self.step() {
            Step::Do | Step::Half => work(self),
            Step::DoAndFail => work(self).and(Err(failure())),
            Step::Fail => Err(failure()),
        }
    }
}

fn failure() -> io::Error {
    io::Error::other("a fault of the test")
}

#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

impl Memory {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Makes a durable file.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        self.with(|state| {
            state.files.push(Bytes { now: bytes.to_vec(), durable: bytes.to_vec(), idle_cuts: 0 });
            let number = state.files.len() - 1;
            state.names.insert(path.into(), number);
            state.durable_names.insert(path.into(), number);
        });
    }

    pub(super) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.with(|state| state.names.get(Path::new(path)).map(|&number| state.files[number].now.clone()))
    }

    pub(super) fn set_bytes(&self, path: &str, bytes: &[u8]) {
        self.with(|state| {
            let number = state.names[Path::new(path)];
            state.files[number].now = bytes.to_vec();
        });
    }

    /// The operation this many from now on, from 1, has this fault.
    pub(super) fn fault(&self, after: u64, fault: Fault) {
        self.with(|state| state.fault = Some((state.done + after, fault)));
    }

    /// No faults any more; answers whether the fault was reached, and whether the host is dead.
    pub(super) fn revive(&self) -> bool {
        self.with(|state| state.fault.take().is_some_and(|(at, _)| at <= state.done))
    }

    pub(super) fn dead(&self) -> bool {
        self.with(|state| matches!(state.fault, Some((at, Fault::Die | Fault::DieWithin)) if at <= state.done))
    }

    /// The next cuts of this file say they worked, and do nothing.
    pub(super) fn idle_cuts(&self, path: &str, cuts: usize) {
        self.with(|state| {
            let number = state.names[Path::new(path)];
            state.files[number].idle_cuts = cuts;
        });
    }

    /// Power is lost: each file has its fate, in the order in which they were made, the names another.
    pub(super) fn lose_power(&self, fate_of: impl Fn(&Path) -> Fate, names: Fate) {
        self.with(|state| {
            if names != Fate::Kept {
                state.names = state.durable_names.clone();
            }
            for (path, &number) in &state.names {
                let file = &mut state.files[number];
                match fate_of(path) {
                    Fate::Kept => {}
                    Fate::Lost => file.now = file.durable.clone(),
                    Fate::Zeros => {
                        let len = file.now.len();
                        file.now = file.durable.clone();
                        file.now.resize(len, 0);
                    }
                }
                file.durable = file.now.clone();
            }
            state.durable_names = state.names.clone();
        });
    }
}

impl Disk for Memory {
    fn look(&self, path: &Path) -> io::Result<Option<Status>> {
        self.with(|state| {
            state.whole(|state| Ok(state.names.get(path).map(|&number| status(number, &state.files[number]))))
        })
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        let number = self.with(|state| {
            state.whole(|state| match (state.names.get(path), access) {
                (Some(&number), Access::Read | Access::Append | Access::Update) => Ok(number),
                (None, Access::CreateAppend { .. } | Access::CreateUpdate { .. }) => {
                    state.files.push(Bytes::default());
                    let number = state.files.len() - 1;
                    state.names.insert(path.to_owned(), number);
                    Ok(number)
                }
                (Some(_), _) => Err(io::ErrorKind::AlreadyExists.into()),
                (None, _) => Err(io::ErrorKind::NotFound.into()),
            })
        })?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), number, writable: access != Access::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|state| {
            state.whole(|state| {
                let number = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
                state.names.insert(to.to_owned(), number);
                Ok(())
            })
        })
    }

    fn make_dirs(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.with(|state| {
            state.whole(|state| {
                state.durable_names = state.names.clone();
                Ok(())
            })
        })
    }

    fn lock(&self, _: &Path, _: &str) -> Result<Lock, OsLockError> {
        unreachable!("the ids lock nothing");
    }

    fn share(&self, _: &Path, _: &str) -> Result<Lock, OsLockError> {
        unreachable!("the ids lock nothing");
    }

    fn read_note(&self, _: &Path) -> Result<Option<Note>, OsLockError> {
        unreachable!("the ids lock nothing");
    }

    fn boot(&self) -> Option<String> {
        None
    }

    fn remote(&self, _: &Path) -> io::Result<Option<&'static str>> {
        Ok(None)
    }
}

fn status(number: usize, file: &Bytes) -> Status {
    Status {
        id: FileId { device: 1, inode: 100 + number as u64 },
        born: 7,
        kind: FileKind::Regular,
        len: file.now.len() as u64,
        links: 1,
        mode: 0o600,
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: Memory,
    number: usize,
    writable: bool,
}

impl MemoryFile {
    fn write(&self, bytes: &[u8], offset: Option<u64>) -> io::Result<usize> {
        assert!(self.writable, "a file that is only read is not written");
        self.disk.with(|state| {
            let step = state.step();
            let taken = match step {
                Step::Do | Step::DoAndFail => bytes.len(),
                Step::Half => bytes.len() / 2,
                Step::Fail => return Err(failure()),
            };
            let now = &mut state.files[self.number].now;
            let at = offset.map_or(now.len(), |offset| usize::try_from(offset).unwrap());
            now.resize(now.len().max(at + taken), 0);
            now[at..at + taken].copy_from_slice(&bytes[..taken]);
            match step {
                Step::DoAndFail => Err(failure()),
                Step::Do | Step::Half | Step::Fail => Ok(taken),
            }
        })
    }
}

impl Storage for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes, None)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.write(bytes, Some(offset))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.with(|state| {
            state.whole(|state| {
                let rest = state.files[self.number].now.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
                let got = rest.len().min(into.len());
                into[..got].copy_from_slice(&rest[..got]);
                Ok(got)
            })
        })
    }

    fn read_disk_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(into, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        assert!(self.writable, "a file that is only read is not cut");
        self.disk.with(|state| {
            state.whole(|state| {
                let file = &mut state.files[self.number];
                match file.idle_cuts {
                    0 => file.now.resize(usize::try_from(len).unwrap(), 0),
                    _ => file.idle_cuts -= 1,
                }
                Ok(())
            })
        })
    }

    fn status(&self) -> io::Result<Status> {
        self.disk
            .with(|state| state.whole(|state| Ok(Status { born: 0, ..status(self.number, &state.files[self.number]) })))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.with(|state| {
            state.whole(|state| {
                let file = &mut state.files[self.number];
                file.durable = file.now.clone();
                Ok(())
            })
        })
    }

    fn set_aside(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn room(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) {}
}
