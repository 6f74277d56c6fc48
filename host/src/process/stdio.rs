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
    match stdio {
        Stdio::Null => Output { streams: Vec::new(), budget: None },
        Stdio::Inherit => {
            wasi.inherit_stdio();
            Output { streams: Vec::new(), budget: None }
        }
        Stdio::Lines(sink) => lines(sink.clone(), wasi, output_bytes_max),
        Stdio::Named(sink) => {
            let (sink, name) = (sink.clone(), name.clone());
            lines(Arc::new(move |stream, line| sink(&name, stream, line)), wasi, output_bytes_max)
        }
    }
}

fn lines(sink: LineSink, wasi: &mut WasiCtxBuilder, output_bytes_max: u64) -> Output {
    let budget = Budget::new(output_bytes_max);
    let stdout = Lines::new(Stream::Stdout, sink.clone(), budget.clone());
    let stderr = Lines::new(Stream::Stderr, sink, budget.clone());
    wasi.stdout(stdout.clone()).stderr(stderr.clone());
    Output { streams: vec![stdout, stderr], budget: Some(budget) }
}
