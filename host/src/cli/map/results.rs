//! `--results DIR`: what each process prints, in files of its own.
//!
//! A thread writes them: neither a shard nor a reader of standard output that has stopped reading holds it up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use lockkeeper::{LineSink, ProcessSpec, Stream};

/// A longer name is cut: with the id behind it, it is one of the file system's.
const NAME_BYTES_MAX: usize = 100;

/// Digits of the id in the name of a directory: enough that no two processes of a run share them.
const ID_DIGITS: usize = 12;

/// A directory with one for each process.
#[derive(Debug)]
pub(in crate::cli) struct Results {
    dir: PathBuf,
    queue: Sender<Piece>,
    writer: JoinHandle<Option<String>>,
}

/// Bytes for a file.
#[derive(Debug)]
struct Piece {
    file: Arc<Output>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: File,
}

impl Results {
    /// Makes the directory, unless it is there.
    pub(in crate::cli) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (queue, pieces) = channel();
        let writer = std::thread::Builder::new().name("lockkeeper-results".into()).spawn(move || write(&pieces))?;
        Ok(Self { dir: dir.to_owned(), queue, writer })
    }

    /// Makes the files of a process that is about to start: `stdout`, `stderr`, and `seq`, its number among the inputs.
    /// What they held of an earlier start is gone.
    pub(in crate::cli) fn begin(&self, spec: &ProcessSpec) -> io::Result<LineSink> {
        let dir = self.dir.join(dir_name(spec));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("seq"), format!("{}\n", u64::from(spec.rank) + 1))?;
        let make = |name| {
            let path = dir.join(name);
            // A new file and not an empty one: what is still to be written of an earlier start goes with the old one.
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            Ok(Arc::new(Output { file: File::create_new(&path)?, path }))
        };
        let (stdout, stderr) = (make("stdout")?, make("stderr")?);
        let queue = self.queue.clone();
        Ok(Arc::new(move |stream, bytes| {
            let file = match stream {
                Stream::Stdout => stdout.clone(),
                Stream::Stderr => stderr.clone(),
            };
            if queue.send(Piece { file, bytes: bytes.to_vec() }).is_err() {
                tracing::debug!("the writer of results is gone");
            }
        }))
    }

    /// Waits until everything is written; answers what could not be. All processes have ended.
    pub(in crate::cli) fn finish(self) -> Option<String> {
        let Self { queue, writer, .. } = self;
        drop(queue);
        writer.join().unwrap_or_else(|_| Some("--results: the thread that writes them has panicked".to_owned()))
    }
}

/// Writes what comes; answers the first failure. The others are likely the same.
fn write(pieces: &Receiver<Piece>) -> Option<String> {
    let mut failure = None;
    for Piece { file, bytes } in pieces {
        if let Err(error) = (&file.file).write_all(&bytes) {
            failure.get_or_insert_with(|| format!("--results: {} could not be written: {error}", file.path.display()));
        }
    }
    failure
}

/// What the directory of a process is called: its name, as far as every file system takes it, and the beginning of its id,
/// so that the same input has the same directory in the next run and no other has.
fn dir_name(spec: &ProcessSpec) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    let mut name: String = spec.name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(NAME_BYTES_MAX).collect();
    // Hidden, or one of the names that mean another directory.
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    let id = spec.commit_id.map(|id| id.to_string()).unwrap_or_default();
    format!("{name}-{}", id.get(..ID_DIGITS).unwrap_or(&id))
}

#[cfg(test)]
mod tests {
    use lockkeeper::RecordId;

    use super::*;

    fn spec(name: &str) -> ProcessSpec {
        ProcessSpec { name: name.into(), commit_id: Some(RecordId::of(b"x")), ..ProcessSpec::default() }
    }

    #[test]
    fn whatever_an_input_is_called_its_directory_is_one_below() {
        let id = &RecordId::of(b"x").to_string()[..ID_DIGITS];
        for (name, dir) in
            [("in-1.txt", "in-1.txt"), ("../../etc", "_._.._etc"), ("..", "_."), ("a b\n/ü", "a_b___"), ("", "")]
        {
            assert_eq!(dir_name(&spec(name)), format!("{dir}-{id}"), "{name}");
        }
        assert_eq!(dir_name(&spec(&"x".repeat(500))).len(), NAME_BYTES_MAX + 1 + ID_DIGITS);
    }

    #[test]
    fn a_second_start_has_its_own_files_also_while_the_first_is_still_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let results = Results::open(dir.path()).expect("it can be made");
        let first = results.begin(&spec("a")).expect("they can be made");
        first(Stream::Stdout, b"first");
        let second = results.begin(&spec("a")).expect("they can be made");
        second(Stream::Stdout, b"sec");
        first(Stream::Stdout, b"first again");
        second(Stream::Stdout, b"ond\n");
        drop((first, second));
        assert_eq!(results.finish(), None);
        let path = dir.path().join(dir_name(&spec("a")));
        assert_eq!(fs::read_to_string(path.join("stdout")).expect("it is there"), "second\n");
        assert_eq!(fs::read_to_string(path.join("seq")).expect("it is there"), "1\n");
    }
}
