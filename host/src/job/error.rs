//! Why a job, or a process of it, does not begin.

use std::path::PathBuf;
use std::sync::Arc;

use lockkeeper_journal::OpenError;
use lockkeeper_journal::counter::CounterError;
use lockkeeper_journal::machine_lock::MachineLockError;
use lockkeeper_locks::ValueError;

use crate::engine::NoRoom;
use crate::name::{Name, NameError};
use crate::observe::Kind;
use crate::process::{InputError, StreamFileError};

/// Why a job cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A name breaks the grammar.
    #[error("{kind} {name:?}: {source}")]
    Name {
        /// What it names.
        kind: Kind,
        /// The text.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Two things have one name.
    #[error("{kind} `{name}` is declared twice; give one of them another name")]
    Twice {
        /// What it names.
        kind: Kind,
        /// The name.
        name: Name,
    },
    /// A file or a value requires a lock that the job does not have.
    #[error("{kind} `{name}` requires lock `{lock}`, which the job does not declare")]
    NoSuchLock {
        /// What requires it.
        kind: Kind,
        /// Its name.
        name: Name,
        /// The lock.
        lock: String,
    },
    /// A file or a value requires something that nobody can hold alone.
    #[error("{kind} `{name}` requires `{lock}`, which is a {is}; bind it to a mutex, an rlock or a rwlock")]
    NotExclusive {
        /// What requires it.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What it requires.
        lock: String,
        /// What that is.
        is: Kind,
    },
    /// Other hosts write to a file that requires a lock, and they do not know of it.
    #[error(
        "file `{file}` is shared with other hosts and requires lock `{lock}`, of which this one alone knows; give the lock \
         scope = \"machine\" (or --locks machine), bind the file to none, or have it to one host (shared = false)"
    )]
    LockNotShared {
        /// The file.
        file: String,
        /// The lock.
        lock: String,
    },
    /// A condition has no lock that could be let go.
    #[error(
        "condition `{condition}` waits with `{lock}` let go, which is no mutex and no rlock of the job; declare one"
    )]
    NoConditionLock {
        /// The condition.
        condition: Name,
        /// Its lock.
        lock: String,
    },
    /// A barrier has no parties.
    #[error("barrier `{barrier}` has 0 parties; give it at least 1")]
    NoParties {
        /// The barrier.
        barrier: Name,
    },
    /// A queue has no room.
    #[error("queue `{queue}` has no room; let it hold at least one item and one byte")]
    NoRoom {
        /// The queue.
        queue: Name,
    },
    /// Nobody holds something of this kind, so no hold can last too long.
    #[error("{kind} `{name}` is not held by anybody, so it has no max-hold; take it away")]
    NoMaxHold {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// No hold may last so short, or so long.
    #[error("lock `{name}`, max-hold: {why}")]
    MaxHold {
        /// The lock.
        name: Name,
        /// What is wrong with it.
        why: String,
    },
    /// A value cannot start with what it is to start with.
    #[error("value `{name}`: {source}")]
    Value {
        /// The value.
        name: Name,
        /// Why.
        source: ValueError,
    },
    /// Something of this kind is known to this host alone.
    #[error("{kind} `{name}` cannot be shared with other hosts; only a mutex, an rlock and a rwlock can")]
    NotWider {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// Two locks would be one, and who has the first would wait for itself at the second.
    #[error("locks `{lock}` and `{other}` have one lock file, {}; give each a `file` of its own", path.display())]
    SameLockFile {
        /// The one.
        lock: Name,
        /// The one before it.
        other: Name,
        /// Their file.
        path: PathBuf,
    },
    /// A lock that others outside of this host have too cannot be opened.
    #[error("lock `{lock}`: {source}")]
    Outer {
        /// The lock.
        lock: Name,
        /// Why.
        source: MachineLockError,
    },
    /// Nobody could fetch a lock that others outside of this host have too.
    #[error("lock `{lock}` cannot be shared with others: {source}")]
    Keeper {
        /// The lock.
        lock: Name,
        /// What the system said.
        source: std::io::Error,
    },
    /// No fences can be reserved for a lock.
    #[error("lock `{lock}`: {source}")]
    Fences {
        /// The lock.
        lock: Name,
        /// Why.
        source: CounterError,
    },
    /// It cannot be noted beside a file which fences may come, so a restart could not refuse them.
    #[error(
        "file `{file}`: the fences of lock `{lock}` cannot be noted beside it: {source}; see to its disk and directory"
    )]
    FileFences {
        /// The file.
        file: Name,
        /// The lock that it requires.
        lock: Name,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be opened.
    #[error("file `{file}`: {source}")]
    Open {
        /// The file.
        file: Name,
        /// Why.
        source: OpenError,
    },
}

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It is to have a lock or a file that the job does not have.
    #[error("`{process}` is granted {kind} `{name}`, which the job does not declare")]
    NoSuchGrant {
        /// The process.
        process: Arc<str>,
        /// What kind.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// Its records are to wait for its end, and the file takes them only under a lock, which it need not have by then.
    #[error("`{process}` commits at its end, and its append file `{file}` requires a lock; bind the file to none")]
    HeldBackUnderLock {
        /// The process.
        process: Arc<str>,
        /// The file.
        file: Name,
    },
    /// A directory cannot be opened.
    #[error("`{process}` is granted the directory {}, which cannot be opened: {source}", dir.display())]
    Dir {
        /// The process.
        process: Arc<str>,
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// An append file could be reached past the host, through a directory of the process.
    #[error(
        "`{process}` may write in {}, where the append file `{file}` is; grant another directory, or grant it read-only",
        dir.display()
    )]
    FileInDir {
        /// The process.
        process: Arc<str>,
        /// The directory.
        dir: PathBuf,
        /// The file.
        file: String,
    },
    /// The host's own files could be changed through a directory of the process.
    #[error(
        "`{process}` may write in {}, which has to do with the host's own directory {}; grant another directory, grant it \
         read-only, or move the host's (--cache-dir, --state-dir)",
        dir.display(), own.display()
    )]
    OwnDir {
        /// The process.
        process: Arc<str>,
        /// The directory.
        dir: PathBuf,
        /// The host's directory.
        own: PathBuf,
    },
    /// A file cannot be its standard stream.
    #[error("`{process}`: {source}")]
    StreamFile {
        /// The process.
        process: Arc<str>,
        /// Why.
        source: StreamFileError,
    },
    /// Its standard output, or error, would go into an append file past the host.
    #[error("`{process}` is to print into {}, which is the append file `{file}`; name another file", stream.display())]
    StreamIsAppendFile {
        /// The process.
        process: Arc<str>,
        /// The file of its stream.
        stream: PathBuf,
        /// The append file.
        file: String,
    },
    /// Its inputs cannot be given to it.
    #[error("`{process}`: {source}")]
    Input {
        /// The process.
        process: Arc<str>,
        /// Why.
        source: InputError,
    },
    /// As many processes of its profile are alive as there is room for.
    #[error("`{process}`: {source}")]
    NoRoom {
        /// The process.
        process: Arc<str>,
        /// Why.
        source: NoRoom,
    },
    /// Its program was loaded into another host.
    #[error("`{process}` cannot be started: `{program}` was loaded into another host; load it into this one")]
    ForeignProgram {
        /// The process.
        process: Arc<str>,
        /// Its program.
        program: Arc<str>,
    },
    /// There is nothing in its program that could be run.
    #[error(
        "`{process}` cannot be started: `{program}` exports no `wasi:cli/run`; give it a main function, or call what it exports"
    )]
    NotACommand {
        /// The process.
        process: Arc<str>,
        /// Its program.
        program: Arc<str>,
    },
    /// The host shuts down.
    #[error("the host is shutting down; no process is started any more")]
    ShuttingDown,
}
