//! Flags that several subcommands have: the same words as in the manifest.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use lockkeeper::manifest::{
    COUNT_MAX, check_cpu_share, check_max_hold, check_output_rate, expand, format_of, parse_dir, parse_time,
    unknown_word,
};
use lockkeeper::{
    AfterDeath, AppendSpec, ByteSize, Clocks, DirGrant, Durability, FileSpec, Format, IfExists, JobSpec, Limits,
    LockConfig, LockKind, LockLimits, LockSpec, Name, Parents, ProcessSpec, Profile, Random,
};

use super::{environment, primitives, python};

/// How the host itself works.
#[derive(Debug, Args)]
#[command(next_help_heading = "Host")]
pub(super) struct HostOptions {
    /// Shards: threads that run processes [default: one per core]
    #[arg(long, value_name = "N")]
    pub(super) shards: Option<usize>,
    /// Where the fences of each lock name are remembered [default: the user's state directory]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Whom the locks keep out: the processes of this run (`process`), or with every mutex, rlock and rwlock also those of all
    /// other runs that say so, and programs that lock the same file, such as flock(1) (`machine`); for locks of which a
    /// manifest does not say it itself [default: process]
    #[arg(long = "locks", value_enum, value_name = "SCOPE")]
    lock_scope: Option<LockScopeOption>,
    /// Where the lock files of `machine` locks are, NAME.lock for each [default: `locks` in the state directory]
    #[arg(long, value_name = "DIR")]
    pub(super) lock_dir: Option<PathBuf>,
    /// Where compiled programs are kept [default: the user's cache directory]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Compile anew, keep nothing
    #[arg(long)]
    no_cache: bool,
    /// How processes are kept: `dense` for very many small ones, `image` for the fastest code, large data and deep recursion,
    /// or `auto`: `image` up to 1000 at once, and beyond that by what a process of the program begins with [default: auto]
    #[arg(long, value_enum, value_name = "PROFILE")]
    profile: Option<ProfileOption>,
    /// One JSON object per event on standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Whether Python programs are run, which recurse deeper in WebAssembly than others.
    #[arg(skip)]
    pub(super) runs_python: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LockScopeOption {
    Process,
    Machine,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileOption {
    Dense,
    Image,
    Auto,
}

impl HostOptions {
    /// The profile of all programs; none if each has the one that fits it.
    pub(super) fn profile(&self) -> Option<Profile> {
        if self.runs_python {
            return Some(Profile::Image);
        }
        match self.profile {
            Some(ProfileOption::Dense) => Some(Profile::Dense),
            Some(ProfileOption::Image) => Some(Profile::Image),
            Some(ProfileOption::Auto) | None => None,
        }
    }

    /// Whether the locks of a run are wider than it, unless they say it themselves.
    pub(super) fn locks_are_wider(&self) -> bool {
        self.lock_scope == Some(LockScopeOption::Machine)
    }

    pub(super) fn cache_dir(&self) -> Option<PathBuf> {
        if self.no_cache { None } else { self.cache_dir.clone().or_else(environment::cache_dir) }
    }

    /// What is kept also where nothing is to be, as without it nothing could be run.
    pub(super) fn needed_cache_dir(&self) -> anyhow::Result<PathBuf> {
        let dir = self.cache_dir.clone().or_else(environment::cache_dir);
        dir.context("there is no home directory to keep the Python runner in; name a directory with --cache-dir")
    }

    pub(super) fn state_dir(&self) -> anyhow::Result<PathBuf> {
        self.state_dir
            .clone()
            .or_else(environment::state_dir)
            .context("there is no home directory to remember fences in; name a directory with --state-dir")
    }
}

/// What processes may name and use.
#[derive(Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Grants and limits")]
pub(super) struct GrantOptions {
    /// A lock, or something else to wait at: NAME (a mutex), NAME:rlock, :rwlock, :once, :event, :semaphore:PERMITS (owned),
    /// :signal:PERMITS (anyone may add), :condition:LOCK, :barrier:PARTIES, :latch:COUNT or :queue:ITEMS
    #[arg(long = "lock", value_name = "NAME[:KIND[:ARG]]")]
    locks: Vec<String>,
    /// A value, or with a length an array of zeros; the type is `i64`, `u64`, `f64` or `bytes` [default: i64, 0]
    #[arg(long = "value", value_name = "NAME[:TYPE[:LENGTH]][=N]")]
    values: Vec<String>,
    /// How long a process may hold any of the locks, such as 2s; then it is taken away [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = max_hold)]
    max_hold: Option<Duration>,
    /// Who is next at the locks: `strict` order of arrival, or `bounded` barging by who runs [default: bounded]
    #[arg(long, value_enum, value_name = "HOW")]
    fair: Option<FairOption>,
    /// What becomes of locks whose owner dies: the next one is told (`flag`), has to mark them consistent (`poison`), or is
    /// not told (`ignore`) [default: flag]
    #[arg(long, value_enum, value_name = "WHAT")]
    after_death: Option<AfterDeathOption>,
    /// An append file; the format is `lines`, `csv`, `jsonl` or `framed` [default: by the file's ending: .csv, .jsonl or
    /// .ndjson, .lkf for framed, else lines]
    #[arg(long = "append", value_name = "NAME=FILE[:FORMAT]")]
    appends: Vec<String>,
    /// The header of a csv append file
    #[arg(long = "header", value_name = "NAME=COLUMN,COLUMN..")]
    headers: Vec<String>,
    /// What to do with an append file that is there already [default: append]
    #[arg(long, value_enum, value_name = "WHAT")]
    if_exists: Option<IfExistsOption>,
    /// What a record in an append file survives before its append returns: nothing (`buffered`), the host's death
    /// (`written`) or the loss of power (`synced`) [default: written]
    #[arg(long, value_enum, value_name = "WHAT")]
    durability: Option<DurabilityOption>,
    /// Bytes of an append file [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = some_bytes)]
    max_file_bytes: Option<ByteSize>,
    /// Records of an append file [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_file_records: Option<u64>,
    /// What has to stay free on the file system of an append file [default: 0]
    #[arg(long, value_name = "SIZE")]
    reserve: Option<ByteSize>,
    /// Allow append files on network and user-space file systems, where nothing that is said of them is promised
    #[arg(long)]
    allow_remote: bool,
    /// Let other runs that say the same append to the same files; they take turns
    #[arg(long)]
    shared: bool,
    /// A program that the processes may start, or with `self` alone their own; see also --max-children, --max-depth
    #[arg(long = "program", value_name = "NAME=FILE.wasm")]
    programs: Vec<String>,
    /// A directory; may be written in unless `:read-only`
    #[arg(long = "dir", value_name = "HOST[::GUEST][:read-only]")]
    dirs: Vec<String>,
    /// An environment variable; without a value, the command's own
    #[arg(long = "env", value_name = "K[=V]")]
    env: Vec<String>,
    /// Random bytes: the `system`'s; `seed:N`, the same ones for a process in every run, which are no secret; or `none`: who asks
    /// for them traps [default: system]
    #[arg(long, value_name = "FROM", value_parser = random)]
    random: Option<Random>,
    /// Clocks: the `system`'s; `coarse`, to a millisecond; or `none`: who reads one traps [default: system]
    #[arg(long, value_name = "WHICH", value_parser = clocks)]
    clocks: Option<Clocks>,
    /// A file that is the standard input of the process; `{rank}` and `{count}` stand for its own [default: one process has the
    /// command's, several have none]
    #[arg(long, value_name = "FILE")]
    stdin: Option<String>,
    /// A file that the standard output of the process goes to; it is emptied first. Several processes need `{rank}` in its name
    #[arg(long, value_name = "FILE")]
    stdout: Option<String>,
    /// A file that the standard error of the process goes to; the same one as for --stdout will do
    #[arg(long, value_name = "FILE")]
    stderr: Option<String>,
    /// How long a process may take, such as 5s or 250ms; in `map` also 200%, of the median of those that have ended well,
    /// once there are three [default: for ever]
    #[arg(long, value_name = "TIME|N%", value_parser = parse_timeout)]
    timeout: Option<Timeout>,
    /// Memory of a process [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,
    /// Memories of a process [default: 32]
    #[arg(long, value_name = "N")]
    max_memories: Option<u32>,
    /// Tables of a process [default: 256]
    #[arg(long, value_name = "N")]
    max_tables: Option<u32>,
    /// Elements of all tables of a process [default: 10000000]
    #[arg(long, value_name = "N")]
    max_table_elements: Option<u64>,
    /// Share of its core that a process has while others compute there, in percent of that of one with 100 [default: 100]
    #[arg(long, value_name = "PERCENT", value_parser = cpu_share)]
    cpu_share: Option<u8>,
    /// Locks and append files that a process may have open at once [default: 1000]
    #[arg(long, value_name = "N")]
    max_handles: Option<u32>,
    /// Files and directories that a process may have open at once in what --dir gives it [default: 256]
    #[arg(long, value_name = "N")]
    max_open_files: Option<u32>,
    /// Locks that a process may hold, or wait for, at once [default: 64]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_holds: Option<u32>,
    /// Processes that may wait at one lock at once [default: 100000]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_waiters: Option<u32>,
    /// Bytes that one call of a process may bring to the host [default: 2MiB]
    #[arg(long, value_name = "SIZE")]
    max_call: Option<ByteSize>,
    /// Bytes that a process may print when several run, or into a file; the rest is dropped [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    max_output: Option<ByteSize>,
    /// Bytes that a process may print in a second when several run, or into a file; who prints more waits [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = output_rate)]
    max_output_rate: Option<NonZeroU64>,
    /// Bytes of one record [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    max_record: Option<ByteSize>,
    /// Bytes that a process may append, to all files together [default: no limit]
    #[arg(long, value_name = "SIZE")]
    max_append_bytes: Option<ByteSize>,
    /// Records that a process may append, to all files together [default: no limit]
    #[arg(long, value_name = "N")]
    max_append_records: Option<u64>,
    /// Processes that a process has started and that are alive [default: 64]
    #[arg(long, value_name = "N")]
    max_children: Option<u32>,
    /// Generations of processes below a process [default: 8]
    #[arg(long, value_name = "N")]
    max_depth: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum IfExistsOption {
    Append,
    Replace,
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum DurabilityOption {
    Buffered,
    Written,
    Synced,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum FairOption {
    Strict,
    Bounded,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum AfterDeathOption {
    Flag,
    Poison,
    Ignore,
}

/// How long a process may take.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Timeout {
    After(Duration),
    /// In percent of the median of the others.
    OfMedian(NonZeroU32),
}

fn parse_timeout(text: &str) -> Result<Timeout, String> {
    match text.strip_suffix('%') {
        None => parse_time(text).map(Timeout::After),
        Some(percent) => percent.parse().map(Timeout::OfMedian).map_err(|_| {
            format!("`{text}` is no percentage of a time; write a whole number, such as 200%, or a time such as 60s")
        }),
    }
}

/// The host checks names too, but not before it has opened the files of the names before a wrong one.
fn check_new_name<'a>(flag: &str, name: &str, mut before: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    Name::new(name).with_context(|| flag.to_owned())?;
    if before.any(|other| other == name) {
        bail!("{flag}: `{name}` is declared twice; give one of the two another name");
    }
    Ok(())
}

/// How many processes: none is a slip, and too many is another.
pub(super) fn processes(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count));
    count.ok_or_else(|| format!("give 1 to {COUNT_MAX}"))
}

/// A limit with which something is still possible.
fn at_least_one(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "give a whole number, 1 or more".to_owned())
}

/// A size in which something has room.
fn some_bytes(text: &str) -> Result<ByteSize, String> {
    match text.parse() {
        Ok(ByteSize(0)) => Err("a file of 0 bytes takes no record; give it more, such as 10GiB".to_owned()),
        Ok(size) => Ok(size),
        Err(error) => Err(format!("{error}")),
    }
}

fn random(text: &str) -> Result<Random, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn clocks(text: &str) -> Result<Clocks, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn cpu_share(text: &str) -> Result<u8, String> {
    check_cpu_share(text.parse().unwrap_or_default())
}

fn output_rate(text: &str) -> Result<NonZeroU64, String> {
    check_output_rate(text.parse().map_err(|error| format!("{error}"))?)
}

fn max_hold(text: &str) -> Result<Duration, String> {
    check_max_hold(parse_time(text)?)
}

fn program_name(program: &str) -> &str {
    program.split_once('=').map_or(program, |(name, _)| name)
}

impl GrantOptions {
    /// What `--append` names, for subcommands that need one.
    pub(super) fn has_files(&self) -> bool {
        !self.appends.is_empty()
    }

