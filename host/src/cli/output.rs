//! Everything that the command writes while processes run, so that lines, progress and JSON never mix.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lockkeeper::observe::Event;
use lockkeeper::{LineSink, Stream};
use serde::Serialize;

use super::environment;

/// The one writer of the command.
pub(super) struct Output {
    json: bool,
    bar: Option<ProgressBar>,
    terminals: Terminals,
}

struct Terminals {
    stdout: bool,
    stderr: bool,
}

#[derive(Serialize)]
#[serde(tag = "event", rename = "output", rename_all = "kebab-case")]
struct OutputLine<'a> {
    name: &'a str,
    stream: &'static str,
    text: &'a str,
}

impl Output {
    /// `total` is how many processes will run: progress is shown for several, on a terminal.
    pub(super) fn new(json: bool, total: u64) -> Arc<Self> {
        let bar = (!json && total > 1 && environment::shows_progress()).then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} processes, {elapsed} gone, {eta} to go");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let terminals = Terminals { stdout: stdout().is_terminal(), stderr: stderr().is_terminal() };
        Arc::new(Self { json, bar, terminals })
    }

    /// An event of the host.
    pub(super) fn event(&self, event: &Event) {
        if self.json {
            self.json(event);
        }
        if let (Event::Ended { .. }, Some(bar)) = (event, &self.bar) {
            bar.inc(1);
        }
    }

    /// One JSON object on standard output.
    pub(super) fn json(&self, object: &impl Serialize) {
        match serde_json::to_vec(object) {
            Ok(mut line) => {
                line.push(b'\n');
                write_all(stdout().lock(), &line);
            }
            Err(error) => tracing::error!(%error, "an event could not be written as JSON"),
        }
    }

    /// A line for people, on standard error.
    pub(super) fn say(&self, line: &str) {
        self.between_progress(|| write_all(stderr().lock(), format!("{line}\n").as_bytes()));
    }

    /// Where the lines of a process go: to the same stream of the command, with its name before them.
    pub(super) fn sink(self: &Arc<Self>, name: String) -> LineSink {
        let output = self.clone();
        Arc::new(move |stream, line| output.line(&name, stream, line))
    }

    fn line(&self, name: &str, stream: Stream, line: &[u8]) {
        let (stream_name, terminal) = match stream {
            Stream::Stdout => ("stdout", self.terminals.stdout),
            Stream::Stderr => ("stderr", self.terminals.stderr),
        };
        if self.json {
            let text = String::from_utf8_lossy(line);
            return self.json(&OutputLine { name, stream: stream_name, text: &text });
        }
        let mut tagged = format!("[{name}] ").into_bytes();
        if terminal {
            // A process does not get to move the cursor of the one who watches.
            tagged.extend(
                String::from_utf8_lossy(line)
                    .chars()
                    .filter(|c| !c.is_control() || *c == '\t')
                    .collect::<String>()
                    .bytes(),
            );
        } else {
            tagged.extend_from_slice(line);
        }
        tagged.push(b'\n');
        self.between_progress(|| match stream {
            Stream::Stdout => write_all(stdout().lock(), &tagged),
            Stream::Stderr => write_all(stderr().lock(), &tagged),
        });
    }

    fn between_progress(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// No more progress.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A reader that has gone away is no reason to stop the job.
fn write_all(mut to: impl Write, bytes: &[u8]) {
    if let Err(error) = to.write_all(bytes).and_then(|()| to.flush()) {
        tracing::debug!(%error, "a line could not be written");
    }
}
