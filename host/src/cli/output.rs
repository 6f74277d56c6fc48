//! Everything that the command writes while processes run, so that lines, progress and JSON never mix.

use std::fmt;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use lockkeeper::observe::Event;
use lockkeeper::{LineSink, NamedSink, RuntimeError, Stream};
use serde::Serialize;

use super::progress::Progress;
use super::{environment, picture};

/// The one writer of the command.
///
/// What processes print is handed to a thread of its own: a reader that is slow, or gone, must not hold up the shard that
/// the process runs on, nor its time limit, nor an interrupt. What waits in between is bounded by the processes' limits on
/// output.
pub(super) struct Output {
    json: bool,
    tags: Tags,
    bar: Option<ProgressBar>,
    progress: Arc<Progress>,
    terminals: Terminals,
    queue: Sender<Message>,
    /// How many pictures were drawn.
    drawn: AtomicUsize,
}

/// A guest decides how often it closes a circle, so not every one is drawn.
pub(super) const PICTURES_MAX: usize = 10;

/// Whether lines of processes say whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    Shown,
    LeftAway,
}

/// What the writer's thread is to do, in this order.
pub(super) enum Message {
    Write(Stream, Vec<u8>),
    /// All of these, with nothing else in between.
    Together(Vec<Message>),
    /// Says that everything before it is written.
    Written(Sender<()>),
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

#[derive(Serialize)]
#[serde(tag = "event", rename = "skipped", rename_all = "kebab-case")]
struct SkippedLine<'a> {
    name: &'a str,
    why: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "event", rename = "retried", rename_all = "kebab-case")]
struct RetriedLine<'a> {
    name: &'a str,
    attempt: u32,
}

impl Output {
    /// `total` is how many processes will run: progress is shown for several, on a terminal.
    pub(super) fn new(json: bool, tags: Tags, total: u64) -> anyhow::Result<Arc<Self>> {
        let progress = Arc::new(Progress::new(total));
        let bar = (!json && total > 1 && environment::shows_progress()).then(|| {
            let bar = ProgressBar::new(total);
            let shown = progress.clone();
            let style = ProgressStyle::with_template("{bar:30} {progress}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.with_key("progress", move |_: &ProgressState, to: &mut dyn fmt::Write| {
                // What draws the bar throws the line away with the error.
                let _ = to.write_str(&shown.text());
            }));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let terminals = Terminals { stdout: stdout().is_terminal(), stderr: stderr().is_terminal() };
        let (queue, messages) = channel();
        let shown = bar.clone();
        std::thread::Builder::new()
            .name("lockkeeper-output".into())
            .spawn(move || serve(&messages, shown.as_ref()))
            .map_err(RuntimeError::Thread)?;
        Ok(Arc::new(Self { json, tags, bar, progress, terminals, queue, drawn: AtomicUsize::new(0) }))
    }

    /// Waits until everything is written, however slow the reader.
    pub(super) fn drain(&self) {
        let (written, done) = channel();
        self.send(Message::Written(written));
        if done.recv().is_err() {
            tracing::debug!("the writer is gone");
        }
    }

    fn send(&self, message: Message) {
        if self.queue.send(message).is_err() {
            tracing::debug!("the writer is gone");
        }
    }

    /// An event of the host.
    pub(super) fn event(&self, event: &Event) {
        if self.json {
            self.json(event);
        }
        match event {
            Event::Deadlock { circle, .. } => self.draw(|| picture::deadlock(circle)),
            Event::WaitsOutside { lock, waited, holder, stopped } => self.draw(|| {
                let who = holder.as_deref().unwrap_or("a program that does not say who it is");
                let state = if *stopped { ", which is stopped" } else { "" };
                format!("lock {lock}: waiting for {} s for {who}{state}", waited.as_secs())
            }),
            Event::LockUnavailable { lock, error } => self.draw(|| format!("lock {lock}: {error}")),
            _ => {}
        }
    }

    /// The first process is about to be started. These were to run and need not: they are done, or had failed before.
    pub(super) fn begin(&self, done: &[String], failed: &[String]) {
        if self.json {
            done.iter().for_each(|name| self.json(&SkippedLine { name, why: "done" }));
            failed.iter().for_each(|name| self.json(&SkippedLine { name, why: "failed before" }));
        }
        let skipped = (done.len() + failed.len()) as u64;
        self.progress.begin(skipped);
        if let Some(bar) = &self.bar {
            bar.inc(skipped);
        }
    }