    /// Whether processes may start their own program.
    pub(super) fn starts_itself(&self) -> bool {
        self.programs.iter().any(|program| program == "self")
    }

    /// The programs that processes may start, each with its file.
    pub(super) fn programs(&self) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let mut programs: Vec<(String, PathBuf)> = Vec::new();
        for program in &self.programs {
            match program.split_once('=') {
                None if program == "self" => {}
                None => bail!("--program {program}: write NAME=FILE.wasm, or `self` for a process's own program"),
                Some(("self", _)) => bail!("--program {program}: `self` is a process's own program; take another name"),
                Some((name, path)) => {
                    check_new_name(&format!("--program {program}"), name, programs.iter().map(|(name, _)| name))?;
                    programs.push((name.to_owned(), path.into()));
                }
            }
        }
        Ok(programs)
    }

    /// A time limit in percent of the median.
    pub(super) fn timeout_percent(&self) -> Option<NonZeroU32> {
        match self.timeout {
            Some(Timeout::OfMedian(percent)) => Some(percent),
            Some(Timeout::After(_)) | None => None,
        }
    }

    /// The job that the flags describe.
    pub(super) fn job(&self) -> anyhow::Result<JobSpec> {
        let mut job = JobSpec::default();
        for lock in &self.locks {
            let spec = primitives::lock(lock)?;
            check_new_name(&format!("--lock {lock}"), &spec.name, job.locks.iter().map(|lock| &lock.name))?;
            job.locks.push(spec);
        }
        self.configure(&mut job.locks)?;
        for value in &self.values {
            let spec = primitives::value(value)?;
            check_new_name(&format!("--value {value}"), &spec.name, job.values.iter().map(|value| &value.name))?;
            job.values.push(spec);
        }
        self.append_files(&mut job.files)?;
        Ok(job)
    }

