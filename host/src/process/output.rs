//! A process's standard output and error, line by line, for hosts that run several processes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// Which of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Who is told of each line that a process writes, without its newline. Called on the process's shard: it must be quick.
pub type LineSink = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// A line longer than this is passed on in pieces, so that a process without newlines costs no more memory.
const LINE_BYTES_MAX: usize = 64 << 10;

/// How much the engine may hand over at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What both streams of one process have in common: the limit.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Mutex<u64>,
    dropped: Mutex<u64>,
}

impl Budget {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(bytes_max), dropped: Mutex::new(0) })
    }

    /// How many of `wanted` bytes may be passed on; the rest counts as dropped.
    fn take(&self, wanted: usize) -> usize {
        let mut left = lock(&self.left);
        let taken = wanted.min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= taken as u64;
        *lock(&self.dropped) += (wanted - taken) as u64;
        taken
    }

    pub(crate) fn dropped_bytes(&self) -> u64 {
        *lock(&self.dropped)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One output stream that splits what is written into lines.
#[derive(Clone)]
pub(crate) struct Lines {
    stream: Stream,
    sink: LineSink,
    /// Given what is written as it is.
    tee: Option<LineSink>,
    budget: Arc<Budget>,
    partial: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    pub(crate) fn new(stream: Stream, sink: LineSink, budget: Arc<Budget>) -> Self {
        Self { stream, sink, tee: None, budget, partial: Arc::default() }
    }

    pub(crate) fn teed(self, tee: Option<LineSink>) -> Self {
        Self { tee, ..self }
    }

    fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[..self.budget.take(bytes.len())];
        if let Some(tee) = &self.tee {
            tee(self.stream, bytes);
        }
        let mut partial = lock(&self.partial);
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            partial.extend_from_slice(piece);
            if let Some(line) = partial.strip_suffix(b"\n") {
                (self.sink)(self.stream, line);
                partial.clear();
            } else if partial.len() >= LINE_BYTES_MAX {
                (self.sink)(self.stream, &partial);
                partial.clear();
            }
        }
    }

    /// Passes on what was written after the last newline: the process has ended.
    pub(crate) fn finish(&self) {
        let rest = std::mem::take(&mut *lock(&self.partial));
        if !rest.is_empty() {
            (self.sink)(self.stream, &rest);
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector() -> (LineSink, Arc<Mutex<Vec<String>>>) {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = lines.clone();
        (Arc::new(move |_, line| lock(&sink).push(String::from_utf8_lossy(line).into_owned())), lines)
    }

    #[test]
    fn lines_come_whole_and_the_last_one_at_the_end() {
        let (sink, seen) = collector();
        let lines = Lines::new(Stream::Stdout, sink, Budget::new(1_000));
        lines.push(b"one\ntw");
        lines.push(b"o\n\nthree");
        assert_eq!(*lock(&seen), ["one", "two", ""]);
        lines.finish();
        assert_eq!(*lock(&seen), ["one", "two", "", "three"]);
    }

    #[test]
    fn who_wants_the_bytes_gets_them_as_they_were_written_and_no_more_than_the_limit() {
        let (sink, seen) = collector();
        let (tee, pieces) = collector();
        let lines = Lines::new(Stream::Stdout, sink, Budget::new(7)).teed(Some(tee));
        lines.push(b"one\nt");
        lines.push(b"wo, cut");
        lines.finish();
        assert_eq!(*lock(&pieces), ["one\nt", "wo"]);
        assert_eq!(*lock(&seen), ["one", "two"]);
    }

    #[test]
    fn a_stream_beyond_its_limit_is_cut_and_counted() {
        let (sink, seen) = collector();
        let budget = Budget::new(6);
        let lines = Lines::new(Stream::Stdout, sink, budget.clone());
        lines.push(b"12\n456789\n");
        lines.finish();
        assert_eq!(*lock(&seen), ["12", "456"]);
        assert_eq!(budget.dropped_bytes(), 4);
    }

    #[test]
    fn a_line_without_end_does_not_grow_in_the_host() {
        let (sink, seen) = collector();
        let lines = Lines::new(Stream::Stdout, sink, Budget::new(u64::MAX));
        for _ in 0..10 {
            lines.push(&[b'x'; LINE_BYTES_MAX]);
        }
        assert_eq!(lock(&seen).len(), 10);
    }
}
