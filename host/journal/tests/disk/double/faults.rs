//! What an operation is, and what can go wrong with it.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Look,
    OpenRead,
    OpenWrite,
    Create,
    Rename,
    MakeDirs,
    SyncDir,
    Lock,
    Mark,
    Remote,
    Append,
    WriteAt,
    Read,
    ReadDisk,
    Truncate,
    Status,
    Sync,
    SetAside,
    Room,
    TryLock,
}

impl Kind {
    /// Those that put bytes into a file.
    pub(crate) const WRITES: [Kind; 2] = [Kind::Append, Kind::WriteAt];
    /// Those that need a file descriptor.
    pub(crate) const OPENS: [Kind; 5] = [Kind::OpenRead, Kind::OpenWrite, Kind::Create, Kind::Lock, Kind::SyncDir];
    /// Those that a read-only file system refuses.
    pub(crate) const CHANGES: [Kind; 10] = [
        Kind::OpenWrite,
        Kind::Create,
        Kind::Rename,
        Kind::MakeDirs,
        Kind::Lock,
        Kind::Mark,
        Kind::Append,
        Kind::WriteAt,
        Kind::Truncate,
        Kind::SetAside,
    ];
    /// Those that can say they worked and have done nothing.
    const CAN_BE_IDLE: [Kind; 7] =
        [Kind::Append, Kind::WriteAt, Kind::Truncate, Kind::Sync, Kind::SyncDir, Kind::Rename, Kind::SetAside];

    pub(crate) fn writes(self) -> bool {
        Kind::WRITES.contains(&self)
    }
}

/// One call of a trait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    /// From 1 on, over all hosts of the machine.
    pub(crate) number: u64,
    /// Which host it came from.
    pub(crate) host: usize,
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
    /// The new name, if it gives one.
    pub(crate) to: Option<PathBuf>,
    /// How much it was asked to read, write, cut to or set aside.
    pub(crate) bytes: u64,
    /// The error that it ended with.
    pub(crate) failed: Option<i32>,
}

/// Something that goes wrong, and when. It meets the first operation that fits, once, unless it is told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    effect: Effect,
    kinds: Vec<Kind>,
    name_end: Option<String>,
    host: Option<usize>,
    nth: u64,
    times: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Fail(Errno),
    Short(usize),
    Torn(usize, Errno),
    Late(Errno),
    Idle,
    Death(usize),
}

impl Fault {
    /// Nothing is done, and the error says so. A sync that fails loses what was to be synced.
    pub(crate) fn fail(errno: Errno) -> Fault {
        Fault::new(Effect::Fail(errno))
    }

    /// A write takes no more than this, and says so.
    pub(crate) fn short(bytes: usize) -> Fault {
        Fault::new(Effect::Short(bytes))
    }

    /// A write takes this much and yet fails.
    pub(crate) fn torn(bytes: usize, errno: Errno) -> Fault {
        Fault::new(Effect::Torn(bytes, errno))
    }

    /// All is done, and yet it fails.
    pub(crate) fn late(errno: Errno) -> Fault {
        Fault::new(Effect::Late(errno))
    }

    /// Nothing is done, and it says that it worked.
    pub(crate) fn idle() -> Fault {
        Fault::new(Effect::Idle)
    }

    /// The host dies. If the operation is a write, this many bytes of it are in the file; else nothing is done.
    pub(crate) fn death(bytes: usize) -> Fault {
        Fault::new(Effect::Death(bytes))
    }

    /// The file system has been mounted read-only, for ever.
    pub(crate) fn read_only() -> Fault {
        Fault::fail(Errno::ROFS).on(&Kind::CHANGES).forever()
    }

    fn new(effect: Effect) -> Fault {
        Fault { effect, kinds: Vec::new(), name_end: None, host: None, nth: 1, times: 1 }
    }

    /// Only operations of these kinds fit.
    pub(crate) fn on(mut self, kinds: &[Kind]) -> Fault {
        self.kinds = kinds.to_vec();
        self
    }

    /// Only operations on a path that ends like this fit.
    pub(crate) fn of(mut self, name_end: &str) -> Fault {
        self.name_end = Some(name_end.to_owned());
        self
    }

    /// Only operations of this host fit.
    pub(crate) fn by(mut self, host: usize) -> Fault {
        self.host = Some(host);
        self
    }

    /// It meets the `nth` of those that fit, counted from 1 and from when the fault is injected.
    pub(crate) fn nth(mut self, nth: u64) -> Fault {
        assert!(nth > 0, "the first one is number 1");
        self.nth = nth;
        self
    }

    /// It meets as many of those that fit one after another.
    pub(crate) fn times(mut self, times: u64) -> Fault {
        self.times = times;
        self
    }

    /// It meets all that fit from there on.
    pub(crate) fn forever(self) -> Fault {
        self.times(u64::MAX)
    }

    fn fits(&self, host: usize, kind: Kind, path: &Path, to: Option<&Path>) -> bool {
        let possible = match self.effect {
            Effect::Short(_) | Effect::Torn(..) => kind.writes(),
            Effect::Idle => Kind::CAN_BE_IDLE.contains(&kind),
            Effect::Fail(_) | Effect::Late(_) | Effect::Death(_) => true,
        };
        let named = |end: &String| {
            [Some(path), to].into_iter().flatten().any(|path| path.to_string_lossy().ends_with(end.as_str()))
        };
        possible
            && self.host.is_none_or(|only| only == host)
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.name_end.as_ref().is_none_or(named)
    }
}

/// The faults that a machine still has before it.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, u64)>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to this operation. Every fault that it fits counts it; the first that is due has its way.
    pub(crate) fn meet(&mut self, host: usize, kind: Kind, path: &Path, to: Option<&Path>) -> Option<Effect> {
        let mut effect = None;
        for (fault, seen) in self.0.iter_mut().filter(|(fault, _)| fault.fits(host, kind, path, to)) {
            *seen += 1;
            let due = *seen >= fault.nth && *seen - fault.nth < fault.times;
            if due && effect.is_none() {
                effect = Some(fault.effect);
            }
        }
        effect
    }
}
