//! Flags that several subcommands have: the same words as in the manifest.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use lockkeeper::manifest::{COUNT_MAX, format_of, parse_dir, parse_time};
use lockkeeper::{
    AppendSpec, ByteSize, DirGrant, FileSpec, Format, IfExists, JobSpec, Limits, LockSpec, Name, Parents, ProcessSpec,
};

use super::environment;

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
    /// Where compiled programs are kept [default: the user's cache directory]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Compile anew, keep nothing
    #[arg(long)]
    no_cache: bool,
    /// One JSON object per event on standard output
    #[arg(long)]
    pub(super) json: bool,
}

impl HostOptions {
    pub(super) fn cache_dir(&self) -> Option<PathBuf> {
        if self.no_cache { None } else { self.cache_dir.clone().or_else(environment::cache_dir) }
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
    /// A lock; the kind is `mutex`
    #[arg(long = "lock", value_name = "NAME[:KIND]")]
    locks: Vec<String>,
    /// An append file; the format is `lines` or `csv` [default: by the file's ending]
    #[arg(long = "append", value_name = "NAME=FILE[:FORMAT]")]
    appends: Vec<String>,
    /// The header of a csv append file
    #[arg(long = "header", value_name = "NAME=COLUMN,COLUMN..")]
    headers: Vec<String>,
    /// What to do with an append file that is there already [default: append]
    #[arg(long, value_enum, value_name = "WHAT")]
    if_exists: Option<IfExistsOption>,
    /// A directory; may be written in unless `:read-only`
    #[arg(long = "dir", value_name = "HOST[::GUEST][:read-only]")]
    dirs: Vec<String>,
    /// An environment variable; without a value, the command's own
    #[arg(long = "env", value_name = "K[=V]")]
    env: Vec<String>,
    /// How long a process may take, such as 5s or 250ms [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
    /// Memory of a process [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,
    /// Locks and files that a process may have open at once [default: 1000]
    #[arg(long, value_name = "N")]
    max_handles: Option<u32>,
    /// Bytes that one call of a process may bring to the host [default: 2MiB]
    #[arg(long, value_name = "SIZE")]
    max_call: Option<ByteSize>,
    /// Bytes that a process may print when several run; the rest is dropped [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    max_output: Option<ByteSize>,
    /// Bytes of one record [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    max_record: Option<ByteSize>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum IfExistsOption {
    Append,
    Replace,
    Refuse,
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

impl GrantOptions {
    /// What `--append` names, for subcommands that need one.
    pub(super) fn has_files(&self) -> bool {
        !self.appends.is_empty()
    }

    /// The job that the flags describe.
    pub(super) fn job(&self) -> anyhow::Result<JobSpec> {
        let mut job = JobSpec::default();
        for lock in &self.locks {
            let name = match lock.split_once(':') {
                None | Some((_, "mutex")) => lock.split(':').next().unwrap_or_default(),
                Some((name, kind)) => {
                    bail!("--lock {lock}: `{kind}` is no kind of lock that this host has; write --lock {name}:mutex")
                }
            };
            check_new_name(&format!("--lock {lock}"), name, job.locks.iter().map(|lock| &lock.name))?;
            job.locks.push(LockSpec { name: name.to_owned(), ..LockSpec::default() });
        }
        let mut headers = Vec::new();
        for header in &self.headers {
            let (name, columns) =
                header.split_once('=').with_context(|| format!("--header {header}: write NAME=COLUMN,COLUMN"))?;
            headers.push((name, columns.split(',').map(str::to_owned).collect::<Vec<_>>()));
        }
        for append in &self.appends {
            let (name, file) =
                append.split_once('=').with_context(|| format!("--append {append}: write NAME=FILE[:FORMAT]"))?;
            check_new_name(&format!("--append {append}"), name, job.files.iter().map(|file| &file.name))?;
            let (path, format) = match file.rsplit_once(':') {
                Some((path, "lines")) => (path, Format::Lines),
                Some((path, "csv")) => (path, Format::Csv { header: Vec::new() }),
                Some((path, word)) if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                    bail!("--append {append}: `{word}` is no format; write {name}={path}:lines or {name}={path}:csv")
                }
                _ => (file, format_of(file.as_ref())),
            };
            let header = headers.iter().position(|(of, _)| *of == name).map(|index| headers.swap_remove(index).1);
            let format = match (format, header) {
                (Format::Csv { .. }, Some(header)) => Format::Csv { header },
                (Format::Lines, Some(_)) => bail!("--header {name}: {path} is a `lines` file; add :csv to --append"),
                (format, None) => format,
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
            job.files.push(AppendSpec { name: name.to_owned(), file: spec, requires_lock: None });
        }
        if let Some((name, _)) = headers.first() {
            bail!("--header {name}: there is no --append {name}=FILE");
        }
        Ok(job)
    }

    /// What each process is given of it: everything.
    pub(super) fn process(&self, job: &JobSpec) -> anyhow::Result<ProcessSpec> {
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
        let default = Limits::default();
        let limits = Limits {
            memory_bytes_max: self.max_memory.map_or(default.memory_bytes_max, |size| size.0),
            timeout: self.timeout,
            handles_max: self.max_handles.unwrap_or(default.handles_max),
            call_bytes_max: self.max_call.map_or(default.call_bytes_max, ByteSize::as_usize),
            output_bytes_max: self.max_output.map_or(default.output_bytes_max, |size| size.0),
            ..default
        };
        Ok(ProcessSpec {
            env,
            dirs: dirs.map_err(|message| anyhow::anyhow!("--dir {message}"))?,
            locks: job.locks.iter().map(|lock| lock.name.clone()).collect(),
            files: job.files.iter().map(|file| file.name.clone()).collect(),
            limits,
            ..ProcessSpec::default()
        })
    }
}
