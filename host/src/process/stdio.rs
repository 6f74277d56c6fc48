//! The standard streams of a process.

use std::fmt;
use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;

use super::output::{Budget, LineSink, Lines, Stream};

/// Where the standard streams of a process go.
#[derive(Clone, Default)]
pub enum Stdio {
    /// Input is empty, output is thrown away.
    #[default]
    Null,
    /// They are the host process's own, unchanged. For a single process.
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

/// What has to be done about the output of a process at its end.
pub(crate) struct Output {
    streams: Vec<Lines>,
    budget: Option<Arc<Budget>>,
}

impl Output {
    /// Passes on what is left and answers how many bytes were dropped.
    pub(crate) fn finish(self) -> u64 {
        self.streams.iter().for_each(Lines::finish);
        self.budget.map_or(0, |budget| budget.dropped_bytes())
    }
}

/// Connects the streams.
pub(crate) fn connect(stdio: &Stdio, name: &Arc<str>, wasi: &mut WasiCtxBuilder, output_bytes_max: u64) -> Output {
    let (lines, bytes) = match stdio {
        Stdio::Null => return Output { streams: Vec::new(), budget: None },
        Stdio::Inherit => {
            wasi.inherit_stdio();
            return Output { streams: Vec::new(), budget: None };
        }
        Stdio::Lines(lines) => (lines.clone(), None),
        Stdio::Named(sink) => {
            let (sink, name) = (sink.clone(), name.clone());
            (Arc::new(move |stream, line: &[u8]| sink(&name, stream, line)) as LineSink, None)
        }
        Stdio::Teed { lines, bytes } => (lines.clone(), Some(bytes.clone())),
    };
    let budget = Budget::new(output_bytes_max);
    let connected = |stream| Lines::new(stream, lines.clone(), budget.clone()).teed(bytes.clone());
    let (stdout, stderr) = (connected(Stream::Stdout), connected(Stream::Stderr));
    wasi.stdout(stdout.clone()).stderr(stderr.clone());
    Output { streams: vec![stdout, stderr], budget: Some(budget) }
}
