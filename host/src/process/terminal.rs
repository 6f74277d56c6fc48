//! A terminal as the standard output or error of one process: text, and nothing that moves a cursor.
//!
//! A terminal obeys what is written to it: it moves the cursor over what others have said, changes its own title, answers as
//! if somebody had typed. So a process gets its letters through, its line ends and its tabulators, and no other control
//! characters. As its colours would arrive as letters, it is told that this is no terminal.

use std::io::{self, Write, stderr, stdout};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use super::output::{Stream, WRITE_BYTES_MAX, stream_error};

/// One of the host's own streams, if it is a terminal.
#[derive(Clone)]
pub(crate) struct Terminal {
    stream: Stream,
    text: Arc<Mutex<Text>>,
}

impl Terminal {
    pub(crate) fn of(stream: Stream) -> Option<Self> {
        let is_terminal = match stream {
            Stream::Stdout => io::IsTerminal::is_terminal(&stdout()),
            Stream::Stderr => io::IsTerminal::is_terminal(&stderr()),
        };
        is_terminal.then(|| Self { stream, text: Arc::default() })
    }

    fn write_text(&self, bytes: &[u8]) -> io::Result<()> {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner).of(bytes);
        match self.stream {
            Stream::Stdout => stdout().write_all(text.as_bytes()),
            Stream::Stderr => stderr().write_all(text.as_bytes()),
        }
    }

    fn flush_text(&self) -> io::Result<()> {
        match self.stream {
            Stream::Stdout => stdout().flush(),
            Stream::Stderr => stderr().flush(),
        }
    }
}

/// Makes text of bytes that come in pieces, and leaves out what is no text.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character whose end is still to come.
    begun: Vec<u8>,
}

impl Text {
    fn of(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.begun.len());
        let mut rest = 0;
        for chunk in self.begun.utf8_chunks() {
            text.extend(chunk.valid().chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')));
            rest += chunk.valid().len();
            let at_end = rest + chunk.invalid().len() == self.begun.len();
            if chunk.invalid().is_empty()
                || at_end && str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none())
            {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            rest += chunk.invalid().len();
        }
        self.begun.drain(..rest);
        text
    }
}

impl IsTerminal for Terminal {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Terminal {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Terminal {
    async fn ready(&mut self) {}
}

impl OutputStream for Terminal {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.write_text(&bytes).map_err(stream_error)
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.flush_text().map_err(stream_error)
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_text(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.flush_text())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_left_out_and_text_is_not() {
        let told = Text::default().of("a\tb\r\n\x1b[2J\x07\x08c\u{9b}31mü\x7f\0".as_bytes());
        assert_eq!(told, "a\tb\r\n[2Jc31mü");
    }

    #[test]
    fn a_character_in_two_pieces_arrives_and_half_of_one_does_not_hide_what_follows() {
        let mut text = Text::default();
        assert_eq!(text.of(b"\xe2\x82"), "");
        assert_eq!(text.of(b"\xac!"), "€!");
        assert_eq!(text.of(b"\xe2\x82"), "");
        assert_eq!(text.of(b"x\xff"), "\u{fffd}x\u{fffd}");
    }

    /// C1 controls are two bytes in UTF-8, and one alone is no character.
    #[test]
    fn an_escape_in_two_pieces_is_left_out() {
        let mut text = Text::default();
        assert_eq!((text.of(b"\xc2"), text.of(b"\x9b2J")), (String::new(), "2J".to_owned()));
    }
}
