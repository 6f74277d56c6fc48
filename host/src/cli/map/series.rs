//! What makes `map` resumable: what each input is called in the files and in the log, and which of them are there already.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use anyhow::Context;
use lockkeeper::{Job, ProcessSpec, Program, RecordId};

use super::joblog::{Logged, LoggedEnd};

/// Which series of commits a run belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Begin {
    /// A new one, whatever is in the files.
    Anew,
    /// The last one: what is in the files is not done again. Without files, what the log says has ended is not, well or not.
    Resumed,
    /// The same, but without files, what the log says has failed is done again.
    FailedAgain,
}

/// In which order the processes commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Order {
    /// As they end.
    AsTheyEnd,
    /// As they stand on the command line, with starts running so many ahead of the first that has not committed.
    AsGiven { ahead_max: u64 },
}

/// Processes whose records are committed under ids, one process for one input.
#[derive(Debug)]
pub(in crate::cli) struct Series {
    pub(in crate::cli) begin: Begin,
    pub(in crate::cli) order: Order,
    inputs: HashMap<PathBuf, Input>,
}

/// An input as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    content: blake3::Hash,
    stamp: Stamp,
}

/// What changes when a file does, as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let (device, inode, bytes) = (metadata.dev(), metadata.ino(), metadata.len());
        Self { device, inode, bytes, modified: metadata.modified().ok() }
    }
}

/// What an earlier run has made of an input.
enum Before {
    Done,
    Failed,
}

/// What was found in the files, or in the log.
#[derive(Debug, Default)]
pub(in crate::cli) struct Found {
    /// Those that are not to run, as all files have their records, or as they had ended well.
    pub(in crate::cli) done: Vec<String>,
    /// Those that are not to run, as they had failed.
    pub(in crate::cli) failed: Vec<String>,
    /// How many are still to run that stand before one of those: their records come after its own.
    pub(in crate::cli) late: usize,
}

impl Series {
    /// Reads every input and gives the processes their ids. `program` is what they are of, for who compares.
    pub(in crate::cli) fn new(
        begin: Begin,
        order: Order,
        program: &[u8],
        specs: &mut [ProcessSpec],
    ) -> anyhow::Result<Self> {
        let paths: Vec<_> = specs.iter().flat_map(|spec| spec.inputs.iter().cloned()).collect();
        let inputs = read_all(&paths)?;
        let mut seen: HashMap<blake3::Hash, u64> = HashMap::new();
        for spec in specs {
            let what = identity(program, spec, &inputs);
            let occurrence = seen.entry(what).or_default();
            spec.commit_id = Some(id_of(&what, *occurrence));
            *occurrence += 1;
        }
        Ok(Self { begin, order, inputs })
    }

    /// Begins or resumes the series in the files, and takes out whom it need not run: with files, those whose records are
    /// in all of them, whatever the log says; without, those that the log says have ended.
    pub(in crate::cli) fn open(
        &self,
        job: &Job,
        logged: &Logged,
        processes: &mut Vec<(Program, ProcessSpec)>,
    ) -> anyhow::Result<Found> {
        let has_files = job.file_names().next().is_some();
        match self.begin {
            Begin::Anew => {
                job.begin_series()?;
                return Ok(Found::default());
            }
            Begin::Resumed | Begin::FailedAgain => job.resume_series()?,
        }
        let look = |spec: &ProcessSpec| {
            let id = spec.commit_id?;
            match logged.get(&id) {
                _ if has_files => job.has_committed(id).then_some(Before::Done),
                Some(LoggedEnd::Well) => Some(Before::Done),
                Some(LoggedEnd::Failed) if self.begin == Begin::Resumed => Some(Before::Failed),
                Some(LoggedEnd::Failed | LoggedEnd::Unfinished) | None => None,
            }
        };
        let before: Vec<_> = processes.iter().map(|(_, spec)| look(spec)).collect();
        let last_done = before.iter().rposition(Option::is_some).unwrap_or_default();
        let mut found = Found::default();
        if has_files {
            found.late = before[..last_done].iter().filter(|before| before.is_none()).count();
        }
        let mut before = before.into_iter();
        processes.retain(|(_, spec)| match before.next().flatten() {
            Some(Before::Done) => {
                found.done.push(spec.full_name());
                false
            }
            Some(Before::Failed) => {
                found.failed.push(spec.full_name());
                false
            }
            None => true,
        });
        Ok(found)
    }

    /// Refuses a process whose input is not the one that its id was made of.
    pub(in crate::cli) fn check(&self, spec: &ProcessSpec) -> Result<(), String> {
        let changed = |path: &&PathBuf| {
            let now = std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
            self.inputs.get(*path).map(|input| input.stamp) != now
        };
        match spec.inputs.iter().find(changed) {
            None => Ok(()),
            Some(path) => Err(format!(
                "`{}`: the input {} was changed after this run had begun; start it again with --resume",
                spec.full_name(),
                path.display()
            )),
        }
    }
}

/// What a process is of: the program, its arguments and its input, in an encoding that no two share.
fn identity(program: &[u8], spec: &ProcessSpec, inputs: &HashMap<PathBuf, Input>) -> blake3::Hash {
    let mut parts = Parts::default();
    parts.add(program);
    parts.number(spec.args.len() as u64);
    spec.args.iter().for_each(|arg| parts.add(arg.as_bytes()));
    for path in &spec.inputs {
        parts.add(path.file_name().unwrap_or_default().as_encoded_bytes());
        parts.add(inputs[path].content.as_bytes());
    }
    for content in &spec.input_contents {
        parts.add(content.name.as_bytes());
        parts.add(blake3::hash(&content.bytes).as_bytes());
    }
    blake3::hash(&parts.0)
}

/// What the records of a process are called: one of several equal ones is told from the others by its number among them.
fn id_of(what: &blake3::Hash, occurrence: u64) -> RecordId {
    let mut parts = Parts::default();
    parts.add(b"lockkeeper map 1");
    parts.add(what.as_bytes());
    parts.number(occurrence);
    RecordId::of(&parts.0)
}

/// Byte strings one after another, each with its length before it.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        self.number(part.len() as u64);
        self.0.extend_from_slice(part);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }
}

/// Reads the inputs, each once, on as many threads as there are cores.
fn read_all(paths: &[PathBuf]) -> anyhow::Result<HashMap<PathBuf, Input>> {
    let mut different: Vec<_> = paths.iter().collect();
    different.sort_unstable();
    different.dedup();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(different.len());
    let next = AtomicUsize::new(0);
    let read = Mutex::new(HashMap::with_capacity(different.len()));
    let work = || {
        while let Some(path) = different.get(next.fetch_add(1, Ordering::Relaxed)) {
            let input = self::read(path);
            read.lock().expect("nothing panics under it").insert((*path).clone(), input);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, work) {
                tracing::debug!(%error, "the inputs are read by fewer threads");
            }
        }
        work();
    });
    let read = read.into_inner().expect("nothing panics under it");
    let unreadable = |path: &Path| format!("the input {} cannot be read; nothing was started", path.display());
    read.into_iter()
        .map(|(path, input)| {
            let input = input.with_context(|| unreadable(&path))?;
            Ok((path, input))
        })
        .collect()
}

fn read(path: &Path) -> io::Result<Input> {
    let file = File::open(path)?;
    // Before its content: what is changed meanwhile is found out when its process starts.
    let stamp = Stamp::of(&file.metadata()?);
    let content = blake3::Hasher::new().update_reader(file)?.finalize();
    Ok(Input { content, stamp })
}
