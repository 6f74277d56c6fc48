//! A process: the traits of the crate, one call after another.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use lockkeeper_journal::os_lock::{Holder, Note as LockNote, OsLockError};
use lockkeeper_journal::storage::{Access, Disk, FileId, FileKind, Held, Lock, Status, Storage, uninterrupted};
use rustix::io::Errno;

use super::faults::{Effect, Kind, Operation};
use super::world::{Change, Inode, Key, absolute};
use super::{HostIsDead, Inner, Machine, Token, Turn, in_memory};

/// What is asked of the disk.
#[derive(Debug, Clone, Copy)]
struct Call<'a> {
    kind: Kind,
    path: &'a Path,
    to: Option<&'a Path>,
    bytes: u64,
    /// The file, if it is open.
    key: Option<Key>,
}

impl<'a> Call<'a> {
    fn of(kind: Kind, path: &'a Path) -> Call<'a> {
        Call { kind, path, to: None, bytes: 0, key: None }
    }
}

/// One process on a machine. Its clones are the same process.
#[derive(Clone)]
pub(crate) struct Host {
    pub(super) machine: Machine,
    pub(super) id: usize,
}

impl fmt::Debug for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Host({})", self.id)
    }
}

impl Host {
    /// What it sees of a file. The crate keeps one list of open files for all that runs in this process, so each of them has
    /// its own number for the disk.
    fn seen(&self, status: Status) -> Status {
        let device = (status.id.device << 32) + self.id as u64;
        Status { id: FileId { device, ..status.id }, ..status }
    }

    /// Its number on the machine, as in [`Operation::host`].
    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// Whether it has not died.
    pub(crate) fn lives(&self) -> bool {
        self.machine.inner().hosts[self.id]
    }

    /// One operation: counts it, asks the faults, waits at the gate and does it.
    fn perform<T>(&self, call: Call<'_>, act: impl FnOnce(&mut Inner, Turn) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.machine.inner();
        inner.check_alive(self.id)?;
        let effect = inner.faults.meet(self.id, call.kind, call.path, call.to);
        let index = self.count(&mut inner, call);
        let mut turn = Turn { upto: inner.world.sequence, bytes_max: usize::MAX, idle: false };
        if inner.watched {
            let operation = inner.log[index].clone();
            drop(inner);
            let mut watcher = self.machine.0.watcher.lock().unwrap_or_else(PoisonError::into_inner);
            watcher.as_mut().expect("somebody watches")(&self.machine, &operation);
            drop(watcher);
            inner = self.machine.inner();
            turn.upto = inner.world.sequence;
        }
        inner = self.pass_gate(inner, call.kind);
        inner.check_alive(self.id)?;
        let (done, failed) = self.meet(&mut inner, effect, call, turn, act);
        let failure = failed.as_ref().or(done.as_ref().and_then(|done| done.as_ref().err()));
        inner.log[index].failed = failure.map(|error| error.raw_os_error().unwrap_or(0));
        // What was opened and is given to nobody closes itself, and needs the mutex for that.
        drop(inner);
        match (done, failed) {
            (_, Some(error)) => Err(error),
            (Some(done), None) => done,
            (None, None) => unreachable!("an operation is done or fails"),
        }
    }

    /// What was done, and what is said instead of it.
    fn meet<T>(
        &self,
        inner: &mut Inner,
        effect: Option<Effect>,
        call: Call<'_>,
        turn: Turn,
        act: impl FnOnce(&mut Inner, Turn) -> io::Result<T>,
    ) -> (Option<io::Result<T>>, Option<io::Error>) {
        match effect {
            None => (Some(act(inner, turn)), None),
            Some(Effect::Short(bytes_max)) => (Some(act(inner, Turn { bytes_max, ..turn })), None),
            Some(Effect::Idle) => (Some(act(inner, Turn { idle: true, ..turn })), None),
            Some(Effect::Late(errno)) => (Some(act(inner, turn)), Some(errno.into())),
            Some(Effect::Torn(bytes_max, errno)) => (Some(act(inner, Turn { bytes_max, ..turn })), Some(errno.into())),
            Some(Effect::Fail(errno)) => {
                if let (Kind::Sync, Some(key), true) = (call.kind, call.key, errno != Errno::INTR) {
                    inner.world.lose(key, turn.upto);
                }
                (None, Some(errno.into()))
            }
            Some(Effect::Death(bytes_max)) => {
                let done = call.kind.writes().then(|| act(inner, Turn { bytes_max, ..turn }));
                inner.kill(self.id);
                (done, Some(io::Error::other(HostIsDead)))
            }
        }
    }

