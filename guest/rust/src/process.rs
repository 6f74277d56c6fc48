//! Who this process is among the others of its job, and the processes that it starts.

use std::fmt;
use std::time::Duration;

use crate::bindings::lockkeeper::runtime::process as host;
use crate::error::{Error, LimitKind};
use crate::hold::nanoseconds;
use crate::object::Object;

/// The number of a process in its host. Never used twice while the host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(u64);

impl ProcessId {
    /// The process of this number, as [`ProcessId::get`] gave it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, to send or store.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the host calls a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its number in the host.
    pub id: ProcessId,
    /// Its place among the processes of its group, from 0 to `count` - 1.
    pub rank: u32,
    /// How many processes its group has.
    pub count: u32,
    /// Its name in messages: the group's name and the rank, such as `client-3`.
    pub name: String,
    /// Who started it, if a process did.
    pub parent: Option<ProcessId>,
}

/// This process. The host sets it; nobody can act under another's name.
///
/// ```no_run
/// let me = lockkeeper_guest::process::current();
/// println!("I am {}, number {} of {}", me.name, me.rank, me.count);
/// ```
pub fn current() -> Identity {
    let host::Identity { id, rank, count, name, parent } = host::current();
    Identity { id: ProcessId::new(id), rank, count, name, parent: parent.map(ProcessId::new) }
}

/// The bytes that whoever started this process gave it; empty if there are none.
pub fn start_data() -> Vec<u8> {
    host::start_data()
}

/// The children of this process that are alive, in the order in which they were started.
pub fn children() -> Vec<ProcessId> {
    host::children().into_iter().map(ProcessId::new).collect()
}

/// What a child may name. Whatever this process may not name itself is [`Error::Denied`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Locks, and whatever else is waited for.
    pub locks: Vec<String>,
    /// Values and arrays.
    pub values: Vec<String>,
    /// Append files.
    pub files: Vec<String>,
    /// Directories, by what this process calls them.
    pub dirs: Vec<String>,
    /// Programs that it may start.
    pub programs: Vec<String>,
}

/// A process that is to be started.
///
/// ```no_run
/// use std::time::Duration;
///
/// use lockkeeper_guest::Error;
/// use lockkeeper_guest::process::{Command, Outcome};
///
/// # fn main() -> Result<(), Error> {
/// let mut worker = Command::new("worker").arg("--fast").start_data(b"seed 7").spawn()?;
/// match worker.join_timeout(Duration::from_secs(5))? {
///     Some(Outcome::Exited(0)) => println!("it is done"),
///     Some(other) => println!("it ended otherwise: {other:?}"),
///     None => worker.terminate(),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `spawn`"]
pub struct Command {
    program: String,
    args: Vec<String>,
    start_data: Vec<u8>,
    env: Option<Vec<(String, String)>>,
    grants: Option<Grants>,
    objects: Vec<String>,
    name: Option<String>,
    adopt: bool,
    memory_bytes: Option<u64>,
    timeout: Option<Duration>,
}

