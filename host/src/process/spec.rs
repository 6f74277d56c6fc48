//! What a process is to be.

use std::path::PathBuf;

use lockkeeper_journal::RecordId;

use super::{Clocks, CommitTurn, InputContent, Limits, Random, Stdio};

/// A directory that a process sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// Where it is.
    pub host: PathBuf,
    /// What the process calls it.
    pub guest: String,
    /// Whether the process may change anything in it.
    pub access: Access,
}

/// What a process may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// When the records of a process go into its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Commit {
    /// Each one at once.
    #[default]
    EachRecord,
    /// All together, next to each other in each file, when the process ends well; none otherwise.
    AtEnd,
}

/// On which shard a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Placement {
    /// On the home shard of the first lock granted to it: hand-overs there need no other thread.
    #[default]
    Home,
    /// Wherever the fewest processes live: for processes that compute much between locks.
    Spread,
}

/// What a process is to be: the program is given apart.
#[derive(Clone, Debug, Default)]
pub struct ProcessSpec {
    /// The name of its group, in messages. The process is called `name-rank` if the group has several.
    pub name: String,
    /// Its place in the group, from 0.
    pub rank: u32,
    /// How many processes the group has; 0 counts as 1.
    pub count: u32,
    /// Its arguments, after the program's name.
    pub args: Vec<String>,
    /// Its environment. Nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Directories that it sees.
    pub dirs: Vec<DirGrant>,
    /// Files that it sees, and nothing beside them, as read-only files `/input/<file name>`.
    pub inputs: Vec<PathBuf>,
    /// More of them, of which there is only the content.
    pub input_contents: Vec<InputContent>,
    /// Locks of the job that it may name.
    pub locks: Vec<String>,
    /// Values and arrays of the job that it may name.
    pub values: Vec<String>,
    /// Append files of the job that it may name.
    pub files: Vec<String>,
    /// Programs of the job that it may start; `self` is its own.
    pub programs: Vec<String>,
    /// Bytes for its start, which it asks for.
    pub start_data: Vec<u8>,
    /// Its random bytes.
    pub random: Random,
    /// What it knows of the time.
    pub clocks: Clocks,
    /// What it may use.
    pub limits: Limits,
    /// Its standard streams, but for those that are files.
    pub stdio: Stdio,
    /// A file that is its standard input.
    pub stdin: Option<PathBuf>,
    /// A file that its standard output goes to, as it is written. It is emptied first.
    pub stdout: Option<PathBuf>,
    /// The same for its standard error; both may be the same file.
    pub stderr: Option<PathBuf>,
    /// When its records go into the files.
    pub commit: Commit,
    /// What its records are called if they are committed [at its end](Commit::AtEnd): a file that has records of that id
    /// already gets no more, and one that it appends nothing to remembers the id. Only for files with
    /// [`FileSpec::ids`](crate::FileSpec::ids).
    pub commit_id: Option<RecordId>,
    /// When it may commit, with [`Commit::AtEnd`]. None: as soon as it has ended well.
    pub commit_turn: Option<CommitTurn>,
    /// On which shard it lives.
    pub placement: Placement,
}

impl ProcessSpec {
    /// What the process is called in messages: the name of its group, and its rank if the group has several.
    pub fn full_name(&self) -> String {
        if self.count > 1 { format!("{}-{}", self.name, self.rank) } else { self.name.clone() }
    }
}
