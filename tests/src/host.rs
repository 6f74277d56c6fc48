//! A host in a directory of its own, whose events and lines can be waited for.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockkeeper::observe::Event;
use lockkeeper::{
    AppendSpec, Durability, Exit, FileSpec, Format, IfExists, Job, JobSpec, LockSpec, LockView, Process, ProcessSpec,
    Program, Runtime, RuntimeConfig, Stdio,
};
use tempfile::TempDir;

use crate::{PATIENCE, guest};

/// A host for one test.
pub struct TestHost {
    runtime: Runtime,
    events: Arc<Log<Event>>,
    dir: TempDir,
}

/// Something that grows, and that can be waited for.
struct Log<T> {
    entries: Mutex<Vec<T>>,
    grown: Condvar,
}

impl<T: Clone> Log<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self { entries: Mutex::default(), grown: Condvar::new() })
    }

    fn entries(&self) -> MutexGuard<'_, Vec<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, entry: T) {
        self.entries().push(entry);
        self.grown.notify_all();
    }

    /// Waits for the first entry that `is`.
    fn wait_for(&self, what: &str, is: impl Fn(&T) -> bool) -> T {
        self.wait_for_nth(what, 0, is)
    }

    /// Waits for the entry that `is` at this place among those, from 0.
    fn wait_for_nth(&self, what: &str, place: usize, is: impl Fn(&T) -> bool) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut entries = self.entries();
        loop {
            if let Some(found) = entries.iter().filter(|entry| is(entry)).nth(place) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come");
            entries = self.grown.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The lines that a process has printed, on both streams.
#[derive(Clone)]
pub struct Lines(Arc<Log<String>>);

impl Lines {
    /// Nothing yet.
    #[expect(clippy::new_without_default, reason = "an empty log is made on purpose")]
    pub fn new() -> Self {
        Self(Log::new())
    }

    /// The standard streams of a process that prints here.
    pub fn stdio(&self) -> Stdio {
        let log = self.0.clone();
        Stdio::Lines(Arc::new(move |_, line| log.push(String::from_utf8_lossy(line).into_owned())))
    }

    /// Follows a stream on a thread of its own, which ends with the stream.
    pub fn follow(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.0.clone();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
            lines.for_each(|line| log.push(String::from_utf8_lossy(&line).into_owned()));
        })
    }

    /// Waits for a line that begins so.
    pub fn wait_for(&self, start: &str) -> String {
        self.0.wait_for(start, |line| line.starts_with(start))
    }

    /// Waits for the line at this place, from 0, among those that begin so.
    pub fn wait_for_nth(&self, start: &str, place: usize) -> String {
        self.0.wait_for_nth(start, place, |line| line.starts_with(start))
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.0.entries().clone()
    }
}

impl TestHost {
    /// A host with as many shards as cores.
    pub fn new() -> Self {
        Self::with_shards(0)
    }

    /// A host with so many shards.
    pub fn with_shards(shards: usize) -> Self {
        Self::configured(|config| config.shards = shards)
    }

    /// A host with a configuration that differs from that of the others.
    pub fn configured(configure: impl FnOnce(&mut RuntimeConfig)) -> Self {
        Self::in_dir(tempfile::tempdir().expect("a directory"), configure)
    }

    /// Shuts the host down and starts another one in the same directory: with the same files, and the same memory of
    /// fences. The jobs of the first must be gone.
    #[must_use]
    pub fn restarted(self) -> Self {
        let Self { runtime, dir, .. } = self;
        drop(runtime);
        Self::in_dir(dir, |_| {})
    }

    fn in_dir(dir: TempDir, configure: impl FnOnce(&mut RuntimeConfig)) -> Self {
        let events = Log::new();
        let seen = events.clone();
        let mut config = RuntimeConfig {
            // Shared by all tests: compiling the guests once is enough.
            cache_dir: Some(crate::workspace().join("target/guests/compiled")),
            state_dir: dir.path().join("state"),
            observer: Some(Arc::new(move |event| seen.push(event.clone()))),
            ..RuntimeConfig::default()
        };
        configure(&mut config);
        Self { runtime: Runtime::new(config).expect("a host"), events, dir }
    }

    /// The host itself.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A path in the host's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A guest program.
    pub fn program(&self, name: &str) -> Program {
        Program::from_file(&self.runtime, guest(name)).expect("a program")
    }

    /// A job with locks of these names.
    pub fn job(&self, locks: &[&str]) -> Job {
        self.job_with_files(locks, Vec::new())
    }

    /// A job with locks and files.
    pub fn job_with_files(&self, locks: &[&str], files: Vec<AppendSpec>) -> Job {
        let locks = locks.iter().map(|name| LockSpec { name: (*name).to_owned(), ..LockSpec::default() }).collect();
        self.runtime.job(JobSpec { locks, files, ..JobSpec::default() }).expect("a job")
    }

    /// A file of lines in the host's directory, bound to a lock if one is given.
    pub fn lines_file(&self, name: &str, requires_lock: Option<&str>) -> AppendSpec {
        self.file(name, Format::Lines, requires_lock)
    }

    /// A file in the host's directory.
    pub fn file(&self, name: &str, format: Format, requires_lock: Option<&str>) -> AppendSpec {
        let mut file = FileSpec::new(self.path(name), format, "a test");
        file.if_exists = IfExists::Append;
        AppendSpec {
            name: name.to_owned(),
            file,
            requires_lock: requires_lock.map(str::to_owned),
            durability: Durability::default(),
        }
    }

    /// Starts a process that may name these locks and files.
    pub fn spawn(
        &self,
        job: &Job,
        program: &Program,
        args: &[&str],
        locks: &[&str],
        files: &[&str],
    ) -> (Process, Lines) {
        self.spawn_spec(job, program, spec(program, args, locks, files))
    }

    /// Starts a process and watches its lines.
    pub fn spawn_spec(&self, job: &Job, program: &Program, spec: ProcessSpec) -> (Process, Lines) {
        let lines = Lines::new();
        let spec = ProcessSpec { stdio: lines.stdio(), ..spec };
        (job.spawn(program, &spec).expect("a process"), lines)
    }

    /// Everything that has happened so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.entries().clone()
    }

    /// Forgets what has happened so far.
    pub fn forget_events(&self) {
        self.events.entries().clear();
    }

    /// Waits for an event.
    pub fn wait_for(&self, what: &str, is: impl Fn(&Event) -> bool) -> Event {
        self.events.wait_for(what, is)
    }

    /// Waits until a lock looks as it should.
    pub fn until_lock(&self, job: &Job, lock: &str, what: &str, is: impl Fn(&LockView) -> bool) {
        until(what, || job.inspect_lock(lock).is_some_and(|view| is(&view)));
    }
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

/// A process that may name these locks and files.
pub fn spec(program: &Program, args: &[&str], locks: &[&str], files: &[&str]) -> ProcessSpec {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ProcessSpec {
        name: program.name().trim_end_matches(".wasm").to_owned(),
        args: owned(args),
        locks: owned(locks),
        files: owned(files),
        ..ProcessSpec::default()
    }
}

/// Waits for the end of a process.
pub fn join(process: &Process) -> Arc<Exit> {
    until(&format!("the end of {} ({})", process.name(), process.id()), || process.try_join().is_some());
    process.join_blocking()
}

/// Waits until something is so: for states that send no event. It yields and naps, and never decides anything by time.
pub fn until(what: &str, is: impl Fn() -> bool) {
    assert!(comes_true(is), "{what}: that did not come true");
}

/// [`until`] for who says more when it does not come true.
#[must_use]
pub fn comes_true(is: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// What a file holds.
pub fn log_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
