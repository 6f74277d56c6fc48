//! A process's standard output and error where the host collects them: line by line, for hosts that run several processes, or
//! in files.

use std::fs::File;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use super::rate::Rate;

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
pub(super) const WRITE_BYTES_MAX: usize = 64 << 10;

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

/// One output stream of a process, and where it goes. A program may have it several times; its lines are one all the same.
#[derive(Clone)]
pub(crate) struct Collected {
    to: Target,
    budget: Arc<Budget>,
    rate: Option<Arc<Rate>>,
    /// How much the program may write to this one now, where that is limited.
    permit: usize,
}

#[derive(Clone)]
enum Target {
    /// Split into lines; `tee` is given what is written as it is.
    Lines { stream: Stream, sink: LineSink, tee: Option<LineSink>, partial: Arc<Mutex<Vec<u8>>> },
    /// As it is.
    File(Arc<File>),
}

/// How a failed write is told to a program.
pub(super) fn stream_error(error: io::Error) -> StreamError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        StreamError::Closed
    } else {
        StreamError::LastOperationFailed(error.into())
    }
}

impl Collected {
    pub(crate) fn in_lines(stream: Stream, sink: LineSink, budget: Arc<Budget>, rate: Option<Arc<Rate>>) -> Self {
        Self { to: Target::Lines { stream, sink, tee: None, partial: Arc::default() }, budget, rate, permit: 0 }
    }

    /// What goes in lines goes here too, as it is written.
    pub(crate) fn teed(mut self, bytes: LineSink) -> Self {
        if let Target::Lines { tee, .. } = &mut self.to {
            *tee = Some(bytes);
        }
        self
    }

    pub(crate) fn in_file(file: Arc<File>, budget: Arc<Budget>, rate: Option<Arc<Rate>>) -> Self {
        Self { to: Target::File(file), budget, rate, permit: 0 }
    }

    fn push(&self, bytes: &[u8]) -> io::Result<()> {
        let bytes = &bytes[..self.budget.take(bytes.len())];
        match &self.to {
            Target::Lines { stream, sink, tee, partial } => {
                if let Some(tee) = tee {
                    tee(*stream, bytes);
                }
                push_lines(*stream, sink, &mut lock(partial), bytes);
            }
            Target::File(file) => (&**file).write_all(bytes)?,
        }
        Ok(())
    }

    /// Passes on what was written after the last newline: the process has ended.
    pub(crate) fn finish(&self) {
        if let Target::Lines { stream, sink, partial, .. } = &self.to {
            let rest = std::mem::take(&mut *lock(partial));
            if !rest.is_empty() {
                sink(*stream, &rest);
            }
        }
    }
}

fn push_lines(stream: Stream, sink: &LineSink, partial: &mut Vec<u8>, bytes: &[u8]) {
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        partial.extend_from_slice(piece);
        if let Some(line) = partial.strip_suffix(b"\n") {
            sink(stream, line);
            partial.clear();
        } else if partial.len() >= LINE_BYTES_MAX {
            sink(stream, partial);
            partial.clear();
        }
    }
}

impl IsTerminal for Collected {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Collected {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Collected {
    async fn ready(&mut self) {
        let Some(rate) = &self.rate else { return };
        loop {
            let wait = rate.wait(Instant::now());
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }
}

#[async_trait::async_trait]
impl OutputStream for Collected {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if let Some(rate) = &self.rate {
            // Who does not ask how much it may write would write what it likes.
            if bytes.len() > self.permit {
                return Err(StreamError::trap("more was written than `check-write` permitted"));
            }
            self.permit -= bytes.len();
            rate.take(bytes.len() as u64, Instant::now());
        }
        self.push(&bytes).map_err(stream_error)
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        let Some(rate) = &self.rate else { return Ok(WRITE_BYTES_MAX) };
        self.permit =
            usize::try_from(rate.left(Instant::now())).map_or(WRITE_BYTES_MAX, |left| left.min(WRITE_BYTES_MAX));
        Ok(self.permit)
    }
}

impl AsyncWrite for Collected {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.push(bytes).map(|()| bytes.len()))
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
        let lines = Collected::in_lines(Stream::Stdout, sink, Budget::new(1_000), None);
        lines.push(b"one\ntw").expect("a sink takes it");
        lines.push(b"o\n\nthree").expect("a sink takes it");
        assert_eq!(*lock(&seen), ["one", "two", ""]);
        lines.finish();
        assert_eq!(*lock(&seen), ["one", "two", "", "three"]);
    }

    #[test]
    fn who_wants_the_bytes_gets_them_as_they_were_written_and_no_more_than_the_limit() {
        let (sink, seen) = collector();
        let (tee, pieces) = collector();
        let lines = Collected::in_lines(Stream::Stdout, sink, Budget::new(7), None).teed(tee);
        lines.push(b"one\nt").expect("a sink takes it");
        lines.push(b"wo, cut").expect("a sink takes it");
        lines.finish();
        assert_eq!(*lock(&pieces), ["one\nt", "wo"]);
        assert_eq!(*lock(&seen), ["one", "two"]);
    }

    #[test]
    fn a_stream_beyond_its_limit_is_cut_and_counted() {
        let (sink, seen) = collector();
        let budget = Budget::new(6);
        let lines = Collected::in_lines(Stream::Stdout, sink, budget.clone(), None);
        lines.push(b"12\n456789\n").expect("a sink takes it");
        lines.finish();
        assert_eq!(*lock(&seen), ["12", "456"]);
        assert_eq!(budget.dropped_bytes(), 4);
    }

    #[test]
    fn a_line_without_end_does_not_grow_in_the_host() {
        let (sink, seen) = collector();
        let lines = Collected::in_lines(Stream::Stdout, sink, Budget::new(u64::MAX), None);
        for _ in 0..10 {
            lines.push(&[b'x'; LINE_BYTES_MAX]).expect("a sink takes it");
        }
        assert_eq!(lock(&seen).len(), 10);
    }

    #[test]
    fn with_a_rate_nothing_is_taken_that_was_not_permitted() {
        let (sink, seen) = collector();
        let rate = Rate::new(std::num::NonZeroU64::new(100).expect("not zero"), Instant::now());
        let mut lines = Collected::in_lines(Stream::Stdout, sink, Budget::new(u64::MAX), Some(rate));
        assert!(lines.write(Bytes::from_static(b"x\n")).is_err());
        assert_eq!(lines.check_write().expect("a number"), 100);
        assert!(lines.write(Bytes::from(vec![b'\n'; 101])).is_err());
        assert!(lines.write(Bytes::from(vec![b'\n'; 100])).is_ok());
        assert!(lines.write(Bytes::from_static(b"x")).is_err());
        assert_eq!(lines.check_write().expect("a number"), 0);
        assert_eq!(lock(&seen).len(), 100);
    }
}