impl Command {
    /// The program that the job calls so.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            args: Vec::new(),
            start_data: Vec::new(),
            env: None,
            grants: None,
            objects: Vec::new(),
            name: None,
            adopt: false,
            memory_bytes: None,
            timeout: None,
        }
    }

    /// This process's own program.
    pub fn own() -> Self {
        Self::new("self")
    }

    /// One more argument, after the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Bytes that the child gets by [`start_data`].
    pub fn start_data(mut self, bytes: &[u8]) -> Self {
        self.start_data = bytes.to_vec();
        self
    }

    /// Its environment, instead of that of this process.
    pub fn env(mut self, env: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        self.env = Some(env.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
        self
    }

    /// What it may name, instead of everything that this process may, but for objects, which are [given](Command::give).
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = Some(grants);
        self
    }

    /// Gives the child an object, which it opens by its id.
    pub fn give(self, object: &Object) -> Self {
        self.give_id(object.id())
    }

    /// Gives the child an object that this process was given itself.
    pub fn give_id(mut self, id: &str) -> Self {
        self.objects.push(id.to_owned());
        self
    }

    /// Its name in messages.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// It goes on when this process ends, as a process of the job. Otherwise it is ended then.
    pub fn adopt(mut self) -> Self {
        self.adopt = true;
        self
    }

    /// How much memory it may have; no more than this process.
    pub fn memory_bytes(mut self, max: u64) -> Self {
        self.memory_bytes = Some(max);
        self
    }

    /// How long it may take; no longer than this process.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Starts it. It runs beside this process.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] for a program, a grant or an object that this process does not have itself; [`Error::InvalidName`];
    /// [`Error::InvalidArgument`] for an environment that makes no sense; [`Error::Limit`] of processes, generations
    /// ([`LimitKind::Depth`]) or handles; [`Error::Cancelled`]; [`Error::Unavailable`].
    pub fn spawn(&self) -> Result<Child, Error> {
        fn all(texts: &[String]) -> Vec<&str> {
            texts.iter().map(String::as_str).collect()
        }
        let env: Option<Vec<(&str, &str)>> =
            self.env.as_ref().map(|env| env.iter().map(|(key, value)| (&key[..], &value[..])).collect());
        let args = all(&self.args);
        let objects = all(&self.objects);
        let grants = self.grants.as_ref().map(|grants| {
            [&grants.locks, &grants.values, &grants.files, &grants.dirs, &grants.programs].map(|names| all(names))
        });
        let grants = grants.as_ref().map(|[locks, values, files, dirs, programs]| host::Grants {
            locks,
            values,
            files,
            dirs,
            programs,
        });
        let options = host::Options {
            args: &args,
            start: &self.start_data,
            env: env.as_deref(),
            grants,
            objects: &objects,
            name: self.name.as_deref(),
            orphans: if self.adopt { host::Orphans::Adopt } else { host::Orphans::End },
            memory_bytes: self.memory_bytes,
            timeout: self.timeout.and_then(nanoseconds),
        };
        let handle = host::Child::spawn(&self.program, options).map_err(Error::from_wit)?;
        Ok(Child { handle })
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It returned, or exited with this status. An error that `main` returned is 1.
    Exited(u8),
    /// It trapped, for the reason given.
    Trapped(String),
    /// Somebody ended it.
    Killed,
    /// It went over a limit.
    Limit(LimitKind),
    /// Anything else; the text says what.
    Other(String),
}

impl Outcome {
    /// Whether it returned well, or exited with 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }

    fn from_wit(outcome: host::Outcome) -> Self {
        match outcome {
            host::Outcome::Exited(status) => Self::Exited(status),
            host::Outcome::Trapped(why) => Self::Trapped(why),
            host::Outcome::Killed => Self::Killed,
            host::Outcome::Limit(kind) => Self::Limit(LimitKind::from_wit(kind)),
            host::Outcome::Other(what) => Self::Other(what),
        }
    }
}

/// A process that this one has started. Dropping this changes nothing: the child goes on.
#[derive(Debug)]
pub struct Child {
    handle: host::Child,
}

impl Child {
    /// Its number in the host.
    pub fn pid(&self) -> ProcessId {
        ProcessId::new(self.handle.pid())
    }

    /// Waits for its end, for ever if need be. By then its holds are released and its appends are settled.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] at once when the child waits for what this process holds; [`Error::Cancelled`]; [`Error::Limit`] of
    /// waiters or of holds.
    pub fn join(&self) -> Result<Outcome, Error> {
        self.handle.join(None).map(Outcome::from_wit).map_err(Error::from_wit)
    }

    /// Waits for its end, no longer than `timeout`; none if it has not ended by then.
    ///
    /// # Errors
    ///
    /// As [`Child::join`].
    pub fn join_timeout(&self, timeout: Duration) -> Result<Option<Outcome>, Error> {
        match self.handle.join(nanoseconds(timeout)).map(Outcome::from_wit).map_err(Error::from_wit) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(Error::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How it ended; none while it runs.
    pub fn try_join(&self) -> Option<Outcome> {
        self.handle.try_join().map(Outcome::from_wit)
    }

    /// How it ended.
    ///
    /// # Errors
    ///
    /// [`Error::StillRunning`].
    pub fn outcome(&self) -> Result<Outcome, Error> {
        self.handle.outcome().map(Outcome::from_wit).map_err(Error::from_wit)
    }

    /// Asks it to end: what it waits for, and would have to wait for next, is [`Error::Cancelled`] for it. After five seconds
    /// it is killed.
    pub fn terminate(&self) {
        self.handle.terminate(None);
    }

    /// The same, with another grace than five seconds.
    pub fn terminate_within(&self, grace: Duration) {
        self.handle.terminate(nanoseconds(grace).or(Some(u64::MAX)));
    }

    /// Ends it, wherever it is. Returns at once; [`Child::join`] tells when it is done.
    pub fn kill(&self) {
        self.handle.kill();
    }
}
