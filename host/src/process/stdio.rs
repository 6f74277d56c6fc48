//! The standard streams of a process.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use wasmtime_wasi::WasiCtxBuilder;

use super::ProcessSpec;
use super::output::{Budget, Collected, LineSink, Stream};
use super::rate::Rate;
use super::stdin::Input;
use super::terminal::Terminal;

/// Where the standard streams of a process go.
#[derive(Clone, Default)]
pub enum Stdio {
    /// Input is empty, output is thrown away.
    #[default]
    Null,
    /// They are the host process's own, unchanged, but that a terminal gets no control characters. For a single process.
    Inherit,
    /// Input is empty; each line of output goes to the sink. Whatever the process starts shares it.
    Lines(LineSink),
    /// The same, and the sink is told the name of the process: whatever it starts has one of its own.
    Named(NamedSink),
    /// The same, and the other sink is given every byte as it was written, in pieces of any length.
    Teed {
        /// Told of each line.
        lines: LineSink,
        /// Given the bytes.
        bytes: LineSink,
    },
}

/// Who is told of each line that processes write, without its newline, with the name of the process. Called on its shard: it
/// must be quick.
pub type NamedSink = Arc<dyn Fn(&str, Stream, &[u8]) + Send + Sync>;

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Inherit => "Inherit",
            Self::Lines(_) => "Lines",
            Self::Named(_) => "Named",
            Self::Teed { .. } => "Teed",
        })
    }
}

/// Why a file cannot be a standard stream.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be its standard {}: {source}", path.display(), which.name())]
pub struct StreamFileError {
    /// Where it is to be.
    pub path: PathBuf,
    /// Which stream.
    pub which: StandardStream,
    /// What the system says.
    pub source: io::Error,
}

/// A standard stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
    /// What it reads.
    Input,
    /// What it prints.
    Output,
    /// What it complains about.
    Error,
}

impl StandardStream {
    fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Error => "error",
        }
    }
}

/// What has to be done about the output of a process at its end.
pub(crate) struct Output {
    streams: Vec<Collected>,
    budget: Arc<Budget>,
}

impl Output {
    /// Passes on what is left and answers how many bytes were dropped.
    pub(crate) fn finish(self) -> u64 {
        self.streams.iter().for_each(Collected::finish);
        self.budget.dropped_bytes()
    }
}

/// Connects the streams.
pub(crate) fn connect(
    spec: &ProcessSpec,
    name: &Arc<str>,
    wasi: &mut WasiCtxBuilder,
) -> Result<Output, StreamFileError> {
    let budget = Budget::new(spec.limits.output_bytes_max);
    let rate = spec.limits.output_rate_max.map(|rate| Rate::new(rate, Instant::now()));
    let mut streams = Vec::new();
    if let Some(path) = &spec.stdin {
        let error = |source| StreamFileError { path: path.clone(), which: StandardStream::Input, source };
        wasi.stdin(Input::open(path).map_err(error)?);
    } else if let Stdio::Inherit = spec.stdio {
        wasi.inherit_stdin();
    }
    // One file for both is opened once, so that neither writes over what the other has written.
    let stdout = open(spec.stdout.as_deref(), StandardStream::Output)?;
    let stderr = match (&spec.stdout, &spec.stderr, &stdout) {
        (Some(out), Some(err), Some(file)) if out == err => Some(file.clone()),
        _ => open(spec.stderr.as_deref(), StandardStream::Error)?,
    };
    for (stream, file) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
        let in_lines = |sink: LineSink| Collected::in_lines(stream, sink, budget.clone(), rate.clone());
        let collected = match (file, &spec.stdio) {
            (Some(file), _) => Collected::in_file(file, budget.clone(), rate.clone()),
            (None, Stdio::Lines(sink)) => in_lines(sink.clone()),
            (None, Stdio::Named(sink)) => {
                let (sink, name) = (sink.clone(), name.clone());
                in_lines(Arc::new(move |stream, line| sink(&name, stream, line)))
            }
            (None, Stdio::Teed { lines, bytes }) => in_lines(lines.clone()).teed(bytes.clone()),
            (None, Stdio::Null) => continue,
            (None, Stdio::Inherit) => {
                match (Terminal::of(stream), stream) {
                    (Some(terminal), Stream::Stdout) => wasi.stdout(terminal),
                    (Some(terminal), Stream::Stderr) => wasi.stderr(terminal),
                    (None, Stream::Stdout) => wasi.inherit_stdout(),
                    (None, Stream::Stderr) => wasi.inherit_stderr(),
                };
                continue;
            }
        };
        match stream {
            Stream::Stdout => wasi.stdout(collected.clone()),
            Stream::Stderr => wasi.stderr(collected.clone()),
        };
        streams.push(collected);
    }
    Ok(Output { streams, budget })
}

fn open(path: Option<&Path>, which: StandardStream) -> Result<Option<Arc<File>>, StreamFileError> {
    let Some(path) = path else { return Ok(None) };
    let error = |source| StreamFileError { path: path.to_owned(), which, source };
    Ok(Some(Arc::new(File::create(path).map_err(error)?)))
}
