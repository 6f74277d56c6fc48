//! A file that is a process's standard input.
//!
//! A read of a regular file ends by itself. One of a pipe or a terminal may wait for ever, and a shard that waits in a call of
//! the system runs nobody, and can end nobody: neither a kill nor a time limit would come through. So what the system can wait
//! for is read only when there is something, and waited for beside everything else on the shard.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::AsyncRead;
use tokio::net::unix::pipe::Receiver;
use wasmtime_wasi::cli::{InputFile, IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::output::stream_error;

/// How much is read at once, at most, whatever a program asks for.
const READ_BYTES_MAX: usize = 64 << 10;

/// A file as standard input. A program may have it several times.
#[derive(Clone)]
pub(super) struct Input {
    file: Arc<File>,
    regular: InputFile,
}

impl Input {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            // It was opened here, so nobody else meets this.
            fcntl_setfl(&file, fcntl_getfl(&file)? | OFlags::NONBLOCK)?;
        }
        let regular = InputFile::new(file.try_clone()?);
        Ok(Self { file: Arc::new(file), regular })
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        // The system refuses to wait for what never makes anybody wait: regular files, and devices like the one of zeros. It
        // need not be a pipe otherwise: a terminal is waited for in the same way.
        match self.file.try_clone().and_then(Receiver::from_file_unchecked) {
            Ok(pipe) => Box::new(WaitedFor { pipe }),
            Err(_) => self.regular.p2_stream(),
        }
    }

    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        self.regular.async_stream()
    }
}

/// One that may have nothing yet.
struct WaitedFor {
    pipe: Receiver,
}

#[async_trait::async_trait]
impl Pollable for WaitedFor {
    async fn ready(&mut self) {
        // What is wrong with it is told to who reads.
        let _wrong = self.pipe.readable().await.is_err();
    }
}

#[async_trait::async_trait]
impl InputStream for WaitedFor {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = BytesMut::zeroed(size.min(READ_BYTES_MAX));
        match self.pipe.try_read(&mut bytes) {
            Ok(0) => Err(StreamError::Closed),
            Ok(read) => {
                bytes.truncate(read);
                Ok(bytes.freeze())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Bytes::new()),
            Err(error) => Err(stream_error(error)),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        loop {
            self.ready().await;
            let bytes = self.read(size)?;
            // Somebody else may have been faster, and nothing would be taken for the end.
            if !bytes.is_empty() || size == 0 {
                return Ok(bytes);
            }
        }
    }
}