    fn append_files(&self, files: &mut Vec<AppendSpec>) -> anyhow::Result<()> {
        let mut headers = Vec::new();
        for header in &self.headers {
            let (name, columns) =
                header.split_once('=').with_context(|| format!("--header {header}: write NAME=COLUMN,COLUMN"))?;
            headers.push((name, columns.split(',').map(str::to_owned).collect::<Vec<_>>()));
        }
        for append in &self.appends {
            let (name, file) =
                append.split_once('=').with_context(|| format!("--append {append}: write NAME=FILE[:FORMAT]"))?;
            check_new_name(&format!("--append {append}"), name, files.iter().map(|file| &file.name))?;
            let (path, format) = match file.rsplit_once(':') {
                Some((path, "lines")) => (path, Format::Lines),
                Some((path, "csv")) => (path, Format::Csv { header: Vec::new() }),
                Some((path, "jsonl")) => (path, Format::Jsonl),
                Some((path, "framed")) => (path, Format::Framed),
                Some((path, word)) if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                    let unknown = unknown_word("format", word, &["lines", "csv", "jsonl", "framed"]);
                    bail!("--append {name}={path}:{word}: {unknown}")
                }
                _ => (file, format_of(file.as_ref())),
            };
            let header = headers.iter().position(|(of, _)| *of == name).map(|index| headers.swap_remove(index).1);
            let format = match (format, header) {
                (Format::Csv { .. }, Some(header)) => Format::Csv { header },
                (format, None) => format,
                (format, Some(_)) => {
                    let kind = format.kind();
                    bail!("--header {name}: {path} is a `{kind}` file; write --append {name}={path}:csv")
                }
            };
            let mut spec = FileSpec::new(path, format, environment::command_line());
            spec.parents = Parents::Create;
            spec.if_exists = match self.if_exists {
                None | Some(IfExistsOption::Append) => IfExists::Append,
                Some(IfExistsOption::Replace) => IfExists::Replace,
                Some(IfExistsOption::Refuse) => IfExists::Refuse,
            };
            if let Some(max) = self.max_record {
                spec.record_bytes_max = max.as_usize();
            }
            spec.bytes_max = self.max_file_bytes.map(|max| max.0);
            spec.records_max = self.max_file_records;
            spec.reserve_bytes = self.reserve.map_or(0, |size| size.0);
            spec.allow_remote = self.allow_remote;
            spec.shared = self.shared;
            let durability = match self.durability {
                Some(DurabilityOption::Buffered) => Durability::Buffered,
                None | Some(DurabilityOption::Written) => Durability::Written,
                Some(DurabilityOption::Synced) => Durability::Synced,
            };
            files.push(AppendSpec { name: name.to_owned(), file: spec, requires_lock: None, durability });
        }
        if let Some((name, _)) = headers.first() {
            bail!("--header {name}: there is no --append {name}=FILE");
        }
        let said = [
            ("--durability", self.durability.is_some()),
            ("--max-file-bytes", self.max_file_bytes.is_some()),
            ("--max-file-records", self.max_file_records.is_some()),
            ("--reserve", self.reserve.is_some()),
            ("--allow-remote", self.allow_remote),
            ("--shared", self.shared),
        ];
        match said.iter().find(|(_, said)| *said) {
            Some((flag, _)) if files.is_empty() => {
                bail!("{flag}: there is no append file that it could be said of; add --append NAME=FILE")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is said of all locks of the command line, for those that it can be said of.
    fn configure(&self, locks: &mut [LockSpec]) -> anyhow::Result<()> {
        for lock in &*locks {
            let LockKind::Condition { lock: of } = &lock.kind else { continue };
            let name = &lock.name;
            match locks.iter().find(|lock| lock.name == *of).map(|lock| &lock.kind) {
                None => bail!("--lock {name}:condition:{of}: there is no `{of}` to let go; add --lock {of}"),
                Some(LockKind::Mutex | LockKind::RLock) => {}
                Some(_) => bail!("--lock {name}:condition:{of}: `{of}` is no mutex and no rlock; name one that is"),
            }
        }
        let none = |flag: &str, kinds: &str| {
            anyhow::anyhow!("{flag}: there is no lock that it could be said of; add a --lock that is {kinds}")
        };
        if let Some(max_hold) = self.max_hold {
            let mut held = locks.iter_mut().filter(|lock| primitives::is_held(&lock.kind)).peekable();
            held.peek().ok_or_else(|| none("--max-hold", "a mutex, rlock, rwlock, once or semaphore"))?;
            held.for_each(|lock| lock.max_hold = Some(max_hold));
        }
        if let Some(fair) = self.fair {
            let has_order = |kind: &LockKind| primitives::is_held(kind) || matches!(kind, LockKind::Semaphore(_));
            let mut ordered = locks.iter_mut().filter(|lock| has_order(&lock.kind)).peekable();
            ordered.peek().ok_or_else(|| none("--fair", "a mutex, rlock, rwlock, once, semaphore or signal"))?;
            ordered.for_each(|lock| {
                lock.config = match fair {
                    FairOption::Strict => LockConfig::strict(),
                    FairOption::Bounded => LockConfig::default(),
                };
            });
        }
        if let Some(after_death) = self.after_death {
            let mut exclusive = locks.iter_mut().filter(|lock| primitives::is_exclusive(&lock.kind)).peekable();
            exclusive.peek().ok_or_else(|| none("--after-death", "a mutex, rlock or rwlock"))?;
            exclusive.for_each(|lock| {
                lock.config.after_death = match after_death {
                    AfterDeathOption::Flag => AfterDeath::Flag,
                    AfterDeathOption::Poison => AfterDeath::Poison,
                    AfterDeathOption::Ignore => AfterDeath::Ignore,
                };
            });
        }
        Ok(())
    }

    /// What the host of the job is to keep to.
    pub(super) fn lock_limits(&self) -> LockLimits {
        let default = LockLimits::default();
        LockLimits {
            holds_per_owner_max: self.max_holds.unwrap_or(default.holds_per_owner_max),
            waiters_per_lock_max: self.max_waiters.unwrap_or(default.waiters_per_lock_max),
        }
    }

    /// What each process is given of it: everything, and the limits of this program where none are said.
    pub(super) fn process(&self, job: &JobSpec, program: &Path) -> anyhow::Result<ProcessSpec> {
        let mut env = Vec::new();
        for variable in &self.env {
            match variable.split_once('=') {
                Some((key, value)) => env.push((key.to_owned(), value.to_owned())),
                None => {
                    if let Ok(value) = std::env::var(variable) {
                        env.push((variable.clone(), value));
                    }
                }
            }
        }
        let dirs: Result<Vec<DirGrant>, String> = self.dirs.iter().map(|dir| parse_dir(dir)).collect();
        let default = python::limits_of(program);
        let limits = Limits {
            memory_bytes_max: self.max_memory.map_or(default.memory_bytes_max, |size| size.0),
            timeout: match self.timeout {
                Some(Timeout::After(timeout)) => Some(timeout),
                // There is no median before somebody has ended.
                Some(Timeout::OfMedian(_)) | None => None,
            },
            table_elements_max: self.max_table_elements.unwrap_or(default.table_elements_max),
            tables_max: self.max_tables.unwrap_or(default.tables_max),
            memories_max: self.max_memories.unwrap_or(default.memories_max),
            cpu_share_percent: self.cpu_share.unwrap_or(default.cpu_share_percent),
            open_files_max: self.max_open_files.unwrap_or(default.open_files_max),
            output_rate_max: self.max_output_rate,
            handles_max: self.max_handles.unwrap_or(default.handles_max),
            call_bytes_max: self.max_call.map_or(default.call_bytes_max, ByteSize::as_usize),
            output_bytes_max: self.max_output.map_or(default.output_bytes_max, |size| size.0),
            append_bytes_max: self.max_append_bytes.map(|size| size.0),
            append_records_max: self.max_append_records,
            children_max: self.max_children.unwrap_or(default.children_max),
            depth_max: self.max_depth.unwrap_or(default.depth_max),
            ..default
        };
        Ok(ProcessSpec {
            env,
            dirs: dirs.map_err(|message| anyhow::anyhow!("--dir {message}"))?,
            locks: job.locks.iter().map(|lock| lock.name.clone()).collect(),
            values: job.values.iter().map(|value| value.name.clone()).collect(),
            files: job.files.iter().map(|file| file.name.clone()).collect(),
            programs: self.programs.iter().map(|program| program_name(program).to_owned()).collect(),
            random: self.random.unwrap_or_default(),
            clocks: self.clocks.unwrap_or_default(),
            limits,
            ..ProcessSpec::default()
        })
    }

    /// The files that are the standard streams of the process of this rank.
    pub(super) fn streams(&self, spec: ProcessSpec) -> ProcessSpec {
        let path = |path: &Option<String>| Some(PathBuf::from(expand(path.as_ref()?, spec.rank, spec.count)));
        ProcessSpec { stdin: path(&self.stdin), stdout: path(&self.stdout), stderr: path(&self.stderr), ..spec }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        grants: GrantOptions,
    }

    fn grants(flags: &[&str]) -> GrantOptions {
        let parsed = Flags::try_parse_from([&["lockkeeper"], flags].concat());
        parsed.unwrap_or_else(|error| panic!("{error}")).grants
    }

    #[test]
    fn what_is_said_of_all_locks_is_said_of_each_that_it_can_be_said_of() {
        let said = ["--fair", "strict", "--after-death", "poison", "--max-hold", "2s"];
        let locks = ["--lock", "m", "--lock", "o:once", "--lock", "s:signal:0", "--lock", "e:event"];
        let job = grants(&[&said[..], &locks].concat()).job().expect("it is right");
        let poison = LockConfig { after_death: AfterDeath::Poison, ..LockConfig::strict() };
        let two = Some(Duration::from_secs(2));
        let told: Vec<_> = job.locks.iter().map(|lock| (lock.config, lock.max_hold)).collect();
        assert_eq!(
            told,
            [(poison, two), (LockConfig::strict(), two), (LockConfig::strict(), None), (LockConfig::default(), None)]
        );
    }

    #[test]
    fn every_process_is_granted_all_locks_and_values_and_the_limits_are_the_hosts() {
        let grants = grants(&["--lock", "m", "--value", "v", "--max-holds", "3", "--max-waiters", "5"]);
        let job = grants.job().expect("it is right");
        let spec = grants.process(&job, "any.wasm".as_ref()).expect("it is right");
        assert_eq!((&spec.locks[..], &spec.values[..]), (&["m".to_owned()][..], &["v".to_owned()][..]));
        assert_eq!(grants.lock_limits(), LockLimits { waiters_per_lock_max: 5, holds_per_owner_max: 3 });
    }
}