    fn count(&self, inner: &mut Inner, call: Call<'_>) -> usize {
        inner.counted += 1;
        inner.log.push(Operation {
            number: inner.counted,
            host: self.id,
            kind: call.kind,
            path: call.path.to_owned(),
            to: call.to.map(Path::to_owned),
            bytes: call.bytes,
            failed: None,
        });
        inner.log.len() - 1
    }

    fn pass_gate<'a>(&self, mut inner: MutexGuard<'a, Inner>, kind: Kind) -> MutexGuard<'a, Inner> {
        let mut waits = false;
        loop {
            let alive = inner.hosts[self.id];
            let Some(gate) = inner.gates.get_mut(&kind) else {
                return inner;
            };
            if !gate.closed || !alive || gate.permits > 0 {
                if gate.closed && alive {
                    gate.permits -= 1;
                }
                gate.waiting -= usize::from(waits);
                return inner;
            }
            if !waits {
                waits = true;
                gate.waiting += 1;
                self.machine.0.gates_changed.notify_all();
            }
            inner = self.machine.0.gates_changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Disk for Host {
    fn look(&self, path: &Path) -> io::Result<Option<Status>> {
        let path = absolute(path);
        self.perform(Call::of(Kind::Look, &path), |inner, _| {
            Ok(inner.world.names.get(&path).map(|key| self.seen(inner.status(*key))))
        })
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        let path = absolute(path);
        let (kind, mode) = match access {
            Access::Read => (Kind::OpenRead, None),
            Access::Append | Access::Update => (Kind::OpenWrite, None),
            Access::CreateAppend { mode } | Access::CreateUpdate { mode } => (Kind::Create, Some(mode)),
        };
        let (key, token) = self.perform(Call::of(kind, &path), |inner, _| {
            let there = inner.world.names.get(&path).copied();
            if mode.is_some() && there.is_some() {
                return Err(Errno::EXIST.into());
            }
            match there.map(|key| inner.world.inode(key).kind) {
                Some(FileKind::SymbolicLink) => return Err(Errno::LOOP.into()),
                Some(FileKind::Directory) if kind != Kind::OpenRead => return Err(Errno::ISDIR.into()),
                Some(FileKind::Socket | FileKind::Device) => return Err(Errno::NXIO.into()),
                Some(FileKind::Regular | FileKind::Pipe | FileKind::Directory) | None => {}
            }
            let key = match (there, mode) {
                (Some(key), _) => key,
                (None, Some(mode)) => {
                    if inner.world.settings.open_files_max.is_some_and(|max| inner.handles.len() >= max) {
                        return Err(Errno::MFILE.into());
                    }
                    inner.create(&path, FileKind::Regular, mode)?
                }
                (None, None) => {
                    inner.world.check_parent(&path)?;
                    return Err(Errno::NOENT.into());
                }
            };
            Ok((key, inner.open(key, self.id)?))
        })?;
        Ok(Arc::new(OpenFile { host: self.clone(), key, token, path, access }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (absolute(from), absolute(to));
        self.perform(Call { to: Some(&to), ..Call::of(Kind::Rename, &from) }, |inner, turn| match turn.idle {
            true => Ok(()),
            false => inner.rename(&from, &to),
        })
    }

    fn make_dirs(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.perform(Call::of(Kind::MakeDirs, &path), |inner, _| inner.make_dirs(&path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        self.perform(Call::of(Kind::SyncDir, &path), |inner, turn| {
            inner.named(&path).ok_or(Errno::NOENT)?;
            if !turn.idle {
                inner.world.settle_names(&path, turn.upto);
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        self.lock_as(path, holder, true)
    }

    fn share(&self, path: &Path, holder: &str) -> Result<Lock, OsLockError> {
        self.lock_as(path, holder, false)
    }

    fn read_note(&self, path: &Path) -> Result<Option<LockNote>, OsLockError> {
        let path = absolute(path);
        let read = self.perform(Call::of(Kind::OpenRead, &path), |inner, _| {
            Ok(inner.named(&path).map(|inode| match inode.kind {
                FileKind::Regular => Ok(Note::parse(&inode.cache)),
                _ => Err(()),
            }))
        });
        match read {
            Ok(None) => Ok(None),
            Ok(Some(Ok(Note { holder, mark }))) => Ok(Some(LockNote { holder, mark })),
            Ok(Some(Err(()))) => Err(OsLockError::NotRegular { path }),
            Err(source) => Err(OsLockError::Open { path, source }),
        }
    }

    fn boot(&self) -> Option<String> {
        let inner = self.machine.inner();
        inner.world.settings.boot_known.then(|| format!("boot-{}", inner.world.boots))
    }

    fn remote(&self, dir: &Path) -> io::Result<Option<&'static str>> {
        let dir = absolute(dir);
        self.perform(Call::of(Kind::Remote, &dir), |inner, _| {
            inner.named(&dir).ok_or(Errno::NOENT)?;
            Ok(inner.world.settings.remote)
        })
    }
}

impl Host {
    fn lock_as(&self, path: &Path, holder: &str, alone: bool) -> Result<Lock, OsLockError> {
        let path = absolute(path);
        let tried = self.perform(Call::of(Kind::Lock, &path), |inner, _| {
            let key = match inner.world.names.get(&path) {
                Some(key) if inner.world.inode(*key).kind != FileKind::Regular => return Ok(Tried::NotRegular),
                Some(key) => *key,
                None => inner.create(&path, FileKind::Regular, 0o644)?,
            };
            let mut note = Note::parse(&inner.world.inode(key).cache);
            let token = inner.open(key, self.id)?;
            if !(if alone { inner.try_lock(key, token) } else { inner.try_share(key, token) }) {
                inner.close(token);
                return Ok(Tried::Busy(note.holder));
            }
            if alone {
                note.holder = Some(self.as_holder(holder));
                inner.world.write_note(key, &note.text());
            }
            Ok(Tried::Held(key, token, note))
        });
        match tried {
            Ok(Tried::Held(key, token, note)) => {
                let holder = holder.to_owned();
                Ok(Lock::Held(Box::new(HeldLock { host: self.clone(), key, token, path, note, holder })))
            }
            Ok(Tried::Busy(holder)) => Ok(Lock::Busy(holder)),
            Ok(Tried::NotRegular) => Err(OsLockError::NotRegular { path }),
            Err(source) => match Errno::from_io_error(&source) {
                Some(Errno::NOLCK | Errno::OPNOTSUPP) => Err(OsLockError::Lock { path, source }),
                _ => Err(OsLockError::Open { path, source }),
            },
        }
    }

    fn as_holder(&self, text: &str) -> Holder {
        Holder { pid: std::process::id(), text: text.to_owned() }
    }
}

enum Tried {
    Held(Key, Token, Note),
    Busy(Option<Holder>),
    NotRegular,
}

/// A file that a host has open.
#[derive(Debug)]
struct OpenFile {
    host: Host,
    key: Key,
    token: Token,
    path: PathBuf,
    access: Access,
}

impl OpenFile {
    fn perform<T>(&self, kind: Kind, bytes: u64, act: impl FnOnce(&mut Inner, Turn) -> io::Result<T>) -> io::Result<T> {
        self.host.perform(Call { bytes, key: Some(self.key), ..Call::of(kind, &self.path) }, act)
    }

    fn read_from(
        &self,
        kind: Kind,
        into: &mut [u8],
        offset: u64,
        content: impl Fn(&Inode) -> Cow<'_, [u8]>,
    ) -> io::Result<usize> {
        self.perform(kind, into.len() as u64, |inner, _| {
            let inode = inner.world.inode(self.key);
            if inode.kind == FileKind::Directory {
                return Err(Errno::ISDIR.into());
            }
            let content = content(inode);
            let from = in_memory(offset.min(content.len() as u64));
            let max = inner.world.settings.read_bytes_max.unwrap_or(usize::MAX);
            let len = into.len().min(content.len() - from).min(max);
            into[..len].copy_from_slice(&content[from..from + len]);
            Ok(len)
        })
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::Read => Err(Errno::BADF.into()),
            Access::Append | Access::CreateAppend { .. } | Access::Update | Access::CreateUpdate { .. } => Ok(()),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.host.machine.inner().close(self.token);
    }
}

impl Storage for OpenFile {
    /// # Panics
    ///
    /// If the file was opened to be written anywhere: such a write would go to where the last one ended.
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        assert!(
            !matches!(self.access, Access::Update | Access::CreateUpdate { .. }),
            "{} is not open for appending",
            self.path.display()
        );
        self.perform(Kind::Append, bytes.len() as u64, |inner, turn| {
            self.check_writable()?;
            let offset = inner.world.inode(self.key).cache.len();
            inner.write(self.key, offset, bytes, turn)
        })
    }

    /// # Panics
    ///
    /// If the file was opened for appending: Linux would ignore the offset.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        assert!(
            !matches!(self.access, Access::Append | Access::CreateAppend { .. }),
            "{} is open for appending",
            self.path.display()
        );
        self.perform(Kind::WriteAt, bytes.len() as u64, |inner, turn| {
            self.check_writable()?;
            inner.write(self.key, in_memory(offset), bytes, turn)
        })
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_from(Kind::Read, into, offset, |inode| Cow::Borrowed(&inode.cache))
    }

    fn read_disk_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_from(Kind::ReadDisk, into, offset, |inode| Cow::Owned(inode.direct()))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.perform(Kind::Truncate, len, |inner, turn| {
            self.check_writable().map_err(|_| io::Error::from(Errno::INVAL))?;
            if !turn.idle {
                inner.world.change(self.key, Change::Truncate { len: in_memory(len) });
            }
            Ok(())
        })
    }

    fn status(&self) -> io::Result<Status> {
        // As the real one: this call does not say when the file was made.
        self.perform(Kind::Status, 0, |inner, _| Ok(Status { born: 0, ..self.host.seen(inner.status(self.key)) }))
    }

    fn sync(&self) -> io::Result<()> {
        self.perform(Kind::Sync, 0, |inner, turn| {
            if !turn.idle {
                inner.world.settle(self.key, turn.upto);
            }
            Ok(())
        })
    }

    fn set_aside(&self, offset: u64, len: u64) -> io::Result<()> {
        self.perform(Kind::SetAside, len, |inner, turn| {
            self.check_writable()?;
            let end = in_memory(offset + len);
            if inner.fitting(self.key, 0, end)? < end {
                return Err(Errno::NOSPC.into());
            }
            if !turn.idle {
                let inode = inner.world.inode_mut(self.key);
                inode.set_aside = inode.set_aside.max(end);
            }
            Ok(())
        })
    }

    fn room(&self) -> io::Result<u64> {
        self.perform(Kind::Room, 0, |inner, _| Ok(inner.room()))
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.perform(Kind::TryLock, 0, |inner, _| Ok(inner.try_lock(self.key, self.token)))
    }

    fn unlock(&self) {
        self.host.machine.inner().unlock(self.token);
    }
}

/// A lock that a host holds.
#[derive(Debug)]
struct HeldLock {
    host: Host,
    key: Key,
    token: Token,
    path: PathBuf,
    note: Note,
    holder: String,
}

impl Held for HeldLock {
    fn mark(&self) -> Option<&str> {
        self.note.mark.as_deref()
    }

    fn set_mark(&mut self, mark: &str) -> Result<(), OsLockError> {
        let before = self.note.mark.replace(mark.to_owned());
        let call = Call { bytes: mark.len() as u64, key: Some(self.key), ..Call::of(Kind::Mark, &self.path) };
        let text = self.note.text();
        let written = self.host.perform(call, |inner, _| {
            inner.world.write_note(self.key, &text);
            Ok(())
        });
        let synced = written.and_then(|()| {
            uninterrupted(|| {
                self.host.perform(Call { kind: Kind::Sync, ..call }, |inner, turn| {
                    if !turn.idle {
                        inner.world.settle(self.key, turn.upto);
                    }
                    Ok(())
                })
            })
        });
        let noted = synced.map_err(|source| OsLockError::Note { path: self.path.clone(), source });
        noted.inspect_err(|_| self.note.mark = before)
    }

    fn renew(&mut self) -> Result<(), OsLockError> {
        let (path, holder) = (self.path.clone(), self.host.as_holder(&self.holder));
        let call = Call { key: Some(self.key), ..Call::of(Kind::Mark, &path) };
        let note = self.host.perform(call, |inner, _| {
            let note = Note { holder: Some(holder), ..Note::parse(&inner.world.inode(self.key).cache) };
            inner.world.write_note(self.key, &note.text());
            Ok(note)
        });
        self.note = note.map_err(|source| OsLockError::Note { path, source })?;
        Ok(())
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.host.machine.inner().close(self.token);
    }
}

/// What stands in a lock file, in the words of the real one.
#[derive(Debug, Default)]
struct Note {
    holder: Option<Holder>,
    mark: Option<String>,
}

impl Note {
    /// One that is not whole says nothing.
    fn parse(bytes: &[u8]) -> Note {
        let text = String::from_utf8_lossy(bytes);
        let (mut note, mut pid) = (Note::default(), 0);
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("pid", value)) => pid = value.parse().unwrap_or(0),
                Some(("holder", value)) => note.holder = Some(Holder { pid, text: value.to_owned() }),
                Some(("mark", value)) => note.mark = Some(value.to_owned()),
                None if line == "end" => return note,
                Some(_) | None => {}
            }
        }
        Note::default()
    }

    fn text(&self) -> String {
        let mut text = "lockkeeper-lock 1\n".to_owned();
        if let Some(Holder { pid, text: holder }) = &self.holder {
            text.push_str(&format!("pid {pid}\nholder {holder}\n"));
        }
        if let Some(mark) = &self.mark {
            text.push_str(&format!("mark {mark}\n"));
        }
        text + "end\n"
    }
}