    /// A process is over for good.
    pub(super) fn ended(&self, well: bool) {
        self.progress.ended(well);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// A process that has failed is started once more.
    pub(super) fn retried(&self, name: &str, attempt: u32) {
        if self.json {
            self.json(&RetriedLine { name, attempt });
        }
    }

    /// One JSON object on standard output.
    pub(super) fn json(&self, object: &impl Serialize) {
        match serde_json::to_vec(object) {
            Ok(mut line) => {
                line.push(b'\n');
                self.send(Message::Write(Stream::Stdout, line));
            }
            Err(error) => tracing::error!(%error, "an event could not be written as JSON"),
        }
    }

    /// A picture for people. With `--json`, the events have it all.
    pub(super) fn draw(&self, picture: impl FnOnce() -> String) {
        if !self.json && self.drawn.fetch_add(1, Ordering::Relaxed) < PICTURES_MAX {
            self.say(&picture());
        }
    }

    /// A line for people, on standard error.
    pub(super) fn say(&self, line: &str) {
        self.send(Message::Write(Stream::Stderr, format!("{line}\n").into_bytes()));
    }

    /// Where the lines of processes go: to the same stream of the command, with the name before them.
    pub(super) fn sink(self: &Arc<Self>) -> NamedSink {
        let output = self.clone();
        Arc::new(move |name, stream, line| output.send(output.message(name, stream, line)))
    }

    /// The same for one process.
    pub(super) fn sink_of(self: &Arc<Self>, name: String) -> LineSink {
        let output = self.clone();
        Arc::new(move |stream, line| output.send(output.message(&name, stream, line)))
    }

    /// Writes all of it, with nothing else in between.
    pub(super) fn send_all(&self, messages: Vec<Message>) {
        if !messages.is_empty() {
            self.send(Message::Together(messages));
        }
    }

    /// A line of a process, as it is shown.
    pub(super) fn message(&self, name: &str, stream: Stream, line: &[u8]) -> Message {
        let (stream_name, terminal) = match stream {
            Stream::Stdout => ("stdout", self.terminals.stdout),
            Stream::Stderr => ("stderr", self.terminals.stderr),
        };
        if self.json {
            let text = String::from_utf8_lossy(line);
            let object = serde_json::to_vec(&OutputLine { name, stream: stream_name, text: &text });
            let mut line = object.expect("a line of text can be written as JSON");
            line.push(b'\n');
            return Message::Write(Stream::Stdout, line);
        }
        let mut tagged = match self.tags {
            Tags::Shown => format!("[{name}] ").into_bytes(),
            Tags::LeftAway => Vec::new(),
        };
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
        Message::Write(stream, tagged)
    }

    /// No more progress.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn serve(messages: &Receiver<Message>, bar: Option<&ProgressBar>) {
    messages.iter().for_each(|message| write(message, bar));
}

fn write(message: Message, bar: Option<&ProgressBar>) {
    match message {
        Message::Write(stream, bytes) => {
            let write = || match stream {
                Stream::Stdout => write_all(stdout().lock(), &bytes),
                Stream::Stderr => write_all(stderr().lock(), &bytes),
            };
            match bar {
                Some(bar) => bar.suspend(write),
                None => write(),
            }
        }
        Message::Together(messages) => messages.into_iter().for_each(|message| write(message, bar)),
        // Nobody may wait for it any more.
        Message::Written(done) => _ = done.send(()),
    }
}

/// A line on standard output, of a subcommand that runs no processes.
pub(super) fn print_line(line: fmt::Arguments<'_>) {
    let mut to = stdout().lock();
    let printed = to.write_all(format!("{line}\n").as_bytes()).and_then(|()| to.flush());
    if printed.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
        NOT_PRINTED.store(true, Ordering::Relaxed);
    }
}

/// A line on standard error, of a subcommand that runs no processes. That nobody reads it changes no exit code.
pub(super) fn complain(line: fmt::Arguments<'_>) {
    if let Err(error) = stderr().lock().write_all(format!("{line}\n").as_bytes()) {
        tracing::debug!(%error, "a line could not be written");
    }
}

/// Whether a line could not be printed, though somebody reads: a disk that is full, for example.
pub(super) fn is_incomplete() -> bool {
    NOT_PRINTED.load(Ordering::Relaxed)
}

static NOT_PRINTED: AtomicBool = AtomicBool::new(false);

/// A reader that has gone away is no reason to stop the job.
fn write_all(mut to: impl Write, bytes: &[u8]) {
    if let Err(error) = to.write_all(bytes).and_then(|()| to.flush()) {
        tracing::debug!(%error, "a line could not be written");
    }
}
